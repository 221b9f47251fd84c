"""Failover of real servers: the region is lost, its host silent, its server frozen, or alive."""

from __future__ import annotations

import signal
from datetime import datetime, timedelta
from typing import cast

import pytest

from dr.engine.guards import exposure_at_promote
from dr.errors import Permanent
from dr.model.evidence import Fenced, Promoted, RecoveryPoint, WriteAccepted
from dr.model.words import FenceState, Intent, Verb
from dr.ports import Clock, Look, Step
from dr.providers.selfhosted.postgres import Postgres, fence
from tests.postgres.rig import Pair, RealClock, poll

pytestmark = pytest.mark.lab
TO_WEST = (Intent.FAILOVER, "east", "west")


def step(kind: Postgres, verb: Verb, intent: Intent = Intent.FAILOVER, source: str = "east", target: str = "west") -> Step:
    return next(item for item in kind.steps(intent, source, target) if item.spec.verb is verb)


def found(pair: Pair, sort: type[Fenced]) -> Fenced:
    return next(item for item in reversed(pair.evidence) if isinstance(item, sort))


def test_a_lost_region_is_failed_over_with_its_fence_known_to_be_open(pair: Pair, kind: Postgres) -> None:
    """The region died and its host is silent: the evidence says so, the other one takes writes, nothing that was replicated is lost."""
    kind.beat("east")
    pair.write("east", 1, 2, 3)
    pair.caught_up("east")
    pair.kill("east")
    pair.perform_all(kind, *TO_WEST)
    fence = found(pair, Fenced)
    assert fence.state is FenceState.UNACKNOWLEDGED
    assert "No route to host" in fence.proof
    promoted = next(item for item in pair.evidence if isinstance(item, Promoted))
    assert promoted.epoch == 2
    point = next(item for item in pair.evidence if isinstance(item, RecoveryPoint))
    assert point.recovery_point is not None
    assert not point.complete
    write = next(item for item in pair.evidence if isinstance(item, WriteAccepted))
    assert (write.region, write.route) == ("west", "inside")
    assert write.first_at >= promoted.promoted_at
    assert pair.ids("west") == [1, 2, 3]
    assert pair.one("west", "SELECT slot_name FROM pg_replication_slots") == "east", "the old primary can follow without a new copy"


class _Off:
    """The real clock of a machine on which it is off."""

    def __init__(self, clock: Clock, off: timedelta) -> None:
        self._clock, self._off = clock, off

    def now(self) -> datetime:
        return self._clock.now() + self._off

    def __getattr__(self, name: str) -> object:
        return getattr(self._clock, name)


@pytest.mark.parametrize("off", [timedelta(minutes=-7), timedelta(minutes=7)])
def test_a_wrong_clock_here_does_not_make_the_loss_smaller(pair: Pair, off: timedelta) -> None:
    """Who samples, writes heartbeats and promotes has a clock that is off by 7 minutes. By the servers' own clock little would be lost: a
    slow one is told with what was read, a fast one stamps nothing that looks newer than it is."""
    clock = pair.clock
    right = clock.now()
    pair.clock = cast(RealClock, _Off(clock, off))
    kind = pair.kind()
    try:
        assert (beat := kind.beat("east")) is not None and beat.acknowledged_at is not None
        pair.caught_up("east")
        pair.kill("east")
        sample = kind.view().lag
        assert sample is not None and sample.recovery_point is not None and sample.clock_behind is not None
        pair.perform_all(kind, *TO_WEST)
    finally:
        kind.close()
        pair.clock = clock
    point = next(item for item in pair.evidence if isinstance(item, RecoveryPoint))
    assert point.recovery_point is not None and point.clock_behind is not None
    for behind, at in ((sample.clock_behind, sample.recovery_point), (point.clock_behind, point.recovery_point)):
        assert at <= clock.now(), "nothing is newer than now by the servers' clock"
        assert behind >= -off if off < timedelta(0) else behind == timedelta(0)
    lost = exposure_at_promote(point.component, None, point, point.read_at)
    assert lost.value is not None and lost.value >= point.read_at - off - point.recovery_point, "measured by the right clock"
    assert point.recovery_point >= right - timedelta(minutes=8), "the heartbeat arrived"


def test_a_clock_that_was_ahead_is_taken_off_what_it_stamped(pair: Pair) -> None:
    """Both servers share this machine's clock: it is told so. Had the lost one's been ahead, the recovery point is as much earlier, of what
    the promotion read as of what a monitor sampled before."""
    kind = pair.kind()
    try:
        pair.write("east", 1, 2, 3)
        pair.caught_up("east")
        # the time that both questions took is in it, and the shortest look counts
        poll(lambda: (seen := kind.view().lag) and seen.clock_ahead is not None and seen.clock_ahead < timedelta(seconds=1), "a quick look")
        seen = kind.view().lag
        assert seen is not None and seen.clock_ahead is not None and seen.clock_ahead < timedelta(seconds=1)
        pair.kill("east")
        right = kind.view().lag
        kind._clocks.saw("east", timedelta(minutes=7))  # what the look would have found; no clock of this machine is turned for it
        wrong = kind.view().lag
        pair.perform_all(kind, *TO_WEST)
    finally:
        kind.close()
    assert right is not None and wrong is not None and right.recovery_point is not None and wrong.recovery_point is not None
    assert right.recovery_point - wrong.recovery_point == timedelta(minutes=7) - seen.clock_ahead
    point = next(item for item in pair.evidence if isinstance(item, RecoveryPoint))
    assert (point.recovery_point, point.clock_ahead) == (wrong.recovery_point, timedelta(minutes=7))


def test_the_fork_position_is_what_the_server_itself_recorded(pair: Pair, kind: Postgres) -> None:
    """The fork position in the evidence is the one in the new timeline's history file."""
    pair.kill("east")
    pair.perform_all(kind, *TO_WEST)
    history = str(pair.one("west", "SELECT pg_read_file('pg_wal/00000002.history')"))
    promoted = next(item for item in pair.evidence if isinstance(item, Promoted))
    assert history.split()[1] == promoted.fork_position


def test_a_living_primary_is_stopped_and_proven_stopped(pair: Pair, kind: Postgres) -> None:
    """Its host answers: the process is gone and the port refuses, and the time when writes ended is known."""
    pair.perform_all(kind, *TO_WEST)
    fence = found(pair, Fenced)
    assert fence.state is FenceState.FENCED
    assert "no server running" in fence.proof
    assert "refuses" in fence.proof
    assert fence.writes_ended_at is not None
    assert not pair.listening("east")


def test_a_frozen_primary_is_killed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that was stopped with SIGSTOP listens to no stop: it is killed, and cannot come back to life after the promotion."""
    # the server is silent, its host is not, and may be slow. The stop has both times together; pg_ctl gives up after one second less, in
    # whole seconds: that leaves 1.9 s in which it has to say so
    monkeypatch.setattr(fence, "_KILLED_WITHIN", timedelta(seconds=3))
    kind = pair.kind(connect_timeout="2s", answer_timeout="2s", fence_timeout="2900ms")
    pair.signal("east", signal.SIGSTOP)
    seen = pair.perform(step(kind, Verb.FENCE), *TO_WEST)
    kind.close()
    assert seen.look is Look.DONE
    poll(lambda: not pair.listening("east"), "the killed server's port to close")
    # it took no write for a while before: the fence is not the end of them, and nobody knows what is
    assert (found(pair, Fenced).state, found(pair, Fenced).writes_ended_at) == (FenceState.FENCED, None)


def test_a_host_that_hangs_costs_the_fence_a_bounded_time(pair: Pair, kind: Postgres) -> None:
    """A host that takes the connection and never answers: unacknowledged, and the commands on this side are gone."""
    hanging = pair.folder("east") / "exec"
    hanging.write_text("#!/bin/sh\nexec sleep 600\n")
    quick = pair.kind(fence_timeout=timedelta(milliseconds=200))
    seen = pair.perform(step(quick, Verb.FENCE), *TO_WEST)
    assert seen.look is Look.DONE
    fence = found(pair, Fenced)
    assert fence.state is FenceState.UNACKNOWLEDGED
    assert "no answer within" in fence.proof


def test_a_stopped_server_that_refuses_connections_is_fenced_already(pair: Pair, kind: Postgres) -> None:
    """Nothing is done where the old primary is stopped; when it stopped nobody saw, so no time is claimed."""
    pair.stop("east", "immediate")
    fence = step(kind, Verb.FENCE)
    seen = fence.operation.observe(pair.context(fence, *TO_WEST))
    assert seen.look is Look.DONE
    (evidence,) = seen.evidence
    assert isinstance(evidence, Fenced)
    assert (evidence.state, evidence.writes_ended_at) == (FenceState.FENCED, None)


def test_a_data_directory_of_somebody_else_is_no_proof(pair: Pair, kind: Postgres) -> None:
    """pg_ctl says that nothing runs in the directory of the runbook, but the port answers: that is no fence."""
    regions = kind.config.model_dump()["regions"]
    regions["east"]["data_directory"] = str(pair.folder("east"))
    wrong = pair.kind(regions=regions)
    pair.perform(step(wrong, Verb.FENCE), *TO_WEST)
    assert found(pair, Fenced).state is FenceState.UNACKNOWLEDGED
    assert pair.listening("east")
    wrong.close()


def test_promote_twice_is_once(pair: Pair, kind: Postgres) -> None:
    """A second promotion finds the primary and touches nothing: the timeline stays."""
    pair.kill("east")
    pair.perform_all(kind, *TO_WEST)
    promote = step(kind, Verb.PROMOTE)
    seen = promote.operation.observe(pair.context(promote, *TO_WEST))
    assert seen.look is Look.DONE
    assert next(item for item in seen.evidence if isinstance(item, Promoted)).epoch == 2
    promote.operation.act(pair.context(promote, *TO_WEST))
    assert kind.view().regions["west"].epoch == 2


def test_two_primaries_block_unless_the_split_was_accepted(pair: Pair, kind: Postgres) -> None:
    """Both sides take writes: the promotion says so instead of calling it done; an accepted split is what somebody wanted."""
    with pair.admin("west") as connection:
        connection.execute("SELECT pg_promote()")
    promote = step(kind, Verb.PROMOTE)
    seen = promote.operation.observe(pair.context(promote, *TO_WEST))
    assert seen.look is Look.BLOCKED
    assert "both" in seen.reason
    assert pair.perform(promote, *TO_WEST, split=True).look is Look.DONE


def test_a_promotion_does_not_wait_for_a_standby_that_died(pair: Pair, kind: Postgres) -> None:
    """synchronous_standby_names naming the dead side is cleared, so that the first write does not hang for ever."""
    with pair.admin("west", "postgres") as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'east'")
        connection.execute("SELECT pg_reload_conf()")
    pair.kill("east")
    pair.perform_all(kind, *TO_WEST)
    poll(lambda: pair.one("west", "SHOW synchronous_standby_names") == "", "the setting to be cleared")
    assert any("synchronous_standby_names" in getattr(item, "text", "") for item in pair.evidence)
    pair.write("west", 7)


def test_prepare_refuses_a_server_that_patroni_promotes(pair: Pair, kind: Postgres) -> None:
    """A second decider was seen in the target: refused with its own switch as the hint, nothing touched."""
    with pair.admin("west") as connection:
        connection.execute("SET application_name = 'Patroni heartbeat'")
        prepare = step(kind, Verb.PREPARE)
        with pytest.raises(Permanent, match="Patroni") as error:
            prepare.operation.act(pair.context(prepare, *TO_WEST))
        assert "patronictl" in error.value.hint
        assert any("Patroni" in finding.fact for finding in kind.view().findings)


def test_prepare_touches_nothing_of_the_source(pair: Pair, kind: Postgres) -> None:
    """I11: with the source gone in every respect, prepare is done all the same."""
    pair.kill("east")
    assert pair.perform(step(kind, Verb.PREPARE), *TO_WEST).look is Look.DONE


def test_a_wrong_password_is_named_and_never_shown(pair: Pair) -> None:
    """Login denied: permanent, with the user in the hint and the password nowhere."""
    from tests.postgres.rig import FixedSecrets

    site = pair.site()
    object.__setattr__(site, "secrets", FixedSecrets({"PASSWORD": "wrong-secret-value"}))
    kind = Postgres("metadata-db", pair.kind().config, (), site)
    prepare = step(kind, Verb.PREPARE)
    with pytest.raises(Permanent) as error:
        prepare.operation.observe(pair.context(prepare, *TO_WEST))
    told = f"{error.value!r} {error.value} {error.value.hint} {error.value.__context__!r} {error.value.__cause__!r}"
    assert "authentication failed" in told
    assert "wrong-secret-value" not in told
    assert error.value.__context__ is None
    view = kind.view()
    assert "wrong-secret-value" not in view.model_dump_json()
