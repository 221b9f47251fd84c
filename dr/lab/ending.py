"""Ends processes of the lab and proves that they are gone: politely first, then not; by pid and start time only."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from dr.lab import processes
from dr.lab.processes import Process
from dr.lab.records import ProcessRecord
from dr.ports import Clock

_POLITE_SECONDS = 3.0
_KILLED_SECONDS = 5.0
_POLL_SECONDS = 0.01
_SEGMENTS = Path("/proc/sysvipc/shm")


def trees(records: Iterable[ProcessRecord]) -> list[Process]:
    """Every living process that the records name, with its descendants."""
    roots = (record.process() for record in records)
    return processes.with_descendants(root for root in roots if root is not None)


def hold(victims: Iterable[Process]) -> list[Process]:
    """SIGSTOP for all and for what they start meanwhile. Returns all that are held: from now on none answers anybody."""
    held = list(victims)
    for process in held:
        process.send(signal.SIGSTOP)
    late = [process for process in processes.with_descendants(held) if process not in held]
    for process in late:
        process.send(signal.SIGSTOP)
    return held + late


def kill(victims: Sequence[Process], clock: Clock) -> list[Process]:
    """SIGKILL, as if the power went: all at once, nobody has time to answer the death of another. Returns those still there.

    They are held first, so that none can start a child, answer a client or finish a commit while the others die.
    """
    held = hold(victims)
    for process in held:
        process.send(signal.SIGKILL)
    return wait_gone(held, clock, _KILLED_SECONDS)


def end(records: Sequence[ProcessRecord], strays: Sequence[Process], clock: Clock) -> list[Process]:
    """Ends recorded processes, their descendants and strays: first the record's signal, at last SIGKILL. Returns those still there."""
    everyone: list[Process] = []
    for record in records:
        for process in trees([record]):
            process.send(signal.Signals[record.stop])
            everyone.append(process)
    for process in processes.with_descendants(strays):
        process.send(signal.SIGTERM)
        everyone.append(process)
    for process in everyone:
        process.send(signal.SIGCONT)  # one that is held would never see the signal
    left = wait_gone(everyone, clock, _POLITE_SECONDS)
    return kill(left, clock) if left else []


def wait_gone(victims: Sequence[Process], clock: Clock, seconds: float) -> list[Process]:
    """Those of ``victims`` that are still there when the time is over."""
    deadline = clock.monotonic() + seconds
    while True:
        processes.reap()
        left = [process for process in victims if process.alive]
        if not left or clock.monotonic() >= deadline:
            return left
        clock.sleep(_POLL_SECONDS)


def release_shared_memory(pgdata: Path) -> None:
    """Removes the System V segment that a killed PostgreSQL left (its next start would, but there is none after ``down``)."""
    try:
        key, identifier = (int(word) for word in (pgdata / "postmaster.pid").read_text(encoding="utf-8").splitlines()[6].split())
        rows = [line.split() for line in _SEGMENTS.read_text(encoding="utf-8").splitlines()[1:]]
    except (OSError, ValueError, IndexError):
        return
    for row in rows:  # columns: key shmid perms size cpid lpid nattch …
        if (int(row[0]), int(row[1]), int(row[6])) == (key, identifier, 0):
            subprocess.run(["/usr/bin/ipcrm", "-m", str(identifier)], check=False, capture_output=True, timeout=10)
