"""Two state directories that one contract suite runs on: the SQLite files, and the disk of a simulated world.

Their users are simulated processes in both, in one loop of virtual time. For the SQLite lease, who a process is and whether it is there
are answered by the loop instead of by /proc.
"""

from __future__ import annotations

import resource
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from dr.errors import StateLost
from dr.ports import Clock, InboxStore, JournalStore, LeaseStore, SampleStore
from dr.ports.table import MOST_WRITES, Fields, Table, Write
from dr.providers.sim.loop import Loop
from dr.providers.sim.process import Process
from dr.simulate.disk import Disk
from dr.simulate.samples import MemorySamples
from dr.simulate.stores import MemoryInbox, MemoryJournal, MemoryLease
from dr.store.inbox import SqliteInbox
from dr.store.journal import SqliteJournal
from dr.store.lease import Mark, SqliteLease
from dr.store.processes import ProcessIdentity
from dr.store.samples import SqliteSamples
from dr.store.shared.inbox import SharedInbox
from dr.store.shared.journal import SharedJournal
from dr.store.shared.lease import SharedLease

LASTS = timedelta(seconds=10)


class Place:
    """Processes in virtual time, whatever they store in."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.processes: list[Process] = []

    def process(self, machine: str = "here") -> Process:
        """A new process."""
        self.processes.append(Process(self.loop, f"process-{len(self.processes)}", "seed", machine=machine))
        return self.processes[-1]

    def do(self, *works: tuple[Process, Callable[[], object]]) -> float:
        """Runs these beside each other until all have ended. How long that took, in virtual seconds."""
        began = self.loop.now
        jobs = [process.start(work) for process, work in works]
        assert self.loop.run(began + 10_000, over=lambda: all(job.done for job in jobs)), "somebody waits for ever"
        return round(self.loop.now - began, 6)  # sums of floats: a lease time is not a hair shorter than it is


class Bench(Protocol):
    """One implementation of all stores. ``fault``: while it lasts, the disk does not take what this store writes."""

    place: Place
    directory: Path

    def lost(self, part: str) -> str:
        """What is said where a part cannot be written, as a pattern."""

    def named(self, part: str) -> str:
        """How a part is named, as a pattern."""

    def journal(self, process: Process) -> JournalStore: ...

    def inbox(self, process: Process) -> InboxStore: ...

    def samples(self, process: Process) -> SampleStore: ...

    def lease(
        self, process: Process, *, lasts: timedelta = LASTS, patient: bool = False, silent: dict[str, Mark] | None = None
    ) -> LeaseStore: ...

    def flip(self, run_id: str, seq: int, position: int) -> None: ...

    def cut(self, run_id: str, records: int) -> None: ...

    @contextmanager
    def fault(self, name: str, store: object) -> Iterator[None]: ...

    def close(self) -> None: ...


class Files:
    """Where parts are files."""

    def lost(self, part: str) -> str:
        return rf"the {part} .*{part}\.db cannot be written"

    def named(self, part: str) -> str:
        return rf"{part}\.db"


class SqliteBench(Files):
    """The files. Who a process is, is told by the job that asks."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch | None = None) -> None:
        self.place, self.directory = Place(), directory
        self._opened: list[Any] = []
        if patch is not None:
            patch.setattr("dr.store.lease.this_process", self._who)
            patch.setattr("dr.store.processes._place", lambda: self._asking().machine)
            patch.setattr("dr.store.processes._start_time", lambda pid: 1 if self.place.processes[pid].alive else None)

    def _who(self) -> ProcessIdentity:
        return ProcessIdentity(self._asking().machine, self._pid(self._asking()), 1)

    def _asking(self) -> Process:
        process = self.place.loop.current.process
        assert process is not None
        return process

    def _pid(self, process: Process) -> int:
        return self.place.processes.index(process)

    def journal(self, process: Process) -> JournalStore:
        self._opened.append(made := SqliteJournal(self.directory))
        return made

    def inbox(self, process: Process) -> InboxStore:
        self._opened.append(made := SqliteInbox(self.directory))
        return made

    def samples(self, process: Process) -> SampleStore:
        self._opened.append(made := SqliteSamples(self.directory))
        return made

    def lease(
        self, process: Process, *, lasts: timedelta = LASTS, patient: bool = False, silent: dict[str, Mark] | None = None
    ) -> LeaseStore:
        return SqliteLease(self.directory, process.clock, lasts=lasts, patient=patient, silent=silent)

    def flip(self, run_id: str, seq: int, position: int) -> None:
        (number,) = self._tamper("SELECT number FROM run WHERE run_id = ?", run_id) or (0,)
        (body,) = self._tamper("SELECT body FROM record WHERE place = ?", number << 32 | seq) or ("",)
        if not body:
            raise KeyError(f"{run_id} {seq}")
        index = position % len(body)
        changed = body[:index] + chr(ord(body[index]) ^ 1) + body[index + 1 :]
        self._tamper("UPDATE record SET body = ? WHERE place = ?", changed, number << 32 | seq)

    def cut(self, run_id: str, records: int) -> None:
        row = self._tamper("SELECT number FROM run WHERE run_id = ?", run_id)
        if row is None:
            raise KeyError(run_id)
        low, high = row[0] << 32, (row[0] + 1) << 32
        query = (
            "DELETE FROM record WHERE place IN (SELECT place FROM record WHERE place > ? AND place < ? ORDER BY place DESC LIMIT ?)"
        )
        self._tamper(query, low, high, records)

    def _tamper(self, statement: str, *values: object) -> Any:
        if not (self.directory / "journal.db").exists():
            return None
        with closing(sqlite3.connect(self.directory / "journal.db")) as connection, connection:
            return connection.execute(statement, values).fetchone()

    @contextmanager
    def fault(self, name: str, store: Any) -> Iterator[None]:
        """full: not one page more; read_only: SQLite refuses to write; broken: the system does, as on a bad disk."""
        if name == "broken":
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            return
        connection = store._open() if hasattr(store, "_open") else store.connection()
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        on, off = {
            "full": (f"max_page_count = {pages}", "max_page_count = 1000000"),
            "read_only": ("query_only = ON", "query_only = OFF"),
        }[name]
        connection.execute(f"PRAGMA {on}")
        yield
        connection.execute(f"PRAGMA {off}")

    def close(self) -> None:
        for store in self._opened:
            store.close()


class RowsInMemory:
    """A table as ``ports.table`` has it, for the stores that are built on one; other tables are held against it."""

    def __init__(self) -> None:
        self.where = "memory://rows"
        self.groups: dict[str, dict[str, Fields]] = {}
        self.broken = False

    def get(self, group: str, key: str) -> Fields | None:
        return self.groups.get(group, {}).get(key)

    def rows(self, group: str, after: str = "", before: str | None = None) -> Sequence[tuple[str, Fields]]:
        found = sorted(self.groups.get(group, {}).items())
        return [(key, row) for key, row in found if key > after and (before is None or key < before)]

    def last(self, group: str) -> tuple[str, Fields] | None:
        return next(reversed(self.rows(group)), None)

    def write(self, writes: Sequence[Write]) -> bool:
        if self.broken:
            raise StateLost("memory://rows: broken", hint="df -h")
        assert 0 < len(writes) <= MOST_WRITES
        assert len({(write.group, write.key) for write in writes}) == len(writes), "a row only once in one write"
        for write in writes:
            there = self.get(write.group, write.key)
            if write.expect is None and there is not None:
                return False
            if write.expect and (there is None or any(there.get(name) != value for name, value in write.expect.items())):
                return False
        for write in writes:
            if write.fields is None:
                self.groups.get(write.group, {}).pop(write.key, None)
            else:
                self.groups.setdefault(write.group, {})[write.key] = dict(write.fields)
        return True

    def close(self) -> None:
        """Nothing was opened."""


class SharedBench(SqliteBench):
    """Journal, lease and inbox on a table; samples in SQLite, as they are where the rest is shared."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch | None = None, table: Table | None = None) -> None:
        super().__init__(directory, patch)
        self.table = table or RowsInMemory()
        if patch is not None:
            patch.setattr("dr.store.shared.lease.this_process", self._who)

    def lost(self, part: str) -> str:
        return "memory://rows: broken" if part != "samples" else super().lost(part)

    def named(self, part: str) -> str:
        return self.table.where

    def journal(self, process: Process) -> JournalStore:
        return SharedJournal(self.table)

    def inbox(self, process: Process) -> InboxStore:
        return SharedInbox(self.table, EverySecond(process.clock))

    def lease(
        self, process: Process, *, lasts: timedelta = LASTS, patient: bool = False, silent: dict[str, Mark] | None = None
    ) -> LeaseStore:
        return SharedLease(self.table, process.clock, lasts=lasts, patient=patient, silent=silent)

    def flip(self, run_id: str, seq: int, position: int) -> None:
        group, key = f"record {run_id}", f"{seq:010d}.000"
        row = self.table.get(group, key)
        if row is None:
            raise KeyError(f"{run_id} {seq}")
        body = bytearray(zlib.decompress(bytes(row["body"]) if isinstance(row["body"], bytes) else b""))
        body[position % len(body)] ^= 1
        self.table.write([Write(group, key, {**row, "body": zlib.compress(bytes(body))}, {})])

    def cut(self, run_id: str, records: int) -> None:
        rows = self.table.rows(f"record {run_id}")
        if not rows:
            raise KeyError(run_id)
        for key, _ in rows[-records:] if records else ():
            self.table.write([Write(f"record {run_id}", key, None, {})])

    @contextmanager
    def fault(self, name: str, store: Any) -> Iterator[None]:
        """A table knows one sort of trouble."""
        if isinstance(store, SqliteSamples):
            with super().fault(name, store):
                yield
            return
        assert isinstance(self.table, RowsInMemory)
        self.table.broken = True
        yield
        self.table.broken = False


class EverySecond:
    """A clock on which every look is a second after the one before: what is asked only once a second is asked each time."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._looks = clock, 0

    def monotonic(self) -> float:
        self._looks += 1
        return self._clock.monotonic() + self._looks

    def now(self) -> datetime:
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    def uniform(self, low: float, high: float) -> float:
        return self._clock.uniform(low, high)


class MemoryBench(Files):
    """The disk of a simulated world."""

    def __init__(self, directory: Path) -> None:
        self.place, self.directory = Place(), directory
        self.disk = Disk(directory)

    def journal(self, process: Process) -> JournalStore:
        return MemoryJournal(self.disk, process)

    def inbox(self, process: Process) -> InboxStore:
        return MemoryInbox(self.disk, process)

    def samples(self, process: Process) -> SampleStore:
        return MemorySamples(self.disk, process)

    def lease(
        self, process: Process, *, lasts: timedelta = LASTS, patient: bool = False, silent: dict[str, Mark] | None = None
    ) -> LeaseStore:
        return MemoryLease(self.disk, process, lasts=lasts, patient=patient, silent=silent)

    def flip(self, run_id: str, seq: int, position: int) -> None:
        self.disk.flip(run_id, seq, position)

    def cut(self, run_id: str, records: int) -> None:
        self.disk.cut(run_id, records)

    @contextmanager
    def fault(self, name: str, store: object) -> Iterator[None]:
        setattr(self.disk, name, True)
        yield
        setattr(self.disk, name, False)

    def close(self) -> None:
        """Nothing was opened."""
