"""What a move does to a bucket: nothing is promoted, for both sides take writes. It is looked at, drained, written to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from dr.errors import StepError, Transient
from dr.model.evidence import Evidence, Note, RecoveryPoint, WriteAccepted
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.kind import AwsStep
from dr.providers.aws.problems import code_of
from dr.providers.aws.s3 import batch, listing, objects
from dr.providers.aws.s3.batch import Job
from dr.providers.aws.s3.listing import Difference, Version

if TYPE_CHECKING:
    from dr.providers.aws.s3.kind import S3Bucket

_MINUTE = timedelta(minutes=1)
_ASKED = 200
"""Objects of which it is asked together whether S3 gave them up."""
_SETTLED = ("COMPLETED", "COMPLETE", "REPLICA", "")
"""Nothing is to be sent any more. https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html (x-amz-replication-status)"""
_GONE = ("404", "NoSuchKey", "NoSuchVersion")
"""What is there no more."""
_IN_VAIN = 3
"""Attempts of a failover to ask for settings that it can do without."""
_REST_SECONDS, _SHARE = 2.0, 4
"""Comparing rests so long at least, and so many times as long as it took."""


class BucketStep(AwsStep["S3Bucket"]):
    """Base: compares both buckets, at most now and then."""

    owner: S3Bucket
    _compared_at = -1e9
    _took = 0.0
    _unasked: StepError | None = None
    """Why it is not known of something whether S3 gave it up."""
    _on_its_way: Version | None = None
    """What S3 says that it has still to send."""

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

    def given_up(self, region: str, items: Sequence[Version], most: int | None = None, *, one: bool = False) -> list[Version]:
        """Versions of a region that S3 has given up sending: they never arrive by themselves. The oldest are asked first. What is on
        its way, and why something cannot be asked, is kept beside it; a version that is gone meanwhile is neither. Raises Transient.

        Args:
            most: how many are asked; None: all. one: no more are asked once there is one.
        """
        ordered, found = sorted(items, key=lambda item: item.modified)[:most], list[Version]()
        self._unasked = self._on_its_way = None
        for first in range(0, len(ordered), _ASKED):
            some = ordered[first : first + _ASKED]
            said = self.owner.aws.many([partial(objects.replication, self.owner, region, item) for item in some])
            for error in (status for status in said if isinstance(status, Transient)):
                raise error
            for item, status in zip(some, said, strict=True):
                if isinstance(status, StepError):
                    self._unasked = self._unasked or (None if code_of(status) in _GONE else status)
                elif status == "FAILED":
                    found.append(item)
                elif status not in _SETTLED:
                    self._on_its_way = self._on_its_way or item
            if found and one:
                break
        return found

    def waits_for(self, context: AttemptContext, region: str, job: Job) -> Seen | None:
        """Why a job is waited for, or is no good; None: it sent everything."""
        if job.status in batch.ENDED_BADLY:
            return Seen(Look.BLOCKED, f"job {job.id} in {region} is {job.status}: {job.reason or 'no reason given'}")
        if not job.ended:
            context.say(f"job {job.id}: {job.status}, {job.total} objects")
            return Seen(Look.NEEDED, f"job {job.id} in {region} is {job.status}")
        if not job.failed:
            return None
        names = batch.failed_names(self.owner, region, job.id)
        told = f"{job.failed} of {job.total} objects of {region} could not be replicated"
        return Seen(Look.BLOCKED, told + (f": {', '.join(names)}" if names else ""))

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
    then is in the target, or S3 says that nothing is pending, of a whole minute after the freeze, and of each object that is missing
    that it has neither given it up nor still to send it. Where somebody writes on whom nothing freezes, that is on its way by the rule, and
    no such moment would ever come for all of it.

    What S3 gave up never arrives by itself, however lately it was written: it is sent by Batch Replication, where a role for that is given.
    """

    _began: datetime | None = None
    _stuck: tuple[Version, ...] = ()
    """What has to be sent once more, by the next attempt."""
    _sent: frozenset[tuple[str, str]] = frozenset()
    """What was: a job says how that went."""
    _job = ""
    _listed: frozenset[tuple[str, str]] | None = None
    """What the first comparison after the marker found missing."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it was seen in this run."""
        before = context.found(RecoveryPoint, self.owner.name)
        if before is not None and before.complete and before.region == self.target:
            return Seen(Look.DONE, f"everything of {self.source} was seen in {self.target}")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """A marker in the source: the last object that is written there, so that S3 has something to say. What S3 gave up is sent."""
        self._began = objects.mark(self.owner, context, self.source).at
        if not self._stuck:
            return ()
        self._job = batch.start(self.owner, context, self.source, self._stuck)
        self._sent |= {(item.key, item.version) for item in self._stuck}
        return (Note(text=f"{self.owner.name}: Batch Replication {self._job} in {self.source}: {len(self._stuck)} objects"),)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: proven. BLOCKED: something failed to replicate, so it will never arrive. Raises Transient: the next attempt sends it."""
        return self._marked() or self._resent(context) or self._compared(context)

    def _marked(self) -> Seen | None:
        """Why the marker is waited for, or will not arrive; None: it did."""
        written = objects.marker(self.owner, self.source)
        status = written[1] if written is not None else ""
        if status == "FAILED":
            return Seen(
                Look.BLOCKED, f"S3 gave up replicating {self.owner.marker_key(self.source)}: role, key or bucket policy of the rule"
            )
        if status == "PENDING":
            return Seen(Look.NEEDED, f"the last object of {self.source} is on its way")
        return None

    def _resent(self, context: AttemptContext) -> Seen | None:
        """Why the job is waited for, or is no good; None: there is none, or it sent everything."""
        waits = self.waits_for(context, self.source, batch.job(self.owner, self.source, self._job)) if self._job else None
        if waits is None:
            self._job, self._stuck = "", ()
        return waits

    def _compared(self, context: AttemptContext) -> Seen:
        """What is in the target."""
        began = self._began or context.clock.now()
        pending = self.owner.looker.pending_at(self.owner.places[self.source])
        quiet = pending is not None and pending[0] == 0 and pending[1] - _MINUTE >= began
        if not quiet and self.rests(context):
            return Seen(Look.NEEDED, "not drained yet")
        found = self.compare(context, self.target, self.source)
        items = self._left(found) if found is not None else []
        if found is not None and not items:
            return self._drained(context, f"{self.target} has all of the {found.checked} objects that {self.source} listed")
        unsent = [item for item in items if (item.key, item.version) not in self._sent]
        if failed := self.given_up(self.source, unsent, None if quiet else _ASKED, one=True):
            return self._gave_up(failed, unsent)
        settled = self._unasked is None and self._on_its_way is None and len(unsent) == len(items)
        if quiet and pending is not None and settled:
            unseen = "" if found is not None else "; too many objects to compare, so what S3 gave up since they were brought is not seen"
            return self._drained(context, f"nothing was pending in the minute to {pending[1]:%H:%M:%S} UTC{unseen}")
        first = self._on_its_way or next(iter(items), None)
        left = f"pending: {pending or 'unknown'}" if first is None else f"{len(items)} objects, {first.key} among them"
        return Seen(Look.NEEDED, f"not in {self.target}: {left}{self._not_known()}")

    def _not_known(self) -> str:
        """Why it cannot be told whether S3 gave up what is missing; empty: it can."""
        if self._unasked is None:
            return ""
        if "403" in self._unasked.message:
            return "; to know whether S3 gave them up, allow s3:GetObjectVersion"
        return f"; whether S3 gave them up is not known: {self._unasked.message}"

    def _gave_up(self, failed: Sequence[Version], unsent: Sequence[Version]) -> Seen:
        """BLOCKED where nobody may send it; else raises Transient. All that is missing is sent then: S3 may have given up more of it."""
        told = f"S3 gave up replicating {failed[0].key} of {self.source}, and {len(unsent) - 1} more objects are not in {self.target}"
        by_hand = self.owner.by_hand.brought(self.source, self.target).do
        if self.owner.config.batch_role is None:
            return Seen(Look.BLOCKED, f"{told}: what failed never arrives by itself, and there is no batch_role to send it; {by_hand}")
        self._stuck = tuple(unsent)
        raise Transient(f"{told}: the next attempt sends them by Batch Replication", hint="wait")

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
