"""A database with streaming replication, as far as a failover can tell it from a real one: timelines, positions, writers, what was lost.

What is written is time itself: a copy that holds the timeline 1 up to 95.0 holds every write that was committed on it until then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dr.errors import EffectUnknown, Transient
from dr.model.words import Role
from dr.providers.sim.sort import Sort, Told, seen_as
from dr.providers.sim.wire import NoAnswer
from dr.providers.sim.world import World

CATCH_UP = 20.0
"""How much faster than it was written a backlog is replicated."""
RESTARTS = 6.0
"""Seconds until a server that died is up again."""


class Span(NamedTuple):
    """What was committed on one timeline, in seconds of the world. ``begin`` is where the timeline forked from the one before."""

    timeline: int
    begin: float
    end: float


@dataclass
class Copy:
    """The database in one region.

    up: its server runs. frozen: it runs and does nothing (SIGSTOP). fenced: it was stopped on purpose, and stays so when the region
    comes back. log: what it holds, oldest first. upstream: which region it follows.
    """

    region: str
    up: bool = True
    frozen: bool = False
    fenced: bool = False
    primary: bool = False
    upstream: str | None = None
    log: list[Span] = field(default_factory=list)

    @property
    def timeline(self) -> int:
        """The newest timeline that it knows."""
        return self.log[-1].timeline

    @property
    def end(self) -> float:
        """The moment of its newest write."""
        return self.log[-1].end


def clip(log: Sequence[Span], position: float) -> list[Span]:
    """The log up to a position; the first span stays, however short."""
    kept = [span if span.end <= position else span._replace(end=max(span.begin, position)) for span in log if span.begin <= position]
    return kept or [log[0]._replace(end=log[0].begin)]


def missing(of: Sequence[Span], there: Sequence[Span]) -> list[Span]:
    """What of one log is not in another: the writes of ``of`` that a reader of ``there`` does not find."""
    if len(of) <= len(there) and all(a[:2] == b[:2] and a[2] <= b[2] for a, b in zip(of, there, strict=False)):
        return []  # the usual case: it holds a part of the other one
    held = {span.timeline: span.end for span in there}
    begun = {span.timeline: span.begin for span in there}
    lost = []
    for span in of:
        until = held.get(span.timeline, span.begin) if begun.get(span.timeline, span.begin) == span.begin else span.begin
        if span.end > until:
            lost.append(Span(span.timeline, max(span.begin, until), span.end))
    return lost


def seconds(spans: Sequence[Span]) -> float:
    """How much writing that is, as time."""
    return sum(span.end - span.begin for span in spans)


class Preserved(NamedTuple):
    """Writes that were kept outside before their copy was overwritten."""

    at: float
    region: str
    spans: tuple[Span, ...]


class Database(Sort):
    """``Store`` of one database component.

    lag: seconds between a commit and its arrival. stalled: nothing arrives at all. skew: how far the primary's clock is off, which stamps
    every write. promotions: each that took effect.
    breaks: by region, how often more a promotion there breaks off half-way, and whether the server has become primary when it is up again.
    shown: how a region's recovery point is shown to who asks for it; None: as it is.
    """

    placed = replicated = looked = stamps = True

    def __init__(self, world: World, name: str, home: str, *, lag: float = 0.2) -> None:
        super().__init__(world, name)
        self.lag = lag
        self.stalled = False
        self.skew = 0.0
        self.breaks: dict[str, tuple[int, bool]] = {}
        self.shown: Callable[[float], float | None] | None = None
        self.promotions: list[tuple[float, str, int]] = []
        self.writers = {1: home}
        """Who began each timeline."""
        self.preserved: list[Preserved] = []
        self.destroyed: list[tuple[float, str, Span]] = []
        self._at = 0.0
        self.copies = {region: Copy(region, log=[Span(1, 0.0, 0.0)]) for region in world.regions}
        for region, copy in self.copies.items():
            copy.primary, copy.upstream = region == home, None if region == home else home

    # --- time ---------------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Writers write, replicas receive."""
        since, self._at = self._at, now
        if now <= since:
            return
        copies = self.copies
        for copy in copies.values():
            if copy.primary and self.writable(copy.region):
                log = copy.log
                timeline, begin, _ = log[-1]
                log[-1] = Span(timeline, begin, now)
        for copy in copies.values():
            upstream = copy.upstream
            if upstream is not None and not copy.primary and self.streams(copy, source := copies[upstream]):
                aim, end = min(source.log[-1].end, now - self.lag), copy.log[-1].end
                if aim > end:
                    copy.log = clip(source.log, min(aim, end + CATCH_UP * (now - since)))

    def streams(self, copy: Copy, source: Copy) -> bool:
        """Whether changes of one copy arrive in another one now: both run, the link is there, and nothing has forked."""
        if self.stalled or not copy.up or copy.frozen or not source.up or source.frozen or not source.primary:
            return False
        return self.world.linked(source.region, copy.region) and not missing(copy.log, source.log)

    def writable(self, region: str) -> bool:
        """It takes writes now."""
        copy = self.copies[region]
        return copy.primary and copy.up and not copy.frozen and self.world.regions[region].alive

    def lost(self, region: str) -> None:
        """Its server is gone with the region; what it has on disk is there when that comes back."""

    def back(self, region: str) -> None:
        """A server that was fenced stays down; any other one runs as it did: an old primary takes writes."""
        copy = self.copies[region]
        copy.frozen = False
        copy.up = not copy.fenced

    # --- what can be done to it ---------------------------------------------------------------------------------------

    def promote(self, region: str) -> int:
        """A secondary becomes primary on a new timeline; nothing happens to one that is primary. The timeline.

        Raises:
            Transient: its server does not run.
        """
        copy = self.copies[region]
        if not copy.up or copy.frozen:
            raise Transient(f"{self.name} in {region} does not run")
        if not copy.primary and self.breaks.get(region, (0, False))[0] > 0:
            self._break_off(copy)
        if not copy.primary:
            timeline = max(span.timeline for other in self.copies.values() for span in other.log) + 1
            copy.log.append(Span(timeline, copy.end, copy.end))
            copy.primary, copy.upstream = True, None
            self._at = self.world.now
            copy.log[-1] = Span(timeline, copy.log[-2].end, self.world.now)
            self.promotions.append((self.world.now, region, timeline))
            self.writers[timeline] = region
        return copy.timeline

    def _break_off(self, copy: Copy) -> None:
        """The server dies in the middle of its promotion, and is there again a moment later.

        Raises:
            EffectUnknown: always.
        """
        left, promoted = self.breaks[copy.region]
        self.breaks[copy.region] = left - 1, promoted
        copy.up = False

        def there_again() -> None:
            if copy.fenced or copy.up:
                return
            self.world.settle()
            copy.up = True
            if promoted and not copy.primary and self.world.regions[copy.region].alive:
                breaks, self.breaks = self.breaks, {}  # by itself it ends well, and perhaps nothing breaks any more by now
                self.promote(copy.region)
                self.breaks = breaks
            self.world.did(f"{self.name}.up-again", self.name, copy.region, text="primary" if copy.primary else "secondary")

        self.world.loop.at(self.world.now + RESTARTS, there_again)
        raise EffectUnknown(f"{self.name} in {copy.region}: the connection was lost in the middle of the promotion")

    def stop(self, region: str) -> float:
        """Stopped on its host, for good. The moment of its last write."""
        copy = self.copies[region]
        copy.up, copy.fenced, copy.frozen = False, True, False
        return copy.end

    def hand_over(self, region: str) -> float:
        """Stopped in order: whoever follows it has received everything, if the link is there. The moment of its last write."""
        copy = self.copies[region]
        for other in self.copies.values():
            if other.upstream == region and not other.primary and self.streams(other, copy):
                other.log = clip(copy.log, copy.end)
        return self.stop(region)

    def start(self, region: str) -> None:
        """Started again as it was."""
        copy = self.copies[region]
        copy.up, copy.fenced = True, False

    def asked_for(self, region: str) -> float | None:
        """When the promotion of a region was asked for, where it takes effect long after; None: with the call."""
        return None

    def divergence(self, region: str) -> list[Span]:
        """What a copy holds that the primary has not."""
        primary = self.primary(besides=region)
        return [] if primary is None else missing(self.copies[region].log, primary.log)

    def preserve(self, region: str) -> tuple[Span, ...]:
        """Keeps outside what only this copy holds; there is one place for it, whoever keeps it how often."""
        spans = tuple(self.divergence(region))
        if set(spans) - self.kept(region):
            self.preserved.append(Preserved(self.world.now, region, spans))
        return spans

    def kept(self, region: str) -> set[Span]:
        """What was kept of a copy."""
        return {span for item in self.preserved if item.region == region for span in item.spans}

    def follow(self, region: str, upstream: str) -> None:
        """The copy becomes a secondary of another region: what it holds beyond the fork is gone (rewound).

        Raises:
            Transient: the other one is no primary that can be reached from here.
        """
        copy, source = self.copies[region], self.copies[upstream]
        if not self.writable(upstream) or not self.world.linked(upstream, region):
            raise Transient(f"{self.name} in {region} cannot follow {upstream}")
        self.destroyed += [(self.world.now, region, span) for span in missing(copy.log, source.log)]
        common = max((span.end for span in copy.log if not missing([span], source.log)), default=0.0)
        copy.log = clip(source.log, common)
        copy.up, copy.frozen, copy.fenced, copy.primary, copy.upstream = True, False, False, False, upstream

    # --- what can be seen of it ---------------------------------------------------------------------------------------

    def look(self, region: str) -> Told:
        """Whether it runs, and leads, as of which timeline."""
        copy = self.copies[region]
        if copy.frozen:
            raise NoAnswer(f"{self.name} in {region}: no answer")
        role = Role.STOPPED if not copy.up else Role.PRIMARY if copy.primary else Role.SECONDARY
        return Told(seen_as(role, copy.timeline))

    def primary(self, besides: str | None = None) -> Copy | None:
        """The copy that leads: of several that are primary the one of the newest timeline."""
        leading = [copy for copy in self.copies.values() if copy.primary and copy.region != besides]
        return max(leading, key=lambda copy: copy.timeline, default=None)

    def beat(self, region: str) -> None:
        """Raises Transient where it takes no writes."""
        if not self.writable(region):
            raise Transient(f"{self.name} in {region} takes no writes")

    def ahead(self, region: str) -> float | None:
        """The primary's clock is the one that is off."""
        copy = self.copies[region]
        return (self.skew if copy.primary else 0.0) if copy.up and region not in self.down else None

    def behind(self, region: str, primary: str) -> dict[str, Any]:
        """Whether it streams."""
        return {"follows": self.streams(self.copies[region], self.copies[primary])}

    def point(self, region: str, primary: str) -> float:
        """See ``recovery_point``; as it is shown to who asks.

        Raises:
            Transient: nothing is shown.
        """
        point = self.told_point(region)
        if point is None:
            raise Transient(f"{self.name} in {region}: there is no recovery point")
        return point

    def told_point(self, region: str) -> float | None:
        """The recovery point as it is shown to who asks; None where nothing is."""
        point = self.recovery_point(region)
        return point if self.shown is None else self.shown(point)

    def recovery_point(self, region: str) -> float:
        """The moment, by the clock of the primary that stamped it, of the newest write that a copy holds from somebody else's hand."""
        log = self.copies[region].log
        written = (span for span in reversed(log) if self.writers.get(span.timeline, region) != region)
        return next(written, log[0]).end + self.skew
