"""What the lab started, on disk: so that any later process can end it, and nothing else.

One file for the lab (its mark, its data, its workload), written before anything is started; one for each process, written as soon as its
pid is known. The moment between a start and its record is covered by the mark, which every process of the lab inherits.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

from dr.errors import Refused, StateUnreadable
from dr.lab import processes
from dr.lab.processes import Process
from dr.model.base import Frozen, Moment
from dr.model.scenario import Workload

_LAB = "lab.json"
T = TypeVar("T", bound=Frozen)


class LabRecord(Frozen):
    """One lab. ``complete``: ``up`` reached its end. ``owner``: the drill that ends with it; None for a lab that a person keeps."""

    mark: str
    state: str
    data: str
    created_at: Moment
    workload: Workload
    complete: bool = False
    owner_pid: int | None = None
    owner_start: int | None = None

    @property
    def abandoned(self) -> bool:
        """Its drill was killed."""
        return self.owner_pid is not None and not Process(self.owner_pid, self.owner_start or 0).alive


class ProcessRecord(Frozen):
    """One process of the lab. ``region`` is None for those outside both regions.

    pid, start: as started by the lab. pidfile: where a server that is also started by others (pg_ctl in a run) writes its pid.
    stop: the signal that ends it at once and in order.
    """

    name: str
    region: str | None
    server: str
    pid: int
    start: int
    pidfile: str | None = None
    stop: Literal["SIGTERM", "SIGQUIT", "SIGINT"] = "SIGTERM"

    @property
    def recorded(self) -> Process:
        """The process that the lab started."""
        return Process(self.pid, self.start)

    def process(self) -> Process | None:
        """The living process, whoever started it; None when there is none."""
        if self.recorded.alive:
            return self.recorded
        return _from_pidfile(Path(self.pidfile)) if self.pidfile else None


def _from_pidfile(path: Path) -> Process | None:
    """A server by its pid file, recognised by its working directory: the pid may have been reused since."""
    try:
        pid = int(path.read_text(encoding="utf-8").split()[0])
        here = Path(f"/proc/{pid}/cwd").readlink() == path.parent.resolve()
    except (OSError, ValueError, IndexError):
        return None
    stat = processes.look(pid)
    return stat.process if here and stat is not None and stat.process.alive else None


class Records:
    """The records of one lab, in its own directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else starts or ends this lab meanwhile; the kernel gives the lock back however this process ends.

        Raises:
            Refused: somebody does.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Refused(
                    f"another process is starting or ending the lab in {self._folder.parent}", hint="wait for it, then: dr lab status"
                ) from error
            yield

    def lab(self) -> LabRecord | None:
        """The lab's record; None where none was started since the last end."""
        return self._read(self._folder / _LAB, LabRecord)

    def begin(self, state: Path, data: Path, workload: Workload, at: Moment, owned: bool) -> LabRecord:
        """Writes the lab's record with a new mark, before anything is started."""
        me = processes.look(os.getpid())
        assert me is not None, "this process is running"
        owner = me.process if owned else None
        record = LabRecord(
            mark=secrets.token_hex(8), state=str(state), data=str(data), created_at=at, workload=workload,
            owner_pid=owner.pid if owner else None, owner_start=owner.start if owner else None,
        )  # fmt: skip
        self._write(self._folder / _LAB, record)
        return record

    def completed(self) -> None:
        """The lab is up."""
        record = self.lab()
        assert record is not None, "completed after begin"
        self._write(self._folder / _LAB, record.model_copy(update={"complete": True}))

    def add(self, record: ProcessRecord) -> None:
        """Keeps the record of a process; a newer one of the same name replaces it."""
        self._write(self._folder / f"{record.name}.process.json", record)

    def all(self, region: str | None = None, server: str | None = None) -> list[ProcessRecord]:
        """The recorded processes, of one region or server where named."""
        found = (self._read(path, ProcessRecord) for path in sorted(self._folder.glob("*.process.json")))
        wanted = (record for record in found if record is not None)
        return [record for record in wanted if region in (None, record.region) and server in (None, record.server)]

    def forget(self) -> None:
        """Removes all records: everything they name has ended."""
        for path in (*self._folder.glob("*.process.json"), self._folder / _LAB):
            path.unlink(missing_ok=True)

    def _write(self, path: Path, record: Frozen) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(record.model_dump_json(indent=1), encoding="utf-8")
        new.replace(path)  # a reader sees the old or the new one, never half

    def _read(self, path: Path, model: type[T]) -> T | None:
        try:
            return model.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StateUnreadable(
                f"{path}: the lab's record cannot be read", hint=f"if no lab server runs (ps), remove {path.parent}"
            ) from error
