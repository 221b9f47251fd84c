"""What all sorts of simulated components have in common: in which regions they are, and what one look at a region tells.

A look is taken where and when its question arrives (``look``), one region at a time; what it comes to is decided afterwards from what was
answered and from nothing else (``findings``, ``unequal``). So a region that does not answer is unknown, never fine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from dr.errors import StepError, Transient
from dr.model.lag import Finding, LagSample, RegionView
from dr.model.words import Known, Role, Severity
from dr.providers.sim.world import World


class Told(NamedTuple):
    """What one region answered. ``view``: None for what is in no region. ``facts``: what findings are made of, as it was then."""

    view: RegionView | None = None
    facts: Any = None


Answers = Mapping[str, Told | StepError]
"""What each region answered, or why it did not."""


class Sort:
    """Base of stores: nothing goes by itself, nothing is replicated, nothing is in any region.

    placed: it has a role in each region. replicated: changes of it are replicated, so it has a recovery point, and its view a lag.
    compared: both sides can be alike, which is what its sample tells. looked: it is asked in each region for a view.
    everywhere: it lies in no region: whoever is asked first answers for all. two_way: both sides take writes, and each tells how far the
    other one is behind (``joined``). watched: a monitor keeps something of it, although it is led by nobody.
    stamps: each region's own clock stamps what is written there, and can be asked.
    down: regions whose server of it does not answer, although the region lives.
    """

    placed: bool = False
    replicated: bool = False
    compared: bool = False
    looked: bool = False
    everywhere: bool = False
    two_way: bool = False
    watched: bool = False
    stamps: bool = False
    lagless = "no data of its own"

    def __init__(self, world: World, name: str, regions: Sequence[str] = ()) -> None:
        self.world, self.name = world, name
        self.regions = tuple(regions) or tuple(world.regions)
        self.down: set[str] = set()

    def advance(self, now: float) -> None:
        """Nothing goes by itself."""

    def lost(self, region: str) -> None:
        """What it holds there is there when the region comes back."""

    def back(self, region: str) -> None:
        """It is as it was."""

    def there(self, region: str) -> None:
        """Raises Transient where its server in a region does not answer."""
        if region in self.down:
            raise Transient(f"{self.name} in {region} does not answer")

    def look(self, region: str) -> Told:
        """What a region says of itself. Raises Transient: it says nothing."""
        return Told(RegionView(role=Role.UNKNOWN) if self.placed else None)

    def findings(self, told: Answers) -> Sequence[Finding]:
        """What keeps a region from being moved to (error), and what is to be mended (warning)."""
        return ()

    def unequal(self, told: Answers, primary: str | None) -> str:
        """Why both sides are not alike, by what was answered; empty where they are."""
        return ""

    def joined(self, told: Answers, now: datetime) -> LagSample:
        """One sample for both directions; only of what is ``two_way``. ``now``: by the clock of who asks."""
        return LagSample(component=self.name, at=now, state=Known.UNKNOWN, reason="nothing is sent")

    def point(self, region: str, primary: str) -> float:
        """The newest moment whose data a region holds, read there; only of what is replicated. Raises Transient."""
        raise Transient(f"{self.name} replicates nothing")

    def beat(self, region: str) -> None:
        """A small write of the monitor. Raises Transient where none is taken."""

    def ahead(self, region: str) -> float | None:
        """How far the clock there, which stamps its writes, is ahead, in seconds; None: it does not answer. Only of what ``stamps``."""
        return None

    def behind(self, region: str, primary: str) -> dict[str, Any]:
        """Further fields of a lag sample: what has not arrived in a region, in numbers."""
        return {}

    def finding(self, severity: Severity, fact: str, fix: str, region: str | None = None) -> Finding:
        """A finding of this component."""
        told = fact if fact.startswith(self.name) else f"{self.name}: {fact}"
        return Finding(component=self.name, severity=severity, fact=told, fix=fix, region=region)


@cache
def seen_as(role: Role, epoch: int | None = None, reason: str = "", *, late: bool = False) -> RegionView:
    """A region as observed: made once, since a world looks at itself a hundred times and mostly sees the same."""
    return RegionView(role=role, reason=reason, epoch=epoch, late=late)


def answered(told: Answers) -> dict[str, Told]:
    """The regions that answered."""
    return {region: item for region, item in told.items() if isinstance(item, Told)}


def silent(told: Answers) -> dict[str, StepError]:
    """The regions that did not, and why."""
    return {region: item for region, item in told.items() if isinstance(item, StepError)}


def some(names: Sequence[str], most: int = 3) -> str:
    """The first few, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
