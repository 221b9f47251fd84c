"""Prepare: everything that can be found out and warmed up before anything is given up.

In a failover nothing of the source is touched (I11). In a planned move the source is asked whether its fence will work.
"""

from __future__ import annotations

from datetime import timedelta

from dr.errors import EffectUnknown, Permanent, Transient
from dr.model.evidence import Evidence, Note
from dr.model.words import Guard
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.postgres.cluster import Cluster, ClusterStep
from dr.providers.selfhosted.postgres.facts import UNDEFINED_TABLE, posture, read
from dr.providers.selfhosted.postgres.findings import manager
from dr.providers.selfhosted.postgres.lag import BEAT, INVALID_SCHEMA
from dr.providers.selfhosted.postgres.server import Running

READ_ONLY = "25006"
INSUFFICIENT_PRIVILEGE = "42501"
_CHECKPOINT_LIMIT = timedelta(minutes=5)
_HOST_LIMIT = timedelta(seconds=10)


class Prepare(ClusterStep):
    """The target can be promoted: reachable, in recovery, nobody else's to promote, connections and first write warmed up."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it takes writes already."""
        seen = read(self.cluster.connections, self.cluster.component, self.target)
        return Seen(Look.NEEDED) if seen.recovering else Seen(Look.DONE, f"{self.target} takes writes already")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Checks, and sends the one write that warms the server up: it must be refused."""
        connections = self.cluster.connections
        connections.warm(self.target)
        there = posture(connections, self.target)
        managed = manager(there)
        if managed is not None:
            what = f"{self.cluster.component} in {self.target} is managed by {managed[0]}, which promotes by itself"
            raise Permanent(what, hint=managed[1])
        if not there.rights.promote:
            raise Permanent(
                f"{self.cluster.config.user} may not promote {self.cluster.component} in {self.target}",
                hint=f"in database {self.cluster.config.database}: GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer)"
                f" TO {self.cluster.config.user}",
            )
        values = {"component": self.cluster.component, "region": self.target, "at": self.cluster.clock.now()}
        refused = connections.ask(self.target, BEAT, values, effect=True).refused
        if refused in (UNDEFINED_TABLE, INVALID_SCHEMA):
            return (Note(text=f"{self.cluster.component}: no heartbeats were ever written, so the recovery point is the newest commit's"),)
        if refused != READ_ONLY:
            how = f"was refused with {refused}" if refused else "was accepted"
            raise Permanent(f"{self.cluster.component} in {self.target}: a write before the promotion {how}")
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """What was checked was checked."""
        return Seen(Look.DONE)


class PreparePlanned(Prepare):
    """Both sides are healthy: beside the target, the source's host will stop it, its CHECKPOINT is done, and the way back is open."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """As for a failover, and the source."""
        found = super().act(context)
        source = read(self.cluster.connections, self.cluster.component, self.source)
        if source.recovering:
            raise Permanent(f"{self.cluster.component} in {self.source} is no primary: there is nothing to hand over", hint="dr status")
        target = read(self.cluster.connections, self.cluster.component, self.target)
        if target.receiver != "streaming":
            raise Transient(f"{self.cluster.component} in {self.target} does not stream from {self.source}")
        process = self.cluster.servers[self.source].process(_HOST_LIMIT)
        if process.running is not Running.YES:
            raise Permanent(
                f"the fence of {self.cluster.component} in {self.source} would not work: {process.said}",
                hint=f"check regions.{self.source}.host of the runbook, and data_directory",
            )
        return found + self._way_back(context) + checkpoint(self.cluster, self.source, _CHECKPOINT_LIMIT)

    def _way_back(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Whether the source's host reaches the target's server, which it must follow afterwards (I14)."""
        follows = self.cluster.config.regions[self.source].follows
        server = self.cluster.servers[self.source]
        argv = [server.settings.tool("pg_isready"), "-q", "-t", "2", "-h", follows.address, "-p", str(follows.port)]
        try:
            status = server.run(argv, _HOST_LIMIT).status
        except EffectUnknown:
            status = None
        if status == 0:
            return ()
        text = f"{self.source} does not reach {self.target} at {follows.address}:{follows.port}: it could not follow afterwards"
        if context.accepted(Guard.REVERSE_REPLICATION):
            return (Note(text=text),)
        raise Transient(text, hint="repair the way, or --accept reverse-replication --reason TEXT")


def checkpoint(cluster: Cluster, region: str, limit: timedelta) -> tuple[Evidence, ...]:
    """CHECKPOINT, so that a later one (at the stop, or for pg_rewind) is short. A missing right is a note: it is only slower.

    Raises:
        NotServed, EffectUnknown: as ``Connections.rows``.
    """
    answer = cluster.connections.ask(region, "CHECKPOINT", limit=limit)
    if answer.refused == INSUFFICIENT_PRIVILEGE:
        return (Note(text=f"{cluster.config.user} may not run CHECKPOINT in {region}: the stop may be slow"),)
    if answer.refused:
        raise Transient(f"CHECKPOINT in {region}: {answer.message}")
    return ()
