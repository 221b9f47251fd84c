"""What steps on databases of RDS share: who asks, and evidence."""

from __future__ import annotations

from typing import TypeVar

from dr.model.evidence import Fenced, Promoted, RecoveryPoint
from dr.model.words import FenceState
from dr.ports import AttemptContext
from dr.providers.sim.aws.moving import Moving, Sender
from dr.providers.sim.steps.base import SimStep

M = TypeVar("M", bound=Moving)
CALL = 0.3
"""Seconds that RDS takes to accept something."""


class MovingStep(SimStep[M]):
    """Base of the steps."""

    def by(self, context: AttemptContext) -> Sender:
        """Who asks."""
        return Sender(self.place.process.name, context.run_id, context.step.id, context.epoch)

    def ask(self, context: AttemptContext, region: str, how: str, seconds: float, *, stops: str = "") -> None:
        """Asks a region for a promotion of the target. Raises Permanent: it is refused."""
        self.do(context, region, how, lambda: self.store.begin(how, self.target, seconds, self.by(context), stops=stops), seconds=CALL)

    def writes(self, region: str) -> bool:
        """RDS says that a region's database writes."""
        store = self.store
        return self.read(region, "writer", lambda: store.copies[region].primary and region not in store.absent)

    def status(self, region: str) -> str:
        """RDS's word."""
        return self.read(region, "status", lambda: self.store.status(region))

    def fenced(self, state: FenceState, proof: str, *, ended: bool = False) -> Fenced:
        """Evidence about the source. ``ended``: writes ended now."""
        return Fenced(
            component=self.component, region=self.source, state=state, proof=proof, writes_ended_at=self.now if ended else None
        )

    def point(self, *, complete: bool = False) -> RecoveryPoint:
        """What the target holds, as it says itself."""
        point = self.read(self.target, "point", lambda: self.store.told_point(self.target))
        moment = None if point is None else self.moment(point)
        return RecoveryPoint(component=self.component, region=self.target, read_at=self.now, recovery_point=moment, complete=complete)

    def promoted(self, context: AttemptContext) -> Promoted:
        """Somebody may have promoted before this attempt: it was not later than now."""
        before = context.found(Promoted, self.component)
        at = before.promoted_at if before is not None else self.now
        return Promoted(component=self.component, region=self.target, epoch=None, promoted_at=at)

    def others_write(self, context: AttemptContext) -> None:
        """Where RDS's word is all there is, no write is made; but whoever else writes there does so since, where that works."""
        if self.store.writable(self.target):
            process = self.place.process.name
            self.place.world.did(
                f"{self.component}.write", self.component, self.target, process=process, run_id=context.run_id, step=context.step.id,
                epoch=context.epoch, text="by others",
            )  # fmt: skip
