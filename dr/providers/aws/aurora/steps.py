"""The steps of a move: the target is ready, has an instance, is promoted, takes a write."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from dr.errors import Permanent, StepError, Transient
from dr.model.evidence import Evidence, Fenced, Note, Promoted, RecoveryPoint, WriteAccepted
from dr.model.words import FenceState
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.aurora import look
from dr.providers.aws.aurora.calls import ADD_INSTANCE, EVENTS, FAILOVER, REMOVE, SWITCHOVER
from dr.providers.aws.aurora.config import Promotion
from dr.providers.aws.aurora.look import Whole
from dr.providers.aws.kind import AwsStep
from dr.providers.aws.rds_status import patient, ready, way_out

if TYPE_CHECKING:
    from dr.providers.aws.aurora.kind import AuroraGlobalDatabase


class AuroraStep(AwsStep["AuroraGlobalDatabase"]):
    """What all of them ask."""

    @property
    def cluster(self) -> str:
        """The target's cluster."""
        return self.owner.config.regions[self.target].cluster

    def whole(self, region: str) -> Whole | None:
        """The global database as a region knows it; None: not any more. Raises StepError."""
        try:
            return look.whole(self.owner.aws, self.owner.places[region], self.owner.config.global_cluster)
        except Permanent as error:
            if "GlobalClusterNotFoundFault" in error.message:
                return None
            raise

    def status(self, region: str) -> str:
        """Of a region's cluster; empty where there is none. Raises StepError."""
        return str((self.described(region) or {}).get("Status", ""))

    def described(self, region: str) -> Mapping[str, Any] | None:
        """A region's cluster; None: there is none. Raises StepError."""
        return look.cluster(self.owner.aws, self.owner.places[region], self.owner.config.regions[region].cluster)

    def writes(self, region: str, whole: Whole | None) -> bool:
        """The region's cluster is the writer, or stands alone (detached). Raises StepError."""
        member = whole.member(self.owner.places[region]) if whole is not None else None
        if member is not None:
            return member.writer
        return look.cluster(self.owner.aws, self.owner.places[region], self.owner.config.regions[region].cluster) is not None


class Prepare(AuroraStep):
    """The target is a healthy secondary of the global database; what it holds is read out of it."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it is, or writes already. NEEDED: something is done to it that passes. BLOCKED: no member, or it needs a person."""
        whole = self.whole(self.target)
        place, config = self.owner.places[self.target], self.owner.config
        described = look.cluster(self.owner.aws, place, self.cluster)
        if described is None:
            return Seen(Look.BLOCKED, f"{self.cluster} is not there in {self.target}")
        member = whole.member(place) if whole is not None else None
        if member is None and not (config.promotion is Promotion.DETACH and whole is None):
            if not self.writes(self.target, whole):
                return Seen(Look.BLOCKED, f"{self.cluster} is no member of {config.global_cluster}: it follows another source, or nobody")
            return Seen(Look.DONE, f"{self.cluster} stands alone and writes already")
        found = RecoveryPoint(component=self.owner.name, region=self.target, read_at=context.clock.now(), recovery_point=self._point())
        status = str(described.get("Status"))
        return Seen(ready(status), "" if status == "available" else f"{self.cluster} in {self.target} is {status}", (found,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing: what is looked for is there or is not."""
        return ()

    def _point(self) -> datetime | None:
        """None: nobody says it now. It is asked again right before the promotion, and what is unknown then is the guard's to refuse."""
        try:
            return self.owner.recovery_point(self.target)
        except StepError:
            return None


class AddInstances(AuroraStep):
    """A headless secondary gets what it needs to be a writer. Nothing of it is taken away afterwards."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: as many as wanted work. NEEDED: not yet."""
        there = look.instances(self.owner.aws, self.owner.places[self.target], self.cluster)
        wanted = self.owner.config.regions[self.target].instances
        works = sum(ready(status) is Look.DONE for status in there.values())
        failed = [f"{name} is {status}" for name, status in there.items() if status.startswith(("failed", "incompatible", "insufficient"))]
        if failed:
            return Seen(Look.BLOCKED, ", ".join(failed))
        if works >= wanted:
            return Seen(Look.DONE, f"{works} of {wanted} work")
        return Seen(Look.NEEDED, f"{works} of {wanted} work")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Creates those that are missing, under names that a repetition gives them again."""
        settings = self.owner.config.regions[self.target]
        there = look.instances(self.owner.aws, self.owner.places[self.target], self.cluster)
        free = (name for number in range(1, 33) if (name := f"{self.cluster}-dr-{number}") not in there)
        with patient(lambda: [self.status(self.target)]):
            for _ in range(settings.instances - len(there)):
                self.call(
                    context, self.target, ADD_INSTANCE, already=("DBInstanceAlreadyExists",), **self.owner.instance(self.target, next(free))
                )  # fmt: skip
        return ()


class Fence(AuroraStep):
    """Aurora fences and promotes in one call: what may be said before it is said here, so that people decide before it (I4).

    Failover: the old writer is fenced as well as that goes, which is told afterwards by an RDS event: not acknowledged. A switchover stops
    the writer before the target takes over: there is nothing to fence.
    """

    def __init__(self, owner: AuroraGlobalDatabase, source: str, target: str, *, planned: bool) -> None:
        super().__init__(owner, source, target)
        self._planned = planned

    def observe(self, context: AttemptContext) -> Seen:
        """DONE in every case; nothing is asked: the source may be lost."""
        if self._planned:
            proof = f"SwitchoverGlobalCluster stops writes in {self.source} before {self.target} takes them"
            return Seen(Look.DONE, proof, (self._fenced(FenceState.NOT_NEEDED, proof),))
        proof = f"only the promotion itself fences {self.source}, as well as that goes (Aurora: best effort)"
        if self.owner.config.promotion is Promotion.DETACH:
            proof = f"detaching {self.target} leaves {self.source} as it is: it may be a writer when it comes back"
        return Seen(Look.DONE, proof, (self._fenced(FenceState.UNACKNOWLEDGED, proof),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing."""
        return ()

    def _fenced(self, state: FenceState, proof: str) -> Fenced:
        return Fenced(component=self.owner.name, region=self.source, state=state, proof=proof)


class Promote(AuroraStep):
    """The target writes. Conditional on what is read; a promotion that is under way is waited for, never asked for twice."""

    def __init__(self, owner: AuroraGlobalDatabase, source: str, target: str, *, planned: bool) -> None:
        super().__init__(owner, source, target)
        self._planned = planned

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it writes. BLOCKED: another move is under way. Reads the recovery point, which the guard judges."""
        whole = self.whole(self.target)
        if self.writes(self.target, whole):
            return Seen(Look.DONE, f"{self.target} writes", (self._promoted(context, self._at(context)),))
        going = whole.moving_to if whole is not None else ""
        if going and going != self._arn(whole):
            return Seen(Look.BLOCKED, f"{self.owner.config.global_cluster} is moving to {going}")
        return Seen(Look.NEEDED, "the promotion is under way" if going else "", (self._recovery_point(context),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One call, unless it is under way already."""
        whole = self.whole(self.target)
        if whole is None:
            raise Permanent(f"{self.target} knows no {self.owner.config.global_cluster} any more", hint="aws rds describe-db-clusters")
        if self.writes(self.target, whole) or whole.moving_to == self._arn(whole):
            return ()
        arn = self._arn(whole)
        if not arn:
            raise Permanent(f"{self.target} has no member of {self.owner.config.global_cluster}", hint="dr runbook check")
        with patient(lambda: [self.status(region) for region in (self.target, *((self.source,) if self._planned else ()))]):
            if self._planned:
                self.call(context, self.source, SWITCHOVER, **self.owner.switchover(arn))
            elif self.owner.config.promotion is Promotion.DETACH:
                self.call(context, self.target, REMOVE, **self.owner.removal(arn))
            else:
                self.call(context, self.target, FAILOVER, **self.owner.failover(arn))
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: it is the writer, and serves: "available" alone shows before the change."""
        whole = self.whole(self.target)
        if whole is not None and whole.moving_to:
            return Seen(Look.NEEDED, "under way")
        if not self.writes(self.target, whole):
            return Seen(Look.NEEDED, f"{self.target} does not write yet")
        described = look.cluster(self.owner.aws, self.owner.places[self.target], self.cluster)
        status = str(described.get("Status")) if described is not None else "gone"
        if ready(status) is not Look.DONE:
            return Seen(Look.NEEDED, f"{self.cluster} is {status}")
        return Seen(Look.DONE, evidence=(self._promoted(context, context.clock.now()), *self._told()))

    def _arn(self, whole: Whole | None) -> str:
        member = whole.member(self.owner.places[self.target]) if whole is not None else None
        return member.arn if member is not None else ""

    def _at(self, context: AttemptContext) -> datetime:
        """Somebody may have promoted before this attempt, or another process: it was not later than now."""
        before = context.found(Promoted, self.owner.name)
        return before.promoted_at if before is not None else context.clock.now()

    def _recovery_point(self, context: AttemptContext) -> RecoveryPoint:
        now = context.clock.now()
        if self._planned:  # the API's promise: it waits until the target has everything, and refuses otherwise
            return RecoveryPoint(component=self.owner.name, region=self.target, read_at=now, recovery_point=now, complete=True)
        try:
            point = self.owner.recovery_point(self.target)
        except StepError:  # what was read when it was prepared still holds: it only grows
            before = context.found(RecoveryPoint, self.owner.name)
            point = before.recovery_point if before is not None else None
        return RecoveryPoint(component=self.owner.name, region=self.target, read_at=now, recovery_point=point)

    def _promoted(self, context: AttemptContext, at: datetime) -> Promoted:
        return Promoted(component=self.owner.name, region=self.target, epoch=None, promoted_at=at)

    def _told(self) -> tuple[Evidence, ...]:
        """What RDS says about the fencing of the old writer, word for word."""
        if self._planned:
            return ()
        try:
            answer = self.read(self.target, EVENTS, SourceType="db-cluster", SourceIdentifier=self.cluster, Duration=60)
        except StepError:
            return ()
        texts = [str(event.get("Message", "")) for event in answer["Events"]]
        return tuple(Note(text=f"RDS: {text}") for text in texts if "fenc" in text.lower())


class VerifyInside(AuroraStep):
    """The target accepted a write, committed it, and gave it back. Without ``sql`` RDS's word is all there is, and said to be so."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: a heartbeat that was written there after the promotion is there. Without ``sql``: RDS says that it is the writer, and that
        the cluster and its writer instance serve. NEEDED: something passes. BLOCKED: it needs a person."""
        writer = self.owner.writer
        if writer is None:
            return self._told()
        row = writer.newest(self.target)
        return self._seen(context, row.beat_at if row is not None and row.region == self.target else None)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One heartbeat. Without ``sql`` nothing: what passes is waited for."""
        if self.owner.writer is not None:
            self.owner.writer.write(self.target)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: it is read back through a new connection."""
        if self.owner.writer is None:
            return self.observe(context)
        row = self.owner.writer.written(self.target)
        seen = self._seen(context, row.beat_at if row is not None and row.region == self.target else None)
        if seen.look is not Look.DONE:
            raise Transient(f"the write in {self.target} was acknowledged and is not there")
        return seen

    def _told(self) -> Seen:
        """RDS's word: a cluster that is ``failing-over`` is the writer already, and takes no writes."""
        if not self.writes(self.target, self.whole(self.target)):
            return Seen(Look.BLOCKED, "no writer")
        place = self.owner.places[self.target]
        described = look.cluster(self.owner.aws, place, self.cluster) or {}
        status = str(described.get("Status", "gone"))
        if ready(status) is not Look.DONE:
            return self._busy(f"{self.cluster} in {self.target}", status, "cluster", self.cluster)
        there = look.instances(self.owner.aws, place, self.cluster)
        members = described.get("DBClusterMembers", ())
        name = next((str(item["DBInstanceIdentifier"]) for item in members if item.get("IsClusterWriter")), "")
        if not there:
            return Seen(Look.BLOCKED, f"{self.cluster} in {self.target} has no instance: write regions.{self.target}.instance_class")
        if name not in there:
            return Seen(Look.NEEDED, f"{self.cluster} in {self.target} has no writer instance just now")
        if ready(there[name]) is not Look.DONE:
            return self._busy(f"{name}, the writer instance of {self.cluster} in {self.target},", there[name], "instance", name)
        note = Note(text=f"{self.owner.name}: no sql in the runbook: that {self.target} writes is RDS's word, no write was made")
        return Seen(Look.DONE, note.text, (note,))

    def _busy(self, who: str, status: str, what: Literal["cluster", "instance"], name: str) -> Seen:
        """A status that passes, or one that does not, with the next step."""
        if ready(status) is Look.NEEDED:
            return Seen(Look.NEEDED, f"{who} is {status}")
        return Seen(Look.BLOCKED, f"{who} is {status}: {way_out(status, what, name, self.owner.places[self.target])}")

    def _seen(self, context: AttemptContext, at: datetime | None) -> Seen:
        promoted = context.found(Promoted, self.owner.name)
        if at is None or (promoted is not None and at < promoted.promoted_at - timedelta(seconds=1)):
            return Seen(Look.NEEDED)
        sql = self.owner.config.sql
        assert sql is not None
        accepted = WriteAccepted(
            component=self.owner.name, region=self.target, route="inside", names=(sql.database,), first_at=at, last_at=at
        )  # fmt: skip
        return Seen(Look.DONE, evidence=(accepted,))
