"""One run as read back: its state, its attempts and its facts, each with the moment it was journaled. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from dr.engine.machine import apply
from dr.engine.state import RunState
from dr.errors import StateUnreadable
from dr.model.events import (
    Event,
    Observed,
    Record,
    Resumed,
    RunStarted,
    SkipRequested,
    StepEnded,
    StepStarted,
    Turned,
    UndoEnded,
    UndoStarted,
)
from dr.model.evidence import Evidence, Fenced
from dr.model.plan import StepSpec
from dr.model.words import Verb

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a step. ``end`` is None where the process died in it. ``owed``: of a fence, after the promotion."""

    spec: StepSpec
    started_at: datetime
    end: StepEnded | None = None
    owed: bool = False

    @property
    def acted(self) -> bool:
        """It had an effect, or may have had one: its end was never written."""
        return self.end is None or self.end.acted


@dataclass(frozen=True, slots=True)
class Fact:
    """One piece of evidence with the moment it was journaled, and the step that found it ("" where none did). ``owed``: as its attempt."""

    at: datetime
    evidence: Evidence
    step: str = ""
    owed: bool = False


@dataclass(frozen=True)
class History:
    """A run, read back. ``events`` in the order of the journal, moments in UTC."""

    run_id: str
    head: str
    events: tuple[tuple[datetime, Event], ...]
    state: RunState
    started: RunStarted
    attempts: tuple[Attempt, ...]
    facts: tuple[Fact, ...]

    @classmethod
    def read(cls, records: Sequence[Record], known: History | None = None) -> History:
        """Folds the records of one run.

        Args:
            known: what its first records came to when they were read before: only the rest is folded then. It is left as it is.

        Raises:
            StateUnreadable: there are none, or the first one does not start a run.
            IllegalTransition: they are not a history that the machine allows.
        """
        events = () if known is None else known.events
        new = [(datetime.fromisoformat(record.at), record.event) for record in records[len(events) :]]
        events = (*events, *new)
        if not events or not isinstance(events[0][1], RunStarted):
            raise StateUnreadable("the journal of this run does not begin with its start", hint="dr runs")
        state = RunState(records[0].run_id) if known is None else known.state.copy()
        for at, event in new:
            apply(state, event, at)
        facts = () if known is None else known.facts
        return cls(records[0].run_id, records[-1].hash, events, state, events[0][1], _attempts(known, new), (*facts, *_facts(new)))

    def all(self, fact: type[E], component: str | None = None) -> list[E]:
        """The evidence of one class, oldest first; of one component where named."""
        found: list[Any] = self._found.get(fact, [])  # kept by class: a report asks twenty times
        return found.copy() if component is None else [item for item in found if getattr(item, "component", None) == component]

    @cached_property
    def _found(self) -> dict[type, list[Evidence]]:
        """All evidence, by its class."""
        found: dict[type, list[Evidence]] = {}
        for item in self.facts:
            found.setdefault(type(item.evidence), []).append(item.evidence)
        return found

    def newest(self, fact: type[E], component: str | None = None) -> E | None:
        """The newest evidence of one class; of one component where named."""
        found = self.all(fact, component)
        return found[-1] if found else None

    def newest_each(self, fact: type[E]) -> list[E]:
        """The newest evidence of one class for each component, in the order in which the components came first."""
        by_component = {getattr(item, "component", ""): item for item in self.all(fact)}
        return list(by_component.values())

    def fences(self, component: str | None = None) -> list[Fenced]:
        """What was known of the old primary before the promotion, oldest first: what came of a fence that was owed changes nothing about
        when service ended, nor what the promotion went ahead on."""
        found = [item.evidence for item in self.facts if isinstance(item.evidence, Fenced) and not item.owed]
        return [item for item in found if component is None or item.component == component]

    def acknowledged(self, component: str) -> datetime | None:
        """When a fence that was owed was acknowledged."""
        late = (item for item in self.facts if item.owed and isinstance(item.evidence, Fenced) and item.evidence.component == component)
        return next((item.at for item in late if isinstance(item.evidence, Fenced) and item.evidence.state.certain), None)

    def first_act(self, *verbs: Verb) -> datetime | None:
        """When the first attempt that acted began; of these verbs only, where named."""
        acts = (item for item in self.attempts if item.acted and not item.owed)
        return next((item.started_at for item in acts if not verbs or item.spec.verb in verbs), None)

    def left(self, *verbs: Verb) -> datetime | None:
        """When the first attempt of these verbs began that acted, of steps that were not taken back since, by an undo or by a person who
        says so by skipping an undo: a turn forgets what the new plan does not have."""
        back, undone = dict[str, datetime](), set[str]()
        for at, event in self.events:
            if isinstance(event, UndoStarted):
                undone.add(event.step)
            elif (isinstance(event, SkipRequested) and event.step in undone) or (isinstance(event, UndoEnded) and event.ok):
                back[event.step] = max(at, back.get(event.step, at))
        acts = (item for item in self.attempts if item.acted and not item.owed and item.spec.verb in verbs)
        return next((item.started_at for item in acts if item.spec.id not in back or back[item.spec.id] < item.started_at), None)

    def no_return(self) -> Attempt | None:
        """The first attempt of an irreversible step that acted, or may have: the point of no return."""
        return next((item for item in self.attempts if item.acted and item.spec.irreversible), None)

    def in_charge(self, at: datetime | None) -> str:
        """Who had the run in hand at a moment (None: at its end): who started it, took it over or turned it last. Claimed."""
        holding = self.started.actor
        for moment, actor in self._taken_over:
            if at is not None and moment > at:
                break
            holding = actor
        return holding

    @cached_property
    def _taken_over(self) -> list[tuple[datetime, str]]:
        """Who took it over or turned it, each with the latest moment that stands in the journal up to then: clocks may go back."""
        found = [(place, event.actor) for place, (_, event) in enumerate(self.events, start=1) if isinstance(event, (Resumed, Turned))]
        return [(max(moment for moment, _ in self.events[:place]), actor) for place, actor in found]


def _attempts(known: History | None, events: Sequence[tuple[datetime, Event]]) -> tuple[Attempt, ...]:
    """In the order in which they began, after those that are known."""
    specs: dict[str, StepSpec] = {} if known is None else {name: step.spec for name, step in known.state.steps.items()}
    attempts = [] if known is None else list(known.attempts)
    newest = {item.spec.id: number for number, item in enumerate(attempts)}
    for at, event in events:
        if isinstance(event, (RunStarted, Turned)):
            specs.update((spec.id, spec) for spec in event.plan.steps)
        elif isinstance(event, StepStarted):
            newest[event.step] = len(attempts)
            attempts.append(Attempt(specs[event.step], at, owed=event.owed))
        elif isinstance(event, StepEnded):
            began = newest[event.step]
            attempts[began] = Attempt(specs[event.step], attempts[began].started_at, event, event.owed)
    return tuple(attempts)


def _facts(events: Sequence[tuple[datetime, Event]]) -> Iterator[Fact]:
    for at, event in events:
        if isinstance(event, StepEnded):
            yield from (Fact(at, item, event.step, event.owed) for item in event.evidence)
        elif isinstance(event, Observed):
            yield Fact(at, event.evidence)
