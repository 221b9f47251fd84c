"""A run that was cancelled and is asked for once more goes forward; what it found before it turned back is not relied on."""

from __future__ import annotations

from dr.engine import machine
from dr.engine.state import RunState
from dr.model.events import CancelRequested, Event, Resumed, StepStarted, Turned, UndoEnded, UndoStarted
from dr.model.evidence import Fenced
from dr.model.words import FenceState, Outcome, RunStatus, StepState, Verb
from tests.engine.build import RUN, START, ended, plan, spec, started

FENCE = Fenced(component="db", region="east", state=FenceState.FENCED, proof="gone")
PLAN = plan(
    spec("db/fence", component="db", verb=Verb.FENCE), spec("warm", undoable=True),
    spec("db/promote", "db/fence warm", component="db", verb=Verb.PROMOTE),
)  # fmt: skip


def told(*events: Event) -> RunState:
    state = RunState(RUN)
    for event in events:
        machine.apply(state, event, START)
    return state


def cancelled() -> list[Event]:
    """Fenced and warm, then cancelled; the undo of ``warm`` fails."""
    fenced = ended("db/fence").model_copy(update={"evidence": (FENCE,)})
    return [
        started(PLAN), StepStarted(step="db/fence", attempt=1), StepStarted(step="warm", attempt=1), fenced, CancelRequested(actor="x"),
        ended("warm"), UndoStarted(step="warm"), UndoEnded(step="warm", ok=False, reason="x"),
    ]  # fmt: skip


def test_a_fence_is_looked_at_again_when_a_run_that_went_back_goes_forward() -> None:
    """Somebody may have started the old primary meanwhile: the fence is due again before anything is promoted on it (I4)."""
    again: list[Event] = [Resumed(actor="y", holder="there", epoch=2), Turned(plan=PLAN, actor="y", look_again=True)]
    state = told(*cancelled(), *again)
    assert state.status is RunStatus.RUNNING
    fence = state.steps["db/fence"]
    assert (fence.state, fence.look_first) == (StepState.PENDING, True)
    assert state.steps["db/promote"].waiting_for == 2
    machine.apply(state, StepStarted(step="db/fence", attempt=2, look_first=True), START)
    assert fence.state is StepState.RUNNING


def test_a_turn_of_a_run_that_goes_on_keeps_its_fence() -> None:
    """A switchover whose source is lost half-way has its proof already; asked again, nobody would answer."""
    fenced = ended("db/fence").model_copy(update={"evidence": (FENCE,), "outcome": Outcome.DONE})
    state = told(started(PLAN), StepStarted(step="db/fence", attempt=1), fenced, Turned(plan=PLAN, actor="y"))
    assert state.steps["db/fence"].state is StepState.DONE
