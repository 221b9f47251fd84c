"""What the world refuses: exit 3 with a hint, and nothing was touched. Whole commands against files, no server."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from dr.cli.main import run
from dr.errors import ExitCode
from dr.model.evidence import Evidence, Fenced
from dr.model.lag import LagSample
from dr.model.report import RunReport
from dr.model.status import StatusReport
from dr.model.words import FenceState, Guard, Known, Role, Verb, Verdict
from dr.ports import AttemptContext
from tests.cli import toy
from tests.cli.test_whole_commands import answered

Output = pytest.CaptureFixture[str]

POSTGRES = """\
apiVersion: dr/v1
name: toys
regions: {east: {}, west: {}}
home: east
objectives: {rto: 1h, rpo: 15m}
components:
  db:
    kind: postgres
    database: platform
    user: dr
    password: {file: missing.txt}
    regions:
      east: {address: 127.0.0.1, port: 1, follows: {address: 127.0.0.1, port: 1}}
      west: {address: 127.0.0.1, port: 1, follows: {address: 127.0.0.1, port: 1}}
"""


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    from dr.providers import registry

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()


def roles(folder: Path) -> tuple[str, str]:
    return (folder / "db/east").read_text(), (folder / "db/west").read_text()


def failover(runbook: Path, capsys: Output, *more: str) -> tuple[int, dict[str, object], str]:
    """``dr failover --to west``: exit code, what it printed, and every refusal of its guards."""
    code, report = answered(capsys, "failover", str(runbook), "--to", "west", "--yes", *more)
    guards = report["guards"]
    assert isinstance(guards, list)
    return code, report, "; ".join(f"{item['name']}: {item['reason']}" for item in guards if item["verdict"] == "refused")


@pytest.mark.parametrize("more", [(), ("--reason", "x", "--accept-data-loss", "unknown", "--accept-split")])
def test_both_regions_unreachable(more: tuple[str, ...], tmp_path: Path, capsys: Output) -> None:
    """No acceptance helps: nobody can go where nobody answers."""
    runbook = toy.make(tmp_path, Role.UNREACHABLE, Role.UNREACHABLE)
    code, report, refused = failover(runbook, capsys, *more)
    assert (code, report["outcome"], report["steps"]) == (ExitCode.REFUSED, "refused", [])
    assert "target-reachable: db in west is unreachable" in refused
    assert report["hint"] == f"dr status {runbook} · start db in west, then give the same command again"
    assert roles(tmp_path) == (Role.UNREACHABLE, Role.UNREACHABLE)


def test_an_unreachable_target_of_a_healthy_primary(tmp_path: Path, capsys: Output) -> None:
    """A switchover needs both sides."""
    runbook = toy.make(tmp_path, Role.PRIMARY, Role.UNREACHABLE)
    assert run(["switchover", str(runbook), "--to", "west", "--yes"]) == ExitCode.REFUSED
    assert roles(tmp_path) == (Role.PRIMARY, Role.UNREACHABLE)


def test_a_switchover_of_a_dead_primary_says_failover(tmp_path: Path, capsys: Output) -> None:
    """The refusal names the intent that fits."""
    runbook = toy.make(tmp_path, Role.UNREACHABLE, Role.SECONDARY)
    code, report = answered(capsys, "switchover", str(runbook), "--to", "west", "--yes")
    assert (code, "use failover" in str(report["reason"])) == (ExitCode.REFUSED, True)


@pytest.mark.parametrize("intent", ["failover", "switchover"])
def test_a_target_that_is_primary_already_is_0_and_not_touched(intent: str, tmp_path: Path, capsys: Output) -> None:
    """The target is the idempotency key: no guard is asked, no step is there, no reason is needed."""
    runbook = toy.make(tmp_path, Role.UNREACHABLE, Role.PRIMARY)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "db").iterdir()}
    code, report = answered(capsys, intent, str(runbook), "--to", "west", "--yes")
    assert (code, report["outcome"], report["steps"], report["reason"]) == (0, "already", [], "west is already primary")
    assert report["guards"] == []
    code, plan = answered(capsys, "plan", str(runbook), "--intent", intent, "--to", "west")
    assert (code, plan["steps"], plan["guards"]) == (0, [], [])
    assert run(["plan", str(runbook), "--to", "west"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "nothing to do: west is already primary"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "db").iterdir()} == before


def test_what_moved_already_is_not_lost_once_more(tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old primary is gone, so the lag is unknown; that matters to nobody where the target has taken over already."""
    monkeypatch.setattr(toy.Toy, "sample", lambda self, _primary: LagSample(
        component=self.name, at=self.site.clock.now(), state=Known.UNKNOWN, reason="connection refused"
    ))  # fmt: skip
    runbook = toy.make(tmp_path, Role.UNREACHABLE, Role.PRIMARY)
    code, report, refused = failover(runbook, capsys)
    assert (code, report["outcome"], refused) == (0, "already", "")
    (tmp_path / "db/west").write_text(Role.SECONDARY)
    code, report, refused = failover(runbook, capsys)
    assert (code, report["outcome"]) == (ExitCode.REFUSED, "refused")
    assert "exposure: db would lose unknown" in refused


@pytest.mark.parametrize("intent", ["failover", "switchover"])
def test_a_part_does_not_move_ahead_of_what_it_needs(intent: str, tmp_path: Path, capsys: Output) -> None:
    """I2: names alone do not go to a region whose database takes no writes; with it, or after it, they may."""
    runbook = toy.make(tmp_path, Role.PRIMARY, Role.SECONDARY)
    runbook.write_text(runbook.read_text() + "  names: {kind: toy, folder: db, needs: [db]}\n")
    alone = [intent, str(runbook), "--to", "west", "--yes", "--reason", "x", "--only", "names"]
    code, report = answered(capsys, *alone)
    assert (code, report["hint"]) == (ExitCode.REFUSED, "move that, too: --only db --only names")
    assert roles(tmp_path) == (Role.PRIMARY, Role.SECONDARY)
    assert answered(capsys, *alone, "--only", "db")[1]["outcome"] == "completed"


def test_missing_credentials(tmp_path: Path, capsys: Output) -> None:
    """The file that is missing is named, for every command that needs it; nothing is started."""
    runbook = tmp_path / "pg.yaml"
    runbook.write_text(POSTGRES)
    code, report, refused = failover(runbook, capsys, "--reason", "x", "--accept-data-loss", "unknown", "--accept-split")
    assert (code, report["steps"]) == (ExitCode.REFUSED, [])
    assert f"the credential file {tmp_path}/missing.txt cannot be read: No such file or directory" in refused
    assert run(["runbook", "check", str(runbook)]) in (0, ExitCode.REFUSED)
    assert "missing.txt" in capsys.readouterr().out


def test_a_journal_that_is_none(tmp_path: Path, capsys: Output) -> None:
    """Every command that reads it exits 3 with a hint and without a traceback; a run does not begin without its record."""
    runbook, state = toy.make(tmp_path), tmp_path / "state"
    state.mkdir()
    (state / "journal.db").write_bytes(b"not a database " * 300)
    for argv in (["failover", str(runbook), "--to", "west", "--yes", "--reason", "x"], ["status", str(runbook)], ["status"], ["runs"],
                 ["plan", str(runbook), "--to", "west"], ["resume", "r-1"]):  # fmt: skip
        assert run(argv) == ExitCode.REFUSED, argv
        said = capsys.readouterr().err
        assert "journal.db" in said and "Try:" in said and "Traceback" not in said
    assert roles(tmp_path) == (Role.PRIMARY, Role.SECONDARY)


@pytest.mark.parametrize("change", ["UPDATE record SET body = replace(body, 'ann', 'bob')", "DELETE FROM record WHERE place & 255 = 3"])
def test_a_journal_that_was_changed(change: str, tmp_path: Path, capsys: Output) -> None:
    """Who looks at it, or wants to go on, is told which record it is."""
    runbook = toy.make(tmp_path)
    run(["failover", str(runbook), "--to", "west", "--yes", "--reason", "x", "--actor", "ann"])
    connection = sqlite3.connect(tmp_path / "state/journal.db")
    run_id = connection.execute("SELECT run_id FROM run").fetchone()[0]
    connection.execute(change)
    connection.commit()
    connection.close()
    capsys.readouterr()
    back = ["failover", str(runbook), "--to", "east", "--yes", "--reason", "x"]
    for argv in (["runs", run_id], ["runs"], ["status", str(runbook)], back):
        assert run(argv) == ExitCode.REFUSED, argv
        assert f"cannot be trusted: run {run_id}, record" in capsys.readouterr().err
    assert roles(tmp_path)[1] == Role.PRIMARY


def test_a_state_directory_that_is_a_file(tmp_path: Path, capsys: Output) -> None:
    """Said before anything is looked at; "no runs" would be a dangerous answer."""
    runbook = toy.make(tmp_path)
    (tmp_path / "state").write_text("")
    for argv in (["failover", str(runbook), "--to", "west", "--yes", "--reason", "x"], ["status"], ["status", "--json"], ["runs"],
                 ["status", "--state", str(tmp_path / "state")], ["report", "--from", "2026-01-01"]):  # fmt: skip
        assert run(argv) == ExitCode.REFUSED, argv
        assert "Try: --state DIRECTORY" in capsys.readouterr().err
    assert roles(tmp_path) == (Role.PRIMARY, Role.SECONDARY)


def test_status_says_what_a_paused_run_asks_for(tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fence that nobody acknowledged: the command in the status has the flag that is needed, and with it the run ends."""
    honest = toy.Act._evidence

    def unacknowledged(self: toy.Act, context: AttemptContext) -> tuple[Evidence, ...]:
        if self.verb is not Verb.FENCE:
            return honest(self, context)
        name = context.step.component
        return (Fenced(component=name, region=self.region, state=FenceState.UNACKNOWLEDGED, proof="no route to host"),)

    monkeypatch.setattr(toy.Act, "_evidence", unacknowledged)
    code, report, refused = failover(toy.make(tmp_path), capsys, "--reason", "x", "--actor", "ann")
    assert (code, report["outcome"]) == (ExitCode.PAUSED, "paused") and "fence: the fence of db was not acknowledged" in refused
    (flight,) = StatusReport.model_validate(answered(capsys, "status")[1]).in_flight
    assert flight.commands == (f"dr resume {report['run_id']} --accept-split --reason TEXT", f"dr cancel {report['run_id']}")
    assert run(["status"]) == 0
    assert "--accept-split --reason TEXT" in capsys.readouterr().out
    code, done = answered(capsys, "resume", str(report["run_id"]), "--accept-split", "--reason", "east is dark", "--actor", "bob")
    asked = [(item.name, item.verdict, item.overridden_by) for item in RunReport.model_validate(done).guards if item.step == "db/promote"]
    assert (done["outcome"], asked) == (
        "completed", [(Guard.FENCE, Verdict.OVERRIDDEN, "bob"), (Guard.EXPOSURE, Verdict.PASSED, None)]
    )  # fmt: skip
    owed = StatusReport.model_validate(answered(capsys, "status")[1]).debt
    assert owed and {(item.owner, item.run_id) for item in owed} == {("bob", report["run_id"])}
