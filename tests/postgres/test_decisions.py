"""Lag, findings, and what an error may say: pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.engine import guards
from dr.errors import StateUnreadable
from dr.model.evidence import Evidence, Fenced, RecoveryPoint
from dr.model.lag import LagSample
from dr.model.runbook import SecretRef
from dr.model.words import FenceState, Known, Role, Severity, Verdict
from dr.monitor.watch import unknown_sample
from dr.ports import AttemptContext, Completed, Look, Site
from dr.providers.clock_ahead import ClockAhead, Told, why_wrong, wrong
from dr.providers.registry import BUILT_IN
from dr.providers.selfhosted.postgres.cluster import Cluster
from dr.providers.selfhosted.postgres.config import Follows, PostgresConfig, RegionServer
from dr.providers.selfhosted.postgres.connect import Reach, scrubbed
from dr.providers.selfhosted.postgres.facts import Heartbeat, Posture, Reading, Rights, Setting, Slot, Unread
from dr.providers.selfhosted.postgres.fence import FenceLost
from dr.providers.selfhosted.postgres.findings import judge, manager, sync_blocks_writes
from dr.providers.selfhosted.postgres.kind import Postgres
from dr.providers.selfhosted.postgres.lag import Ahead, decide
from dr.providers.selfhosted.postgres.promote import Promote
from dr.providers.selfhosted.postgres.server import Process, Running
from tests.store.build import HandClock

NOW = datetime(2026, 1, 1, 3, 0, tzinfo=UTC)
MOMENT = timedelta(milliseconds=2)
BEAT = Heartbeat("east", NOW - timedelta(seconds=1), 7)
SECONDARY = Reading(True, 1, None, "0/200", "0/200", NOW - timedelta(hours=1), "streaming", "s", BEAT)
PRIMARY = Reading(False, 1, "0/200", None, None, None, None, "s")
CONFIG = PostgresConfig(
    database="platform", user="dr", password=SecretRef(env="PW"),
    regions={name: RegionServer(address="10.0.0.1", follows=Follows(address="10.0.0.9")) for name in ("east", "west")},
)  # fmt: skip


def test_an_idle_primary_makes_no_lag() -> None:
    """The newest commit is an hour old, but the secondary is at the primary's position: the lag is the moment between the reads."""
    idle = replace(SECONDARY, heartbeat=None)
    sample = decide("db", NOW, idle, Ahead("0/200", "0/100", 0.0), MOMENT)
    assert (sample.state, sample.lag, sample.behind_bytes, sample.retained_bytes) == (Known.KNOWN, MOMENT, 0, 0x100)
    assert sample.recovery_point == NOW - timedelta(hours=1)


def test_what_is_missing_is_as_old_as_the_newest_heartbeat_that_arrived() -> None:
    """Bytes are missing: everything older than the replicated heartbeat is there."""
    sample = decide("db", NOW, SECONDARY, Ahead("0/300", None, 0.0), MOMENT)
    assert (sample.state, sample.lag, sample.behind_bytes, sample.retained_bytes) == (Known.KNOWN, timedelta(seconds=1), 0x100, None)


def test_a_silent_primary_leaves_only_a_bound() -> None:
    """It may have written until now, so the age of the recovery point is the most that is missing; the reason is kept."""
    sample = decide("db", NOW, SECONDARY, None, MOMENT, why_not="refused")
    assert (sample.state, sample.lag, sample.behind_bytes, sample.reason) == (Known.BOUND, timedelta(seconds=1), None, "refused")


@pytest.mark.parametrize(("ahead", "behind"), [(28, 28), (0, 0), (-28, 0)])
def test_where_the_server_shows_a_later_moment_that_one_counts(ahead: int, behind: int) -> None:
    """The machine that asks may have a slow clock; a fast one makes the age larger by itself. Nobody looked: not known."""
    there = replace(SECONDARY, clock=NOW + timedelta(seconds=ahead))
    sample = decide("db", NOW, there, None, MOMENT, asked=NOW)
    assert (sample.lag, sample.clock_behind) == (timedelta(seconds=1 + behind), timedelta(seconds=behind))
    assert decide("db", NOW, SECONDARY, None, MOMENT, asked=NOW).clock_behind is None
    assert decide("db", NOW, there, None, MOMENT).clock_behind is None


@pytest.mark.parametrize(("commit", "left"), [(30, 23), (9, 2), (3, -4)])
def test_a_primary_whose_clock_is_ahead_hides_no_loss(commit: int, left: int) -> None:
    """It stamped what arrived 7 s too late; a heartbeat carries the moment of who sent it, and is as new as it says."""
    newest = replace(SECONDARY, last_commit=NOW + timedelta(seconds=commit), heartbeat=None)
    told: Told = {"clock_ahead": timedelta(seconds=7), "clock_of": "east"}
    sample = decide("db", NOW, newest, None, MOMENT, clock=told)
    assert sample.recovery_point == NOW + timedelta(seconds=commit - 7)
    assert (sample.clock_ahead, sample.clock_of) == (timedelta(seconds=7), "east")
    beaten = decide("db", NOW, replace(newest, heartbeat=BEAT), None, MOMENT, clock=told)
    assert beaten.recovery_point == max(NOW + timedelta(seconds=left), BEAT.beat_at)


class _Kept:
    """Samples of which only the newest are asked."""

    def __init__(self, sample: LagSample | None) -> None:
        self.sample = sample

    def latest(self, runbook: str) -> Mapping[str, LagSample]:
        """Of ``db`` alone."""
        if self.sample is None:
            raise StateUnreadable("damaged")
        return {"db": self.sample}


def _clocks(kept: _Kept, clock: HandClock | None = None, component: str = "db") -> ClockAhead:
    """Of a process that begins."""
    return ClockAhead(cast(Site, SimpleNamespace(runbook="airflow", samples=kept, clock=clock or HandClock())), component)


def test_how_far_a_clock_is_ahead_is_remembered_for_the_day_nobody_can_ask() -> None:
    """What this process saw counts first, then the newest sample of the same region; a clock that is behind hides nothing; what cannot be
    read is unknown."""
    kept = _Kept(LagSample(component="db", at=NOW, state=Known.KNOWN, lag=MOMENT, clock_ahead=timedelta(seconds=3), clock_of="east"))
    clocks = _clocks(kept)
    assert [clocks.told(region)["clock_ahead"] for region in ("east", "west")] == [timedelta(seconds=3), None], "once the roles are swapped"
    assert clocks.told(None) == {"clock_ahead": timedelta(seconds=3), "clock_of": "east"}
    clocks.saw("east", timedelta(seconds=5))
    assert clocks.told("east")["clock_ahead"] == timedelta(seconds=5)
    clocks.saw("east", timedelta(seconds=-5))
    assert clocks.told("east") == {"clock_ahead": timedelta(0), "clock_of": "east"}
    assert _clocks(kept, component="logs").told("east")["clock_of"] == ""
    assert _clocks(_Kept(None)).told("east") == {"clock_ahead": None, "clock_of": ""}


def test_what_was_taken_off_once_is_taken_off_again() -> None:
    """A run that goes on after its promotion: samples tell of the new primary's clock by then, the run's own evidence of the old one's."""
    later = _clocks(_Kept(LagSample(component="db", at=NOW, state=Known.KNOWN, lag=MOMENT, clock_ahead=MOMENT, clock_of="west")))
    point = RecoveryPoint(component="db", region="west", read_at=NOW, recovery_point=NOW, clock_ahead=timedelta(seconds=18))
    assert later.of("east", None, leads=True) == {"clock_ahead": None, "clock_of": ""}
    assert later.of("east", point, leads=True) == {"clock_ahead": timedelta(seconds=18), "clock_of": "east"}
    unsure = point.model_copy(update={"clock_ahead": None, "recovery_point": None, "reason": "its stamps tell nothing"})
    nothing = point.model_copy(update={"clock_ahead": None})
    assert wrong(later.of("east", unsure, leads=True)) and not wrong(later.of("east", nothing, leads=True))
    later.saw("east", timedelta(seconds=2))
    assert later.of("east", point, leads=False)["clock_ahead"] == timedelta(seconds=2), "compared just now"
    assert later.of("east", point, leads=True)["clock_ahead"] == timedelta(seconds=18), "as it was when the stamps came"
    assert wrong(later.of("east", unsure, leads=True)) and not wrong(later.of("east", unsure, leads=False))


def _promotion(kept: _Kept, *, planned: bool = False) -> Promote:
    """Of a database whose clocks are told by what was kept."""
    cluster = SimpleNamespace(component="db", clock=SimpleNamespace(now=lambda: NOW), clocks=_clocks(kept))
    return Promote(cast(Cluster, cluster), "east", "west", planned=planned)


def _found(point: RecoveryPoint | None) -> AttemptContext:
    """A run that journaled this before."""
    return cast(AttemptContext, SimpleNamespace(found=lambda _fact, _component: point))


def test_what_a_run_doubted_stays_doubted_after_its_promotion() -> None:
    """An older sample says that the clock was right; the process that saw stamps from the future died. The last heartbeat still counts."""
    kept = _Kept(LagSample(component="db", at=NOW, state=Known.KNOWN, lag=MOMENT, clock_ahead=timedelta(0), clock_of="east"))
    stamped = replace(SECONDARY, last_commit=NOW + timedelta(seconds=25), clock=NOW)
    before = _promotion(kept)._recovery_point(_found(None), stamped, NOW)
    assert stamped.heartbeat is not None and before.recovery_point == stamped.heartbeat.beat_at and before.reason
    own = replace(stamped, recovering=False, heartbeat=Heartbeat("west", NOW, 8))
    after = _promotion(kept)._recovery_point(_found(before), own, NOW)
    assert (after.recovery_point, after.reason) == (before.recovery_point, before.reason)


def test_a_planned_move_that_is_complete_asks_no_clock() -> None:
    """Nothing is missing, by its position: what the source's clock showed matters to nobody."""
    stamped = replace(SECONDARY, heartbeat=None, last_commit=NOW + timedelta(seconds=3), clock=NOW)
    point = _promotion(_Kept(None), planned=True)._recovery_point(_found(None), stamped, NOW, complete=True)
    fence = Fenced(component="db", region="east", state=FenceState.FENCED, proof="stopped", writes_ended_at=NOW, final_position="0/5")
    refused = [item for item in guards.before_promote("db", fence, point, MOMENT, [], NOW, planned=True) if item.verdict is Verdict.REFUSED]
    assert (point.complete, point.recovery_point, refused) == (True, stamped.last_commit, [])


def test_a_view_without_a_primary_doubts_stamps_from_the_future_too() -> None:
    """Whoever types the failover may have no samples at all: the last heartbeat bounds the loss, it is not unknown."""
    kind = SimpleNamespace(_clocks=_clocks(_Kept(None)), config=SimpleNamespace(other=lambda _region: "east"), name="db",
                           _clock=SimpleNamespace(now=lambda: NOW))  # fmt: skip
    west = replace(SECONDARY, last_commit=NOW + timedelta(seconds=25), clock=NOW)
    sample = Postgres._without_primary(cast(Postgres, kind), {"east": Unread("silent", Reach.SILENT), "west": west}, NOW)
    assert west.heartbeat is not None
    assert (sample.state, sample.recovery_point, "its stamps" in sample.reason) == (Known.BOUND, west.heartbeat.beat_at, True)


def test_of_several_looks_at_the_clocks_the_quickest_counts() -> None:
    """The way there is in what is seen, and answers are slow right before something dies; after a while a newer one counts all the same."""
    clock = HandClock()
    clocks = _clocks(_Kept(None), clock)
    clocks.saw("east", timedelta(milliseconds=3), timedelta(milliseconds=3))
    clock.sleep(60.0)
    clocks.saw("east", timedelta(seconds=2), timedelta(seconds=2))
    assert clocks.told("east")["clock_ahead"] == timedelta(milliseconds=3)
    clock.sleep(300.0)
    clocks.saw("east", timedelta(seconds=2), timedelta(seconds=2))
    assert clocks.told("east")["clock_ahead"] == timedelta(seconds=2)
    clocks.saw("east", timedelta(seconds=9), timedelta(seconds=4))
    assert clocks.told("east")["clock_ahead"] == timedelta(seconds=9), "however long that look took: the clock was set in between"


def test_a_stamp_in_the_future_is_not_believed_until_both_clocks_were_asked_again() -> None:
    """The primary's clock went ahead while nobody could ask it: by how much is unknown, and a later process hears so from the samples."""
    clocks = _clocks(_Kept(None))
    clocks.saw("east", timedelta(milliseconds=3), timedelta(milliseconds=3))
    clocks.stamped("east", timedelta(milliseconds=900))
    assert not wrong(clocks.told("east")), "clocks run apart a little"
    clocks.stamped("east", timedelta(seconds=30))
    told = clocks.told(None)
    assert wrong(told) and "the clock of east" in why_wrong(told)
    reading = replace(SECONDARY, last_commit=NOW + timedelta(seconds=30))
    sample = decide("db", NOW, reading, None, MOMENT, clock=told)
    assert reading.heartbeat is not None
    assert (sample.state, sample.recovery_point, "its stamps" in sample.reason) == (Known.BOUND, reading.heartbeat.beat_at, True)
    alone = decide("db", NOW, replace(reading, heartbeat=None), None, MOMENT, clock=told)
    assert (alone.state, alone.recovery_point, "its stamps" in alone.reason) == (Known.UNKNOWN, None, True)
    assert wrong(_clocks(_Kept(alone)).told("east")) and not wrong(_clocks(_Kept(alone)).told("west"))
    clocks.saw("east", timedelta(seconds=31), timedelta(seconds=2))
    assert clocks.told("east") == {"clock_ahead": timedelta(seconds=31), "clock_of": "east"}


@pytest.mark.parametrize("secondary", [Unread("no answer", Reach.SILENT), PRIMARY])
def test_a_sample_that_knows_nothing_else_carries_what_is_known_of_the_clock(secondary: Reading | Unread) -> None:
    """It is the newest one, and who starts after it has nothing but that."""
    told: Told = {"clock_ahead": timedelta(minutes=2), "clock_of": "east"}
    seen = decide("db", NOW, secondary, None, MOMENT, clock=told)
    assert (seen.state, seen.clock_ahead, seen.clock_of) == (Known.UNKNOWN, timedelta(minutes=2), "east")
    late = unknown_sample("db", NOW, "no answer", seen)
    assert (late.clock_ahead, late.clock_of) == (timedelta(minutes=2), "east")
    assert _clocks(_Kept(late)).told("east")["clock_ahead"] == timedelta(minutes=2)


def test_without_heartbeats_the_lag_is_a_bound() -> None:
    """Nobody writes heartbeats: the newest commit may be old although nothing is missing."""
    sample = decide("db", NOW, replace(SECONDARY, heartbeat=None), Ahead("0/300", None, 0.0), MOMENT)
    assert (sample.state, sample.lag) == (Known.BOUND, timedelta(hours=1))


def test_what_cannot_be_read_is_unknown_and_never_zero() -> None:
    """A silent secondary, a secondary that takes writes, a secondary without any moment: unknown, and no duration."""
    for secondary in (Unread("silent", Reach.SILENT), PRIMARY, replace(SECONDARY, heartbeat=None, last_commit=None, replayed="0/1")):
        sample = decide("db", NOW, secondary, Ahead("0/300", None, 0.0), MOMENT)
        assert (sample.state, sample.lag, sample.recovery_point) == (Known.UNKNOWN, None, None)
        assert sample.reason


@given(
    replayed=st.none() | st.integers(0, 50), ahead=st.none() | st.integers(0, 50), beat=st.none() | st.integers(0, 50),
    commit=st.none() | st.integers(0, 50),
)  # fmt: skip
def test_lag_is_null_exactly_when_unknown(replayed: int | None, ahead: int | None, beat: int | None, commit: int | None) -> None:
    """I6: state and value agree for whatever could and could not be read."""
    reading = replace(
        SECONDARY, replayed=None if replayed is None else f"0/{replayed:X}",
        heartbeat=None if beat is None else Heartbeat("east", NOW - timedelta(seconds=beat), 1),
        last_commit=None if commit is None else NOW - timedelta(seconds=commit),
    )  # fmt: skip
    sample = decide("db", NOW, reading, None if ahead is None else Ahead(f"0/{ahead:X}", None, 0.0), MOMENT)
    assert (sample.lag is None) == (sample.state is Known.UNKNOWN)
    if ahead is None:
        assert sample.state is not Known.KNOWN


def test_stopped_and_unreachable_are_told_apart_and_neither_is_a_role_of_its_own() -> None:
    """Refused: its host answers for it. Time-out: nothing is known. Login denied: it runs, and did not let us look."""
    assert Unread("", Reach.REFUSED).role is Role.STOPPED
    assert Unread("", Reach.SILENT).role is Role.UNREACHABLE
    assert Unread("", None).role is Role.UNKNOWN


def posture(**values: str) -> Posture:
    usual = {"wal_log_hints": "on", "wal_retrieve_retry_interval": "100", "max_connections": "100", "max_slot_wal_keep_size": "64"}
    slots = {"west": Slot(True, "reserved", True)}
    return Posture(settings={name: Setting(value) for name, value in {**usual, **values}.items()}, slots=slots)


def facts(primary: Posture, secondary: Posture) -> list[tuple[Severity, str]]:
    found = judge("db", CONFIG, {"east": PRIMARY, "west": SECONDARY}, {"east": primary, "west": secondary})
    return [(item.severity, item.fact) for item in found]


def test_a_well_kept_pair_has_no_finding() -> None:
    """Nothing to say where nothing is wrong."""
    assert facts(posture(), posture()) == []


@pytest.mark.parametrize(
    ("primary", "secondary", "severity", "said"),
    [
        (posture(wal_log_hints="off", data_checksums="off"), posture(), Severity.WARNING, "pg_rewind"),
        (posture(max_connections="300"), posture(), Severity.ERROR, "max_connections is 100"),
        (posture(), posture(wal_retrieve_retry_interval="5000"), Severity.WARNING, "wal_retrieve_retry_interval"),
        (posture(synchronous_standby_names="west"), posture(), Severity.WARNING, "synchronous_standby_names"),
        (replace(posture(), slots={}), posture(), Severity.WARNING, "no slot west"),
        (replace(posture(), slots={"west": Slot(False, "reserved", True)}), posture(), Severity.WARNING, "not in use"),
        (replace(posture(), slots={"west": Slot(False, "lost", True)}), posture(), Severity.WARNING, "lost its log"),
        (posture(), replace(posture(), rights=Rights(False, True, True, True, True)), Severity.ERROR, "may not promote"),
        (posture(server_version_num="180006"), posture(server_version_num="170001"), Severity.ERROR, "PostgreSQL 17"),
    ],
)
def test_each_trap_is_found(primary: Posture, secondary: Posture, severity: Severity, said: str) -> None:
    """One finding for each, with its severity: an error is only what would break the move."""
    assert any(said in fact and how is severity for how, fact in facts(primary, secondary))


@pytest.mark.parametrize(("ahead", "told"), [(9, ["east", "9.0s", "looks newer"]), (-9, ["west", "9.0s", "larger"]), (4, []), (None, [])])
def test_two_servers_whose_clocks_differ_are_found_beforehand(ahead: int | None, told: list[str]) -> None:
    """A primary's clock stamps its writes, which look newer by what it is ahead: which is taken off only where both were compared."""
    primary = replace(PRIMARY, clock=None if ahead is None else NOW + timedelta(seconds=ahead))
    found = judge("db", CONFIG, {"east": primary, "west": replace(SECONDARY, clock=NOW)}, {"east": posture(), "west": posture()})
    clocks = [item for item in found if "clock" in item.fact]
    assert [item.severity for item in clocks] == [Severity.WARNING] * bool(told)
    assert all(word in item.fact for item in clocks for word in told) and all("NTP" in item.fix for item in clocks)


def test_a_dead_primary_is_no_error() -> None:
    """What only a dead region explains must not refuse the failover away from it."""
    found = judge("db", CONFIG, {"west": replace(SECONDARY, receiver=None)}, {"west": posture()})
    assert [item for item in found if item.severity is Severity.ERROR] == []


@pytest.mark.parametrize(
    ("seen", "who"),
    [
        (replace(posture(), applications=("Patroni heartbeat",)), "Patroni"),
        (
            Posture(settings={name: Setting("x", "command line") for name in ("cluster_name", "max_connections", "wal_log_hints")}),
            "Patroni",
        ),
        (posture(archive_command="/controller/manager wal-archive %p"), "CloudNativePG"),
        (replace(posture(), slots={"_cnpg_db_2": Slot(True, "reserved", True)}), "CloudNativePG"),
        (posture(shared_preload_libraries="pg_stat_statements, repmgr"), "repmgr"),
        (posture(shared_preload_libraries="pgautofailover"), "pg_auto_failover"),
        (replace(posture(), settings={"rds.extensions": Setting("x")}), "a cloud provider"),
    ],
)  # fmt: skip
def test_servers_that_somebody_else_promotes_are_recognised(seen: Posture, who: str) -> None:
    """Each leaves a sign that a plain server does not have; the finding is an error and names the other switch."""
    managed = manager(seen)
    assert managed is not None
    assert managed[0] == who
    assert managed[1]
    assert set(re.findall(r"of kind (\S+)", managed[1])) <= set(BUILT_IN), "a next step that can be taken"
    assert "AWS" not in managed[1]
    assert any(severity is Severity.ERROR and who in fact for severity, fact in facts(posture(), replace(seen, slots=seen.slots)))


def test_a_plain_server_is_nobody_elses() -> None:
    """A cluster_name in a file and an archive command of one's own are no sign of a manager."""
    assert manager(posture(cluster_name="main", archive_command="pgbackrest --stanza=db archive-push %p")) is None


@pytest.mark.parametrize(
    ("names", "attached", "blocks"),
    [
        ("", (), False),
        ("east", (), True),
        ("east", ("east",), False),
        ("*", ("anybody",), False),
        ("*", (), True),
        ("ANY 1 (east, third)", ("third",), False),
        ("FIRST 2 (east, third)", ("third",), True),
        ('2 ("East", third)', ("east", "third"), False),
    ],
)
def test_which_synchronous_standbys_would_hang_every_commit(names: str, attached: tuple[str, ...], blocks: bool) -> None:
    """Only a setting that nobody who is attached can fulfil is cleared."""
    assert sync_blocks_writes(names, attached) is blocks


@pytest.mark.parametrize(
    "text",
    [
        "could not parse password=hunter2 in conninfo",
        "postgresql://dr:hunter2@10.0.0.1:5432/platform failed",
        "PASSWORD = 'hunter2' is wrong",
        "the value hunter2 itself",
    ],
)
def test_no_error_carries_a_password(text: str) -> None:
    """However a driver writes it, and as the bare value where it is known."""
    assert "hunter2" not in scrubbed(text, ["hunter2"])
    assert "hunter2" not in scrubbed(text.replace("the value hunter2", "the value"), [])


def test_a_region_name_becomes_a_slot_name() -> None:
    """Slot names take only lower-case letters, digits and underscores."""
    regions = {name: RegionServer(address="a", follows=Follows(address="b")) for name in ("eu-west-1", "east")}
    config = CONFIG.model_copy(update={"regions": regions})
    assert config.slot("eu-west-1") == "eu_west_1"
    assert config.slot("east") == "east"


def test_a_fence_that_is_tried_again_answers_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first try reached nobody. The second one stops the server, and says so: what the first one met is not read for its own."""
    monkeypatch.setattr(FenceLost, "_proof", lambda _self, process: "gone" if process.running is Running.NO else None)
    running, answers = Process(Running.YES, "it runs"), iter((Completed(255, "", "no route to host"), Completed(0, "", "")))

    def stop(_mode: str, _limit: timedelta) -> Completed:
        nonlocal running
        answer = next(answers)
        running = Process(Running.NO, "no process") if answer.status == 0 else Process(Running.NO_HOST, "no route to host")
        return answer

    server = SimpleNamespace(process=lambda _limit: running, stop=stop)
    cluster = SimpleNamespace(component="db", servers={"east": server}, config=SimpleNamespace(fence_timeout=timedelta(seconds=1)))
    fence = FenceLost(cast(Any, cluster), "east", "west")
    first: tuple[Evidence, ...] = ()
    context = SimpleNamespace(found=lambda _fact, _component: first[-1])
    first = fence.act(cast(Any, context))
    assert [item.state for item in first if isinstance(item, Fenced)] == [FenceState.UNACKNOWLEDGED]
    assert (fence.verify(cast(Any, context)).look, fence.verify(cast(Any, context)).evidence) == (Look.DONE, ())
    assert fence.act(cast(Any, context)) == ()
    again = fence.verify(cast(Any, context))
    assert [item.state for item in again.evidence if isinstance(item, Fenced)] == [FenceState.FENCED]
