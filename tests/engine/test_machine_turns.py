"""What a turn must not forget: that an attempt was made, and which step an attestation belongs to."""

from __future__ import annotations

import pytest

from dr.errors import IllegalTransition
from dr.model.events import Approved, CancelRequested, Event, PauseRequested, Resumed, SkipRequested, Turned, UndoEnded
from dr.model.plan import StepSpec
from dr.model.words import Intent, Outcome, StepState, Verb
from tests.engine.build import ended, plan, spec
from tests.engine.driver import Driver

PLANNED = plan(spec("warm", undoable=True), spec("last", "warm"), intent=Intent.SWITCHOVER)
LOST = plan(spec("warm"), spec("last", "warm"))


@pytest.mark.parametrize("crashed", [True, False], ids=["crashed", "unknown"])
def test_an_attempt_that_may_have_had_its_effect_is_not_the_first_one_again(crashed: bool) -> None:
    """warm → last: warm may have run when the switchover became a failover. A kind that asks whether this is the first attempt
    (a command without a check) must hear that it is not (I9)."""
    run = Driver.of(PLANNED)
    run.start("warm")
    if crashed:
        run.deliver(Resumed(actor="x", holder="y", epoch=2, crashed=True))
    else:
        run.held.clear()
        run.deliver(PauseRequested(actor="lead"))
        run.deliver(ended("warm", Outcome.UNKNOWN))
    run.deliver(Turned(plan=LOST, actor="lead"))
    assert run.look_first() == {"warm": True}
    run.start("warm")
    assert run.state.steps["warm"].attempts == 2
    assert run.state.steps["warm"].attempts_in_budget == 1, "the new plan gives it its own tries"
    assert run.folded().steps["warm"].attempts == 2


def test_what_was_taken_back_begins_anew() -> None:
    """warm was undone before the turn: its effect is gone, so its next attempt is the first one."""
    run = Driver.of(PLANNED)
    run.do("warm")
    run.deliver(CancelRequested(actor="lead"))
    run.start()
    run.deliver(PauseRequested(actor="lead"))
    run.deliver(UndoEnded(step="warm", ok=True))
    run.deliver(Turned(plan=LOST, actor="lead"))
    assert run.look_first() == {"warm": False}
    run.start("warm")
    assert run.state.steps["warm"].attempts == 1


def test_an_attestation_names_its_step() -> None:
    """What was said at one gate is no evidence for another one."""
    run = Driver.of(plan(spec("one/gate", approval=True), spec("two/gate", approval=True)))
    run.deliver(Approved(step="one/gate", actor="bob", text="CHG-1"))
    assert [(said.step, said.actor, said.text) for said in run.state.approvals] == [("one/gate", "bob", "CHG-1")]


def _approval(number: int) -> StepSpec:
    return spec(f"approvals/{number}", approval=True, verb=Verb.APPROVAL, kind="approval")


@pytest.mark.parametrize("name", ["on-call", "bob"])
@pytest.mark.parametrize("how", ["approve", "skip"])
def test_two_approvals_are_two_people_whatever_the_host_lets_through(name: str, how: str) -> None:
    """The requester on-call never counts, and bob, who let the first one pass by word or by skip, does not count twice."""
    for first in (Approved(step="approvals/1", actor="bob"), SkipRequested(step="approvals/1", actor="bob", reason="by phone")):
        run = Driver.of(plan(_approval(1), _approval(2)))
        run.deliver(first)
        again: Event = Approved(step="approvals/2", actor=name) if how == "approve" else SkipRequested(
            step="approvals/2", actor=name, reason="x"
        )  # fmt: skip
        with pytest.raises(IllegalTransition, match="somebody else must"):
            run.deliver(again)
        run.deliver(Approved(step="approvals/2", actor="carol"))
        assert run.state.steps["approvals/2"].approved_by == ("carol",)


def test_a_yes_to_a_planned_move_is_no_yes_to_losing_data() -> None:
    """approvals/1 was given for the switchover; turned into a failover it is asked for again, and bob may say it again."""
    run = Driver.of(plan(_approval(1), spec("promote", "approvals/1"), intent=Intent.SWITCHOVER))
    run.deliver(Approved(step="approvals/1", actor="bob"))
    run.do("approvals/1")
    run.held.clear()
    run.deliver(PauseRequested(actor="lead"))
    run.deliver(Turned(plan=plan(_approval(1), spec("promote", "approvals/1")), actor="lead"))
    assert run.state.steps["approvals/1"].state is StepState.WAITING_APPROVAL
    assert not run.look_first()
    run.deliver(Approved(step="approvals/1", actor="bob"))
    assert "approvals/1" in run.look_first()


@pytest.mark.parametrize("crashed", [True, False])
def test_a_fence_is_looked_at_again_before_it_is_promoted_on(crashed: bool) -> None:
    """fence → promote → start: the run was left between fence and promote. Whoever resumes it looks at the fence first; once promoted
    on, it is not looked at any more."""
    moves = plan(
        spec("fence", verb=Verb.FENCE), spec("promote", "fence", verb=Verb.PROMOTE, irreversible=True), spec("start", "promote")
    )
    run = Driver.of(moves)
    run.do("fence")
    run.held.clear()
    run.deliver(Resumed(actor="x", holder="y", epoch=2, crashed=crashed))
    assert run.look_first() == {"fence": True}
    run.do("fence")
    run.do("promote")
    run.held.clear()
    run.deliver(Resumed(actor="x", holder="y", epoch=3, crashed=crashed))
    assert list(run.look_first()) == ["start"]
    assert [run.state.steps[name].state for name in ("fence", "promote")] == [StepState.DONE, StepState.DONE]
