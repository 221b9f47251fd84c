"""stdout and stderr of the process: what a command does, and its exit code, never depend on who listens.

A reader that went away (``| head``), a full disk behind a redirection, a descriptor that was closed before we began, a character that the
terminal's encoding does not have: none of them may turn a run that completed into exit 1.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Output(io.FileIO):
    """One of the two; what cannot be written is dropped. ``problem``: the first reason why something was."""

    problem: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Writes, waiting where the other end asks for that. Never raises OSError."""
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])  # somebody made the pipe non-blocking, and it is full
        except OSError as error:
            self.problem = self.problem or error
            return memoryview(data).nbytes
        return written


def steady() -> None:
    """Puts an ``Output`` behind ``sys.stdout`` and ``sys.stderr``. Once, before the process opens anything."""
    _fill()
    sys.stdout, sys.stderr = _stream(1, sys.stdout), _stream(2, sys.stderr)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), encoding="utf-8")
    elif isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="backslashreplace")  # what a person types is compared with names; it never ends the process


def gone() -> bool:
    """Nobody takes what is written to stdout any more: a watch that only writes there may end."""
    return _problem(sys.stdout) is not None


def finish() -> None:
    """Writes what is left; says so on stderr where stdout could not be written for another reason than a reader who had enough."""
    sys.stdout.flush()
    problem = _problem(sys.stdout)
    if problem is not None and problem.errno != errno.EPIPE:
        sys.stderr.write(f"error: the result could not be written to stdout: {problem.strerror}\n")
    sys.stderr.flush()


def _problem(stream: TextIO) -> OSError | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.problem if isinstance(raw, Output) else None


def _fill() -> None:
    """Descriptors 0, 1 and 2 that were closed before we began lead nowhere: else a journal would get one of them, and be written to."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)


def _stream(number: int, old: TextIO | None) -> TextIO:
    like = old if isinstance(old, io.TextIOWrapper) else None
    return io.TextIOWrapper(
        io.BufferedWriter(Output(number, "wb", closefd=False)), encoding=like.encoding if like else "utf-8", errors="backslashreplace",
        line_buffering=like.line_buffering if like else True, write_through=like.write_through if like else False,
    )  # fmt: skip
