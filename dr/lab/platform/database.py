"""One open connection to one database of the region, held ready: on the hot standby too, so that a failover has nothing to open."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import StrEnum

import psycopg
from psycopg import errors

from dr.lab.platform.config import Endpoint

_CONNECT_SECONDS = 2
_FIRST_WAIT = 0.05
_LONGEST_WAIT = 0.5
_QUEUE = 32

Value = str | int | float | None
Row = tuple[object, ...]


class Why(StrEnum):
    """Why a statement was not performed; also what the public API says in its 503."""

    READ_ONLY = "read-only"
    UNREACHABLE = "unreachable"


class NotPerformed(Exception):
    """A statement had no known effect. Only for UNREACHABLE it may have taken effect all the same (the answer was lost)."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why


class Database:
    """A database on the region's own server. Every statement is a transaction of its own; they are performed one at a time.

    After a loss the connection is opened again in the background, at growing intervals up to half a second; in the meantime
    everything is refused at once. Nothing is ever cancelled: a server that is stopped and continued goes on where it was.
    """

    def __init__(self, server: Endpoint, name: str, user: str, password: str, application: str, warm_up: str | None = None) -> None:
        self.name = name
        self._arguments = {
            "host": server.address, "port": server.port, "dbname": name, "user": user, "password": password,
            "application_name": application, "connect_timeout": _CONNECT_SECONDS, "sslmode": "disable", "gssencmode": "disable",
        }  # fmt: skip
        self._warm_up = warm_up
        self._connection: psycopg.AsyncConnection[Row] | None = None
        self._lock = asyncio.Lock()
        self._queue = 0
        self._restoring: asyncio.Task[None] | None = None
        self._closed = False
        self.opened = asyncio.Event()

    @property
    def connected(self) -> bool:
        """A connection is open, as far as is known without asking."""
        return self._connection is not None

    def open(self) -> None:
        """Starts opening the connection; ``opened`` is set when it is."""
        if self._restoring is None and not self._closed:
            self._restoring = asyncio.ensure_future(self._restore())

    async def perform(
        self, statement: str, values: Mapping[str, Value] | None = None, *, seconds: float = 2.0, repeatable: bool = False
    ) -> list[Row]:
        """Performs one statement and returns its rows.

        Args:
            statement: SQL with ``%(name)s`` placeholders; prepared once for each connection.
            values: for the placeholders.
            seconds: how long to wait for the answer; the statement is not taken back after that.
            repeatable: may be performed twice, so it is tried once more when the connection turns out to be dead.

        Raises:
            NotPerformed: the database is read-only, not there, or did not answer in time.
        """
        if self._connection is None:
            self.open()
            raise NotPerformed(Why.UNREACHABLE, f"no connection to {self.name}")
        if self._queue >= _QUEUE:
            raise NotPerformed(Why.UNREACHABLE, f"{self._queue} statements wait for {self.name}")
        self._queue += 1
        task = asyncio.ensure_future(self._in_turn(statement, values, repeatable))
        task.add_done_callback(self._left)
        done, _ = await asyncio.wait((task,), timeout=seconds)
        if not done:
            raise NotPerformed(Why.UNREACHABLE, f"{self.name} did not answer within {seconds:g} s")
        return task.result()

    def _left(self, task: asyncio.Task[list[Row]]) -> None:
        self._queue -= 1
        if not task.cancelled():
            task.exception()  # whoever waited has it, or is gone

    async def _in_turn(self, statement: str, values: Mapping[str, Value] | None, repeatable: bool) -> list[Row]:
        async with self._lock:
            try:
                return await self._once(statement, values)
            except NotPerformed as error:
                if error.why is not Why.UNREACHABLE or not repeatable or self._connection is not None:
                    raise
            await self._connect()
            return await self._once(statement, values)

    async def _once(self, statement: str, values: Mapping[str, Value] | None) -> list[Row]:
        connection = self._connection
        if connection is None:
            raise NotPerformed(Why.UNREACHABLE, f"no connection to {self.name}")
        try:
            cursor = await connection.execute(statement, values, prepare=True)
            return await cursor.fetchall() if cursor.description else []
        except errors.ReadOnlySqlTransaction as error:
            raise NotPerformed(Why.READ_ONLY, f"{self.name} is read-only") from error
        except psycopg.Error as error:
            if connection.closed:
                self._forget()
            raise NotPerformed(Why.UNREACHABLE, f"{self.name}: {error}".strip()) from error

    def _forget(self) -> None:
        self._connection = None
        self.opened.clear()
        self.open()

    async def _connect(self) -> None:
        try:
            connection = await psycopg.AsyncConnection.connect(**self._arguments, autocommit=True)  # type: ignore[arg-type]  # mixed values
        except psycopg.Error as error:
            raise NotPerformed(Why.UNREACHABLE, f"{self.name}: {error}".strip()) from error
        if self._warm_up is not None:
            try:
                await connection.execute(self._warm_up)
            except psycopg.Error as error:
                await connection.close()
                raise NotPerformed(Why.UNREACHABLE, f"{self.name}: {error}".strip()) from error
        if self._connection is not None or self._closed:
            await connection.close()
            return
        self._connection = connection
        self.opened.set()

    async def _restore(self) -> None:
        wait = _FIRST_WAIT
        while self._connection is None and not self._closed:
            try:
                await self._connect()
            except NotPerformed:
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT)
        self._restoring = None

    async def renew(self) -> bool:
        """Gives the connection up, after what is under way, and opens another; whether there was one."""
        async with self._lock:
            connection = self._connection
            if connection is None:
                return False
            self._connection = None
            self.opened.clear()
            await connection.close()
            try:
                await self._connect()
            except NotPerformed:
                self.open()
            return True

    async def close(self) -> None:
        """Ends the connection, and the attempts to open it."""
        self._closed = True
        if self._restoring is not None:
            self._restoring.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
