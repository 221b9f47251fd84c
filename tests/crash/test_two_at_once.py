"""Two real processes are given the same failover at once: one acts, the other one says who holds the lease, and since when."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dr.errors import ExitCode
from dr.model.words import Role
from tests.cli import toy
from tests.cli.test_answering_runs import Typed, failover, typed
from tests.crash.small_disk import said, until

__all__ = ["typed"]

TOLD = re.compile(r"run (\S+) of toys is in flight, held by (.+), process (\d+) since (\S+)")


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DR_STATE", str(tmp_path / "state"))


@pytest.mark.parametrize("number", range(3))
def test_one_acts_and_the_other_says_who_holds_it(number: int, tmp_path: Path, typed: Typed) -> None:
    """Whoever comes second exits 3 with the run, the process that holds it and the moment it took it, and touches nothing."""
    began = datetime.now(UTC)
    runbook = str(toy.make(tmp_path))
    hold = tmp_path / "db" / "hold"
    hold.touch()
    both = [failover(typed, runbook) for _ in range(2)]
    until(lambda: any(process.poll() is not None for process in both))
    (refused,) = [process for process in both if process.poll() is not None]
    (acting,) = [process for process in both if process is not refused]
    answer = said(refused)
    told = TOLD.search(str(answer["err"]))
    assert answer["code"] == ExitCode.REFUSED and told is not None, answer
    assert int(told[3]) == acting.pid
    assert began.replace(microsecond=0) <= datetime.fromisoformat(told[4]) <= datetime.now(UTC)
    assert f"dr pause {told[1]}" in str(answer["err"])
    assert (tmp_path / "db" / "west").read_text() == Role.SECONDARY, "nothing was promoted while the first one waits"
    hold.unlink()
    done = said(acting)
    assert done["code"] == ExitCode.DONE and told[1] in str(done["out"]), done
    assert (tmp_path / "db" / "west").read_text() == Role.PRIMARY
