"""The readiness report: what the file says, what lies around it, the world, and how old what we know is; whole commands, no server."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from dr.app import App
from dr.cli.main import run
from dr.errors import ExitCode
from dr.model.report import DrillReport
from dr.model.status import CheckFinding, CheckReport
from dr.model.truth import CleanUp
from dr.model.words import Role, Severity
from dr.providers.system import SystemClock
from tests.cli import toy
from tests.cli.conftest import a_report

Output = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    from dr.providers import registry

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()


def checked(capsys: Output, runbook: Path, *more: str) -> CheckReport:
    """``dr runbook check --json``; its exit code is the report's."""
    code = run(["runbook", "check", str(runbook), "--json", *more])
    report = CheckReport.model_validate_json(capsys.readouterr().out)
    assert report.exit_code == code
    return report


def about(report: CheckReport, words: str) -> CheckFinding | None:
    return next((item for item in report.findings if words in item.fact), None)


def severe(report: CheckReport, words: str) -> Severity | None:
    found = about(report, words)
    return found.severity if found else None


def with_components(folder: Path, text: str, head: str = "") -> Path:
    path = toy.make(folder)
    path.write_text(head + toy.RUNBOOK + text)
    return path


def test_offline_looks_at_the_file_only(tmp_path: Path, capsys: Output) -> None:
    """No region is asked (there are none to ask), no credential is read, nothing of the state; the groups say so."""
    runbook = toy.make(tmp_path)
    (tmp_path / "db/east").unlink()
    report = checked(capsys, runbook, "--offline")
    assert {group.name: bool(group.reason) for group in report.groups} == {
        "runbook": False, "credentials": True, "world": True, "freshness": True,
    }  # fmt: skip
    assert {item.group for item in report.findings} == {"runbook"}
    assert not (tmp_path / "state").exists()


def test_every_check_is_counted(tmp_path: Path, capsys: Output) -> None:
    """What passed can be believed: checked is what passed and what was found, for every group that was looked at."""
    report = checked(capsys, toy.make(tmp_path))
    for group in report.groups:
        assert group.checked == group.passed + sum(item.group == group.name for item in report.findings), group.name
        assert group.passed > 0 or group.name == "credentials", group.name


def test_a_command_that_needs_the_lost_region_is_an_error(tmp_path: Path, capsys: Output) -> None:
    """A failover must never wait for what it fails over from; the same command in the target, or for planned moves only, is none."""
    base = toy.RUNBOOK.replace("{east: {}, west: {}}", "{east: {host: {exec: [env]}}, west: {host: {exec: [env]}}}")
    runbook = toy.make(tmp_path)
    for where, intents, wanted in (("source", "", Severity.ERROR), ("target", "", None), ("source", ", intents: [switchover]", None)):
        runbook.write_text(base + f"  drain: {{kind: command, run: [echo], where: {where}, repeatable: true{intents}}}\n")
        assert severe(checked(capsys, runbook, "--offline"), "the region that is lost") is wanted, (where, intents)


def test_a_command_that_nobody_can_take_back_or_tell(tmp_path: Path, capsys: Output) -> None:
    """No undo, no check, never in a drill: each is named with its way out, and gone once the runbook says it."""
    bare = checked(capsys, with_components(tmp_path, "  tell: {kind: command, run: [echo]}\n"), "--offline")
    facts = ("has no undo", "has no check and is not repeatable", "no drill has ever run it")
    assert [severe(bare, words) for words in facts] == [Severity.WARNING, Severity.WARNING, Severity.INFO]
    (tmp_path / "toys.yaml").write_text(
        toy.RUNBOOK + "  tell: {kind: command, run: [echo], undo: [echo], check: [echo], worlds: [live, lab]}\n"
    )
    assert [severe(checked(capsys, tmp_path / "toys.yaml", "--offline"), words) for words in facts] == [None, None, None]


def test_objectives_that_cannot_be_kept_or_shown(tmp_path: Path, capsys: Output) -> None:
    """A critical path beyond the RTO is an error; an RPO that is tighter than samples, or looser than promised, a warning."""
    text = "  slow: {kind: command, run: [echo], estimate: 2m, repeatable: true, undo: [echo]}\n"
    runbook = with_components(tmp_path, text)
    whole = runbook.read_text().replace("rto: 1h", "rto: 1m").replace("folder: db}", "folder: db, needs: [slow], rpo: 1s}")
    runbook.write_text(whole)
    report = checked(capsys, runbook, "--offline")
    assert severe(report, "the critical path takes") is Severity.ERROR
    assert severe(report, "tighter than samples") is Severity.WARNING
    runbook.write_text(runbook.read_text().replace("rpo: 1s", "rpo: 1h"))
    assert severe(checked(capsys, runbook, "--offline"), "may lose 1h00m, the runbook promises 15m00s") is Severity.WARNING


def test_names_that_may_lead_where_nothing_was_written(tmp_path: Path, capsys: Output) -> None:
    """I2: a component that redirects must need every one that proves a write; the fix is the line to write."""
    lab = (ROOT / "runbooks/lab.yaml").read_text().replace("needs: [deployments]", "needs: []")
    (tmp_path / "r.yaml").write_text(lab)
    found = about(checked(capsys, tmp_path / "r.yaml", "--offline"), "names may lead there before")
    assert found is not None
    assert (found.component, found.severity, found.fix) == ("dns", Severity.ERROR, "needs: [metadata-db, deployments]")


def test_people_that_the_rto_waits_for(tmp_path: Path, capsys: Output) -> None:
    """Nobody beside the requester is for information; an approval that may take longer than the RTO is a warning."""
    runbook = toy.make(tmp_path)
    assert severe(checked(capsys, runbook, "--offline"), "one person alone") is Severity.INFO
    runbook.write_text(toy.RUNBOOK + "approvals: {failover: 1}\n")
    report = checked(capsys, runbook, "--offline")
    assert about(report, "one person alone") is None
    assert severe(report, "a failover waits for people (approvals/1)") is Severity.WARNING


def test_no_way_to_a_host_means_no_fence(tmp_path: Path, capsys: Output) -> None:
    """The lab's runbook without its hosts: every failover would need --accept-split, and the report says so before the day."""
    lab = (ROOT / "runbooks/lab.yaml").read_text()
    assert about(checked(capsys, ROOT / "runbooks/lab.yaml", "--offline"), "needs --accept-split") is None
    without = "\n".join(line for line in lab.splitlines() if "exec:" not in line)
    (tmp_path / "r.yaml").write_text(without.replace("regions:\n", "regions:\n  east: {}\n  west: {}\n", 1))
    assert severe(checked(capsys, tmp_path / "r.yaml", "--offline"), "needs --accept-split") is Severity.WARNING


def test_what_nobody_can_do_by_hand(tmp_path: Path, capsys: Output) -> None:
    """The toys say no command for their steps: a warning that names them. The lab's kinds lack none."""
    assert severe(checked(capsys, toy.make(tmp_path), "--offline"), "cannot be done by hand") is Severity.WARNING
    for runbook in ("lab.yaml", "platform.yaml", "careful.yaml"):
        report = checked(capsys, ROOT / "runbooks" / runbook, "--offline")
        assert [item.fact for item in report.findings if "by hand" in item.fact] == [], runbook


def test_a_credential_that_is_not_there_is_an_error_with_its_fix(tmp_path: Path, capsys: Output) -> None:
    """Named by its place in the file, and never by its value; one that others may read is a warning."""
    text = (ROOT / "runbooks/lab.yaml").read_text().replace("../lab-state/secrets", str(tmp_path))
    runbook = tmp_path / "r.yaml"
    runbook.write_text(text)
    report = checked(capsys, runbook)
    missing = [item for item in report.findings if item.group == "credentials" and item.severity is Severity.ERROR]
    assert {item.fact.partition(":")[0] for item in missing} >= {
        "components.metadata-db.password", "components.deployments.control_token", "components.dns.tsig.key",
    }  # fmt: skip
    assert all("chmod 600" in item.fix or "ls -l" in item.fix for item in missing)
    (tmp_path / "postgres").write_text("hunter2\n")
    (tmp_path / "postgres").chmod(0o644)
    assert run(["runbook", "check", str(runbook)]) == ExitCode.REFUSED
    said = capsys.readouterr()
    assert f"other accounts may read {tmp_path}/postgres" in said.out
    assert "hunter2" not in said.out + said.err


@pytest.mark.parametrize(
    ("east", "west", "to", "code"),
    [
        (Role.PRIMARY, Role.SECONDARY, "west", ExitCode.DONE),
        (Role.SECONDARY, Role.PRIMARY, "east", ExitCode.DONE),
        (Role.PRIMARY, Role.STOPPED, "west", ExitCode.REFUSED),
        (Role.STOPPED, Role.PRIMARY, "east", ExitCode.REFUSED),
        (Role.UNREACHABLE, Role.SECONDARY, "west", ExitCode.DONE),
        (Role.UNREACHABLE, Role.UNREACHABLE, "west", ExitCode.REFUSED),
    ],
)  # fmt: skip
def test_the_side_that_a_move_would_go_to_must_answer(
    east: Role, west: Role, to: str, code: ExitCode, tmp_path: Path, capsys: Output
) -> None:  # fmt: skip
    """Judged away from the observed primary, from home where none is; a lost source is a warning and no more."""
    report = checked(capsys, toy.make(tmp_path, east, west))
    assert (report.to_region, report.exit_code) == (to, code)
    silent = {item.region: item.severity for item in report.findings if "so nothing there was checked" in item.fact}
    for region, role in (("east", east), ("west", west)):
        wanted = Severity.ERROR if region == to else Severity.WARNING
        assert silent.get(region) == (None if role in (Role.PRIMARY, Role.SECONDARY) else wanted)


def test_what_is_old_or_owed(tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never sampled, never drilled, debt, a run in flight: each a warning with the command; a fresh drill and samples take them away."""
    monkeypatch.setenv("DR_STATE", str(tmp_path / "state"))
    runbook = toy.make(tmp_path)
    before = checked(capsys, runbook)
    assert severe(before, "was never sampled") is Severity.WARNING
    assert severe(before, "no drill of toys is recorded") is Severity.WARNING
    assert severe(before, "the lease is local") is Severity.INFO
    clock = SystemClock()
    app = App(tmp_path / "state")
    app.state.make()
    platform = app.load(runbook)
    app.state.samples.add("toys", [kind.sample(None) for kind in platform.kinds.values()])
    app.close()
    drills = tmp_path / "state" / "drills"
    drills.mkdir()
    for days, verdict in ((100, "passed"), (1, "failed")):
        at = clock.now() - timedelta(days=days)
        report = DrillReport.model_validate(
            {"schema": "dr.drill/1", "scenario": f"s{days}", "world": "lab", "started_at": at, "finished_at": at, "verdict": verdict,
             "expectations": (), "runs": (a_report(runbook="toys"),), "faults": (), "truth": None, "cleanup": CleanUp()}
        )  # fmt: skip
        (drills / f"{at:%Y%m%dT%H%M%SZ}-s{days}.json").write_text(report.model_dump_json(by_alias=True))
    after = checked(capsys, runbook)
    assert about(after, "was never sampled") is None and about(after, "no drill of toys") is None
    assert severe(after, "the last drill (s1, 24h00m ago) failed") is Severity.WARNING
    next(drills.glob("*-s1.json")).unlink()
    assert severe(checked(capsys, runbook), "the last drill (s100) was 100 days ago") is Severity.WARNING
    assert run(["failover", str(runbook), "--to", "west", "--yes", "--reason", "x"]) == ExitCode.DONE
    capsys.readouterr()
    owed = about(checked(capsys, runbook), "left to be done")
    assert owed is not None and owed.fix.startswith("dr reprotect")


def test_what_a_person_reads(tmp_path: Path, capsys: Output) -> None:
    """Most severe first, each with its fix, then what was looked at and passed, then the answer."""
    runbook = toy.make(tmp_path, Role.PRIMARY, Role.STOPPED)
    assert run(["runbook", "check", str(runbook)]) == ExitCode.REFUSED
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    assert [head.partition(" ")[0] for head in heads[:3]] == ["error", "warning", "info"]
    assert heads[-1] == f"{runbook}: a failover from east to west is not ready"
    assert any(line.startswith("    Try: ") for line in lines)
    assert any("checks passed; " in line for line in lines)
    assert json.loads(_json(capsys, runbook))["schema"] == "dr.check/1"


def _json(capsys: Output, runbook: Path) -> str:
    run(["runbook", "check", str(runbook), "--json"])
    return capsys.readouterr().out
