"""One try of one step: read, act, read. The one place where an error becomes an outcome."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import tenacity

from dr.engine import guards
from dr.errors import EffectUnknown, Permanent, StepError, Transient
from dr.model.evidence import Evidence, Fenced, RecoveryPoint
from dr.model.words import Outcome, Verb
from dr.ports import AttemptContext, Look, Operation, Seen


@dataclass(slots=True)
class Attempted:
    """How one attempt ended. ``acted``: the act was called."""

    outcome: Outcome
    reason: str = ""
    acted: bool = False
    guard: str | None = None
    evidence: list[Evidence] = field(default_factory=list)


def attempt(operation: Operation, context: AttemptContext, *, look_first: bool = False) -> Attempted:
    """Observes, asks the guards of the verb, preserves, acts, verifies.

    Never raises: what an operation raises becomes the outcome. ``look_first``: an earlier attempt may have taken effect, so
    what is found done counts as done by this run.
    """
    result = Attempted(Outcome.FAILED)
    try:
        _attempt(operation, context, result, look_first)
    except Transient as error:
        result.outcome, result.reason = Outcome.RETRY, _why(error)
    except EffectUnknown as error:
        result.outcome, result.reason = Outcome.UNKNOWN, _why(error)
    except (Permanent, StepError) as error:
        result.outcome, result.reason = Outcome.FAILED, _why(error)
    except Exception as error:  # noqa: BLE001 - the one place where a bug in a kind becomes an outcome; after an act nothing is known
        result.outcome = Outcome.UNKNOWN if result.acted else Outcome.FAILED
        result.reason = f"{type(error).__name__} in {type(operation).__name__}: a fault of the kind, please report it"
    if result.outcome in (Outcome.RETRY, Outcome.UNKNOWN) and context.cancelled():
        result.outcome = Outcome.UNKNOWN if result.outcome is Outcome.UNKNOWN else Outcome.CANCELLED
    return result


def _why(error: StepError) -> str:
    return f"{error.message} (try: {error.hint})" if error.hint else error.message


def _attempt(operation: Operation, context: AttemptContext, result: Attempted, look_first: bool) -> None:
    seen = operation.observe(context)
    result.evidence.extend(seen.evidence)
    result.reason = seen.reason
    if seen.look is Look.DONE:
        result.outcome = Outcome.DONE if look_first else Outcome.ALREADY
        return
    if seen.look is Look.BLOCKED:
        return
    if context.step.verb is Verb.PROMOTE and not _may_promote(context, seen, result):
        return
    if context.cancelled():
        result.outcome = Outcome.CANCELLED
        return
    result.evidence.extend(operation.preserve(context))
    if not context.may_act():
        result.outcome, result.reason = Outcome.CANCELLED, "the lease is not ours any more"
        return
    result.acted = True
    result.evidence.extend(operation.act(replace(context, evidence=(*context.evidence, *result.evidence))))
    context = replace(context, evidence=(*context.evidence, *result.evidence))
    seen = _until_held(operation, context)
    result.evidence.extend(seen.evidence)
    result.reason = seen.reason
    if seen.look is Look.DONE:
        result.outcome = Outcome.DONE
    elif seen.look is Look.NEEDED:
        result.outcome = Outcome.CANCELLED if context.cancelled() else Outcome.UNKNOWN
        result.reason = f"acted, and could not see it hold in time: {seen.reason}"


def _may_promote(context: AttemptContext, seen: Seen, result: Attempted) -> bool:
    component = context.step.component
    found = next((item for item in reversed(seen.evidence) if isinstance(item, RecoveryPoint)), None)
    verdicts = guards.before_promote(
        component, context.found(Fenced, component), found, context.rpo, context.acceptances, context.clock.now()
    )
    no = guards.refused(verdicts)
    if no:
        result.guard = no[0].name
        flags = guards.way_out(verdicts)
        result.reason = "; ".join(item.reason for item in no)
        result.reason += f" (try: dr resume {context.run_id} {flags})" if flags else ""
    return not no


def _until_held(operation: Operation, context: AttemptContext) -> Seen:
    """Reads again until it holds, went wrong, was cancelled or the deadline has passed; short waits first."""

    def over(_state: tenacity.RetryCallState) -> bool:
        return context.cancelled() or context.clock.monotonic() >= context.deadline

    poll = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda seen: seen.look is Look.NEEDED),
        wait=tenacity.wait_exponential(multiplier=0.01, max=0.25),
        stop=over,
        sleep=context.clock.sleep,
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else Seen(Look.NEEDED),
    )
    held: Seen = poll(operation.verify, context)
    return held
