"""A re-protect may wait long for a region to come back; a failover that is asked for meanwhile does not wait for it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dr.app import App
from dr.model.words import Intent, Role, RunOutcome, RunStatus
from tests.cli import toy
from tests.cli.test_whole_commands import until


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    from dr.providers import registry

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()


def test_a_reprotect_is_cancelled_by_a_failover(tmp_path: Path) -> None:
    """West does not come to follow, and a live process waits for it: its run ends as cancelled, naming why; the failover is a run of
    its own and completes."""
    runbook = toy.make(tmp_path)
    (tmp_path / "db" / "hold-follow").touch()
    app, other = App(tmp_path / "state"), App(tmp_path / "state")
    platform = app.load(runbook)

    def reprotect() -> None:
        other.start(other.load(runbook), Intent.REPROTECT, None, actor="ann")

    waiting = threading.Thread(target=reprotect, daemon=True)
    waiting.start()
    try:
        until(lambda: [run.status for run in app.list_runs()] == [RunStatus.RUNNING])
        second = app.start(platform, Intent.FAILOVER, "west", actor="bob", reason="east is lost")
        waiting.join(20)
        ended = app.run_report(app.list_runs()[1].run_id)
    finally:
        platform.close()
        app.close()
        other.close()
    assert second.outcome is RunOutcome.COMPLETED
    assert (ended.intent, second.run_id != ended.run_id) == (Intent.REPROTECT, True)
    assert ended.outcome in (RunOutcome.CANCELLED, RunOutcome.ROLLED_BACK)
    assert "a failover comes first" in ended.reason
    assert (tmp_path / "db" / "west").read_text() == Role.PRIMARY
