"""One try of one step: read, act, read; and one try of its undo. The one place where an error becomes an outcome."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import tenacity

from dr.engine import guards
from dr.errors import EffectUnknown, StepError, Transient
from dr.model.evidence import Evidence, Fenced, RecoveryPoint
from dr.model.plan import GuardResult
from dr.model.words import Outcome, Verb
from dr.ports import AttemptContext, Look, Operation, Seen

_SHORTEST_WAIT, _LONGEST_WAIT = 0.01, 0.25
"""Seconds between two looks whether an act holds; each wait is twice the one before."""
_UNDO_SECONDS, _LONGEST_UNDO, _LONGEST_UNDO_WAIT = 5.0, 120.0, 1.0
"""For so long an undo is asked again where nothing happened: what it needs may be coming up, because the undo before it started that.

Where the step takes longer to settle, until that is over: its act may be under way still, and be what refuses the undo. But never longer
than the second: what settles within an hour would hold a rollback, and with it everybody who was frozen, for that hour. A person is asked
sooner.
"""
_NOT_OURS = "the lease is not ours now"


@dataclass(slots=True)
class Attempted:
    """How one attempt ended. ``acted``: the act was called. ``guards``: what each guard said that was asked, whatever it said."""

    outcome: Outcome
    reason: str = ""
    acted: bool = False
    guard: str | None = None
    guards: tuple[GuardResult, ...] = ()
    evidence: list[Evidence] = field(default_factory=list)


def attempt(operation: Operation, context: AttemptContext, *, look_first: bool = False) -> Attempted:
    """Observes, asks the guards of the verb, preserves, acts, verifies.

    Never raises: what an operation raises becomes the outcome. ``look_first``: an earlier attempt may have taken effect, so
    what is found done counts as done by this run.
    """
    result = Attempted(Outcome.FAILED)
    try:
        held = _acted(operation, context, result, look_first)
        if held is not None:
            _see_it_hold(operation, held, result)
    except (Transient, EffectUnknown) as error:
        unknown = result.acted and isinstance(error, EffectUnknown)
        result.outcome, result.reason = Outcome.UNKNOWN if unknown else Outcome.RETRY, _why(error)
    except StepError as error:
        result.outcome, result.reason = Outcome.FAILED, _why(error)
    except Exception as error:  # noqa: BLE001 - the one place where a bug in a kind becomes an outcome; after an act nothing is known
        result.outcome = Outcome.UNKNOWN if result.acted else Outcome.FAILED
        result.reason = _fault(error, operation)
    if result.outcome is Outcome.RETRY and context.cancelled():
        result.outcome = Outcome.CANCELLED
    return result


def take_back(operation: Operation, context: AttemptContext) -> str | None:
    """Undoes a step. Never raises: what went wrong is returned, None when nothing did."""
    clock, wait, settles = context.clock, _SHORTEST_WAIT, context.step.settles
    began = clock.monotonic()
    patience = _UNDO_SECONDS if settles is None else max(_UNDO_SECONDS, min(settles.total_seconds(), _LONGEST_UNDO))
    until = min(context.deadline, began + patience)
    while context.may_act():
        try:
            operation.undo(context)
        except Transient as error:
            if context.cancelled() or clock.monotonic() >= until:
                return _why(error)
        except StepError as error:
            return _why(error)
        except Exception as error:  # noqa: BLE001 - as above: a worker that dies would leave its run waiting for ever
            return _fault(error, operation)
        else:
            return None
        clock.sleep(wait)
        # who refuses for long is asked less often; not so seldom that somebody who gives the move up would wait for it
        wait = min(2 * wait, _LONGEST_WAIT if clock.monotonic() - began < _UNDO_SECONDS else _LONGEST_UNDO_WAIT)
    return _NOT_OURS


def _why(error: StepError) -> str:
    return f"{error.message} (try: {error.hint})" if error.hint else error.message


def _fault(error: Exception, operation: Operation) -> str:
    """Without the message of the error: it may carry a secret."""
    return f"{type(error).__name__} in {type(operation).__name__}: a fault of the kind, please report it"


def _acted(operation: Operation, context: AttemptContext, result: Attempted, look_first: bool) -> AttemptContext | None:
    """Observes and acts where that is needed and allowed; then the context to verify with."""
    seen = operation.observe(context)
    result.evidence.extend(seen.evidence)
    result.reason = seen.reason
    if seen.look is Look.DONE:
        result.outcome = Outcome.DONE if look_first else Outcome.ALREADY
        return None
    if seen.look is Look.BLOCKED:
        return None
    if context.step.verb is Verb.PROMOTE and not _may_promote(context, seen, result):
        return None
    if not context.cancelled():
        result.evidence.extend(operation.preserve(context))
    if context.cancelled() or not context.may_act():
        # a lease that ran out while this process was stopped may still be renewed: the next attempt, or nobody here, acts
        result.outcome = Outcome.CANCELLED if context.cancelled() else Outcome.RETRY
        result.reason = "cancelled before it acted" if context.cancelled() else _NOT_OURS
        return None
    result.acted = True
    before = _knowing(context, result)
    found = operation.act(before)
    result.evidence.extend(found)
    return _knowing(context, result) if found else before


def _knowing(context: AttemptContext, result: Attempted) -> AttemptContext:
    """The context with what this attempt has found so far."""
    return replace(context, evidence=(*context.evidence, *result.evidence)) if result.evidence else context


def _see_it_hold(operation: Operation, context: AttemptContext, result: Attempted) -> None:
    """Verifies. From here on nothing says any more that nothing happened."""
    try:
        seen = _until_held(operation, context)
    except Transient as error:
        raise EffectUnknown(f"acted, and could not see whether it holds: {error.message}", hint=error.hint) from error
    result.evidence.extend(seen.evidence)
    result.reason = seen.reason
    if seen.look is Look.DONE:
        result.outcome = Outcome.DONE
    elif seen.look is Look.NEEDED:
        result.outcome = Outcome.CANCELLED if context.cancelled() else Outcome.UNKNOWN
        result.reason = f"acted, and could not see it hold in time: {seen.reason}".removesuffix(": ")


def _may_promote(context: AttemptContext, seen: Seen, result: Attempted) -> bool:
    component = context.step.component
    found = next((item for item in reversed(seen.evidence) if isinstance(item, RecoveryPoint)), None)
    verdicts = guards.before_promote(
        component, context.found(Fenced, component), found, context.rpo, context.acceptances, context.clock.now(),
        planned=context.intent.planned,
    )  # fmt: skip
    result.guards = verdicts
    no = guards.refused(verdicts)
    if no:
        result.guard = no[0].name
        flags = guards.way_out(verdicts)
        result.reason = "; ".join(item.reason for item in no)
        result.reason += f" (try: dr resume {context.run_id} {flags})" if flags else ""
    return not no


def _until_held(operation: Operation, context: AttemptContext) -> Seen:
    """Reads again until it holds, went wrong, was cancelled or its time has passed; short waits first."""
    settles = context.step.settles
    until = context.deadline if settles is None else min(context.deadline, context.clock.monotonic() + settles.total_seconds())

    def over(_state: tenacity.RetryCallState | None = None) -> bool:
        return context.cancelled() or context.clock.monotonic() >= until

    seen = operation.verify(context)
    if seen.look is not Look.NEEDED or over():
        return seen  # the usual case pays for no poll
    poll = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda looked: looked.look is Look.NEEDED),
        wait=tenacity.wait_exponential(multiplier=_SHORTEST_WAIT, max=_LONGEST_WAIT),
        stop=over,
        sleep=context.clock.sleep,
        before=lambda state: context.clock.sleep(_SHORTEST_WAIT) if state.attempt_number == 1 else None,
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else seen,
    )
    held: Seen = poll(operation.verify, context)
    return held
