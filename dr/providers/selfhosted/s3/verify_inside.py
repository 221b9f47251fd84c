"""Verify inside: after the promotion the target took a write and gave it back."""

from __future__ import annotations

from dr.model.evidence import Evidence, WriteAccepted
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.s3.buckets import BucketStep
from dr.providers.selfhosted.s3.prepare import takes_writes


class VerifyInside(BucketStep):
    """A check object is put, read back and deleted; the first heartbeat of the new primary is written."""

    def observe(self, context: AttemptContext) -> Seen:
        """NEEDED: only a write shows that writes work. BLOCKED: the target does not lead."""
        marker = self.leads(self.target)
        return Seen(Look.NEEDED) if marker.region == self.target else Seen(Look.BLOCKED, f"{marker.region} is primary, not {self.target}")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """There and back; then the heartbeat."""
        context.still_ours()
        began = self.buckets.clock.now()
        takes_writes(self.buckets, self.target, began)
        self.buckets.beat(self.target, self.buckets.clock.now())
        return (
            WriteAccepted(
                component=self.buckets.component, region=self.target, route="inside",
                names=(self.buckets.stores[self.target].settings.bucket,), first_at=began, last_at=self.buckets.clock.now(),
            ),
        )  # fmt: skip

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: the new primary's heartbeat is there."""
        beat = self.buckets.heartbeat(self.target, self.target)
        return Seen(Look.DONE) if beat is not None else Seen(Look.NEEDED, "the heartbeat is not there")
