"""The journal: what was appended comes back, in order, from any process; what was changed is noticed."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr.errors import LeaseLost, StateLost, StateUnreadable
from dr.model.events import GENESIS, Record, chain_hash
from dr.store.journal import SqliteJournal, verify
from tests.store.build import at, note, started, write_run


def tamper(directory: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(directory / "journal.db")
    connection.execute("PRAGMA synchronous = OFF")
    assert connection.execute(statement, values).rowcount > 0
    connection.commit()
    connection.close()


def test_what_was_appended_comes_back_in_order(tmp_path: Path) -> None:
    """records, runs, listing and head of another process are what append returned."""
    first, second = write_run(tmp_path, "run-1", 7), write_run(tmp_path, "run-2", 2, "other")
    journal = SqliteJournal(tmp_path)
    assert journal.records("run-1") == first
    assert journal.records("run-2") == second
    assert [record.seq for record in first] == list(range(1, 9))
    assert first[3].event == note("note 3")
    assert journal.head("run-1") == first[-1].hash
    assert journal.runs() == ["run-1", "run-2"]
    assert journal.runs("other") == ["run-2"]
    assert journal.listing("airflow")[0].started_at == first[0].at
    summary = verify(journal.path)
    assert summary.ok
    assert [(run.records, run.head) for run in summary.runs] == [(8, first[-1].hash), (3, second[-1].hash)]


def test_nothing_is_there_before_the_first_append(tmp_path: Path) -> None:
    """An empty state directory is read as no runs, and reading makes no file."""
    journal = SqliteJournal(tmp_path)
    assert (journal.records("x"), journal.runs(), journal.head("x")) == ([], [], GENESIS)
    assert list(tmp_path.iterdir()) == []


def test_files_are_private(tmp_path: Path) -> None:
    """The directory is 0700; the file, its write-ahead log and its index are 0600, also when a copy came with another mode."""
    state = tmp_path / "state" / "dr"
    journal = SqliteJournal(state)
    journal.append("run", [(at(0), started())])
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()} == {
        "journal.db": 0o600, "journal.db-wal": 0o600, "journal.db-shm": 0o600,
    }  # fmt: skip
    journal.close()
    journal.path.chmod(0o644)
    journal.append("run", [(at(1), note("later"))])
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    journal.close()


def test_a_live_view_follows_a_run_while_it_is_written(tmp_path: Path) -> None:
    """records(after=n) of a second object gives what is new and nothing else, verified from what it knew."""
    writer, reader = SqliteJournal(tmp_path), SqliteJournal(tmp_path)
    writer.append("run", [(at(0), started())])
    seen = list(reader.records("run"))
    for number in range(1, 6):
        written = writer.append("run", [(at(number), note(f"{number}")), (at(number), note("and"))])
        new = reader.records("run", after=seen[-1].seq)
        assert new == written
        seen += new
    assert reader.records("run", after=seen[-1].seq) == []
    assert reader.records("run", after=seen[-1].seq + 5) == []
    assert SqliteJournal(tmp_path).records("run", after=4) == seen[4:]
    writer.close()


def test_a_follower_notices_a_change_of_what_it_has_read(tmp_path: Path) -> None:
    """The chain goes on from the hash that the follower verified, not from what stands there now."""
    written = write_run(tmp_path, "run", 8)
    reader = SqliteJournal(tmp_path)
    reader.records("run")
    tamper(tmp_path, "UPDATE record SET hash = ? WHERE place = ?", b"x" * 32, 1 << 32 | written[-1].seq)
    with pytest.raises(StateUnreadable, match=f"run run, record {written[-1].seq} "):
        reader.records("run", after=written[-1].seq)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, Sequence[Record]]]:
    """A journal file of two runs, and their records."""
    directory = tmp_path_factory.mktemp("whole")
    written = {name: write_run(directory, name, 8) for name in ("run", "other")}
    return (directory / "journal.db").read_bytes(), written


def flip(text: str, position: int) -> str:
    index = position % len(text)
    return text[:index] + chr(ord(text[index]) ^ 1) + text[index + 1 :]


@settings(max_examples=60, deadline=None)
@given(seq=st.integers(1, 9), column=st.sampled_from(["at", "body", "hash"]), position=st.integers(0, 5000))
def test_a_changed_character_of_any_record_is_noticed(
    whole: tuple[bytes, dict[str, Sequence[Record]]], seq: int, column: str, position: int
) -> None:
    """One flipped bit in the moment, the body or the hash of any record: the record is named, by records and by verify."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        (directory / "journal.db").write_bytes(whole[0])
        connection = sqlite3.connect(directory / "journal.db")
        old = connection.execute(f"SELECT {column} FROM record WHERE place = ?", (1 << 32 | seq,)).fetchone()[0]
        connection.close()
        new = bytes([old[0] ^ 1]) + old[1:] if isinstance(old, bytes) else flip(old, position)
        tamper(directory, f"UPDATE record SET {column} = ? WHERE place = ?", new, 1 << 32 | seq)
        with pytest.raises(StateUnreadable, match=f"run run, record {seq} "):
            SqliteJournal(directory).records("run")
        assert not verify(directory / "journal.db").ok


@pytest.mark.parametrize(
    ("what", "statement", "seq"),
    [
        ("first gone", "DELETE FROM record WHERE place = (1 << 32 | 1)", 1),
        ("middle gone", "DELETE FROM record WHERE place = (1 << 32 | 4)", 4),
        ("last gone", "DELETE FROM record WHERE place = (1 << 32 | 9)", 9),
        ("last two gone", "DELETE FROM record WHERE place >= (1 << 32 | 8) AND place < 2 << 32", 8),
        ("one more", "INSERT INTO record SELECT 1 << 32 | 10, at, body, hash FROM record WHERE place = (1 << 32 | 9)", 10),
        ("neighbours exchanged", "UPDATE record SET body = (SELECT body FROM record AS o WHERE o.place = 1 << 32 |"
         " (11 - (record.place & 15))) WHERE place IN (1 << 32 | 5, 1 << 32 | 6)", 5),
        ("end of the chain changed", "UPDATE run SET head = x'00' WHERE number = 1", 9),
        ("taken from another run", "UPDATE record SET body = (SELECT body FROM record AS o WHERE o.place = 2 << 32 | 4),"
         " hash = (SELECT hash FROM record AS o WHERE o.place = 2 << 32 | 4) WHERE place = (1 << 32 | 4)", 4),
    ],
)  # fmt: skip
def test_missing_added_and_moved_records_are_noticed(tmp_path: Path, what: str, statement: str, seq: int) -> None:
    """The chain has no gaps, its end is known, and each record belongs to its place and its run; other runs stay readable."""
    write_run(tmp_path, "run", 8)
    other = write_run(tmp_path, "other", 8)
    tamper(tmp_path, statement)
    with pytest.raises(StateUnreadable, match=f"run run, record {seq} ") as caught:
        SqliteJournal(tmp_path).records("run")
    assert "journal.db" in caught.value.hint
    assert SqliteJournal(tmp_path).records("other") == other
    assert [bool(run.problem) for run in verify(tmp_path / "journal.db").runs] == [True, False]


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM run WHERE number = 1", "DELETE FROM run WHERE number = 2", "UPDATE run SET run_id = 'ran' WHERE run_id = 'run'"],
)
def test_a_run_that_was_taken_from_the_list_is_noticed(tmp_path: Path, statement: str) -> None:
    """That there is no such run is only said where the list of runs fits the records."""
    write_run(tmp_path, "run", 2)
    write_run(tmp_path, "newest", 2)
    tamper(tmp_path, statement)
    with pytest.raises(StateUnreadable, match="run number"):
        SqliteJournal(tmp_path).records("newest" if "= 2" in statement else "run")
    assert not verify(tmp_path / "journal.db").ok


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE record SET hash = 7 WHERE place & 15 = 2", "UPDATE record SET hash = 'text' WHERE place & 15 = 3",
        "UPDATE record SET body = x'00' WHERE place & 15 = 2", "UPDATE record SET at = x'00' WHERE place & 15 = 2",
        "UPDATE run SET head = 7", "UPDATE run SET last_seq = 'many'", "UPDATE run SET number = 1 << 60", "UPDATE run SET run_id = x'00'",
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_noticed(tmp_path: Path, statement: str) -> None:
    """A damaged file can hold numbers or bytes where text was written: refused by reading and before appending, never a crash."""
    write_run(tmp_path, "run", 2)
    tamper(tmp_path, statement)
    with pytest.raises(StateUnreadable, match="damaged"):
        SqliteJournal(tmp_path).records("run")
    if "record" not in statement or "= 3" in statement:
        journal = SqliteJournal(tmp_path)
        with pytest.raises(StateUnreadable, match="damaged"):
            journal.append("run", [(at(9), note("more"))])
        journal.close()


@settings(max_examples=120, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_in_the_file_never_changes_what_is_read(
    whole: tuple[bytes, dict[str, Sequence[Record]]], position: float, bit: int
) -> None:
    """Whatever byte of the file is damaged: what is read is what was written, or it is refused; nothing else ever comes out."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        data = bytearray(whole[0])
        data[int(position * len(data))] ^= 1 << bit
        (directory / "journal.db").write_bytes(data)
        for name, records in whole[1].items():
            try:
                assert SqliteJournal(directory).records(name) == records
            except StateUnreadable as error:
                assert error.hint


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"all work and no play " * 1000)


def foreign(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE record (x)")
    connection.commit()
    connection.close()


def newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize("damage", [cut, empty, garbage, foreign, newer])
def test_a_file_that_is_not_a_journal_is_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Reading, appending and auditing all say so, with a next step, and leave the file as it is."""
    write_run(tmp_path, "run", 60)
    path = tmp_path / "journal.db"
    damage(path)
    kept = path.read_bytes()
    for attempt in (
        lambda: SqliteJournal(tmp_path).records("run"),
        lambda: SqliteJournal(tmp_path).append("run", [(at(99), note("more"))]),
        lambda: verify(path),
    ):
        with pytest.raises(StateUnreadable) as caught:
            attempt()
        assert str(path) in caught.value.message
        assert caught.value.hint
    assert path.read_bytes() == kept


def test_a_newer_version_is_named(tmp_path: Path) -> None:
    """The message tells both versions, so that a person knows which tool to take."""
    write_run(tmp_path, "run", 1)
    newer(tmp_path / "journal.db")
    with pytest.raises(StateUnreadable, match="has version 99; this dr reads version 1"):
        SqliteJournal(tmp_path).runs()


def test_a_run_begins_with_its_start(tmp_path: Path) -> None:
    """A first event of another sort is a bug, and nothing of it is written."""
    journal = SqliteJournal(tmp_path)
    with pytest.raises(ValueError, match="must begin with RunStarted"):
        journal.append("run", [(at(0), note("first"))])
    with pytest.raises(ValueError, match="needs a zone"):
        journal.append("run", [(datetime(2025, 1, 1), started())])  # noqa: DTZ001 - the point of the test
    assert journal.runs() == []
    journal.append("run", [(at(0), started())])
    assert len(journal.records("run")) == 1
    journal.close()


def test_a_batch_is_all_or_nothing(tmp_path: Path) -> None:
    """An event that cannot be written takes its whole batch with it, and the journal goes on."""
    journal = SqliteJournal(tmp_path)
    journal.append("run", [(at(0), started())])
    with pytest.raises(ValueError, match="needs a zone"):
        journal.append("run", [(at(1), note("good")), (datetime(2025, 1, 1), note("bad"))])  # noqa: DTZ001 - the point of the test
    journal.append("run", [(at(2), note("next"))])
    assert [record.seq for record in journal.records("run")] == [1, 2]
    journal.close()


def test_a_second_writer_of_the_same_run_is_told(tmp_path: Path) -> None:
    """A process that lost its lease cannot write behind the back of the one that went on."""
    old, new = SqliteJournal(tmp_path), SqliteJournal(tmp_path)
    old.append("run", [(at(0), started())])
    new.append("run", [(at(1), note("I went on"))])
    with pytest.raises(LeaseLost, match="after record 1"):
        old.append("run", [(at(2), note("me too"))])
    new.append("run", [(at(3), note("still me"))])
    assert [record.seq for record in new.records("run")] == [1, 2, 3]
    old.close()
    new.close()


def test_two_runs_are_written_side_by_side(tmp_path: Path) -> None:
    """Two objects (two runbooks' orchestrators) share the file; each run has its own unbroken chain."""
    left, right = SqliteJournal(tmp_path), SqliteJournal(tmp_path)
    left.append("left", [(at(0), started("a"))])
    right.append("right", [(at(0), started("b"))])
    for number in range(1, 20):
        left.append("left", [(at(number), note("l"))])
        right.append("right", [(at(number), note("r"))])
    assert (len(left.records("left")), len(left.records("right"))) == (20, 20)
    assert verify(left.path).ok
    left.close()
    right.close()


def test_a_full_disk_keeps_what_was_written(tmp_path: Path) -> None:
    """StateLost when there is no room, again for every later append, and everything before stays readable, here and elsewhere."""
    journal = SqliteJournal(tmp_path)
    journal.append("run", [(at(0), started())])
    pages = journal.connection().execute("PRAGMA page_count").fetchone()[0]
    journal.connection().execute(f"PRAGMA max_page_count = {pages + 4}")
    written = 1
    with pytest.raises(StateLost, match=r"journal\.db cannot be written: database or disk is full") as caught:
        for number in range(1, 10_000):
            journal.append("run", [(at(number), note("x" * 500))])
            written += 1
    assert "df -h" in caught.value.hint
    with pytest.raises(StateLost):
        journal.append("run", [(at(0), note("small"))])
    assert len(journal.records("run")) == written > 10
    journal.close()
    again = SqliteJournal(tmp_path)
    assert len(again.records("run")) == written
    again.append("run", [(at(0), note("there is room again"))])
    assert len(again.records("run")) == written + 1
    again.close()


def test_a_copy_of_the_file_can_be_audited(tmp_path: Path) -> None:
    """An auditor gets one file; where there is none, verify says so."""
    written = write_run(tmp_path, "run", 5)
    copy = tmp_path / "evidence" / "copy.db"
    copy.parent.mkdir()
    shutil.copy(tmp_path / "journal.db", copy)
    assert verify(copy).runs[0].head == written[-1].hash
    with pytest.raises(StateUnreadable, match="no journal at"):
        verify(tmp_path / "elsewhere.db")


def test_an_audit_finds_an_event_of_another_version(tmp_path: Path) -> None:
    """A chain that verifies but holds something that this dr does not know is a finding, not a crash."""
    write_run(tmp_path, "run", 1)
    journal = SqliteJournal(tmp_path)
    journal.append("run", [(at(3), note("x"))])
    journal.close()
    connection = sqlite3.connect(tmp_path / "journal.db")
    rows = connection.execute("SELECT place & 15, at, hash FROM record ORDER BY place").fetchall()
    body = '{"event":"from-the-future"}'
    digest = bytes.fromhex(chain_hash(rows[1][2].hex(), "run", 3, rows[2][1], body))
    connection.execute("UPDATE record SET body = ?, hash = ? WHERE place & 15 = 3", (body, digest))
    connection.execute("UPDATE run SET head = ?", (digest,))
    connection.commit()
    connection.close()
    assert verify(journal.path).runs[0].problem == "record 3 is not an event that this version of dr knows"


def test_the_newest_come_first_and_are_read_as_far_as_asked(tmp_path: Path) -> None:
    """Of one of two runbooks, over several looks into the list; as the whole list has them."""
    for number in range(30):
        write_run(tmp_path, f"run-{number:02d}", 1, "other" if number % 3 else "airflow")
    journal = SqliteJournal(tmp_path)
    assert list(journal.newest("airflow")) == list(reversed(journal.listing("airflow")))
    assert list(journal.newest("other")) == list(reversed(journal.listing("other")))
    assert list(journal.newest("nobody")) == []
    assert list(SqliteJournal(tmp_path / "empty").newest("other")) == []


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM run WHERE number = 30",
        "DELETE FROM run WHERE number = 29",
        "UPDATE run SET number = 99 WHERE number = 30",
        "UPDATE run SET runbook = 'another' WHERE number = 28",
        "DELETE FROM run",
    ],
)
def test_damage_among_the_newest_hides_no_run(damage: str, tmp_path: Path) -> None:
    """The run that is asked for may be the one that is missing, or that stands there under another runbook: nobody says "none"."""
    for number in range(30):
        write_run(tmp_path, f"run-{number:02d}", 1, "airflow" if number == 27 else "other")
    tamper(tmp_path, damage)
    with pytest.raises(StateUnreadable, match="cannot be trusted"):
        next(SqliteJournal(tmp_path).newest("airflow"))


def test_damage_among_old_runs_is_found_by_who_reads_that_far(tmp_path: Path) -> None:
    """The newest runs can be asked for; the whole list cannot."""
    for number in range(30):
        write_run(tmp_path, f"run-{number:02d}", 1)
    tamper(tmp_path, "DELETE FROM run WHERE number = 2")
    journal = SqliteJournal(tmp_path)
    assert next(journal.newest("airflow")).run_id == "run-29"
    wholes: tuple[Callable[[], object], ...] = (lambda: list(journal.newest("airflow")), lambda: journal.listing("airflow"))
    for whole in wholes:
        with pytest.raises(StateUnreadable, match="number 2 is missing"):
            whole()
