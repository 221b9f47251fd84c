"""Collects everything that is wrong with a file, so that a person mends it in one go. Also the one place of "did you mean"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import NoReturn, Protocol

from dr.errors import FileError


class Located(Protocol):
    """A file whose places have lines."""

    shown: str

    def line(self, place: tuple[str | int, ...]) -> int:
        """The 1-based line of a place, or of what is nearest around it."""


def dotted(place: Sequence[str | int]) -> str:
    """``acts[0].to`` for ``("acts", 0, "to")``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def suggest(word: str, known: Iterable[str]) -> str:
    """``; did you mean "x"?`` where something is near, else the list of what is known, else nothing."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; known: {', '.join(names)}" if names else ""


class Problems:
    """What is wrong with one file."""

    def __init__(self, source: Located) -> None:
        self._source = source
        self._found: dict[tuple[int, str, str], FileError] = {}

    def add(self, place: tuple[str | int, ...], expected: str, *, line: int | None = None, hint: str = "", stop: bool = False) -> None:
        """Notes one problem; the same one only once. ``stop`` raises at once, where going on makes no sense.

        Raises:
            FileError: with ``stop``.
        """
        at = self._source.line(place) if line is None else line
        error = FileError(self._source.shown, at, dotted(place), expected, hint=hint)
        self._found.setdefault((at, error.field, expected), error)
        if stop:
            self._raise()

    def __bool__(self) -> bool:
        return bool(self._found)

    def raise_if_any(self) -> None:
        """Raises all problems as one error, sorted by line.

        Raises:
            FileError: the first problem; the others stand in ``more`` and in the message.
        """
        if self._found:
            self._raise()

    def _raise(self) -> NoReturn:
        first, *others = sorted(self._found.values(), key=lambda error: (error.line, error.field))
        raise FileError(first.file, first.line, first.field, first.expected, hint=first.hint, more=tuple(others))
