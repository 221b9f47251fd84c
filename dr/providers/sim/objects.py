"""A bucket in each region, replicated both ways by the stores themselves: both take writes at all times; a marker says who leads.

What is written is time itself, as in ``database``: ``RATE`` objects a second, wherever tasks run. What a replication had not sent when its
side died is never sent by itself. Objects that both sides write (``versions``) are kept one by one; there are few.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dr.errors import Transient
from dr.model.lag import Finding, RegionView
from dr.model.words import Role, Severity
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.sort import Answers, Sort, Told, answered
from dr.providers.sim.world import World

RATE = 4.0
"""Objects that a region's tasks write in a second."""
LISTED_EVERY = 5.0
"""Seconds between two lists of the primary that the monitor keeps outside."""
CATCH_UP = 20.0
"""How much faster than it was written a backlog is replicated."""


class Piece(NamedTuple):
    """Everything that was written in one region from one moment to another."""

    begin: float
    end: float


class Mark(NamedTuple):
    """``region`` leads since ``at``, as of ``epoch``."""

    epoch: int
    region: str
    at: float


class Kept(NamedTuple):
    """What only one side had, kept outside before anything was repaired."""

    at: float
    region: str
    pieces: tuple[Piece, ...]
    keys: tuple[tuple[str, float], ...]


class Replaced(NamedTuple):
    """An object that ``dr`` wrote over: when, where, and the moments at which the old and the new version were written."""

    at: float
    region: str
    key: str
    old: float
    new: float


@dataclass
class Way:
    """The replication from one region to another. ``upto``: all of before was sent, but ``gaps``: failed, or lost with their side."""

    upto: float = 0.0
    gaps: list[Piece] = field(default_factory=list)


def length(pieces: Iterable[Piece]) -> float:
    """Seconds of writing."""
    return sum(piece.end - piece.begin for piece in pieces)


def count(pieces: Iterable[Piece]) -> int:
    """How many objects that is: one is written every so often, wherever anybody writes."""
    return sum(len(numbers(piece)) for piece in pieces)


def numbers(piece: Piece) -> range:
    """The objects of a piece, numbered from the beginning of the world."""
    return range(math.ceil(piece.begin * RATE - 1e-9), math.ceil(piece.end * RATE - 1e-9))


def called(pieces: Iterable[Piece], region: str) -> list[str]:
    """The names of the objects that some pieces are, which were written in a region."""
    return [f"logs/{region}/{number:07d}" for piece in pieces for number in numbers(piece)]


def within(pieces: Sequence[Piece], begin: float, end: float) -> Iterator[Piece]:
    """What of some pieces lies between two moments."""
    for piece in pieces:
        if piece.end > begin and piece.begin < end:
            yield Piece(max(piece.begin, begin), min(piece.end, end))


class Objects(Sort):
    """``Store`` of one bucket component.

    lag: seconds until an object arrives. stalled: nothing is replicated. marks: what each store says about who leads.
    versions: by region and key, when the version there was written. listed: when the monitor last listed a region as the one that leads.
    """

    placed = replicated = looked = True

    def __init__(self, world: World, name: str, home: str, deployments: Deployments | None, regions: Sequence[str] = ()) -> None:
        super().__init__(world, name, regions)
        self.deployments = deployments
        self.lag, self.stalled = 0.3, False
        self.marks = {region: [Mark(1, home, 0.0)] for region in self.regions}
        self.written: dict[str, list[Piece]] = {region: [] for region in self.regions}
        self.ways = {(one, other): Way() for one in self.regions for other in self.regions if one != other}
        self.versions: dict[str, dict[str, float]] = {region: {} for region in self.regions}
        self.listed: dict[str, float] = {}
        self.preserved: list[Kept] = []
        self.replaced: list[Replaced] = []
        self._at = 0.0

    # --- time ---------------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Tasks write, stores replicate."""
        since, self._at = self._at, now
        if now <= since:
            return
        for region, pieces in self.written.items():
            if self.writes(region):
                if pieces and pieces[-1].end >= since:
                    pieces[-1] = Piece(pieces[-1].begin, now)
                else:
                    pieces.append(Piece(since, now))
        for (one, other), way in self.ways.items():
            if self.replicates(one, other):
                way.upto = max(way.upto, min(now - self.lag, way.upto + CATCH_UP * (now - since)))
                self._marks_arrive(one, other, way)
                if self.versions[one]:
                    self._versions_arrive(one, other, way)

    def writes(self, region: str) -> bool:
        """Somebody writes objects there now."""
        if not self.world.regions[region].alive or region in self.down:
            return False
        if self.deployments is not None:
            return self.deployments.runs(region)
        mark = self.newest(region)
        return mark is not None and mark.region == region

    def replicates(self, one: str, other: str) -> bool:
        """What one store takes arrives in the other one now."""
        return not self.stalled and not {one, other} & self.down and self.world.linked(one, other)

    def _marks_arrive(self, one: str, other: str, way: Way) -> None:
        if len(self.marks[one]) != len(self.marks[other]) or self.marks[one][-1] != self.marks[other][-1]:
            for mark in self.marks[one]:
                if self._sent(way, mark.at):
                    self.mark(other, mark)

    def _versions_arrive(self, one: str, other: str, way: Way) -> None:
        there = self.versions[other]
        for key, at in self.versions[one].items():
            if at > there.get(key, -1.0) and self._sent(way, at):
                there[key] = at

    @staticmethod
    def _sent(way: Way, at: float) -> bool:
        return at <= way.upto and not any(gap.begin < at <= gap.end for gap in way.gaps)

    def lost(self, region: str) -> None:
        """What it had not sent is on its disks, and is not sent any more."""
        now = self.world.now
        for (one, _), way in self.ways.items():
            if one == region and way.upto < now:
                way.gaps.append(Piece(way.upto, now))
                way.upto = now

    # --- what can be done to it ---------------------------------------------------------------------------------------

    def write(self, region: str, key: str) -> None:
        """Somebody writes an object that both sides may write."""
        self.versions[region][key] = self.world.now

    def fail(self, one: str, other: str, begin: float, end: float) -> None:
        """What was written in one region between two moments is not in the other, and will not come by itself."""
        self.ways[one, other].gaps.append(Piece(begin, end))

    def mark(self, region: str, mark: Mark) -> None:
        """A store says that some region leads; nothing happens where it says so already."""
        marks = self.marks[region]
        if not any(mark[:2] == other[:2] for other in marks):
            marks.append(mark)
            marks.sort()

    def bring(self, one: str, other: str, since: float | None = None) -> int:
        """Copies what the other one lacks, and what is older there; a version that is not older is left alone. How many objects.

        Args:
            since: what the other one wrote after that, as the primary, is left alone, too: a younger version is a conflict.
        """
        copied = count(self.missing(one, other))
        way, now, there = self.ways[one, other], self.world.now, self.versions[other]
        way.gaps.clear()
        way.upto = max(way.upto, now)
        for key, at in self.versions[one].items():
            old = there.get(key)
            if old is None or (old < at and (since is None or old <= since)):
                if old is not None:
                    self.replaced.append(Replaced(now, other, key, old, at))
                there[key] = at
                copied += 1
        return copied

    def preserve(self, region: str, other: str) -> Kept:
        """Keeps outside what only one side has."""
        kept = Kept(self.world.now, region, tuple(self.missing(region, other)), tuple(self.only(region, other).items()))
        if self.not_kept(region, other):
            self.preserved.append(kept)
        return kept

    # --- what can be seen of it ---------------------------------------------------------------------------------------

    def newest(self, region: str) -> Mark | None:
        """The marker that counts, of those that a region's store has; None where two regions have one of the same epoch."""
        return newest(self.marks[region])

    def missing(self, one: str, other: str) -> list[Piece]:
        """What was written in one region and is not in the other."""
        way = self.ways[one, other]
        found = [piece for gap in way.gaps for piece in within(self.written[one], *gap)]
        return found + list(within(self.written[one], way.upto, math.inf))

    def only(self, one: str, other: str) -> dict[str, float]:
        """Objects of ``versions`` that one region has and the other has not, or has otherwise."""
        there = self.versions[other]
        return {key: at for key, at in self.versions[one].items() if there.get(key) != at}

    def conflicts(self, one: str, other: str) -> list[str]:
        """Objects that both have, and the other one in a newer version."""
        there = self.versions[other]
        return [key for key, at in self.versions[one].items() if there.get(key, at) > at]

    def not_kept(self, one: str, other: str) -> int:
        """How many objects only one region has that were not kept yet."""
        kept = [item for item in self.preserved if item.region == one]
        known = {key for item in kept for key in item.keys}
        left = [piece for piece in self.missing(one, other) if not any(covers(item.pieces, piece) for item in kept)]
        return count(left) + sum(key not in known for key in self.only(one, other).items())

    def point(self, region: str, primary: str) -> float:
        """The moment up to which all that the primary took is here, without a hole."""
        return self.arrived(primary, region)

    def beat(self, region: str) -> None:
        """Raises Transient where the store does not answer."""
        self.there(region)

    def behind(self, region: str, primary: str) -> dict[str, Any]:
        """Objects on their way, and those that will not come by themselves; not known while the primary cannot be asked."""
        if not self.world.regions[primary].alive or primary in self.down:
            return {}
        if self.world.now - self.listed.get(primary, -LISTED_EVERY) >= LISTED_EVERY:
            self.listed[primary] = self.world.now
        way = self.ways[primary, region]
        failed = count(piece for gap in way.gaps for piece in within(self.written[primary], *gap))
        return {"behind_items": count(within(self.written[primary], way.upto, math.inf)), "failed_items": failed}

    def arrived(self, one: str, other: str) -> float:
        """The moment up to which all of one region is in the other."""
        lacks = self.missing(one, other)
        return min((piece.begin for piece in lacks), default=self.ways[one, other].upto)

    def look(self, region: str) -> Told:
        """Who leads, as the store of a region says, and what it takes."""
        self.there(region)
        mark = self.newest(region)
        if mark is None:
            return Told(RegionView(role=Role.UNKNOWN, reason="nothing there says who is primary"))
        return Told(RegionView(role=Role.PRIMARY if mark.region == region else Role.SECONDARY, epoch=mark.epoch), mark)

    def there(self, region: str) -> None:
        """Raises Transient where the store of a region does not answer."""
        if region in self.down:
            raise Transient(f"the bucket of {region} does not answer")

    def findings(self, told: Answers) -> Sequence[Finding]:
        """Markers that are not there or contradict each other; objects that did not arrive."""
        seen = answered(told)
        found = []
        unmarked = [region for region, item in seen.items() if item.facts is None]
        if seen and len(unmarked) == len(seen):
            found.append(self.finding(Severity.ERROR, "nothing says which region is primary", "mark the one that takes the writes"))
        elif unmarked:
            fact = f"the marker of the primary has not arrived in {unmarked[0]}"
            found.append(self.finding(Severity.ERROR, fact, "start the replication, or dr reprotect", unmarked[0]))
        marks = [item.facts for item in seen.values() if item.facts is not None]
        leads = newest(marks)
        if marks and leads is None:
            fact = f"{' and '.join(seen)} both became primary as of epoch {max(marks).epoch}"
            found.append(self.finding(Severity.ERROR, fact, "delete the marker of the wrong one"))
        if leads is not None and len(seen) == len(self.regions):
            for other in (region for region in seen if region != leads.region):
                found += self._behind(leads.region, other)
        return found

    def _behind(self, one: str, other: str) -> Iterator[Finding]:
        failed = count(piece for gap in self.ways[one, other].gaps for piece in within(self.written[one], *gap))
        if failed:
            fix = "have the store send them again, or copy them; a dr switchover brings them over, a failover loses them"
            yield self.finding(Severity.WARNING, f"{failed} objects failed to replicate to {other}", fix)
        if not self.replicates(one, other):
            fix = "start the replication between the stores again; it is not dr's"
            yield self.finding(Severity.WARNING, f"the replication from {one} to {other} does not run", fix)


def newest(marks: Iterable[Mark]) -> Mark | None:
    """The marker that counts; None of none, or where two regions have the same epoch."""
    found = sorted(marks)
    if not found or len({mark.region for mark in found if mark.epoch == found[-1].epoch}) > 1:
        return None
    return found[-1]


def covers(pieces: Sequence[Piece], piece: Piece) -> bool:
    """One of some pieces holds all of another one."""
    return any(item.begin <= piece.begin and piece.end <= item.end for item in pieces)
