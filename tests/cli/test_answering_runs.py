"""Pause, approve, skip, cancel, resume and turn, typed at a run that another process holds or held: whole commands, no server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dr.cli.main import run
from dr.errors import ExitCode
from dr.model.report import RunReport
from dr.model.words import Guard, Role, RunStatus
from tests.cli import toy
from tests.cli.test_whole_commands import ROOT, answered, in_flight, until

Output = pytest.CaptureFixture[str]
Typed = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    from dr.providers import registry

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()


@pytest.fixture
def runbook(tmp_path: Path) -> str:
    """Each failover and switchover needs one person beside the requester."""
    path = toy.make(tmp_path)
    path.write_text(toy.RUNBOOK + "approvals: {failover: 1, switchover: 1}\n")
    return str(path)


@pytest.fixture
def free(tmp_path: Path) -> str:
    """Nobody has to approve."""
    return str(toy.make(tmp_path))


@pytest.fixture
def typed() -> Iterator[Typed]:
    """Types a command in a process of its own, which is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def go(*argv: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "tests.cli.toy", *argv]
        started.append(
            subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
        )  # fmt: skip
        return started[-1]

    yield go
    for process in started:
        process.kill()
        process.communicate()


def failover(typed: Typed, runbook: str, *more: str) -> subprocess.Popen[str]:
    return typed("failover", runbook, "--to", "west", "--yes", "--reason", "x", "--actor", "ann", "--json", *more)


def printed(process: subprocess.Popen[str]) -> tuple[int, dict[str, object]]:
    """What a command in another process exited with and printed."""
    out, err = process.communicate(timeout=30)
    assert "Traceback" not in err, err
    body = json.loads(out)
    assert isinstance(body, dict)
    return process.returncode, body


def waiting(capsys: Output) -> str:
    """The id of the run, once it waits for a person."""
    until(lambda: bool(answered(capsys, "status")[1]["in_flight"]))
    run_id = in_flight(capsys).run_id
    until(lambda: states(capsys, run_id).get("approvals/1") == "waiting-approval")
    return run_id


def states(capsys: Output, run_id: str) -> dict[str, str]:
    """State of every step by id."""
    steps = answered(capsys, "runs", run_id)[1]["steps"]
    assert isinstance(steps, list)
    return {step["id"]: step["state"] for step in steps}


def primary(runbook: str) -> list[str]:
    """The regions that take writes."""
    folder = Path(runbook).parent / "db"
    return [name for name in ("east", "west") if (folder / name).read_text() == Role.PRIMARY]


def test_somebody_else_approves(runbook: str, typed: Typed, capsys: Output) -> None:
    """The run waits before it touches anything; the requester is refused, another person lets it go on, both are named as claimed."""
    process = failover(typed, runbook)
    run_id = waiting(capsys)
    assert primary(runbook) == ["east"]
    assert run(["approve", run_id, "approvals/1", "--actor", "ann"]) == ExitCode.REFUSED
    assert "somebody else must approve" in capsys.readouterr().err
    assert run(["approve", run_id, "db/promote", "--actor", "bob"]) == ExitCode.REFUSED
    assert run(["approve", run_id, "approvals/1", "--actor", "bob", "--reason", "CHG-1"]) == 0
    _, report = printed(process)
    assert (report["outcome"], report["actors"]) == ("completed", ["ann", "bob"])
    said = [(item.step, item.actor, item.proven, item.text) for item in RunReport.model_validate(report).approvals]
    assert said == [("approvals/1", "bob", False, "CHG-1")]
    assert run(["approve", run_id, "approvals/1", "--actor", "carol"]) == ExitCode.REFUSED


def test_a_gate_that_asks_for_evidence_refuses_an_answer_without_it(tmp_path: Path, typed: Typed, capsys: Output) -> None:
    """Refused at the door, with the command: a planned move is not rolled back for a forgotten text; with the text it goes on."""
    runbook = toy.make(tmp_path)
    gate = "  told: {kind: gate, text: Was the customer told?, evidence: required}\n"
    runbook.write_text(toy.RUNBOOK.replace("folder: db}", "folder: db, needs: [told]}") + gate)
    process = typed("switchover", str(runbook), "--to", "west", "--yes", "--actor", "ann", "--json")
    until(lambda: bool(answered(capsys, "status")[1]["in_flight"]))
    run_id = in_flight(capsys).run_id
    until(lambda: states(capsys, run_id).get("told/gate") == "waiting-approval")
    for empty in ([], ["--reason", "  "]):
        assert run(["approve", run_id, "told/gate", "--actor", "bob", *empty]) == ExitCode.REFUSED
        assert f"dr approve {run_id} told/gate --reason EVIDENCE" in capsys.readouterr().err
    assert states(capsys, run_id)["told/gate"] == "waiting-approval"
    assert run(["approve", run_id, "told/gate", "--actor", "bob", "--reason", "mail of 02:41"]) == 0
    _, report = printed(process)
    assert (report["outcome"], report["deviations"]) == ("completed", [])


def test_who_asked_for_it_cannot_skip_the_approval_either(runbook: str, typed: Typed, capsys: Output) -> None:
    """Two people means two people: a skip by the requester is refused, one by somebody else counts, as a deviation."""
    process = failover(typed, runbook)
    run_id = waiting(capsys)
    assert run(["skip", run_id, "approvals/1", "--reason", "nobody is awake", "--actor", "ann"]) == ExitCode.REFUSED
    assert "Try:" in capsys.readouterr().err
    assert run(["skip", run_id, "approvals/1", "--reason", "told by phone", "--actor", "bob"]) == 0
    _, report = printed(process)
    assert report["outcome"] == "completed"
    assert "approvals/1 skipped by bob: told by phone" in str(report["deviations"])


def test_cancelled_before_anything_was_touched(runbook: str, typed: Typed, capsys: Output) -> None:
    """The process that holds the run takes the request up, rolls back, and exits 1; nothing was moved; a second cancel is refused."""
    process = failover(typed, runbook)
    run_id = waiting(capsys)
    code, note = answered(capsys, "cancel", run_id, "--reason", "false alarm", "--actor", "lead")
    assert (code, note["schema"], note["handed_over"]) == (0, "dr.request/1", True)
    code, report = printed(process)
    assert (code, report["outcome"], report["reason"]) == (ExitCode.FAILED, "rolled_back", "cancelled by lead: false alarm")
    assert primary(runbook) == ["east"]
    assert run(["cancel", run_id]) == ExitCode.REFUSED
    assert "has ended" in capsys.readouterr().err


def test_paused_answered_while_nobody_holds_it_and_resumed(runbook: str, typed: Typed, capsys: Output) -> None:
    """Pause reaches the holder, which exits 4 and says how to go on; an approval given meanwhile is kept; resume completes the same run."""
    process = failover(typed, runbook)
    run_id = waiting(capsys)
    assert run(["pause", run_id, "--reason", "network first", "--actor", "lead"]) == 0
    code, paused = printed(process)
    assert (code, paused["outcome"], paused["reason"]) == (ExitCode.PAUSED, "paused", "network first")
    assert f"dr resume {run_id}" in str(paused["hint"])
    assert run(["pause", run_id]) == ExitCode.REFUSED
    assert f"Try: dr resume {run_id}" in capsys.readouterr().err
    assert run(["approve", run_id, "approvals/1", "--actor", "bob"]) == 0
    assert primary(runbook) == ["east"], "an answer alone starts nothing"
    capsys.readouterr()
    code, report = answered(capsys, "resume", run_id, "--actor", "carol")
    assert (report["run_id"], report["outcome"], code) == (run_id, "completed", report["exit_code"])
    assert report["actors"] == ["ann", "lead", "bob", "carol"]
    assert run(["resume", run_id]) == ExitCode.REFUSED


def test_cancelled_while_nobody_holds_it(runbook: str, typed: Typed, capsys: Output) -> None:
    """The command itself takes the paused run over and ends it."""
    process = failover(typed, runbook)
    run_id = waiting(capsys)
    assert run(["pause", run_id]) == 0
    printed(process)
    code, report = answered(capsys, "cancel", run_id, "--actor", "lead")
    assert (code, report["outcome"], report["run_id"]) == (ExitCode.FAILED, "rolled_back", run_id)
    assert answered(capsys, "status")[1]["in_flight"] == []


def test_another_run_is_refused_while_one_is_in_flight(runbook: str, typed: Typed, capsys: Output) -> None:
    """Two operators: exit 3, naming the run, its holder and what can be typed; the first one is not disturbed."""
    process = failover(typed, runbook)
    run_id = waiting(capsys)
    for argv in (["failover", runbook, "--to", "west"], ["switchover", runbook, "--to", "west"], ["failback", runbook]):
        assert run([*argv, "--yes", "--reason", "me too", "--actor", "bob"]) == ExitCode.REFUSED, argv
        said = capsys.readouterr().err
        assert run_id in said and f"dr pause {run_id}" in said and f"dr cancel {run_id}" in said and f"process {process.pid}" in said
    assert run(["approve", run_id, "approvals/1", "--actor", "bob"]) == 0
    assert printed(process)[1]["outcome"] == "completed"


@pytest.mark.parametrize("held", [True, False], ids=["running", "paused"])
def test_a_switchover_becomes_a_failover_in_the_same_run(held: bool, free: str, typed: Typed, tmp_path: Path, capsys: Output) -> None:
    """``dr failover --to SAME`` beside a switchover that is stuck: the same id goes on with the other intent, whoever holds it."""
    hold = tmp_path / "db/hold"
    hold.touch()
    first = typed("switchover", free, "--to", "west", "--yes", "--actor", "ann", "--json")
    until(lambda: (tmp_path / "db/east").read_text() == Role.STOPPED)
    run_id = in_flight(capsys).run_id
    if not held:
        assert run(["pause", run_id]) == 0
        until(lambda: in_flight(capsys).status is RunStatus.PAUSING)
        hold.unlink()
        first.communicate(timeout=30)
        assert in_flight(capsys).status is RunStatus.PAUSED
    second = failover(typed, free, "--accept-data-loss", "15m", "--accept-split")
    if held:  # what is under way ends first, then the plan changes
        until(lambda: in_flight(capsys).status is RunStatus.PAUSING)
        hold.unlink()
    _, report = printed(second)
    assert (report["run_id"], report["intent"], report["outcome"]) == (run_id, "failover", "completed")
    assert "turned into a failover by ann: x" in str(report["deviations"])
    assert {item.guard for item in RunReport.model_validate(report).acceptances} == {Guard.EXPOSURE, Guard.FENCE}
    if held:
        assert printed(first)[1]["run_id"] == run_id
    runs = answered(capsys, "runs")[1]["runs"]
    assert isinstance(runs, list)
    assert [item["run_id"] for item in runs] == [run_id]
