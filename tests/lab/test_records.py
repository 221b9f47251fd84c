"""Records: what the lab started can be ended by any later process, and nothing else can be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dr.errors import Refused, StateUnreadable
from dr.lab import ending, processes
from dr.lab.processes import Process
from dr.lab.records import ProcessRecord, Records
from dr.model.scenario import Workload
from dr.ports import Clock


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A stranger's process: not the lab's."""
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        yield process
        process.kill()


def _start(tmp_path: Path, *argv: str, mark: str = "m1:east") -> Process:
    return processes.spawn(
        argv, environment={processes.MARK_VARIABLE: mark, "PATH": "/usr/bin:/bin"}, log=tmp_path / "log", folder=Path("/"), account=None
    )


def _record(process: Process, **more: str) -> ProcessRecord:
    return ProcessRecord.model_validate({"name": "x", "region": "east", "server": "x", "pid": process.pid, "start": process.start, **more})


def test_reused_pid_is_never_signalled(sleeper: subprocess.Popen[bytes], clock: Clock) -> None:
    """A record whose pid now belongs to a process with another start time names nobody; ending it touches nobody."""
    stat = processes.look(sleeper.pid)
    assert stat is not None
    stale = _record(Process(sleeper.pid, stat.process.start - 1))
    assert stale.process() is None
    assert stale.recorded.send(signal.SIGKILL) is False
    assert ending.end([stale], [], clock) == []
    assert sleeper.poll() is None


def test_pidfile_of_another_directory_names_nobody(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """A pid file whose pid was reused by a process that works elsewhere is not believed."""
    pidfile = tmp_path / "postmaster.pid"
    pidfile.write_text(f"{sleeper.pid}\n")
    assert _record(Process(2**22 - 1, 1), pidfile=str(pidfile)).process() is None


def test_pidfile_finds_a_server_that_a_run_started_again(tmp_path: Path) -> None:
    """A server that works in its pid file's directory is the recorded one, though somebody else started it."""
    with subprocess.Popen(["/bin/sleep", "600"], cwd=tmp_path) as server:
        try:
            (tmp_path / "postmaster.pid").write_text(f"{server.pid}\n{tmp_path}\n")
            found = _record(Process(2**22 - 1, 1), pidfile=str(tmp_path / "postmaster.pid")).process()
            assert found is not None
            assert found.pid == server.pid
        finally:
            server.kill()


def test_end_takes_children_and_held_processes_too(tmp_path: Path, clock: Clock) -> None:
    """A process held by SIGSTOP and its children are ended; nothing of the tree is alive afterwards."""
    parent = _start(tmp_path, "/bin/sh", "-c", "sleep 600 & sleep 600 & wait")
    deadline = clock.monotonic() + 10
    while len(tree := processes.with_descendants([parent])) < 3 and clock.monotonic() < deadline:
        clock.sleep(0.01)
    assert len(tree) == 3
    assert parent.send(signal.SIGSTOP)
    assert ending.end([_record(parent)], [], clock) == []
    assert [process for process in tree if process.alive] == []


def test_one_that_ignores_the_signal_is_killed(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ignores SIGTERM is gone after the bounded wait."""
    monkeypatch.setattr(ending, "_POLITE_SECONDS", 0.1)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
    stubborn = _start(tmp_path, sys.executable, "-c", code)
    deadline = clock.monotonic() + 10
    while "ready" not in (tmp_path / "log").read_text() and clock.monotonic() < deadline:
        clock.sleep(0.01)
    assert ending.end([_record(stubborn)], [], clock) == []
    assert not stubborn.alive


def test_unrecorded_process_is_found_by_its_mark(tmp_path: Path, clock: Clock) -> None:
    """What was started and not recorded (the starter was killed in between) carries the lab's mark; another lab's does not count."""
    ours = _start(tmp_path, "/bin/sleep", "600", mark="mark-a:east")
    other = _start(tmp_path, "/bin/sleep", "600", mark="mark-b:east")
    try:
        _until_executed(ours, other, clock=clock)
        assert processes.marked("mark-a") == [ours]
        assert processes.marked("mark-a", "east") == [ours]
        assert processes.marked("mark-a", "west") == []
    finally:
        assert ending.kill([ours, other], clock) == []


def _until_executed(*started: Process, clock: Clock) -> None:
    deadline = clock.monotonic() + 10
    for process in started:
        while os.path.basename(os.readlink(f"/proc/{process.pid}/exe")) == "env" and clock.monotonic() < deadline:  # noqa: PTH115, PTH119
            clock.sleep(0.01)


def test_server_holds_nothing_of_its_starter(tmp_path: Path, clock: Clock) -> None:
    """A descriptor that the starter inherited (the lock of flock, the pipe of a pager) is not held by a server that outlives it."""
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    server = _start(tmp_path, "/bin/sleep", "600")
    try:
        _until_executed(server, clock=clock)
        os.close(writing)
        assert os.read(reading, 1) == b""
    finally:
        os.close(reading)
        assert ending.kill([server], clock) == []


def test_two_starters_exclude_each_other(tmp_path: Path) -> None:
    """While one process starts or ends the lab, a second one is refused and told to wait."""
    with Records(tmp_path).locked(), pytest.raises(Refused, match="another process") as refusal, Records(tmp_path).locked():
        pytest.fail("locked twice")
    assert "dr lab status" in refusal.value.hint


def test_lab_of_a_dead_drill_is_abandoned(tmp_path: Path) -> None:
    """A lab that ends with its drill is abandoned once that process is gone, and not while it lives."""
    records = Records(tmp_path)
    mine = records.begin(tmp_path, tmp_path, Workload(), datetime.now(UTC), owned=True)
    assert not mine.abandoned
    assert mine.model_copy(update={"owner_start": 1}).abandoned
    kept = records.begin(tmp_path, tmp_path, Workload(), datetime.now(UTC), owned=False)
    assert not kept.abandoned


def test_damaged_record_is_refused_with_its_name(tmp_path: Path) -> None:
    """A record that cannot be read is an error that names the file, not an empty lab."""
    (tmp_path / "lab.json").write_text("{")
    with pytest.raises(StateUnreadable, match=r"lab\.json"):
        Records(tmp_path).lab()
