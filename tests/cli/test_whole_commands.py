"""Whole commands against a platform made of files: what is typed, what is printed, what is exited with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dr.cli.main import run
from dr.errors import ExitCode
from dr.model.report import RunReport
from dr.model.status import RunList, RunSummary, StatusReport
from dr.model.words import Role, RunStatus, StepState, Verb
from tests.cli import toy

ROOT = Path(__file__).parents[2]
Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    from dr.providers import registry

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()


@pytest.fixture
def runbook(tmp_path: Path) -> str:
    return str(toy.make(tmp_path))


def answered(capsys: Output, *argv: str) -> tuple[int, dict[str, object]]:
    """A command with ``--json``: exit code and what it printed."""
    capsys.readouterr()
    code = run([*argv, "--json"])
    body = json.loads(capsys.readouterr().out)
    assert isinstance(body, dict)
    return code, body


def in_flight(capsys: Output, *argv: str) -> RunSummary:
    """The one run that has not ended."""
    (flight,) = StatusReport.model_validate(answered(capsys, "status", *argv)[1]).in_flight
    return flight


def promoting(capsys: Output) -> bool:
    """The journal says that the promotion is under way."""
    report = RunReport.model_validate(answered(capsys, "runs", in_flight(capsys).run_id)[1])
    return any(step.verb is Verb.PROMOTE and step.state is StepState.RUNNING for step in report.steps)


def until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < limit, "not within 30 s"
        time.sleep(0.02)


def test_a_failover_from_the_plan_to_the_report(runbook: str, capsys: Output) -> None:
    """Plan, failover with reason, status and runs agree; given again it finds nothing to do and exits 0."""
    code, plan = answered(capsys, "plan", runbook, "--to", "west")
    assert (code, plan["schema"]) == (0, "dr.plan/1")
    code, report = answered(capsys, "failover", runbook, "--to", "west", "--yes", "--reason", "drill of the command line")
    assert (report["schema"], report["outcome"], report["exit_code"]) == ("dr.run/1", "completed", code)
    assert (Path(runbook).parent / "db/west").read_text() == Role.PRIMARY
    code, status = answered(capsys, "status", runbook)
    assert (code, status["primary"], status["in_flight"]) == (0, "west", [])
    code, runs = answered(capsys, "runs")
    assert [item.run_id for item in RunList.model_validate(runs).runs] == [report["run_id"]]
    code, again = answered(capsys, "failover", runbook, "--to", "west", "--yes", "--reason", "again")
    assert (code, again["outcome"]) == (0, "already")


def test_a_healthy_primary_is_not_failed_over_without_a_reason(runbook: str, capsys: Output) -> None:
    """Exit 3, the guard named, nothing touched, and the next command printed."""
    code, report = answered(capsys, "failover", runbook, "--to", "west", "--yes")
    assert (code, report["outcome"]) == (ExitCode.REFUSED, "refused")
    assert "primary-healthy" in str(report["guards"])
    assert (Path(runbook).parent / "db/east").read_text() == Role.PRIMARY


@pytest.mark.parametrize(
    "argv", [["failover", "--to", "nowhere", "--yes"], ["plan", "--to", "west", "--only", "dbx"], ["switchover", "--to", "x", "--yes"]]
)
def test_unknown_names_are_2(argv: list[str], runbook: str, capsys: Output) -> None:
    """A region or component that the runbook does not have is a wrong command line."""
    assert run([argv[0], runbook, *argv[1:]]) == ExitCode.USAGE
    assert "Try:" in capsys.readouterr().err


def test_pictures_instead_of_json(runbook: str, capsys: Output) -> None:
    """The same commands for people: stdout has the result, stderr the steps as they went."""
    assert run(["plan", runbook, "--to", "west"]) == 0
    assert "db/promote" in capsys.readouterr().out
    run(["failover", runbook, "--to", "west", "--yes", "--reason", "x"])
    seen = capsys.readouterr()
    assert "db/promote  done" in seen.err and seen.out.startswith("completed: failover of toys from east to west")
    for argv in (["status", runbook], ["lag", runbook], ["runs"], ["status"]):
        assert run(argv) == 0, argv
        assert capsys.readouterr().out, argv


@pytest.mark.parametrize("argv", [["resume", "r-9"], ["pause", "r-9"], ["cancel", "r-9"], ["approve", "r-9", "x"], ["runs", "r-9"]])
def test_a_run_that_is_not_there_is_3(argv: list[str], capsys: Output) -> None:
    """With the command that lists those there are."""
    assert run(argv) == ExitCode.REFUSED
    assert "Try: dr runs" in capsys.readouterr().err


def test_ctrl_c_pauses_and_resume_ends_it(runbook: str, tmp_path: Path, capsys: Output) -> None:
    """The first Ctrl-C waits for what is under way and exits 130; the run is paused, status says how to go on, resume completes it."""
    hold = tmp_path / "db/hold"
    hold.touch()
    argv = [sys.executable, "-m", "tests.cli.toy", "failover", runbook, "--to", "west", "--yes", "--reason", "x"]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    until(lambda: (tmp_path / "db/east").read_text() == Role.STOPPED)
    until(lambda: promoting(capsys))  # before that a Ctrl-C would find nothing under way and pause at once
    process.send_signal(signal.SIGINT)
    until(lambda: in_flight(capsys).status is RunStatus.PAUSING)
    hold.unlink()
    _, err = process.communicate(timeout=30)
    assert process.returncode == ExitCode.INTERRUPTED, err
    assert "dr resume" in err and "Traceback" not in err
    flight = in_flight(capsys, runbook)
    assert (flight.status, flight.holder_alive) == (RunStatus.PAUSED, False)
    code, report = answered(capsys, "resume", flight.run_id)
    assert (code, report["outcome"]) == (report["exit_code"], "completed")


def test_a_killed_process_is_gone_on_with(runbook: str, tmp_path: Path, capsys: Output) -> None:
    """SIGKILL in the middle of promote: the same command given again goes on with the same run."""
    hold = tmp_path / "db/hold"
    hold.touch()
    argv = [sys.executable, "-m", "tests.cli.toy", "failover", runbook, "--to", "west", "--yes", "--reason", "x"]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
    until(lambda: (tmp_path / "db/east").read_text() == Role.STOPPED)
    process.kill()
    process.wait()
    hold.unlink()
    flight = in_flight(capsys)
    code, report = answered(capsys, "failover", runbook, "--to", "west", "--yes", "--reason", "x")
    assert (report["run_id"], report["outcome"]) == (flight.run_id, "completed")
    assert code == report["exit_code"]
