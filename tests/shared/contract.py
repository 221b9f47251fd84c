"""What every ``ports.table.Table`` keeps; each table's own test file takes all of these."""

from __future__ import annotations

import threading
from itertools import count
from pathlib import Path

import pytest

from dr.errors import StateUnreadable
from dr.monitor.exposure import late, outage
from dr.ports.table import MOST_BYTES, MOST_WRITES, Fields, Table, Write
from dr.providers.system import SystemClock
from dr.store.samples import SqliteSamples
from dr.store.shared.key import agreed
from dr.store.shared.samples import SharedSamples
from tests.store.build import START
from tests.store.test_samples import after, beat, sample, snapshot

_NUMBERS = count(1)


@pytest.fixture
def group() -> str:
    """Of one test: a table may be shared by all of them."""
    return f"group {next(_NUMBERS)}"


def test_what_is_written_is_read(table: Table, group: str) -> None:
    """Every sort of field, in rows of their own; nothing where nothing was written."""
    assert (table.get(group, "a"), table.rows(group), table.last(group)) == (None, [], None)
    row: Fields = {"text": "ä\n", "number": -(10**15), "bytes": bytes(range(256)), "nothing": ""}
    assert table.write([Write(group, "a", row)])
    assert table.get(group, "a") == row
    assert table.rows(group) == [("a", row)]
    assert table.get(f"{group}0", "a") is None


def test_rows_come_in_the_order_of_their_keys(table: Table, group: str) -> None:
    """By their characters' numbers, between two keys that do not count themselves."""
    keys = ["0000000002", "0000000010", "0000000010.001", "A", "a", "é"]
    for key in reversed(keys):
        assert table.write([Write(group, key, {"n": 1})])
    assert [key for key, _ in table.rows(group)] == keys
    assert [key for key, _ in table.rows(group, "0000000010", "a")] == ["0000000010.001", "A"]
    last = table.last(group)
    assert last is not None and last[0] == "é"


def test_a_write_is_on_a_condition(table: Table, group: str) -> None:
    """Absent, as it was, or whatever; where one of several does not hold, nothing is written."""
    assert table.write([Write(group, "a", {"n": 1, "who": "ann"})])
    assert not table.write([Write(group, "a", {"n": 2})])
    assert not table.write([Write(group, "a", {"n": 2}, {"n": 7})])
    assert not table.write([Write(group, "b", {"n": 1}), Write(group, "a", {"n": 2}, {"n": 1, "who": "bob"})])
    assert (table.get(group, "a"), table.get(group, "b")) == ({"n": 1, "who": "ann"}, None)
    assert not table.write([Write(group, "c", {"n": 1}, {"n": 0})]), "there is no such row"
    assert table.write([Write(group, "a", {"n": 2}, {"n": 1}), Write(group, "b", {"n": 1}, {})])
    assert (table.get(group, "a"), table.get(group, "b")) == ({"n": 2}, {"n": 1})
    assert not table.write([Write(group, "a", None, {"n": 1})])
    assert table.write([Write(group, "a", None, {"n": 2}), Write(group, "none", None, {})])
    assert table.rows(group) == [("b", {"n": 1})]


def test_as_much_as_is_promised(table: Table, group: str) -> None:
    """So many rows in one write, so many bytes in one row; and more rows than one answer holds."""
    assert table.write([Write(group, f"{number:03d}", {"body": bytes(20_000)}) for number in range(MOST_WRITES)])
    assert table.write([Write(group, "big", {"body": b"x" * MOST_BYTES})])
    assert len(table.rows(group)) == MOST_WRITES + 1


def test_of_many_at_once_one_wins(table: Table, group: str) -> None:
    """Eight threads count up on condition of what they read: no number is given twice."""
    assert table.write([Write(group, "n", {"n": 0})])
    won: list[int] = []

    def run() -> None:
        for _ in range(10):
            row = table.get(group, "n")
            assert row is not None
            if table.write([Write(group, "n", {"n": int(row["n"]) + 1}, row)]):
                won.append(int(row["n"]) + 1)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(1, len(won) + 1)) and won
    assert table.get(group, "n") == {"n": len(won)}


def test_what_one_machine_watched_another_one_knows(table: Table, tmp_path: Path) -> None:
    """The newest samples, the heartbeats that date an outage, and who the Deployments are: by whichever machine saw them last."""
    name = f"airflow-{next(_NUMBERS)}"
    watcher, laptop = machine(table, tmp_path, "watcher"), machine(table, tmp_path, "laptop")
    for second in range(40):
        watcher.add(name, [sample("db", second)], [beat(second)])
    watcher.add(name, [sample("db", 40)], [beat(40, acknowledged=False)])
    watcher.keep_identities(name, "deployments", snapshot(10))
    watcher.keep_identities(name, "deployments", snapshot(5, region="west", image="sha256:2"))
    watcher.close()
    assert watcher.troubles() == []
    assert laptop.latest(name) == {"db": sample("db", 40)}
    assert outage(laptop.beats(name, START)) == outage(watcher.beats(name, START)) == (after(39.01), after(40))
    assert not late(laptop.beats(name, START), after(39.01), after(40))
    assert laptop.beats(name, after(38)) == [beat(38), beat(39), beat(40, acknowledged=False)]
    assert laptop.identities(name, "deployments") == snapshot(10)
    assert laptop.identities(name, "deployments", not_from="east") == snapshot(5, region="west", image="sha256:2")
    assert (laptop.identities(name, "deploy"), laptop.identities(name, "secrets")) == (None, None)
    laptop.keep_identities(name, "deployments", snapshot(20, image="sha256:3"))
    laptop.close()
    assert watcher.identities(name, "deployments") == snapshot(20, image="sha256:3")
    assert (laptop.history(name, START), laptop.runbooks()) == ([], []), "the long history stays where it was taken"


def test_all_machines_have_one_key_of_digests(table: Table) -> None:
    """The first one's; another one's own is not asked any more."""
    first = agreed(table, b"a" * 32)
    assert agreed(table, b"b" * 32) == first
    with pytest.raises(StateUnreadable, match="digest key was cut"):
        agreed(table, b"longer than the other one")


def machine(table: Table, folder: Path, name: str) -> SharedSamples:
    """Samples of a machine with a state directory of its own."""
    return SharedSamples(SqliteSamples(folder / name), table, FastClock(), name)


class FastClock(SystemClock):
    """Ten seconds pass between two questions: nothing has to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds = 0.0

    def monotonic(self) -> float:
        self._seconds += 10.0
        return self._seconds
