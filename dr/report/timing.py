"""The time side of a run: stamps, the RTA and its five parts, the critical path as it went. Pure.

RTA begins when the outage began and ends when the last public hostname has accepted a write.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dr.engine.state import StepRun
from dr.model.base import between, seconds
from dr.model.events import OutageKnownFrom, RunStarted, Turned
from dr.model.report import CriticalPath, RtaBreakdown, Stamps
from dr.model.words import FenceState, Role, StepState, Verb
from dr.report.history import History

_DONE = (StepState.DONE, StepState.ALREADY)


def stamps(history: History) -> Stamps:
    """The moments that cut the RTA; None where the run did not get that far, or where a person skipped the step."""
    has_outside = any(step.spec.verb is Verb.VERIFY_OUTSIDE for step in history.state.steps.values())
    return Stamps(
        outage_began=outage_began(history),
        detected=history.started.detected,
        decided=history.started.decided,
        first_effect=history.first_act(),
        promoted=_end_of(history, Verb.PROMOTE),
        redirected=_end_of(history, Verb.REDIRECT),
        propagated=_end_of(history, Verb.PROPAGATE),
        # a plan without public names (--only DATABASE) can be proven from inside only
        verified=_end_of(history, Verb.VERIFY_OUTSIDE if has_outside else Verb.VERIFY_INSIDE),
    )


def outage_began(history: History) -> datetime | None:
    """When service ended: what was known at the start; planned: the first freeze that acted (else the first fence).

    A failover of a primary that was still healthy takes service away itself: with its fence, where that was acknowledged; else not
    before it tried, and the RTA is a bound. Where the fence finds it stopped, it was last there when it was looked at. Of one that was
    silent already a fence says nothing: it may have been away for long, and be back by then.
    """
    if not history.state.current_plan.intent.moves:
        return None  # a re-protect takes nothing away
    candidates = [history.state.outage_began]
    if history.started.plan.intent.planned:
        candidates.append(history.first_act(Verb.FREEZE) or history.first_act(Verb.FENCE))
    known = [moment for moment in candidates if moment is not None]
    fenced = any(fact.state is FenceState.FENCED for fact in history.fences())
    if not known and served_at_first(history):
        moment = history.first_act(Verb.FENCE)
        if moment is None and fenced:  # it was found stopped: it went between the look at it and the fence
            moment = max((view.at for view in history.started.plan.views if view.primary is not None), default=None)
        known = [moment] if moment is not None else []
    return min(known, default=None)


def dated_by(history: History) -> OutageKnownFrom:
    """Who says when service ended; "" where the run took it away itself."""
    known: OutageKnownFrom = ""
    for _, event in history.events:
        if isinstance(event, (RunStarted, Turned)) and event.outage_began is not None:
            known = event.samples_from
    return known if history.state.outage_began is not None and history.state.outage_began == outage_began(history) else ""


def served_at_first(history: History) -> bool:
    """The source took the writes of every component when it was decided; names that still led to what was dead are no service."""
    plan = history.started.plan
    data = (view.regions[plan.source].role for view in plan.views if view.lag is not None and plan.source in view.regions)
    primaries = {view.primary for view in plan.views if view.primary is not None}
    return primaries == {plan.source} and all(role is Role.PRIMARY for role in data)


def _end_of(history: History, verb: Verb) -> datetime | None:
    """When the last step of a verb ended; None unless every one of them is done."""
    steps = [step for step in history.state.steps.values() if step.spec.verb is verb]
    ends = [step.ended_at for step in steps if step.state in _DONE and step.ended_at is not None]
    return max(ends) if steps and len(ends) == len(steps) else None


def cuts(moments: Stamps) -> list[tuple[str, datetime]]:
    """The ends of the five parts in order, those that are known, never going back."""
    named = (
        ("detect", moments.detected),
        ("decide", moments.decided),
        ("execute", moments.redirected or (moments.promoted if moments.verified else None)),
        ("propagate", moments.propagated),
        ("verify", moments.verified),
    )
    result: list[tuple[str, datetime]] = []
    last = moments.outage_began
    for name, moment in named:
        if last is not None and moment is not None:
            last = max(last, moment)
            result.append((name, last))
    return result


def rta(moments: Stamps) -> timedelta | None:
    """Outage began to last verified write; None (unknown) unless both are known."""
    if moments.verified is None or moments.outage_began is None:
        return None
    return cuts(moments)[-1][1] - moments.outage_began


def breakdown(moments: Stamps) -> RtaBreakdown:
    """The five disjoint parts, in seconds. They sum up to the RTA.

    A stamp that is not known gives no part; its time counts in the next part that is known.
    """
    parts: dict[str, float | None] = {}
    start = moments.outage_began
    for name, end in cuts(moments):
        parts[name] = seconds(between(start, end))
        start = end
    return RtaBreakdown(**parts)


def critical_path(history: History) -> CriticalPath:
    """The chain that decided when the redirect was done: back from the last redirect (else the last outside or inside check)
    through the need that ended last. Planned moves: only what still ran after the freeze."""
    steps = history.state.steps
    current = _last_finished(history)
    path: list[StepRun] = []
    while current is not None:
        path.append(current)
        needs = [steps[need] for need in current.spec.needs if need in steps and steps[need].ended_at is not None]
        current = max(needs, key=_ended, default=None)
    path.reverse()
    start = _window_start(history)
    if start is not None:
        path = [step for step in path if _ended(step) > start]
    took = sum((_inside(step, start) for step in path), timedelta())
    return CriticalPath(steps=tuple(step.spec.id for step in path), seconds=round(took.total_seconds(), 6))


def overhead(moments: Stamps, path: CriticalPath) -> float | None:
    """What the orchestrator itself cost: execute minus the time the steps of the critical path took, in seconds."""
    execute = breakdown(moments).execute
    return None if execute is None else round(max(0.0, execute - path.seconds), 6)


def _last_finished(history: History) -> StepRun | None:
    for verb in (Verb.REDIRECT, Verb.VERIFY_OUTSIDE, Verb.VERIFY_INSIDE, Verb.FOLLOW):
        ended = [step for step in history.state.steps.values() if step.spec.verb is verb and step.state in _DONE]
        if ended:
            return max(ended, key=_ended)
    return None


def _ended(step: StepRun) -> datetime:
    assert step.ended_at is not None  # only asked of steps that ended
    return step.ended_at


def _window_start(history: History) -> datetime | None:
    """Where ``execute`` begins: the later of decision and outage."""
    began = outage_began(history)
    return history.started.decided if began is None else max(began, history.started.decided)


def _inside(step: StepRun, start: datetime | None) -> timedelta:
    """How long a step took, as measured in its worker; no more than lies after the start."""
    took = step.duration or timedelta()
    return took if start is None else min(took, _ended(step) - start)
