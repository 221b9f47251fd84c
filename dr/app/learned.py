"""What steps took in earlier runs and drills: what a simulation draws from, once there is enough of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from dr.app.state import State
from dr.drill.record import kept, read
from dr.errors import StateUnreadable
from dr.model.events import Event, StepEnded
from dr.model.words import Outcome, StepState

ENOUGH = 5
"""So many samples of a step make a distribution; with fewer its estimate counts."""
_REAL = ("live", "lab")
"""Worlds of drills whose durations are real; what a package brings may be an emulation."""
_RUNS = 50
"""So many of the newest runs and drills are read."""


def durations(state: State, runbook: str) -> Mapping[str, Sequence[float]]:
    """Seconds by step, of every intent, in the order in which they were measured; only steps with ``ENOUGH`` samples."""
    took: dict[str, list[float]] = {}
    for run_id in state.journal.runs(runbook)[-_RUNS:]:
        for event in _events(state, run_id):
            if isinstance(event, StepEnded) and event.outcome is Outcome.DONE and event.acted and not event.owed:
                took.setdefault(event.step, []).append(event.duration.total_seconds())
    for path in kept(state.directory)[-_RUNS:]:
        try:
            report = read(path)
        except StateUnreadable:  # of an older version: dr report says so, here there is only less to learn from
            continue
        for step in (step for run in report.runs if run.runbook == runbook and report.world in _REAL for step in run.steps):
            if step.state is StepState.DONE and step.duration_seconds is not None:
                took.setdefault(step.id, []).append(step.duration_seconds)
    return {step: tuple(values) for step, values in sorted(took.items()) if len(values) >= ENOUGH}


def _events(state: State, run_id: str) -> list[Event]:
    """What happened in a run; nothing where another version of ``dr`` wrote what this one cannot read."""
    try:
        return [record.event for record in state.journal.records(run_id)]
    except ValidationError:
        return []
