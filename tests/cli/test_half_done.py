"""A move that was cut short stays half done until the same command finishes it, whatever small runs come in between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from dr.app import App
from dr.app.runs import Request
from dr.engine.runner import Runner
from dr.errors import ExitCode, Refused
from dr.model.events import CancelRequested
from dr.model.lag import ComponentView
from dr.model.words import Intent, Outcome, Role, RunOutcome, Verb
from dr.ports import Step
from tests.cli import toy
from tests.cli.test_whole_commands import answered


class Gone(BaseException):
    """The process that moved is gone."""


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    from dr.providers import registry

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()
    usual = toy.Toy.steps

    def steps(self: toy.Toy, intent: Intent, source: str, target: str) -> Sequence[Step]:
        fence = self._step("fence", Verb.FENCE, source, Role.STOPPED)
        return [fence, *usual(self, intent, source, target)] if intent is Intent.REPROTECT else usual(self, intent, source, target)

    monkeypatch.setattr(toy.Toy, "steps", steps)


def half_done(app: App, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failover that is cancelled after its promotion and before its last step."""
    platform = app.load(toy.make(folder))
    launch = Runner._launch

    def dies(self: Runner, command: object) -> None:
        if getattr(command, "step", "") == "db/look":
            raise Gone
        launch(self, command)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(Gone):
        patch.setattr(Runner, "_launch", dies)
        app.start(platform, Intent.FAILOVER, "west", actor="ann", reason="east is lost")
    (run_id,) = app.state.journal.runs()
    ended = app.request(run_id, CancelRequested(actor="ann", reason="enough"), actor="ann")
    assert ended is not None and ended.outcome is RunOutcome.CANCELLED
    platform.close()


@pytest.mark.parametrize("between", ["nothing", "fences", "reprotect", "rolled-back"])
def test_the_same_failover_finishes_what_was_cut_short(between: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The monitor fenced what came back, twice; somebody re-protected by hand; the same command was given and cancelled before it did
    anything: the plan still has its steps, and the command completes. Then there is nothing left to do."""
    app = App(tmp_path / "state")
    half_done(app, tmp_path, monkeypatch)
    platform = app.load(tmp_path / "toys.yaml")
    try:
        if between == "fences":
            for _ in range(2):
                app.conductor.start(platform, Request(Intent.REPROTECT, None, "dr monitor", "owed", fence_only=True))
        elif between == "reprotect":
            app.start(platform, Intent.REPROTECT, None, actor="ann")
        elif between == "rolled-back":
            with monkeypatch.context() as patch, pytest.raises(Gone):
                patch.setattr(Runner, "_launch", lambda *_arguments: (_ for _ in ()).throw(Gone))
                app.start(platform, Intent.FAILOVER, "west", actor="ann", reason="again")
            ended = app.request(app.list_runs()[0].run_id, CancelRequested(actor="ann"), actor="ann")
            assert ended is not None and ended.outcome is RunOutcome.ROLLED_BACK
        assert app.plan(platform, Intent.FAILOVER, "west").steps
        assert app.start(platform, Intent.FAILOVER, "west", actor="ann", reason="the rest").outcome is RunOutcome.COMPLETED
        assert not app.plan(platform, Intent.FAILOVER, "west").steps
        assert app.start(platform, Intent.FAILOVER, "west", actor="ann").outcome is RunOutcome.ALREADY
    finally:
        platform.close()
        app.close()


def test_a_platform_led_by_two_regions_is_told_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data is in the west, the names are still in the east, and the one who cancelled wants to re-protect."""
    app = App(tmp_path / "state")
    half_done(app, tmp_path, monkeypatch)
    runbook = tmp_path / "toys.yaml"
    (tmp_path / "names").mkdir()
    for region, role in (("east", Role.PRIMARY), ("west", Role.SECONDARY)):
        (tmp_path / "names" / region).write_text(role)
    runbook.write_text(toy.RUNBOOK + "  names: {kind: toy, folder: names, needs: [db]}\n")
    platform = app.load(runbook)
    try:
        with pytest.raises(Refused) as refused:
            app.start(platform, Intent.REPROTECT, None, actor="ann")
        assert refused.value.hint is not None
        assert f"dr failover {runbook} --to west finishes it" in refused.value.hint
        assert app.start(platform, Intent.FAILOVER, "west", actor="ann", reason="the rest").outcome is RunOutcome.COMPLETED
        assert (tmp_path / "names" / "west").read_text() == Role.PRIMARY
        with pytest.raises(Refused) as refused:
            app.runs.regions_of(platform, Intent.REPROTECT, None, None)
        assert refused.value.hint == f"dr status {runbook}"
    finally:
        platform.close()
        app.close()


def test_a_dead_side_part_is_no_reason_to_fail_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What holds the data is primary and answers: exit 3 without a reason, nothing is touched, and status offers the command with it."""
    runbook = toy.make(tmp_path)
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "east").write_text(Role.UNREACHABLE)
    (tmp_path / "names" / "west").write_text(Role.SECONDARY)
    runbook.write_text(toy.RUNBOOK + "  names: {kind: toy, folder: names, needs: [db]}\n")
    usual = toy.Toy.view

    def view(self: toy.Toy) -> ComponentView:
        seen = usual(self)
        return seen if self.name == "db" else seen.model_copy(update={"lag": None})

    monkeypatch.setattr(toy.Toy, "view", view)
    code, report = answered(capsys, "failover", str(runbook), "--to", "west", "--yes")
    assert (code, report["outcome"]) == (ExitCode.REFUSED, "refused")
    assert "only names does not work there" in str(report["guards"])
    assert (tmp_path / "db" / "east").read_text() == Role.PRIMARY
    ready = answered(capsys, "status", str(runbook))[1]["readiness"]
    assert isinstance(ready, dict)
    assert (ready["verdict"], ready["command"]) == ("yes", f"dr failover {runbook} --to west --reason TEXT")
    _, report = answered(capsys, "failover", str(runbook), "--to", "west", "--yes", "--reason", "names come back only there")
    assert report["outcome"] == "completed"


def planned_half_done(app: App, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A switchover that is cancelled after its promotion and before its last step; its run."""
    platform = app.load(toy.make(folder))
    launch = Runner._launch

    def dies(self: Runner, command: object) -> None:
        if getattr(command, "step", "") == "db/look":
            raise Gone
        launch(self, command)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(Gone):
        patch.setattr(Runner, "_launch", dies)
        app.start(platform, Intent.SWITCHOVER, "west", actor="ann")
    (run_id,) = app.state.journal.runs()
    ended = app.request(run_id, CancelRequested(actor="ann", reason="enough"), actor="ann")
    assert ended is not None and ended.outcome is RunOutcome.CANCELLED
    platform.close()
    return run_id


def test_the_same_switchover_finishes_what_was_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L2: cancelled past its promotion, the source is stopped and the target leads. The same command goes on forward, says how, and loses
    nothing; then there is nothing left to do. Whoever asks for another move is answered as before."""
    app = App(tmp_path / "state")
    run_id = planned_half_done(app, tmp_path, monkeypatch)
    platform = app.load(tmp_path / "toys.yaml")
    try:
        assert app.plan(platform, Intent.SWITCHOVER, "west").intent is Intent.FAILOVER
        assert app.plan(platform, Intent.FAILBACK, None).intent is Intent.FAILBACK
        report = app.start(platform, Intent.SWITCHOVER, "west", actor="ann")
        assert (report.outcome, report.intent) == (RunOutcome.COMPLETED, Intent.FAILOVER)
        assert f"asked for as a switchover, done with the steps of a failover: the rest of run {run_id}" in report.deviations[0]
        assert {step.id: step.outcome for step in report.steps}["db/promote"] == Outcome.ALREADY, "it is promoted once (I5)"
        assert app.start(platform, Intent.SWITCHOVER, "west", actor="ann").outcome is RunOutcome.ALREADY
    finally:
        platform.close()
        app.close()


def test_the_rest_of_a_switchover_survives_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that went on dies, too: the same command, typed once more, goes on with its run."""
    app = App(tmp_path / "state")
    planned_half_done(app, tmp_path, monkeypatch)
    platform = app.load(tmp_path / "toys.yaml")
    try:
        with monkeypatch.context() as patch, pytest.raises(Gone):
            patch.setattr(Runner, "_launch", lambda *_arguments: (_ for _ in ()).throw(Gone))
            app.start(platform, Intent.SWITCHOVER, "west", actor="ann")
        left = app.state.journal.runs()[-1]
        report = app.start(platform, Intent.SWITCHOVER, "west", actor="ann")
        assert (report.outcome, report.run_id) == (RunOutcome.COMPLETED, left)
    finally:
        platform.close()
        app.close()


def test_a_planned_move_whose_data_stands_still_names_the_failover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of the data is in the target, the other half's primary is gone: what is left would lose some, so a person decides; the refusal
    prints the command, and it works."""
    app = App(tmp_path / "state")
    planned_half_done(app, tmp_path, monkeypatch)
    app.close()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "east").write_text(Role.UNREACHABLE)
    (tmp_path / "logs" / "west").write_text(Role.SECONDARY)
    runbook = tmp_path / "toys.yaml"
    runbook.write_text(toy.RUNBOOK + "  logs: {kind: toy, folder: logs}\n")
    monkeypatch.setenv("DR_STATE", str(tmp_path / "state"))
    code, report = answered(capsys, "switchover", str(runbook), "--to", "west", "--yes")
    assert (code, report["hint"]) == (ExitCode.REFUSED, f"dr failover {runbook} --to west")
    code, report = answered(capsys, "failover", str(runbook), "--to", "west", "--yes")
    assert report["outcome"] == "completed"
