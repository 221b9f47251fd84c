"""What is recorded stays readable where nothing can be created any more; what cannot be read is never "nothing"."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from dr.errors import StateUnreadable
from dr.model.events import PauseRequested
from dr.store import database
from dr.store.inbox import SqliteInbox
from dr.store.journal import SCHEMA, SqliteJournal
from dr.store.lease import SqliteLease
from dr.store.presence import is_there
from dr.store.samples import SqliteSamples
from tests.store.build import HandClock, write_run


def no_room_for_shm(path: Path) -> None:
    """SQLite cannot make the -shm file, as on a full disk: a link to itself is in the way, which stops root, too."""
    path.with_name(f"{path.name}-shm").symlink_to(path.with_name(f"{path.name}-shm"))


def test_a_journal_is_read_whole_where_no_shm_can_be_made(tmp_path: Path) -> None:
    """After a clean end everything stands in the file itself: list, records and head are told, and verified as ever."""
    written = write_run(tmp_path, "r-1", 10)
    no_room_for_shm(tmp_path / "journal.db")
    journal = SqliteJournal(tmp_path)
    assert list(journal.runs()) == ["r-1"]
    assert journal.records("r-1") == written
    assert journal.head("r-1") == written[-1].hash


def test_a_log_that_holds_something_is_not_left_out(tmp_path: Path) -> None:
    """Without -shm the newest records in the log could not be read: that is refused, not told as if it were all."""
    write_run(tmp_path, "r-1", 10)
    no_room_for_shm(tmp_path / "journal.db")
    (tmp_path / "journal.db-wal").write_bytes(b"something")
    with pytest.raises(StateUnreadable):
        SqliteJournal(tmp_path).runs()
    (tmp_path / "journal.db-wal").write_bytes(b"")
    assert list(SqliteJournal(tmp_path).runs()) == ["r-1"]


def test_a_file_that_is_written_meanwhile_is_not_trusted(tmp_path: Path) -> None:
    """Nothing holds writers off a file that is read without -shm: so whether one came is looked at in the end."""
    write_run(tmp_path, "r-1", 10)
    path = tmp_path / "journal.db"
    no_room_for_shm(path)
    with pytest.raises(StateUnreadable, match="written while it was read"), database.reading(path, SCHEMA) as connection:
        assert connection is not None
        os.utime(path)


def test_a_damaged_file_is_still_refused_where_no_shm_can_be_made(tmp_path: Path) -> None:
    """The second way of opening looks at the file as closely as the first."""
    write_run(tmp_path, "r-1", 10)
    no_room_for_shm(tmp_path / "journal.db")
    (tmp_path / "journal.db").write_bytes(b"x" * 8192)
    with pytest.raises(StateUnreadable, match="not a database"):
        SqliteJournal(tmp_path).runs()


READS: list[Callable[[Path], object]] = [
    lambda folder: SqliteJournal(folder).runs(),
    lambda folder: SqliteLease(folder, HandClock()).look("airflow"),
    lambda folder: SqliteSamples(folder).latest("airflow"),
    lambda folder: SqliteInbox(folder).take("r-1"),
    lambda folder: SqliteInbox(folder).put("r-1", PauseRequested(actor="ann")),
    lambda folder: SqliteLease(folder, HandClock()).acquire("airflow", "r-1", "ann"),
]


@pytest.mark.parametrize("read", READS)
def test_a_place_that_cannot_be_looked_at_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    """Below a plain file, in a loop of links, under a name that is too long: never "nothing there", never a traceback."""
    (tmp_path / "plain").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for folder in (tmp_path / "plain", tmp_path / "loop", tmp_path / ("x" * 300)):
        with pytest.raises(StateUnreadable) as caught:
            read(folder)
        assert caught.value.hint


def test_a_folder_that_may_not_be_entered_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As anybody but root meets a directory of mode 000."""

    def denied(path: Path, **_how: bool) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", denied)
    for read in READS[:4]:
        with pytest.raises(StateUnreadable, match="Permission denied"):
            read(tmp_path)


def test_only_no_such_file_is_a_no(tmp_path: Path) -> None:
    """Missing, also with its folders: no. A link to nothing: something is wrong, such as a disk that is not mounted."""
    assert is_there(tmp_path)
    assert not is_there(tmp_path / "a/b/c")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="a link to nothing"):
        is_there(tmp_path / "link")
    assert SqliteJournal(tmp_path / "a").runs() == []


@pytest.mark.parametrize(
    "change",
    ["since = 'garbage'", "lasts_ms = 'x'", "pid = 'y'", "epoch = 'z'", "holder = x'00'", "renewal = 1.5", "lasts_ms = -1",
     "released = 'n'"],
)  # fmt: skip
def test_a_damaged_lease_is_refused_and_named(change: str, tmp_path: Path) -> None:
    """Nobody knows who holds it: neither looked at nor taken; the file is named, and what to do about it."""
    lease = SqliteLease(tmp_path, HandClock())
    lease.acquire("airflow", "r-1", "ann")
    lease.release()
    connection = sqlite3.connect(tmp_path / "lease.db")
    connection.execute(f"UPDATE lease SET {change}")
    connection.commit()
    connection.close()
    for ask in (lambda: lease.look("airflow"), lambda: SqliteLease(tmp_path, HandClock()).acquire("airflow", "r-2", "bob")):
        with pytest.raises(StateUnreadable, match=r"lease\.db cannot be read: the lease of airflow in it is damaged") as caught:
            ask()
        assert "restore it from a backup" in caught.value.hint
