"""Simulated operations on a global table: the same claims, refusals and evidence as ``dr.providers.aws.dynamodb``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dr.model.evidence import Evidence, Following, RecoveryPoint
from dr.model.words import Intent, Verb
from dr.ports import AttemptContext, Look, Seen
from dr.providers.sim.aws.twoway import GlobalTable
from dr.providers.sim.steps.aws.twoway import Prepare, TwoWayStep, VerifyInside
from dr.providers.sim.steps.base import SimStep

_SETTLES = 5.0
"""Seconds that are waited out at least, once the marker has arrived."""


class DrainTable(TwoWayStep[GlobalTable]):
    """A marker of the source is seen arriving, and the newest latency is waited out."""

    _began = 0.0

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it was seen in this run."""
        before = context.found(RecoveryPoint, self.component)
        if before is not None and before.complete and before.region == self.target:
            return Seen(Look.DONE, f"everything of {self.source} is in {self.target}")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The marker in the source."""
        self._began = context.clock.monotonic()
        self.mark(context, self.source, "mark")
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: the marker arrived, and the time is over."""
        if not self.arrived(context, self.source, self.target):
            return Seen(Look.NEEDED, f"the marker of {self.source} has not arrived in {self.target}")
        if context.clock.monotonic() - self._began < max(_SETTLES, 3 * self.store.lag):
            return Seen(Look.NEEDED, "the newest latency is waited out")
        return Seen(Look.DONE, evidence=(self.complete(),))


class FollowTable(TwoWayStep[GlobalTable]):
    """The old side is a replica again, and what is written in the target arrives there."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: the marker of this run arrived."""
        self.read(self.source, "replica", lambda: self.store.there(self.source))
        if not self.arrived(context, self.target, self.source):
            return Seen(Look.NEEDED, f"the marker of {self.target} has not arrived in {self.source}")
        how = "replica ACTIVE, a marker arrived"
        return Seen(Look.DONE, how, (Following(component=self.component, region=self.source, upstream=self.target, how=how),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The marker in the target, where it is not there."""
        if not self.marked(context, self.target):
            self.mark(context, self.target, "mark")
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)


def table(name: str, verb: Verb, intent: Intent) -> type[SimStep[Any]]:
    """The operation of a global table's step."""
    return _TABLE[verb]


_TABLE: Mapping[Verb, type[SimStep[Any]]] = {
    Verb.PREPARE: Prepare, Verb.DRAIN: DrainTable, Verb.VERIFY_INSIDE: VerifyInside, Verb.FOLLOW: FollowTable,
}  # fmt: skip
"""The operation of each verb."""
