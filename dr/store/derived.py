"""What was reckoned from a journal, kept so that it need not be reckoned again: ``derived.db``. It may be deleted at any time.

Each text stands under the digest of the records that it follows from, so what was reckoned from other records is never found. A text
that is not as it was written counts as not there.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from dr.store import database

SCHEMA = database.Schema(
    "derived", 1, ("CREATE TABLE derived (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body TEXT NOT NULL, seal TEXT NOT NULL)",)
)
KEPT = 2000
"""So many of the newest texts are kept: a few kilobytes each."""


class SqliteDerived:
    """``dr.ports.Derived`` in ``derived.db`` of a state directory. Reads answer "nothing" while the file is not there yet."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "derived.db"

    def first(self, keys: Iterable[str]) -> tuple[str, str] | None:
        """The first of these keys that has a text, with it. Raises StateUnreadable."""
        with database.reading(self.path, SCHEMA) as connection:
            for key in keys if connection is not None else ():
                assert connection is not None, "asked above"
                row = connection.execute("SELECT body, seal FROM derived WHERE key = ?", (key,)).fetchone()
                if row is not None and row[1] == _seal(key, row[0]):
                    return key, row[0]
        return None

    def keep(self, key: str, text: str) -> None:
        """Stores a text; whatever stood under that key before is gone. Raises StateLost, StateUnreadable."""
        connection = database.writer(self.path, SCHEMA)
        try:
            with database.transaction(connection):
                connection.execute("INSERT OR REPLACE INTO derived (key, body, seal) VALUES (?, ?, ?)", (key, text, _seal(key, text)))
                connection.execute("DELETE FROM derived WHERE number <= (SELECT max(number) FROM derived) - ?", (KEPT,))
        except sqlite3.Error as error:
            raise database.failed(self.path, SCHEMA, error) from error
        finally:
            connection.close()


def _seal(key: str, text: object) -> str:
    return hashlib.sha256(f"{key}\n{text}".encode()).hexdigest()
