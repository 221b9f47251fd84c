"""A run's numbers, reckoned from its journal records alone, by arithmetic that shares nothing with the reports'."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dr.model.events import Event, Observed, RunStarted, StepEnded, StepStarted, Turned, UndoStarted
from dr.model.evidence import Evidence, Fenced, Healthy, Promoted, RecoveryPoint, Redirected, TaskCount
from dr.model.plan import Plan, StepSpec
from dr.model.words import FenceState, Known, Outcome, Role, TaskFate, Verb

_GOOD = (Outcome.DONE, Outcome.ALREADY)
_STOPPED = (FenceState.FENCED, FenceState.NOT_NEEDED)


@dataclass
class _Tries:
    """One step. begun: of all attempts that acted, or may have, with their number in the run; done: when it was seen to hold the last time,
    None if it does not."""

    begun: list[tuple[int, datetime]] = field(default_factory=list)
    done: datetime | None = None


class Account:
    """The numbers of one run up to some record.

    Args:
        events: with the moments that they were journaled with; the first one starts the run.
    """

    def __init__(self, events: list[tuple[datetime, Event]]) -> None:
        first = events[0][1]
        assert isinstance(first, RunStarted), "a run begins with its start"
        self.started, self.plan = first, first.plan
        self.outage_told = first.outage_began
        self.tries: dict[str, _Tries] = {}
        self.specs: dict[str, StepSpec] = {}
        self.facts: list[Evidence] = []
        self.late: list[tuple[datetime, Evidence]] = []
        """What fences found that were tried again after the promotion which had gone ahead without them."""
        self._lay_out(first.plan)
        for number, (at, event) in enumerate(events):
            match event:
                case Turned():
                    self.plan = event.plan
                    self.outage_told = event.outage_began or self.outage_told
                    self._lay_out(event.plan)
                case StepStarted() | StepEnded():
                    self._step(number, at, event)
                case UndoStarted(step=step):
                    self.tries[step].done = None
                case Observed():
                    self.facts.append(event.evidence)

    def _step(self, number: int, at: datetime, event: StepStarted | StepEnded) -> None:
        tries = self.tries[event.step]
        if event.owed:
            self.late += ((at, item) for item in (event.evidence if isinstance(event, StepEnded) else ()))
        elif isinstance(event, StepStarted):
            tries.begun.append((number, at))
            tries.done = None
        else:
            if not event.acted:
                tries.begun.pop()
            if event.outcome in _GOOD:
                tries.done = at
            self.facts += event.evidence

    def _lay_out(self, plan: Plan) -> None:
        for spec in plan.steps:
            self.specs[spec.id] = spec
            self.tries.setdefault(spec.id, _Tries())

    # --- time ---------------------------------------------------------------------------------------------------------

    def first(self, verb: Verb) -> datetime | None:
        """When a step of a verb first acted: in the order of the journal, since clocks may go back between two processes."""
        begun = [item for step, tries in self.tries.items() if self.specs[step].verb is verb for item in tries.begun]
        return min(begun)[1] if begun else None

    def last(self, verb: Verb) -> datetime | None:
        """When the last step of a verb was done; None unless all of the plan's are."""
        ends = [self.tries[spec.id].done for spec in self.plan.steps if spec.verb is verb]
        known = [at for at in ends if at is not None]
        return max(known) if known and len(known) == len(ends) else None

    @property
    def outage_began(self) -> datetime | None:
        """When service ended, as the journal says it."""
        if not self.plan.intent.moves:
            return None
        known = [self.outage_told] if self.outage_told is not None else []
        if self.started.plan.intent.planned:
            own = self.first(Verb.FREEZE) or self.first(Verb.FENCE)
            known += [own] if own is not None else []
        if known:
            return min(known)
        fenced = any(isinstance(item, Fenced) and item.state is FenceState.FENCED for item in self.facts)
        source, views = self.started.plan.source, [view for view in self.started.plan.views if view.primary is not None]
        data = [view.regions[source].role for view in self.started.plan.views if view.lag is not None and source in view.regions]
        if {view.primary for view in views} != {source} or any(role is not Role.PRIMARY for role in data):
            return None
        own = self.first(Verb.FENCE)
        return max((view.at for view in views), default=None) if own is None and fenced else own

    @property
    def rta(self) -> float | None:
        """Seconds from the outage to the last name that took a write."""
        outside = any(spec.verb is Verb.VERIFY_OUTSIDE for spec in self.plan.steps)
        verified, began = self.last(Verb.VERIFY_OUTSIDE if outside else Verb.VERIFY_INSIDE), self.outage_began
        if verified is None or began is None:
            return None
        on_the_way = [self.started.detected, self.started.decided, self.last(Verb.REDIRECT) or self.last(Verb.PROMOTE)]
        return max((at - began).total_seconds() for at in (*on_the_way, self.last(Verb.PROPAGATE), verified, began) if at is not None)

    # --- data ---------------------------------------------------------------------------------------------------------

    def loss(self, component: str) -> tuple[Known, float | None]:
        """What a component lost, in seconds."""
        points = [item for item in self.facts if isinstance(item, RecoveryPoint) and item.component == component]
        if not points or (points[-1].recovery_point is None and not points[-1].complete):
            return Known.UNKNOWN, None
        if points[-1].complete:
            return Known.KNOWN, 0.0
        point = points[-1].recovery_point
        assert point is not None, "asked above"
        slow = [item.clock_behind or timedelta() for item in points]
        slow += [view.lag.clock_behind or timedelta() for view in self.started.plan.views if view.component == component and view.lag]
        point -= max(slow)  # what comes after it may be stamped by a clock that is so slow
        fences = [item for item in self.facts if isinstance(item, Fenced) and item.component == component]
        ends = [item.writes_ended_at for item in fences if item.writes_ended_at is not None]
        if ends and ends[-1] > point:
            return Known.KNOWN, (ends[-1] - point).total_seconds()
        last = self._last_write(component, bool(fences) and fences[-1].state in _STOPPED)
        return (Known.UNKNOWN, None) if last is None or last <= point else (Known.BOUND, (last - point).total_seconds())

    def _last_write(self, component: str, stopped: bool) -> datetime | None:
        promotions = [item.promoted_at for item in self.facts if isinstance(item, Promoted) and item.component == component]
        ends = [self.tries[s.id].done for s in self.plan.steps if s.verb is Verb.PROMOTE and s.component == component]
        promoted = promotions[-1] if promotions else max((at for at in ends if at is not None), default=None)
        if promoted is None or stopped or not any(spec.verb is Verb.PROPAGATE for spec in self.plan.steps):
            return promoted
        newest = {item.component: item for item in self.facts if isinstance(item, Redirected)}
        silent = any(item.still_answers for item in newest.values())
        led_away = None if silent else self.last(Verb.VERIFY_OUTSIDE) or self.last(Verb.PROPAGATE)
        over = [at for at, item in self.late if isinstance(item, Fenced) and item.component == component and item.state in _STOPPED]
        over += [] if led_away is None else [led_away]
        return max(promoted, min(over)) if over else None

    @property
    def rpa(self) -> tuple[Known, float | None]:
        """The worst loss of all components that hold data; one unknown makes it unknown."""
        names = [spec.component for spec in self.plan.steps if spec.verb is Verb.PROMOTE]
        names += [item.component for item in self.facts if isinstance(item, RecoveryPoint)]
        losses = [self.loss(name) for name in dict.fromkeys(names)]
        if not losses or not self.plan.intent.moves or any(value is None for _, value in losses):
            return Known.UNKNOWN, None
        worst = max(value for _, value in losses if value is not None)
        states = [state for state, value in losses if value == worst]
        return (Known.KNOWN if Known.KNOWN in states else Known.BOUND), worst

    # --- counts -------------------------------------------------------------------------------------------------------

    @property
    def tasks(self) -> tuple[int, int, int] | None:
        """In flight, requeued, failed; None where nobody counted."""
        newest = {item.component: item for item in self.facts if isinstance(item, TaskCount)}
        if not newest:
            return None
        fates = [item.fates for item in newest.values()]
        sums = [sum(item.get(fate, 0) for item in fates) for fate in (TaskFate.REQUEUED, TaskFate.FAILED)]
        return sum(item.in_flight for item in newest.values()), sums[0], sums[1]

    @property
    def deployments(self) -> tuple[int, int]:
        """All, and those that work."""
        newest = {item.component: item for item in self.facts if isinstance(item, Healthy)}
        return sum(item.total for item in newest.values()), sum(item.healthy for item in newest.values())
