"""A group of any sort, as one region shows it: how many there are to be, how many are ready and where. Data only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """One group.

    word: the runbook's name of it; name: AWS's. desired: how many there are to be. least, most: what its owner allows.
    launcher: the Auto Scaling group that starts its instances.
    ready: how many work. in_zones: these by availability zone; None: not asked. zones: where it may start some; empty: not told.
    broken: why it cannot grow at all. busy: what changes it now. troubles: what AWS says about those that are not ready.
    """

    word: str
    name: str
    desired: int
    ready: int
    least: int = 0
    most: int | None = None
    in_zones: Mapping[str, int] | None = None
    zones: tuple[str, ...] = ()
    broken: str = ""
    busy: str = ""
    troubles: tuple[str, ...] = ()
    launcher: str = ""

    def enough(self, wanted: int, zones: int) -> bool:
        """That many are ready, in so many zones, and nothing is on its way."""
        spread = self.in_zones is None or len([zone for zone, count in self.in_zones.items() if count]) >= min(zones, wanted)
        return not self.broken and not self.busy and self.ready >= wanted and spread

    def told(self, wanted: int) -> str:
        """``workers: 3 of 8 ready in us-west-2a``."""
        where = " and ".join(zone for zone, count in sorted((self.in_zones or {}).items()) if count)
        return f"{self.word}: {self.ready} of {wanted} ready" + (f" in {where}" if where else "") + (f", {self.busy}" if self.busy else "")


def missing(word: str, name: str, what: str) -> Group:
    """A group that is not there."""
    return Group(word, name, 0, 0, broken=f"there is no {what} {name}")


def count(places: Iterable[str]) -> Mapping[str, int]:
    """How many are in each zone."""
    found: dict[str, int] = {}
    for place in places:
        found[place] = found.get(place, 0) + 1
    return found
