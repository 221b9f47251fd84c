"""The data side of a run: RPA of each component at the instant of the disaster, fence, divergence. Pure.

RPA = end of writes on the old primary − recovery point read in the target. The end of writes counts only where it is known: the old
primary is fenced, or an independent probe saw writes end. Else it is a bound ("at most"): a fenced primary whose end nobody saw was dead by
the promotion; one that is not fenced may live, and takes writes until names and caches lead nobody there any more; that is
unknown as long as a name server of its side is silent.
An end before the recovery point was not the end: then it is a bound, too, and never a known zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.model.base import between, seconds
from dr.model.evidence import Fenced, Following, Preserved, Promoted, RecoveryPoint, Redirected
from dr.model.report import ComponentReport, DivergenceReport, FenceReport
from dr.model.words import FenceState, Guard, Known, StepState, Verb
from dr.report import timing
from dr.report.history import History


@dataclass(frozen=True, slots=True)
class Loss:
    """RPA of one component. ``value`` is None exactly when ``state`` is unknown."""

    component: str
    state: Known
    value: timedelta | None
    recovery_point: datetime | None


def losses(history: History) -> tuple[Loss, ...]:
    """One for each component that holds data: it is promoted in this plan, or its recovery point was read."""
    return tuple(_loss(history, component) for component in _holding_data(history))


def _holding_data(history: History) -> list[str]:
    plan = history.state.current_plan
    names = [step.component for step in plan.steps if step.verb is Verb.PROMOTE]
    names += [fact.component for fact in history.all(RecoveryPoint)]
    return list(dict.fromkeys(names))


def _loss(history: History, component: str) -> Loss:
    point = history.newest(RecoveryPoint, component)
    if point is None:
        return Loss(component, Known.UNKNOWN, None, None)
    if point.complete:
        return Loss(component, Known.KNOWN, timedelta(), point.recovery_point)
    if point.recovery_point is None:
        return Loss(component, Known.UNKNOWN, None, None)
    # by the slowest clock that stamped anything here: another machine may have fenced, or this one before its clock was set right
    since = point.recovery_point - _slowest(history, component)
    ended = [fact.writes_ended_at for fact in history.fences(component) if fact.writes_ended_at is not None]
    if ended and ended[-1] > since:
        return Loss(component, Known.KNOWN, ended[-1] - since, point.recovery_point)
    last = _last_possible_write(history, component)
    if last is None or last <= since:  # a clock that is ahead bounds nothing
        return Loss(component, Known.UNKNOWN, None, point.recovery_point)
    return Loss(component, Known.BOUND, last - since, point.recovery_point)


def _slowest(history: History, component: str) -> timedelta:
    """How far the slowest clock was behind: of the machines that read the recovery point, and of the one that decided."""
    read = [fact.clock_behind for fact in history.all(RecoveryPoint, component)]
    seen = [view.lag.clock_behind for view in history.started.plan.views if view.lag is not None and view.component == component]
    return max((slow for slow in (*read, *seen) if slow is not None), default=timedelta())


def _last_possible_write(history: History, component: str) -> datetime | None:
    """Until when a client may have written to the old primary: fenced, it was dead by the promotion; else until names led nobody there, or
    until the fence that was owed was acknowledged.

    None while that is not reached, and where a name server of the old side was silent: it may be behind a partition, and lead people to a
    primary that nobody fenced. A move without names ends with its promotion: where clients find the data is not its business.
    """
    promoted = _promoted_at(history, component)
    found = history.fences(component)
    names = any(step.verb is Verb.PROPAGATE for step in history.state.current_plan.steps)
    if promoted is None or not names or (found and found[-1].state.certain):
        return promoted
    ends = [history.acknowledged(component)]
    if not any(item.still_answers for item in history.newest_each(Redirected)):
        moments = timing.stamps(history)
        # what was sent before the caches ran out is acknowledged a moment later: the check that follows is the safer end
        ends.append(moments.verified or moments.propagated)
    known = [moment for moment in ends if moment is not None]
    return max(promoted, min(known)) if known else None


def _promoted_at(history: History, component: str) -> datetime | None:
    fact = history.newest(Promoted, component)
    if fact is not None:
        return fact.promoted_at
    steps = [step for step in history.state.steps.values() if step.spec.component == component and step.spec.verb is Verb.PROMOTE]
    return max((step.ended_at for step in steps if step.state is StepState.DONE and step.ended_at is not None), default=None)


def worst(found: tuple[Loss, ...]) -> Loss | None:
    """The loss that counts for the objective: one unknown makes it unknown. None where no component holds data."""
    if not found:
        return None
    for loss in found:
        if loss.value is None:
            return loss
    return max(found, key=lambda loss: (loss.value or timedelta(), loss.state is Known.KNOWN))


def within_objectives(history: History, found: tuple[Loss, ...]) -> bool:
    """Each component lost at most its own RPO; an unknown loss is not within."""
    plan = history.state.current_plan
    return all(loss.value is not None and loss.value <= plan.component_rpo.get(loss.component, plan.rpo) for loss in found)


def components(history: History, found: tuple[Loss, ...]) -> tuple[ComponentReport, ...]:
    """The losses with the lag that was known when it was decided, and how old that knowledge was."""
    plan = history.state.current_plan
    kinds = {step.component: step.kind for step in plan.steps} | {view.component: view.kind for view in plan.views}
    samples = {view.component: view.lag for view in plan.views}
    result = []
    for loss in found:
        sample = samples.get(loss.component)
        age = between(sample.at, history.started.decided) if sample is not None else None
        result.append(
            ComponentReport(
                id=loss.component,
                kind=kinds.get(loss.component, ""),
                rpo_seconds=plan.component_rpo.get(loss.component, plan.rpo).total_seconds(),
                rpa_seconds=seconds(loss.value),
                rpa_state=loss.state,
                recovery_point=loss.recovery_point,
                lag_seconds=seconds(sample.lag) if sample is not None else None,
                lag_age_seconds=None if age is None else seconds(max(age, timedelta())),
            )
        )
    return tuple(result)


_WORST_FIRST = (FenceState.UNACKNOWLEDGED, FenceState.SPLIT_ACCEPTED, FenceState.FENCED, FenceState.NOT_NEEDED)


def fence(history: History) -> FenceReport:
    """The least certain fence of all components. What was tried, not acknowledged and accepted is a recorded split."""
    found = history.newest_each(Fenced)
    if not found:
        fences = [step for step in history.state.steps.values() if step.spec.verb is Verb.FENCE]
        if not fences:
            return FenceReport(state=FenceState.NOT_NEEDED, evidence="nothing to fence")
        tried = [step for step in fences if step.attempts]
        said = "; ".join(f"{step.spec.id} {step.state}" + (f": {step.reason}" if step.reason else "") for step in tried)
        return FenceReport(state=FenceState.UNACKNOWLEDGED, evidence=said or "no fence was tried", tried=bool(tried))
    accepted = next((item for item in history.state.acceptances if item.guard is Guard.FENCE), None)
    fact = min(found, key=lambda item: _WORST_FIRST.index(item.state))
    text = "; ".join(f"{item.component} in {item.region}: {item.proof}" for item in found)
    if fact.state is FenceState.UNACKNOWLEDGED and accepted is not None:
        said = f"split accepted by {accepted.actor}" + (f": {accepted.reason}" if accepted.reason else "")
        return FenceReport(state=FenceState.SPLIT_ACCEPTED, evidence=f"{text}; {said}")
    return FenceReport(state=fact.state, evidence=text)


def may_have_diverged(history: History) -> bool:
    """Something was promoted in this run without proof that everything of the old primary had arrived."""
    complete = {fact.component for fact in history.all(RecoveryPoint) if fact.complete}
    return any(fact.component not in complete for fact in history.all(Promoted))


def divergence(history: History) -> DivergenceReport:
    """Writes on the old primary that never reached the new one."""
    kept = history.newest_each(Preserved)
    if kept:
        counts = [item.items for item in kept]
        return DivergenceReport(
            state="preserved",
            items=None if None in counts else sum(count or 0 for count in counts),
            preserved_at="; ".join(item.path for item in kept),
        )
    if may_have_diverged(history) and not history.all(Following):
        return DivergenceReport(state="possible")
    return DivergenceReport(state="none")
