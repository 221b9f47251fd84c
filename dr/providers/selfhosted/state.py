"""Shared state in a PostgreSQL database outside the lost region: ``--state postgresql://dr@state.example.com/dr``.

One table, made on the first write. The password lies where libpq looks for it (``PGPASSFILE``, ``~/.pgpass``), never in the address: an
address stands in process lists and histories. A database that follows another one elsewhere is no place for a lease: it could lose a
commit when it is promoted.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dr.errors import StateLost, StateUnreadable, UsageError
from dr.ports.table import Field, Fields, Write

if TYPE_CHECKING:
    import psycopg

    from dr.providers.selfhosted.postgres.connect import Bounded

_CREATE = (
    'CREATE TABLE IF NOT EXISTS dr_state ("group" text COLLATE "C" NOT NULL, "key" text COLLATE "C" NOT NULL,'
    ' fields jsonb NOT NULL, PRIMARY KEY ("group", "key"))'
)
_GET = 'SELECT fields FROM dr_state WHERE "group" = %s AND "key" = %s'
_ROWS = 'SELECT "key", fields FROM dr_state WHERE "group" = %s AND "key" > %s AND (%s::text IS NULL OR "key" < %s) ORDER BY "key"'
_LAST = 'SELECT "key", fields FROM dr_state WHERE "group" = %s ORDER BY "key" DESC LIMIT 1'
_NEW = 'INSERT INTO dr_state ("group", "key", fields) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING'
_PUT = (
    'INSERT INTO dr_state ("group", "key", fields) VALUES (%s, %s, %s) ON CONFLICT ("group", "key") DO UPDATE SET fields = excluded.fields'
)
_GONE = 'DELETE FROM dr_state WHERE "group" = %s AND "key" = %s'
_GET_LOCKED = 'SELECT fields FROM dr_state WHERE "group" = %s AND "key" = %s FOR UPDATE'
_UNDEFINED_TABLE = "42P01"
_LIMIT_SECONDS = 6.0
"""For an answer: a little longer than the server itself takes at most. A partition leaves a connection that says nothing any more."""


class PostgresTable:
    """``dr.ports.table.Table`` in PostgreSQL 13 or newer. Opens nothing before it is used; one connection, one thread at a time.

    Raises:
        UsageError: the address holds a password, or is none.
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.password:
            raise UsageError("--state: the address holds a password", hint="put it into ~/.pgpass (0600), or where PGPASSFILE says")
        if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
            raise UsageError(f"--state {address}: not a database", hint="postgresql://USER@HOST/DATABASE")
        self.where, self._address = address, address
        self._lock = Lock()
        self._connection: Bounded | None = None
        self._made = False

    def get(self, group: str, key: str) -> Fields | None:
        """A row. Raises StateUnreadable."""
        return next((_fields(row[0]) for row in self._read(_GET, group, key)), None)

    def rows(self, group: str, after: str = "", before: str | None = None) -> Sequence[tuple[str, Fields]]:
        """The rows of a group with ``after`` < key < ``before``. Raises StateUnreadable."""
        return [(row[0], _fields(row[1])) for row in self._read(_ROWS, group, after, before, before)]

    def last(self, group: str) -> tuple[str, Fields] | None:
        """The row with the greatest key. Raises StateUnreadable."""
        return next(((row[0], _fields(row[1])) for row in self._read(_LAST, group)), None)

    def write(self, writes: Sequence[Write]) -> bool:
        """All of them or none. False: a condition did not hold. Raises StateLost."""
        import psycopg

        with self._lock:
            try:
                with self._open() as connection:
                    if not self._made:
                        connection.execute(_CREATE)
                        self._made = True
                    with connection.transaction():
                        # in one order, so that two writers never wait for each other in a circle
                        for write in sorted(writes, key=lambda item: (item.group, item.key)):
                            if not _written(connection, write):
                                raise psycopg.Rollback
                        return True
            except psycopg.Error as error:
                self._drop()
                raise StateLost(f"{self.where}: {_said(error)}", hint="is the database there? psql, with the same address") from error
            return False

    def close(self) -> None:
        """Closes the connection; safe to call twice."""
        with self._lock:
            self._drop()

    def _read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        import psycopg

        with self._lock:
            for last in (False, True):  # a connection that was idle may be gone; a question may be asked twice
                try:
                    with self._open() as connection:
                        return connection.execute(query, values).fetchall()
                except psycopg.Error as error:
                    if error.sqlstate == _UNDEFINED_TABLE:
                        return []
                    self._drop()
                    if last:
                        hint = "is the database there? psql, with the same address"
                        raise StateUnreadable(f"{self.where}: {_said(error)}", hint=hint) from error
        raise AssertionError("asked twice")

    @contextmanager
    def _open(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        from dr.providers.selfhosted.postgres.connect import Bounded

        if self._connection is None or self._connection.closed:
            self._connection = Bounded.connect(
                self._address, autocommit=True, connect_timeout=3, application_name="dr-state",
                options="-c statement_timeout=5000 -c synchronous_commit=on",
            )  # fmt: skip
            self._connection.limit = _LIMIT_SECONDS
        yield self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _written(connection: psycopg.Connection[tuple[Any, ...]], write: Write) -> bool:
    """One row of a transaction; False: its condition does not hold."""
    place = write.group, write.key
    if write.expect is None:
        assert write.fields is not None, "nothing to delete where there is nothing"
        return connection.execute(_NEW, (*place, _json(write.fields))).rowcount == 1
    if write.expect:
        row = connection.execute(_GET_LOCKED, place).fetchone()
        there = None if row is None else _fields(row[0])
        if there is None or any(there.get(name) != value for name, value in write.expect.items()):
            return False
    if write.fields is None:
        connection.execute(_GONE, place)
    else:
        connection.execute(_PUT, (*place, _json(write.fields)))
    return True


def _said(error: psycopg.Error) -> str:
    return str(error.diag.message_primary or str(error).splitlines()[0] if str(error) else type(error).__name__)


def _json(fields: Fields) -> str:
    packed = {name: {"b": base64.b64encode(value).decode()} if isinstance(value, bytes) else value for name, value in fields.items()}
    return json.dumps(packed)


def _fields(stored: dict[str, Any]) -> Fields:
    found: dict[str, Field] = {}
    for name, value in stored.items():
        found[name] = base64.b64decode(value["b"]) if isinstance(value, dict) else value
    return found
