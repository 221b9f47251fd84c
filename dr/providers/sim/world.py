"""The regions of a simulated world: what lives, who reaches whom, what is stored where, and everything that was done to it.

Nothing in here is asked by the engine: kinds ask through ``wire``, checkers look at it directly.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from dr.model.words import Word
from dr.providers.sim.loop import Loop
from dr.providers.sim.process import chance
from dr.providers.sim.weather import Weather

_SLOWEST = 1800.0
"""Seconds: no act is made slower than that, nor than twice of what it usually takes."""


class Way(Word):
    """What goes through from a machine to a region. ONE_WAY: everything arrives there, and no answer comes back."""

    OPEN = "open"
    READ_ONLY = "read-only"
    ONE_WAY = "one-way"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Effect:
    """Something changed in the world, and who did it: ``process`` and ``run_id`` are empty where the world itself did.

    what: for example ``metadata-db.promote``. number: counts all effects of a world from 1.
    """

    number: int
    at: float
    what: str
    component: str
    region: str
    process: str = ""
    run_id: str = ""
    step: str = ""
    epoch: int = 0
    text: str = ""


class Asked(NamedTuple):
    """A call that is meant to change something was sent: whatever becomes of it.

    reached: something went through to there then. informed: when its process had got its last answer about the component; -1: never.
    """

    at: float
    what: str
    component: str
    region: str
    process: str
    run_id: str
    step: str
    epoch: int
    reached: bool
    informed: float


@dataclass(slots=True)
class SimRegion:
    """A failure domain. ``alive`` False: nothing in it runs, nothing in it answers. ``refuses``: connections to it are refused at once
    then, because its network lives; else they stay without an answer."""

    name: str
    alive: bool = True
    refuses: bool = False


class Store(Protocol):
    """What one component is, in all regions."""

    name: str

    def advance(self, now: float) -> None:
        """Lets the time until now pass, in which nothing changed but what goes by itself (writes, replication)."""

    def lost(self, region: str) -> None:
        """The region died with everything in it."""

    def back(self, region: str) -> None:
        """The region is there again; what ran in it runs as it did when it died."""


@dataclass(slots=True)
class Seen:
    """One line of what happened, for people."""

    at: float
    text: str


@dataclass
class World:
    """One simulated world.

    links: pairs of regions between which nothing replicates now. ways: what is not open, by machine and region.
    drag: by component, how much longer than usual everything takes there. measured: what steps took in real runs, by step, in seconds.
    watchers: called after every effect; they look, and say where something must never be.
    asked: every call that was to change something, as it was sent. reads: when each process last got an answer about each component.
    secrets: values that must stand in nothing that leaves the world.
    """

    loop: Loop
    seed: str
    regions: dict[str, SimRegion]
    weather: Weather
    stores: dict[str, Store] = field(default_factory=dict)
    cut_links: set[tuple[str, str]] = field(default_factory=set)
    ways: dict[tuple[str, str], Way] = field(default_factory=dict)
    watchers: list[Callable[[Effect], None]] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    reads: dict[tuple[str, str], float] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)
    told: list[Seen] = field(default_factory=list)
    paces: dict[str, float] = field(default_factory=dict)
    estimates: dict[str, float] = field(default_factory=dict)
    drag: dict[str, float] = field(default_factory=dict)
    measured: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def chance(self, what: str) -> random.Random:
        """Chance for one purpose: what others draw does not change it."""
        return chance(self.seed, what)

    def pace(self, step: str) -> float:
        """How much longer than its estimate a step takes in this world."""
        if step not in self.paces:
            self.paces[step] = self.chance(f"pace/{step}").triangular(0.5, 2.0, 0.9)
        return self.paces[step] * self.drag.get(step.partition("/")[0], 1.0)

    def takes(self, step: str, estimate: float) -> float:
        """How many seconds a step takes in this world: as many as it once took, drawn from what was measured; else by its estimate."""
        measured = self.measured.get(step)
        if not measured:
            usual = self.estimates.get(step, estimate)
            # several faults that make it slow multiply; an act that would outlast the story says nothing about what is under test
            return min(usual * self.pace(step), max(2 * usual, _SLOWEST))
        return self.chance(f"took/{step}").choice(measured) * self.drag.get(step.partition("/")[0], 1.0)

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.loop.now

    def reaches(self, machine: str, region: str, *, write: bool) -> bool:
        """Whether something sent from a machine arrives there now."""
        if not self.regions[region].alive:
            return False
        way = self.ways.get((machine, region), Way.OPEN) if self.ways else Way.OPEN
        return way is Way.OPEN or way is Way.ONE_WAY or (way is Way.READ_ONLY and not write)

    def refuses(self, machine: str, region: str) -> bool:
        """Whether a connection from a machine is refused at once: nothing listens there any more, and something says so."""
        found = self.regions[region]
        return found.refuses and not found.alive and self.ways.get((machine, region), Way.OPEN) is Way.OPEN

    def hears(self, machine: str, region: str) -> bool:
        """Whether an answer from a region arrives at a machine now."""
        way = self.ways.get((machine, region), Way.OPEN) if self.ways else Way.OPEN
        return self.regions[region].alive and (way is Way.OPEN or way is Way.READ_ONLY)

    def linked(self, one: str, other: str) -> bool:
        """Whether one region's changes get to another one now."""
        return self.regions[one].alive and self.regions[other].alive and (one, other) not in self.cut_links

    def settle(self) -> None:
        """Lets the time that has passed have passed for everything. Before every change."""
        now = self.loop.now
        for store in self.stores.values():
            store.advance(now)

    def tell(self, text: str) -> None:
        """A line of the story."""
        self.told.append(Seen(self.loop.now, text))

    def did(
        self, what: str, component: str, region: str, *, process: str = "", run_id: str = "", step: str = "", epoch: int = 0, text: str = ""
    ) -> None:
        """An effect has happened; everybody who watches looks."""
        effect = Effect(len(self.effects) + 1, self.loop.now, what, component, region, process, run_id, step, epoch, text)
        self.effects.append(effect)
        for watcher in self.watchers:
            watcher(effect)

    def lose(self, region: str) -> None:
        """A region dies as a whole."""
        if self.regions[region].alive:
            self.settle()
            self.regions[region].alive = False
            for store in self.stores.values():
                store.lost(region)
            self.tell(f"{region} is lost")
            self.did("region.lost", "", region)

    def bring_back(self, region: str) -> None:
        """A region comes back as it was when it died: an old primary takes writes again."""
        if not self.regions[region].alive:
            self.settle()
            self.regions[region].alive = True
            for store in self.stores.values():
                store.back(region)
            self.tell(f"{region} is back")
            self.did("region.back", "", region)

    def set_way(self, machine: str, region: str, way: Way) -> None:
        """What goes through from a machine to a region from now on."""
        self.settle()
        self.ways[machine, region] = way
        self.tell(f"from {machine} to {region}: {way}")

    def set_link(self, one: str, other: str, *, open_: bool) -> None:
        """Whether changes of one region get to another one from now on."""
        self.settle()
        (self.cut_links.discard if open_ else self.cut_links.add)((one, other))
        self.tell(f"from {one} to {other}: replication {'goes through' if open_ else 'is cut'}")


def names(regions: Sequence[str]) -> dict[str, SimRegion]:
    """Regions that all live."""
    return {name: SimRegion(name) for name in regions}
