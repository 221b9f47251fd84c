"""The inbox in SQLite: how ``dr pause``, ``cancel``, ``approve``, ``skip`` reach the process that holds a run.

A request is deleted when the holder has journaled it. A holder that dies in between leaves it to the next one: a request
may therefore be journaled twice, never lost; the machine treats the second one as nothing new. Who gives up waiting withdraws what they
asked for, and who takes a run over drops what was asked of the holder before and must not be obeyed long after (``drop``).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from dr.errors import StateUnreadable
from dr.model.events import Event, decode, encode
from dr.store import database
from dr.store.presence import is_there

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

    def put(self, run_id: str, event: Event) -> int:
        """Stores a request; durable when it returns. Its number: greater than that of any request before.

        Raises:
            StateUnreadable: the file cannot be opened. StateLost: it cannot be written.
        """
        with self._lock:
            try:
                with database.transaction(self._open()) as connection:
                    query = "INSERT INTO request (run_id, body) VALUES (?, ?)"
                    return connection.execute(query, (run_id, encode(event))).lastrowid or 0
            except sqlite3.Error as error:
                raise database.lost(self.path, SCHEMA, error) from error

    def withdraw(self, numbers: Sequence[int]) -> None:
        """Forgets requests that nobody has taken up; safe where they were.

        Raises:
            StateLost: the file cannot be written.
        """
        with self._lock:
            if not numbers:
                return
            try:
                with database.transaction(self._open()) as connection:
                    connection.executemany("DELETE FROM request WHERE number = ?", [(number,) for number in numbers])
            except sqlite3.Error as error:
                raise database.lost(self.path, SCHEMA, error) from error

    def newest(self) -> int:
        """The greatest number of the requests of all runs; 0 where there are none.

        Raises:
            StateUnreadable: the file cannot be read.
        """
        with database.reading(self.path, SCHEMA) as connection:
            found = None if connection is None else connection.execute("SELECT MAX(number) FROM request").fetchone()
        return 0 if found is None else found[0] or 0

    def drop(self, run_id: str, up_to: int, unwanted: tuple[type[Event], ...]) -> Sequence[Event]:
        """Forgets the requests of these types to a run, up to that number, and returns them.

        Raises:
            StateUnreadable: the file cannot be read. StateLost: it cannot be written.
        """
        if not up_to:
            return []
        with self._lock:
            try:
                with database.transaction(self._open()) as connection:
                    query = "SELECT number, body FROM request WHERE run_id = ? AND number <= ? ORDER BY number"
                    found = [(number, decode(body)) for number, body in connection.execute(query, (run_id, up_to)).fetchall()]
                    gone = [(number, event) for number, event in found if isinstance(event, unwanted)]
                    connection.executemany("DELETE FROM request WHERE number = ?", [(number,) for number, _ in gone])
            except ValidationError as error:
                raise _damaged(self.path) from error
            except sqlite3.Error as error:
                raise database.failed(self.path, SCHEMA, error) from error
        return [event for _, event in gone]

    def take(self, run_id: str) -> Sequence[Event]:
        """Requests that this object has not returned yet, in order.

        Raises:
            StateUnreadable: the file cannot be read.
        """
        with self._lock:
            try:
                if self._connection is None and not is_there(self.path):
                    return []
                rows = self._open().execute(
                    "SELECT number, body FROM request WHERE run_id = ? AND number > ? ORDER BY number", (run_id, self._taken.get(run_id, 0))
                ).fetchall()  # fmt: skip
            except (OSError, sqlite3.Error) as error:
                raise database.unreadable(self.path, SCHEMA, error) from error
            try:
                events = [decode(body) for _, body in rows]
            except ValidationError as error:
                raise _damaged(self.path) from error
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


def _damaged(path: Path) -> StateUnreadable:
    return database.unreadable(path, SCHEMA, "a request in it is damaged, or of another version of dr")
