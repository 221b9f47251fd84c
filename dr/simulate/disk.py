"""What the processes of a simulated world share: one state directory, in memory. It outlives them, and it can be damaged.

The faults are plain fields. They become the errors that SQLite raises, so that the stores say what they say of a real disk.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from dr.model.events import Event, Record, decode
from dr.model.identity import IdentitySnapshot
from dr.model.lag import Beat, LagSample
from dr.providers.sim.process import Process
from dr.store.chain import START, Break, End, first_break

T = TypeVar("T")


class StoredRecord(Record):
    """A record whose body is decoded when its event is first asked for, and once, however many processes read it."""

    @cached_property
    def event(self) -> Event:
        """The decoded event."""
        return decode(self.body)


@dataclass
class StoredRun:
    """One run: its records, and what the list of runs says of it.

    end: where its chain ends; not where the records end when their tail was cut.
    trusted: so many records from the first one are verified, and were not damaged since. broken: how many records there were when they
    were last found not to hold, where the list said that they end, and what is wrong; they are not what they were once one is damaged.
    """

    run_id: str
    runbook: str
    started_at: str
    records: list[StoredRecord]
    end: End
    trusted: int = 0
    broken: tuple[int, End, Break] | None = None

    def since(self, seq: int) -> list[StoredRecord]:
        """The records with at least that seq, in order, unverified. Records can be missing, so a seq is not a place."""
        return self.records[bisect_left(self.records, seq, key=lambda record: record.seq) :]

    def first_break(self, start: End, rows: Sequence[StoredRecord]) -> Break | None:
        """As ``dr.store.chain.first_break`` for rows that follow ``start``; what was verified before, or found broken, is not hashed
        again: a monitor that looks every few seconds would read 800 records each time."""
        whole = start == START and len(rows) == len(self.records)
        if whole and self.broken is not None and self.broken[:2] == (len(rows), self.end):
            return self.broken[2]
        joins = start.seq <= self.trusted
        if joins and start.seq < self.trusted:
            rows, start = rows[self.trusted - start.seq :], _end(self.records[self.trusted - 1])
        broken = first_break(start, rows, self.end)
        if broken is None and joins:
            self.trusted = len(self.records)
        elif broken is not None and whole:
            self.broken = len(rows), self.end, broken
        return broken

    def changed(self) -> None:
        """Its records are not those that were verified."""
        self.trusted, self.broken = 0, None


class StoredLease(NamedTuple):
    """The lease of one runbook. ``holder``: as it calls itself; ``process``: who that is."""

    epoch: int
    run_id: str
    holder: str
    process: Process
    lasts: timedelta
    renewal: int
    since: datetime
    released: bool


class Request(NamedTuple):
    """One request to a run, encoded."""

    number: int
    body: str


class Timeline(Generic[T]):
    """Things with moments, in the order of those, and of their coming where moments are equal."""

    def __init__(self, when: Callable[[T], datetime]) -> None:
        self._when = when
        self._items: list[T] = []

    def add(self, item: T) -> None:
        """Puts it in its place; nearly always at the end."""
        items, when = self._items, self._when
        at, place = when(item), len(items)
        while place and when(items[place - 1]) > at:
            place -= 1
        items.insert(place, item)

    def since(self, moment: datetime) -> list[T]:
        """Everything from that moment on."""
        return self._items[bisect_left(self._items, moment, key=self._when) :]

    def newest_first(self) -> Iterator[T]:
        """Everything, from the last one on."""
        return reversed(self._items)

    def remove(self, item: T) -> None:
        """Forgets this very thing."""
        del self._items[next(place for place, other in enumerate(self._items) if other is item)]


@dataclass
class Watched:
    """What the monitor stored of one runbook."""

    samples: Timeline[LagSample] = field(default_factory=lambda: Timeline(lambda sample: sample.at))
    beats: Timeline[Beat] = field(default_factory=lambda: Timeline(lambda beat: beat.sent_at))
    latest: dict[str, LagSample] = field(default_factory=dict)


class Disk:
    """A state directory.

    full: nothing more fits on it. broken: what is written does not arrive (EIO on fsync). read_only: nothing may be written.
    What was stored stays readable in all three.

    Args:
        directory: where it would lie; only printed.
    """

    def __init__(self, directory: Path = Path("state")) -> None:
        self.directory = directory
        self.journal, self.lease, self.inbox, self.samples = (directory / f"{name}.db" for name in ("journal", "lease", "inbox", "samples"))
        self.full = self.broken = self.read_only = False
        self.damages = 0
        self.originals: dict[str, dict[int, StoredRecord]] = {}
        self.runs: dict[str, StoredRun] = {}
        self.leases: dict[str, StoredLease] = {}
        self.requests: dict[str, list[Request]] = {}
        self.last_request = 0
        self.watched: dict[str, Watched] = {}
        self.snapshots: dict[tuple[str, str], Timeline[IdentitySnapshot]] = {}

    def begin(self) -> None:
        """A write transaction begins, which may turn out to write nothing.

        Raises:
            sqlite3.OperationalError: not on a disk that is read only.
        """
        if self.read_only:
            raise _error("attempt to write a readonly database", sqlite3.SQLITE_READONLY)

    def write(self) -> None:
        """Something is about to be made durable; asked before anything is changed.

        Raises:
            sqlite3.OperationalError: it cannot be.
        """
        if self.full:
            raise _error("database or disk is full", sqlite3.SQLITE_FULL)
        if self.broken:
            raise _error("disk I/O error", sqlite3.SQLITE_IOERR)

    def flip(self, run_id: str, seq: int, position: int) -> None:
        """Damages a record: one bit of one character of its body (counted round) is another one now.

        Raises:
            KeyError: there is no such record.
        """
        run = self._kept(run_id)
        found = run.since(seq)[:1]
        if not found or found[0].seq != seq:
            raise KeyError(f"{run_id} {seq}")
        body = found[0].body
        index = position % len(body)
        changed = found[0]._replace(body=body[:index] + chr(ord(body[index]) ^ 1) + body[index + 1 :])
        run.records[run.records.index(found[0])] = changed
        self._damaged(run)

    def cut(self, run_id: str, records: int) -> None:
        """Damages a run: its last records are lost, while the list of runs still says where its chain ended."""
        run = self._kept(run_id)
        del run.records[max(0, len(run.records) - records) :]
        self._damaged(run)

    def restore(self, run_id: str) -> None:
        """Puts back what was there before a run was damaged, as from a backup; what was written after it stays."""
        run = self.runs[run_id]
        kept = self.originals.pop(run_id, {})
        run.records = sorted([*kept.values(), *(item for item in run.records if item.seq not in kept)], key=lambda item: item.seq)
        run.changed()

    def broken_list(self) -> str | None:
        """The first run whose first record does not fit it, in words; None where all do. Free while nothing was damaged."""
        for number, run in enumerate(self.runs.values() if self.damages else (), start=1):
            first = run.records[:1]
            if not first or first_break(START, first, End(1, first[0].hash)) is not None:
                return f"run number {number} ({run.run_id}) does not fit its first record"
        return None

    def headless(self, only: StoredRun | None = None) -> str | None:
        """The first run (or one) whose first record is not there, in words; None where all are. Free while nothing was damaged."""
        for number, run in enumerate(self.runs.values() if self.damages else (), start=1):
            if (only is None or run is only) and (not run.records or run.records[0].seq != 1):
                return f"run number {number} is listed under a runbook that its first record does not name"
        return None

    def snapshots_of(self, runbook: str, component: str) -> Timeline[IdentitySnapshot]:
        """The snapshots of a component, of all regions."""
        found = self.snapshots.get((runbook, component))
        if found is None:
            found = self.snapshots[runbook, component] = Timeline(lambda snapshot: snapshot.taken_at)
        return found

    def _kept(self, run_id: str) -> StoredRun:
        """A run, of which all that is sound is kept before it is damaged."""
        run = self.runs[run_id]
        originals = self.originals.setdefault(run_id, {})
        for record in run.records:
            originals.setdefault(record.seq, record)
        return run

    def _damaged(self, run: StoredRun) -> None:
        run.changed()
        self.damages += 1


def _end(record: Record) -> End:
    return End(record.seq, record.hash)


def _error(what: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(what)
    error.sqlite_errorcode = code
    return error
