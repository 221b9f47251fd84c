"""The steps of an RDS instance and its replica. A promotion ends replication for good: the way back is a new replica."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from dr.errors import EffectUnknown, Permanent, StepError, Transient
from dr.model.evidence import Evidence, Fenced, Following, Preserved, Promoted, RecoveryPoint
from dr.model.words import FenceState
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.kind import AwsStep
from dr.providers.aws.rds_replica.calls import CREATE_REPLICA, INSTANCES, MODIFY, PROMOTE
from dr.providers.aws.rds_replica.instance import Instance, groups, replica_of
from dr.providers.aws.rds_status import patient, ready

if TYPE_CHECKING:
    from dr.providers.aws.rds_replica.kind import RdsReadReplica


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

    _before: Instance | None = None

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
        self._before = found
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Into quarantine. Who was let in is kept first: its undo and the way back ask for that, and nobody may have looked before."""
        settings = self.owner.config.regions[self.source]
        self.owner.anew.keep(self.source, self._before)
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
        """The security groups that the runbook names, else those that it had before. Raises StepError."""
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
        """DONE: it has the other name, or is a replica. BLOCKED: the target does not write; a new one could not be made."""
        target = self.instance(self.target)
        if target is None or replica_of(target):
            return Seen(Look.BLOCKED, f"{self.target} does not write: which copy is newer is not known")
        found = self.instance(self.source)
        if found is not None and replica_of(found):
            return Seen(Look.DONE, f"{self.name(self.source)} is a replica")
        aside, anew = self.instance(self.source, self.owner.aside(self.source)), self.owner.anew
        # said before anything is done, and not at the end of it
        if why := anew.lacks(self.source, target, anew.seen(self.source, found or aside)):
            return Seen(Look.BLOCKED, why)
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
    """A new replica in the source's region, under the old name, and with what the old one had."""

    _regrouped = False

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it follows the target. NEEDED: there is none, it is being made, or it has not its parameter group yet. BLOCKED: one of
        that name stands alone; none can be made."""
        found = self.instance(self.source)
        if found is None:
            why = self.owner.anew.lacks(self.source, self.instance(self.target) or {}, self.owner.anew.seen(self.source, self._left()))
            return Seen(Look.BLOCKED, why) if why else Seen(Look.NEEDED, f"{self.source} has no replica")
        if not replica_of(found):
            return Seen(Look.BLOCKED, f"{self.name(self.source)} in {self.source} stands alone: it was not set aside")
        if ready(found["DBInstanceStatus"]) is not Look.DONE:
            return Seen(Look.NEEDED, f"{self.name(self.source)} is {found['DBInstanceStatus']}")
        if group := self._group(found, self._left()):
            return Seen(Look.NEEDED, f"{self.name(self.source)} has not its parameter group {group} yet")
        following = Following(component=self.owner.name, region=self.source, upstream=replica_of(found), how="a new read replica")
        return Seen(Look.DONE, evidence=(following,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Makes it, unless it is there; gives it its parameter group where that could not be asked for with it. What is set there may
        only take hold when it starts, which a promotion makes it do:
        https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_ReadRepl.Promote.html."""
        found, left, self._regrouped = self.instance(self.source), self._left(), False
        if found is None:
            target = self.instance(self.target)
            if target is None:
                raise Transient(f"{self.name(self.target)} in {self.target} is not described just now", hint="wait")
            parameters = self.owner.anew.parameters(self.source, target, left)
            with patient(lambda: [self._status(self.target)]):  # a promoted one makes its first backup
                self.call(context, self.source, CREATE_REPLICA, already=("DBInstanceAlreadyExists",), **parameters)
        elif replica_of(found) and ready(found["DBInstanceStatus"]) is Look.DONE and (group := self._group(found, left)):
            self._regrouped = True
            with patient(lambda: [self._status(self.source)]):
                self.call(context, self.source, MODIFY, **self.owner.anew.regrouped(self.source, group))
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: it follows. Raises Transient: it does, and is to be given its parameter group, by another attempt."""
        seen = self.observe(context)
        if seen.look is Look.NEEDED and not self._regrouped:
            found = self.instance(self.source)
            if found is not None and ready(found["DBInstanceStatus"]) is Look.DONE and (group := self._group(found, self._left())):
                raise Transient(f"{self.name(self.source)} is there, and has to be given its parameter group {group}")
        return seen

    def _group(self, found: Instance, left: Instance | None) -> str:
        return self.owner.anew.group(self.source, found, left)

    def _status(self, region: str) -> str:
        return str((self.instance(region) or {}).get("DBInstanceStatus", ""))

    def _left(self) -> Instance | None:
        return self.instance(self.source, self.owner.aside(self.source))
