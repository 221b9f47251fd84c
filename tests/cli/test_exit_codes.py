"""What a shell sees: exit codes, hints, JSON also when it is refused, no traceback, no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dr.cli.main import run
from dr.errors import ExitCode, GuardsRefused, NotThere
from dr.model.events import Approved, CancelRequested, SkipRequested
from dr.model.status import StatusReport
from dr.model.words import RunOutcome
from tests.cli.conftest import FakeApp, a_report


@pytest.mark.parametrize(
    "argv",
    [["nonsense"], ["failover"], ["failover", "r.yaml", "--nonsense"], ["skip", "r-1", "db/promote"], ["lab", "fault", "link", "--json"],
     ["drill", "s.yaml", "--world", "moon"], ["lab", "fault", "link", "--delay", "much"], ["monitor", "r.yaml", "--interval", "often"]],
)  # fmt: skip
def test_a_wrong_command_line_is_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever click or we find wrong with the command line exits 2 and says so on stderr."""
    assert run(argv) == ExitCode.USAGE
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "hint"),
    [(["bogus", "--json"], "dr --help"), (["plan", "--json"], "dr plan --help"), (["plan", "r", "--no", "--json"], "dr plan --help")],
)
def test_a_wrong_command_line_is_json_where_that_was_asked_for(argv: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A script that reads stdout as JSON gets dr.error/1 for a command or option that is not there, too."""
    assert run(argv) == ExitCode.USAGE
    body = json.loads(capsys.readouterr().out)
    assert (body["schema"], body["exit_code"], body["hint"]) == ("dr.error/1", 2, hint)
    assert body["message"]


def test_a_wrong_file_is_2_with_line_and_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """File, line and field on stderr; with --json the same as dr.error/1 on stdout; a password that was written there nowhere."""
    path = tmp_path / "r.yaml"
    path.write_text("apiVersion: dr/v1\nname: x\nhome: {password: hunter2}\npassword: hunter2\n")
    assert run(["plan", str(path), "--json", "--state", str(tmp_path)]) == ExitCode.USAGE
    seen = capsys.readouterr()
    assert f"{path}:4: password: unknown key" in seen.err
    body = json.loads(seen.out)
    assert (body["schema"], body["exit_code"], body["error"]) == ("dr.error/1", 2, "FileError")
    assert "hunter2" not in seen.err + seen.out
    assert "Traceback" not in seen.err


def test_a_refusal_is_3_with_every_guard_and_a_hint(app: type[FakeApp], capsys: pytest.CaptureFixture[str]) -> None:
    """Each guard on its own line, then the command that goes on."""
    app.answer = GuardsRefused((("exposure", "unknown"), ("fence", "no answer")), hint="dr failover … --accept-split")
    assert run(["failover", "r.yaml", "--to", "west", "--yes", "--json"]) == ExitCode.REFUSED
    seen = capsys.readouterr()
    assert "exposure: unknown" in seen.err and "fence: no answer" in seen.err and "Try: dr failover" in seen.err
    assert [guard["name"] for guard in json.loads(seen.out)["guards"]] == ["exposure", "fence"]


@pytest.mark.parametrize("code", list(ExitCode))
def test_the_exit_code_of_a_run_is_the_reports(code: ExitCode, app: type[FakeApp]) -> None:
    """0, 1, 3, 4, 5 and 130 go through unchanged."""
    app.answer = a_report(RunOutcome.FAILED, int(code))
    assert run(["switchover", "r.yaml", "--to", "west", "--yes"]) == code


@pytest.mark.parametrize(
    "argv",
    [["pause", "r-1"], ["cancel", "r-1"], ["approve", "r-1", "app/approve"], ["skip", "r-1", "db/fence", "--reason", "x"]],
)  # fmt: skip
def test_answers_are_handed_over_to_a_live_process(argv: list[str], app: type[FakeApp], capsys: pytest.CaptureFixture[str]) -> None:
    """Each becomes one event with the actor; the person is told where it goes."""
    assert run([*argv, "--actor", "bob", "--json"]) == 0
    ((_, event),) = app.asked
    assert isinstance(event, Approved | CancelRequested | SkipRequested) or argv[0] == "pause"
    assert getattr(event, "actor", "") == "bob"
    seen = capsys.readouterr()
    assert json.loads(seen.out)["handed_over"] is True
    assert "dr runs r-1 --watch" in seen.err


def test_an_answer_to_a_run_that_is_not_there(app: type[FakeApp], capsys: pytest.CaptureFixture[str]) -> None:
    """Refused, with the command that lists runs."""
    app.answer = NotThere("no run r-9", hint="dr runs")
    assert run(["approve", "r-9", "x"]) == ExitCode.REFUSED
    assert "Try: dr runs" in capsys.readouterr().err


def test_the_quick_empty_status_is_the_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unused state directory answers without the models; what it prints is exactly what they would."""
    assert run(["status", "--json", "--state", str(tmp_path / "none")]) == 0
    body = json.loads(capsys.readouterr().out)
    report = StatusReport.model_validate(body)
    assert report.model_dump(mode="json", by_alias=True) == body
    assert set(body) == {"schema", *(name for name in StatusReport.model_fields if name != "schema_")}
