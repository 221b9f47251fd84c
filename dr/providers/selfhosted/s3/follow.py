"""Follow: both sides are made equal, nothing newer is overwritten, and the new primary's heartbeats arrive on the old side.

A replication that was killed while it lagged never delivers what it had not sent: 150 of 200 acknowledged objects stayed on the source's
disk. So it is not believed: everything is compared, what is missing is put again, and compared once more.
"""

from __future__ import annotations

from datetime import datetime

from dr.model.evidence import Evidence, Following
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.s3.accounts import accounts
from dr.providers.selfhosted.s3.buckets import Buckets, BucketStep
from dr.providers.selfhosted.s3.drain import carry_out
from dr.providers.selfhosted.s3.objects import Difference, Repair, repair


class Follow(BucketStep):
    """The source is the old primary, the target leads: direction is judged by epoch, never by the runbook's words (I17)."""

    def __init__(self, buckets: Buckets, source: str, target: str) -> None:
        super().__init__(buckets, source, target)
        self._sent: datetime | None = None
        self._compared: tuple[Difference, Repair] = Difference(0), Repair()
        self._left: frozenset[str] = frozenset()

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED: the source leads. Else NEEDED: only comparing shows that both are equal."""
        return self.old_primary_leads() or Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Marks the source, compares, brings over, sends a heartbeat."""
        marker = self.leads(self.target)
        context.still_ours()
        self.buckets.mark(self.source, marker, context.run_id)
        found = self.buckets.difference(context, self.source, self.target)
        plan = repair(found, marker.at)
        carry_out(self.buckets, context, plan, self.source, self.target)
        self._compared, self._left = (found, plan), plan.keys
        self._sent = self.buckets.clock.now()
        self.buckets.beat(self.target, self._sent)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: what differed is equal now, brought over here or by the replication, and the target's heartbeat came to the source."""
        if self._sent is None:
            return Seen(Look.NEEDED, "nothing was compared in this process")
        self._left = frozenset(self.buckets.unequal(self._left, self.source, self.target))
        if self._left:
            return Seen(Look.NEEDED, f"{len(self._left)} objects differ still, {min(self._left)} among them")
        if not self.buckets.arrived(context, self._sent, self.target, self.source):
            return Seen(Look.NEEDED, f"no heartbeat of {self.target} has arrived in {self.source}: does the replication run?")
        upstream = self.buckets.stores[self.target].settings.endpoint_url
        how = "compared, repaired, heartbeat seen"
        following = Following(component=self.buckets.component, region=self.source, upstream=upstream, how=how)
        found, plan = self._compared
        counted = accounts(
            self.buckets.component, context.run_id, self.source, self.target, self.buckets.clock.now(), found, plan, plan.keys,
            self.buckets.artefacts,
        )  # fmt: skip
        return Seen(Look.DONE, evidence=(*counted, following))
