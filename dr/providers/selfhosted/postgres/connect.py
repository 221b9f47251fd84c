"""Connections to the two servers: kept warm, every wait bounded on this side, no password in any error.

The server's own ``statement_timeout`` does not end a wait for a server that is stopped or cut off, nor a commit that waits for a
synchronous standby, so every wait has its limit here, and a connection that ran into it is thrown away.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import LiteralString, TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from dr.errors import CredentialMissing, EffectUnknown, Permanent, StepError, Transient
from dr.ports import Secrets
from dr.providers.selfhosted.postgres.config import PostgresConfig

Result = TypeVar("Result")

_KEPT_IDLE = 4
_SETTINGS = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c timezone=UTC"
_PASSWORD = re.compile(r"(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)")
_URI_PASSWORD = re.compile(r"(postgres(?:ql)?://[^:/@\s]*:)[^@\s]*@")
_LOGIN = ("authentication failed", "no pg_hba.conf entry", "does not exist", "is not permitted to log in", "no password supplied")


class Reach(Enum):
    """Why a server did not answer. Neither ``REFUSED`` nor ``SILENT`` is evidence of a fence."""

    REFUSED = "connection refused"
    SILENT = "no answer in time"
    STARTING = "starting up or shutting down"
    DENIED = "login denied"
    LOST = "connection lost"


class NotServed(Transient):
    """A server could not be asked, and nothing was done there."""

    def __init__(self, message: str, reach: Reach, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reach = reach


class Bounded(psycopg.Connection[TupleRow]):
    """A connection whose every wait ends after ``limit`` seconds."""

    limit: float = 2.0

    def wait(self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None) -> Result:
        """As psycopg's, never longer than the limit."""
        return super().wait(gen, interval=interval, timeout=self.limit if timeout is None else timeout)


@dataclass(frozen=True)
class Answer:
    """Rows of one statement, or the SQLSTATE with which the server refused it."""

    rows: tuple[TupleRow, ...]
    refused: str = ""
    message: str = ""


class Connections:
    """Connections to all regions' servers. Safe to use from several threads.

    Args:
        component: for messages.
        base: where relative certificate paths start.
    """

    def __init__(self, component: str, config: PostgresConfig, secrets: Secrets, base: Path) -> None:
        self._component, self._config, self._secrets, self._base = component, config, secrets, base
        self._idle: dict[str, list[Bounded]] = {region: [] for region in config.regions}
        self._lock = threading.Lock()

    def rows(
        self,
        region: str,
        sql: LiteralString,
        values: Mapping[str, object] | None = None,
        *,
        effect: bool = False,
        fresh: bool = False,
        limit: timedelta | None = None,
    ) -> tuple[TupleRow, ...]:
        """Runs one statement in its own transaction.

        Args:
            effect: it changes something: where the connection is lost under way, that is EffectUnknown.
            fresh: through a new connection, to prove that the server accepts one.
            limit: for this statement, instead of the configured time-out.

        Raises:
            NotServed: the server could not be asked.
            EffectUnknown: see ``effect``.
            Permanent: the server refused the statement or the login; trying again does not help.
        """
        answer = self.ask(region, sql, values, effect=effect, fresh=fresh, limit=limit)
        if answer.refused:
            raise self._refusal(region, answer)
        return answer.rows

    def ask(
        self,
        region: str,
        sql: LiteralString,
        values: Mapping[str, object] | None = None,
        *,
        effect: bool = False,
        fresh: bool = False,
        limit: timedelta | None = None,
    ) -> Answer:
        """As ``rows``, but a statement that the server refuses is an answer: its SQLSTATE."""
        connection, where = self._take(region, fresh), self._where(region)
        connection.limit = (limit or self._config.answer_timeout).total_seconds()
        problem: StepError | None = None
        answer = Answer(())
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, values)
                if cursor.description is not None:
                    answer = Answer(tuple(cursor.fetchall()))
        except psycopg.Error as error:
            state = error.sqlstate or ""
            if state and not isinstance(error, (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow)):
                answer = Answer((), state, self._scrub(str(error)))
            else:
                silent = isinstance(error, errors._WaitTimeout)
                text = f"{where}: {'no answer in time' if silent else self._scrub(str(error))}"
                problem = EffectUnknown(text) if effect else NotServed(text, Reach.SILENT if silent else Reach.LOST)
        if problem is not None:
            connection.close()
            raise problem  # outside the handler: psycopg's error, which knows the connection, is not its context
        self._give_back(region, connection)
        return answer

    def warm(self, region: str, count: int = 2) -> None:
        """Opens connections ahead of their use. Raises as ``rows``."""
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                connection = self._take(region, fresh=False)
                stack.callback(self._give_back, region, connection)

    def tcp(self, region: str, timeout: timedelta) -> Reach | None:
        """Whether the port takes a connection: None when it does. No login."""
        server = self._config.regions[region]
        try:
            socket.create_connection((server.address, server.port), timeout.total_seconds()).close()
        except ConnectionRefusedError:
            return Reach.REFUSED
        except OSError:
            return Reach.SILENT
        return None

    def close(self) -> None:
        """Closes all idle connections; safe to call twice."""
        with self._lock:
            idle, self._idle = self._idle, {region: [] for region in self._config.regions}
        for connection in (item for items in idle.values() for item in items):
            connection.close()

    def _take(self, region: str, fresh: bool) -> Bounded:
        while not fresh:
            with self._lock:
                connection = self._idle[region].pop() if self._idle[region] else None
            if connection is None:
                break
            if _untouched(connection):
                return connection
            connection.close()
        return self._open(region)

    def _give_back(self, region: str, connection: Bounded) -> None:
        with self._lock:
            if not connection.closed and len(self._idle[region]) < _KEPT_IDLE:
                self._idle[region].append(connection)
                return
        connection.close()

    def open(self, region: str, database: str | None = None) -> Bounded:
        """A new connection in autocommit mode, the caller's to close; to the component's own database when none is named.

        Raises:
            StepError: the server does not answer, refuses the login, or a credential is missing.
        """
        return self._open(region, database)

    def _open(self, region: str, database: str | None = None) -> Bounded:
        named = {} if database is None else {"dbname": database}
        try:
            return Bounded.connect(make_conninfo("", **{**self._arguments(region), **named}), autocommit=True, prepare_threshold=None)
        except CredentialMissing as error:
            problem: StepError = Permanent(error.message, hint=error.hint)
        except psycopg.Error as error:
            problem = self._not_opened(region, error)
        raise problem

    def _arguments(self, region: str) -> dict[str, str]:
        config, server = self._config, self._config.regions[region]
        seconds = max(2, round(config.connect_timeout.total_seconds()))
        arguments = {
            "host": server.address, "port": str(server.port), "dbname": config.database, "user": config.user,
            "connect_timeout": str(seconds), "application_name": "dr", "options": _SETTINGS,
            "keepalives_idle": "2", "keepalives_interval": "1", "keepalives_count": "3", "tcp_user_timeout": "5000",
        }  # fmt: skip
        if config.password is not None:
            arguments["password"] = self._secrets.get(config.password)
        if config.sslmode is not None:
            arguments["sslmode"] = config.sslmode
        if config.sslrootcert is not None:
            arguments["sslrootcert"] = str(self._base / config.sslrootcert)
        return arguments

    def _not_opened(self, region: str, error: psycopg.Error) -> StepError:
        text = self._scrub(str(error))
        if isinstance(error, errors.ConnectionTimeout):
            return NotServed(f"{self._where(region)}: no answer in time", Reach.SILENT)
        if "refused" in text.lower():
            return NotServed(f"{self._where(region)}: connection refused", Reach.REFUSED)
        if "the database system is" in text:
            return NotServed(f"{self._where(region)}: {text}", Reach.STARTING)
        if any(word in text for word in _LOGIN):
            return LoginDenied(f"{self._where(region)}: {text}", hint=f"check user {self._config.user}, its password and pg_hba.conf there")
        return NotServed(f"{self._where(region)}: {text}", Reach.SILENT)

    def _refusal(self, region: str, answer: Answer) -> StepError:
        text = f"{self._where(region)}: {answer.message}"
        if answer.refused == "42501":
            return Permanent(text, hint=f"GRANT it to {self._config.user}; dr plan names the permissions of each step")
        if answer.refused in ("57014", "53300", "53200", "40001", "40P01", "55P03"):
            return Transient(text)
        return Permanent(text)

    def _where(self, region: str) -> str:
        server = self._config.regions[region]
        return f"{self._component} in {region} ({server.address}:{server.port})"

    def _scrub(self, text: str) -> str:
        known = []
        if self._config.password is not None:
            with contextlib.suppress(CredentialMissing):
                known.append(self._secrets.get(self._config.password))
        return scrubbed(text, known)


class LoginDenied(Permanent):
    """The server answers, and does not let us in."""


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """A message in one short line, without any of the secrets and without anything that is written like a password."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = _URI_PASSWORD.sub(r"\1***@", _PASSWORD.sub(r"\1***", text))
    return " ".join(text.split())[:300]


def _untouched(connection: Bounded) -> bool:
    """Nothing has arrived on an idle connection: the server did not end it. Costs no round trip."""
    if connection.closed:
        return False
    waiting = select.poll()
    waiting.register(connection.pgconn.socket, select.POLLIN)
    return not waiting.poll(0)
