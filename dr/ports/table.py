"""A small durable table that several machines share: what journal, lease and inbox need of a database outside the lost region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

Field = str | int | bytes
Fields = Mapping[str, Field]

MOST_WRITES = 90
"""Rows that one ``write`` may change."""
MOST_BYTES = 300_000
"""Of one row, its names and keys left out."""


class Write(NamedTuple):
    """One row to be written, on a condition.

    fields: None: the row goes. expect: None: there must be no such row; empty: whatever there is; else these fields as they are.
    """

    group: str
    key: str
    fields: Fields | None
    expect: Fields | None = None


class Table(Protocol):
    """Rows in groups, ordered by key within one. Every read sees every write that has returned, on whichever machine.

    Methods may be called from several threads.
    """

    where: str
    """For people: which table, where. No secret."""

    def get(self, group: str, key: str) -> Fields | None:
        """A row. Raises StateUnreadable."""

    def rows(self, group: str, after: str = "", before: str | None = None) -> Sequence[tuple[str, Fields]]:
        """The rows of a group with ``after`` < key < ``before``, in order of their keys. Raises StateUnreadable."""

    def last(self, group: str) -> tuple[str, Fields] | None:
        """The row with the greatest key. Raises StateUnreadable."""

    def write(self, writes: Sequence[Write]) -> bool:
        """All of them or none, durable when it returns. False: a condition did not hold, nothing was written.

        Raises:
            StateLost: it cannot be written, or nobody knows whether it was.
        """

    def close(self) -> None:
        """Closes connections; safe to call twice."""
