"""The journal of real runs, cut off at every byte of its last records and with flipped bits all over: read as before, or refused; never
read as anything else.

A write-ahead log that is cut ends where its last whole commit does: that is what SQLite takes a torn tail for. What is read then is the
journal as it was after that commit, which is no other history; what came later must be looked at again, and is.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from dr.app import App
from dr.app.conduct import Hooks
from dr.cli.main import run
from dr.errors import ExitCode, StateUnreadable
from dr.model.events import CancelRequested, Record
from dr.model.words import Intent, RunOutcome
from dr.store.journal import SqliteJournal
from tests.cli import toy

FRAME, LOG_HEADER = 24 + 4096, 32
"""Bytes of a frame of the write-ahead log, and of what stands before the first one: https://www.sqlite.org/fileformat2.html#walformat."""
LAST = 3
"""Records at the end that are cut at every byte."""


@dataclass(frozen=True)
class Journal:
    """A finished and a paused run, as files: after a clean end, and as a process leaves them that is killed."""

    clean: bytes
    beside: bytes
    log: bytes
    records: Mapping[str, Sequence[Record]]
    folder: Path

    @property
    def paused(self) -> str:
        """The newer run."""
        return list(self.records)[-1]

    def bodies(self, data: bytes) -> list[tuple[int, int]]:
        """Where the last records stand in a file: from, to."""
        found = [(data.rfind(record.body.encode()), len(record.body)) for record in self.records[self.paused][-LAST:]]
        assert all(at > 0 for at, _ in found), "a record that is split over pages would need another search"
        return [(at, at + size) for at, size in found]


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journal]:
    """A failover that completed, and a re-protect that was interrupted."""
    from dr.providers import registry

    usual = registry._registry
    toy.install()
    folder = tmp_path_factory.mktemp("toys")
    app = App(folder / "state")
    platform = app.load(toy.make(folder))
    done = app.start(platform, Intent.FAILOVER, "west", actor="ann", reason="x")
    interrupted = Hooks(on_runner=lambda runner: runner.interrupt())
    paused = app.start(platform, Intent.REPROTECT, None, actor="ann", reason="x", hooks=interrupted)
    assert (done.outcome, paused.outcome) == (RunOutcome.COMPLETED, RunOutcome.PAUSED)
    records = {name: list(app.state.journal.records(name)) for name in app.state.journal.runs()}
    platform.close()
    path = folder / "state" / "journal.db"
    beside, log = path.read_bytes(), path.with_name("journal.db-wal").read_bytes()  # nothing is written any more in this process
    app.close()
    yield Journal(path.read_bytes(), beside, log, records, folder)
    registry._registry = usual


def read(directory: Path, journal: Journal) -> Mapping[str, Sequence[Record]]:
    """All that a journal says. Raises StateUnreadable."""
    found = SqliteJournal(directory)
    names = dict.fromkeys((*(item.run_id for item in found.listing()), *journal.records))
    return {name: list(found.records(name)) for name in names}


def holds(directory: Path, journal: Journal, where: str) -> bool:
    """Whether a damaged journal is read as it was; refused with a next step is the only other thing that may be."""
    try:
        found = read(directory, journal)
    except StateUnreadable as error:
        assert error.exit_code == ExitCode.REFUSED and error.hint, where
        return False
    assert found == journal.records, where
    return True


def test_a_file_cut_anywhere_in_its_last_records(journal: Journal, tmp_path: Path) -> None:
    """At every byte of the last three records, and here and there in what stands behind them in the file."""
    path = tmp_path / "journal.db"
    path.write_bytes(journal.clean)
    assert holds(tmp_path, journal, "whole")
    bodies = journal.bodies(journal.clean)
    cuts = {at for begin, end in bodies for at in range(begin, end)} | set(range(bodies[-1][1], len(journal.clean), 13))
    for length in sorted(cuts, reverse=True):
        os.truncate(path, length)
        assert not holds(tmp_path, journal, f"cut at {length}")


def test_a_write_ahead_log_cut_anywhere_in_its_last_records(journal: Journal, tmp_path: Path) -> None:
    """A process was killed, and the tail of its log is missing: at every byte of the last three records, at the edges of all frames, and
    here and there between. What is read is what stood there after some commit, whole runs of records from the first one on."""
    whole = len(journal.log)
    edges = [edge + by for edge in range(LOG_HEADER, whole, FRAME) for by in (-1, 0, 1, 24) if 0 <= edge + by < whole]
    cuts = {whole, *edges, *range(0, whole, 331), *(at for begin, end in journal.bodies(journal.log) for at in range(begin - 8, end + 8))}
    (tmp_path / "journal.db").write_bytes(journal.beside)
    log, shm = tmp_path / "journal.db-wal", tmp_path / "journal.db-shm"
    before: dict[str, int] = {}
    for length in sorted(cuts):
        log.write_bytes(journal.log[:length])
        shm.unlink(missing_ok=True)
        found = read(tmp_path, journal)
        for name, records in found.items():
            assert list(records) == list(journal.records[name][: len(records)]), f"cut at {length}"
            assert len(records) >= before.get(name, 0), f"cut at {length}"
            before[name] = len(records)
    assert before == {name: len(records) for name, records in journal.records.items()}


def flipped(journal: Journal, tmp_path: Path, positions: Sequence[int]) -> tuple[int, int]:
    """How many flipped bits, one in each of these bytes, changed nothing that is read, and how many were noticed."""
    path = tmp_path / "journal.db"
    path.write_bytes(journal.clean)
    unused = noticed = 0
    with path.open("r+b", buffering=0) as file:  # nobody else has the file open while it is changed
        for position in positions:
            os.pwrite(file.fileno(), bytes([journal.clean[position] ^ 1 << position % 8]), position)
            same = holds(tmp_path, journal, f"byte {position}")
            unused, noticed = unused + same, noticed + (not same)
            os.pwrite(file.fileno(), journal.clean[position : position + 1], position)
    assert holds(tmp_path, journal, "mended")
    return unused, noticed


def test_a_flipped_bit_in_the_last_records_is_always_noticed(journal: Journal, tmp_path: Path) -> None:
    """In every byte of their bodies, one after the other."""
    positions = [at for begin, end in journal.bodies(journal.clean) for at in range(begin, end)]
    assert flipped(journal, tmp_path, positions) == (0, len(positions))


def test_a_flipped_bit_anywhere(journal: Journal, tmp_path: Path) -> None:
    """In every seventh byte of the file, each bit in its turn."""
    unused, noticed = flipped(journal, tmp_path, range(0, len(journal.clean), 7))
    assert unused and noticed > unused / 4


@pytest.mark.long
def test_a_flipped_bit_in_every_byte(journal: Journal, tmp_path: Path) -> None:
    """The whole file, each bit in its turn."""
    unused, noticed = flipped(journal, tmp_path, range(len(journal.clean)))
    assert unused + noticed == len(journal.clean)


def test_a_flipped_bit_in_the_log_is_a_torn_tail_or_noticed(journal: Journal, tmp_path: Path) -> None:
    """Frames carry checksums: from the damaged one on nothing counts. Never another record, never one without those before it."""
    (tmp_path / "journal.db").write_bytes(journal.beside)
    log, shm = tmp_path / "journal.db-wal", tmp_path / "journal.db-shm"
    shorter = 0
    for position in range(0, len(journal.log), 127):
        damaged = bytearray(journal.log)
        damaged[position] ^= 1 << position % 8
        log.write_bytes(damaged)
        shm.unlink(missing_ok=True)
        try:
            found = read(tmp_path, journal)
        except StateUnreadable as error:
            assert error.hint
            continue
        for name, records in found.items():
            assert list(records) == list(journal.records[name][: len(records)]), position
        shorter += found != journal.records
    assert shorter


def test_commands_say_so_with_the_next_step(
    journal: Journal, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged record, a file that was cut: ``dr runs RUN`` and ``dr resume`` exit 3, name the file and say what to do; so does
    ``dr runs`` where it cannot tell what there is. Nothing is touched."""
    path = tmp_path / "journal.db"
    first = min(begin for begin, _ in journal.bodies(journal.clean))
    changed = bytearray(journal.clean)
    changed[first + 5] ^= 1
    monkeypatch.setenv("DR_STATE", str(tmp_path))
    before = {region: (journal.folder / "db" / region).read_text() for region in ("east", "west")}
    for data in (bytes(changed), journal.clean[:first], journal.clean[:200], b""):
        path.write_bytes(data)
        for words in (["runs", journal.paused], ["runs"], ["resume", journal.paused]):
            code = run(words)
            said = capsys.readouterr()
            assert code == ExitCode.REFUSED, (words, len(data), said)
            assert "journal.db" in said.err and "Try:" in said.err, words
    assert {region: (journal.folder / "db" / region).read_text() for region in ("east", "west")} == before


@pytest.mark.parametrize("paused", [False, True])
def test_damage_that_the_first_append_finds_is_a_refusal(journal: Journal, tmp_path: Path, paused: bool) -> None:
    """It came after the journal was read: nothing was written, so nothing was started, and the exit code says so. A new run and one that
    is taken over."""
    (tmp_path / "journal.db").write_bytes(journal.clean)
    roles = {region: (journal.folder / "db" / region).read_text() for region in ("east", "west")}
    app = App(tmp_path)
    if not paused:
        app.request(journal.paused, CancelRequested(actor="ann"), actor="ann")
        assert app.run_report(journal.paused).outcome is not RunOutcome.PAUSED
        roles = {region: (journal.folder / "db" / region).read_text() for region in ("east", "west")}

    def damage(_run: str) -> None:
        with contextlib.closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
            last = "UPDATE record SET hash = zeroblob(32) WHERE place = (SELECT max(place) FROM record)"
            connection.execute(last if paused else "DELETE FROM run")
            connection.commit()

    platform = app.load(journal.folder / "toys.yaml")
    with pytest.raises(StateUnreadable, match="nothing was touched") as caught:
        if paused:
            app.resume(journal.paused, actor="ann", hooks=Hooks(on_start=damage))
        else:
            app.start(platform, Intent.REPROTECT, None, actor="ann", reason="x", hooks=Hooks(on_start=damage))
    assert caught.value.exit_code == ExitCode.REFUSED and "journal.db" in caught.value.hint
    platform.close()
    app.close()
    assert {region: (journal.folder / "db" / region).read_text() for region in ("east", "west")} == roles


def test_damage_hides_no_unfinished_run(journal: Journal, tmp_path: Path) -> None:
    """Who gives the same command again is led to the paused run, or told that the journal is damaged: a second run is never begun
    beside it. In every byte of what the list of runs says."""
    path = tmp_path / "journal.db"
    last = journal.records[journal.paused][0]
    row = journal.clean.rfind(journal.paused.encode() + b"toys" + last.at.encode())
    assert row > 0, "the row of the list, as SQLite writes it: texts one after the other"
    app = App(tmp_path)
    hidden = []
    for position in range(row, row + len(journal.paused) + len("toys") + len(last.at)):
        damaged = bytearray(journal.clean)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        try:
            found = app.conductor.runs.unfinished("toys")
        except StateUnreadable as error:
            assert error.hint
        else:
            hidden += [] if found == journal.paused else [position - row]
    app.close()
    assert hidden == []
