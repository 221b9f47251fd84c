"""Promote: the one irreversible step. Conditional on what it reads, because PostgreSQL knows no fencing token."""

from __future__ import annotations

from datetime import datetime, timedelta

from dr.errors import EffectUnknown, StepError, Transient
from dr.model.base import clock_behind
from dr.model.evidence import Evidence, Fenced, Note, Promoted, RecoveryPoint
from dr.model.words import FenceState, Guard
from dr.ports import AttemptContext, Look, Seen
from dr.providers.clock_ahead import why_wrong, wrong
from dr.providers.selfhosted.postgres.cluster import Cluster, ClusterStep
from dr.providers.selfhosted.postgres.facts import Reading, read, try_read
from dr.providers.selfhosted.postgres.findings import sync_blocks_writes
from dr.providers.selfhosted.postgres.slots import ensure_slot
from dr.providers.selfhosted.postgres.wal import behind

NOT_IN_RECOVERY = "55000"
_ASK_AGAIN_SECONDS = 0.05
"""Half of the promotions that fell between the death of the WAL receiver and its next try stalled for wal_retrieve_retry_interval
(5 s by default); asking again in this interval cured all of them."""
_POLL_SECONDS = 0.004
_CATCH_UP = timedelta(seconds=10)
_HOST_LIMIT = timedelta(seconds=5)

_ASK = "SELECT pg_promote(false) WHERE pg_is_in_recovery()"
_SYNC = "SELECT current_setting('synchronous_standby_names'), ARRAY(SELECT application_name FROM pg_stat_replication)::text[]"


class Promote(ClusterStep):
    """The target takes writes.

    Args:
        planned: only when it has everything that the fenced source ever wrote.
    """

    def __init__(self, cluster: Cluster, source: str, target: str, *, planned: bool) -> None:
        super().__init__(cluster, source, target)
        self._planned = planned

    def observe(self, context: AttemptContext) -> Seen:
        """Reads the recovery point. DONE: it is the primary. BLOCKED: so is the source, or something that the source wrote is missing."""
        asked = context.clock.now()
        reading = read(self.cluster.connections, self.cluster.component, self.target)
        if not reading.recovering:
            return self._already(context, reading, asked)
        if not self._planned:
            return Seen(Look.NEEDED, evidence=(self._recovery_point(context, reading, asked),))
        fenced = context.found(Fenced, self.cluster.component)
        if fenced is None or fenced.state is not FenceState.FENCED or not fenced.final_position:
            why = f"the final position of {self.source} is not known, so nobody can say that nothing is lost"
            return Seen(Look.BLOCKED, f"{why} (try: dr failover --to {self.target})")
        reading = self._caught_up(context, reading, fenced.final_position)
        if behind(fenced.final_position, reading.replayed) != 0:
            text = f"{self.target} is at {reading.replayed}, {self.source} wrote until {fenced.final_position}"
            return Seen(Look.BLOCKED, text, (self._recovery_point(context, reading),))
        return Seen(Look.NEEDED, evidence=(self._recovery_point(context, reading, complete=True),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Asks for the promotion, again and again, until it has happened. Makes the slot through which the source will follow."""
        connections, clock = self.cluster.connections, context.clock
        notes = self._clear_sync() + ensure_slot(connections, self.target, self.cluster.config.slot(self.source))
        asked_at: float | None = None
        while connections.rows(self.target, "SELECT pg_is_in_recovery()")[0][0]:
            now = clock.monotonic()
            if now >= context.deadline:
                raise EffectUnknown(f"{self.cluster.component} in {self.target} was asked to promote and is in recovery still")
            if asked_at is None or now - asked_at >= _ASK_AGAIN_SECONDS:
                if not context.may_act():
                    raise Transient("the lease is not ours any more") if asked_at is None else EffectUnknown("the lease was lost meanwhile")
                answer = connections.ask(self.target, _ASK, effect=True)
                if answer.refused not in ("", NOT_IN_RECOVERY):
                    raise Transient(f"{self.cluster.component} in {self.target} refused to promote: {answer.message}")
                asked_at = now
            clock.sleep(_POLL_SECONDS)
        return (self._promoted(read(connections, self.cluster.component, self.target)), *notes)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: not in recovery. Its recovery point is read once more: now everything that had arrived is replayed."""
        asked = context.clock.now()
        reading = read(self.cluster.connections, self.cluster.component, self.target)
        if reading.recovering:
            return Seen(Look.NEEDED, "in recovery still")
        before = context.found(RecoveryPoint, self.cluster.component)
        return Seen(Look.DONE, evidence=(self._recovery_point(context, reading, asked, complete=before is not None and before.complete),))

    def _already(self, context: AttemptContext, reading: Reading, asked: datetime) -> Seen:
        # by the engine's account an accepted split may leave the source writable; without one, two primaries are nobody's plan
        other = None if context.accepted(Guard.FENCE) else try_read(self.cluster.connections, self.cluster.component, self.source)
        if isinstance(other, Reading) and not other.recovering:
            return Seen(Look.BLOCKED, f"both {self.target} and {self.source} take writes: fence {self.source}, then dr reprotect")
        fenced = context.found(Fenced, self.cluster.component)
        # who promoted may have died before it could say that nothing was missing; the position where the history forked says it, too
        final = fenced.final_position if self._planned and fenced is not None and fenced.state is FenceState.FENCED else ""
        point = self._recovery_point(context, reading, asked, complete=behind(final, reading.replayed) == 0)
        return Seen(Look.DONE, f"{self.target} takes writes already", (point, self._promoted(reading)))

    def _caught_up(self, context: AttemptContext, reading: Reading, position: str) -> Reading:
        clock = context.clock
        until = min(context.deadline, clock.monotonic() + _CATCH_UP.total_seconds())
        while behind(position, reading.replayed) != 0 and clock.monotonic() < until and not context.cancelled():
            context.say(f"waiting for {position}")
            clock.sleep(_POLL_SECONDS)
            reading = read(self.cluster.connections, self.cluster.component, self.target)
        return reading

    def _recovery_point(
        self, context: AttemptContext, reading: Reading, asked: datetime | None = None, *, complete: bool = False
    ) -> RecoveryPoint:
        # after the promotion the target writes heartbeats of its own: those tell nothing about what arrived
        own = reading.heartbeat is not None and reading.heartbeat.region == self.target
        clocks, before = self.cluster.clocks, context.found(RecoveryPoint, self.cluster.component)
        if reading.recovering and reading.stamped_ahead is not None and not complete:
            clocks.stamped(self.source, reading.stamped_ahead)
        clock = clocks.of(self.source, before, leads=not reading.recovering)
        if complete and wrong(clock):
            clock = {"clock_ahead": None, "clock_of": ""}  # nothing is missing, whatever the clock shows
        reading = reading.by_own_clock(clock)
        point = reading.last_commit if own and not reading.recovering else reading.recovery_point
        if point is None and before is not None and not reading.recovering:
            point = before.recovery_point  # by its last heartbeat from the source, which is overwritten now
        return RecoveryPoint(
            component=self.cluster.component, region=self.target, read_at=self.cluster.clock.now(), recovery_point=point,
            position=reading.replayed or "", complete=complete, clock_behind=None if asked is None else clock_behind(reading.clock, asked),
            clock_ahead=clock["clock_ahead"], reason=why_wrong(clock),
        )  # fmt: skip

    def _promoted(self, reading: Reading) -> Promoted:
        return Promoted(
            component=self.cluster.component, region=self.target, epoch=reading.timeline, promoted_at=self.cluster.clock.now(),
            fork_position=reading.replayed or "",
        )  # fmt: skip

    def _clear_sync(self) -> tuple[Evidence, ...]:
        """A primary whose synchronous standby is gone hangs on every write, and no statement_timeout ends that."""
        names, attached = self.cluster.connections.rows(self.target, _SYNC)[0]
        if not sync_blocks_writes(names, tuple(attached)):
            return ()
        connections = self.cluster.connections
        answer = connections.ask(self.target, "ALTER SYSTEM SET synchronous_standby_names = ''", effect=True)
        if not answer.refused:
            answer = connections.ask(self.target, "SELECT pg_reload_conf()", effect=True)
        if answer.refused:
            self._clear_on_host(answer.message)
        return (Note(text=f"synchronous_standby_names in {self.target} was {names!r} and is cleared; set it again after re-protect"),)

    def _clear_on_host(self, refused: str) -> None:
        """Our role may not: the same through the target's host."""
        server = self.cluster.servers[self.target]
        try:
            server.append_setting("synchronous_standby_names", "", _HOST_LIMIT)
            server.must([server.settings.tool("pg_ctl"), "reload", "-D", server.data()], _HOST_LIMIT)
        except StepError as error:
            raise Transient(
                f"synchronous_standby_names in {self.target} names nobody who is there and cannot be cleared: {refused}; {error.message}",
                hint=f"GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO {self.cluster.config.user}"
                f"; in database {self.cluster.config.database}: GRANT EXECUTE ON FUNCTION pg_reload_conf() TO {self.cluster.config.user}",
            ) from error
