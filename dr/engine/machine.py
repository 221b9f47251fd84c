"""The pure machine of a run: ``apply(state, event, at) -> (state, commands)``. No clock, no I/O, no chance, no set iteration.

The state is a fold over journaled events. ``apply`` owns and changes the state it is given (a copy of a 10,000-step state for
each event costs). Hosts deliver events and perform commands: what they journal first, they may do.

Every legal transition of a step stands in ``STEP_TABLE``, every one of a run in ``RUN_TABLE``; what is not there is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from dr.engine.state import Again, AskApproval, Command, EndRun, RunState, Start, StepRun, Stop, Undo
from dr.engine.table import RUN_TABLE, STEP_TABLE, RunTrigger, Trigger
from dr.errors import IllegalTransition
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
    RunStarted,
    SkipRequested,
    StepEnded,
    StepStarted,
    TimedOut,
    Turned,
    UndoEnded,
    UndoStarted,
)
from dr.model.evidence import Attested
from dr.model.plan import Backoff
from dr.model.words import ACTIVE, ClockKind, Outcome, RunOutcome, RunStatus, StepState, Verb

_OWED = Backoff(base=timedelta(seconds=5), cap=timedelta(minutes=1))
"""Between two tries of a fence that is owed, to the second: nobody else tries it meanwhile."""


def fold(events: Iterable[tuple[datetime, Event]], run_id: str = "") -> RunState:
    """The state after a journal: the same function as live, with the commands dropped.

    Raises:
        IllegalTransition: the events are not a history that this machine allows.
    """
    state = RunState(run_id)
    for at, event in events:
        apply(state, event, at)
    return state


def apply(state: RunState, event: Event, at: datetime) -> tuple[RunState, list[Command]]:
    """One event. ``at`` is the moment it was journaled with, so that a replay computes the same.

    Raises:
        IllegalTransition: the table does not have it; the state is unchanged.
        NotThere: the plan has no such step; the state is unchanged.
    """
    if isinstance(event, RunStarted):
        _run_started(state, event, at)
    elif state.plan is None or (state.status is RunStatus.ENDED):
        raise IllegalTransition(f"run {state.run_id}: {event.event} while the run is {'ended' if state.plan else 'not started'}")
    else:
        _HANDLERS[type(event)](state, event, at)
    state.events += 1
    return state, _next(state)


# --- the run ------------------------------------------------------------------------------------------------------


def _run_started(state: RunState, event: RunStarted, at: datetime) -> None:
    if state.plan is not None:
        raise IllegalTransition(f"run {state.run_id}: started twice")
    state.begin(event, at)


def _pause(state: RunState, event: PauseRequested, at: datetime) -> None:
    _run_to(state, RunTrigger.PAUSE)
    state.reason = event.reason or f"paused by {event.actor}"
    state.add_actor(event.actor)


def _timed_out(state: RunState, event: TimedOut, at: datetime) -> None:
    _run_to(state, RunTrigger.PAUSE)
    state.reason = "the run used up its time"


def _resumed(state: RunState, event: Resumed, at: datetime) -> None:
    """Whatever was under way is looked at first; what failed is tried again: that is what a person means by "resume".

    A person asked, so budgets start anew: else what a crash cut off would have no time left to be seen to hold. A fence that nothing
    was promoted on yet is looked at again: somebody may have started the old primary meanwhile.
    """
    _run_to(state, RunTrigger.RESUME_BACK if state.rolling_back else RunTrigger.RESUME)
    state.undo_failed = False
    state.epoch = event.epoch
    state.holder = event.holder
    state.add_actor(event.actor)
    state.reason = ""
    state.across_crash = True
    if event.runbook_changed:
        state.deviations.append("the runbook was edited after the run had started; the run kept its plan")
    for step in state.steps.values():
        if step.owed:  # it is owed still, and tried again
            _step_to(state, step, Trigger.DONE)
            step.owed = False
        elif step.state is StepState.WAITING_APPROVAL:
            _step_to(state, step, Trigger.CRASH)
        elif step.state in (StepState.RUNNING, StepState.UNDOING, StepState.BACKOFF, StepState.UNKNOWN):
            step.look_first = step.look_first or step.state.active
            step.clock = ClockKind.UTC
            _step_to(state, step, Trigger.CRASH)
        elif step.state in (StepState.FAILED, StepState.CANCELLED) and not state.passes(step) and not state.rolling_back:
            _step_to(state, step, Trigger.AGAIN)
        elif step.state in (StepState.DONE, StepState.ALREADY) and state.ages(step):
            _step_to(state, step, Trigger.LOOK_AGAIN)
        if state.rolling_back and step.state is StepState.PENDING:
            _step_to(state, step, Trigger.DROP)
        step.renew_budget()
    state.recount()
    state.try_owed(state.steps)


def _cancel(state: RunState, event: CancelRequested, at: datetime) -> None:
    _back_or_stop(state, f"cancelled by {event.actor}" + (f": {event.reason}" if event.reason else ""))
    state.add_actor(event.actor)


def _back_or_stop(state: RunState, reason: str) -> None:
    """Before the point of no return everything undoable is undone; after it nothing new starts and the run ends where it is."""
    _run_to(state, RunTrigger.BACK)
    state.reason = state.back_reason = reason
    state.rolling_back = True
    state.undo_failed = False
    for step in state.steps.values():
        if step.state in (StepState.PENDING, StepState.WAITING_APPROVAL, StepState.BACKOFF, StepState.UNKNOWN):
            _step_to(state, step, Trigger.DROP)
    state.ready.clear()


def _turned(state: RunState, event: Turned, at: datetime) -> None:
    """Another intent for the same run. Nothing may be under way: the host pauses first."""
    if state.active:
        raise IllegalTransition(f"run {state.run_id}: turned while {state.active} steps are under way; pause first")
    _run_to(state, RunTrigger.TURN)
    state.turn(event)
    state.try_owed(state.steps)


def _ended(state: RunState, event: RunEnded, at: datetime) -> None:
    if state.active:
        raise IllegalTransition(f"run {state.run_id}: ended while {state.active} steps are under way")
    _run_to(state, RunTrigger.END)
    state.outcome = event.outcome
    state.reason = event.reason
    state.ended_at = at


# --- its steps ----------------------------------------------------------------------------------------------------


def _step_started(state: RunState, event: StepStarted, at: datetime) -> None:
    step = state.step(event.step)
    if step.waiting_for or state.status is not RunStatus.RUNNING or (step.spec.approval and not step.approved_by):
        raise IllegalTransition(f"step {event.step}: started while {step.waiting_for} needs are open or the run is {state.status}")
    if event.owed and not state.owes(step):
        raise IllegalTransition(f"step {event.step}: no fence is owed")
    _step_to(state, step, Trigger.OWED if event.owed else Trigger.START)
    if event.owed:
        step.owed, step.first_started_at = True, None
    step.changed = state.events
    step.attempts += 1
    step.attempts_in_budget += 1
    step.started_at = step.started_at or at
    step.first_started_at = step.first_started_at or at


def _step_ended(state: RunState, event: StepEnded, at: datetime) -> None:
    step = state.step(event.step)
    if step.owed:
        _step_to(state, step, Trigger.DONE)
        state.owed_ended(step, event)
        return
    exhausted = step.attempts_in_budget >= step.spec.max_attempts or (
        step.first_started_at is not None and at - step.first_started_at > step.spec.budget
    )
    trigger = _TRIGGER[event.outcome]
    if trigger in (Trigger.RETRY, Trigger.UNKNOWN) and (exhausted or state.rolling_back):
        trigger = Trigger.FAIL
    _step_to(state, step, trigger)
    step.ended_at = at
    step.changed = state.events
    step.outcome = event.outcome
    step.acted = step.acted or event.acted or event.outcome in (Outcome.UNKNOWN, Outcome.DONE)
    step.look_first = step.look_first or step.acted
    step.reason, step.guard = event.reason, event.guard
    step.duration = event.duration if step.duration is None else step.duration + event.duration
    step.evidence.extend(event.evidence)
    state.evidence.extend(event.evidence)
    if state.passes(step):
        if step.state is StepState.FAILED:
            state.deviations.append(f"{step.spec.id} failed and was not needed to go on: {step.reason}")
        state.satisfy(step)
        if step.spec.verb is Verb.PROMOTE:
            state.try_owed(step.spec.needs)
    elif step.state is StepState.FAILED and state.status is RunStatus.RUNNING and state.rolls_back:
        state.failed_step = step.spec.id
        _back_or_stop(state, f"{step.spec.id} failed: {step.reason}")
    elif step.state in (StepState.BACKOFF, StepState.UNKNOWN):
        state.delays.append(step.spec.id)


def _retry_scheduled(state: RunState, event: RetryScheduled, at: datetime) -> None:
    step = state.step(event.step)
    if step.state not in (StepState.BACKOFF, StepState.UNKNOWN) and not state.owes(step):
        raise IllegalTransition(f"step {event.step}: a retry was scheduled while it is {state.step(event.step).state}")


def _retry_due(state: RunState, event: RetryDue, at: datetime) -> None:
    step = state.step(event.step)
    if not state.owes(step):
        _step_to(state, step, Trigger.DUE)
    state.ready.append(step.spec.id)


def _approved(state: RunState, event: Approved, at: datetime) -> None:
    step = state.step(event.step)
    if not step.spec.approval:
        raise IllegalTransition(f"step {event.step}: needs no approval")
    _somebody_else(state, step, event.actor, "approve")
    if step.state is StepState.WAITING_APPROVAL:
        _step_to(state, step, Trigger.APPROVE)
        state.ready.append(step.spec.id)
    elif step.state is StepState.FAILED and not state.passes(step) and not state.rolling_back:
        # an answer that did not count (a gate without its evidence) may be given again
        _step_to(state, step, Trigger.AGAIN)
        step.renew_budget()
        if not step.waiting_for:
            state.ready.append(step.spec.id)
    elif step.state is not StepState.PENDING or step.approved_by:
        raise IllegalTransition(f"step {event.step}: approved {'already' if step.approved_by else f'while it is {step.state}'}")
    step.approved_by = (*step.approved_by, event.actor)
    said = Attested(step=event.step, actor=event.actor, proven=event.proven, text=event.text)
    state.approvals.append(said)
    step.evidence.append(said)
    state.evidence.append(said)
    state.add_actor(event.actor)


def _skip(state: RunState, event: SkipRequested, at: datetime) -> None:
    """A person takes responsibility for its effect; while the run goes back: for its undo."""
    step = state.step(event.step)
    passed = state.passes(step)
    _somebody_else(state, step, event.actor, "skip")
    if passed and not (state.rolling_back and step.to_undo):
        raise IllegalTransition(f"step {event.step}: skipped while nothing waits for it")
    _step_to(state, step, Trigger.SKIP)
    step.skipped_by = event.actor
    step.reason = f"skipped by {event.actor}: {event.reason}"
    step.ended_at = at
    state.deviations.append(f"{event.step} {step.reason}")
    state.add_actor(event.actor)
    if passed:  # its undo was skipped: it stands behind its own needs again, which may be taken back already
        state.recount()
    else:
        state.satisfy(step)


def _somebody_else(state: RunState, step: StepRun, actor: str, what: str) -> None:
    if step.spec.verb is Verb.APPROVAL and state.has_spoken(actor, step):
        raise IllegalTransition(f"step {step.spec.id}: {actor} asked for this run or let one pass already: somebody else must {what}")


def _accepted(state: RunState, event: Accepted, at: datetime) -> None:
    state.acceptances.append(event.acceptance)
    state.add_actor(event.acceptance.actor)


def _observed(state: RunState, event: Observed, at: datetime) -> None:
    state.evidence.append(event.evidence)


def _undo_started(state: RunState, event: UndoStarted, at: datetime) -> None:
    step = state.step(event.step)
    if state.status is not RunStatus.ROLLING_BACK or state.past_no_return or state.active or step is not state.last_to_undo():
        raise IllegalTransition(f"step {event.step}: undone while it is {step.state} and the run is {state.status}")
    _step_to(state, step, Trigger.UNDO)
    step.undo_began = True
    state.recount()


def _undo_ended(state: RunState, event: UndoEnded, at: datetime) -> None:
    step = state.step(event.step)
    _step_to(state, step, Trigger.UNDONE if event.ok else Trigger.UNDO_FAILED)
    step.ended_at = at
    if event.ok:
        step.acted = step.look_first = False
    else:
        step.reason = f"undo failed: {event.reason}"
        state.reason = f"{event.step}: {step.reason}"
        state.undo_failed = True
    state.recount()


_TRIGGER = {
    Outcome.DONE: Trigger.DONE, Outcome.ALREADY: Trigger.ALREADY, Outcome.RETRY: Trigger.RETRY, Outcome.FAILED: Trigger.FAIL,
    Outcome.UNKNOWN: Trigger.UNKNOWN, Outcome.CANCELLED: Trigger.CANCEL,
}  # fmt: skip

_HANDLERS: Mapping[type[Event], Callable[[RunState, Any, datetime], None]] = {
    StepStarted: _step_started, StepEnded: _step_ended, RetryScheduled: _retry_scheduled, RetryDue: _retry_due,
    PauseRequested: _pause, Resumed: _resumed, CancelRequested: _cancel, Approved: _approved, SkipRequested: _skip,
    Accepted: _accepted, Turned: _turned, TimedOut: _timed_out, UndoStarted: _undo_started, UndoEnded: _undo_ended,
    Observed: _observed, RunEnded: _ended,
}  # fmt: skip


def _step_to(state: RunState, step: StepRun, trigger: Trigger) -> None:
    before = step.state
    after = STEP_TABLE.get((before, trigger))
    if after is None:
        raise IllegalTransition(f"step {step.spec.id}: {trigger} while it is {before}")
    state.hopeful -= step.hopeful
    step.state = after
    state.hopeful += step.hopeful
    state.active += (after in ACTIVE) - (before in ACTIVE)


def _run_to(state: RunState, trigger: RunTrigger) -> None:
    after = RUN_TABLE.get((state.status, trigger))
    if after is None:
        raise IllegalTransition(f"run {state.run_id}: {trigger} while it is {state.status}")
    state.status = after


# --- what follows -------------------------------------------------------------------------------------------------


def _next(state: RunState) -> list[Command]:
    """What the host has to do now. Each thing is said once; after a crash ``Resumed`` says again what is still to be done."""
    match state.status:
        case RunStatus.RUNNING:
            return _go_on(state)
        case RunStatus.PAUSING if not state.active:
            _run_to(state, RunTrigger.QUIET)
            return [Stop(state.reason)]
        case RunStatus.ROLLING_BACK if not state.active:
            return _go_back(state)
    state.delays.clear()
    return []


def _go_on(state: RunState) -> list[Command]:
    commands: list[Command] = []
    if not state.unsatisfied:
        state.delays.clear()
        state.ready.clear()
        return [] if state.active else [EndRun(RunOutcome.COMPLETED, "")]
    for step_id in state.delays:
        step = state.steps[step_id]
        owed = step.state is StepState.DONE
        commands.append(Again(step_id, step.attempts_in_budget, _OWED if owed else step.spec.backoff, longest=owed))
    state.delays.clear()
    for step_id in state.ready:
        step = state.steps[step_id]
        if step.spec.approval and not step.approved_by:
            _step_to(state, step, Trigger.ASK)
            commands.append(AskApproval(step_id))
        else:
            commands.append(Start(step_id, step.look_first))
    state.ready.clear()
    if not commands and state.stuck:
        ended = (StepState.FAILED, StepState.CANCELLED)
        first = next((step for step in state.steps.values() if step.state in ended and not state.passes(step)), None)
        state.reason = f"{first.spec.id} {first.state}: {first.reason}" if first else "nothing can go on"
        _run_to(state, RunTrigger.STUCK)
        return [Stop(state.reason)]
    return commands


def _go_back(state: RunState) -> list[Command]:
    """Undoes one step at a time, last finished first; an undo that fails asks a person."""
    state.delays.clear()
    if state.undo_failed:
        state.undo_failed = False
        _run_to(state, RunTrigger.STUCK)
        return [Stop(state.reason)]
    if not state.past_no_return:  # asked when all is quiet: what was under way when it was cancelled may not have acted
        last = state.last_to_undo()
        if last is not None:
            return [Undo(last.spec.id)]
        return [EndRun(RunOutcome.ROLLED_BACK, state.back_reason)]
    return [EndRun(RunOutcome.CANCELLED, state.back_reason)]
