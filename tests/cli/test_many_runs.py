"""However many runs there were: a command reads the newest ones, and what they left to be done is reckoned once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dr.app import App, status
from dr.cli.main import run
from dr.errors import ExitCode
from dr.model.events import Record
from dr.model.report import Debt
from dr.model.words import Intent, RunOutcome
from dr.store.journal import SqliteJournal
from tests.cli import toy

MANY = 12


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A platform that was moved to and fro."""
    from dr.providers import registry

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()
    toy.make(tmp_path)
    app = App(tmp_path / "state")
    platform = app.load(tmp_path / "toys.yaml")
    for number in range(MANY):
        to, other = ("west", "east") if number % 2 == 0 else ("east", "west")
        (tmp_path / "db" / other).write_text("primary")
        (tmp_path / "db" / to).write_text("secondary")
        assert app.start(platform, Intent.FAILOVER, to, actor="ann", reason="x").outcome is RunOutcome.COMPLETED
    platform.close()
    app.close()
    yield tmp_path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose records are read from now on."""
    found: list[str] = []
    usual = SqliteJournal.records

    def records(self: SqliteJournal, run_id: str, after: int = 0) -> Sequence[Record]:
        found.append(run_id)
        return usual(self, run_id, after)

    monkeypatch.setattr(SqliteJournal, "records", records)
    return found


def owed(folder: Path) -> tuple[Debt, ...]:
    """By a process of its own."""
    app = App(folder / "state")
    try:
        return status.debt(app.runs, "toys")
    finally:
        app.close()


def test_what_is_owed_is_reckoned_once(folder: Path, read: list[str]) -> None:
    """From what was kept no run is read; without it all of them are, and it comes to the same."""
    kept = owed(folder)
    assert kept and read == []
    (folder / "state" / "derived.db").unlink()
    assert owed(folder) == kept
    assert len(set(read)) == MANY


@pytest.mark.parametrize("damage", [b"", b"x" * 5000])
def test_what_was_kept_is_never_needed(folder: Path, read: list[str], damage: bytes) -> None:
    """Damaged, it counts as not there."""
    kept = owed(folder)
    for other in ("derived.db-wal", "derived.db-shm"):
        (folder / "state" / other).unlink(missing_ok=True)
    (folder / "state" / "derived.db").write_bytes(damage)
    assert owed(folder) == kept
    assert len(set(read)) == MANY


def test_a_kept_book_of_other_records_is_not_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that another ``dr`` reckoned, in another way, is reckoned anew."""
    from dr.app import runs
    from dr.report import debt

    app = App(folder / "state")
    listed = app.state.journal.listing("toys")
    before = runs._keys(listed)
    monkeypatch.setattr(runs, "RECKONING", debt.RECKONING + 1)
    assert not set(before) & set(runs._keys(listed))
    grown = [*listed[:3], listed[3]._replace(head="0" * 64), *listed[4:]]
    assert [one == other for one, other in zip(runs._keys(listed), runs._keys(grown), strict=True)] == [True] * 3 + [False] * (MANY - 3)
    app.close()


def test_the_next_move_reads_the_newest_runs_only(folder: Path, read: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What is unfinished, what was cut short: the newest run says. Estimates are learned from the last ones, twenty at most."""
    app = App(folder / "state")
    newest = app.state.journal.runs("toys")[-1]
    assert (app.runs.unfinished("toys"), app.runs.cut_short("toys")) == (None, None)
    assert set(read) == {newest}
    assert [item.run_id for item in app.state.journal.newest("toys")] == list(reversed(app.state.journal.runs("toys")))
    app.close()
    assert run(["status", str(folder / "toys.yaml"), "--state", str(folder / "state")]) == ExitCode.DONE
    assert "db" in capsys.readouterr().out
