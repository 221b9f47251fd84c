"""The inbox in SQLite: how ``dr pause``, ``cancel``, ``approve``, ``skip`` reach the process that holds a run.

A request is deleted when the holder has journaled it. A holder that dies in between leaves it to the next one: a request
may therefore be journaled twice, never lost; the machine treats the second one as nothing new.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from dr.model.events import Event, decode, encode
from dr.store import database

SCHEMA = database.Schema(
    "inbox",
    1,
    (
        # AUTOINCREMENT: a number is never used again, also after the newest request was deleted
        "CREATE TABLE request (number INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, body TEXT NOT NULL)",
        "CREATE INDEX request_run ON request (run_id, number)",
    ),
)


class SqliteInbox:
    """``dr.ports.Inbox`` in ``inbox.db`` of a state directory. ``take`` is meant to be polled: some 10 µs where nothing is new,
    a single stat where nobody ever asked for anything.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "inbox.db"
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._taken: dict[str, int] = {}
        self._unconfirmed: set[str] = set()

    def put(self, run_id: str, event: Event) -> None:
        """Stores a request; durable when it returns.

        Raises:
            StateUnreadable: the file cannot be opened. StateLost: it cannot be written.
        """
        with self._lock:
            try:
                with database.transaction(self._open()) as connection:
                    connection.execute("INSERT INTO request (run_id, body) VALUES (?, ?)", (run_id, encode(event)))
            except sqlite3.Error as error:
                raise database.lost(self.path, SCHEMA, error) from error

    def take(self, run_id: str) -> Sequence[Event]:
        """Requests that this object has not returned yet, in order.

        Raises:
            StateUnreadable: the file cannot be read.
        """
        with self._lock:
            if self._connection is None and not self.path.exists():
                return []
            try:
                rows = self._open().execute(
                    "SELECT number, body FROM request WHERE run_id = ? AND number > ? ORDER BY number", (run_id, self._taken.get(run_id, 0))
                ).fetchall()  # fmt: skip
            except sqlite3.Error as error:
                raise database.unreadable(self.path, SCHEMA, error) from error
            try:
                events = [decode(body) for _, body in rows]
            except ValidationError as error:
                raise database.unreadable(self.path, SCHEMA, "a request in it is damaged, or of another version of dr") from error
            if rows:
                self._taken[run_id] = rows[-1][0]
                self._unconfirmed.add(run_id)
            return events

    def confirm(self, run_id: str) -> None:
        """Forgets what ``take`` returned to this object: it is journaled now. Free where nothing was taken since the last time.

        Raises:
            StateLost: the file cannot be written.
        """
        with self._lock:
            if run_id not in self._unconfirmed:
                return
            try:
                with database.transaction(self._open()) as connection:
                    connection.execute("DELETE FROM request WHERE run_id = ? AND number <= ?", (run_id, self._taken[run_id]))
            except sqlite3.Error as error:
                raise database.lost(self.path, SCHEMA, error) from error
            self._unconfirmed.discard(run_id)

    def close(self) -> None:
        """Closes the connection; safe to call twice."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = database.writer(self.path, SCHEMA)
        return self._connection
