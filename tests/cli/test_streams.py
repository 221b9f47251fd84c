"""Who listens does not matter: the exit code is the run's, whatever happens to stdout and stderr."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dr.errors import ExitCode
from tests.cli import toy

ROOT = Path(__file__).parents[2]
RESUME = """
import sys
import dr.app
from dr.cli.main import main
from dr.model.words import RunOutcome
from tests.cli.conftest import FakeApp, a_report
dr.app.App = FakeApp
FakeApp.answer = a_report(RunOutcome.PAUSED, int(sys.argv[1]))
sys.argv = ["dr", "resume", "r-1", "--actor", "ann", *sys.argv[2:]]
main()
"""
UNHEARD = ["| true", "--json | true", "> /dev/full", ">&-", "> /dev/full 2> /dev/full", ">&- 2>&-", "<&- >&- 2>&-", "2>&1 | true"]


def shell(*argv: str, how: str = "") -> subprocess.CompletedProcess[str]:
    """Runs Python with these arguments under a shell that redirects; its exit code is Python's, also in a pipe."""
    line = f"{shlex.join([sys.executable, *argv])} {how}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("how", UNHEARD)
def test_a_paused_run_exits_4_whoever_listens(how: str) -> None:
    """A closed pipe, a full disk, closed descriptors: never 1, which would say that the run failed, and no traceback."""
    done = shell("-c", RESUME, "4", how=how)
    assert (done.returncode, "Traceback" in done.stderr) == (ExitCode.PAUSED, False)


def test_a_completed_failover_exits_0_into_a_closed_pipe(tmp_path: Path) -> None:
    """Progress is written by a thread of its own, the result at the end; neither has a reader, and the failover is done."""
    runbook = toy.make(tmp_path)
    argv = ("-m", "tests.cli.toy", "failover", str(runbook), "--to", "west", "--yes", "--reason", "x", "--actor", "ann")
    done = shell(*argv, how="2>&1 | true")
    assert done.returncode == ExitCode.DONE
    assert (tmp_path / "db/west").read_text() == "primary"


def test_a_result_that_could_not_be_written_is_said() -> None:
    """On a full disk the file is cut: stderr says so. A reader who had enough is told nothing."""
    assert "could not be written to stdout: No space left on device" in shell("-c", RESUME, "0", how="> /dev/full").stderr
    assert "could not be written" not in shell("-c", RESUME, "0", how="| true").stderr


def test_a_character_that_the_terminal_does_not_have() -> None:
    """An encoding without arrows and ticks shows them escaped; it does not turn the exit code into 1."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    argv = [sys.executable, "-c", RESUME, "5"]
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (ExitCode.OBJECTIVE_MISSED, False)
    assert done.stdout


def test_a_watch_ends_with_its_reader(tmp_path: Path) -> None:
    """``dr lag --watch | head -1`` ends: what only writes to stdout has nothing left to do."""
    runbook = toy.make(tmp_path)
    done = shell("-m", "tests.cli.toy", "lag", str(runbook), "--watch", "--interval", "0.1", how="| head -n 1")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)


def test_a_pipe_that_somebody_made_non_blocking_gets_everything() -> None:
    """A full pipe is waited for: not one byte is dropped, no BlockingIOError."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    script = "import sys; from dr.cli import streams; streams.steady(); sys.stdout.write('x' * 1_000_000); streams.finish()"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        content = file.read()
    assert (process.wait(timeout=60), len(content)) == (0, 1_000_000)
