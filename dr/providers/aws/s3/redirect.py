"""Where a Multi-Region Access Point is in front of the buckets: its routes lead to the target, and that has reached everybody."""

from __future__ import annotations

from datetime import timedelta

from dr.model.base import show_duration
from dr.model.evidence import Evidence, Redirected
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.s3.routes import ACTIVE, PASSIVE, Routes
from dr.providers.aws.s3.steps import BucketStep

HOLDS_AFTER = timedelta(minutes=2)
"""Documented with SubmitMultiRegionAccessPointRoutes."""


class RouteStep(BucketStep):
    """Base."""

    @property
    def routes(self) -> Routes:
        """The access point's."""
        assert self.owner.routes is not None, "such steps are made only where there is an access point"
        return self.owner.routes


class Redirect(RouteStep):
    """All traffic to the target. Taken back where a planned move is."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it gets all. BLOCKED: it is no part of the access point."""
        now = self.routes.now(self.owner.places[self.target])
        if self.owner.bucket(self.target) not in now:
            return Seen(Look.BLOCKED, f"{self.owner.bucket(self.target)} is no part of {self.routes.arn}")
        if not self._leads(now):
            return Seen(Look.NEEDED)
        # an attempt before this one may have moved them, and its answer was lost: they are waited for as if it was just now
        ours = context.number > 1 and context.found(Redirected, self.owner.name) is None
        return Seen(Look.DONE, f"{self.target} gets all traffic", (self._moved(context, ()),) if ours else ())

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Both routes in one call."""
        before = self.routes.now(self.owner.places[self.target])
        self.routes.move(context, self.target, asking=self.target)
        active = tuple(bucket for bucket, share in before.items() if share)
        return (self._moved(context, active),)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: the routes say so."""
        now = self.routes.now(self.owner.places[self.target])
        return Seen(Look.DONE) if self._leads(now) else Seen(Look.NEEDED, f"{now}")

    def undo(self, context: AttemptContext) -> None:
        """All traffic to the source again."""
        self.routes.move(context, self.source, asking=self.target)

    def _moved(self, context: AttemptContext, active: tuple[str, ...]) -> Redirected:
        """active: the buckets that had traffic before."""
        return Redirected(
            component=self.owner.name, region=self.target, names=1, at=context.clock.now(), old_ttl=HOLDS_AFTER,
            before={self.routes.arn.rpartition("/")[2]: active},
        )  # fmt: skip

    def _leads(self, now: dict[str, int]) -> bool:
        others = [self.owner.bucket(region) for region in self.owner.places if region != self.target]
        return now.get(self.owner.bucket(self.target)) == ACTIVE and all(now.get(bucket, PASSIVE) == PASSIVE for bucket in others)


class Propagate(RouteStep):
    """Until the routes hold everywhere."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: the time is over since the routes were moved in this run."""
        moved = context.found(Redirected, self.owner.name)
        left = moved.at + HOLDS_AFTER - context.clock.now() if moved is not None else timedelta(0)
        if left <= timedelta(0):
            return Seen(Look.DONE)
        return Seen(Look.NEEDED, f"{show_duration(left)} until the routes hold everywhere")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Waits."""
        return ()
