"""What a seed tells: who is hit by what, when, who types what, and when everything heals. Drawn once, as data, so that it can be shrunk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from dr.model.plan import Plan
from dr.model.words import Intent
from dr.providers.sim.process import chance

Value = float | str


class Group(StrEnum):
    """What a fault belongs to; results are shown by it."""

    PROCESS = "process"
    CALLS = "calls"
    NETWORK = "network"
    DATA = "data"
    DATABASE = "database"
    CLOCK = "clock"
    PEOPLE = "people"
    LOCAL = "local"
    CAPACITY = "capacity"


@dataclass(frozen=True)
class Struck:
    """One fault of a story: which, when (seconds of the world) and how. ``values``: what was drawn for it."""

    name: str
    at: float
    values: Mapping[str, Value]


@dataclass(frozen=True)
class Person:
    """How the on-call engineer is. ``decides``: seconds from the disaster to the first command. ``bold``: accepts what can be accepted when
    it is refused. ``elsewhere``: goes on from another machine after a crash. ``patience``: seconds between two tries."""

    decides: float
    bold: bool
    elsewhere: bool
    patience: float


@dataclass(frozen=True)
class Story:
    """One simulated history.

    plot: what it is about: ``lost`` (the region dies), ``partition`` (nobody reaches it, it lives), ``planned`` (a switchover),
        ``round-trip`` (lost, back, re-protected, failed back). disaster: when, in seconds of the world; a planned move is asked for then.
    heals: when all faults are over. ends: by then every run must have ended (L1). alone: nobody beside who is on call answers before
        the morning; what waits for a second person's word then waits for as long as the story lasts.
    """

    seed: str
    plot: str
    deployments: int
    tasks: int
    lag: float
    disaster: float
    person: Person
    faults: tuple[Struck, ...]
    heals: float
    ends: float
    alone: bool = False

    @property
    def intent(self) -> Intent:
        """What is asked for first."""
        return Intent.SWITCHOVER if self.plot == "planned" else Intent.FAILOVER

    def without(self, *faults: Struck) -> Story:
        """The same story, less some of its faults; nothing else is drawn anew."""
        return replace(self, faults=tuple(item for item in self.faults if item not in faults))


PLOTS = ("lost", "lost", "partition", "planned", "round-trip")
DISASTER, HEAL_AFTER, END_AFTER = 30.0, (180.0, 600.0), 7200.0
"""Seconds: until the disaster; from it until all heals, least and most; from then until every run must have ended, where none of its steps
takes long by what the runbook says (see ``end_after``)."""
_LONG = 60.0
"""Seconds: what is expected to take longer than that takes long."""
_ALONE = 0.15
"""So many disasters come in a night in which nobody else wakes up."""


def end_after(plans: Iterable[Plan], measured: Mapping[str, Sequence[float]]) -> float:
    """Seconds from the healing until every run of a runbook must have ended.

    What is expected to take long (waits, soaks) has all of its time on top: once up to its budget, where it began before the healing and
    fails at last, and once more as it should be; in each of the plans, and twice, because a move may be taken back and asked for again.

    Args:
        plans: of every intent, as they follow from the runbook.
        measured: what steps took in real runs, by step, in seconds.
    """
    steps = [step for plan in plans for step in plan.steps if not step.approval]
    took = [(max(step.estimate.total_seconds(), *measured.get(step.id, ()), 0.0), step.budget.total_seconds()) for step in steps]
    return END_AFTER + 2 * sum(expected + max(expected, budget) for expected, budget in took if expected > _LONG)


def frame(seed: str, deployments: int, *, plot: str | None = None, ends_after: float = END_AFTER) -> Story:
    """A story without faults. ``ends_after``: see ``end_after``."""
    draw = chance(seed, "story")
    person = Person(
        decides=draw.uniform(2.0, 120.0), bold=draw.random() < 0.8, elsewhere=draw.random() < 0.3, patience=draw.uniform(20.0, 120.0)
    )
    drawn = draw.choice(PLOTS)
    heals = DISASTER + draw.uniform(*HEAL_AFTER)
    return Story(
        seed=seed, plot=plot or drawn, deployments=deployments, tasks=draw.randrange(0, 10 * deployments), lag=draw.uniform(0.1, 5.0),
        disaster=DISASTER, person=person, faults=(), heals=heals, ends=heals + ends_after,
        alone=draw.random() < _ALONE and (plot or drawn) != "planned",  # whoever plans a move sees to it that the others are there
    )  # fmt: skip
