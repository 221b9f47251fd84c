"""Drain: the writers are frozen by now; the target catches up with everything they wrote."""

from __future__ import annotations

from datetime import timedelta

from dr.model.evidence import Evidence
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.postgres.cluster import ClusterStep
from dr.providers.selfhosted.postgres.connect import NotServed, Reach
from dr.providers.selfhosted.postgres.prepare import checkpoint
from dr.providers.selfhosted.postgres.wal import behind

_CHECKPOINT_LIMIT = timedelta(minutes=5)


class Drain(ClusterStep):
    """CHECKPOINT in the source, so that its stop is quick, then wait until the target has replayed the source's position."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: the source is stopped; whether everything arrived is then decided by the fence's final position."""
        try:
            self.cluster.connections.rows(self.source, "SELECT 1")
        except NotServed as error:
            if error.reach is Reach.REFUSED:
                return Seen(Look.DONE, f"{self.source} is stopped already")
            raise
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """CHECKPOINT."""
        return checkpoint(self.cluster, self.source, self.cluster.left(context, _CHECKPOINT_LIMIT))

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: the target has replayed the position that the source had just now."""
        position = self.cluster.connections.rows(self.source, "SELECT pg_current_wal_lsn()::text")[0][0]
        replayed = self.cluster.connections.rows(self.target, "SELECT pg_last_wal_replay_lsn()::text")[0][0]
        missing = behind(position, replayed)
        if missing == 0:
            return Seen(Look.DONE)
        context.say(f"{missing if missing is not None else 'an unknown number of'} bytes behind")
        return Seen(Look.NEEDED, f"{self.target} is at {replayed}, {self.source} at {position}")
