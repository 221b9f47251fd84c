"""When a run will be over, from its state and the estimates: arithmetic for the live table and for the warning before the RTO. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.engine.state import RunState, StepRun
from dr.model.evidence import PredictedLate
from dr.model.words import SATISFIED, StepState, Verb

_SERVICE = (Verb.REDIRECT, Verb.PROPAGATE, Verb.VERIFY_OUTSIDE)
"""Service is back when the last of these is done; what comes after does not count against the RTO."""
_OVER = (*SATISFIED, StepState.FAILED, StepState.CANCELLED, StepState.UNDONE)
"""Nothing more is expected of such a step."""


@dataclass(frozen=True)
class Forecast:
    """service_back, ends: moments; None where nothing is left that could be waited for. late: service_back lies beyond the RTO,
    which counts from ``began``."""

    service_back: datetime | None
    ends: datetime | None
    late: bool
    began: datetime | None = None


def forecast(state: RunState, now: datetime) -> Forecast:
    """Each open step ends at the latest of its needs plus its estimate; one under way, not before now."""
    finish: dict[str, datetime] = {}
    for step_id in _ordered(state):
        step = state.steps[step_id]
        ready = max((finish[need] for need in step.spec.needs if need in finish), default=now)
        finish[step_id] = _finish(step, max(ready, now), now)
    open_steps = {step_id for step_id, step in state.steps.items() if not state.passes(step)}
    service = _latest(finish, [step_id for step_id, step in state.steps.items() if step.spec.verb in _SERVICE])
    began = _began(state, finish)
    beyond = service is not None and began is not None and service - began > state.current_plan.rto
    return Forecast(service, _latest(finish, open_steps), beyond, began)


def late(state: RunState, now: datetime) -> PredictedLate | None:
    """What a person has to hear now, once in a run: the RTO cannot be kept, by the estimates; None where there is nothing new."""
    plan = state.current_plan
    if not plan.intent.moves or state.rolling_back or any(isinstance(item, PredictedLate) for item in state.evidence):
        return None
    service = [step for step in state.steps.values() if step.spec.verb in _SERVICE and not state.passes(step)]
    if not service or _surely_in_time(state, now):
        return None
    expected = forecast(state, now)
    if not expected.late or expected.service_back is None or expected.began is None:
        return None
    return PredictedLate(
        at=now, rto=plan.rto, deadline=expected.began + plan.rto, service_back=expected.service_back, waits_for=_held_by(state, service[-1])
    )


def _surely_in_time(state: RunState, now: datetime) -> bool:
    """Even with one open step after the other the RTO is kept. It is asked every few seconds, and that is nearly always the answer."""
    began = _began_at_first(state, now)
    if began is None:
        return False
    latest, left = now, timedelta(0)
    for step in state.steps.values():
        if step.state in _OVER:
            if step.ended_at is not None and step.ended_at > latest:
                latest = step.ended_at
        else:
            left += step.spec.estimate
            if step.started_at is not None and step.started_at > latest:
                latest = step.started_at
    return latest + left - began <= state.current_plan.rto


def _began_at_first(state: RunState, now: datetime) -> datetime | None:
    """As ``_began``, or before it: what a planned move has not frozen yet, it does not freeze before now."""
    if state.outage_began is None and state.current_plan.intent.planned:
        for verb in (Verb.FREEZE, Verb.FENCE):
            steps = [step for step in state.steps.values() if step.spec.verb is verb]
            if steps:
                return min(step.started_at or min(now, step.ended_at or now) - step.spec.estimate for step in steps)
    return state.outage_began or state.started_at


def _held_by(state: RunState, step: StepRun) -> str:
    """The step that is waited for now: from a later one back through needs that are open."""
    while True:
        needs = [state.steps[need] for need in step.spec.needs if not state.passes(state.steps[need])]
        if not needs:
            return step.spec.id
        step = next((need for need in needs if need.state.active), needs[0])


def elapsed(step: StepRun, now: datetime) -> timedelta | None:
    """How long a step has taken, or takes by now; None before it started."""
    if step.started_at is None:
        return None
    if (step.state.active and not step.owed) or step.ended_at is None:
        return max(now - step.started_at, timedelta(0))
    return step.ended_at - step.started_at


def _finish(step: StepRun, ready: datetime, now: datetime) -> datetime:
    if step.state in _OVER:
        return step.ended_at or now
    if step.started_at is not None and step.state.active:
        return max(step.started_at + step.spec.estimate, now)
    return ready + step.spec.estimate


def _began(state: RunState, finish: dict[str, datetime]) -> datetime | None:
    """When the time that the RTO counts began, or will: of a planned move with its first freeze, which an old TTL is waited out before."""
    if state.outage_began is None and state.current_plan.intent.planned:
        for verb in (Verb.FREEZE, Verb.FENCE):
            steps = [step for step in state.steps.values() if step.spec.verb is verb]
            if steps:
                return min(step.started_at or finish[step.spec.id] - step.spec.estimate for step in steps)
    return state.outage_began or state.started_at


def _latest(finish: dict[str, datetime], ids: Collection[str]) -> datetime | None:
    return max((finish[step_id] for step_id in ids), default=None)


def _ordered(state: RunState) -> list[str]:
    """Needs before what needs them."""
    done: dict[str, None] = {}
    for start, step in state.steps.items():
        if all(need in done for need in step.spec.needs):  # a plan's steps lie in that order already
            done[start] = None
            continue
        stack = [start]
        while stack:
            open_needs = [need for need in state.steps[stack[-1]].spec.needs if need not in done and need in state.steps]
            if open_needs:
                stack.extend(open_needs)
            else:
                done[stack.pop()] = None
    return list(done)
