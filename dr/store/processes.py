"""Who a process is, and whether it is still there: what the lease needs to tell a dead holder from a silent one."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from dr.model.lease import Life

_PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessIdentity:
    """One process, never to be mistaken for another.

    place: host name, boot and pid namespace; a pid means something only where all three are the same.
    started: start time from /proc in clock ticks since boot; 0 where the system does not tell (a pid alone must do then).
    """

    place: str
    pid: int
    started: int

    def life(self) -> Life:
        """Whether it is there now; UNKNOWN when it ran in another place. An earlier boot of this host is one, too: two hosts that share a
        state directory may have one name (containers have), and a living holder must never be taken for a dead one."""
        if self.place != _place():
            return Life.UNKNOWN
        started = _start_time(self.pid)
        if started is None or (self.started and started and started != self.started):
            return Life.GONE
        return Life.ALIVE


def this_process() -> ProcessIdentity:
    """The calling process."""
    return ProcessIdentity(_place(), os.getpid(), _start_time(os.getpid()) or 0)


def _place() -> str:
    return " ".join((socket.gethostname(), _boot(), _namespace()))


def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "-"


def _namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return "-"


def _start_time(pid: int) -> int | None:
    """Start time of a running process, 0 where it runs and the time cannot be read, None where there is none (zombies are gone)."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0 if not _PROC.joinpath("self").exists() and _signalled(pid) else None
    return None if fields[0] in ("Z", "X") else int(fields[19])


def _signalled(pid: int) -> bool:
    """Without /proc: signal 0 tells whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
