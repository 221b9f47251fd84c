"""Processes of this machine as Linux shows them: start one apart from us, recognise it again, signal it and its descendants.

A process is a pid *and* its start time: a pid alone may belong to somebody else by the time it is used.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dr.lab.account import Account, as_account, give

MARK_VARIABLE = "DR_LAB_MARK"
STATE_OF_MARK_VARIABLE = "DR_LAB_OF"
_PROC = Path("/proc")
_ENV = "/usr/bin/env"
_children: set[int] = set()  # what this process started: nobody else's exit status may be taken


@dataclass(frozen=True)
class Process:
    """One process. ``start`` is field 22 of ``/proc/PID/stat``: clock ticks since boot."""

    pid: int
    start: int

    @property
    def alive(self) -> bool:
        """It is this process still, and not a zombie."""
        seen = look(self.pid)
        return seen is not None and seen.process == self and seen.state not in "ZX"

    @property
    def stopped(self) -> bool:
        """It is held by SIGSTOP."""
        seen = look(self.pid)
        return seen is not None and seen.process == self and seen.state in "Tt"

    def send(self, number: signal.Signals) -> bool:
        """Signals it if it is still the same process; False when it is gone or belongs to somebody else."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.alive:  # checked while the handle pins the pid: it cannot be reused in between
                return False
            signal.pidfd_send_signal(handle, number)
        except (ProcessLookupError, PermissionError):
            return False
        finally:
            os.close(handle)
        return True


@dataclass(frozen=True)
class Stat:
    """One look at ``/proc/PID/stat``."""

    process: Process
    state: str
    parent: int


def look(pid: int) -> Stat | None:
    """What the kernel says of a pid; None where there is no such process."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name in parentheses may hold anything
    return Stat(Process(pid, int(fields[19])), fields[0], int(fields[1]))


def everything() -> list[Stat]:
    """All processes of this machine."""
    stats = (look(int(entry.name)) for entry in _PROC.iterdir() if entry.name.isdigit())
    return [stat for stat in stats if stat is not None]


def with_descendants(roots: Iterable[Process]) -> list[Process]:
    """The living ones of ``roots`` and all their living descendants, parents first."""
    children: dict[int, list[Stat]] = {}
    for stat in everything():
        children.setdefault(stat.parent, []).append(stat)
    found: list[Process] = []
    queue = [root for root in roots if root.alive]
    while queue:
        process = queue.pop(0)
        if process not in found:
            found.append(process)
            queue.extend(stat.process for stat in children.get(process.pid, ()) if stat.state not in "ZX")
    return found


def marked(mark: str, region: str | None = None) -> list[Process]:
    """Processes that inherited a lab's mark, of one region where named: also those that nobody had the time to record."""
    wanted = f"{MARK_VARIABLE}={mark}:{region or ''}".encode()
    found = []
    for stat in everything():
        entries = _environment(stat.process.pid)
        if stat.state not in "ZX" and any(item == wanted or (region is None and item.startswith(wanted)) for item in entries):
            found.append(stat.process)
    return found


def states_of_marked() -> set[str]:
    """State directories of all labs that have a process of ours (or, as root, of anybody's) running."""
    prefix = f"{STATE_OF_MARK_VARIABLE}=".encode()
    entries = (item for stat in everything() if stat.state not in "ZX" for item in _environment(stat.process.pid))
    return {item[len(prefix) :].decode(errors="replace") for item in entries if item.startswith(prefix)}


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return []


def spawn(argv: Sequence[str], *, environment: Mapping[str, str], log: Path, folder: Path, account: Account | None) -> Process:
    """Starts a program in a session of its own, its output in ``log``; it outlives us. Returns at once.

    ``account`` is who it becomes before it is executed; None: it stays who we are.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    give(log, account)  # a server that a run starts again appends to it
    try:
        # cwd by env(1), account by setpriv(1): both replace themselves, so the pid is the server's. LD_LIBRARY_PATH only for the server.
        variables = [f"{name}={value}" for name, value in environment.items()]
        full = [_ENV, "-i", f"--chdir={folder}", *as_account(account), _ENV, *variables, *argv]
        pid = os.posix_spawn(
            _ENV, full, {}, setsid=True,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, descriptor, 1),
                (os.POSIX_SPAWN_DUP2, descriptor, 2),
                *((os.POSIX_SPAWN_CLOSE, number) for number in _inherited()),
            ],
        )  # fmt: skip
    finally:
        os.close(descriptor)
    stat = look(pid)
    _children.add(pid)
    threading.Thread(target=_await_end, args=(pid,), name=f"await-{pid}", daemon=True).start()
    assert stat is not None, "a child that was not waited for keeps its /proc entry"
    return stat.process


def _await_end(pid: int) -> None:
    """As the init of a host does: a server that somebody else ends must not stay as a zombie, which still counts as running."""
    with contextlib.suppress(ChildProcessError):  # ``reap`` was faster
        os.waitpid(pid, 0)


def _inherited() -> list[int]:
    """Descriptors that our own starter left open for children, such as the lock of flock(1) or a pipe: a server must not hold them."""
    numbers = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one of this listing is closed by now
            if int(entry.name) > 2 and os.get_inheritable(int(entry.name)):
                numbers.append(int(entry.name))
    return numbers


def reap() -> None:
    """Takes the exit status of what this process started and has ended, so that no zombie stays."""
    for pid in tuple(_children):
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                continue
        _children.discard(pid)
