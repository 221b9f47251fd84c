"""When what happens in a drill: the time line, and the events of runs that faults and acts wait for. Pure.

Events of a run: ``run.started``, ``run.paused``, ``run.ended``; the same with the intent (``failover.ended``); ``STEP.started``,
``STEP.done``, these with the intent, too (``failback:STEP.started``); ``gate.waiting`` and ``STEP.waiting`` where a person is asked.
The drill's own: ``orchestrator.killed``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.engine.machine import apply
from dr.engine.state import RunState
from dr.model.base import show_duration
from dr.model.events import Event, Record, RunEnded, RunStarted, StepEnded, StepStarted
from dr.model.scenario import Act, Fault, Scenario
from dr.model.words import Outcome, RunStatus, StepState

Item = Fault | Act

KILLED = "orchestrator.killed"
"""Fires when the drill has killed the orchestrator, so that a ``resume`` can wait for it."""


@dataclass(frozen=True)
class Schedule:
    """What is due at a time (from the end of the warm-up, in order) and what waits for an event."""

    timed: tuple[tuple[timedelta, Item], ...]
    waiting: tuple[tuple[str, Item], ...]


def merge(scenario: Scenario) -> Schedule:
    """Time line and acts by time; at the same time, and at the same event, faults come before acts."""
    items: list[Item] = [*scenario.timeline, *scenario.acts]
    timed = [(item.at, item) for item in items if item.at is not None]
    timed.sort(key=lambda pair: pair[0])
    return Schedule(tuple(timed), tuple((item.on, item) for item in items if item.on is not None))


def hits_orchestrator(fault: Fault) -> bool:
    """The fault is for the operator's process, not for the world."""
    target = fault.kill or fault.freeze or fault.thaw or fault.cut or fault.bring_back
    return target is not None and target.process is not None


def describe_target(fault: Fault) -> str:
    """What a fault hits, for a report: ``east``, ``east/postgres``, ``orchestrator``, ``link (blackhole)``."""
    if fault.link is not None:
        set_to = fault.link
        how = [
            f"delay {show_duration(set_to.delay)}" if set_to.delay else "",
            f"{set_to.bytes_per_second} bytes/s" if set_to.bytes_per_second else "",
            "blackhole" if set_to.blackhole else "",
            "reset" if set_to.reset else "",
        ]
        return f"link ({', '.join(item for item in how if item) or 'healthy'})"
    if fault.slow is not None:
        return f"{fault.slow.region}/{fault.slow.server} (by {show_duration(fault.slow.by)})"
    if fault.spoil is not None:
        return f"{fault.spoil.region} ({fault.spoil.what})"
    target = fault.kill or fault.freeze or fault.thaw or fault.cut or fault.bring_back
    assert target is not None  # Fault has exactly one
    return target.process or "/".join(part for part in (target.region, target.server) if part)


def due(item: Item) -> str:
    """When an item is due, as the scenario says it."""
    if item.on is not None:
        return item.on + (f" + {show_duration(item.after)}" if item.after else "")
    return show_duration(item.at) if item.at is not None else ""


class RunWatch:
    """Follows one run through its records and names what happened. Does no I/O: records are handed in."""

    def __init__(self, run_id: str) -> None:
        self.state = RunState(run_id)
        self.seq = 0

    def feed(self, records: Iterable[Record]) -> list[str]:
        """The names of the events that these records bring, in order."""
        names: list[str] = []
        for record in records:
            event = record.event
            status, asked = self.state.status, set(self.waiting())
            apply(self.state, event, datetime.fromisoformat(record.at))
            self.seq = record.seq
            names += self._named(event)
            if self.state.status is RunStatus.PAUSED and status is not RunStatus.PAUSED:
                names += ["run.paused", f"{self.state.current_plan.intent}.paused"]
            for step in self.waiting():
                if step not in asked:
                    names += [f"{step}.waiting", "gate.waiting"]
        return names

    def waiting(self) -> list[str]:
        """The steps at which a person is asked now."""
        return [step.spec.id for step in self.state.steps.values() if step.state is StepState.WAITING_APPROVAL]

    def _named(self, event: Event) -> list[str]:
        match event:
            case RunStarted():
                return ["run.started", f"{event.plan.intent}.started"]
            case RunEnded():
                return ["run.ended", f"{self.state.current_plan.intent}.ended"]
            case StepStarted():
                return self._both(f"{event.step}.started")
            case StepEnded() if event.outcome in (Outcome.DONE, Outcome.ALREADY):
                return self._both(f"{event.step}.done")
            case _:
                return []

    def _both(self, name: str) -> list[str]:
        """Of several runs in one scenario, the intent tells which one is meant."""
        return [name, f"{self.state.current_plan.intent}:{name}"]
