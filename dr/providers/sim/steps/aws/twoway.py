"""Simulated operations on what takes writes in both regions: the same claims, refusals and evidence as ``dr.providers.aws.s3`` and
``dr.providers.aws.dynamodb``."""

from __future__ import annotations

from typing import TypeVar

from dr.model.evidence import (
    Evidence,
    Fenced,
    Promoted,
    RecoveryPoint,
    WriteAccepted,
)
from dr.model.words import FenceState
from dr.ports import AttemptContext, Look, Seen
from dr.providers.sim.aws.twoway import TwoWay
from dr.providers.sim.objects import Piece
from dr.providers.sim.steps.base import SimStep

T = TypeVar("T", bound=TwoWay)


class TwoWayStep(SimStep[T]):
    """What they have in common."""

    def unfenced(self) -> Fenced:
        """Nothing to fence."""
        proof = "takes writes in both regions at all times; what writes to it is fenced, and what comes late is carried over"
        return Fenced(component=self.component, region=self.source, state=FenceState.NOT_NEEDED, proof=proof)

    def known(self) -> RecoveryPoint:
        """What the target holds as far as anybody knows without asking the source."""
        return RecoveryPoint(component=self.component, region=self.target, read_at=self.now, recovery_point=self.store.known)

    def complete(self) -> RecoveryPoint:
        """Everything of the source was seen in the target."""
        now = self.now
        return RecoveryPoint(component=self.component, region=self.target, read_at=now, recovery_point=now, complete=True)

    def promoted(self) -> Promoted:
        """From now on what is written there counts."""
        return Promoted(component=self.component, region=self.target, epoch=None, promoted_at=self.now)

    def mark(self, context: AttemptContext, region: str, what: str = "write") -> None:
        """Our marker in a region."""

        def put() -> None:
            self.store.there(region)
            self.store.written_by[region] = context.run_id
            self.store.write(region, f"written-in-{region}")

        self.do(context, region, what, put)

    def marked(self, context: AttemptContext, region: str) -> bool:
        """This run's marker of a region is there."""

        def look() -> bool:
            self.store.there(region)
            return self.store.written_by.get(region) == context.run_id

        return self.read(region, "marker", look)

    def arrived(self, context: AttemptContext, one: str, other: str) -> bool:
        """This run's marker of one region is in the other."""

        def look() -> bool:
            self.store.there(other)
            key = f"written-in-{one}"
            return self.store.versions[other].get(key, -1.0) == self.store.versions[one].get(key)

        return self.store.written_by.get(one) == context.run_id and self.read(other, "marker", look)

    def lacked(self, one: str, other: str, before: float) -> list[Piece]:
        """What of one region, written before a moment, the other lacks: listed where it is from first."""
        self.read(one, "list", lambda: self.store.there(one))
        return self.read(other, "list", lambda: self.store.lacks(one, other, before))


class Prepare(TwoWayStep[TwoWay]):
    """The target's side is there. Its recovery point is what was known last: the source may be lost, and nobody else knows it."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it answers. BLOCKED (planned): nothing is sent to it."""
        self.read(self.target, "settings", lambda: self.store.there(self.target))
        if self.planned and not self.read(self.source, "settings", lambda: not self.store.stalled):
            return Seen(Look.BLOCKED, f"nothing is sent from {self.source} to {self.target}: dr runbook check names the fix")
        return Seen(Look.DONE, evidence=(self.unfenced(), self.known()))


class VerifyInside(TwoWayStep[TwoWay]):
    """The target took our marker and gives it back."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: this run's marker is there."""
        if not self.marked(context, self.target):
            return Seen(Look.NEEDED)
        at = self.shown(self.store.versions[self.target][f"written-in-{self.target}"])
        accepted = WriteAccepted(
            component=self.component, region=self.target, route="inside", names=(self.component,), first_at=at, last_at=at
        )
        return Seen(Look.DONE, evidence=(accepted, self.promoted()))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One marker."""
        self.mark(context, self.target)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)
