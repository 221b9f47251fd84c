"""Compares a stopped old primary with the running new one: may it be overwritten, and what would be lost?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from dr.errors import Permanent, Transient
from dr.providers.selfhosted.postgres import wal
from dr.providers.selfhosted.postgres.cluster import NEWEST_COPY, Cluster
from dr.providers.selfhosted.postgres.facts import read

_HISTORY = "SELECT convert_from(pg_read_binary_file(%(path)s), 'UTF8')"
_WALDUMP_LIMIT = timedelta(minutes=10)


@dataclass(frozen=True)
class Compared:
    """Where the two copies stand, and what only the source has. ``beyond`` is None where it has nothing."""

    lineage: wal.Lineage
    timeline: int
    beyond: wal.Beyond | None

    @property
    def diverged(self) -> bool:
        """It may hold committed transactions that the target never got."""
        return self.beyond is not None and not self.beyond.nothing

    @property
    def missing(self) -> str:
        """What only the source has, in words."""
        if self.beyond is None or self.lineage.fork is None:
            return "no log of its own"
        count = "an unknown number of" if self.beyond.commits is None else str(self.beyond.commits)
        size = "an unknown number of" if self.beyond.end is None else str(self.beyond.end - self.lineage.fork)
        return f"{count} committed transactions in {size} bytes of log after {wal.show_lsn(self.lineage.fork)}"


def compare(cluster: Cluster, source: str, target: str) -> Compared:
    """Reads both sides and judges. The source has to be stopped.

    Raises:
        Permanent: the target is no primary (guard newest-copy). Transient, EffectUnknown: one side could not be read.
    """
    there = read(cluster.connections, cluster.component, target)
    if there.recovering:
        raise Permanent(f"{NEWEST_COPY}: {target} is no primary, nothing may follow it", hint="dr status")
    server = cluster.servers[source]
    control = server.control()
    newest = max(control.timeline, server.newest_history() or 0)
    history = wal.parse_history(_history(cluster, target, there.timeline)) if there.timeline > 1 else {}
    fork = history.get(control.timeline)
    beyond = None
    if control.clean:
        # the shutdown checkpoint is the last record: where it begins before the fork, it was replayed there
        end: int | None = wal.parse_lsn(control.checkpoint) + 1
    elif fork is not None:
        beyond = server.beyond(control.timeline, fork, _WALDUMP_LIMIT)
        end = beyond.end
    else:
        end = None
    lineage = wal.judge(there.system, there.timeline, history, control, newest, end)
    if lineage.course is not wal.Course.REWIND or lineage.fork is None:
        return Compared(lineage, control.timeline, None)
    return Compared(lineage, control.timeline, beyond or server.beyond(control.timeline, lineage.fork, _WALDUMP_LIMIT))


def _history(cluster: Cluster, region: str, timeline: int) -> str:
    path = f"pg_wal/{timeline:08X}.history"
    answer = cluster.connections.ask(region, _HISTORY, {"path": path})
    if not answer.refused:
        text: str = answer.rows[0][0]
        return text
    try:
        return cluster.servers[region].history(timeline)
    except Permanent as error:
        raise Transient(f"{path} in {region} could not be read: {answer.message}; {error.message}") from error
