"""The journal on a shared table: one row a run, one or more rows a record, one hash chain per run.

A record's text is packed (zlib) and cut where a row is too small for it: the first record of a run holds its whole plan. The run's row is
changed in the same write as its records, on condition that nobody else has: that is what makes a second writer lose.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime

from dr.errors import LeaseLost, StateLost, StateUnreadable
from dr.model.events import GENESIS, Event, Record, RunStarted
from dr.model.lease import Listed
from dr.ports.table import MOST_BYTES, MOST_WRITES, Fields, Table, Write
from dr.store.chain import START, End, chain, first_break

RUNS, NUMBERS = "run", "run-number"
_PARTS = 1000
_TRIES = 20


class SharedJournal:
    """``dr.ports.JournalStore`` on a table. One thread appends (the holder of the lease); any thread and any machine reads."""

    def __init__(self, table: Table) -> None:
        self.path, self._table = table.where, table
        self._lock = threading.Lock()
        self._ends: dict[str, tuple[str, End]] = {}
        self._lost: StateLost | None = None

    def append(self, run_id: str, events: Sequence[tuple[datetime, Event]]) -> Sequence[Record]:
        """Writes a batch, durable when it returns; the first event of a run is its RunStarted. More than a write takes goes in several,
        in order: what a crash cuts off is the end.

        Raises:
            StateLost: the table cannot be written. StateUnreadable: it cannot be read.
            LeaseLost: another process has continued this run since this object last wrote to it. Nothing was written.
            ValueError: a run that does not begin with RunStarted, or a moment without a zone.
        """
        with self._lock:
            if self._lost is not None:
                raise StateLost(self._lost.message, hint=self._lost.hint)
            if not events:
                return []
            key, end = self._ends.get(run_id) or self._trusted(run_id) or (None, START)
            records = chain(run_id, end, events)
            try:
                for batch in _batches(records):
                    key = self._write(run_id, key, end, batch, events[0])
                    end = End(batch[-1].seq, batch[-1].hash)
                    self._ends[run_id] = key, end
            except StateLost as error:
                self._lost = error
                raise
            return records

    def records(self, run_id: str, after: int = 0) -> Sequence[Record]:
        """The records with seq > after, verified from the one before on. Empty for a run that is not there.

        Raises:
            StateUnreadable: a record was changed, is missing or was moved; or the table cannot be read.
        """
        known = self._known(run_id)
        if known is None:
            self._check_list()
            return []
        end = known[1]
        rows = self._stored(run_id, max(after, 1))
        # what was written after the run's row was read is another look's
        rows = [row for row in rows if row.seq <= end.seq]
        start = START
        if after > 0:
            if not rows and end.seq < after:
                return []
            if not rows or rows[0].seq != after:
                raise self._untrusted(f"run {run_id}, record {after} is missing, or was changed after it was read")
            start = End(after, rows.pop(0).hash)
        broken = first_break(start, rows, end)
        if broken is not None:
            raise self._untrusted(f"run {run_id}, record {broken.seq} {broken.what}")
        return rows

    def runs(self, runbook: str | None = None) -> Sequence[str]:
        """Ids of all runs, oldest first; of one runbook when named."""
        return [item.run_id for item in self.listing(runbook)]

    def listing(self, runbook: str | None = None) -> Sequence[Listed]:
        """All runs, oldest first, with runbook and start.

        Raises:
            StateUnreadable: a run is missing from the list, or the table cannot be read.
        """
        found = []
        for number, (key, row) in enumerate(self._table.rows(RUNS), 1):
            if key != _number(number):
                raise self._untrusted(f"run number {number} is missing from the list of runs")
            if runbook is None or row["runbook"] == runbook:
                found.append(Listed(str(row["run_id"]), str(row["runbook"]), str(row["started_at"]), str(row["head"])))
        return found

    def newest(self, runbook: str) -> Iterator[Listed]:
        """The runs of a runbook, newest first; the list is one query here. Raises StateUnreadable, as ``listing``."""
        return reversed(self.listing(runbook))

    def head(self, run_id: str) -> str:
        """Hash of the last record; ``GENESIS`` for a run that is not there."""
        known = self._known(run_id)
        return GENESIS if known is None else known[1].hash

    def close(self) -> None:
        """Forgets what it knows; the table is its owner's to close."""
        with self._lock:
            self._ends.clear()

    def _known(self, run_id: str) -> tuple[str, End] | None:
        numbered = self._table.get(NUMBERS, run_id)
        if numbered is None:
            return None
        key = str(numbered["number"])
        row = self._table.get(RUNS, key)
        if row is None or row["run_id"] != run_id:
            raise self._untrusted(f"run {run_id} is missing from the list of runs")
        return key, End(int(row["last_seq"]), str(row["head"]))

    def _trusted(self, run_id: str) -> tuple[str, End] | None:
        """A run that this object has not written to yet; its last record must be the one that its row names."""
        known = self._known(run_id)
        if known is not None:
            last = self._table.last(_records(run_id))
            if last is None or End(int(last[0][:10]), str(last[1]["hash"])) != known[1]:
                raise self._untrusted(f"run {run_id}, record {known[1].seq} is not the end of its chain")
        return known

    def _check_list(self) -> None:
        """Before "there is no such run" is said: no run may be missing from the list, or stand there under another id."""
        for number, item in enumerate(self.listing(), 1):
            first = [row for row in self._stored(item.run_id, 1, most=1) if row.seq == 1]
            if not first or first_break(START, first, End(1, first[0].hash)) is not None:
                raise self._untrusted(f"run number {number} ({item.run_id}) does not fit its first record")

    def _write(self, run_id: str, key: str | None, end: End, batch: Sequence[Record], first: tuple[datetime, Event]) -> str:
        """One write; the key of the run's row. Raises as ``append``."""
        rows = [row for record in batch for row in _packed(record)]
        new: Fields = {"last_seq": batch[-1].seq, "head": batch[-1].hash}
        if key is not None:
            run = self._table.get(RUNS, key)
            if run is None:
                raise self._untrusted(f"run {run_id} is missing from the list of runs")
            before: Fields = {"last_seq": end.seq, "head": end.hash}
            if not self._table.write([Write(RUNS, key, {**run, **new}, before), *rows]):
                raise LeaseLost(
                    f"run {run_id} was continued by another process after record {end.seq}", hint=f"dr status · dr runs {run_id}"
                )  # fmt: skip
            return key
        started = first[1]
        if not isinstance(started, RunStarted):
            raise ValueError(f"run {run_id} must begin with RunStarted, not {type(started).__name__}")
        for _ in range(_TRIES):  # another run may begin at the same moment
            newest = self._table.last(RUNS)
            key = _number(1 if newest is None else int(newest[0]) + 1)
            row: Fields = {"run_id": run_id, "runbook": started.plan.runbook, "started_at": batch[0].at, **new}
            if self._table.write([Write(RUNS, key, row), Write(NUMBERS, run_id, {"number": key}), *rows]):
                return key
            if self._table.get(NUMBERS, run_id) is not None:
                raise LeaseLost(f"run {run_id} was begun by another process", hint=f"dr status · dr runs {run_id}")
        raise StateLost(f"{self.path}: {_TRIES} runs began at the same moment, and this one did not", hint="give the command again")

    def _stored(self, run_id: str, first: int, most: int | None = None) -> list[Record]:
        """The stored records with seq >= first, in order, unverified; at most so many."""
        found: list[Record] = []
        parts: list[bytes] = []
        before = None if most is None else _place(first + most, 0, below=True)
        for key, row in self._table.rows(_records(run_id), _place(first, 0, below=True), before):
            seq, part = int(key[:10]), int(key[11:])
            parts = [] if part == 0 else parts
            parts.append(bytes(row["body"]) if isinstance(row["body"], bytes) else b"")
            if len(parts) == part + 1 == row["parts"]:
                try:
                    body = zlib.decompress(b"".join(parts)).decode()
                except (zlib.error, UnicodeDecodeError):
                    raise self._untrusted(f"run {run_id}, record {seq} was changed") from None
                found.append(Record(run_id, seq, str(row["at"]), body, str(row["hash"])))
        return found

    def _untrusted(self, what: str) -> StateUnreadable:
        return StateUnreadable(
            f"the journal {self.path} cannot be trusted: {what}", hint="keep a copy of the table, then restore it from a backup"
        )


def _number(number: int) -> str:
    return f"{number:010d}"


def _records(run_id: str) -> str:
    return f"record {run_id}"


def _place(seq: int, part: int, *, below: bool = False) -> str:
    """Of a part of a record. ``below``: what every part of it and of later ones is greater than."""
    return f"{seq:010d}" if below else f"{seq:010d}.{part:03d}"


def _packed(record: Record) -> Iterator[Write]:
    packed = zlib.compress(record.body.encode())
    parts = [packed[first : first + MOST_BYTES] for first in range(0, len(packed), MOST_BYTES)]
    assert len(parts) < _PARTS, "300 MB of one record"
    for number, part in enumerate(parts):
        fields: Fields = {"body": part, "at": record.at, "hash": record.hash, "parts": len(parts)}
        yield Write(_records(record.run_id), _place(record.seq, number), fields)


def _batches(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """So many as one write takes, two rows of the run itself counted; each of them fits by itself."""
    batch: list[Record] = []
    rows = size = 0
    for record in records:
        packed = len(zlib.compress(record.body.encode()))
        needed = 1 + packed // MOST_BYTES
        if batch and (rows + needed > MOST_WRITES - 2 or size + packed > 8 * MOST_BYTES):
            yield batch
            batch, rows, size = [], 0, 0
        batch.append(record)
        rows, size = rows + needed, size + packed
    if batch:
        yield batch
