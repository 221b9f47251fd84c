"""The monitor's memory on a shared table: what goes there, how often, and what happens where it does not answer."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from dr.errors import StateUnreadable
from dr.model.identity import IdentitySnapshot
from dr.monitor.exposure import last_beat, outage
from dr.ports.table import MOST_BYTES, Fields, Write
from dr.store.samples import SqliteSamples
from dr.store.shared.samples import BEATS, EVERY, Beats, SharedSamples
from tests.shared.contract import machine
from tests.simulate.bench import RowsInMemory
from tests.store.build import START, HandClock
from tests.store.test_samples import after, beat, sample, snapshot


class Counted(RowsInMemory):
    """Counts what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def write(self, writes: object) -> bool:
        self.writes += 1
        return super().write(writes)  # type: ignore[arg-type]


def watcher(table: RowsInMemory, folder: Path, clock: HandClock) -> SharedSamples:
    """A machine whose time a test turns."""
    return SharedSamples(SqliteSamples(folder), table, clock, "watcher")


def settled(samples: SharedSamples) -> SharedSamples:
    """What was to be written is written."""
    assert samples._under_way is not None
    samples._under_way.result(timeout=30)
    return samples


def test_the_table_is_written_now_and_then_and_at_once_when_an_outage_begins(tmp_path: Path) -> None:
    """A round a second, one write in five; the first heartbeat that fails goes out with its own round, the next ones wait again."""
    table, clock = Counted(), HandClock()
    samples = watcher(table, tmp_path, clock)
    for second in range(int(EVERY) + 1):
        settled_before = samples._under_way
        samples.add("airflow", [sample("db", second)], [beat(second)])
        if samples._under_way is not settled_before:
            settled(samples)
        clock.sleep(1.0)
    assert table.writes == 2
    samples.add("airflow", [], [beat(9, acknowledged=False)])
    settled(samples)
    assert table.writes == 3
    samples.add("airflow", [], [beat(10, acknowledged=False)])
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
    assert samples.troubles() == ["what is watched is not shared: memory://rows: broken"]
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
    assert samples.troubles() == ["what other machines saw is not known: memory://rows: no answer"] * 2
    clock.sleep(3.0)
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
    table.write([Write("identities airflow secrets east", "000", {"body": b"", "taken_at": after(9).isoformat()}, {})])
    with pytest.raises(StateUnreadable, match="who secrets is cannot be read"):
        laptop.identities("airflow", "secrets")


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


def test_what_is_damaged_is_said(tmp_path: Path) -> None:
    """Not taken for "nothing is known"."""
    table = RowsInMemory()
    table.write([Write("watch airflow", "watcher", {"body": b"?"})])
    laptop = machine(table, tmp_path, "laptop")
    for ask in (laptop.latest, lambda name: laptop.beats(name, START)):
        with pytest.raises(StateUnreadable, match="what watcher watched cannot be read"):
            ask("airflow")
