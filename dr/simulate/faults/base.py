"""What faults are made of: when one strikes, whom, and how it is over.

A fault is data in a story (``Struck``) and a ``Fault`` of the catalogue that knows what to do with it. What a fault changes in a world is
told to everybody who watches (``changed``); what it plans for later does not happen any more once everything has healed (``later``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

from dr.model.runbook import Runbook
from dr.model.words import Intent
from dr.providers.sim.process import Chance, Process
from dr.providers.sim.world import Effect, Way
from dr.simulate.stage import Command, Stage
from dr.simulate.story import Group, Story, Struck, Value

S = TypeVar("S")
V = TypeVar("V")
Values = Mapping[str, Value]
Strike = Callable[[Stage, Struck], None]


def before(chance: Chance, story: Story) -> float:
    """A moment before the disaster: what lasts is there when it comes."""
    return chance.uniform(2.0, story.disaster)


def around(chance: Chance, story: Story) -> float:
    """A moment from a little before the disaster to a while after the first command."""
    return chance.uniform(max(1.0, story.disaster - 10.0), asked(story) + 20.0)


def during(chance: Chance, story: Story) -> float:
    """Mostly soon after the first command, sometimes much later."""
    far = 15.0 if chance.random() < 0.7 else 200.0
    return asked(story) + chance.uniform(0.0, far)


def asked(story: Story) -> float:
    """When the first command is typed."""
    return story.disaster + (story.person.decides if story.intent is Intent.FAILOVER else 0.0)


def nothing(_stage: Stage, _struck: Struck) -> None:
    """Nothing lasts."""


def no_values(_chance: Chance, _runbook: Runbook) -> Values:
    """There is nothing to draw."""
    return {}


def always(_runbook: Runbook) -> bool:
    """It can happen to every platform."""
    return True


@dataclass
class Fault:
    """``dr.simulate.play.FaultSort``: one sort of fault.

    name: its group, and what it is. what: one line for people. begin: it strikes. over: what of it lasts ends; harmless where it never
    struck. values: draws how it is this time. when: draws the moment. fits: whether it can happen to what a runbook describes.
    """

    name: str
    group: Group
    what: str
    begin: Strike
    over: Strike = nothing
    values: Callable[[Chance, Runbook], Values] = no_values
    when: Callable[[Chance, Story], float] = during
    fits: Callable[[Runbook], bool] = always

    def strike(self, stage: Stage, struck: Struck) -> None:
        """It happens now."""
        self.begin(stage, struck)

    def heal(self, stage: Stage, struck: Struck) -> None:
        """What of it lasts is over now."""
        self.over(stage, struck)

    def draw(self, chance: Chance, story: Story, runbook: Runbook) -> Struck:
        """One fault of this sort for a story."""
        return Struck(self.name, round(self.when(chance, story), 3), self.values(chance, runbook))


# --- reading what was drawn ---------------------------------------------------------------------------------------------


def number(struck: Struck, key: str) -> float:
    """A number that was drawn."""
    return float(struck.values[key])


def text(struck: Struck, key: str) -> str:
    """A word that was drawn."""
    return str(struck.values[key])


def seconds(least: float, most: float) -> Callable[[Chance, Runbook], Values]:
    """Draws how long."""
    return lambda chance, _runbook: {"seconds": round(chance.uniform(least, most), 3)}


def region_for(least: float, most: float, *, home: float = 0.5) -> Callable[[Chance, Runbook], Values]:
    """Draws a region and how long. ``home``: how likely the home region is."""

    def values(chance: Chance, runbook: Runbook) -> Values:
        return {"region": region(chance, runbook, home), "seconds": round(chance.uniform(least, most), 3)}

    return values


def region(chance: Chance, runbook: Runbook, home: float = 0.5) -> str:
    """Draws a region. ``home``: how likely it is the home region."""
    away = [name for name in runbook.regions if name != runbook.home]
    return runbook.home if chance.random() < home else chance.choice(away)


def has(*kinds: str) -> Callable[[Runbook], bool]:
    """It can happen to platforms with a component of one of these kinds."""
    return lambda runbook: any(component.kind in kinds for component in runbook.components.values())


def away(stage: Stage) -> str:
    """Where everything is moved to."""
    return next(name for name in stage.runbook.regions if name != stage.runbook.home)


# --- doing it -----------------------------------------------------------------------------------------------------------


def stores(stage: Stage, sort: type[S]) -> Iterator[S]:
    """The components of one sort."""
    return (store for store in stage.world.stores.values() if isinstance(store, sort))


def changed(stage: Stage, struck: Struck, component: str = "", region: str = "", note: str = "") -> None:
    """Something is another way in the world now. Call ``World.settle`` before the change and this after it."""
    stage.world.did(f"fault {struck.name}", component, region, text=note)


def later(stage: Stage, after: float, call: Callable[[], None]) -> None:
    """In so many seconds, unless everything has healed by then."""
    stage.loop.at(stage.loop.now + after, lambda: None if stage.healed else call())


def for_a_while(stage: Stage, struck: Struck, on: Callable[[], None], off: Callable[[], None]) -> None:
    """Now, and for as long as was drawn; ``off`` is called once, at the healing at the latest, where ``heal`` is ``stop``."""
    on()
    ending: list[Callable[[], None]] = [off]

    def end() -> None:
        while ending:
            ending.pop()()

    stage.endings.setdefault(struck.name, []).append(end)
    later(stage, number(struck, "seconds"), end)


def as_usual(stage: Stage, what: str, now: V) -> V:
    """How something is where no fault has changed it: the same fault may strike twice, and must not take its own doing for that."""
    return cast(V, stage.usual.setdefault(what, now))


def stop(stage: Stage, struck: Struck) -> None:
    """Ends what ``for_a_while`` began, where it still lasts."""
    for end in stage.endings.pop(struck.name, []):
        end()


def live(stage: Stage) -> Command | None:
    """The newest command that runs."""
    return next((command for command in reversed(stage.commands) if command.running), None)


def holder(stage: Stage) -> tuple[Process, str] | None:
    """The process that holds a run now, and the run."""
    lease = stage.disk.leases.get(stage.runbook.name)
    if lease is None or lease.released or not lease.process.alive or lease.run_id not in stage.disk.runs:
        return None
    return lease.process, lease.run_id


def at_point(stage: Stage, nth: int, meant: Callable[[str], bool], strike: Callable[[Command, str], None]) -> None:
    """The n-th place of a sort at which a process may die, counted over all commands from now on. ``strike`` is called in its job."""
    left = nth

    def listen(command: Command) -> None:
        earlier = command.process.at_point

        def reached(point: str) -> None:
            nonlocal left
            earlier(point)
            if meant(point) and not stage.healed:
                left -= 1
                if left == 0:
                    strike(command, point)

        command.process.at_point = reached

    for command in stage.commands:
        if command.running:
            listen(command)
    stage.arrivals.append(listen)


def after_effects(stage: Stage, count: int, call: Callable[[Effect], None], meant: Callable[[Effect], bool] = lambda _effect: True) -> None:
    """Right after the n-th effect of a sort that somebody's command has from now on."""
    left = count

    def watch(effect: Effect) -> None:
        nonlocal left
        if effect.process and meant(effect):
            left -= 1
            if left == 0:
                later(stage, 0.0, lambda: call(effect))

    stage.world.watchers.append(watch)


def barred(stage: Stage, machine: str, region: str, way: Way) -> Callable[[], None]:
    """Makes a way another one; what is returned makes it what it was, unless something else has changed it since."""
    world = stage.world
    earlier = world.ways.get((machine, region), Way.OPEN)
    world.set_way(machine, region, way)

    def open_again() -> None:
        if world.ways.get((machine, region), Way.OPEN) is way:
            world.set_way(machine, region, earlier)

    return open_again
