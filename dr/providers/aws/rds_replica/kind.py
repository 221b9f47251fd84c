"""The kind ``aws.rds-read-replica``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from dr.errors import Permanent, StepError
from dr.model.by_hand import Typed
from dr.model.lag import LagSample, RegionView
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Known, Role, Severity, Verb
from dr.ports import Site, Step
from dr.providers.aws.calls import Use
from dr.providers.aws.kind import AwsKind, Judged
from dr.providers.aws.metrics import GET, Metrics, Question, Value
from dr.providers.aws.place import Place
from dr.providers.aws.rds_replica.anew import Anew
from dr.providers.aws.rds_replica.calls import INSTANCES, MODIFY, PROMOTE
from dr.providers.aws.rds_replica.config import ReplicaConfig
from dr.providers.aws.rds_replica.instance import Side, replica_of
from dr.providers.aws.rds_replica.steps import CatchUp, FenceLost, FencePlanned, Follow, Prepare, Promote, SetAside
from dr.providers.aws.rds_status import SERVES
from dr.providers.regions import same_regions

_MINUTES = timedelta(minutes=30)
ASIDE = "-aside"
"""What the old instance's name ends with after a re-protect."""


class RdsReadReplica(AwsKind[ReplicaConfig, Side]):
    """An RDS instance in one region and a read replica of it in the other one, of any engine that has such replicas.

    A promotion breaks replication for good: after a failover the old instance is set aside under another name, and a new replica is made
    in its place. Planned moves need a ``quarantine`` security group on the side that is left: RDS knows no other fence, and an instance
    with a replica cannot be stopped.
    """

    kind: ClassVar[str] = "aws.rds-read-replica"
    Config: ClassVar[type[KindConfig]] = ReplicaConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        super().__init__(name, config, needs, site)
        same_regions(name, self.config.regions, site)
        self.apart("the replica must be in another AWS region")
        self.anew = Anew(self)
        self._metrics = Metrics.of(self.aws)
        for region, place in self.places.items():
            self._metrics.register(place, self._question(region))

    def regions(self) -> Sequence[str]:
        """Both."""
        return tuple(self.config.regions)

    def look(self, place: Place) -> Side:
        """One region's instance and its lag."""
        lag = self.aws.start(lambda: self._metrics.newest(place, self._question(place.region)))
        try:
            answer = self.aws.read(place, INSTANCES, DBInstanceIdentifier=self.config.regions[place.region].instance)
        except Permanent as error:
            if "DBInstanceNotFound" not in error.message:
                raise
            answer = {"DBInstances": []}
        value: Value | StepError | None
        try:
            value = lag.result()
        except StepError as error:
            value = error
        return Side(next(iter(answer["DBInstances"]), None), value)

    def looks(self, seconds: float) -> dict[str, Side | StepError]:
        """As the base does; what each instance is like is kept for the day when it is gone."""
        found = super().looks(seconds)
        for region, side in found.items():
            if isinstance(side, Side):
                self.anew.keep(region, side.instance)
        return found

    def judge(self, looks: Mapping[str, Side | StepError]) -> Judged:
        """Roles by whose replica each one is."""
        roles = {region: _role(side) if isinstance(side, Side) else self.away(side) for region, side in looks.items()}
        found = [*self.anew.findings(looks), *self.silent(looks)]
        for region, side in looks.items():
            settings = self.config.regions[region]
            if isinstance(side, StepError):
                continue
            if isinstance(side.lag, StepError):
                found.append(self.hidden(region, side.lag))
            if side.instance is None:
                fact = f"there is no {settings.instance} in {region}"
                found.append(self.finding(Severity.ERROR, fact, "dr reprotect, or create a read replica there", region))
            elif (source := replica_of(side.instance)) and source.rpartition(":")[2] != self._expected(region):
                fact = f"{settings.instance} in {region} follows another source: {source}"
                found.append(self.finding(Severity.ERROR, fact, "correct regions.*.instance, or make a replica of the right one", region))
            if settings.quarantine is None:
                fact = f"nothing can fence {settings.instance} in {region}: failovers need --accept-split, planned moves are refused"
                found.append(self.finding(Severity.WARNING, fact, f"write regions.{region}.quarantine: a security group without rules"))
        return Judged(roles, found, self._lag(looks))

    def watches(self) -> Sequence[Use]:
        """What the monitor calls."""
        return [use for region in self.config.regions for use in (Use(INSTANCES, region, (self.arn(region),)), Use(GET, region))]

    def recovery_point(self, region: str) -> datetime | None:
        """The newest moment whose data a replica holds, by its own CloudWatch; None: it has no value. Raises StepError."""
        value = self.lag_value(region)
        return value.at - timedelta(seconds=value.value) if value is not None else None

    def lag_value(self, region: str) -> Value | None:
        """ReplicaLag, in seconds. Raises StepError."""
        return self._metrics.newest(self.places[region], self._question(region))

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain for an intent. ``reprotect``: ``target`` writes now, a new replica is made in ``source``."""
        if intent is Intent.REPROTECT:
            return self._aside(source, target), self._follow(source, target)
        if not intent.planned:
            return self._prepare(source, target), self._fence(source, target), self._promote(source, target, ("prepare", "fence"))
        return (
            self._prepare(source, target), self._fence_planned(source, target), self._catch_up(source, target),
            self._promote(source, target, ("prepare", "fence", "drain")),
            self._aside(source, target, ("promote",)), self._follow(source, target),
        )  # fmt: skip

    def _prepare(self, source: str, target: str) -> Step:
        shown = self.shown(target, "DBInstanceStatus")
        return self.step(
            Verb.PREPARE, target, f"{target} is a healthy replica", Prepare(self, source, target),
            uses=(self._seen(target), Use(GET, target)), typed=Typed(shown, f"{shown} | {SERVES}"),
            estimate=timedelta(milliseconds=300), budget=timedelta(minutes=5),
        )  # fmt: skip

    def _fence(self, source: str, target: str) -> Step:
        check = f"{self.shown(source, 'VpcSecurityGroups[].VpcSecurityGroupId')} | grep -qx '{self.config.regions[source].quarantine}'"
        return self.step(
            Verb.FENCE, source, f"{source} into quarantine, if it can be reached", FenceLost(self, source, target),
            uses=tuple(replace(use, tried=True) for use in (self._seen(source), Use(MODIFY, source, (self.arn(source),)))),
            typed=Typed(self.typed(self.places[source], MODIFY, self.quarantined(source)), check),
            estimate=timedelta(seconds=2), budget=timedelta(seconds=30), max_attempts=1,
        )  # fmt: skip

    def _fence_planned(self, source: str, target: str) -> Step:
        check = f"{self.shown(source, 'VpcSecurityGroups[].VpcSecurityGroupId')} | grep -qx '{self.config.regions[source].quarantine}'"
        return self.step(
            Verb.FENCE, source, f"{source} into quarantine", FencePlanned(self, source, target), undoable=True,
            uses=(self._seen(source), Use(MODIFY, source, (self.arn(source),))),
            typed=Typed(self.typed(self.places[source], MODIFY, self.quarantined(source)), check),
            estimate=timedelta(seconds=5), budget=timedelta(minutes=10), needs=("prepare",),
        )  # fmt: skip

    def _catch_up(self, source: str, target: str) -> Step:
        wait = "echo 'wait until ReplicaLag was 0 at a moment after the fence'"
        return self.step(
            Verb.DRAIN, target, f"{target} has everything that {source} wrote", CatchUp(self, source, target),
            uses=(self._seen(target), Use(GET, target)), typed=Typed(wait, wait), estimate=timedelta(minutes=2),
            budget=timedelta(minutes=20), needs=("fence",), max_attempts=60,
        )  # fmt: skip

    def _promote(self, source: str, target: str, needs: Sequence[str]) -> Step:
        alone = f"{self.shown(target, 'ReadReplicaSourceDBInstanceIdentifier')} | grep -qx None"
        check = f"{alone} && {self.shown(target, 'DBInstanceStatus')} | {SERVES}"
        return self.step(
            Verb.PROMOTE, target, f"{target} takes writes", Promote(self, source, target),
            uses=(self._seen(target), Use(GET, target), Use(PROMOTE, target, (self.arn(target),))),
            typed=Typed(self.typed(self.places[target], PROMOTE, self.promotion(target)), check),
            estimate=timedelta(minutes=5), budget=_MINUTES, needs=needs, irreversible=True, max_attempts=1_000,
        )  # fmt: skip

    def _aside(self, source: str, target: str, needs: Sequence[str] = ()) -> Step:
        place, aside = self.places[source], self.aside(source)
        check = self.typed(place, INSTANCES, {"DBInstanceIdentifier": aside}, query="DBInstances[0].DBInstanceStatus", text=True)
        return self.step(
            Verb.PRESERVE, source, f"keep {self.config.regions[source].instance} as {aside}", SetAside(self, source, target),
            uses=(
                self._seen(target), self._seen(source), Use(INSTANCES, source, (self.arn(source, aside),)),
                Use(MODIFY, source, (self.arn(source), self.arn(source, aside))),
            ),
            typed=Typed(self.typed(place, MODIFY, self.set_aside(source)), f"{check} | grep -q ."),
            estimate=timedelta(minutes=2), budget=timedelta(hours=2), needs=needs, max_attempts=50,
        )  # fmt: skip

    def _follow(self, source: str, target: str) -> Step:
        follows = f"{self.shown(source, 'ReadReplicaSourceDBInstanceIdentifier')} | grep -q :{self.config.regions[target].instance}"
        check = f"{follows} && {self.shown(source, 'DBInstanceStatus')} | {SERVES}"
        if group := self.config.regions[source].parameter_group:
            check += f" && {self.shown(source, 'DBParameterGroups[0].DBParameterGroupName')} | grep -qx {group}"
        return self.step(
            Verb.FOLLOW, source, f"a new replica of {target} in {source}", Follow(self, source, target),
            uses=(
                self._seen(target), self._seen(source), Use(INSTANCES, source, (self.arn(source, self.aside(source)),)),
                *self.anew.uses(source),
            ),
            typed=Typed(self.anew.by_hand(source), check),
            estimate=timedelta(minutes=15), budget=timedelta(hours=14), needs=("preserve",), max_attempts=50,
        )  # fmt: skip

    # --- what is sent, for steps and for people ---

    def arn(self, region: str, name: str = "") -> str:
        """An instance."""
        place = self.places[region]
        return f"arn:aws:rds:{place.code}:{place.account or '*'}:db:{name or self.config.regions[region].instance}"

    def aside(self, region: str) -> str:
        """What the old instance is called once it is set aside."""
        return self.config.regions[region].instance + ASIDE

    def promotion(self, region: str) -> dict[str, Any]:
        """Parameters of PromoteReadReplica."""
        return {"DBInstanceIdentifier": self.config.regions[region].instance}

    def quarantined(self, region: str) -> dict[str, Any]:
        """Parameters of ModifyDBInstance that let nobody in."""
        settings = self.config.regions[region]
        return {
            "DBInstanceIdentifier": settings.instance, "VpcSecurityGroupIds": [settings.quarantine or "sg-QUARANTINE"],
            "ApplyImmediately": True,
        }  # fmt: skip

    def reachable(self, region: str) -> dict[str, Any]:
        """Parameters of ModifyDBInstance that let its clients in. Raises Permanent: nobody knows through which security groups."""
        named, reached = self.config.regions[region].instance, self.anew.like(region).get("security_groups", "").split()
        if not reached:
            raise Permanent(
                f"{named} is in quarantine, and which security groups it had is not known",
                hint=f"write regions.{region}.security_groups: those through which its clients reach it",
            )
        return {"DBInstanceIdentifier": named, "VpcSecurityGroupIds": reached, "ApplyImmediately": True}

    def set_aside(self, region: str) -> dict[str, Any]:
        """Parameters of ModifyDBInstance that give the other name."""
        settings = self.config.regions[region]
        closed = {} if settings.quarantine is None else {"VpcSecurityGroupIds": [settings.quarantine]}
        return {
            "DBInstanceIdentifier": settings.instance, "NewDBInstanceIdentifier": self.aside(region), "ApplyImmediately": True, **closed,
        }  # fmt: skip

    def shown(self, region: str, what: str) -> str:
        """The command that prints one thing of a region's instance. what: JMESPath."""
        named = {"DBInstanceIdentifier": self.config.regions[region].instance}
        return self.typed(self.places[region], INSTANCES, named, query=f"DBInstances[0].{what}", text=True)

    def _expected(self, region: str) -> str:
        return self.config.regions[self.config.other(region)].instance

    def _seen(self, region: str) -> Use:
        return Use(INSTANCES, region, (self.arn(region),))

    def _question(self, region: str) -> Question:
        return Question("AWS/RDS", "ReplicaLag", (("DBInstanceIdentifier", self.config.regions[region].instance),))

    def _lag(self, looks: Mapping[str, Side | StepError]) -> LagSample:
        now = self.site.clock.now()
        replicas = {
            region: side for region, side in looks.items()
            if isinstance(side, Side) and side.instance is not None and replica_of(side.instance)
        }  # fmt: skip
        if len(replicas) != 1:
            reasons = [side.message for side in looks.values() if isinstance(side, StepError)]
            return self.unknown("; ".join(reasons) or "no region, or more than one, is a replica")
        [(region, side)] = replicas.items()
        if isinstance(side.lag, StepError):
            return self.unknown(side.lag.message)
        if side.lag is None or side.lag.value < 0:  # -1: replication does not run
            return self.unknown(f"CloudWatch in {region} has no lag of it: replication may not run")
        point = side.lag.at - timedelta(seconds=side.lag.value)
        return LagSample(
            component=self.name, at=now, state=Known.BOUND, lag=max(now - point, timedelta(0)), recovery_point=point, follows=True,
            reason="CloudWatch has one value a minute",
        )  # fmt: skip


def _role(side: Side) -> RegionView:
    if side.instance is None:
        return RegionView(role=Role.STOPPED, reason="there is no instance")
    status = str(side.instance.get("DBInstanceStatus", ""))
    reason = "" if status == "available" else status
    return RegionView(role=Role.SECONDARY if replica_of(side.instance) else Role.PRIMARY, reason=reason)
