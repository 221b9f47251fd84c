"""Verify inside: the target accepted a write, and gave it back through a new connection."""

from __future__ import annotations

from datetime import datetime

from dr.errors import Transient
from dr.model.evidence import Evidence, Promoted, WriteAccepted
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.postgres.cluster import ClusterStep
from dr.providers.selfhosted.postgres.facts import Heartbeat, heartbeat, read
from dr.providers.selfhosted.postgres.lag import write_beat


class VerifyInside(ClusterStep):
    """The component's heartbeat row says that the target wrote it after its promotion."""

    _wrote: tuple[int, datetime] | None = None
    """The number of the row that this step wrote, and when, by this machine's clock."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: such a row is there. BLOCKED: the target takes no writes."""
        reading = read(self.cluster.connections, self.cluster.component, self.target)
        if reading.recovering:
            return Seen(Look.BLOCKED, f"{self.target} is in recovery: it takes no writes")
        return self._seen(context, reading.heartbeat)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One heartbeat, committed."""
        at = self.cluster.clock.now()
        self._wrote = write_beat(self.cluster.connections, self.cluster.component, self.target, at), at
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: the row is read back, through a new connection."""
        self.cluster.connections.rows(self.target, "SELECT 1", fresh=True)
        row = heartbeat(self.cluster.connections, self.cluster.component, self.target)
        if self._wrote is None:
            seen = self._seen(context, row)
        else:  # its number says that it is that row: what is stored in it may be the moment by the server's clock
            number, at = self._wrote
            there = row is not None and row.region == self.target and row.number >= number
            seen = self._accepted(at) if there else Seen(Look.NEEDED)
        if seen.look is not Look.DONE:
            raise Transient(f"the write in {self.target} was acknowledged and is not there")
        return seen

    def _seen(self, context: AttemptContext, row: Heartbeat | None) -> Seen:
        promoted = context.found(Promoted, self.cluster.component)
        if row is None or row.region != self.target or (promoted is not None and row.beat_at < promoted.promoted_at):
            return Seen(Look.NEEDED)
        return self._accepted(row.beat_at)

    def _accepted(self, at: datetime) -> Seen:
        accepted = WriteAccepted(
            component=self.cluster.component, region=self.target, route="inside", names=(self.cluster.config.database,),
            first_at=at, last_at=at,
        )  # fmt: skip
        return Seen(Look.DONE, evidence=(accepted,))
