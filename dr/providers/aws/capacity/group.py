"""A group of any sort, as one region shows it: how many there are to be, how many are ready and where. Data only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dr.errors import StepError


@dataclass(frozen=True)
class Group:
    """One group.

    word: the runbook's name of it; name: AWS's. desired: how many there are to be. least, most: what its owner allows.
    launcher: the Auto Scaling group that starts its instances.
    ready: how many work. in_zones: these by availability zone; None: not known. zones: where it may start some; empty: not told.
    still: how many are there at all and may write, by AWS's word for their state; None: not told. held: what beside ``least`` keeps some
    of them there, with what ends that.
    broken: why it cannot grow at all. busy: what changes it now. troubles: what AWS says about those that are not ready.
    unseen: calls that only tell more, and were refused: what they would have told is not known.
    """

    word: str
    name: str
    desired: int
    ready: int
    least: int = 0
    most: int | None = None
    in_zones: Mapping[str, int] | None = None
    zones: tuple[str, ...] = ()
    still: Mapping[str, int] | None = None
    held: str = ""
    broken: str = ""
    busy: str = ""
    troubles: tuple[str, ...] = ()
    launcher: str = ""
    unseen: tuple[StepError, ...] = ()

    @property
    def gone(self) -> bool:
        """None is to be there, and none is."""
        return self.desired == 0 and self.still is not None and not any(self.still.values())

    @property
    def stays(self) -> tuple[str, str]:
        """What keeps it from being taken down to none, and what ends that; both empty: nothing."""
        if self.least:
            return f"it keeps at least {self.least}", "lower its minimum to 0"
        fact, _, fix = self.held.partition(": ")
        return fact, fix

    def enough(self, wanted: int, zones: int) -> bool:
        """That many are ready, in so many zones, and nothing is on its way."""
        spread = self.in_zones is None or len([zone for zone, count in self.in_zones.items() if count]) >= min(zones, wanted)
        return not self.broken and not self.busy and self.ready >= wanted and spread

    def told(self, wanted: int) -> str:
        """``workers: 3 of 8 ready in us-west-2a``."""
        where = " and ".join(zone for zone, count in sorted((self.in_zones or {}).items()) if count)
        where = ", in which zones is not known" if self.in_zones is None else f" in {where}" if where else ""
        return f"{self.word}: {self.ready} of {wanted} ready{where}" + (f", {self.busy}" if self.busy else "")

    def left(self) -> str:
        """``workers: 2 STOPPING``: what may still write."""
        counts = ", ".join(f"{count} {state}" for state, count in (self.still or {}).items() if count)
        there = "how many are there is not told" if self.still is None else counts
        asked = f"{self.desired} are to be there" if self.desired else ""
        return f"{self.word}: " + "; ".join(part for part in (there, asked, self.busy) if part)


def missing(word: str, name: str, what: str) -> Group:
    """A group that is not there."""
    return Group(word, name, 0, 0, broken=f"there is no {what} {name}")


def count(places: Iterable[str]) -> Mapping[str, int]:
    """How many are in each zone."""
    found: dict[str, int] = {}
    for place in places:
        found[place] = found.get(place, 0) + 1
    return found
