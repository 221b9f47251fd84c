"""The ledger's lines: one JSON object each, appended whole, never changed. Written by the outside, read by ``ledger``."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dr.errors import StateUnreadable
from dr.model.base import Json

_FLUSH_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Attempt:
    """One write of the client through one public name. Acknowledged, or not and then ``error`` says why; ``region`` answered."""

    id: str
    hostname: str
    sent_at: datetime
    acknowledged_at: datetime | None
    region: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Poll:
    """One successful poll of the remote-execution agent."""

    at: datetime
    region: str | None


def moment(timestamp: float) -> str:
    """A time as it stands in the ledger: UTC, ISO 8601, microseconds."""
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="microseconds")


class LedgerFile:
    """Appends lines. They reach the file within a tenth of a second, whole lines in one write, also when the process is told to end."""

    def __init__(self, path: Path) -> None:
        """Begins a new ledger; the one before is kept once, beside it, with ``.previous`` at its end."""
        if path.exists():
            path.replace(path.with_name(path.name + ".previous"))
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, **fields: Json) -> None:
        """Adds one line."""
        self._lines.append(json.dumps(fields, separators=(",", ":")))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Writes what was added. Raises OSError where the file cannot take it: a client without a ledger is of no use."""
        self._timer = None
        if self._lines:
            data = ("\n".join(self._lines) + "\n").encode()
            self._lines.clear()
            while data:
                data = data[os.write(self._file, data) :]

    def close(self) -> None:
        """Writes the rest and closes."""
        if self._timer is not None:
            self._timer.cancel()
        self.flush()
        os.close(self._file)


def attempts(content: bytes, *, newest_first: bool = False) -> Iterator[Attempt]:
    """The client's ledger, in the order of its lines or the other way; a last line without its end is left out.

    Raises:
        StateUnreadable: a line is not one of ours.
    """
    for number, fields in _objects(content, newest_first):
        try:
            acknowledged = fields["acknowledged_at"]
            yield Attempt(
                fields["id"], fields["hostname"], datetime.fromisoformat(fields["sent_at"]),
                datetime.fromisoformat(acknowledged) if acknowledged else None, fields["region"], fields["error"],
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise _foreign(number) from error


def polls(content: bytes, *, newest_first: bool = False) -> Iterator[Poll]:
    """The agent's ledger, likewise. Raises StateUnreadable as ``attempts``."""
    for number, fields in _objects(content, newest_first):
        try:
            yield Poll(datetime.fromisoformat(fields["at"]), fields["region"])
        except (KeyError, TypeError, ValueError) as error:
            raise _foreign(number) from error


def _objects(content: bytes, newest_first: bool) -> Iterator[tuple[int, dict[str, Json]]]:
    *lines, _unfinished = content.split(b"\n")
    numbered = list(enumerate(lines, 1))
    for number, line in reversed(numbered) if newest_first else numbered:
        try:
            yield number, json.loads(line)
        except ValueError as error:
            raise _foreign(number) from error


def _foreign(number: int) -> StateUnreadable:
    return StateUnreadable(f"line {number} of the ledger is not one that the client wrote", hint="dr lab down, then dr lab up")
