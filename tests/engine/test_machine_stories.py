"""Stories of runs, event by event. Arrows in the docstrings lead from a step to what waits for it; ``!`` is irreversible."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dr.errors import IllegalTransition
from dr.model.events import (
    Accepted,
    Approved,
    CancelRequested,
    PauseRequested,
    Resumed,
    RunEnded,
    SkipRequested,
    StepStarted,
    TimedOut,
    Turned,
    UndoEnded,
)
from dr.model.evidence import Attested, Fenced, Note
from dr.model.plan import Acceptance, Plan, StepSpec
from dr.model.words import ClockKind, FenceState, Guard, Intent, Outcome, RunOutcome, RunStatus, StepState, Verb
from tests.engine.build import START, ended, plan, spec
from tests.engine.driver import Driver, dump

SWITCHOVER, FAILOVER = Intent.SWITCHOVER, Intent.FAILOVER
AGAIN = Resumed(actor="second", holder="there", epoch=2)


def move(intent: Intent = SWITCHOVER) -> Plan:
    """freeze → fence → promote! → redirect"""
    return plan(
        spec("freeze", undoable=True, verb=Verb.FREEZE), spec("fence", "freeze", undoable=True, verb=Verb.FENCE),
        spec("promote", "fence", irreversible=True, verb=Verb.PROMOTE, max_attempts=2),
        spec("redirect", "promote", undoable=True, verb=Verb.REDIRECT), intent=intent,
    )  # fmt: skip


def fenced() -> Fenced:
    return Fenced(component="db", region="east", state=FenceState.FENCED, proof="postmaster gone", writes_ended_at=START)


def fold_is_live(run: Driver) -> None:
    assert dump(run.folded()) == dump(run.state)


def test_steps_start_as_soon_as_what_they_need_is_there() -> None:
    """a → c ← b, d: a, b and d start at once, c when the last of a and b is done; nothing waits for a wave."""
    run = Driver.of(plan(spec("a"), spec("b"), spec("c", "a b"), spec("d")))
    assert run.start() == ["a", "b", "d"]
    run.deliver(ended("b"))
    assert not run.wanted()
    run.deliver(ended("a", Outcome.ALREADY))
    assert run.start() == ["c"]
    run.deliver(ended("c"))
    assert run.status() is RunStatus.RUNNING
    run.deliver(ended("d"))
    assert (run.state.status, run.state.outcome) == (RunStatus.ENDED, RunOutcome.COMPLETED)
    fold_is_live(run)


def test_a_planned_move_rolls_back_in_reverse() -> None:
    """freeze → fence → x, y: x fails. When y has come to its end: y, fence, freeze are taken back, one by one, last done first."""
    steps = [spec("freeze", undoable=True), spec("fence", "freeze", undoable=True), spec("x", "fence"), spec("y", "fence", undoable=True)]
    run = Driver.of(plan(*steps, intent=SWITCHOVER))
    run.do("freeze")
    run.do("fence")
    run.start("x", "y")
    run.deliver(ended("x", Outcome.FAILED, reason="disk full"))
    assert run.status() is RunStatus.ROLLING_BACK
    assert not run.wanted(), "y is still under way"
    run.deliver(ended("y"))
    for step in ("y", "fence", "freeze"):
        run.undo(step)
    assert (run.state.outcome, run.state.reason) == (RunOutcome.ROLLED_BACK, "x failed: disk full")
    assert run.states() == {"freeze": "undone", "fence": "undone", "x": "failed", "y": "undone"}
    fold_is_live(run)


def test_undo_goes_by_the_order_of_events_not_of_clocks() -> None:
    """a → b → c: b was done on a machine whose clock is behind; it is still taken back before a."""
    run = Driver.of(plan(spec("a", undoable=True), spec("b", "a", undoable=True), spec("c", "b"), intent=SWITCHOVER))
    for step in ("a", "b"):
        run.do(step)
    run.state.steps["b"].ended_at = START - timedelta(hours=1)
    run.do("c", Outcome.FAILED)
    run.undo("b")
    run.undo("a")
    assert run.state.outcome is RunOutcome.ROLLED_BACK


def test_an_undo_that_fails_pauses_and_is_tried_again_on_resume() -> None:
    """freeze → x: x fails, the undo of freeze fails: a person is asked; on resume it is undone, with the first reason kept."""
    run = Driver.of(plan(spec("freeze", undoable=True), spec("x", "freeze"), intent=SWITCHOVER))
    run.do("freeze")
    run.do("x", Outcome.FAILED, reason="refused")
    run.undo("freeze", ok=False, reason="unreachable")
    assert run.status() is RunStatus.PAUSED
    assert run.stops == ["freeze: undo failed: unreachable"]
    assert run.state.steps["freeze"].state is StepState.FAILED, "how far the undo came is not known"
    run.deliver(AGAIN)
    run.undo("freeze")
    assert (run.state.outcome, run.state.reason) == (RunOutcome.ROLLED_BACK, "x failed: refused")
    fold_is_live(run)


def test_a_person_can_take_the_place_of_an_undo_that_never_works() -> None:
    """freeze → x: the undo of freeze cannot work; skipped by a person, the run still ends as rolled back, with a deviation."""
    run = Driver.of(plan(spec("freeze", undoable=True), spec("x", "freeze"), intent=SWITCHOVER))
    run.do("freeze")
    run.do("x", Outcome.FAILED)
    run.undo("freeze", ok=False)
    run.deliver(SkipRequested(step="freeze", actor="lead", reason="thawed by hand"))
    run.deliver(AGAIN)
    assert run.state.outcome is RunOutcome.ROLLED_BACK
    assert run.state.deviations == ["freeze skipped by lead: thawed by hand"]


def test_what_a_crash_cut_off_in_a_rollback_is_taken_back_too() -> None:
    """a, b: a fails while b acts, the process dies, b may have had its effect: after the resume b is undone."""
    run = Driver.of(plan(spec("a"), spec("b", undoable=True), intent=SWITCHOVER))
    run.start()
    run.deliver(ended("a", Outcome.FAILED))
    run.deliver(AGAIN)
    run.undo("b")
    assert run.states() == {"a": "failed", "b": "undone"}
    fold_is_live(run)


def test_what_was_done_before_a_crash_and_found_done_after_it_is_taken_back() -> None:
    """a → b: a acts, the process dies; the next one finds a done, so this run did it: when b fails, a is undone."""
    run = Driver.of(plan(spec("a", undoable=True), spec("b", "a"), intent=SWITCHOVER))
    run.start("a")
    run.deliver(AGAIN)
    assert run.look_first() == {"a": True}
    run.do("a", Outcome.DONE, acted=False)
    run.do("b", Outcome.FAILED)
    run.undo("a")
    assert run.state.outcome is RunOutcome.ROLLED_BACK


def test_what_was_there_already_is_not_taken_back() -> None:
    """a → b: a was done by somebody else before; a rollback leaves it alone."""
    run = Driver.of(plan(spec("a", undoable=True), spec("b", "a"), intent=SWITCHOVER))
    run.do("a", Outcome.ALREADY)
    run.do("b", Outcome.FAILED)
    assert run.states() == {"a": "already", "b": "failed"}
    assert run.state.outcome is RunOutcome.ROLLED_BACK


def test_a_failover_does_not_roll_back_by_itself() -> None:
    """fence → promote!: promote fails, the run pauses with the reason; resume looks at the fence and tries it again with a budget of
    its own."""
    run = Driver.of(move(FAILOVER))
    for step in ("freeze", "fence"):
        run.do(step)
    run.do("promote", Outcome.FAILED, reason="exposure above the RPO")
    assert run.status() is RunStatus.PAUSED
    assert run.stops == ["promote failed: exposure above the RPO"]
    run.deliver(Accepted(acceptance=Acceptance(guard=Guard.EXPOSURE, actor="on-call", reason="region lost", at=START)))
    assert run.status() is RunStatus.PAUSED, "an acceptance alone starts nothing"
    run.deliver(AGAIN)
    assert run.state.steps["promote"].first_started_at is None
    run.do("fence")
    run.do("promote")
    run.do("redirect")
    assert run.state.outcome is RunOutcome.COMPLETED
    assert run.state.steps["promote"].attempts == 2
    fold_is_live(run)


def test_other_branches_go_on_before_a_failure_pauses_the_run() -> None:
    """a, b → c: a fails; b and c are still done, then the run stops and names a."""
    run = Driver.of(plan(spec("a"), spec("b"), spec("c", "b")))
    run.do("a", Outcome.FAILED, reason="gone")
    assert run.status() is RunStatus.RUNNING
    run.do("b")
    run.do("c")
    assert run.stops == ["a failed: gone"]


def test_a_retry_is_counted_and_ends_as_failed() -> None:
    """a, three attempts: two delays are journaled, the third attempt fails for good."""
    run = Driver.of(plan(spec("a", max_attempts=3)))
    for _ in range(2):
        run.do("a", Outcome.RETRY)
        assert run.states() == {"a": "backoff"}
        run.due("a")
    run.do("a", Outcome.RETRY, reason="time-out")
    assert run.states() == {"a": "failed"}
    assert [event.event for _, event in run.log].count("retry-scheduled") == 2
    assert run.stops == ["a failed: time-out"]


def test_a_step_that_used_up_its_budget_is_not_tried_again() -> None:
    """a, budget 1 s: an attempt that ends a second later needs no second one to fail."""
    run = Driver.of(plan(spec("a", budget=timedelta(seconds=1), max_attempts=99)))
    run.start("a")
    run.deliver(Accepted(acceptance=Acceptance(guard=Guard.FENCE, actor="x", reason="time passes", at=START)))
    run.deliver(ended("a", Outcome.RETRY))
    assert run.states() == {"a": "failed"}


def test_unknown_is_looked_at_first() -> None:
    """a: a call without answer; the next attempt looks first, and what it finds done counts as done by this run."""
    run = Driver.of(plan(spec("a", irreversible=True)))
    run.do("a", Outcome.UNKNOWN)
    assert run.states() == {"a": "unknown"}
    assert run.state.past_no_return, "it may have happened"
    run.due("a")
    assert run.look_first() == {"a": True}
    run.do("a", Outcome.DONE, acted=False)
    assert run.state.steps["a"].acted
    assert run.state.outcome is RunOutcome.COMPLETED


def test_what_was_under_way_when_the_process_died_is_looked_at_first_with_its_whole_budget() -> None:
    """a, b: both under way, the process dies; an hour later both are looked at first, their budgets anew, their clocks marked UTC."""
    run = Driver.of(plan(spec("a"), spec("b")))
    run.start()
    run.deliver(AGAIN)
    assert run.look_first() == {"a": True, "b": True}
    for step in run.state.steps.values():
        assert (step.first_started_at, step.attempts_in_budget, step.clock) == (None, 0, ClockKind.UTC)
    assert run.state.epoch == 2


def test_skip_unlocks_what_waits() -> None:
    """a → b, c → b: a failed, c under way; with a skipped, b waits for c only. It is a deviation, with who and why."""
    run = Driver.of(plan(spec("a"), spec("c"), spec("b", "a c")))
    run.do("a", Outcome.FAILED)
    run.start("c")
    run.deliver(SkipRequested(step="a", actor="lead", reason="done by hand"))
    assert not run.wanted()
    run.deliver(ended("c"))
    run.do("b")
    assert run.state.outcome is RunOutcome.COMPLETED
    assert run.state.deviations == ["a skipped by lead: done by hand"]
    assert run.state.actors == ["on-call", "lead"]


@pytest.mark.parametrize("before", ["held", "paused", "waiting", "backoff", "cancelled"])
def test_skip_reaches_a_step_wherever_it_waits(before: str) -> None:
    """a → b: a skipped before it started, in a paused run, while it waits for a person, between attempts, after a cancelled one."""
    run = Driver.of(plan(spec("a", approval=before == "waiting"), spec("b", "a")))
    if before in ("backoff", "cancelled"):
        run.do("a", Outcome.RETRY if before == "backoff" else Outcome.CANCELLED)
    if before == "paused":
        run.deliver(PauseRequested(actor="lead"))
    run.deliver(SkipRequested(step="a", actor="lead", reason="not needed"))
    if run.status() is RunStatus.PAUSED:
        run.deliver(AGAIN)
    assert [command.step for command in run.wanted()] == ["b"]


def test_what_is_skipped_before_its_turn_keeps_its_place() -> None:
    """a → b → c → d: b and c skipped while a runs, also after a crash: d still waits for a, until that is skipped, too."""
    run = Driver.of(plan(spec("a"), spec("b", "a"), spec("c", "b"), spec("d", "c")))
    run.start("a")
    for name in ("c", "b"):
        run.deliver(SkipRequested(step=name, actor="lead", reason="done by hand"))
    assert not run.wanted()
    run.deliver(AGAIN)
    assert [command.step for command in run.wanted()] == ["a"]
    run.do("a", Outcome.FAILED)
    assert run.status() is RunStatus.PAUSED, "a person is asked about a, which d stands on"
    run.deliver(SkipRequested(step="a", actor="lead", reason="not needed"))
    run.deliver(AGAIN)
    assert [command.step for command in run.wanted()] == ["d"]
    run.do("d")
    assert run.state.outcome is RunOutcome.COMPLETED


def test_a_skip_that_comes_too_late_is_refused() -> None:
    """a → b: a under way, or done already: nothing is skipped, nothing changes."""
    run = Driver.of(plan(spec("a"), spec("b", "a")))
    run.start("a")
    for _ in range(2):
        before = dump(run.state)
        with pytest.raises(IllegalTransition):
            run.deliver(SkipRequested(step="a", actor="lead", reason="too slow"))
        assert dump(run.state) == before
        if run.state.active:
            run.deliver(ended("a"))


def test_an_optional_step_may_fail() -> None:
    """fence (optional) → promote: the region is gone, the fence fails; promote goes on, the failure is a deviation."""
    run = Driver.of(plan(spec("fence", optional=True, max_attempts=1), spec("promote", "fence"), intent=FAILOVER))
    run.do("fence", Outcome.RETRY, reason="exit status 255")
    run.do("promote")
    assert run.state.outcome is RunOutcome.COMPLETED
    assert run.state.deviations == ["fence failed and was not needed to go on: exit status 255"]


def test_approval_comes_before_the_fence() -> None:
    """prepare, approvals/1 → fence: prepare starts at once, the fence waits for a person; what was said is evidence."""
    run = Driver.of(plan(spec("prepare"), spec("approvals/1", approval=True), spec("fence", "approvals/1")))
    assert run.asked == ["approvals/1"]
    run.do("prepare")
    assert not run.wanted()
    with pytest.raises(IllegalTransition):
        run.deliver(StepStarted(step="approvals/1", attempt=1))
    run.deliver(Approved(step="approvals/1", actor="lead", text="go"))
    run.do("approvals/1", Outcome.ALREADY)
    run.do("fence")
    assert run.state.approvals == [Attested(step="approvals/1", actor="lead", text="go")]
    with pytest.raises(IllegalTransition):
        Driver.of(plan(spec("a"))).deliver(Approved(step="a", actor="lead"))


def test_an_answer_that_did_not_count_may_be_given_again() -> None:
    """gate: the first answer lacks its evidence and the step fails; the second one makes it due again, with its whole budget."""
    run = Driver.of(plan(spec("gate", approval=True, verb=Verb.GATE, max_attempts=1)))
    run.start()
    run.deliver(Approved(step="gate", actor="lead"))
    assert run.start() == ["gate"]
    run.deliver(ended("gate", Outcome.FAILED))
    assert run.status() is RunStatus.PAUSED
    run.deliver(Approved(step="gate", actor="lead", text="ticket 7"))
    run.deliver(AGAIN)
    assert run.start() == ["gate"]
    run.deliver(ended("gate"))
    assert run.state.steps["gate"].approved_by == ("lead", "lead")
    with pytest.raises(IllegalTransition):
        run.deliver(Approved(step="gate", actor="lead"))
    fold_is_live(run)


def test_an_approval_may_come_before_it_is_asked_for() -> None:
    """a → gate: approved while a is under way, the gate starts without asking."""
    run = Driver.of(plan(spec("a"), spec("gate", "a", approval=True)))
    run.start("a")
    run.deliver(Approved(step="gate", actor="lead"))
    run.deliver(ended("a"))
    assert not run.asked
    assert run.start() == ["gate"]


def test_an_approval_that_is_open_when_the_process_dies_is_asked_for_again() -> None:
    """gate: asked, the process dies, asked again; approved once, it needs no second approval after the next crash."""
    run = Driver.of(plan(spec("gate", approval=True)))
    run.deliver(AGAIN)
    assert run.asked == ["gate", "gate"]
    run.deliver(Approved(step="gate", actor="lead"))
    run.deliver(AGAIN)
    assert run.asked == ["gate", "gate"]
    assert run.start() == ["gate"]


def test_pause_waits_for_what_is_under_way() -> None:
    """a → c, b → c: paused while a and b are under way; c does not start until a person resumes."""
    run = Driver.of(plan(spec("a"), spec("b"), spec("c", "a b")))
    run.start()
    run.deliver(PauseRequested(actor="lead"))
    run.deliver(ended("a"))
    assert run.status() is RunStatus.PAUSING
    run.deliver(ended("b"))
    assert (run.state.status, run.stops) == (RunStatus.PAUSED, ["paused by lead"])
    run.deliver(AGAIN)
    run.do("c")
    assert run.state.outcome is RunOutcome.COMPLETED


def test_a_rollback_can_be_paused_and_goes_on_as_a_rollback() -> None:
    """a → b → x: x fails; paused between the undo of b and that of a; resumed, a is undone."""
    run = Driver.of(plan(spec("a", undoable=True), spec("b", "a", undoable=True), spec("x", "b"), intent=SWITCHOVER))
    run.do("a")
    run.do("b")
    run.do("x", Outcome.FAILED, reason="gone")
    assert run.start() == ["b"]
    run.deliver(PauseRequested(actor="lead"))
    assert run.status() is RunStatus.PAUSING
    run.deliver(UndoEnded(step="b", ok=True))
    assert run.status() is RunStatus.PAUSED
    run.deliver(AGAIN)
    run.undo("a")
    assert (run.state.outcome, run.state.reason) == (RunOutcome.ROLLED_BACK, "x failed: gone")


def test_an_undo_that_failed_while_pausing_is_tried_again_on_resume() -> None:
    """a → x: x fails, a person pauses, the undo of a fails: resumed, the undo of a is the first thing, not another stop."""
    run = Driver.of(plan(spec("a", undoable=True), spec("x", "a"), intent=SWITCHOVER))
    run.do("a")
    run.do("x", Outcome.FAILED)
    run.start()
    run.deliver(PauseRequested(actor="lead"))
    run.deliver(UndoEnded(step="a", ok=False, reason="unreachable"))
    run.deliver(AGAIN)
    run.undo("a")
    assert run.state.outcome is RunOutcome.ROLLED_BACK


def test_a_run_that_used_up_its_time_asks_a_person() -> None:
    """a → b: the time of the run is over while a is under way; b does not start."""
    run = Driver.of(plan(spec("a"), spec("b", "a")))
    run.start("a")
    run.deliver(TimedOut())
    run.deliver(ended("a"))
    assert (run.state.status, run.stops) == (RunStatus.PAUSED, ["the run used up its time"])


def test_cancel_before_the_point_of_no_return_undoes() -> None:
    """freeze → fence → promote!: cancelled while fence is under way: fence and freeze are taken back."""
    run = Driver.of(move(FAILOVER))
    run.do("freeze")
    run.start("fence")
    run.deliver(CancelRequested(actor="lead", reason="false alarm"))
    run.deliver(ended("fence", Outcome.CANCELLED, acted=True))
    run.undo("fence")
    run.undo("freeze")
    assert (run.state.outcome, run.state.reason) == (RunOutcome.ROLLED_BACK, "cancelled by lead: false alarm")


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.UNKNOWN, Outcome.CANCELLED])
def test_cancel_after_the_point_of_no_return_leaves_everything_where_it_is(outcome: Outcome) -> None:
    """freeze → fence → promote! → redirect: cancelled while promote is under way, however it ends: nothing is undone, nothing starts."""
    run = Driver.of(move(SWITCHOVER))
    run.do("freeze")
    run.do("fence")
    run.start("promote")
    run.deliver(CancelRequested(actor="lead"))
    run.deliver(ended("promote", outcome, acted=True))
    assert run.state.outcome is RunOutcome.CANCELLED
    assert (run.states()["fence"], run.states()["redirect"]) == ("done", "cancelled")


def test_a_planned_move_does_not_roll_back_past_the_point_of_no_return() -> None:
    """… promote! → redirect: redirect fails after promote: the run pauses, nothing is undone."""
    run = Driver.of(move(SWITCHOVER))
    for step in ("freeze", "fence", "promote"):
        run.do(step)
    run.do("redirect", Outcome.FAILED)
    assert run.status() is RunStatus.PAUSED
    assert run.states()["fence"] == "done"


def failover_of(*more: StepSpec) -> Plan:
    return plan(
        spec("fence", undoable=True, optional=True, verb=Verb.FENCE), spec("promote", "fence", irreversible=True, verb=Verb.PROMOTE),
        *more,
    )  # fmt: skip


def test_a_switchover_turned_into_a_failover_keeps_what_is_done() -> None:
    """freeze → fence → promote! → redirect becomes fence → promote! → redirect: fence is done and stays so, promote starts at once."""
    run = Driver.of(move(SWITCHOVER))
    run.do("freeze")
    run.do("fence", evidence=[fenced()])
    run.deliver(PauseRequested(actor="lead"))
    turned = Turned(plan=failover_of(spec("redirect", "promote")), actor="lead", reason="east is lost", outage_began=START)
    run.deliver(turned)
    assert run.states() == {"fence": "done", "promote": "pending", "redirect": "pending"}
    assert run.state.evidence == [fenced()]
    assert (run.state.outage_began, run.state.current_plan.intent) == (START, FAILOVER)
    run.do("promote")
    run.do("redirect")
    assert run.state.outcome is RunOutcome.COMPLETED
    assert run.state.deviations == ["turned from switchover into failover by lead: east is lost"]
    fold_is_live(run)


def test_a_run_is_not_turned_while_something_is_under_way() -> None:
    """freeze under way: the host pauses first."""
    run = Driver.of(move(SWITCHOVER))
    run.start("freeze")
    with pytest.raises(IllegalTransition, match="pause first"):
        run.deliver(Turned(plan=failover_of(), actor="lead"))


def test_what_was_skipped_is_due_again_in_another_plan() -> None:
    """fence skipped in the switchover: the failover tries it, because its promotion relies on it."""
    run = Driver.of(move(SWITCHOVER))
    run.deliver(PauseRequested(actor="lead"))
    run.deliver(SkipRequested(step="fence", actor="lead", reason="by hand"))
    run.deliver(Turned(plan=failover_of(), actor="lead"))
    assert run.states()["fence"] == "pending"


@pytest.mark.parametrize("ok", [True, False])
def test_a_fence_that_was_opened_again_is_no_evidence_for_a_later_promotion(ok: bool) -> None:
    """I4: fence done, promote fails, fence taken back (or half of it), turned: fence is due again and its old evidence is gone."""
    run = Driver.of(plan(spec("fence", undoable=True, verb=Verb.FENCE), spec("x", "fence"), intent=SWITCHOVER))
    run.do("fence", evidence=[fenced()])
    run.do("x", Outcome.FAILED, evidence=[Note(text="x")])
    assert run.start() == ["fence"]
    assert run.state.evidence == [fenced(), Note(text="x")], "the undo needs what the step found"
    if ok:
        run.deliver(PauseRequested(actor="lead"))
    run.deliver(UndoEnded(step="fence", ok=ok))
    assert run.status() is RunStatus.PAUSED
    run.deliver(Turned(plan=failover_of(), actor="lead"))
    assert run.state.evidence == [Note(text="x")]
    assert run.state.steps["fence"].state is StepState.PENDING
    assert run.state.steps["fence"].look_first is not ok
    fold_is_live(run)


def test_a_point_of_no_return_stays_passed_in_another_plan() -> None:
    """swap! acted in the switchover; the failover has no such step: cancelled, nothing is undone."""
    run = Driver.of(plan(spec("fence", undoable=True, verb=Verb.FENCE), spec("swap", "fence", irreversible=True), intent=SWITCHOVER))
    run.do("fence")
    run.do("swap", Outcome.FAILED, acted=True)
    run.deliver(Turned(plan=failover_of(), actor="lead"))
    assert run.state.past_no_return
    run.deliver(CancelRequested(actor="lead"))
    assert run.state.outcome is RunOutcome.CANCELLED


def test_a_run_does_not_end_while_something_is_under_way() -> None:
    """a under way: RunEnded is refused."""
    run = Driver.of(plan(spec("a")))
    run.start("a")
    with pytest.raises(IllegalTransition, match="under way"):
        run.deliver(RunEnded(outcome=RunOutcome.COMPLETED))


def test_a_plan_without_steps_ends_at_once() -> None:
    """Nothing to do: completed."""
    assert Driver.of(plan()).state.outcome is RunOutcome.COMPLETED
