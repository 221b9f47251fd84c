"""Fence: after it the old primary cannot write any more, or we know that we do not know.

Evidence of a fence is the server's process gone on its own host *and* its port refusing. A refused connection or a time-out alone is
none: the server may be somewhere else, or there again in a second. SQL is none either: any role can undo it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dr.errors import EffectUnknown, Permanent, Transient
from dr.model.evidence import Evidence, Fenced
from dr.model.words import FenceState
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.postgres.cluster import NEWEST_COPY, Cluster, ClusterStep
from dr.providers.selfhosted.postgres.connect import Reach
from dr.providers.selfhosted.postgres.facts import Reading, try_read
from dr.providers.selfhosted.postgres.server import Process, Running, said

_PORT_LIMIT = timedelta(seconds=1)
_HOST_LIMIT = timedelta(seconds=10)
_STOP_LIMIT = timedelta(minutes=2)
_KILLED_WITHIN = timedelta(seconds=1)
_POLL_SECONDS = 0.01


class _Fence(ClusterStep):
    def _proof(self, process: Process) -> str | None:
        """How we know that the source cannot write; None while we do not."""
        if process.running not in (Running.NO, Running.YES):
            return None
        reach, server = self.cluster.connections.tcp(self.source, _PORT_LIMIT), self.cluster.servers[self.source]
        if process.running is Running.YES:
            if reach is Reach.REFUSED and process.pid is not None and server.dead(process.pid, _PORT_LIMIT):
                return f"process {process.pid} is dead; {self.cluster.at(self.source)} refuses connections"
            return None
        if reach is Reach.REFUSED:
            return f"{process.said}; {self.cluster.at(self.source)} refuses connections"
        if reach is Reach.SILENT and server.silent_on_host(_HOST_LIMIT):
            return f"{process.said}; {self.cluster.at(self.source)} answers neither here nor on its own host"
        return None

    def _evidence(self, state: FenceState, proof: str, ended: datetime | None = None, final: str = "") -> Fenced:
        return Fenced(
            component=self.cluster.component, region=self.source, state=state, proof=proof, final_position=final, writes_ended_at=ended
        )

    def _secondary(self) -> bool:
        seen = try_read(self.cluster.connections, self.cluster.component, self.source)
        return isinstance(seen, Reading) and seen.recovering


class FenceLost(_Fence):
    """Failover: stop the source if its host can be reached, within two or three seconds. Always ends with evidence.

    Where the host does not answer, the evidence says so (``unacknowledged``) and the promotion's guard decides about the split.
    """

    def __init__(self, cluster: Cluster, source: str, target: str) -> None:
        super().__init__(cluster, source, target)
        self._served = False
        self._tried: Fenced | None = None

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it is stopped, or no primary."""
        process = self.cluster.servers[self.source].process(self.cluster.config.fence_timeout)
        proof = self._proof(process)
        if proof is not None:
            # when it ended nobody here saw: what was lost is a bound then, never a figure that an early guess would make too small
            return Seen(Look.DONE, proof, (self._evidence(FenceState.FENCED, proof),))
        if process.running is Running.YES:
            seen = try_read(self.cluster.connections, self.cluster.component, self.source)
            if isinstance(seen, Reading) and seen.recovering:
                proof = f"{self.source} is a secondary"
                return Seen(Look.DONE, proof, (self._evidence(FenceState.NOT_NEEDED, proof),))
            self._served = isinstance(seen, Reading)
        return Seen(Look.NEEDED, process.said)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Immediate stop, then SIGKILL for what does not listen (a process that was stopped)."""
        limit, server = self.cluster.config.fence_timeout, self.cluster.servers[self.source]
        self._tried = None
        try:
            done = server.stop("immediate", limit + _KILLED_WITHIN)
            if done.status == 0:
                return ()
            process = server.process(limit)
            if process.running is Running.YES and process.pid is not None:
                context.say("it does not stop, killing it")
                server.kill(process.pid, limit)
                process = self._gone(limit)
        except EffectUnknown as error:
            self._tried = self._unacknowledged(error.message)
            return (self._tried,)
        if self._proof(process) is not None:
            return ()
        answered = said(done)
        self._tried = self._unacknowledged(process.said if answered in process.said else f"stop: {answered}; {process.said}")
        return (self._tried,)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE in every case: fenced, or known not to be."""
        if self._tried is not None:  # in this attempt: what an earlier one met says nothing of this one
            return Seen(Look.DONE, self._tried.proof)
        process = self.cluster.servers[self.source].process(self.cluster.config.fence_timeout)
        proof = self._proof(process)
        if proof is not None:
            # one that hung before it was stopped took its last write nobody knows when: the fence ends writes only where there were some
            ended = self.cluster.clock.now() if self._served else None
            return Seen(Look.DONE, proof, (self._evidence(FenceState.FENCED, proof, ended),))
        tried = self._unacknowledged(f"stopped, but not proven: {process.said}")
        return Seen(Look.DONE, tried.proof, (tried,))

    def _unacknowledged(self, why: str) -> Fenced:
        return self._evidence(FenceState.UNACKNOWLEDGED, why)

    def _gone(self, limit: timedelta) -> Process:
        clock = self.cluster.clock
        until = clock.monotonic() + _KILLED_WITHIN.total_seconds()
        process = self.cluster.servers[self.source].process(limit)
        while process.running is Running.YES and self._proof(process) is None and clock.monotonic() < until:
            clock.sleep(_POLL_SECONDS)
            process = self.cluster.servers[self.source].process(limit)
        return process


class FencePlanned(_Fence):
    """Switchover and failback: an orderly stop, which sends the target everything. Its final position proves that nothing was lost."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: stopped in order. BLOCKED: it stopped in another way, so that nobody knows what it wrote last."""
        process = self._process(context)
        if process.running is Running.NO:
            return self._stopped(process)
        if self._secondary():
            return Seen(Look.BLOCKED, f"{self.source} is a secondary: there is nothing to hand over")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """``pg_ctl stop -m fast``: the server ends when the target has received everything."""
        limit = self.cluster.left(context, _STOP_LIMIT)
        # pg_ctl looks only every 100 ms whether it is gone, and writers wait for that: the port tells at once
        done = self.cluster.servers[self.source].stop("fast", limit, wait=False)
        if done.status != 0:
            raise EffectUnknown(f"stop of {self.cluster.component} in {self.source}: {said(done)}")
        clock = context.clock
        until = clock.monotonic() + limit.total_seconds()
        while self.cluster.connections.tcp(self.source, _PORT_LIMIT) is not Reach.REFUSED and clock.monotonic() < until:
            clock.sleep(_POLL_SECONDS)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: the process is gone, the port refuses, and the final position is known. Raises Transient where nobody can look any more."""
        process = self._process(context)
        return self._stopped(process) if process.running is Running.NO else Seen(Look.NEEDED, process.said)

    def undo(self, context: AttemptContext) -> None:
        """Starts it again as the primary, unless the target could be one by now."""
        target = try_read(self.cluster.connections, self.cluster.component, self.target)
        if not isinstance(target, Reading):
            raise Transient(f"{self.target} cannot be asked whether it takes writes, so {self.source} stays stopped: {target.reason}")
        if not target.recovering:
            raise Permanent(f"{NEWEST_COPY}: {self.target} takes writes; starting {self.source} would make two primaries")
        server = self.cluster.servers[self.source]
        if server.process(_HOST_LIMIT).running is Running.YES:
            return
        if server.exists(f"{server.data()}/standby.signal"):
            raise Permanent(f"{self.source} was made a secondary already: it would not take writes", hint="dr status")
        server.start(_STOP_LIMIT)

    def _stopped(self, process: Process) -> Seen:
        proof = self._proof(process)
        if proof is None:
            return Seen(Look.BLOCKED, f"{process.said}, but {self.cluster.at(self.source)} still answers: is data_directory right?")
        control = self.cluster.servers[self.source].control()
        if not control.clean:
            text = f"{self.source} was not stopped in order ({control.state}): its last position is unknown, use failover"
            return Seen(Look.BLOCKED, text, (self._evidence(FenceState.FENCED, proof),))
        evidence = self._evidence(FenceState.FENCED, proof, self.cluster.clock.now(), control.checkpoint)
        return Seen(Look.DONE, proof, (evidence,))

    def _process(self, context: AttemptContext) -> Process:
        """It runs or it does not. A source that died amid the hand-over is not waited for: a person gives it up, or repairs it."""
        process = self.cluster.servers[self.source].process(_HOST_LIMIT)
        if process.running not in (Running.NO, Running.YES):
            raise Transient(f"{self.cluster.component} in {self.source}: {process.said}", hint=self._way_out(context))
        return process

    def _way_out(self, context: AttemptContext) -> str:
        return f"repair regions.{self.source}.host, or give the region up: dr failover --to {self.target}"


class FenceReturned(_Fence):
    """Re-protect: the old primary must not write any more before it is made to follow. Tried again until it is acknowledged.

    Judged by timelines, not by the runbook: where the source is as new as the target, it is left alone.
    """

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: stopped, or a secondary. Raises Permanent where stopping it would stop the newest copy."""
        target = try_read(self.cluster.connections, self.cluster.component, self.target)
        if not isinstance(target, Reading):
            raise Transient(target.reason)
        if target.recovering:
            raise Permanent(f"{NEWEST_COPY}: {self.target} is no primary, nothing may follow it", hint="dr status")
        process = self.cluster.servers[self.source].process(_HOST_LIMIT)
        proof = self._proof(process)
        if proof is not None:
            return Seen(Look.DONE, proof, (self._evidence(FenceState.FENCED, proof),))
        if process.running is not Running.YES:
            raise Transient(f"{self.cluster.component} in {self.source} cannot be fenced yet: {process.said}")
        return self._running(target)

    def _running(self, target: Reading) -> Seen:
        source = try_read(self.cluster.connections, self.cluster.component, self.source)
        if not isinstance(source, Reading):
            raise Transient(source.reason)
        if source.recovering:
            proof = f"{self.source} is a secondary"
            return Seen(Look.DONE, proof, (self._evidence(FenceState.NOT_NEEDED, proof),))
        if source.timeline >= target.timeline:
            raise Permanent(
                f"{NEWEST_COPY}: {self.source} takes writes on timeline {source.timeline}, {self.target} on {target.timeline}",
                hint=f"decide which copy is kept; to keep {self.source}: dr reprotect the other way round",
            )
        return Seen(Look.NEEDED, f"{self.source} takes writes on the old timeline {source.timeline}")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Fast stop; immediate where that does not help."""
        server, limit = self.cluster.servers[self.source], self.cluster.left(context, timedelta(seconds=30))
        if server.stop("fast", limit).status != 0:
            done = server.stop("immediate", limit)
            if done.status != 0:
                raise EffectUnknown(f"stop of {self.cluster.component} in {self.source}: {said(done)}")
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: the process is gone and the port refuses."""
        process = self.cluster.servers[self.source].process(_HOST_LIMIT)
        proof = self._proof(process)
        if proof is None:
            return Seen(Look.NEEDED, process.said)
        return Seen(Look.DONE, proof, (self._evidence(FenceState.FENCED, proof, self.cluster.clock.now()),))
