"""Every pair of state and trigger is in the table or refused, and what is refused changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import product

import pytest

from dr.engine import machine
from dr.engine.state import RunState
from dr.engine.table import RUN_TABLE, STEP_TABLE, RunTrigger, Trigger
from dr.errors import IllegalTransition, NotThere
from dr.model.events import (
    Accepted,
    Approved,
    CancelRequested,
    Event,
    Observed,
    PauseRequested,
    Resumed,
    RetryDue,
    RetryScheduled,
    RunEnded,
    SkipRequested,
    StepStarted,
    TimedOut,
    Turned,
    UndoEnded,
    UndoStarted,
)
from dr.model.evidence import Note
from dr.model.plan import Acceptance
from dr.model.words import Guard, Intent, Outcome, RunOutcome, RunStatus, StepState
from tests.engine.build import RUN, START, ended, plan, spec, started
from tests.engine.driver import dump


@pytest.mark.parametrize(("before", "trigger"), list(product(StepState, Trigger)))
def test_a_step_moves_by_the_table_or_not_at_all(before: StepState, trigger: Trigger) -> None:
    """Each (state, trigger) leads where the table says, or raises and leaves state and counters alone."""
    state, _ = machine.apply(RunState(RUN), started(plan(spec("a"))), START)
    step = state.steps["a"]
    step.state = before
    state.recount()
    active = state.active
    after = STEP_TABLE.get((before, trigger))
    if after is None:
        with pytest.raises(IllegalTransition):
            machine._step_to(state, step, trigger)
        assert (step.state, state.active) == (before, active)
    else:
        machine._step_to(state, step, trigger)
        assert (step.state, state.active) == (after, int(after.active))


@pytest.mark.parametrize(("before", "trigger"), list(product(RunStatus, RunTrigger)))
def test_a_run_moves_by_the_table_or_not_at_all(before: RunStatus, trigger: RunTrigger) -> None:
    """Each (status, trigger) leads where the table says, or raises and leaves the status alone."""
    state = RunState(RUN, status=before)
    after = RUN_TABLE.get((before, trigger))
    if after is None:
        with pytest.raises(IllegalTransition):
            machine._run_to(state, trigger)
        assert state.status is before
    else:
        machine._run_to(state, trigger)
        assert state.status is after


def test_final_states_are_final() -> None:
    """Nothing leads out of ended, satisfied or undone, but the undo of what was done, the second look at a fence, and another try of one
    that is owed."""
    assert not [pair for pair in RUN_TABLE if pair[0] is RunStatus.ENDED]
    out = {pair for pair in STEP_TABLE if pair[0].satisfied or pair[0] is StepState.UNDONE}
    again = {(StepState.DONE, Trigger.LOOK_AGAIN), (StepState.ALREADY, Trigger.LOOK_AGAIN), (StepState.DONE, Trigger.OWED)}
    assert out == {(StepState.DONE, Trigger.UNDO), *again}


def _events() -> Iterator[Event]:
    """One of each kind, for step ``a`` where it is about a step, and one about a step that is not there."""
    yield started(plan(spec("a")))
    yield StepStarted(step="a", attempt=1)
    yield from (ended("a", outcome) for outcome in Outcome)
    yield RetryScheduled(step="a", delay=timedelta(0))
    yield RetryDue(step="a")
    yield PauseRequested(actor="x")
    yield Resumed(actor="x", holder="y", epoch=2)
    yield CancelRequested(actor="x")
    yield Approved(step="a", actor="x")
    yield SkipRequested(step="a", actor="x", reason="z")
    yield Accepted(acceptance=Acceptance(guard=Guard.FENCE, actor="x", reason="y", at=START))
    yield Turned(plan=plan(spec("a"), spec("c", "a"), intent=Intent.FAILOVER), actor="x")
    yield TimedOut()
    yield UndoStarted(step="a")
    yield from (UndoEnded(step="a", ok=ok) for ok in (True, False))
    yield Observed(evidence=Note(text="x"))
    yield from (RunEnded(outcome=outcome) for outcome in RunOutcome)
    yield RetryDue(step="nowhere")
    yield SkipRequested(step="nowhere", actor="x", reason="z")


def _forged(status: RunStatus, step_state: StepState, *, approval: bool) -> RunState:
    """A run of two steps in any state, also in ones that no history leads to."""
    first = plan(spec("a", undoable=True, approval=approval), spec("b", "a"), intent=Intent.SWITCHOVER)
    state, _ = machine.apply(RunState(RUN), started(first), START)
    state.status = status
    state.rolling_back = status is RunStatus.ROLLING_BACK
    step = state.steps["a"]
    step.state, step.acted, step.look_first, step.started_at = step_state, True, True, START
    if approval and step_state is not StepState.WAITING_APPROVAL:
        step.approved_by = ("lead",)
    state.recount()
    return state


_TWO = {(a, c) for (a, _), b in STEP_TABLE.items() for (b2, _), c in STEP_TABLE.items() if b is b2}
_STEPS = {(a, b) for (a, _), b in STEP_TABLE.items()} | {(a, a) for a in StepState} | _TWO
_RUNS = {(a, b) for (a, _), b in RUN_TABLE.items()} | {(a, a) for a in RunStatus}
_RUNS |= {(a, c) for (a, b) in _RUNS for (b2, c) in _RUNS if b is b2}  # a pause that is quiet, a failure that is stuck


@pytest.mark.parametrize("approval", [False, True])
@pytest.mark.parametrize("status", RunStatus)
def test_whatever_happens_in_whatever_state(status: RunStatus, approval: bool) -> None:
    """Every event in every combination of states: legal moves only, or refused with nothing changed."""
    refused = accepted = 0
    for step_state, event in product(StepState, _events()):
        state = _forged(status, step_state, approval=approval)
        before = dump(state)
        try:
            machine.apply(state, event, START + timedelta(seconds=1))
        except (IllegalTransition, NotThere):
            refused += 1
            assert dump(state) == before, f"{event} was refused in {status}/{step_state} and changed the state"
            continue
        accepted += 1
        if isinstance(event, Turned):
            continue  # another plan: its steps are laid out anew
        assert (step_state, state.steps["a"].state) in _STEPS, f"{event} in {status}"
        assert (status, state.status) in _RUNS, f"{event} in {step_state}"
    assert refused
    assert bool(accepted) is (status is not RunStatus.ENDED)


def test_events_before_the_first_are_refused() -> None:
    """A run begins with RunStarted, once."""
    for event in list(_events())[1:]:
        state = RunState(RUN)
        with pytest.raises(IllegalTransition):
            machine.apply(state, event, START)
        assert dump(state) == dump(RunState(RUN))
