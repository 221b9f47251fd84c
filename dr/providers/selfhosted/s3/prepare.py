"""Prepare: the target's bucket can be read and written, before anything is given up. A failover touches nothing of the source (I11)."""

from __future__ import annotations

from datetime import datetime

from dr.errors import Permanent, Transient
from dr.model.base import show_duration
from dr.model.evidence import Evidence, Fenced
from dr.model.words import FenceState
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.s3.buckets import NEWEST_COPY, Buckets, BucketStep

_POLL_SECONDS = 0.02


def takes_writes(buckets: Buckets, region: str, at: datetime) -> None:
    """Writes the check object, reads it back, deletes it.

    Raises:
        StepError: as ``Store``; Transient where it was acknowledged and is not there.
    """
    store, key, body = buckets.stores[region], buckets.keys.check(region), f"{at.isoformat()}\n".encode()
    store.put(key, body)
    back = store.get(key)
    if back is None or back.content != body:
        raise Transient(f"{buckets.component} in {region}: the write was acknowledged and is not there")
    store.delete(key)


class Prepare(BucketStep):
    """The target is there, lets us in, and takes a write; it is not an old primary."""

    def observe(self, context: AttemptContext) -> Seen:
        """NEEDED always: what was writable a while ago says nothing about now. BLOCKED: nothing there says who is primary."""
        self.leads(self.target)
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The check object, there and back."""
        context.still_ours()
        takes_writes(self.buckets, self.target, self.buckets.clock.now())
        return (self.unfenced(),)

    def verify(self, context: AttemptContext) -> Seen:
        """What was checked was checked."""
        return Seen(Look.DONE)

    def unfenced(self) -> Fenced:
        """A store takes writes in both regions at all times, also after a move: its writers are what has to be fenced (I1, I3)."""
        proof = "a store takes writes in both regions; who writes is fenced, and what the old side takes later is carried over or kept"
        return Fenced(component=self.buckets.component, region=self.source, state=FenceState.NOT_NEEDED, proof=proof)


class PreparePlanned(Prepare):
    """Both sides are healthy: the source is primary, and its replication to the target runs."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """As for a failover, and a heartbeat of the source has arrived lately."""
        found = super().act(context)
        leader = self.led_by().region
        if leader != self.source:
            raise Permanent(f"{NEWEST_COPY}: {leader} is primary, not {self.source}", hint="dr status")
        sent = self.buckets.clock.now()
        self.buckets.beat(self.source, sent)
        limit = self.buckets.config.stalled_after.total_seconds()
        until = min(context.deadline, self.buckets.clock.monotonic() + limit)
        while not self.buckets.arrived(context, sent, self.source, self.target):
            if context.cancelled() or self.buckets.clock.monotonic() >= until:
                late = show_duration(self.buckets.config.stalled_after)
                raise Permanent(
                    f"{self.buckets.component}: a heartbeat of {self.source} did not arrive in {self.target} within {late}",
                    hint="start the replication between the stores again; it is not dr's",
                )
            self.buckets.clock.sleep(_POLL_SECONDS)
        return found
