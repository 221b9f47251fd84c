"""The steps of an RDS instance and its replica. A promotion ends replication for good: the way back is a new replica."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dr.errors import EffectUnknown, Permanent, StepError, Transient
from dr.model.evidence import Evidence, Fenced, Following, Preserved, Promoted, RecoveryPoint
from dr.model.words import FenceState
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.kind import AwsStep
from dr.providers.aws.rds_replica.calls import CREATE_REPLICA, INSTANCES, MODIFY, PROMOTE
from dr.providers.aws.rds_status import patient, ready

if TYPE_CHECKING:
    from dr.providers.aws.rds_replica.kind import RdsReadReplica

Instance = Mapping[str, Any]


def replica_of(instance: Instance) -> str:
    """What it follows: an identifier, or an ARN where that is elsewhere; empty: it is nobody's replica."""
    return str(instance.get("ReadReplicaSourceDBInstanceIdentifier") or "")


def groups(instance: Instance) -> tuple[str, ...]:
    """Its security groups."""
    return tuple(sorted(str(item["VpcSecurityGroupId"]) for item in instance.get("VpcSecurityGroups", ())))


class ReplicaStep(AwsStep["RdsReadReplica"]):
    """What all of them ask."""

    owner: RdsReadReplica

    def instance(self, region: str, name: str = "") -> Instance | None:
        """An instance as described; None: there is none. Raises StepError."""
        try:
            answer = self.read(region, INSTANCES, DBInstanceIdentifier=name or self.owner.config.regions[region].instance)
        except Permanent as error:
            if "DBInstanceNotFound" in error.message:
                return None
            raise
        found: Instance | None = next(iter(answer["DBInstances"]), None)
        return found

    def name(self, region: str) -> str:
        """Of a region's instance."""
        return self.owner.config.regions[region].instance

    def recovery_point(self, context: AttemptContext) -> RecoveryPoint:
        """What the target holds. Where CloudWatch is silent, what was read before holds still; else it is unknown, for the guard to say."""
        before = context.found(RecoveryPoint, self.owner.name)
        try:
            point = self.owner.recovery_point(self.target)
        except StepError:
            point = before.recovery_point if before is not None else None
        return RecoveryPoint(component=self.owner.name, region=self.target, read_at=context.clock.now(), recovery_point=point)

    def fenced(self, state: FenceState, proof: str, context: AttemptContext | None = None) -> Fenced:
        """Evidence about the source. ``context``: writes ended now."""
        ended = None if context is None else context.clock.now()
        return Fenced(component=self.owner.name, region=self.source, state=state, proof=proof, writes_ended_at=ended)


class Prepare(ReplicaStep):
    """The target's instance is a replica of the source's, and serves; what it holds is read."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it is, or writes already. NEEDED: something is done to it that passes. BLOCKED: it follows another source, is not there, or
        needs a person."""
        found = self.instance(self.target)
        if found is None:
            return Seen(Look.BLOCKED, f"{self.name(self.target)} is not there in {self.target}")
        source = replica_of(found)
        if source and source.rpartition(":")[2] != self.name(self.source):
            return Seen(Look.BLOCKED, f"{self.name(self.target)} follows another source: {source}")
        if not source:
            return Seen(Look.DONE, "it writes already")
        status = str(found["DBInstanceStatus"])
        return Seen(
            ready(status), "" if status == "available" else f"{self.name(self.target)} is {status}", (self.recovery_point(context),)
        )

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing: what is looked for is there or is not."""
        return ()


class FenceLost(ReplicaStep):
    """Failover: the quarantine, where its region answers. Always ends with evidence; nothing else waits for it."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it is in quarantine, follows somebody, is gone, or nobody can tell. NEEDED: it answers and is not."""
        settings = self.owner.config.regions[self.source]
        try:
            found = self.instance(self.source)
        except StepError as error:
            return self._unknown(error.message)
        if found is None or replica_of(found):
            proof = f"{settings.instance} in {self.source} " + ("follows another instance" if found is not None else "is not there")
            return Seen(Look.DONE, proof, (self.fenced(FenceState.FENCED, proof),))
        if settings.quarantine is None:
            return self._unknown(f"no quarantine for {settings.instance} in the runbook")
        if groups(found) == (settings.quarantine,):
            proof = f"{settings.instance} has {settings.quarantine} alone: nobody reaches it"
            return Seen(Look.DONE, proof, (self.fenced(FenceState.FENCED, proof),))
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Into quarantine."""
        settings = self.owner.config.regions[self.source]
        try:
            self.call(context, self.source, MODIFY, **self.owner.quarantined(self.source))
        except (EffectUnknown, StepError) as error:
            proof = f"{settings.instance} could not be put into quarantine: {error.message}"
            return (self.fenced(FenceState.UNACKNOWLEDGED, proof),)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE in every case: fenced, or known not to be."""
        tried = context.found(Fenced, self.owner.name)
        if tried is not None and tried.state is FenceState.UNACKNOWLEDGED:
            return Seen(Look.DONE, tried.proof)
        seen = self.observe(context)
        if seen.look is Look.NEEDED:
            return seen
        return Seen(Look.DONE, seen.reason, tuple(self._now(item, context) for item in seen.evidence))

    def _now(self, item: Evidence, context: AttemptContext) -> Evidence:
        fenced = isinstance(item, Fenced) and item.state is FenceState.FENCED
        return item.model_copy(update={"writes_ended_at": context.clock.now()}) if fenced else item

    def _unknown(self, why: str) -> Seen:
        return Seen(Look.DONE, why, (self.fenced(FenceState.UNACKNOWLEDGED, why),))


class FencePlanned(FenceLost):
    """A planned move: in quarantine, or nothing moves. Its undo lets the clients in again."""

    def _unknown(self, why: str) -> Seen:
        return Seen(Look.BLOCKED, f"{why}: a planned move does not begin")

    def undo(self, context: AttemptContext) -> None:
        """The security groups that the runbook names. Raises StepError."""
        self.call(context, self.source, MODIFY, **self.owner.reachable(self.source))


class CatchUp(ReplicaStep):
    """The target has everything that the fenced source wrote: its lag was zero at a moment after the fence."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: so it was. NEEDED: CloudWatch, which has one value a minute, has none of after the fence yet."""
        found = self.instance(self.target)
        if found is not None and not replica_of(found):
            return Seen(Look.DONE, f"{self.target} writes already")
        fence, value = context.found(Fenced, self.owner.name), self.owner.lag_value(self.target)
        if fence is None or value is None:
            return Seen(Look.NEEDED, "no lag is known yet")
        ended = fence.writes_ended_at
        if value.value > 0 or (ended is not None and value.at - timedelta(seconds=60) < ended):
            return Seen(Look.NEEDED, f"{value.value:g} s behind at {value.at:%H:%M:%SZ}")
        point = RecoveryPoint(
            component=self.owner.name, region=self.target, read_at=context.clock.now(), recovery_point=value.at, complete=True
        )  # fmt: skip
        return Seen(Look.DONE, evidence=(point,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing: it is waited for."""
        return ()


class Promote(ReplicaStep):
    """The replica stands alone. Conditional on what is read: one that is nobody's replica any more is never promoted again."""

    _asked = False

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it writes. Reads the recovery point, which the guard judges."""
        found = self.instance(self.target)
        if found is None:
            return Seen(Look.BLOCKED, f"{self.name(self.target)} is not there in {self.target}")
        if not replica_of(found):
            return self._written(context, found)
        before = context.found(RecoveryPoint, self.owner.name)
        if before is not None and before.complete:
            return Seen(Look.NEEDED, evidence=(before,))
        return Seen(Look.NEEDED, evidence=(self.recovery_point(context),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One call, unless something is under way there: that may be the promotion itself."""
        found, self._asked = self.instance(self.target), False
        status = str(found["DBInstanceStatus"]) if found is not None else ""
        if found is None or not replica_of(found) or ready(status) is Look.NEEDED:
            return ()
        self._asked = True
        with patient(lambda: [status]):
            self.call(context, self.target, PROMOTE, **self.owner.promotion(self.target))
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: nobody's replica, and it serves: its first backup may go on for long. Raises Transient: what was under way is over, and
        was something else."""
        found = self.instance(self.target)
        if found is not None and replica_of(found) and not self._asked and ready(found["DBInstanceStatus"]) is Look.DONE:
            raise Transient(f"{self.name(self.target)} is ready now, and a replica still")
        if found is None or replica_of(found):
            return Seen(Look.NEEDED, "a replica still")
        return self._written(context, found)

    def _written(self, context: AttemptContext, found: Instance) -> Seen:
        if ready(found["DBInstanceStatus"]) is not Look.DONE:
            return Seen(Look.NEEDED, f"{self.name(self.target)} is {found['DBInstanceStatus']}")
        before = context.found(Promoted, self.owner.name)
        at = before.promoted_at if before is not None else context.clock.now()
        fact = Promoted(component=self.owner.name, region=self.target, epoch=None, promoted_at=at)
        return Seen(Look.DONE, f"{self.target} writes", (fact,))


class SetAside(ReplicaStep):
    """Re-protect: the old instance keeps what only it has, under another name, out of its clients' reach. Nothing is deleted."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it has the other name, or is a replica. BLOCKED: the target does not write."""
        target = self.instance(self.target)
        if target is None or replica_of(target):
            return Seen(Look.BLOCKED, f"{self.target} does not write: which copy is newer is not known")
        found = self.instance(self.source)
        if found is not None and replica_of(found):
            return Seen(Look.DONE, f"{self.name(self.source)} is a replica")
        aside = self.instance(self.source, self.owner.aside(self.source))
        if found is None:
            facts = () if aside is None else (self._preserved(context), self._fenced_aside())
            return Seen(Look.DONE, "" if aside is not None else f"there is no {self.name(self.source)}", facts)
        if aside is not None:
            return Seen(Look.BLOCKED, f"{self.owner.aside(self.source)} is there already, from an earlier failover: rename it first")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The other name; into quarantine where there is one."""
        with patient(lambda: [str((self.instance(self.source) or {}).get("DBInstanceStatus", ""))]):
            self.call(context, self.source, MODIFY, **self.owner.set_aside(self.source))
        return ()

    def _fenced_aside(self) -> Fenced:
        return self.fenced(FenceState.FENCED, f"{self.name(self.source)} is {self.owner.aside(self.source)} now: its address is gone")

    def _preserved(self, context: AttemptContext) -> Preserved:
        arn = self.owner.arn(self.source, self.owner.aside(self.source))
        return Preserved(
            component=self.owner.name, region=self.source, at=context.clock.now(), path=arn, manifest="", items=None
        )  # fmt: skip


class Follow(ReplicaStep):
    """A new replica in the source's region, under the old name."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it follows the target. NEEDED: there is none, or it is being made."""
        found = self.instance(self.source)
        if found is None:
            return Seen(Look.NEEDED, f"{self.source} has no replica")
        if not replica_of(found):
            return Seen(Look.BLOCKED, f"{self.name(self.source)} in {self.source} stands alone: it was not set aside")
        if ready(found["DBInstanceStatus"]) is not Look.DONE:
            return Seen(Look.NEEDED, f"{self.name(self.source)} is {found['DBInstanceStatus']}")
        following = Following(component=self.owner.name, region=self.source, upstream=replica_of(found), how="a new read replica")
        return Seen(Look.DONE, evidence=(following,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Makes it, unless it is there."""
        if self.instance(self.source) is None:
            self.call(
                context,
                self.source,
                CREATE_REPLICA,
                already=("DBInstanceAlreadyExists",),
                **self.owner.new_replica(self.source, self.target),
            )
        return ()
