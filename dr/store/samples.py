"""The monitor's memory in SQLite: lag samples, heartbeats, identity snapshots, kept outside the source region.

Moments are stored as whole microseconds since 1970 UTC. Samples older than ``SINGLE`` are summed up by the minute (see ``history``).
Dropped after the retention: samples and heartbeats, never the newest sample of a component; and all but the newest snapshots.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from dr.model.identity import IdentitySnapshot
from dr.model.lag import STALE_AFTER, Beat, LagSample, Stretch
from dr.store import database
from dr.store.history import SqliteHistory, stretches

SCHEMA = database.Schema(
    "samples",
    1,
    (
        "CREATE TABLE sample (runbook TEXT NOT NULL, component TEXT NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL)",
        "CREATE INDEX sample_time ON sample (runbook, at)",
        "CREATE INDEX sample_newest ON sample (runbook, component, at)",
        "CREATE TABLE beat (runbook TEXT NOT NULL, sent_at INTEGER NOT NULL, body TEXT NOT NULL)",
        "CREATE INDEX beat_time ON beat (runbook, sent_at)",
        "CREATE TABLE snapshot (runbook TEXT NOT NULL, component TEXT NOT NULL, region TEXT NOT NULL, taken_at INTEGER NOT NULL,"
        " sha256 TEXT NOT NULL, body TEXT NOT NULL)",
        "CREATE INDEX snapshot_newest ON snapshot (runbook, component, taken_at)",
    ),
)

RETENTION = timedelta(days=14)
"""How long samples and heartbeats are kept: a drill a fortnight ago can still be looked at."""

SINGLE = timedelta(days=1)
"""For so long each sample speaks for itself in reports; later the worst one of a minute does, so that 90 days are read in seconds."""

SNAPSHOTS = 20
"""How many different identity snapshots of one component and region are kept."""

_OWN_SNAPSHOTS = "FROM snapshot WHERE runbook = ? AND component = ? AND region = ? ORDER BY taken_at DESC"
_SPAN = "SELECT component, at, body FROM sample WHERE runbook = ? AND at >= ? AND at < ? ORDER BY at, rowid"
_NEXT = "SELECT min(component) FROM sample WHERE runbook = ? AND component > ?"
_NEWEST = "SELECT body FROM sample WHERE runbook = ? AND component = ? ORDER BY at DESC, rowid DESC LIMIT 1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class SqliteSamples:
    """``dr.ports.Samples`` in ``samples.db`` of a state directory. Reads answer "nothing" while the file is not there yet.

    Any thread may call; several processes may (the monitor writes, everybody reads).
    Raises StateLost where it cannot be written, StateUnreadable where it cannot be read.
    """

    def __init__(self, directory: Path, *, retention: timedelta = RETENTION) -> None:
        self.path = directory / "samples.db"
        self._retention = retention
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._dropped_before: dict[str, int] = {}
        self._past = SqliteHistory(directory)

    def add(self, runbook: str, samples: Iterable[LagSample], beats: Iterable[Beat] = ()) -> None:
        """Stores one round in one transaction, and drops what is older than the retention, counted from the newest given here."""
        rows = [(runbook, item.component, _micros(item.at), item.model_dump_json()) for item in samples]
        pulses = [(runbook, _micros(item.sent_at), item.model_dump_json()) for item in beats]
        if not rows and not pulses:
            return
        newest = max([row[2] for row in rows] + [row[1] for row in pulses])
        with self._lock:
            try:
                with database.transaction(self._open()) as connection:
                    connection.executemany("INSERT INTO sample (runbook, component, at, body) VALUES (?, ?, ?, ?)", rows)
                    connection.executemany("INSERT INTO beat (runbook, sent_at, body) VALUES (?, ?, ?)", pulses)
                    self._age(connection, runbook, newest)
            except sqlite3.Error as error:
                raise database.lost(self.path, SCHEMA, error) from error

    def latest(self, runbook: str) -> Mapping[str, LagSample]:
        """The newest sample of each component, whatever its age."""
        found: dict[str, str] = {}
        with database.reading(self.path, SCHEMA) as connection:
            while connection is not None:  # two looks into the index for each component; GROUP BY would read all of it
                row = connection.execute(_NEXT, (runbook, next(reversed(found), ""))).fetchone()
                if row[0] is None:
                    break
                found[row[0]] = connection.execute(_NEWEST, (runbook, row[0])).fetchone()[0]
        return {component: self._sample(body) for component, body in found.items()}

    def history(self, runbook: str, since: datetime) -> Sequence[LagSample]:
        """All samples since then, oldest first."""
        query = "SELECT body FROM sample WHERE runbook = ? AND at >= ? ORDER BY at, rowid"
        return [self._sample(row[0]) for row in self._select(query, runbook, _micros(since))]

    def stretches(self, runbook: str, since: datetime, until: datetime) -> Iterator[Stretch]:
        """What the samples from ``since`` to before ``until`` speak for, those that were dropped already included; in no order.

        Streamed: 90 days of samples are too many to hold. The first one may begin a little before ``since``.
        """
        yield from self._past.stretches(runbook, _micros(since), _micros(until))
        begin = max(_micros(since) - STALE_AFTER // _MICROSECOND, self._past.summed_until(runbook))
        with database.reading(self.path, SCHEMA) as connection:
            if connection is not None:
                try:
                    yield from stretches(connection.execute(_SPAN, (runbook, begin, _micros(until))))
                except ValueError as error:
                    raise self._damaged("lag sample") from error

    def runbooks(self) -> Sequence[str]:
        """All runbooks that there are samples of."""
        found = [""]
        with database.reading(self.path, SCHEMA) as connection:
            while connection is not None:  # one look into the index each; DISTINCT would read all of it
                row = connection.execute("SELECT min(runbook) FROM sample WHERE runbook > ?", (found[-1],)).fetchone()
                if row[0] is None:
                    break
                found.append(row[0])
        return found[1:]

    def beats(self, runbook: str, since: datetime) -> Sequence[Beat]:
        """All heartbeats sent since then, oldest first."""
        query = "SELECT body FROM beat WHERE runbook = ? AND sent_at >= ? ORDER BY sent_at, rowid"
        try:
            return [Beat.model_validate_json(row[0]) for row in self._select(query, runbook, _micros(since))]
        except ValidationError as error:
            raise self._damaged("heartbeat") from error

    def keep_identities(self, runbook: str, component: str, snapshot: IdentitySnapshot) -> None:
        """Stores a snapshot; one that equals the newest of its region takes its place, so that only changes add up."""
        digest, taken = snapshot.sha256, _micros(snapshot.taken_at)
        own = (runbook, component, snapshot.region)
        with self._lock:
            try:
                with database.transaction(self._open()) as connection:
                    newest = connection.execute(f"SELECT rowid, sha256 {_OWN_SNAPSHOTS} LIMIT 1", own).fetchone()
                    if newest is not None and newest[1] == digest:
                        connection.execute("DELETE FROM snapshot WHERE rowid = ?", newest[:1])
                    connection.execute(
                        "INSERT INTO snapshot (runbook, component, region, taken_at, sha256, body) VALUES (?, ?, ?, ?, ?, ?)",
                        (*own, taken, digest, snapshot.model_dump_json()),
                    )
                    older = connection.execute(f"SELECT rowid {_OWN_SNAPSHOTS} LIMIT -1 OFFSET {SNAPSHOTS}", own).fetchall()
                    connection.executemany("DELETE FROM snapshot WHERE rowid = ?", older)
            except sqlite3.Error as error:
                raise database.lost(self.path, SCHEMA, error) from error

    def identities(self, runbook: str, component: str, not_from: str | None = None) -> IdentitySnapshot | None:
        """The newest snapshot (taken in another region than ``not_from``, when given)."""
        query = "SELECT body FROM snapshot WHERE runbook = ? AND component = ? AND region IS NOT ? ORDER BY taken_at DESC LIMIT 1"
        rows = self._select(query, runbook, component, not_from)
        try:
            return IdentitySnapshot.model_validate_json(rows[0][0]) if rows else None
        except ValidationError as error:
            raise self._damaged("identity snapshot") from error

    def troubles(self) -> Sequence[str]:
        """Nothing: it is this machine's own."""
        return ()

    def close(self) -> None:
        """Closes the writer's connection; safe to call twice."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._past.close()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = database.writer(self.path, SCHEMA)
        return self._connection

    def _select(self, query: str, *values: str | int | None) -> list[tuple[str, str]]:
        with database.reading(self.path, SCHEMA) as connection:
            return [] if connection is None else connection.execute(query, values).fetchall()

    def _sample(self, body: str) -> LagSample:
        try:
            return LagSample.model_validate_json(body)
        except ValidationError as error:
            raise self._damaged("lag sample") from error

    def _damaged(self, what: str) -> Exception:
        return database.unreadable(self.path, SCHEMA, f"a {what} in it is damaged")

    def _age(self, connection: sqlite3.Connection, runbook: str, newest: int) -> None:
        """Once in a hundredth of the retention; each runbook by its own newest sample. Nothing is dropped before it is summed up."""
        before = newest - self._retention // _MICROSECOND
        if before - self._dropped_before.get(runbook, 0) < self._retention // _MICROSECOND // 100:
            return
        before = min(before, self._sum_up(connection, runbook, newest - min(SINGLE, self._retention) // _MICROSECOND))
        connection.execute("DELETE FROM beat WHERE runbook = ? AND sent_at < ?", (runbook, before))
        connection.execute(
            "DELETE FROM sample AS old WHERE runbook = ?1 AND at < ?2"
            " AND at < (SELECT max(at) FROM sample AS new WHERE new.runbook = ?1 AND new.component = old.component)",
            (runbook, before),
        )
        self._dropped_before[runbook] = before

    def _sum_up(self, connection: sqlite3.Connection, runbook: str, until: int) -> int:
        """Sums up samples before ``until``, at most a day of them: heartbeats wait meanwhile. Returns how far it came."""
        oldest = connection.execute("SELECT min(at) FROM sample WHERE runbook = ?", (runbook,)).fetchone()[0]
        begin = max(self._past.summed_until(runbook), until if oldest is None else oldest)
        until = min(until, begin + SINGLE // _MICROSECOND)
        if until > begin:
            # the first sample after ``until`` ends what the last one before it speaks for
            rows = connection.execute(_SPAN, (runbook, begin, until + STALE_AFTER // _MICROSECOND))
            try:
                self._past.add(runbook, (item for item in stretches(rows) if item.start < until), until)
            except ValueError as error:
                raise self._damaged("lag sample") from error
        return max(begin, until)


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
