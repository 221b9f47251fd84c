"""Promote: the target's store says that it is primary, as of a new epoch. Both stores take writes before and after it; this decides which
versions count from now on. Can be taken back: by a still newer epoch."""

from __future__ import annotations

from datetime import datetime

from dr.errors import StepError
from dr.model.evidence import Evidence, Promoted, RecoveryPoint
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.s3.buckets import Buckets, BucketStep
from dr.providers.selfhosted.s3.control import Marker


class Promote(BucketStep):
    """Conditional on the newest marker of the target's own store (I5): the same again finds it there, and makes no other.

    Args:
        planned: only after everything of the source was seen in the target.
    """

    def __init__(self, buckets: Buckets, source: str, target: str, *, planned: bool) -> None:
        super().__init__(buckets, source, target)
        self._planned = planned

    def observe(self, context: AttemptContext) -> Seen:
        """Reads the recovery point from the target's own data. DONE: it leads."""
        marker = self._newest()
        if marker.region == self.target:
            return Seen(Look.DONE, f"{self.target} is primary already", (self._recovery_point(context), self._promoted(marker, marker.at)))
        point = self._recovery_point(context)
        if self._planned and not point.complete:
            why = f"not everything of {self.source} was seen in {self.target}"
            return Seen(Look.BLOCKED, f"{why} (try: dr failover --to {self.target})", (point,))
        return Seen(Look.NEEDED, evidence=(point,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The marker of the next epoch, where none newer has come meanwhile."""
        newest = self._newest()
        if newest.region != self.target:
            context.still_ours()
            self.buckets.mark(self.target, self._next(context, newest, self.target), context.run_id)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: the newest marker names the target. BLOCKED: somebody else made a newer one."""
        marker = self.leads(self.target)
        if marker.region != self.target:
            return Seen(Look.BLOCKED, f"{marker.region} became primary as of epoch {marker.epoch} meanwhile")
        # a listing tells whole seconds: what was lost must not look smaller for that
        return Seen(Look.DONE, evidence=(self._promoted(marker, self.buckets.clock.now()),))

    def undo(self, context: AttemptContext) -> None:
        """The source leads again, as of a still newer epoch; in its own store, too, where that answers."""
        newest = self.leads(self.target)
        back = newest if newest.region == self.source else self._next(context, newest, self.source)
        context.still_ours()
        self.buckets.mark(self.target, back, context.run_id)
        try:
            self.buckets.mark(self.source, back, context.run_id)
        except StepError:
            if self._planned:
                raise  # else it is the region that was lost: in its own store it never ceased to lead

    def _newest(self) -> Marker:
        """A failover asks nothing of the source; in a planned move a marker of the source may not have come over yet."""
        return self.led_by() if self._planned else self.leads(self.target)

    def _next(self, context: AttemptContext, newest: Marker, region: str) -> Marker:
        # the lease's epoch is above those of markers that the target never got; a new journal begins at 1 again, so the markers count, too
        return Marker(max(newest.epoch + 1, context.epoch), region, self.buckets.clock.now())

    def _recovery_point(self, context: AttemptContext) -> RecoveryPoint:
        name, now = self.buckets.component, self.buckets.clock.now()
        found = context.found(RecoveryPoint, name)
        if found is not None and found.complete and found.region == self.target:
            return found
        beat = self.buckets.heartbeat(self.target, self.source)
        arrived = [marker.at for marker in self.buckets.markers(self.target) if marker.region == self.source]
        point = beat or max(arrived, default=None)
        if found is not None and found.recovery_point is not None and point is not None:
            point = min(point, found.recovery_point)
        slow = self.buckets.stores[self.target].clock_behind
        return RecoveryPoint(component=name, region=self.target, read_at=now, recovery_point=point, clock_behind=slow)

    def _promoted(self, marker: Marker, at: datetime) -> Promoted:
        return Promoted(component=self.buckets.component, region=self.target, epoch=marker.epoch, promoted_at=at)
