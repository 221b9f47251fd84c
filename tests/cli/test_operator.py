"""The operator at a keyboard is a real process: it answers, it can be killed, it ends with its keyboard."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dr.cli.operator import OperatorProcess, serve
from dr.errors import LabError

SOON = timedelta(seconds=30)


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[OperatorProcess]:
    process = OperatorProcess(tmp_path / "state", log=tmp_path / "log")
    yield process
    process.kill()


def test_commands_are_answered_with_exit_code_and_stdout(operator: OperatorProcess) -> None:
    """One after the other, each with its own output; an error is an exit code."""
    operator.type(["runs", "--json"])
    code, out = operator.wait(SOON)
    assert (code, json.loads(out)["runs"]) == (0, [])
    operator.type(["plan", "/nowhere.yaml"])
    assert operator.wait(SOON) == (2, "")


def test_a_killed_operator_says_so(operator: OperatorProcess) -> None:
    """SIGKILL is the answer of whatever was typed; killing twice and typing at the dead are harmless."""
    operator.kill()
    operator.kill()
    operator.type(["runs"])
    assert operator.wait(SOON) == (-9, "")


def test_no_answer_in_time_is_an_error(operator: OperatorProcess) -> None:
    """Nothing was typed, so nothing comes."""
    with pytest.raises(LabError):
        operator.wait(timedelta(milliseconds=1))


def test_what_a_command_prints_never_breaks_the_frame() -> None:
    """Lines, quotes and braces stay inside one line of JSON."""
    answers = io.StringIO()
    serve(io.StringIO('["--version"]\n["--help"]\n'), answers)
    first, second = (json.loads(line) for line in answers.getvalue().splitlines())
    assert first["exit"] == 0 and first["stdout"].startswith("dr, version")
    assert "Commands" not in second["stdout"] and "failover" in second["stdout"]
