"""The monitor's memory on a shared table: what goes there, how often, and what happens where it does not answer."""

from __future__ import annotations

import json
import random
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from dr.errors import StateUnreadable
from dr.model.identity import IdentitySnapshot
from dr.model.words import Known
from dr.monitor.exposure import last_beat, outage
from dr.ports.table import MOST_BYTES, Fields, Write
from dr.store.samples import SqliteSamples
from dr.store.shared import beside
from dr.store.shared.samples import EVERY, FRESH, SharedSamples
from dr.store.shared.watched import BEATS, Beats
from tests.shared.contract import machine
from tests.simulate.bench import RowsInMemory
from tests.store.build import START, HandClock
from tests.store.test_samples import after, beat, sample, snapshot


class Counted(RowsInMemory):
    """Counts what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def write(self, writes: Sequence[Write]) -> bool:
        self.writes += 1
        return super().write(writes)


def watcher(table: RowsInMemory, folder: Path, clock: HandClock) -> SharedSamples:
    """A machine whose time a test turns."""
    return SharedSamples(SqliteSamples(folder), table, clock, "watcher")


def settled(samples: SharedSamples) -> SharedSamples:
    """What was to be written is written."""
    worker = samples._beside._worker
    if worker is not None:
        worker.join(30)
        assert not worker.is_alive()
    return samples


def test_the_table_is_written_now_and_then_and_at_once_when_an_outage_begins(tmp_path: Path) -> None:
    """A round a second, one write in five; the first heartbeat that fails goes out with its own round, the next ones wait again."""
    table, clock = Counted(), HandClock()
    samples = watcher(table, tmp_path, clock)
    for second in range(int(EVERY) + 1):
        samples.add("airflow", [sample("db", second)], [beat(second)])
        settled(samples)
        clock.sleep(1.0)
    assert table.writes == 2
    samples.add("airflow", [], [beat(9, acknowledged=False)])
    settled(samples)
    assert table.writes == 3
    samples.add("airflow", [], [beat(10, acknowledged=False)])
    settled(samples)
    assert table.writes == 3
    samples.close()
    assert table.writes == 4, "what is left goes out in the end"
    there = machine(table, tmp_path, "laptop").beats("airflow", START)
    assert outage(there) == (after(EVERY + 0.01), after(9))


def test_a_monitor_that_begins_again_forgets_no_outage(tmp_path: Path) -> None:
    """It goes on with what its machine saw before, so that its row still says since when."""
    table, clock = RowsInMemory(), HandClock()
    first = watcher(table, tmp_path, clock)
    for second in range(5):
        first.add("airflow", [sample("db", second)], [beat(second)])
    first.close()
    again = watcher(table, tmp_path, clock)
    again.add("airflow", [], [beat(6, acknowledged=False)])
    again.close()
    laptop = machine(table, tmp_path, "laptop")
    assert outage(laptop.beats("airflow", START)) == (after(4.01), after(6))
    assert laptop.latest("airflow") == {"db": sample("db", 4)}


def test_only_what_dates_an_outage_is_kept() -> None:
    """Of heartbeats the newest that were acknowledged; of failures the first and the newest; of an outage that is over nothing."""
    own = Beats()
    assert [own.add(beat(second)) for second in range(100)] == [False] * 100
    assert [own.add(beat(second, acknowledged=False)) for second in range(100, 200)] == [True] + [False] * 99
    assert [item.sent_at for item in own] == [after(second) for second in [*range(100 - BEATS, 100), 100, 199]]
    assert outage(own) == (after(99.01), after(100))
    own.add(beat(200))
    assert outage(own) == (None, None)
    assert last_beat(own, watched_until=after(190)) == after(200.01)


def test_a_table_that_does_not_answer_ends_no_monitor_and_is_said(tmp_path: Path) -> None:
    """This machine's own samples are kept, and the next round says what was not shared; when it answers again, all is there."""
    table, clock = RowsInMemory(), HandClock()
    samples = watcher(table, tmp_path, clock)
    table.broken = True
    samples.add("airflow", [sample("db", 1)], [beat(1)])
    settled(samples)
    assert samples.troubles() == ["what is watched of airflow is not shared: memory://rows: broken"]
    assert samples.troubles() == []
    assert samples.history("airflow", START) == [sample("db", 1)]
    table.broken = False
    clock.sleep(EVERY)
    samples.add("airflow", [sample("db", 7)], [beat(7)])
    samples.close()
    assert machine(table, tmp_path, "laptop").beats("airflow", START) == [beat(1), beat(7)]


class Silent(RowsInMemory):
    """Answers no question."""

    asked = 0

    def rows(self, group: str, after: str = "", before: str | None = None) -> Sequence[tuple[str, Fields]]:
        self.asked += 1
        raise StateUnreadable("memory://rows: no answer")


def test_views_ask_often_and_the_table_is_asked_now_and_then(tmp_path: Path) -> None:
    """A look at a region must not fail, or take long, because of it: this machine's own counts then, and it is said once a question."""
    table, clock = Silent(), HandClock()
    own = SqliteSamples(tmp_path)
    own.add("airflow", [sample("db", 3)])
    own.keep_identities("airflow", "deployments", snapshot(1))
    samples = SharedSamples(own, table, clock, "laptop")
    for _ in range(5):
        assert samples.latest("airflow") == {"db": sample("db", 3)}
        assert samples.beats("airflow", START) == []
        assert samples.identities("airflow", "deployments") == snapshot(1)
    assert table.asked == 2
    assert samples.troubles() == ["what other machines saw is not known: memory://rows: no answer"]
    clock.sleep(FRESH + 1)
    samples.latest("airflow")
    assert table.asked == 3


def test_a_snapshot_of_many_rows_is_whole_or_not_there(tmp_path: Path) -> None:
    """Several rows of one write; of one that is being written anew, another machine reads the older or the newer one, never a mixture."""
    table = RowsInMemory()
    chance = random.Random("snapshot")
    items = {f"secret-{number}": chance.randbytes(32).hex() for number in range(12_000)}
    large = IdentitySnapshot(taken_at=after(1), region="east", deployments=(), items=items)
    assert len(zlib.compress(large.model_dump_json().encode())) > MOST_BYTES
    samples = machine(table, tmp_path, "watcher")
    samples.keep_identities("airflow", "secrets", large)
    samples.close()
    laptop = machine(table, tmp_path, "laptop")
    assert laptop.identities("airflow", "secrets") == large
    table.write([Write("identities airflow secrets east", "000", {"body": b"", "taken_at": after(9).isoformat(), "parts": 2}, {})])
    assert laptop.identities("airflow", "secrets") is None
    assert laptop.troubles() == ["what other machines saw is not known: memory://rows: «identities airflow secrets east» cannot be read"]


def test_the_same_snapshot_is_written_once_a_minute(tmp_path: Path) -> None:
    """Its age is told by the minute; another one goes out at once."""
    table = Counted()
    samples = machine(table, tmp_path, "watcher")
    for second in (0, 20, 40, 61):
        samples.keep_identities("airflow", "deployments", snapshot(second))
    samples.keep_identities("airflow", "deployments", snapshot(62, image="sha256:9"))
    samples.close()
    assert table.writes == 3
    assert machine(table, tmp_path, "laptop").identities("airflow", "deployments") == snapshot(62, image="sha256:9")


_EMPTY = zlib.compress(b'{"samples": [{}], "beats": []}')


@pytest.mark.parametrize("fields", [{"body": b"?"}, {}, {"body": "text"}, {"body": zlib.compress(b"[]")}, {"body": _EMPTY}])
def test_what_is_damaged_is_left_out_and_said(tmp_path: Path, fields: Fields) -> None:
    """One machine's row cannot be read: the others' count, nobody is held up, and it is not silent."""
    table = RowsInMemory()
    well = machine(table, tmp_path, "watcher")
    well.add("airflow", [sample("db", 1)], [beat(1)])
    well.close()
    table.write([Write("watch airflow", "older", fields)])
    laptop = machine(table, tmp_path, "laptop")
    assert laptop.latest("airflow") == {"db": sample("db", 1)}
    assert laptop.beats("airflow", START) == [beat(1)]
    assert laptop.troubles() == ["what other machines saw is not known: memory://rows: row older of «watch airflow» cannot be read"]


@pytest.mark.parametrize("fields", [{}, {"taken_at": "yesterday"}, {"taken_at": "2026-01-01T00:00:00"}])
def test_a_damaged_head_hides_no_snapshot(tmp_path: Path, fields: Fields) -> None:
    """Of a component, or under a name that is none."""
    table = RowsInMemory()
    table.write([Write("identities airflow", "deployments east", fields), Write("identities airflow", "deployments", fields)])
    laptop = machine(table, tmp_path, "laptop")
    laptop.keep_identities("airflow", "secrets", snapshot(1))
    laptop.close()
    assert laptop.identities("airflow", "deployments") is None
    assert machine(table, tmp_path, "another").identities("airflow", "secrets") == snapshot(1)
    assert len(laptop.troubles()) == 2


def test_what_another_version_says_more_is_left_out(tmp_path: Path) -> None:
    """One monitor was upgraded first: its samples, heartbeats and snapshots have fields that this version does not know."""
    table = RowsInMemory()
    newer = [item.model_dump(mode="json") | {"new": 1} for item in (sample("db", 1), beat(1), snapshot(1))]
    said = {"samples": newer[:1], "beats": newer[1:2], "more": []}
    table.write([
        Write("watch airflow", "upgraded", {"body": zlib.compress(json.dumps(said).encode()), "new": 1}),
        Write("identities airflow", "deployments east", {"taken_at": after(1).isoformat()}),
        Write("identities airflow deployments east", "000", {
            "taken_at": after(1).isoformat(), "parts": 1, "body": zlib.compress(json.dumps(newer[2]).encode()),
        }),
    ])  # fmt: skip
    laptop = machine(table, tmp_path, "laptop")
    assert laptop.latest("airflow") == {"db": sample("db", 1)}
    assert laptop.beats("airflow", START) == [beat(1)]
    assert laptop.identities("airflow", "deployments") == snapshot(1)
    assert laptop.troubles() == []


def test_a_machine_that_sees_nothing_hides_no_one_who_does(tmp_path: Path) -> None:
    """One is cut off and knows nothing, a second later; one had a clock an hour ahead and stopped. Of those who know, the newest counts."""
    table, clock = RowsInMemory(), HandClock()
    clock.sleep(60.0)
    right, blind, fast = sample("db", 59), sample("db", 60).model_copy(update={"state": Known.UNKNOWN, "lag": None}), sample("db", 3660)
    for name, seen in (("blind", blind), ("fast", fast), ("well", right), ("earlier", sample("db", 50))):
        shared = SharedSamples(SqliteSamples(tmp_path / name), table, clock, name)
        shared.add("airflow", [seen])
        shared.close()
    assert SharedSamples(SqliteSamples(tmp_path / "laptop"), table, clock, "laptop").latest("airflow") == {"db": right}


def test_a_monitor_that_begins_again_in_a_long_outage_still_dates_it(tmp_path: Path) -> None:
    """Three hours into it: the last heartbeat that was acknowledged lies far back, and is what counts."""
    table, clock = RowsInMemory(), HandClock()
    first = watcher(table, tmp_path, clock)
    first.add("airflow", [], [beat(0), beat(1)])
    for minute in range(1, 180):
        first.add("airflow", [], [beat(60 * minute, acknowledged=False)])
    first.close()
    again = watcher(table, tmp_path, clock)
    again.add("airflow", [], [beat(3 * 3600, acknowledged=False)])
    again.close()
    assert outage(machine(table, tmp_path, "laptop").beats("airflow", START)) == (after(1.01), after(60))


def test_rows_of_machines_that_are_gone_go(tmp_path: Path) -> None:
    """Where a monitor has another name each time it starts, rows do not add up."""
    table, clock = RowsInMemory(), HandClock()
    old = SharedSamples(SqliteSamples(tmp_path / "old"), table, clock, "pod-1")
    old.add("airflow", [sample("db", 1)])
    old.close()
    clock.sleep(3 * 86_400.0)
    new = SharedSamples(SqliteSamples(tmp_path / "new"), table, clock, "pod-2")
    new.add("airflow", [sample("db", 3 * 86_400)])
    new.close()
    assert [key for key, _ in table.rows("watch airflow")] == ["pod-2"]


class Slow(RowsInMemory):
    """Takes no write before it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.taken = threading.Event(), list[str]()

    def write(self, writes: Sequence[Write]) -> bool:
        self.go.wait(30)
        self.taken.append(writes[0].key)
        return super().write(writes)


def test_while_the_table_is_slow_only_the_newest_of_each_waits(tmp_path: Path) -> None:
    """An hour of snapshots of three components is three writes, and what dates the outage goes before them."""
    table, clock = Slow(), HandClock()
    samples = watcher(table, tmp_path, clock)
    for minute in range(60):
        for name in ("a", "b", "c"):
            samples.keep_identities("airflow", name, snapshot(60 * minute, image=f"sha256:{minute}"))
        samples.add("airflow", [], [beat(60 * minute)])
        clock.sleep(60.0)
    table.go.set()
    settled(samples)
    assert table.taken[:2] == ["a east", "watcher"], "the first was under way already"
    assert sorted(table.taken[2:]) == ["a east", "b east", "c east"]
    assert machine(table, tmp_path, "laptop").identities("airflow", "c") == snapshot(60 * 59, image="sha256:59")


def test_the_end_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is dropped, and said."""
    monkeypatch.setattr(beside, "PATIENCE", 0.05)
    table = Slow()
    samples = watcher(table, tmp_path, HandClock())
    samples.keep_identities("airflow", "a", snapshot(1))
    samples.keep_identities("airflow", "b", snapshot(1))
    samples.close()
    assert samples.troubles() == ["who b is in east is not shared: the table does not answer in time"]
    table.go.set()
    settled(samples)
