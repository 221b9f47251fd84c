"""One run as read back: its state, its attempts and its facts, each with the moment it was journaled. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from dr.engine.machine import fold
from dr.engine.state import RunState
from dr.errors import StateUnreadable
from dr.model.events import Event, Observed, Record, Resumed, RunStarted, StepEnded, StepStarted, Turned
from dr.model.evidence import Evidence
from dr.model.plan import StepSpec
from dr.model.words import Verb

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a step. ``end`` is None where the process died in it."""

    spec: StepSpec
    started_at: datetime
    end: StepEnded | None = None

    @property
    def acted(self) -> bool:
        """It had an effect, or may have had one: its end was never written."""
        return self.end is None or self.end.acted


@dataclass(frozen=True, slots=True)
class Fact:
    """One piece of evidence with the moment it was journaled, and the step that found it ("" where none did)."""

    at: datetime
    evidence: Evidence
    step: str = ""


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
    def read(cls, records: Sequence[Record]) -> History:
        """Folds the records of one run.

        Raises:
            StateUnreadable: there are none, or the first one does not start a run.
            IllegalTransition: they are not a history that the machine allows.
        """
        events = tuple((datetime.fromisoformat(record.at), record.event) for record in records)
        if not events or not isinstance(events[0][1], RunStarted):
            raise StateUnreadable("the journal of this run does not begin with its start", hint="dr runs")
        state = fold(events, records[0].run_id)
        return cls(
            records[0].run_id, records[-1].hash, events, state, events[0][1], tuple(_attempts(events)), tuple(_facts(events))
        )  # fmt: skip

    def all(self, fact: type[E], component: str | None = None) -> list[E]:
        """The evidence of one class, oldest first; of one component where named."""
        return [
            item.evidence
            for item in self.facts
            if isinstance(item.evidence, fact) and (component is None or getattr(item.evidence, "component", None) == component)
        ]

    def newest(self, fact: type[E], component: str | None = None) -> E | None:
        """The newest evidence of one class; of one component where named."""
        found = self.all(fact, component)
        return found[-1] if found else None

    def newest_each(self, fact: type[E]) -> list[E]:
        """The newest evidence of one class for each component, in the order in which the components came first."""
        by_component = {getattr(item, "component", ""): item for item in self.all(fact)}
        return list(by_component.values())

    def first_act(self, *verbs: Verb) -> datetime | None:
        """When the first attempt that acted began; of these verbs only, where named."""
        return next((item.started_at for item in self.attempts if item.acted and (not verbs or item.spec.verb in verbs)), None)

    def no_return(self) -> Attempt | None:
        """The first attempt of an irreversible step that acted, or may have: the point of no return."""
        return next((item for item in self.attempts if item.acted and item.spec.irreversible), None)

    def in_charge(self, at: datetime | None) -> str:
        """Who had the run in hand at a moment (None: at its end): who started it, took it over or turned it last. Claimed."""
        holding = self.started.actor
        for moment, event in self.events:
            if at is not None and moment > at:
                break
            if isinstance(event, (Resumed, Turned)):
                holding = event.actor
        return holding


def _attempts(events: Sequence[tuple[datetime, Event]]) -> Iterator[Attempt]:
    """In the order in which they began."""
    specs: dict[str, StepSpec] = {}
    attempts: dict[int, Attempt] = {}
    open_at: dict[str, int] = {}
    for number, (at, event) in enumerate(events):
        if isinstance(event, (RunStarted, Turned)):
            specs.update((spec.id, spec) for spec in event.plan.steps)
        elif isinstance(event, StepStarted):
            open_at[event.step] = number
            attempts[number] = Attempt(specs[event.step], at)
        elif isinstance(event, StepEnded):
            began = open_at.pop(event.step)
            attempts[began] = Attempt(specs[event.step], attempts[began].started_at, event)
    yield from attempts.values()


def _facts(events: Sequence[tuple[datetime, Event]]) -> Iterator[Fact]:
    for at, event in events:
        if isinstance(event, StepEnded):
            yield from (Fact(at, item, event.step) for item in event.evidence)
        elif isinstance(event, Observed):
            yield Fact(at, event.evidence)
