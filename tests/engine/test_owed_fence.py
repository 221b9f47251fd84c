"""A fence that nobody acknowledged is tried again for as long as the run lasts that promoted without it; nothing of the run waits for that.

db/fence → db/promote → gate (a person) → db/end.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from dr.engine import machine
from dr.engine.state import RunState
from dr.errors import IllegalTransition, Transient
from dr.model.events import (
    Approved,
    CancelRequested,
    Event,
    PauseRequested,
    Resumed,
    RetryScheduled,
    StepEnded,
    StepStarted,
    TimedOut,
)
from dr.model.evidence import Fenced
from dr.model.plan import Acceptance
from dr.model.words import FenceState, Guard, Outcome, RunOutcome, RunStatus, StepState, Verb
from dr.ports import AttemptContext, Operation
from tests.engine.build import RUN, START, ended, plan, spec, started
from tests.engine.conformance import ACCEPTED
from tests.engine.doubles import FakeOperation, World, operations
from tests.engine.driver import Driver, dump
from tests.engine.test_runner import EmbeddedHost

SILENT = Fenced(component="db", region="east", state=FenceState.UNACKNOWLEDGED, proof="no route to host")
GONE = Fenced(component="db", region="east", state=FenceState.FENCED, proof="its process is gone")
PLAN = plan(
    spec("db/fence", verb=Verb.FENCE, optional=True), spec("db/promote", "db/fence", verb=Verb.PROMOTE, irreversible=True),
    spec("gate", "db/promote", approval=True), spec("db/end", "gate"),
)  # fmt: skip


def split(fence: Fenced = SILENT) -> Driver:
    """Promoted on that fence; the gate waits for a person."""
    run = Driver.of(PLAN)
    run.do("db/fence", evidence=(fence,))
    assert not scheduled(run), "before the promotion it is no debt: the guard of the promotion asks a person"
    run.do("db/promote")
    return run


def scheduled(run: Driver) -> list[timedelta]:
    return [event.delay for _, event in run.log if isinstance(event, RetryScheduled)]


def end_try(run: Driver, *found: Fenced, outcome: Outcome = Outcome.DONE) -> None:
    """The try under way ends."""
    run.deliver(ended("db/fence", outcome, evidence=found).model_copy(update={"owed": True}))


def test_it_is_tried_until_it_is_acknowledged() -> None:
    """Beside the gate that waits: two tries that nobody hears, a third that is acknowledged; then never again, and the gate still waits."""
    run = split()
    before = run.state.steps["db/fence"]
    was = before.started_at, before.ended_at, before.duration
    for _ in range(2):
        run.due("db/fence")
        assert run.look_first() == {"db/fence": True}
        assert run.start() == ["db/fence"]
        assert (run.state.unsatisfied, run.state.steps["db/fence"].state) == (2, StepState.RUNNING), "nothing waits for it again"
        end_try(run, SILENT)
    run.due("db/fence")
    run.start()
    end_try(run, GONE)
    fence = run.state.steps["db/fence"]
    assert (fence.state, fence.attempts, run.state.active) == (StepState.DONE, 4, 0)
    assert (fence.started_at, fence.ended_at, fence.duration) == was, "what the run waited for stays what it was"
    assert len(scheduled(run)) == 3
    assert [item for item in run.state.evidence if isinstance(item, Fenced)][-1] == GONE
    with pytest.raises(IllegalTransition):
        run.due("db/fence")
    run.deliver(Approved(step="gate", actor="lead"))
    run.do("gate")
    run.do("db/end")
    assert run.state.outcome is RunOutcome.COMPLETED
    assert dump(run.folded()) == dump(run.state)


@pytest.mark.parametrize("fence", [GONE, GONE.model_copy(update={"state": FenceState.NOT_NEEDED})])
def test_one_that_is_not_owed_is_left_alone(fence: Fenced) -> None:
    """Acknowledged at once, or not needed: nothing is scheduled, and another attempt is refused."""
    run = split(fence)
    assert not scheduled(run)
    for event in (RetryScheduled(step="db/fence", delay=timedelta(0)), StepStarted(step="db/fence", attempt=2, owed=True)):
        before = dump(run.state)
        with pytest.raises(IllegalTransition):
            run.deliver(event)
        assert dump(run.state) == before


@pytest.mark.parametrize("outcome", Outcome)
def test_however_a_try_ends_the_run_goes_on(outcome: Outcome) -> None:
    """A try that fails, or of which nobody knows, does not fail the run: it is done again after a while."""
    run = split()
    run.due("db/fence")
    run.start()
    end_try(run, outcome=outcome)
    assert (run.state.steps["db/fence"].state, run.status(), len(scheduled(run))) == (StepState.DONE, RunStatus.RUNNING, 2)


def test_a_pause_waits_for_the_try_and_resume_tries_again() -> None:
    """Paused while a try is under way; who goes on tries again. So does who takes over from a process that died in a try."""
    run = split()
    run.due("db/fence")
    run.start()
    run.deliver(PauseRequested(actor="lead"))
    assert run.status() is RunStatus.PAUSING
    end_try(run, SILENT)
    assert run.status() is RunStatus.PAUSED
    run.deliver(Resumed(actor="x", holder="y", epoch=2))
    run.due("db/fence")
    run.start()
    run.deliver(Resumed(actor="x", holder="z", epoch=3, crashed=True))
    fence = run.state.steps["db/fence"]
    assert (fence.state, fence.owed, run.state.active) == (StepState.DONE, False, 0)
    run.due("db/fence")
    assert run.start() == ["db/fence"]
    assert dump(run.folded()) == dump(run.state)


@pytest.mark.parametrize("last", [CancelRequested(actor="lead"), TimedOut()])
def test_nothing_is_tried_in_a_run_that_ends_or_pauses(last: Event) -> None:
    """The delay that is over then starts nothing."""
    run = split()
    run.deliver(last)
    if run.status() is not RunStatus.ENDED:
        run.due("db/fence")
    assert run.start() == []


def test_the_end_waits_for_a_try_under_way_once() -> None:
    """All else is done: the run ends with the try, and schedules no other."""
    run = split()
    run.due("db/fence")
    run.start("db/fence")
    run.deliver(Approved(step="gate", actor="lead"))
    run.do("gate")
    run.do("db/end")
    assert run.status() is RunStatus.RUNNING
    end_try(run, SILENT)
    assert (run.state.outcome, len(scheduled(run))) == (RunOutcome.COMPLETED, 1)


class Back(FakeOperation):
    """The fence of a region that answers from its second try on; then somebody approves what the run waits for."""

    def __init__(self, world: World, host: EmbeddedHost) -> None:
        super().__init__(world, "db/fence")
        self.host = host

    def act(self, context: AttemptContext) -> tuple[Fenced, ...]:
        super().act(context)
        if context.number < 3:
            return (SILENT,)
        self.host.inbox.put(RUN, Approved(step="gate", actor="lead"))
        return (GONE,)

    def observe(self, context: AttemptContext):  # type: ignore[no-untyped-def]  # as the one it extends
        self.world.done.discard("db/fence")
        if context.number == 2:
            raise Transient("no answer")
        return super().observe(context)


def test_the_runner_tries_it_while_a_gate_waits() -> None:
    """Hours in a gate: the region comes back, the run itself fences it and journals that; each try's intent is durable before it."""
    host, world = EmbeddedHost(), World()
    ops: dict[str, Operation] = dict(operations(world, PLAN, Back(world, host)))
    loss = Acceptance(guard=Guard.EXPOSURE, actor="lead", reason="dark", at=START, unbounded=True)
    state = host.run([started(PLAN, acceptances=[ACCEPTED.acceptance, loss])], ops)
    assert state.outcome is RunOutcome.COMPLETED
    assert [item for item in state.evidence if isinstance(item, Fenced)] == [SILENT, GONE]
    delays = [event.delay for _, event in host.journal.events() if isinstance(event, RetryScheduled)]
    assert delays == [timedelta(seconds=5), timedelta(seconds=10)]
    tries = [event for _, event in host.journal.events() if isinstance(event, (StepStarted, StepEnded)) and event.step == "db/fence"]
    assert [event.owed for event in tries] == [False, False, True, True, True, True]
    again = machine.fold(host.journal.events(), RUN)
    assert again.evidence == state.evidence and isinstance(again, RunState)
