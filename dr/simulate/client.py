"""The outside client of a simulated drill: it writes through every public name in its rhythm, and keeps a ledger of what came of it.

No write is an event. Between two effects nothing changes but what time itself brings (cached addresses grow old, late capacity comes), so
the client looks whenever something has happened, and notes how its writes fared since then. Single writes are reckoned in the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dr.providers.sim.aws.traffic import Platform
from dr.providers.sim.database import Database, Span
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.names import Names
from dr.providers.sim.world import World

ANSWERED = 0.004
"""Seconds from sending a write to its acknowledgement."""
RETRY = 0.25
"""The longest wait in seconds after a write that was not acknowledged."""
POLL = 0.25
"""Seconds between two polls of the remote-execution agent."""


class Write(NamedTuple):
    """One write through one name. ``sent``: seconds of the world; ``region``: who acknowledged it, None: nobody; ``timeline``: on which."""

    id: str
    deployment: str
    hostname: str
    sent: float
    region: str | None
    timeline: int


class Stretch(NamedTuple):
    """A time in which the writes through one name fared alike. ``region`` None: none was acknowledged."""

    begin: float
    end: float
    region: str | None
    timeline: int


@dataclass
class _Name:
    """One public name as its client knows it. ``keeps``: the region that it was led to last; ``until``: when it asks again."""

    hostname: str
    deployment: str
    number: int
    keeps: str | None = None
    until: float = 0.0
    stretches: list[Stretch] = field(default_factory=list)

    def fared(self, begin: float, end: float, region: str | None, timeline: int) -> None:
        """Notes a stretch, joined with the one before where nothing changed."""
        if end <= begin:
            return
        last = self.stretches[-1] if self.stretches else None
        if last is not None and (last.region, last.timeline) == (region, timeline):
            self.stretches[-1] = last._replace(end=end)
        else:
            self.stretches.append(Stretch(begin, end, region, timeline))


@dataclass(frozen=True)
class _Shape:
    """What the world is like between two looks. serves: timeline and since when, by region that takes writes; servers: name servers that
    answer, with where they lead and their time to live."""

    serves: Mapping[str, tuple[int, float]]
    servers: Sequence[tuple[Mapping[str, str], float]]


class OutsideClient:
    """Writes from ``begin`` on, and an agent that polls the first Deployment by its remote-execution name.

    Args:
        deployments: who takes the writes; without any the platform behind the names.
        hostnames: of each Deployment by its id, the remote-execution name last.
        rate: writes a second through each name.
        keeps: how long it keeps addresses, in seconds; None: as long as their TTL says.
    """

    def __init__(
        self, world: World, deployments: Deployments | Platform, names: Names, hostnames: Mapping[str, Sequence[str]], rate: float,
        keeps: float | None,
    ) -> None:  # fmt: skip
        self.world, self.deployments, self.zone, self.hostnames = world, deployments, names, hostnames
        self._interval, self._keeps = 1 / rate, keeps
        pairs = [(hostname, item) for item, own in hostnames.items() for hostname in own]
        self._names = [_Name(hostname, item, number) for number, (hostname, item) in enumerate(pairs)]
        self.begin = self._looked = world.now
        self._agent_off: list[tuple[float, float]] = []
        self._shape = self._read()
        world.watchers.append(lambda _effect: self.look())

    @property
    def database(self) -> Database:
        """Where writes are committed."""
        store = self.deployments
        return store.databases[0] if isinstance(store, Platform) else store.database

    # --- looking ------------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Notes how writes fared until now, and what there is now. To be called after everything that happens to the world."""
        now = self.world.now
        if now > self._looked:
            for name in self._names:
                self._fare(name, self._looked, now)
            self._looked = now
        self._shape = self._read()

    def _read(self) -> _Shape:
        """As it is this very moment."""
        serves = {}
        for region in self.world.regions:
            ready = self._ready(region)
            if ready is not None:
                serves[region] = (self.database.copies[region].timeline, ready)
        zone = self.zone
        return _Shape(serves, [(dict(zone.leads[item]), zone.ttls[item]) for item in zone.leads if zone.answers(item)])

    def _ready(self, region: str) -> float | None:
        """Since when a region takes writes, in seconds of the world; None: it does not."""
        store = self.deployments
        if isinstance(store, Platform):
            return 0.0 if store.serves(region) else None
        runtime = store.runtimes[region]
        takes = runtime.up and not runtime.frozen and self.world.regions[region].alive and self.database.writable(region)
        return runtime.ready_at if takes else None

    def _fare(self, name: _Name, since: float, until: float) -> None:
        """How the writes of one name fared between two looks."""
        shape, at = self._shape, since
        while at < until:
            if name.keeps is None or at >= name.until:
                self._ask(name, at)
            end = until if name.keeps is None else min(until, name.until)
            timeline, ready = shape.serves.get(name.keeps or "", (0, math.inf))
            free = min(max(at, ready), end)
            name.fared(at, free, None, 0)
            name.fared(free, end, name.keeps, timeline)
            at = end

    def _ask(self, name: _Name, at: float) -> None:
        """All servers are asked, the first answer counts: of servers that say different things, some clients are nearer to the one, some
        to the other. Kept until so long after the question as it may be, or as this client does."""
        servers = self._shape.servers
        if not servers:
            name.keeps = None
            return
        leads, ttl = servers[name.number % len(servers)]
        name.keeps, name.until = leads[name.hostname], at + max(ttl, self._keeps or 0.0)

    # --- the agent ----------------------------------------------------------------------------------------------------

    def end_agent(self) -> None:
        """It is killed."""
        if not self._agent_off or self._agent_off[-1][1] < math.inf:
            self._agent_off.append((self.world.now, math.inf))

    def begin_agent(self) -> None:
        """It runs again."""
        if self._agent_off and self._agent_off[-1][1] == math.inf:
            self._agent_off[-1] = (self._agent_off[-1][0], self.world.now)

    def polls(self) -> Iterator[tuple[float, str]]:
        """When the agent was answered, and by which region."""
        self.look()
        remote = next(iter(self.hostnames.values()))[-1]
        name = next(item for item in self._names if item.hostname == remote)
        for stretch in name.stretches:
            if stretch.region is None:
                continue
            first = math.ceil((stretch.begin - self.begin) / POLL)
            for number in range(first, math.ceil((stretch.end - self.begin) / POLL)):
                at = self.begin + number * POLL
                if not any(begin <= at < end for begin, end in self._agent_off):
                    yield at, stretch.region

    # --- what came of it ----------------------------------------------------------------------------------------------

    def settled(self, since: float) -> bool:
        """Whether every name has acknowledged a write that was sent after a moment, and the agent was answered since."""
        self.look()
        for name in self._names:
            last = name.stretches[-1] if name.stretches else None
            if last is None or last.region is None or max(last.begin, since) + self._interval + ANSWERED > self.world.now:
                return False
        off = bool(self._agent_off) and self._agent_off[-1][1] == math.inf
        return not off and self.world.now - since > POLL

    def writes(self) -> Iterator[Write]:
        """Every write until now, name by name. What was not acknowledged is not sent again: the next one has a number of its own.

        One that is under way when things change is not acknowledged.
        """
        self.look()
        number = 0
        for name in self._names:
            origin = self.begin + self._interval * name.number / len(self._names)
            due = origin
            for stretch in name.stretches:
                while due + ANSWERED < stretch.end:
                    region = stretch.region if due >= stretch.begin else None
                    number += 1
                    yield Write(f"w-{number}", name.deployment, name.hostname, due, region, stretch.timeline)
                    regular = origin + (math.floor((due - origin) / self._interval + 1e-9) + 1) * self._interval
                    due = min(due + RETRY, regular) if region is None else regular

    @property
    def led_to(self) -> str | None:
        """The region that answers every name now; None where there are several, or none."""
        self.look()
        regions = {name.stretches[-1].region for name in self._names if name.stretches}
        return regions.pop() if len(regions) == 1 else None

    def there(self, deployment: str, writes: Sequence[Write]) -> frozenset[str] | None:
        """The acknowledged writes of a Deployment that it has now; None where it does not answer."""
        region = next((name.stretches[-1].region for name in self._names if name.deployment == deployment and name.stretches), None)
        if region is None:
            return None
        return holding(self.database.copies[region].log, writes)

    def preserved(self, writes: Sequence[Write]) -> frozenset[str] | None:
        """Of these writes the ones that stand in what was kept of an old primary; None where nothing was kept."""
        kept = self.database.preserved
        return holding([span for item in kept for span in item.spans], writes) if kept else None


def holding(spans: Sequence[Span], writes: Sequence[Write]) -> frozenset[str]:
    """The acknowledged writes that are in these spans of a database's log."""
    by_timeline: dict[int, list[Span]] = {}
    for span in spans:
        by_timeline.setdefault(span.timeline, []).append(span)
    return frozenset(
        write.id
        for write in writes
        if write.region is not None and any(span.begin <= write.sent <= span.end for span in by_timeline.get(write.timeline, ()))
    )
