"""A process that is killed while it waits journals nothing of that attempt: what was there before is known to who goes on all the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from dr.engine.attempt import attempt, take_back
from dr.model.evidence import Evidence
from dr.model.words import Intent, Outcome, Verb
from dr.ports import Kind
from dr.providers.aws.capacity.lambda_event_source import LambdaEventSource
from tests.aws.emulator import Emulator
from tests.aws.rig import Rig
from tests.aws.test_capacity import EAST, WEST, Groups
from tests.aws.test_lambda import Functions, events, functions

__all__ = ["events", "functions"]


@pytest.fixture
def groups(rig: Rig, emulator: Emulator) -> Iterator[Groups]:
    """East runs 6 and 3, west one of each."""
    world = Groups(emulator)
    world.make(EAST, 6, 3)
    world.make(WEST, 1, 1)
    yield world
    slow(emulator, held=False)


def slow(emulator: Emulator, *, held: bool) -> None:
    """What is taken down goes on, and nothing new starts."""
    emulator.control("hold_stopping", region=EAST, held=held)
    emulator.control("hold_capacity", region=WEST, held=held)


def sizes(groups: Groups, region: str) -> tuple[int, int]:
    """How many there are to be."""
    return groups.size(region), groups.size(region, "web")


def killed(rig: Rig, kind: Kind, verb: Verb) -> list[Evidence]:
    """Attempts as the engine makes them, until one has acted and is killed while it waits: what is journaled by then."""
    journal: list[Evidence] = []
    while True:
        step = rig.step(kind, Intent.SWITCHOVER, verb)
        context = replace(rig.context(step, Intent.SWITCHOVER, seconds=0.3), evidence=tuple(journal))
        result = attempt(step.operation, context)
        if result.acted:
            return journal
        assert result.outcome is Outcome.RETRY, result
        journal += result.evidence


def taken_back(rig: Rig, kind: Kind, verb: Verb, journal: list[Evidence]) -> None:
    """A new process looks first, and sees it done; then the move goes back."""
    step = rig.step(kind, Intent.SWITCHOVER, verb)
    context = replace(rig.context(step, Intent.SWITCHOVER), evidence=tuple(journal))
    result = attempt(step.operation, context, look_first=True)
    assert result.outcome is Outcome.DONE, result
    assert take_back(step.operation, replace(context, evidence=(*journal, *result.evidence))) is None


@pytest.mark.parametrize(("verb", "region", "first", "then"), [(Verb.FREEZE, EAST, (6, 3), (0, 0)), (Verb.SCALE, WEST, (1, 1), (6, 3))])
@pytest.mark.parametrize("settled", [True, False], ids=["seen-done", "under-way"])
def test_groups_get_back_what_they_had(
    rig: Rig, groups: Groups, emulator: Emulator, verb: Verb, region: str, first: tuple[int, int], then: tuple[int, int], settled: bool
) -> None:
    """Taken down, or given more: whether it is so already when somebody goes on, or still to come."""
    slow(emulator, held=True)
    journal = killed(rig, rig.make(groups.kind, "workers", groups.settings(writers=True)), verb)
    assert sizes(groups, region) == then
    again = rig.make(groups.kind, "workers", groups.settings(writers=True))
    if not settled:
        step = rig.step(again, Intent.SWITCHOVER, verb)
        context = replace(rig.context(step, Intent.SWITCHOVER, seconds=0.3), evidence=tuple(journal))
        journal += attempt(step.operation, context, look_first=True).evidence
    slow(emulator, held=False)
    taken_back(rig, again, verb, journal)
    assert sizes(groups, region) == first


def test_a_group_that_had_none_before_gets_none(rig: Rig, groups: Groups) -> None:
    """It was taken down by somebody else while nobody was moving: that is no act of this run, however lately it was seen with six."""
    kind = rig.make(groups.kind, "workers", groups.settings(writers=True))
    kind.view()
    kind.scale(None, "east", {groups.names["workers"]: 0})
    taken_back(rig, kind, Verb.FREEZE, killed(rig, kind, Verb.FREEZE))
    assert sizes(groups, EAST) == (0, 3)


@pytest.mark.parametrize(("verb", "region", "first", "then"), [(Verb.FREEZE, EAST, "Enabled", "Dis"), (Verb.START, WEST, "Disabled", "En")])
def test_event_sources_are_put_back(
    rig: Rig, functions: Functions, events: LambdaEventSource, emulator: Emulator, verb: Verb, region: str, first: str, then: str
) -> None:
    """Off in the source, on in the target."""
    journal = killed(rig, events, verb)
    assert functions.state(region).startswith(then)
    rig.clock.sleep(0.2)
    taken_back(rig, events, verb, journal)
    rig.clock.sleep(0.2)
    assert functions.state(region) == first
