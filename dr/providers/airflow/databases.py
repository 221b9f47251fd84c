"""The databases of the Deployments and of the platform: connections that are kept open, work on many at once, errors in our words.

The servers are another component's (kind ``postgres`` or whatever has a ``connect`` like it); this package only asks it to connect.
psycopg costs 150 ms to import, so it is imported where the first connection is used.
"""

from __future__ import annotations

import select
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from dr.errors import EffectUnknown, Permanent, StepError, Transient

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

T = TypeVar("T")
R = TypeVar("R")


@runtime_checkable
class DatabaseServers(Protocol):
    """What this package asks of the component that ``database`` names."""

    def connect(self, region: str, database: str | None = None) -> Connection:
        """A new connection to a region's server in autocommit mode; to the component's own database when none is named.

        Bounded: a few seconds. Raises StepError.
        """


class Databases:
    """Idle connections by region and database. Threads may take and give back at once; a connection is one thread's at a time."""

    def __init__(self, servers: Callable[[], DatabaseServers]) -> None:
        self._servers = servers
        self._idle: dict[tuple[str, str], list[Connection]] = defaultdict(list)
        self._lock = Lock()

    @contextmanager
    def use(self, region: str, database: str | None = None) -> Iterator[Connection]:
        """A connection for one thread, outside of any transaction. Given back when healthy, closed when not.

        Raises:
            Transient: the server is not reachable, or read-only.
            EffectUnknown: no answer came to a statement that was sent.
            Permanent: the database refuses for good (a missing table, a missing right).
        """
        import psycopg

        key = (region, database or "")
        where = f"database {database or 'of the platform'} in {region}"
        connection = self._take(key) or self._servers().connect(region, database)
        problem: StepError | None = None
        try:
            yield connection
        except psycopg.Error as error:
            # an answer that never came: broken, or given up on by a bounded wait while the statement was under way
            active = connection.info.transaction_status == psycopg.pq.TransactionStatus.ACTIVE
            problem = _translated(error, where, lost=connection.broken or active)
            connection.close()
        finally:
            if not connection.closed and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
                with self._lock:
                    self._idle[key].append(connection)
            else:
                connection.close()
        if problem is not None:
            raise problem  # outside the handler: psycopg's error, which knows the connection's password, is not its context

    def close(self) -> None:
        """Closes what is idle."""
        with self._lock:
            idle = [connection for connections in self._idle.values() for connection in connections]
            self._idle.clear()
        for connection in idle:
            connection.close()

    def _take(self, key: tuple[str, str]) -> Connection | None:
        """An idle connection whose server has not hung up: a closed one is readable before anything was asked."""
        while True:
            with self._lock:
                connections = self._idle[key]
                if not connections:
                    return None
                connection = connections.pop()
            if not connection.closed and not readable(connection.fileno()):
                return connection
            connection.close()


def readable(descriptor: int) -> bool:
    """Something has arrived, be it the end. ``poll`` and not ``select``: that one ends at 1,024 open files."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(0))


def _translated(error: psycopg.Error, where: str, *, lost: bool) -> StepError:
    import psycopg

    # the server's own sentence without details: DETAIL lines may quote values of rows
    text = f"{where}: {(error.diag.message_primary or str(error).strip().splitlines()[0]) if str(error).strip() else type(error).__name__}"
    if lost:
        return EffectUnknown(text)  # perhaps while a commit was under way
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return Transient(f"{where} is read-only: not promoted yet")
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return Transient(text)
    return Permanent(text, hint="the tables of Airflow 3 and the rights of the runbook's database user are expected there")


class Fan:
    """Does the same to many things, a few at a time.

    Args:
        width: threads; more than the servers have cores only moves the waiting.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._pool: ThreadPoolExecutor | None = None
        self._lock = Lock()

    def results(self, work: Callable[[T], R], items: Sequence[T]) -> list[R | StepError]:
        """One result or StepError for each item, in their order. Other errors are raised."""

        def one(item: T) -> R | StepError:
            try:
                return work(item)
            except StepError as error:
                return error

        if len(items) < 2:
            return [one(item) for item in items]
        return list(self._threads().map(one, items))

    def each(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Every result, in the order of the items. Raises the gravest error of all, with how many more there were."""
        results = self.results(work, items)
        errors = [result for result in results if isinstance(result, StepError)]
        if errors:
            raise gravest(errors)
        return [result for result in results if not isinstance(result, StepError)]

    def close(self) -> None:
        """Ends the threads; safe to call twice."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.width, thread_name_prefix="airflow")
            return self._pool


def gravest(errors: Sequence[StepError]) -> StepError:
    """One error for many: an unknown effect before a permanent one before a transient one; says how many more there are."""
    ranked = sorted(errors, key=lambda error: (not isinstance(error, EffectUnknown), not isinstance(error, Permanent)))
    first = ranked[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    sort = next(sort for sort in (EffectUnknown, Permanent, Transient) if sort is Transient or isinstance(first, sort))
    return sort(first.message + more, hint=first.hint)
