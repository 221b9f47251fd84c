"""What a move does to a bucket: nothing is promoted, for both sides take writes. It is looked at, drained, written to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dr.errors import Transient
from dr.model.evidence import Evidence, Note, RecoveryPoint, WriteAccepted
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.kind import AwsStep
from dr.providers.aws.s3 import listing, objects
from dr.providers.aws.s3.listing import Difference, Version

if TYPE_CHECKING:
    from dr.providers.aws.s3.kind import S3Bucket

_MINUTE = timedelta(minutes=1)
_IN_VAIN = 3
"""Attempts of a failover to ask for settings that it can do without."""
_REST_SECONDS, _SHARE = 2.0, 4
"""Comparing rests so long at least, and so many times as long as it took."""


class BucketStep(AwsStep["S3Bucket"]):
    """Base: compares both buckets, at most now and then."""

    owner: S3Bucket
    _compared_at = -1e9
    _took = 0.0

    def compare(self, context: AttemptContext, old: str, leading: str) -> Difference | None:
        """What ``old`` lacks of ``leading`` and the other way round; None: too many objects to be listed. Raises StepError."""
        clock, most = context.clock, self.owner.config.inventory_objects

        def over() -> bool:
            return context.cancelled() or clock.monotonic() >= context.deadline

        def side(region: str) -> Callable[[], dict[str, listing.Version] | None]:
            return lambda: listing.newest(self.owner.aws, self.owner.places[region], self.owner.bucket(region), most, over)

        began = clock.monotonic()
        # the one that leads first: what is written there meanwhile is then never taken for something that the other lacks
        sides = [ask() for ask in (side(leading), side(old))] if most else [None, None]
        self._compared_at, self._took = clock.monotonic(), clock.monotonic() - began
        if sides[0] is None or sides[1] is None:
            return None
        return listing.compare(sides[1], sides[0], self.owner.config.prefix)

    def rests(self, context: AttemptContext) -> bool:
        """It is too early to compare again."""
        return context.clock.monotonic() - self._compared_at < max(_REST_SECONDS, _SHARE * self._took)


class Prepare(BucketStep):
    """The target's bucket is there. Its recovery point is what was known last: the source may be lost, and nobody else knows it."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: the bucket answers; in a failover, also where its settings were asked for in vain a few times: a write proves more, and
        needs no control plane. BLOCKED (planned): nothing is sent to it."""
        evidence: list[Evidence] = [self.owner.unfenced(self.source), self.owner.recovery_point(self.target)]
        try:
            settings = self.owner.looker.settings(self.owner.places[self.target], fresh=True)
        except Transient as error:
            if context.intent.planned or context.number < _IN_VAIN:
                raise
            return Seen(Look.DONE, evidence=(*evidence, Note(text=f"{self.owner.name}: settings not looked at: {error.message}")))
        if not settings.sending:
            evidence.append(Note(text=f"{self.owner.name}: nothing is sent back from {self.target}: {self.source} will not follow"))
        if context.intent.planned and not self.owner.looker.settings(self.owner.places[self.source], fresh=True).sending:
            return Seen(Look.BLOCKED, f"nothing is sent from {self.source} to {self.target}: dr runbook check names the fix")
        return Seen(Look.DONE, evidence=tuple(evidence))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing: what is looked for is there or is not."""
        return ()


class Drain(BucketStep):
    """The writers are frozen: everything that they wrote is in the target. Two proofs, whichever comes first: all that the source listed
    then is in the target, or S3 says that nothing is pending, of a whole minute after the freeze. Where somebody writes on whom nothing
    freezes, that is on its way by the rule, and no such moment would ever come for all of it."""

    _began: datetime | None = None
    _listed: frozenset[tuple[str, str]] | None = None
    """What the first comparison after the marker found missing."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it was seen in this run."""
        before = context.found(RecoveryPoint, self.owner.name)
        if before is not None and before.complete and before.region == self.target:
            return Seen(Look.DONE, f"everything of {self.source} was seen in {self.target}")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """A marker in the source: the last object that is written there, so that S3 has something to say."""
        self._began = objects.mark(self.owner, context, self.source).at
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: proven. BLOCKED: something failed to replicate, so it will never arrive."""
        began = self._began or context.clock.now()
        written = objects.marker(self.owner, self.source)
        status = written[1] if written is not None else ""
        if status == "FAILED":
            return Seen(
                Look.BLOCKED, f"S3 gave up replicating {self.owner.marker_key(self.source)}: role, key or bucket policy of the rule"
            )
        if status == "PENDING":
            return Seen(Look.NEEDED, f"the last object of {self.source} is on its way")
        pending = self.owner.looker.pending_at(self.owner.places[self.source])
        if pending is not None and pending[0] == 0 and pending[1] - _MINUTE >= began:
            return self._drained(context, f"nothing was pending in the minute to {pending[1]:%H:%M:%S} UTC")
        if self.rests(context):
            return Seen(Look.NEEDED, "not drained yet")
        found = self.compare(context, self.target, self.source)
        if found is not None and not (items := self._left(found)):
            return self._drained(context, f"{self.target} has all of the {found.checked} objects that {self.source} listed")
        left = f"{len(items)} objects, {items[0].key} among them" if found is not None else f"pending: {pending or 'unknown'}"
        return Seen(Look.NEEDED, f"not in {self.target}: {left}")

    def _left(self, found: Difference) -> list[Version]:
        if self._listed is None:
            self._listed = frozenset((item.key, item.version) for item in found.to_old)
        return [item for item in found.to_old if (item.key, item.version) in self._listed]

    def _drained(self, context: AttemptContext, proof: str) -> Seen:
        now = context.clock.now()
        point = RecoveryPoint(component=self.owner.name, region=self.target, read_at=now, recovery_point=now, complete=True)
        return Seen(Look.DONE, proof, (point,))


class VerifyInside(BucketStep):
    """The target took a small object and gives it back."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: this run's marker is there."""
        found = objects.marker(self.owner, self.target)
        if found is None or found[0].run != context.run_id or found[0].region != self.target:
            return Seen(Look.NEEDED)
        accepted = WriteAccepted(
            component=self.owner.name, region=self.target, route="inside", names=(self.owner.bucket(self.target),),
            first_at=found[0].at, last_at=found[0].at,
        )  # fmt: skip
        return Seen(Look.DONE, evidence=(accepted, self.owner.promoted(self.target)))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One marker."""
        objects.mark(self.owner, context, self.target)
        return ()


class Account(BucketStep):
    """After a failover: how much had not arrived when the source was seen last. Its names only the source has."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE in every case."""
        known = self.owner.remembered()
        text = f"{self.owner.name}: nobody measured what was on its way: what is lost is not known until {self.source} is back"
        if known is not None and known.behind_items is not None:
            text = f"{self.owner.name}: {known.behind_items} objects ({known.behind_bytes or 0} bytes) were on their way to {self.target}"
            text += f", {known.failed_items or 0} had failed, as {self.source} said for {known.recovery_point:%H:%M:%S} UTC"
        return Seen(Look.DONE, text, (Note(text=text),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing."""
        return ()
