"""Whatever stands in a file, or is no file at all: refused with its place, never a traceback, never a wait without end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dr.config.source import read
from dr.errors import FileError
from dr.model.base import parse_duration

_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "place", "expected"),
    [
        ("a: " + "[" * 5000 + "]" * 5000, "", "fewer maps and lists inside each other"),
        ("a: " + "{b: " * 3000 + "1" + "}" * 3000, "", "fewer maps and lists inside each other"),
        ("a: 1\nb: " + "9" * 5000, ":2: b", "a number of at most 18 digits"),
        ("a: 1\nb: 0x" + "f" * 5000, ":2: b", "a number of at most 18 digits"),
        ("a: 1\nb: -" + "9" * 30, ":2: b", "a number of at most 18 digits"),
        ("a: &a [*a]", ":1: a", "no alias that contains itself"),
        (_BOMB, "", "at most 100000 values"),
        ('a: 1\nb: "\\ud800"', ":2: b", "text; half of a surrogate pair"),
        ('"\\ud800": 1', ":1", "plain text as a key"),
        ("a: 1\n" + "# padding\n" * 1_000_001, "", "at most 10 MB"),
    ],
    ids=["lists", "maps", "decimal", "hexadecimal", "negative", "loop", "bomb", "surrogate", "surrogate key", "size"],
)
def test_what_no_file_should_hold(content: str, place: str, expected: str, tmp_path: Path) -> None:
    """Each is a finding with the reason that is true of it."""
    path = tmp_path / "r.yaml"
    path.write_text(content)
    with pytest.raises(FileError) as caught:
        read(path)
    assert f"expected {expected}" in caught.value.message
    assert f"{path}{place}" in caught.value.message


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """A pipe without a writer would be waited for, a device never ends, a directory and a name with a NUL are none."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "a\0b", tmp_path / ("x" * 300)):
        with pytest.raises(FileError):
            read(path)


def test_a_value_may_be_used_often(tmp_path: Path) -> None:
    """Aliases themselves are fine, and so are the numbers that people write."""
    path = tmp_path / "r.yaml"
    path.write_text("a: &a {port: 1_000, mask: 0x1F, share: .5, none: ~}\nb: [*a, *a]\n")
    value = {"port": 1000, "mask": 31, "share": 0.5, "none": None}
    assert read(path).data == {"a": value, "b": [value, value]}


@pytest.mark.parametrize("text", ["99999999999999h", "99999999999h", "87601h", "9" * 5000 + "s", "99999999999999999999ms"])
def test_a_duration_is_at_most_ten_years(text: str) -> None:
    """More than that can neither be added to a moment nor waited for; it is said as anything else that is wrong."""
    with pytest.raises(ValueError, match="at most 87600h"):
        parse_duration(text)


@pytest.mark.parametrize("number", [1e300, float("inf"), float("nan"), 10**400])
def test_a_number_of_seconds_that_is_none(number: float) -> None:
    """In our own JSON, which somebody may have changed."""
    with pytest.raises(ValueError, match=r"fewer seconds|NaN"):
        parse_duration(number)
