"""What was reckoned from a journal and kept: found as it was written, or not at all."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dr.errors import StateUnreadable
from dr.store import derived
from dr.store.derived import SqliteDerived


def change(directory: Path, statement: str) -> None:
    with closing(sqlite3.connect(directory / "derived.db")) as connection:
        assert connection.execute(statement).rowcount > 0
        connection.commit()


def test_the_first_key_that_is_known_counts(tmp_path: Path) -> None:
    """In the order in which they are asked for; nothing is made by asking."""
    kept = SqliteDerived(tmp_path)
    assert kept.first(["a"]) is None
    assert list(tmp_path.iterdir()) == []
    kept.keep("a", "one")
    kept.keep("b", "two")
    assert kept.first(["c", "b", "a"]) == ("b", "two")
    kept.keep("a", "three")
    assert SqliteDerived(tmp_path).first(["a"]) == ("a", "three")
    assert kept.first([]) is None


@pytest.mark.parametrize("damage", ["body = 'x'", "key = 'a', seal = 'x'", "body = x'00'", "key = 'b'"])
def test_what_is_not_as_it_was_written_is_not_there(damage: str, tmp_path: Path) -> None:
    """A changed text, a changed seal, a text under another key."""
    kept = SqliteDerived(tmp_path)
    kept.keep("a", "one")
    change(tmp_path, f"UPDATE derived SET {damage}")
    assert kept.first(["a", "b"]) is None


def test_a_damaged_file_says_so(tmp_path: Path) -> None:
    """It is for the caller to go on without."""
    (tmp_path / "derived.db").write_bytes(b"x" * 4096)
    with pytest.raises(StateUnreadable):
        SqliteDerived(tmp_path).first(["a"])


def test_only_so_many_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes first."""
    monkeypatch.setattr(derived, "KEPT", 3)
    kept = SqliteDerived(tmp_path)
    for key in "abcde":
        kept.keep(key, key)
    assert [key for key in "abcde" if kept.first([key])] == ["c", "d", "e"]
