"""A runbook that is edited, broken or removed while a run of it is paused: the run keeps its plan, resume says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from dr.app import App
from dr.app.conduct import Hooks
from dr.cli.main import run
from dr.engine.runner import Runner
from dr.model.words import Intent, Role, RunOutcome
from tests.cli import toy
from tests.cli.test_whole_commands import answered

Output = pytest.CaptureFixture[str]
MORE = "  cache: {kind: toy, folder: cache, needs: [db]}\n"


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    from dr.providers import registry

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()


def paused(runbook: Path, tmp_path: Path, intent: Intent = Intent.FAILOVER) -> tuple[str, str]:
    """A run that was interrupted at once; its id and the hash of its plan."""
    app = App(tmp_path / "state")
    platform = app.load(runbook)

    def interrupt(runner: Runner) -> None:
        runner.interrupt()

    try:
        report = app.start(platform, intent, "west", actor="ann", reason="x", hooks=Hooks(on_runner=interrupt))
    finally:
        platform.close()
        app.close()
    assert report.outcome is RunOutcome.PAUSED
    return report.run_id, report.plan_hash


@pytest.mark.parametrize("edit", ["more", "other folder", "broken", "removed"])
def test_the_run_keeps_its_plan_and_resume_says_so(edit: str, tmp_path: Path, capsys: Output) -> None:
    """Whatever the file has become: same steps, same folder, and a deviation that names it."""
    runbook = toy.make(tmp_path)
    run_id, plan_hash = paused(runbook, tmp_path)
    if edit == "removed":
        runbook.unlink()
    else:
        text = {"more": toy.RUNBOOK + MORE, "other folder": toy.RUNBOOK.replace("folder: db", "folder: elsewhere"), "broken": "name: ["}
        runbook.write_text(text[edit])
    assert run(["resume", run_id, "--actor", "bob"]) in (0, 5)
    said = capsys.readouterr()
    assert "the runbook was edited meanwhile, the run kept its plan" in said.out + said.err
    report = answered(capsys, "runs", run_id)[1]
    assert (report["outcome"], report["plan_hash"]) == ("completed", plan_hash)
    assert (tmp_path / "db/west").read_text() == Role.PRIMARY
    assert not (tmp_path / "cache").exists() and not (tmp_path / "elsewhere").exists()


def test_an_unchanged_runbook_is_not_mentioned(tmp_path: Path, capsys: Output) -> None:
    """No false alarm."""
    runbook = toy.make(tmp_path)
    run_id, _ = paused(runbook, tmp_path)
    report = answered(capsys, "resume", run_id)[1]
    assert "edited" not in str(report["deviations"])


def test_a_switchover_of_an_edited_runbook_can_still_be_turned_and_gone_on_with(tmp_path: Path, capsys: Output) -> None:
    """The turn plans with the runbook that the run keeps: else nobody could resume or cancel it any more."""
    runbook = toy.make(tmp_path)
    run_id, _ = paused(runbook, tmp_path, Intent.SWITCHOVER)
    (tmp_path / "cache").mkdir()
    for name, role in (("east", Role.PRIMARY), ("west", Role.SECONDARY)):
        (tmp_path / "cache" / name).write_text(role)
    runbook.write_text(toy.RUNBOOK + MORE)
    code, report = answered(capsys, "failover", str(runbook), "--to", "west", "--yes", "--reason", "x")
    assert (report["run_id"], report["intent"], report["outcome"]) == (run_id, "failover", "completed")
    assert code in (0, 5)
    steps = report["steps"]
    assert isinstance(steps, list)
    assert {step["component"] for step in steps} == {"db"}
    assert (tmp_path / "cache/west").read_text() == Role.SECONDARY
    assert run(["runs", run_id]) == 0
