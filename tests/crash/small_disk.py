"""``python -m tests.crash.small_disk tmpfs|quota FOLDER``: a failover whose disk is full in the middle of it, by real processes.

tmpfs: the state directory lies on a small disk of its own, which a file fills up; must be called where mounting is allowed, in a mount
namespace of its own. quota: the failover's process may not let any file grow. Prints what each command said, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dr.model.words import Role
from tests.cli import toy

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
"""Seconds until a process that does nothing is a failure."""


def command(folder: Path, *words: str) -> subprocess.Popen[str]:
    """``dr`` with toys, on the state directory of the folder."""
    environment = {**os.environ, "DR_STATE": str(folder / "state")}
    argv = [sys.executable, "-m", "tests.cli.toy", *words]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def said(process: subprocess.Popen[str]) -> dict[str, object]:
    """How it ended, and what it said."""
    out, err = process.communicate(timeout=PATIENCE)
    return {"code": process.returncode, "out": out, "err": err}


def until(true: Callable[[], bool]) -> None:
    """Polls, with a deadline."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def fill(path: Path) -> None:
    """A file takes all the room that is left on its disk."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def play(how: str, folder: Path) -> dict[str, object]:
    """The story: a failover waits in its promotion, the disk fills up, the promotion happens, room comes back."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    if how == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "small", str(state)], check=True)
    runbook = str(toy.make(folder))
    (folder / "db" / "hold").touch()
    first = command(folder, "failover", runbook, "--to", "west", "--yes", "--reason", "x", "--actor", "ann", "--json")
    until(lambda: (folder / "db" / "east").read_text() == Role.STOPPED)
    time.sleep(0.3)  # the record of the fence is written: nothing else is due before the promotion is over
    if how == "tmpfs":
        fill(state / "filler")
    else:
        most = (state / "journal.db-wal").stat().st_size  # what happens outside writes smaller files
        resource.prlimit(first.pid, resource.RLIMIT_FSIZE, (most, most))
    free = os.statvfs(state).f_bavail if how == "tmpfs" else 0
    (folder / "db" / "hold").unlink()
    story: dict[str, object] = {"free": free, "failover": said(first), "west": (folder / "db" / "west").read_text()}
    story["runs"] = said(command(folder, "runs", "--json"))
    if how == "tmpfs":
        (state / "filler").unlink()
    story["again"] = said(command(folder, "failover", runbook, "--to", "west", "--yes", "--reason", "x", "--actor", "bob", "--json"))
    return story


if __name__ == "__main__":
    json.dump(play(sys.argv[1], Path(sys.argv[2])), sys.stdout)
