"""``dr report``: a period of runs and drills, as typed. Whole commands against files, no server."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dr.cli.main import run
from dr.cli.report import moment
from dr.drill.record import keep
from dr.errors import ExitCode, UsageError
from dr.model.lag import LagSample
from dr.model.period import PeriodReport
from dr.model.report import DrillReport, RunReport
from dr.model.truth import CleanUp
from dr.model.words import Known, Role
from dr.store.samples import SqliteSamples
from tests.cli import toy
from tests.cli.test_whole_commands import answered

Output = pytest.CaptureFixture[str]
YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
SINCE = ("--from", f"{YESTERDAY:%Y-%m-%d}")


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    from dr.providers import registry

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()


@pytest.fixture
def runbook(tmp_path: Path) -> Path:
    return toy.make(tmp_path)


def moved(runbook: Path, capsys: Output) -> RunReport:
    """One failover, by ann."""
    found = answered(capsys, "failover", str(runbook), "--to", "west", "--yes", "--reason", "x", "--actor", "ann")[1]
    return RunReport.model_validate(found)


def report(capsys: Output, *argv: str) -> tuple[int, PeriodReport]:
    code, body = answered(capsys, "report", *argv)
    return code, PeriodReport.model_validate(body)


def sampled(tmp_path: Path, runbook: str = "toys") -> None:
    """A quarter of an hour of yesterday, one sample each 10 s: 1 s behind, then 20 min."""
    samples = SqliteSamples(tmp_path / "state")
    for number in range(90):
        at, behind = YESTERDAY + timedelta(seconds=10 * number), timedelta(seconds=1 if number < 60 else 1200)
        samples.add(runbook, [LagSample(component="db", at=at, state=Known.KNOWN, lag=behind, recovery_point=at - behind)])
    samples.close()


def test_a_run_its_debt_and_the_lag_history(runbook: Path, tmp_path: Path, capsys: Output) -> None:
    """With the runbook or without it the same is told; shares, heads and record counts are there; exit 0 although lag was above the RPO."""
    (tmp_path / "state").mkdir()
    sampled(tmp_path)
    done = moved(runbook, capsys)
    code, found = report(capsys, str(runbook), *SINCE, "--to", f"{YESTERDAY + timedelta(days=2):%Y-%m-%d}")
    assert (code, found.exit_code, found.journal.verified, found.runbook) == (0, 0, True, "toys")
    assert [(item.run_id, item.journal_head) for item in found.runs] == [(done.run_id, done.journal_head)]
    assert [(item.owner, item.open) for item in found.debt] == [("ann", True)]
    (line,) = found.replication
    assert (line.samples, line.inside_seconds, line.above_seconds, line.rpo_from) == (90, 600, 320, f"runbook {runbook}")
    assert line.unknown_seconds == pytest.approx(line.covered_seconds - 920)
    everything = report(capsys, *SINCE)[1]
    assert (everything.runbook, len(everything.runs), everything.replication[0].above_seconds) == (None, 1, 320)
    assert everything.replication[0].rpo_from == f"run {done.run_id}"
    assert report(capsys, *SINCE, "--to", f"{YESTERDAY:%Y-%m-%d}T12:00:00Z")[1].runs == ()


def test_a_broken_chain_is_said_loudly(runbook: Path, tmp_path: Path, capsys: Output) -> None:
    """The run is not told, the record is named on the page and at the terminal, the exit code is 3; other runs are told."""
    first = moved(runbook, capsys)
    (tmp_path / "db/east").write_text(Role.SECONDARY)
    run(["failover", str(runbook), "--to", "east", "--yes", "--reason", "y", "--actor", "bob"])
    connection = sqlite3.connect(tmp_path / "state/journal.db")
    connection.execute("UPDATE record SET body = replace(body, 'ann', 'eve')")
    connection.commit()
    connection.close()
    code, found = report(capsys, *SINCE)
    assert (code, found.exit_code, found.journal.verified) == (ExitCode.REFUSED, 3, False)
    assert [item.run_id for item in found.broken] == [first.run_id]
    assert [item.actors for item in found.runs] == [("bob",)]
    assert run(["report", *SINCE, "--html", str(tmp_path / "page/r.html")]) == ExitCode.REFUSED
    assert "CANNOT BE TRUSTED" in capsys.readouterr().out
    assert "cannot be trusted" in (tmp_path / "page/r.html").read_text() and first.run_id in (tmp_path / "page/r.html").read_text()


def a_drill(done: RunReport) -> DrillReport:
    now = datetime.now(UTC)
    return DrillReport(
        scenario="toys-out", world="lab", started_at=now - timedelta(seconds=9), finished_at=now, verdict="passed", expectations=(),
        runs=(done,), faults=(), truth=None, cleanup=CleanUp(),
    )  # fmt: skip


def test_a_drill_is_told_from_its_record_and_its_journal_is_looked_at_again(runbook: Path, tmp_path: Path, capsys: Output) -> None:
    """Verified while it is there; a record that says something else than the journal, or that is torn, ends in exit 3."""
    done = moved(runbook, capsys)
    path = keep(a_drill(done), tmp_path / "state")
    code, found = report(capsys, str(runbook), *SINCE)
    assert (code, [(item.scenario, item.world, item.components) for item in found.drills]) == (0, [("toys-out", "lab", ("db",))])
    assert [(item.journal, item.records) for item in found.drills[0].runs] == [("verified", found.runs[0].records)]
    path.write_text(path.read_text().replace(done.journal_head, "ab" * 32))
    code, found = report(capsys, *SINCE)
    assert (code, found.drills[0].runs[0].journal, found.journal.verified) == (ExitCode.REFUSED, "broken", False)
    path.write_text("{")
    code, found = report(capsys, *SINCE)
    assert (code, found.drills, len(found.unreadable)) == (ExitCode.REFUSED, (), 1)


def test_people_read_it_at_the_terminal_or_on_paper(runbook: Path, tmp_path: Path, capsys: Output) -> None:
    """Without --json words; with --html a file that holds the same run."""
    done = moved(runbook, capsys)
    capsys.readouterr()
    assert run(["report", str(runbook), *SINCE]) == 0
    out = capsys.readouterr().out
    for expected in (done.run_id, "drills: none", "owner: ann", "every chain holds", done.journal_head[:16]):
        assert expected in out
    assert run(["report", str(runbook), *SINCE, "--html", str(tmp_path / "r.html")]) == 0
    assert done.journal_head in (tmp_path / "r.html").read_text()
    assert run(["runs", done.run_id, "--html", str(tmp_path / "run.html")]) == 0
    assert done.run_id in (tmp_path / "run.html").read_text()
    assert run(["runs", "--html", str(tmp_path / "none.html")]) == ExitCode.USAGE


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2026-11-01", "2026-11-01T00:00:00+00:00"), ("2026-11-01T08:30:00Z", "2026-11-01T08:30:00+00:00"),
     ("2026-11-01T08:30", "2026-11-01T08:30:00+00:00"), ("2026-11-01T08:30:00+02:00", "2026-11-01T06:30:00+00:00")],
)  # fmt: skip
def test_dates_are_utc(text: str, expected: str) -> None:
    """A day begins at midnight UTC; another zone is converted."""
    assert moment(text, "--from").isoformat() == expected


def test_wrong_dates_are_2(capsys: Output) -> None:
    """What is no date, and a period that ends before it begins."""
    with pytest.raises(UsageError):
        moment("yesterday", "--from")
    before = ["--from", "0001-01-01T00:00:00+14:00"]
    for argv in (["--from", "soon"], before, [*SINCE, "--to", f"{YESTERDAY:%Y-%m-%d}"], ["--to", "2026-01-01"], []):
        assert run(["report", *argv]) == ExitCode.USAGE, argv


def test_an_empty_state_directory_answers_and_stays_empty(tmp_path: Path, capsys: Output) -> None:
    """Nothing is known, nothing is created."""
    code, found = report(capsys, *SINCE)
    assert (code, found.runs, found.drills, found.replication, found.debt) == (0, (), (), (), ())
    assert not (tmp_path / "state").exists()
    assert json.loads(found.model_dump_json(by_alias=True))["schema"] == "dr.report/1"


def test_a_damaged_record_of_a_drill_is_named_and_the_rest_is_told(runbook: Path, tmp_path: Path, capsys: Output) -> None:
    """Bytes that are no text, a journal's path that is no path: exit 3, the damaged one by name, run and other drills as ever."""
    moved(runbook, capsys)
    told = DrillReport(
        scenario="region-outage", world="lab", started_at=YESTERDAY + timedelta(hours=1), finished_at=YESTERDAY + timedelta(hours=2),
        verdict="passed", expectations=(), runs=(), faults=(), truth=None, cleanup=CleanUp(),
    )  # fmt: skip
    keep(told, tmp_path / "state")
    (tmp_path / "state/drills/damaged.json").write_bytes(b"\xff\xfe")
    code, found = report(capsys, *SINCE)
    assert (code, len(found.runs), [item.scenario for item in found.drills]) == (ExitCode.REFUSED, 1, ["region-outage"])
    (problem,) = found.unreadable
    assert "damaged.json" in problem


def test_the_journal_of_a_drill_that_cannot_be_looked_at_is_said(runbook: Path, tmp_path: Path, capsys: Output) -> None:
    """Its place is a name that nobody can have, or below a plain file: the drill is told, the run in it is not trusted."""
    done = moved(runbook, capsys)
    for number, path in enumerate((str(runbook / "journal.db"), "/\0", "x" * 5000)):
        told = DrillReport(
            scenario=f"drill-{number}", world="lab", started_at=YESTERDAY + timedelta(hours=1), finished_at=YESTERDAY + timedelta(hours=2),
            verdict="passed", expectations=(), runs=(done.model_copy(update={"journal_path": path}),), faults=(), truth=None,
            cleanup=CleanUp(),
        )  # fmt: skip
        keep(told, tmp_path / "state")
    code, found = report(capsys, *SINCE)
    assert (code, len(found.drills)) == (ExitCode.REFUSED, 3)
    assert sum("cannot be looked at" in problem for problem in found.journal.problems) == 3
