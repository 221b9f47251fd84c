"""Samples that grow old are summed up by the minute before they are dropped: a report over months loses nothing and flatters nobody."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from dr.errors import StateLost, StateUnreadable
from dr.model.lag import Stretch
from dr.report.replication import Objective, replication
from dr.store.history import SqliteHistory
from dr.store.samples import SqliteSamples
from tests.store.build import START
from tests.store.test_samples import after, sample

HOUR = timedelta(hours=1)
FIVE = {"db": Objective(timedelta(seconds=5), "runbook")}


def fill(samples: SqliteSamples, seconds: int, first: int = 0) -> None:
    """One sample each 5 s, every hundredth of them 9 s behind."""
    samples.add("airflow", [sample("db", second, 9.0 if second % 500 == 0 else 0.5) for second in range(first, seconds, 5)])


def test_a_report_over_dropped_samples_adds_up_and_never_looks_better(tmp_path: Path) -> None:
    """Six hours, of which five are dropped: the same samples and the same known time; above the RPO as before, or a whole minute."""
    whole, aged = SqliteSamples(tmp_path / "whole"), SqliteSamples(tmp_path / "aged", retention=HOUR)
    for first in range(0, 6 * 3600, 300):
        fill(whole, first + 300, first)
        fill(aged, first + 300, first)
    assert len(aged.history("airflow", START)) < len(whole.history("airflow", START)) / 4
    (exact,) = replication("r", whole.stretches("airflow", START, after(6 * 3600)), START, after(6 * 3600), FIVE)
    (summed,) = replication("r", aged.stretches("airflow", START, after(6 * 3600)), START, after(6 * 3600), FIVE)
    assert (summed.samples, summed.unknown_seconds, summed.summed) == (exact.samples, exact.unknown_seconds, True)
    assert exact.summed is False
    assert (summed.worst_exposure_seconds, summed.worst_lag_seconds) == (exact.worst_exposure_seconds, exact.worst_lag_seconds)
    assert exact.above_seconds == 44 * 5
    assert summed.above_seconds is not None and exact.above_seconds < summed.above_seconds <= 44 * 60
    whole.close()
    aged.close()


def test_summing_up_is_done_once_whatever_happens_in_between(tmp_path: Path) -> None:
    """The minutes are written, then the process dies before the samples are dropped: nothing counts twice."""
    samples = SqliteSamples(tmp_path, retention=HOUR)
    fill(samples, 7200)
    samples.close()
    again = SqliteSamples(tmp_path)
    lines = [replication("r", again.stretches("airflow", START, after(7200)), START, after(7200), FIVE)[0]]
    samples = SqliteSamples(tmp_path, retention=HOUR)
    samples._past.add("airflow", (), samples._past.summed_until("airflow"))
    fill(samples, 7201, 7200)
    lines.append(replication("r", again.stretches("airflow", START, after(7200)), START, after(7200), FIVE)[0])
    assert [line.samples for line in lines] == [1440, 1440]
    assert [line.unknown_seconds for line in lines] == [0, 0]
    samples.close()


def test_a_minute_in_parts_is_one_minute(tmp_path: Path) -> None:
    """Both parts count, the worst of both speaks."""
    past = SqliteHistory(tmp_path)
    part = Stretch("db", 60_000_000, 70_000_000, 1, 10_000_000, 5, 60_000_001, None, None)
    past.add("airflow", [part], 70_000_000)
    past.add("airflow", [part._replace(start=70_000_000, end=75_000_000, exposure=9, exposure_at=70_000_000, lag=3, lag_at=1)], 75_000_000)
    expected = Stretch("db", 60_000_000, 120_000_000, 2, 15_000_000, 9, 70_000_000, 3, 1)
    assert list(past.stretches("airflow", 0, 100_000_000)) == [expected]
    assert list(past.stretches("other", 0, 100_000_000)) == []
    past.close()


def test_runbooks_and_newest_samples_are_found(tmp_path: Path) -> None:
    """By name, each once; a directory without samples has none and stays as it is."""
    samples = SqliteSamples(tmp_path / "none")
    assert samples.runbooks() == []
    assert list(samples.stretches("airflow", START, after(9))) == []
    assert not (tmp_path / "none").exists()
    samples = SqliteSamples(tmp_path)
    samples.add("b", [sample("db", 0), sample("db", 5)])
    samples.add("a", [sample("db", 1), sample("logs", 1)])
    assert samples.runbooks() == ["a", "b"]
    assert list(samples.latest("a")) == ["db", "logs"]
    samples.close()


def test_damaged_rows_are_said(tmp_path: Path) -> None:
    """A body that is no sample never counts as "no lag"; a file that is none is refused."""
    samples = SqliteSamples(tmp_path)
    samples.add("airflow", [sample("db", 0)])
    for body in ("{", "{}", "[]"):
        samples._open().execute("UPDATE sample SET body = ?", (body,))
        with pytest.raises(StateUnreadable, match="lag sample in it is damaged"):
            list(samples.stretches("airflow", START, after(9)))
    samples.close()
    (tmp_path / "lag-history.db").write_bytes(b"x" * 5000)
    with pytest.raises(StateUnreadable, match="lag history"):
        list(samples.stretches("airflow", START, after(9)))


def test_nothing_is_dropped_that_could_not_be_summed_up(tmp_path: Path) -> None:
    """The disk of the minutes is full: StateLost, and every sample is still there."""
    samples = SqliteSamples(tmp_path, retention=HOUR)
    fill(samples, 600)
    (tmp_path / "lag-history.db").unlink(missing_ok=True)
    past = SqliteHistory(tmp_path)
    past.add("other", (), 1)
    connection = past._connection
    assert isinstance(connection, sqlite3.Connection)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DROP TABLE minute")
    connection.execute("COMMIT")
    with pytest.raises((StateLost, StateUnreadable)):
        samples.add("airflow", [sample("db", 9000)])
    assert len(samples.history("airflow", START)) == 120
    past.close()
    samples.close()
