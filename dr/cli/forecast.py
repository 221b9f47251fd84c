"""When a run will be over, from its state and the estimates: arithmetic for the live table, no picture."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.engine.state import RunState, StepRun
from dr.model.words import StepState, Verb

_SERVICE = (Verb.REDIRECT, Verb.PROPAGATE, Verb.VERIFY_OUTSIDE)
"""Service is back when the last of these is done; what comes after does not count against the RTO."""


@dataclass(frozen=True)
class Forecast:
    """service_back, ends: moments; None where nothing is left that could be waited for. late: service_back lies beyond the RTO."""

    service_back: datetime | None
    ends: datetime | None
    late: bool


def forecast(state: RunState, now: datetime) -> Forecast:
    """Each open step ends at the latest of its needs plus its estimate; one under way, not before now."""
    finish: dict[str, datetime] = {}
    for step_id in _ordered(state):
        step = state.steps[step_id]
        ready = max((finish[need] for need in step.spec.needs if need in finish), default=now)
        finish[step_id] = _finish(step, max(ready, now), now)
    open_steps = {step_id for step_id, step in state.steps.items() if not state.passes(step)}
    service = _latest(finish, [step_id for step_id, step in state.steps.items() if step.spec.verb in _SERVICE])
    began = state.outage_began or state.started_at
    late = service is not None and began is not None and service - began > state.current_plan.rto
    return Forecast(service, _latest(finish, open_steps), late)


def elapsed(step: StepRun, now: datetime) -> timedelta | None:
    """How long a step has taken, or takes by now; None before it started."""
    if step.started_at is None:
        return None
    if step.state.active or step.ended_at is None:
        return max(now - step.started_at, timedelta(0))
    return step.ended_at - step.started_at


def _finish(step: StepRun, ready: datetime, now: datetime) -> datetime:
    if step.state.satisfied or step.state in (StepState.FAILED, StepState.CANCELLED, StepState.UNDONE):
        return step.ended_at or now
    if step.started_at is not None and step.state.active:
        return max(step.started_at + step.spec.estimate, now)
    return ready + step.spec.estimate


def _latest(finish: dict[str, datetime], ids: Collection[str]) -> datetime | None:
    return max((finish[step_id] for step_id in ids), default=None)


def _ordered(state: RunState) -> list[str]:
    """Needs before what needs them."""
    done: dict[str, None] = {}
    for start in state.steps:
        stack = [start]
        while stack:
            open_needs = [need for need in state.steps[stack[-1]].spec.needs if need not in done and need in state.steps]
            if open_needs:
                stack.extend(open_needs)
            else:
                done[stack.pop()] = None
    return list(done)
