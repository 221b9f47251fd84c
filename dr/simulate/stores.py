"""Journal, lease and inbox of a simulated process (its samples: ``dr.simulate.samples``), on the ``Disk`` that it shares with the others.

What can be observed of them is what can be observed of the SQLite ones: one contract suite holds both. Codec, hash chain and the waiting
for a lease are the very same code. Only jobs that sleep or wait give up the processor, so what a method does between is a transaction.
A process that is gone does nothing any more: every method raises ``Killed`` then.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from dr.errors import LeaseLost, StateLost, StateUnreadable
from dr.model.events import GENESIS, Event, Record, RunStarted, decode, encode
from dr.model.lease import Held, Life, Listed
from dr.providers.sim.process import Process
from dr.simulate.disk import Disk, Request, StoredLease, StoredRecord, StoredRun
from dr.store import database, inbox, journal, lease
from dr.store.chain import START, Break, End, chain_of


class MemoryJournal:
    """``dr.ports.JournalStore`` of one process. After one failed append nothing more is written through this object.

    Args:
        point: called with ``journal:before`` when nothing is written yet and ``journal:after`` as soon as it is durable. It may sleep,
            kill the process, or damage the disk.
    """

    def __init__(self, disk: Disk, process: Process, point: Callable[[str], None] = lambda _name: None) -> None:
        self.path = disk.journal
        self._disk, self._process, self._point = disk, process, point
        self._written: dict[str, End] = {}
        self._read: dict[str, End] = {}
        self._lost: StateLost | None = None

    def append(self, run_id: str, events: Sequence[tuple[datetime, Event]]) -> Sequence[Record]:
        """Writes a batch, durable when it returns; the first event of a run is its RunStarted.

        Raises:
            StateLost, StateUnreadable, LeaseLost, ValueError: as ``SqliteJournal.append``.
        """
        self._process.check()
        if self._lost is not None:
            raise StateLost(self._lost.message, hint=self._lost.hint)
        if not events:
            return []
        self._point("journal:before")
        self._process.check()
        try:
            records = self._write(run_id, events)
        except sqlite3.Error as error:
            self._lost = database.lost(self.path, journal.SCHEMA, error)
            raise self._lost from error
        self._written[run_id] = End(records[-1].seq, records[-1].hash)
        self._point("journal:after")
        self._process.check()
        return records

    def records(self, run_id: str, after: int = 0) -> Sequence[Record]:
        """The records with seq > after, verified: from the start; or, when following, from the last one that this object
        returned, else from record ``after`` as it is stored. Empty for a run that is not there.

        Raises:
            StateUnreadable: a record was changed, is missing or was moved.
        """
        self._process.check()
        run = self._disk.runs.get(run_id)
        if run is None:
            if (problem := self._disk.broken_list()) is not None:
                raise self._untrusted(problem)
            return []
        rows = run.since(max(after, 1))
        start: End | None = START
        if after > 0:
            stored = End(after, rows.pop(0).hash) if rows and rows[0].seq == after else None
            known = self._read.get(run_id)
            start = known if known is not None and known.seq == after else stored
            if start is None and not rows and run.end.seq < after:
                return []  # nobody has written that far
            if stored != start:
                start = None
        broken = Break(after, "is missing, or was changed after it was read") if start is None else run.first_break(start, rows)
        if broken is not None:
            raise self._untrusted(f"run {run_id}, record {broken.seq} {broken.what}")
        if rows:
            self._read[run_id] = End(rows[-1].seq, rows[-1].hash)
        return rows

    def runs(self, runbook: str | None = None) -> Sequence[str]:
        """Ids of all runs, oldest first; of one runbook when named."""
        return [item.run_id for item in self.listing(runbook)]

    def listing(self, runbook: str | None = None) -> Sequence[Listed]:
        """All runs, oldest first, with runbook and start; of one runbook only where each run's first record is there."""
        self._process.check()
        if runbook is not None and (problem := self._disk.headless()) is not None:
            raise self._untrusted(problem)
        runs = self._disk.runs.values()
        return [Listed(run.run_id, run.runbook, run.started_at, run.end.hash) for run in runs if runbook is None or run.runbook == runbook]

    def newest(self, runbook: str) -> Iterator[Listed]:
        """The runs of a runbook, newest first; a damaged one is found as soon as it is read."""
        self._process.check()
        for run in list(reversed(self._disk.runs.values())):  # somebody may start one before the next is asked for
            if (problem := self._disk.headless(run)) is not None:
                raise self._untrusted(problem)
            if run.runbook == runbook:
                yield Listed(run.run_id, run.runbook, run.started_at, run.end.hash)

    def head(self, run_id: str) -> str:
        """Hash of the last record; ``GENESIS`` for a run that is not there."""
        self._process.check()
        run = self._disk.runs.get(run_id)
        return GENESIS if run is None else run.end.hash

    def close(self) -> None:
        """Forgets what it wrote; safe to call twice."""
        self._process.check()
        self._written.clear()

    def _write(self, run_id: str, events: Sequence[tuple[datetime, Event]]) -> list[StoredRecord]:
        """All of it or nothing, at one moment of virtual time."""
        disk = self._disk
        disk.begin()
        run = disk.runs.get(run_id)
        known = self._written.get(run_id) or (START if run is None else self._trusted(run))
        if run is None and not isinstance(events[0][1], RunStarted):
            raise ValueError(f"run {run_id} must begin with RunStarted, not {type(events[0][1]).__name__}")
        records = chain_of(StoredRecord, run_id, known, events)
        if run is not None and run.end != known:
            raise LeaseLost(f"run {run_id} was continued by another process after record {known.seq}", hint=f"dr status · dr runs {run_id}")
        disk.write()
        end = End(records[-1].seq, records[-1].hash)
        if run is not None:
            run.records += records
            run.end = end
        elif isinstance(first := events[0][1], RunStarted):
            disk.runs[run_id] = StoredRun(run_id, first.plan.runbook, records[0].at, list(records), end)
        return records

    def _trusted(self, run: StoredRun) -> End:
        """The end of a run that this object has not written to yet; its last record must be the one that the list of runs names."""
        last = run.records[-1] if run.records else None
        if last is None or (last.seq, last.hash) != run.end:
            raise self._untrusted(f"run {run.run_id}, record {run.end.seq} is not the end of its chain")
        return run.end

    def _untrusted(self, what: str) -> StateUnreadable:
        return StateUnreadable(
            f"the journal {self.path} cannot be trusted: {what}",
            hint=f"keep a copy of {self.path}, then restore it from a backup or start anew with DR_STATE=DIR",
        )


class MemoryLease(lease.Keeper):
    """``dr.ports.LeaseStore`` of one process: how it waits, trusts and watches is ``Keeper``'s; only the row lies elsewhere.

    A holder on the same machine is seen to be alive or gone; of another machine nothing is known.

    Args:
        lasts, patient, silent: as of ``Keeper``.
    """

    def __init__(
        self,
        disk: Disk,
        process: Process,
        *,
        lasts: timedelta = timedelta(seconds=30),
        patient: bool = False,
        silent: dict[str, lease.Mark] | None = None,
    ) -> None:
        super().__init__(process.clock, lasts=lasts, patient=patient, silent=silent)
        self.path = disk.lease
        self._disk, self._process = disk, process

    def acquire(self, runbook: str, run_id: str, holder: str) -> int:
        """As ``Keeper.acquire``."""
        self._process.check()
        return super().acquire(runbook, run_id, holder)

    def renew(self) -> None:
        """As ``Keeper.renew``."""
        self._process.check()
        super().renew()

    def valid(self) -> bool:
        """As ``Keeper.valid``."""
        self._process.check()
        return super().valid()

    def release(self) -> None:
        """As ``Keeper.release``."""
        self._process.check()
        super().release()

    def look(self, runbook: str) -> Held | None:
        """As ``Keeper.look``."""
        self._process.check()
        row = self._disk.leases.get(runbook)
        return None if row is None else self._held(runbook, row)

    def _attempt(self, runbook: str, run_id: str, holder: str, expired: lease.Mark | None) -> int | Held:
        """As ``Keeper._attempt``."""
        self._process.check()
        try:
            self._disk.begin()
            held = self.look(runbook)
            if held is not None and not (held.released or held.life is Life.GONE or lease.mark(held) == expired):
                return held
            self._disk.write()
        except sqlite3.Error as error:
            raise database.failed(self.path, lease.SCHEMA, error) from error
        epoch = 1 if held is None else held.epoch + 1
        now = self._clock.now().astimezone(UTC)
        self._disk.leases[runbook] = StoredLease(epoch, run_id, holder, self._process, self._lasts, 0, now, released=False)
        return epoch

    def _renewed(self, runbook: str, epoch: int) -> bool:
        """As ``Keeper._renewed``."""
        try:
            self._disk.begin()
            row = self._own(runbook, epoch)
            if row is None or row.released:
                return False
            self._disk.write()
            self._disk.leases[runbook] = row._replace(renewal=row.renewal + 1)
        except sqlite3.Error as error:
            raise lease.NotWritten(str(error)) from error
        return True

    def _give_back(self, runbook: str, epoch: int) -> None:
        """As ``Keeper._give_back``."""
        try:
            self._disk.begin()
            row = self._own(runbook, epoch)
            if row is not None:
                self._disk.write()
                self._disk.leases[runbook] = row._replace(released=True)
        except sqlite3.Error as error:
            raise database.lost(self.path, lease.SCHEMA, error) from error

    def _own(self, runbook: str, epoch: int) -> StoredLease | None:
        """The row, where it is still of that epoch."""
        row = self._disk.leases.get(runbook)
        return row if row is not None and row.epoch == epoch else None

    def _held(self, runbook: str, row: StoredLease) -> Held:
        here = row.process.machine == self._process.machine
        life = (Life.ALIVE if row.process.alive else Life.GONE) if here else Life.UNKNOWN
        return Held(runbook, row.run_id, row.holder, row.epoch, row.since, row.released, life, row.renewal, row.lasts)


class MemoryInbox:
    """``dr.ports.InboxStore`` of one process. Raises StateLost where it cannot be written, as ``SqliteInbox``."""

    def __init__(self, disk: Disk, process: Process) -> None:
        self.path = disk.inbox
        self._disk, self._process = disk, process
        self._taken: dict[str, int] = {}
        self._unconfirmed: set[str] = set()

    def put(self, run_id: str, event: Event) -> int:
        """Stores a request; durable when it returns. Its number: greater than that of any request before."""
        self._process.check()
        disk = self._disk
        self._change(True)
        disk.last_request += 1
        disk.requests.setdefault(run_id, []).append(Request(disk.last_request, encode(event)))
        return disk.last_request

    def withdraw(self, numbers: Sequence[int]) -> None:
        """Forgets requests that nobody has taken up; safe where they were."""
        self._process.check()
        if numbers:
            self._change(False)
            for run_id in list(self._disk.requests):
                self._forget(run_id, lambda request: request.number in numbers)

    def newest(self) -> int:
        """The greatest number of the requests of all runs; 0 where there are none."""
        self._process.check()
        return max((requests[-1].number for requests in self._disk.requests.values()), default=0)

    def drop(self, run_id: str, up_to: int, unwanted: tuple[type[Event], ...]) -> Sequence[Event]:
        """Forgets the requests of these types to a run, up to that number, and returns them."""
        self._process.check()
        if not up_to:
            return []
        self._change(False)
        found = [(request, decode(request.body)) for request in self._disk.requests.get(run_id, ()) if request.number <= up_to]
        gone = {request: event for request, event in found if isinstance(event, unwanted)}
        self._forget(run_id, gone.__contains__)
        return list(gone.values())

    def take(self, run_id: str) -> Sequence[Event]:
        """Requests that this object has not returned yet, in order."""
        self._process.check()
        taken = self._taken.get(run_id, 0)
        rows = [request for request in self._disk.requests.get(run_id, ()) if request.number > taken]
        if not rows:
            return []
        self._taken[run_id] = rows[-1].number
        self._unconfirmed.add(run_id)
        return [decode(request.body) for request in rows]

    def confirm(self, run_id: str) -> None:
        """Forgets what ``take`` returned to this object: it is journaled now. Free where nothing was taken since the last time."""
        self._process.check()
        if run_id in self._unconfirmed:
            taken = self._taken[run_id]
            self._forget(run_id, lambda request: request.number <= taken)
            self._unconfirmed.discard(run_id)

    def close(self) -> None:
        """Nothing is kept that would have to be let go."""
        self._process.check()

    def _forget(self, run_id: str, which: Callable[[Request], bool]) -> None:
        requests = self._disk.requests.get(run_id, [])
        kept = [request for request in requests if not which(request)]
        self._change(len(kept) < len(requests))
        if kept:
            self._disk.requests[run_id] = kept
        else:
            self._disk.requests.pop(run_id, None)

    def _change(self, changes: bool) -> None:
        try:
            self._disk.begin()
            if changes:
                self._disk.write()
        except sqlite3.Error as error:
            raise database.lost(self.path, inbox.SCHEMA, error) from error
