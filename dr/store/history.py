"""Lag samples that are too old to be kept one by one, summed up by the minute: what reports over months are made of.

``lag-history.db`` beside ``samples.db``: a minute of a component takes 60 bytes instead of 60 samples of 300. In each minute the worst
sample speaks for all of it, so a sum never looks better than the samples were.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from pydantic_core import from_json

from dr.model.lag import STALE_AFTER, Stretch
from dr.model.words import Known
from dr.store import database

SCHEMA = database.Schema(
    "lag history",
    1,
    (
        "CREATE TABLE minute (runbook TEXT NOT NULL, component TEXT NOT NULL, start INTEGER NOT NULL, samples INTEGER NOT NULL,"
        " known INTEGER NOT NULL, exposure INTEGER, exposure_at INTEGER, lag INTEGER, lag_at INTEGER,"
        " PRIMARY KEY (runbook, start, component)) WITHOUT ROWID",
        "CREATE TABLE summed (runbook TEXT PRIMARY KEY, until INTEGER NOT NULL)",
    ),
)

KEPT = timedelta(days=400)
"""How long minutes are kept: a year of quarters, and time to write the report."""

_MICROSECOND = timedelta(microseconds=1)
_MINUTE = timedelta(minutes=1) // _MICROSECOND
_STALE = STALE_AFTER // _MICROSECOND
_SECOND = 1_000_000

_ADD = """
INSERT INTO minute (runbook, component, start, samples, known, exposure, exposure_at, lag, lag_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET samples = samples + excluded.samples, known = known + excluded.known,
    exposure_at = CASE WHEN coalesce(excluded.exposure, -1) > coalesce(exposure, -1) THEN excluded.exposure_at ELSE exposure_at END,
    exposure = CASE WHEN coalesce(excluded.exposure, -1) > coalesce(exposure, -1) THEN excluded.exposure ELSE exposure END,
    lag_at = CASE WHEN coalesce(excluded.lag, -1) > coalesce(lag, -1) THEN excluded.lag_at ELSE lag_at END,
    lag = CASE WHEN coalesce(excluded.lag, -1) > coalesce(lag, -1) THEN excluded.lag ELSE lag END
"""
_SELECT = """
SELECT component, start, samples, known, exposure, exposure_at, lag, lag_at FROM minute WHERE runbook = ? AND start > ? AND start < ?
"""


class SqliteHistory:
    """Minutes of one state directory. Opens nothing before it is used; reads answer "nothing" while the file is not there.

    The caller keeps writers apart (``SqliteSamples`` holds its own write transaction meanwhile). Raises StateLost, StateUnreadable.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "lag-history.db"
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def summed_until(self, runbook: str) -> int:
        """Samples before this moment (microseconds) are in the minutes; 0 where none are."""
        with database.reading(self.path, SCHEMA) as connection:
            row = None if connection is None else connection.execute("SELECT until FROM summed WHERE runbook = ?", (runbook,)).fetchone()
        return 0 if row is None else int(row[0])

    def add(self, runbook: str, found: Iterable[Stretch], until: int) -> None:
        """Sums up what samples before ``until`` speak for, in one transaction that also notes ``until``: done twice, it counts once."""
        rows = [(runbook, *row) for row in _minutes(found)]
        with self._lock:
            try:
                self._connection = self._connection or database.writer(self.path, SCHEMA)
                with database.transaction(self._connection) as connection:
                    connection.executemany(_ADD, rows)
                    connection.execute("INSERT OR REPLACE INTO summed (runbook, until) VALUES (?, ?)", (runbook, until))
                    connection.execute("DELETE FROM minute WHERE runbook = ? AND start < ?", (runbook, until - KEPT // _MICROSECOND))
            except sqlite3.Error as error:
                raise database.lost(self.path, SCHEMA, error) from error

    def stretches(self, runbook: str, since: int, until: int) -> Iterator[Stretch]:
        """The minutes that touch ``since`` to ``until`` (microseconds), oldest first."""
        with database.reading(self.path, SCHEMA) as connection:
            if connection is None:
                return
            for component, start, *row in connection.execute(_SELECT, (runbook, since - _MINUTE, until)):
                yield Stretch(component, start, start + _MINUTE, *row)

    def close(self) -> None:
        """Closes the writer's connection; safe to call twice."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def stretches(rows: Iterable[tuple[str, int, str]]) -> Iterator[Stretch]:
    """What samples speak for: rows of component, moment and body in the order of time, one stretch each.

    Raises:
        ValueError: a body is no sample.
    """
    last: dict[str, tuple[int, int | None, int | None]] = {}
    for component, at, body in rows:
        before = last.get(component)
        if before is not None:
            yield _stretch(component, before, min(at, before[0] + _STALE))
        last[component] = (at, *_measured(at, body))
    for component, sample in last.items():
        yield _stretch(component, sample, sample[0] + _STALE)


def _stretch(component: str, sample: tuple[int, int | None, int | None], end: int) -> Stretch:
    at, exposure, lag = sample
    known = 0 if exposure is None else end - at
    return Stretch(component, at, end, 1, known, exposure, None if exposure is None else at, lag, None if lag is None else at)


def _measured(at: int, body: str) -> tuple[int | None, int | None]:
    """Exposure and lag of a sample in microseconds. Read without its model: three times as fast, and there are millions."""
    sample = from_json(body)
    try:
        if sample["state"] == Known.UNKNOWN:
            return None, None
        point, lag = sample["recovery_point"], sample["lag"]
        exposure = None if point is None else max(0, at - int(datetime.fromisoformat(point).timestamp() * _SECOND))
        return exposure, None if lag is None else int(lag * _SECOND)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a lag sample") from error


def _minutes(found: Iterable[Stretch]) -> list[tuple[str, int, int, int, int | None, int | None, int | None, int | None]]:
    """Stretches cut at full minutes; a sample counts in the minute that it was taken in."""
    rows = []
    for item in found:
        start = item.start
        while start < item.end:
            minute = start // _MINUTE * _MINUTE
            end = min(item.end, minute + _MINUTE)
            known = end - start if item.known else 0
            rows.append((item.component, minute, item.samples if start == item.start else 0, known, *item[5:]))
            start = end
    return rows
