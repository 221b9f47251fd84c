"""Rounds over components in memory: who is asked, what is stored, and that a dead or misbehaving region ends nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dr.errors import StateLost
from dr.model.words import Known, Role
from dr.monitor.daemon import Monitor, next_start
from dr.monitor.exposure import outage
from dr.monitor.sampler import Sampler
from dr.monitor.watch import Pace, Round, believed
from dr.store.samples import SqliteSamples
from tests.monitor.fakes import NOW, BuggyKind, FakeDeployments, FakeKind, HandClock, StuckKind, view

QUICK = Pace(limit=timedelta(seconds=0.05), grace=timedelta(seconds=0.01))


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteSamples]:
    samples = SqliteSamples(tmp_path)
    yield samples
    samples.close()


def test_a_round_beats_samples_and_stores(clock: HandClock, store: SqliteSamples) -> None:
    """The primary is looked up, gets the heartbeat, the sample is told who it is; samples of this round are the newest."""
    database, dns = FakeKind("db", clock), FakeKind("dns", clock, replicates=False)
    sampler = Sampler("airflow", {"db": database, "dns": dns}, store, clock)
    seen = sampler.round()
    assert seen.beats["db"].region == "east"
    assert seen.beats["db"].acknowledged_at is not None
    assert "sample east" in database.asked
    assert dict(store.latest("airflow")) == seen.samples
    assert list(store.beats("airflow", NOW)) == list(seen.beats.values())
    assert (seen.views["db"].primary, seen.troubles) == ("east", ())
    assert set(seen.samples) == {"db"}, "what has no lag has no data to lose"
    sampler.close()


def test_who_is_primary_is_asked_at_a_slower_pace(clock: HandClock, store: SqliteSamples) -> None:
    """Once in five seconds while heartbeats are acknowledged, each round gets its beat and its sample."""
    database = FakeKind("db", clock)
    sampler = Sampler("airflow", {"db": database}, store, clock)
    for _ in range(10):
        sampler.round()
        clock.seconds += 1
    assert database.asked.count("view") == 2
    assert database.asked.count("beat east") == 10
    sampler.close()


def test_a_dead_primary_fails_beats_and_the_rounds_go_on(clock: HandClock, store: SqliteSamples) -> None:
    """The lost region keeps getting heartbeats, which date the outage; when another one is primary, it gets them, and the outage ends."""
    database = FakeKind("db", clock)
    sampler = Sampler("airflow", {"db": database}, store, clock)
    sampler.round()
    last_good = clock.now()
    database.gone = {"east"}
    for _ in range(3):
        clock.seconds += 1
        seen = sampler.round()
        assert seen.beats["db"].acknowledged_at is None
        assert seen.beats["db"].region == "east"
        assert seen.samples["db"].state is Known.KNOWN
    assert seen.views["db"].regions["east"].role is Role.UNREACHABLE
    assert outage(store.beats("airflow", NOW)) == (last_good, last_good + timedelta(seconds=1))
    database.primary = "west"
    for _ in range(3):
        clock.seconds += 1
        seen = sampler.round()
    assert seen.beats["db"].region == "west"
    assert outage(store.beats("airflow", NOW)) == (None, None)
    sampler.close()


def test_before_a_primary_was_ever_seen_there_is_no_heartbeat(clock: HandClock, store: SqliteSamples) -> None:
    """Nobody knows where to write; the secondary is sampled all the same."""
    database = FakeKind("db", clock)
    database.primary = None
    sampler = Sampler("airflow", {"db": database}, store, clock)
    seen = sampler.round()
    assert seen.beats == {}
    assert "sample None" in database.asked
    assert seen.samples["db"].recovery_point is not None
    sampler.close()


def test_calls_that_hang_cost_a_bounded_time_and_one_thread_each(clock: HandClock, store: SqliteSamples) -> None:
    """They count as not answered, are not asked again meanwhile, others are not held up, and all is well when they come back."""
    stuck, fine = StuckKind("stuck", clock), FakeKind("fine", clock)
    sampler = Sampler("airflow", {"stuck": stuck, "fine": fine}, store, clock, QUICK)
    assert sampler.round().samples["stuck"].state is Known.KNOWN
    stuck.stuck = True
    for _ in range(5):
        clock.seconds += 1
        seen = sampler.round()
        assert seen.beats["stuck"].acknowledged_at is None
        assert "no answer within" in seen.beats["stuck"].reason
        assert seen.samples["stuck"].state is Known.UNKNOWN
        assert (seen.samples["fine"].state, seen.beats["fine"].acknowledged_at is None) == (Known.KNOWN, False)
    assert stuck.inside <= 3, "a beat, a sample and a view are under way, not five of each"
    stuck.stuck = False
    stuck.released.set()
    for _ in range(200):
        clock.seconds += 1
        seen = sampler.round()
        if seen.beats["stuck"].acknowledged_at is not None and seen.samples["stuck"].state is Known.KNOWN:
            break
    else:
        pytest.fail("the component that came back was not measured again")
    sampler.close()


def test_a_kind_that_raises_is_unknown_and_leaks_nothing(clock: HandClock, store: SqliteSamples) -> None:
    """Errors of ours give their reason, others only their type: their text may carry credentials."""
    sampler = Sampler("airflow", {"db": BuggyKind("db", clock)}, store, clock)
    sampler.round()
    seen = sampler.round()
    assert (seen.beats["db"].acknowledged_at, seen.samples["db"].state) == (None, Known.UNKNOWN)
    assert seen.samples["db"].reason == "the secondary said no"
    assert "RuntimeError" in seen.beats["db"].reason
    assert "hunter2" not in repr(seen)
    sampler.close()


def test_identities_are_kept_from_the_primary_now_and_then(clock: HandClock, store: SqliteSamples) -> None:
    """Read in the primary's region once a minute; when they cannot be read, the earlier snapshot stays and the round says why."""
    deployments = FakeDeployments("deployments", clock)
    sampler = Sampler("airflow", {"deployments": deployments}, store, clock, Pace(identities=timedelta(seconds=60)))

    def rounds_until_kept(after: float) -> None:
        for _ in range(200):
            sampler.round()
            kept = store.identities("airflow", "deployments", not_from="west")
            if kept is not None and kept.taken_at >= NOW + timedelta(seconds=after):
                return
        pytest.fail("no snapshot was kept")

    rounds_until_kept(0)
    clock.seconds += 59
    sampler.round()
    assert deployments.asked.count("identities east") == 1
    clock.seconds += 1
    rounds_until_kept(60)
    deployments.gone = {"east"}
    clock.seconds += 60
    troubles: list[str] = []
    for _ in range(200):
        troubles += sampler.round().troubles
        if troubles:
            break
    assert troubles == ["deployments: identities were not read: east does not answer"]
    kept = store.identities("airflow", "deployments")
    assert kept is not None
    assert kept.taken_at == NOW + timedelta(seconds=60)
    sampler.close()


def test_an_old_view_is_not_believed() -> None:
    """A view that was not renewed says nothing about who is reachable now."""
    pace = Pace()
    seen = view("db", Role.PRIMARY, Role.SECONDARY, NOW)
    assert believed(seen, NOW + timedelta(seconds=19), pace)
    assert not believed(seen, NOW + timedelta(seconds=20), pace)


@pytest.mark.parametrize(
    ("now", "expected"), [(100.0, 101.0), (100.3, 101.0), (101.0, 102.0), (103.7, 104.0)]
)  # fmt: skip
def test_the_schedule_is_absolute(now: float, expected: float) -> None:
    """Rounds start on the grid of the first one; a long round skips the starts that it missed."""
    assert next_start(100.0, 1.0, now) == expected


def test_the_monitor_keeps_its_schedule_and_stops_clean(clock: HandClock, store: SqliteSamples) -> None:
    """Rounds that take a while do not push the next ones; after stop there is no further round."""
    database, stop, starts = FakeKind("db", clock), threading.Event(), []

    def heard(seen: Round) -> None:
        starts.append((seen.at - NOW).total_seconds())
        clock.seconds += 0.3 if len(starts) != 3 else 1.5
        if len(starts) == 6:
            stop.set()

    Monitor(Sampler("airflow", {"db": database}, store, clock), clock, timedelta(seconds=1), heard).run(stop)
    assert starts == pytest.approx([0, 1, 2, 4, 5, 6], abs=1e-6)


def test_a_monitor_that_cannot_remember_ends_loudly(clock: HandClock, store: SqliteSamples) -> None:
    """StateLost comes out of run; nobody is left in the belief that samples are kept."""
    connection = store._open()
    connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")
    monitor = Monitor(Sampler("airflow", {"db": FakeKind("db", clock)}, store, clock), clock, timedelta(seconds=1))
    with pytest.raises(StateLost, match=r"samples\.db cannot be written"):
        monitor.run(threading.Event())
