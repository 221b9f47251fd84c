"""The disk fills up in the middle of a run: it stops, what was done so far is readable, and with room again it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from dr.app import App
from dr.app.conduct import Hooks
from dr.engine.runner import Runner
from dr.errors import ExitCode, StateLost
from dr.model.words import Intent, Role, RunOutcome, StepState
from dr.store.journal import SqliteJournal
from dr.store.lease import SqliteLease
from tests.cli import toy


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    from dr.providers import registry

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()


def platform_of_many(folder: Path, count: int = 12) -> Path:
    """So many toys that the journal of a run needs some pages."""
    path = toy.make(folder)
    names = [f"c{number:02}" for number in range(count)]
    for name in names:
        (folder / name).mkdir()
        (folder / name / "east").write_text(Role.PRIMARY)
        (folder / name / "west").write_text(Role.SECONDARY)
    path.write_text(toy.RUNBOOK + "".join(f"  {name}: {{kind: toy, folder: {name}, needs: [db]}}\n" for name in names))
    return path


def test_a_full_disk_stops_the_run_with_everything_so_far_readable(tmp_path: Path) -> None:
    """At every amount of room between none and enough: StateLost (exit 1, with a hint) or completed; what the journal says was
    done is done, nothing was acted on that the journal does not at least name, and resume brings the rest about."""
    outcomes = []
    for room in (0, 8, 16, 24, 32, 10_000):
        folder = tmp_path / str(room)
        folder.mkdir()
        runbook, state = platform_of_many(folder), folder / "state"
        app = App(state)
        platform = app.load(runbook)

        def fill(_run: str, app: App = app, room: int = room) -> None:
            journal = app.state.journal
            assert isinstance(journal, SqliteJournal)
            connection = journal.connection()
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + room}")

        try:
            outcomes.append(app.start(platform, Intent.FAILOVER, "west", actor="ann", reason="x", hooks=Hooks(on_start=fill)).outcome)
        except StateLost as error:
            outcomes.append(RunOutcome.FAILED)
            assert error.exit_code == ExitCode.FAILED and "df -h" in error.hint
            begun = app.state.journal.runs()
            assert error.hint.endswith(f"dr resume {begun[-1]}" if begun else "give the same command again")
        finally:
            platform.close()
            app.close()
        again = App(state)
        for run_id in again.state.journal.runs():
            report = again.run_report(run_id)
            for step in report.steps:
                role = (folder / step.component / step.region).read_text()
                wanted = Role.STOPPED if step.verb == "fence" else Role.PRIMARY
                assert step.state is not StepState.DONE or role == wanted, step.id
                assert step.state is not StepState.PENDING or step.verb == "verify-inside" or role != wanted, step.id
            if report.outcome is RunOutcome.PAUSED:
                assert again.resume(run_id, actor="bob").outcome is RunOutcome.COMPLETED
        again.close()
    assert outcomes[0] is RunOutcome.FAILED and outcomes[-1] is RunOutcome.COMPLETED
    assert outcomes.count(RunOutcome.FAILED) >= 3, outcomes


def test_a_lease_that_cannot_be_given_back_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that completed has its report; one whose journal could not be written says that, and the way on; so does an answer."""

    def full(_lease: SqliteLease) -> None:
        raise StateLost("the lease cannot be written: disk full", hint="df -h")

    def lost(*_arguments: object) -> None:
        raise StateLost("the journal cannot be written: disk full", hint="df -h")

    for broken in (False, True):
        folder = tmp_path / str(broken)
        folder.mkdir()
        app = App(folder / "state")
        platform = app.load(toy.make(folder))
        with monkeypatch.context() as patch:
            patch.setattr(SqliteLease, "release", full)
            if broken:
                patch.setattr(Runner, "_launch", lost)
                with pytest.raises(StateLost, match="the journal cannot be written") as caught:
                    app.start(platform, Intent.FAILOVER, "west", actor="ann", reason="x")
                (run_id,) = app.state.journal.runs()
                assert caught.value.hint.endswith(f"dr resume {run_id}")
            else:
                report = app.start(platform, Intent.FAILOVER, "west", actor="ann", reason="x")
                assert (report.outcome, report.exit_code) == (RunOutcome.COMPLETED, ExitCode.DONE)
        platform.close()
        app.close()
