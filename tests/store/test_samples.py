"""The monitor's memory: newest, history, heartbeats, identity snapshots; kept for a time, readable by others meanwhile."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from dr.errors import StateLost, StateUnreadable
from dr.model.identity import DeploymentIdentity, IdentitySnapshot
from dr.model.lag import Beat, LagSample
from dr.model.words import Known
from dr.store.samples import SNAPSHOTS, SqliteSamples
from tests.store.build import START


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def sample(component: str, seconds: float, lag: float = 0.5) -> LagSample:
    moment = after(seconds)
    return LagSample(
        component=component, at=moment, state=Known.KNOWN, lag=timedelta(seconds=lag), recovery_point=moment - timedelta(seconds=lag)
    )


def beat(seconds: float, component: str = "db", acknowledged: bool = True) -> Beat:
    return Beat(
        component=component, region="east", sent_at=after(seconds), acknowledged_at=after(seconds + 0.01) if acknowledged else None,
        reason="" if acknowledged else "refused",
    )  # fmt: skip


def snapshot(seconds: float, region: str = "east", image: str = "sha256:1") -> IdentitySnapshot:
    deployment = DeploymentIdentity(
        id="d-001", name="one", namespace="quiet-comet-001", workspace="w", hostnames={"ui": "one.ui.dr.test"}, image_digest=image,
        environment={"A": "1"},
    )  # fmt: skip
    return IdentitySnapshot(taken_at=after(seconds), region=region, deployments=(deployment,))


def test_nothing_is_there_before_the_first_sample(tmp_path: Path) -> None:
    """A state directory without samples answers "nothing", not an error, and stays as it is."""
    samples = SqliteSamples(tmp_path / "none")
    assert samples.latest("airflow") == {}
    assert samples.history("airflow", START) == []
    assert samples.beats("airflow", START) == []
    assert samples.identities("airflow", "deployments") is None
    samples.add("airflow", [])
    assert not (tmp_path / "none").exists()


def test_samples_of_an_earlier_version_are_readable(tmp_path: Path) -> None:
    """What they did not count yet is unknown, not zero."""
    samples = SqliteSamples(tmp_path)
    samples.add("airflow", [sample("logs", 1)])
    samples.close()
    body = sample("logs", 2).model_dump(mode="json", exclude={"failed_items", "failed_named"})
    with contextlib.closing(sqlite3.connect(tmp_path / "samples.db")) as connection, connection:
        connection.execute("INSERT INTO sample SELECT runbook, component, at + 1000000, ? FROM sample", (json.dumps(body),))
    newest = SqliteSamples(tmp_path).latest("airflow")["logs"]
    assert (newest.at, newest.failed_items, newest.failed_named) == (after(2), None, ())


def test_newest_and_history(tmp_path: Path) -> None:
    """By the time of the measurement, not of the writing; of one runbook; moments keep their microseconds and may have any zone."""
    writer, reader = SqliteSamples(tmp_path), SqliteSamples(tmp_path)
    odd = sample("db", 2.000001).model_copy(update={"at": after(2.000001).astimezone(timezone(timedelta(hours=5)))})
    writer.add("airflow", [sample("db", 3, 7.5), sample("logs", 1)])
    writer.add("airflow", [odd], [beat(1), beat(2, acknowledged=False)])
    writer.add("other", [sample("db", 9)])
    assert reader.latest("airflow") == {"db": sample("db", 3, 7.5), "logs": sample("logs", 1)}
    assert reader.history("airflow", after(2.000001)) == [odd, sample("db", 3, 7.5)]
    assert reader.history("airflow", after(2.000002)) == [sample("db", 3, 7.5)]
    assert reader.beats("airflow", after(0)) == [beat(1), beat(2, acknowledged=False)]
    assert reader.beats("airflow", after(1.5)) == [beat(2, acknowledged=False)]
    writer.close()
    assert stat.S_IMODE((tmp_path / "samples.db").stat().st_mode) == 0o600


def test_old_samples_are_dropped_but_the_newest_of_each_component_stays(tmp_path: Path) -> None:
    """A component that is not sampled any more still says how old its newest sample is."""
    samples = SqliteSamples(tmp_path, retention=timedelta(hours=1))
    samples.add("airflow", [sample("db", 0), sample("db", 5), sample("logs", 5)], [beat(0), beat(5)])
    samples.add("other", [sample("db", 0)], [beat(0)])
    samples.add("airflow", [sample("db", 3700)], [beat(3700)])
    assert samples.history("airflow", START) == [sample("logs", 5), sample("db", 3700)]
    assert samples.beats("airflow", START) == [beat(3700)]
    assert (len(samples.history("other", START)), len(samples.beats("other", START))) == (1, 1)
    samples.close()


def test_identity_snapshots(tmp_path: Path) -> None:
    """The newest wins; one from another region can be asked for; equal ones take each other's place, different ones add up."""
    samples = SqliteSamples(tmp_path)
    samples.keep_identities("airflow", "deployments", snapshot(0))
    samples.keep_identities("airflow", "deployments", snapshot(10))
    samples.keep_identities("airflow", "deployments", snapshot(20, "west"))
    assert samples.identities("airflow", "deployments") == snapshot(20, "west")
    assert samples.identities("airflow", "deployments", not_from="west") == snapshot(10)
    assert samples.identities("airflow", "deployments", not_from="east") == snapshot(20, "west")
    assert samples.identities("airflow", "else") is None
    connection = samples._open()
    assert connection.execute("SELECT count(*) FROM snapshot").fetchone() == (2,)
    for number in range(SNAPSHOTS + 5):
        samples.keep_identities("airflow", "deployments", snapshot(30 + number, image=f"sha256:{number}"))
    assert connection.execute("SELECT count(*) FROM snapshot WHERE region = 'east'").fetchone() == (SNAPSHOTS,)
    assert samples.identities("airflow", "deployments", not_from="west") == snapshot(30 + SNAPSHOTS + 4, image=f"sha256:{SNAPSHOTS + 4}")
    samples.close()


def test_a_full_disk_is_loud_and_keeps_what_was_there(tmp_path: Path) -> None:
    """StateLost, and the earlier samples are readable."""
    samples = SqliteSamples(tmp_path)
    samples.add("airflow", [sample("db", 0)])
    connection = samples._open()
    connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(StateLost, match="full"):
        samples.add("airflow", [sample("db", number) for number in range(1, 1000)])
    assert samples.latest("airflow") == {"db": sample("db", 0)}
    samples.close()


def test_damaged_samples_are_refused(tmp_path: Path) -> None:
    """A row that is not a sample, and a file that is not a database, are said; they never count as "no lag"."""
    samples = SqliteSamples(tmp_path)
    samples.add("airflow", [sample("db", 0)], [beat(0)])
    samples.keep_identities("airflow", "deployments", snapshot(0))
    for table in ("sample", "beat", "snapshot"):
        samples._open().execute(f"UPDATE {table} SET body = '{{}}'")
    with pytest.raises(StateUnreadable, match="lag sample in it is damaged"):
        samples.latest("airflow")
    with pytest.raises(StateUnreadable, match="heartbeat in it is damaged"):
        samples.beats("airflow", START)
    with pytest.raises(StateUnreadable, match="identity snapshot in it is damaged"):
        samples.identities("airflow", "deployments")
    samples.close()
    (tmp_path / "samples.db").write_bytes(b"x" * 5000)
    with pytest.raises(StateUnreadable):
        SqliteSamples(tmp_path).latest("airflow")
