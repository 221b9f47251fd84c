"""The journal in SQLite: one file for all runs, one hash chain per run.

Two tables. ``record`` is the chains. ``run`` has one row a run, written in the same transactions: it makes ``runs`` and ``head``
cheap, and it holds the end of each chain, so that records missing at the end are found like those in the middle.
Somebody who can write the file can of course forge both; a head that was published or signed elsewhere shows that.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from dr.errors import LeaseLost, StateLost, StateUnreadable
from dr.model.events import GENESIS, Event, Record, RunStarted
from dr.model.lease import Listed
from dr.store import database
from dr.store.chain import START, Break, End, chain, first_break

SCHEMA = database.Schema(
    "journal",
    1,
    (
        # numbers are 1, 2, 3 … without gaps; no index, because a damaged one could hide a run
        "CREATE TABLE run (number INTEGER PRIMARY KEY, run_id TEXT NOT NULL, runbook TEXT NOT NULL, started_at TEXT NOT NULL,"
        " last_seq INTEGER NOT NULL, head BLOB NOT NULL)",
        # place = number of the run << 32 | seq: a growing integer key is what SQLite appends to fastest (half the pages of a text key)
        "CREATE TABLE record (place INTEGER PRIMARY KEY, at TEXT NOT NULL, body TEXT NOT NULL, hash BLOB NOT NULL)",
        # for people with the sqlite3 shell; nothing in dr reads it
        "CREATE VIEW journal AS SELECT run_id, place & 0xffffffff AS seq, at, body, lower(hex(hash)) AS hash"
        " FROM record LEFT JOIN run ON number = place >> 32 ORDER BY place",
    ),
)

_SEQ_BITS = 32
_SEQ_MASK = (1 << _SEQ_BITS) - 1
_ROW = "number, run_id, runbook, started_at, last_seq, head FROM run"
_LIST = f"SELECT {_ROW} ORDER BY number"
_BELOW = f"SELECT {_ROW} WHERE number < ? ORDER BY number DESC LIMIT ?"
_ONE = f"SELECT {_ROW} WHERE run_id = ? ORDER BY number LIMIT 1"
_AT_FIRST = 4
"""So many runs are read at first by who asks for the newest; then four times as many each time."""


@dataclass(frozen=True)
class ChainSummary:
    """One run in an audit. ``problem`` is empty where every record verifies and can be read."""

    run_id: str
    runbook: str
    records: int
    first_at: str
    last_at: str
    head: str
    problem: str = ""


@dataclass(frozen=True)
class JournalSummary:
    """What an audit of a journal file found. ``problem`` concerns the list of runs itself."""

    path: Path
    runs: tuple[ChainSummary, ...]
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Every chain verifies."""
        return not self.problem and not any(run.problem for run in self.runs)


class _Run(NamedTuple):
    """A row of ``run``."""

    number: int
    run_id: str
    runbook: str
    started_at: str
    end: End


class SqliteJournal:
    """``dr.ports.Journal`` in ``journal.db`` of a state directory. Opens nothing before it is used.

    One thread appends (the holder of the lease); any thread and any process reads, also while it is written.
    After one failed append nothing more is written through this object: what a failed fsync left behind cannot be known
    (https://wiki.postgresql.org/wiki/Fsync_Errors).
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "journal.db"
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._written: dict[str, _Run] = {}
        self._read: dict[str, End] = {}
        self._lost: StateLost | None = None

    def append(self, run_id: str, events: Sequence[tuple[datetime, Event]]) -> Sequence[Record]:
        """Writes a batch in one transaction, durable when it returns; the first event of a run is its RunStarted.

        Raises:
            StateLost: disk full, I/O error, locked for long; everything before stays readable.
            StateUnreadable: the file, or the end of this run's chain, cannot be trusted. Nothing was written.
            LeaseLost: another process has continued this run since this object last wrote to it. Nothing was written.
            ValueError: a run that does not begin with RunStarted, or a moment without a zone.
        """
        with self._lock:
            if self._lost is not None:
                raise StateLost(self._lost.message, hint=self._lost.hint)
            if not events:
                return []
            connection = self.connection()
            try:
                with database.transaction(connection):
                    run = self._written.get(run_id) or self._trusted(connection, run_id) or self._begin(connection, run_id, *events[0])
                    records = chain(run_id, run.end, events)
                    end = End(records[-1].seq, records[-1].hash)
                    self._move(connection, run, end)
                    base = run.number << _SEQ_BITS
                    connection.executemany(
                        "INSERT INTO record (place, at, body, hash) VALUES (?, ?, ?, ?)",
                        [(base | record.seq, record.at, record.body, bytes.fromhex(record.hash)) for record in records],
                    )
            except database.RowDamaged as error:
                raise database.unreadable(self.path, SCHEMA, error) from error
            except sqlite3.Error as error:
                self._lost = database.lost(self.path, SCHEMA, error)
                raise database.failed(self.path, SCHEMA, error) from error
            self._written[run_id] = run._replace(end=end)
            return records

    def records(self, run_id: str, after: int = 0) -> Sequence[Record]:
        """The records with seq > after, verified: from the start; or, when following, from the last one that this object
        returned, else from record ``after`` as it is stored. Empty for a run that is not there.

        Raises:
            StateUnreadable: a record was changed, is missing or was moved; or the file cannot be read.
        """
        with database.reading(self.path, SCHEMA) as connection:
            run = None if connection is None else _find(connection, run_id)
            if connection is None or run is None:
                if connection is not None:
                    self._check_list(connection)
                return []
            rows = _rows(connection, run, max(after, 1))
        start: End | None = START
        if after > 0:
            stored = End(after, rows.pop(0).hash) if rows and rows[0].seq == after else None
            known = self._read.get(run_id)
            start = known if known is not None and known.seq == after else stored
            if start is None and not rows and run.end.seq < after:
                return []  # nobody has written that far
            if stored != start:
                start = None
        broken = Break(after, "is missing, or was changed after it was read") if start is None else first_break(start, rows, run.end)
        if broken is not None:
            raise self._untrusted(f"run {run_id}, record {broken.seq} {broken.what}")
        if rows:
            self._read[run_id] = End(rows[-1].seq, rows[-1].hash)
        return rows

    def runs(self, runbook: str | None = None) -> Sequence[str]:
        """Ids of all runs, oldest first; of one runbook when named."""
        return [row.run_id for row in self.listing(runbook)]

    def listing(self, runbook: str | None = None) -> Sequence[Listed]:
        """All runs, oldest first, with runbook and start; of one runbook only where its name fits each run's first record.

        Raises:
            StateUnreadable: a run is missing from the list or of another runbook than it says, or the file cannot be read.
        """
        with database.reading(self.path, SCHEMA) as connection:
            if connection is None:
                return []
            runs = _all(connection)
            if (problem := _gap(connection, runs) or (None if runbook is None else _stranger(connection))) is not None:
                raise self._untrusted(problem)
        return [Listed(run.run_id, run.runbook, run.started_at, run.end.hash) for run in runs if runbook is None or run.runbook == runbook]

    def newest(self, runbook: str) -> Iterator[Listed]:
        """The runs of a runbook, newest first, read only as far as somebody asks; trusted as ``listing`` is, as far as it was read.

        Raises:
            StateUnreadable: a run is missing from the list or of another runbook than it says, or the file cannot be read.
        """
        below, count = _SEQ_MASK + 1, _AT_FIRST
        while below > 1:
            with database.reading(self.path, SCHEMA) as connection:
                if connection is None:
                    return
                runs = _all(connection, _BELOW, (below, count))
                problem = _gap_below(connection, runs, below)
                if problem is None and runs:
                    problem = _stranger(connection, runs[-1].number, below)
            if problem is not None:
                raise self._untrusted(problem)
            if not runs:
                return
            yield from (Listed(run.run_id, run.runbook, run.started_at, run.end.hash) for run in runs if run.runbook == runbook)
            below, count = runs[-1].number, 4 * count

    def head(self, run_id: str) -> str:
        """Hash of the last record; ``GENESIS`` for a run that is not there."""
        with database.reading(self.path, SCHEMA) as connection:
            run = None if connection is None else _find(connection, run_id)
        return GENESIS if run is None else run.end.hash

    def close(self) -> None:
        """Closes the writer's connection; safe to call twice."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._written.clear()

    def connection(self) -> sqlite3.Connection:
        """The writer's connection, opened at the first call. For this module, and for tests that set a quota on it."""
        if self._connection is None:
            self._connection = database.writer(self.path, SCHEMA)
        return self._connection

    def _trusted(self, connection: sqlite3.Connection, run_id: str) -> _Run | None:
        """A run that this object has not written to yet; its last record must be the one that its row names."""
        run = _find(connection, run_id)
        if run is None:
            return None
        low, high = run.number << _SEQ_BITS, (run.number + 1) << _SEQ_BITS
        query = "SELECT place, hash FROM record WHERE place > ? AND place < ? ORDER BY place DESC LIMIT 1"
        last = connection.execute(query, (low, high)).fetchone()
        if last is None or (last[0] & _SEQ_MASK, _hex(last[1])) != run.end:
            raise self._untrusted(f"run {run_id}, record {run.end.seq} is not the end of its chain")
        return run

    def _begin(self, connection: sqlite3.Connection, run_id: str, at: datetime, first: Event) -> _Run:
        runs = _all(connection)
        if (problem := _gap(connection, runs)) is not None:
            raise self._untrusted(problem)
        if not isinstance(first, RunStarted):
            raise ValueError(f"run {run_id} must begin with RunStarted, not {type(first).__name__}")
        run = _Run(len(runs) + 1, run_id, first.plan.runbook, chain(run_id, START, [(at, first)])[0].at, START)
        row = (run.number, run.run_id, run.runbook, run.started_at, run.end.seq, bytes.fromhex(run.end.hash))
        connection.execute("INSERT INTO run (number, run_id, runbook, started_at, last_seq, head) VALUES (?, ?, ?, ?, ?, ?)", row)
        return run

    def _move(self, connection: sqlite3.Connection, run: _Run, end: End) -> None:
        moved = connection.execute(
            "UPDATE run SET last_seq = ?, head = ? WHERE number = ? AND last_seq = ? AND head = ?",
            (end.seq, bytes.fromhex(end.hash), run.number, run.end.seq, bytes.fromhex(run.end.hash)),
        )
        if moved.rowcount != 1:
            hint = f"dr status · dr runs {run.run_id}"
            raise LeaseLost(f"run {run.run_id} was continued by another process after record {run.end.seq}", hint=hint)

    def _check_list(self, connection: sqlite3.Connection) -> None:
        """Before "there is no such run" is said: no run may be missing from the list, or stand there under another id."""
        runs = _all(connection)
        problem = _gap(connection, runs) or next((text for run in runs if (text := _misnamed(connection, run))), None)
        if problem is not None:
            raise self._untrusted(problem)

    def _untrusted(self, what: str) -> StateUnreadable:
        return StateUnreadable(
            f"the journal {self.path} cannot be trusted: {what}",
            hint=f"keep a copy of {self.path}, then restore it from a backup or start anew with DR_STATE=DIR",
        )


def verify(path: Path) -> JournalSummary:
    """Reads a whole journal file for an audit: the list of runs, every chain, every record decoded.

    Raises:
        StateUnreadable: the file itself cannot be read, or is not there.
    """
    with database.reading(path, SCHEMA) as connection:
        if connection is None:
            raise StateUnreadable(f"there is no journal at {path}", hint="name a journal.db; dr runs shows which one is in use")
        runs = _all(connection)
        problem = _gap(connection, runs) or ""
        return JournalSummary(path, tuple(_summary(connection, run) for run in runs), problem)


def _summary(connection: sqlite3.Connection, run: _Run) -> ChainSummary:
    rows = _rows(connection, run, 0)
    broken = first_break(START, rows, run.end)
    problem = f"record {broken.seq} {broken.what}" if broken is not None else _unlike(run, rows)
    first, last = (rows[0].at, rows[-1].at) if rows else ("", "")
    return ChainSummary(run.run_id, run.runbook, len(rows), first, last, rows[-1].hash if rows else GENESIS, problem)


def _unlike(run: _Run, rows: Sequence[Record]) -> str:
    """What the records of a whole chain say against themselves or their run's row; empty where nothing."""
    for row in rows:
        try:
            event = row.event
        except ValidationError:
            return f"record {row.seq} is not an event that this version of dr knows"
        if row.seq == 1 and not (isinstance(event, RunStarted) and (event.plan.runbook, row.at) == (run.runbook, run.started_at)):
            return f"record 1 does not start a run of {run.runbook} at {run.started_at}"
    return ""


def _all(connection: sqlite3.Connection, query: str = _LIST, values: Sequence[int | str] = ()) -> list[_Run]:
    """The list of runs, all of it and oldest first unless the query is another one."""
    runs = []
    for number, run_id, runbook, at, seq, head in connection.execute(query, values):
        texts, numbers = (run_id, runbook, at), (number, seq)
        if not (all(isinstance(item, str) for item in texts) and all(isinstance(item, int) and 0 <= item <= _SEQ_MASK for item in numbers)):
            raise database.RowDamaged(f"run number {number} is damaged")
        runs.append(_Run(number, run_id, runbook, at, End(seq, _hex(head))))
    return runs


def _find(connection: sqlite3.Connection, run_id: str) -> _Run | None:
    return next(iter(_all(connection, _ONE, (run_id,))), None)


def _rows(connection: sqlite3.Connection, run: _Run, first_seq: int) -> list[Record]:
    """The stored records of a run with seq >= first_seq, in order, unverified."""
    low, high = run.number << _SEQ_BITS | first_seq, (run.number + 1) << _SEQ_BITS
    records = []
    query = "SELECT place, at, body, hash FROM record WHERE place >= ? AND place < ? ORDER BY place"
    for place, at, body, digest in connection.execute(query, (low, high)):
        if not (isinstance(place, int) and isinstance(at, str) and isinstance(body, str)):
            raise database.RowDamaged(f"a record of run {run.run_id} is damaged")
        records.append(Record(run.run_id, place & _SEQ_MASK, at, body, _hex(digest)))
    return records


def _hex(digest: object) -> str:
    """A stored hash; a damaged one may be of any type that SQLite knows."""
    if not isinstance(digest, bytes):
        raise database.RowDamaged("a hash is damaged")
    return digest.hex()


def _gap(connection: sqlite3.Connection, runs: Sequence[_Run]) -> str | None:
    """What is missing from the list of runs, by its numbers and by the newest record."""
    for number, run in enumerate(runs, start=1):
        if run.number != number:
            return f"run number {number} is missing from the list of runs"
    newest = connection.execute("SELECT CAST(max(place) AS INTEGER) FROM record").fetchone()[0] or 0
    if newest >> _SEQ_BITS > len(runs):
        return f"run number {newest >> _SEQ_BITS} has records, but is missing from the list of runs"
    return None


def _gap_below(connection: sqlite3.Connection, runs: Sequence[_Run], below: int) -> str | None:
    """What is missing from a piece of the list of runs, newest first, which begins right below a number or at the newest run."""
    newest = (connection.execute("SELECT CAST(max(place) AS INTEGER) FROM record").fetchone()[0] or 0) >> _SEQ_BITS
    wanted = range(min(below - 1, max(newest, runs[0].number if runs else 0)), 0, -1)
    found = [run.number for run in runs]
    missing = next((number for number, other in zip(wanted, found, strict=False) if number != other), None)
    if missing is None and not found and len(wanted):
        missing = wanted[0]
    return None if missing is None else f"run number {missing} is missing from the list of runs"


def _stranger(connection: sqlite3.Connection, first: int = 0, below: int = _SEQ_MASK) -> str | None:
    """A run that is listed under another runbook than its first record's: it would be overlooked, or taken for one of another runbook."""
    query = (
        "SELECT number FROM run LEFT JOIN record ON place = (number << 32 | 1) WHERE number >= ? AND number < ?"
        """ AND (body IS NULL OR NOT instr(body, '"runbook":' || json_quote(runbook))) LIMIT 1"""
    )
    row = connection.execute(query, (first, below)).fetchone()
    return None if row is None else f"run number {row[0]} is listed under a runbook that its first record does not name"


def _misnamed(connection: sqlite3.Connection, run: _Run) -> str | None:
    first = _rows(connection, run, 0)[:1]
    held = first and first_break(START, first, End(1, first[0].hash)) is None
    return None if held else f"run number {run.number} ({run.run_id}) does not fit its first record"
