"""Two state directories that one contract suite runs on: the SQLite files, and the disk of a simulated world.

Their users are simulated processes in both, in one loop of virtual time. For the SQLite lease, who a process is and whether it is there
are answered by the loop instead of by /proc.
"""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from dr.ports import InboxStore, JournalStore, LeaseStore, SampleStore
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


class SqliteBench:
    """The files. Who a process is, is told by the job that asks."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch | None = None) -> None:
        self.place, self.directory = Place(), directory
        self._opened: list[Any] = []
        if patch is not None:
            patch.setattr("dr.store.lease.this_process", lambda: ProcessIdentity(self._asking().machine, self._pid(self._asking()), 1))
            patch.setattr("dr.store.processes._place", lambda: self._asking().machine)
            patch.setattr("dr.store.processes._start_time", lambda pid: 1 if self.place.processes[pid].alive else None)

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


class MemoryBench:
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
