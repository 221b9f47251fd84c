"""The fence that the monitor tries again by itself never refuses a person: whatever they ask for is done, and fences where it must."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from dr.app import App, outlook
from dr.app.platform import Platform
from dr.app.runs import Request
from dr.engine.runner import Runner
from dr.model.words import Intent, Role, RunOutcome, RunStatus, Verb
from dr.ports import Step
from tests.cli import toy


class Gone(BaseException):
    """The process that fenced is gone."""


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    from dr.providers import registry

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()
    usual = toy.Toy.steps

    def steps(self: toy.Toy, intent: Intent, source: str, target: str) -> Sequence[Step]:
        if intent is not Intent.REPROTECT:
            return usual(self, intent, source, target)
        fence = self._step("fence", Verb.FENCE, source, Role.STOPPED)
        return [fence, self._step("follow", Verb.FOLLOW, source, Role.SECONDARY, "fence")]

    monkeypatch.setattr(toy.Toy, "steps", steps)


def test_a_fence_that_came_and_went_meanwhile_is_no_reason_to_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The monitor fenced between the look and the lease: the command goes on. Each of its steps looks for itself anyway."""
    app = App(tmp_path / "state")
    platform = app.load(toy.make(tmp_path))
    (tmp_path / "db" / "east").write_text(Role.STOPPED)
    (tmp_path / "db" / "west").write_text(Role.PRIMARY)
    look, looks = outlook.look, []

    def and_fences(seen: Platform) -> outlook.Outlook:
        found = look(seen)
        looks.append(found)
        if len(looks) == 1:
            app.conductor.start(seen, Request(Intent.REPROTECT, None, "dr monitor", "owed", fence_only=True))
        return found

    monkeypatch.setattr(outlook, "look", and_fences)
    try:
        done = app.start(platform, Intent.REPROTECT, None, actor="ann", reason="east is back")
        runs = [(run.intent, run.status) for run in app.list_runs()]
    finally:
        platform.close()
        app.close()
    assert (done.outcome, done.actors) == (RunOutcome.COMPLETED, ("ann",))
    assert runs == [(Intent.REPROTECT, RunStatus.ENDED)] * 2


def test_a_switchover_takes_the_place_of_a_fence_that_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run of the fence has not ended: it is ended as cancelled, naming why, and what was asked for is done."""
    app = App(tmp_path / "state")
    platform = app.load(toy.make(tmp_path))

    def dies(*_arguments: object) -> None:
        raise Gone

    try:
        with monkeypatch.context() as patch, pytest.raises(Gone):
            patch.setattr(Runner, "_launch", dies)
            app.conductor.start(platform, Request(Intent.REPROTECT, None, "dr monitor", "owed", fence_only=True))
        (left,) = app.list_runs()
        done = app.start(platform, Intent.SWITCHOVER, "west", actor="ann", reason="maintenance")
        ended = app.run_report(left.run_id)
    finally:
        platform.close()
        app.close()
    assert done.outcome is RunOutcome.COMPLETED
    assert ended.outcome in (RunOutcome.CANCELLED, RunOutcome.ROLLED_BACK)
    assert "a switchover comes first" in ended.reason
