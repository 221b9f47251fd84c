"""Events and clocks for the tests of the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dr.model.events import Event, Observed, Record, RunStarted
from dr.model.evidence import Note
from dr.model.plan import Plan
from dr.model.words import Intent
from dr.store.journal import SqliteJournal

START = datetime(2025, 11, 21, 3, 0, tzinfo=UTC)


class HandClock:
    """Time that only moves when somebody sleeps or winds it."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds - 1000)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def uniform(self, low: float, high: float) -> float:
        return low


def started(runbook: str = "airflow") -> RunStarted:
    """The first event of a run."""
    plan = Plan(
        runbook=runbook, runbook_sha256="0" * 64, intent=Intent.FAILOVER, source="east", target="west", steps=(),
        rto=timedelta(hours=1), rpo=timedelta(minutes=15),
    )  # fmt: skip
    return RunStarted(
        plan=plan, document={}, runbook_path="airflow.yaml", actor="ann", holder="ann@host pid 1", epoch=1, tool_version="0", decided=START
    )


def note(text: str) -> Observed:
    """Some event."""
    return Observed(evidence=Note(text=text))


def at(number: int) -> datetime:
    """A moment of its own for each event."""
    return START + timedelta(milliseconds=number)


def write_run(directory: Path, run_id: str, notes: int, runbook: str = "airflow") -> Sequence[Record]:
    """A run with a first event and some notes, in batches of three; closed when it returns."""
    journal = SqliteJournal(directory)
    events: list[tuple[datetime, Event]] = [(at(0), started(runbook)), *((at(n), note(f"note {n}")) for n in range(1, notes + 1))]
    written: list[Record] = []
    for first in range(0, len(events), 3):
        written += journal.append(run_id, events[first : first + 3])
    journal.close()
    return written
