"""What one region says of its side of the global database, in a few calls at once."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from dr.errors import Permanent, StepError
from dr.ports import Look
from dr.providers.aws.aurora.calls import ALARMS, CLUSTERS, GLOBAL, INSTANCES, PARAMETERS
from dr.providers.aws.aurora.config import AuroraConfig
from dr.providers.aws.config import region_of
from dr.providers.aws.hub import Aws
from dr.providers.aws.metrics import Metrics, Question, Value
from dr.providers.aws.place import Place
from dr.providers.aws.problems import is_denied
from dr.providers.aws.rds_status import ready

T = TypeVar("T")

RPO_PARAMETER = "rds.global_db_rpo"
LAGS = ("AuroraGlobalDBRPOLag", "AuroraGlobalDBReplicationLag")
"""How far a secondary is behind in users' transactions; how far in replicating at all, for MySQL before 3.04 and 2.12, which has no other.
Milliseconds, in secondary regions only: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-global-database-disaster-
recovery.html, https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.AuroraMonitoring.Metrics.html. That they are filed under
``SourceRegion``, too, is from field reports: https://awsauroralabsmy.com/global/cw/."""
_SLOW_SECONDS = 300.0
"""Parameters and alarms change when people change them: asked every five minutes."""


@dataclass(frozen=True)
class Member:
    """A cluster of the global database, as one region sees it."""

    arn: str
    writer: bool
    synchronization: str

    @property
    def code(self) -> str:
        """Its AWS region."""
        return region_of(self.arn)


@dataclass(frozen=True)
class Whole:
    """The global database as one region knows it. moving_to: ARN of the member that a failover or switchover leads to now."""

    status: str
    members: tuple[Member, ...]
    moving_to: str = ""

    def member(self, place: Place) -> Member | None:
        """The one of a region."""
        return next((item for item in self.members if item.code == place.code), None)


@dataclass(frozen=True)
class Settled:
    """What changes seldom. rpo: seconds of ``rds.global_db_rpo`` where somebody set it. alarms: names of alarms on the lag.

    Both are None where they could not be asked; ``refused``: why, where a permission is missing."""

    rpo: int | None
    alarms: tuple[str, ...] | None
    refused: tuple[StepError, ...] = ()


@dataclass(frozen=True)
class Side:
    """One region's side. whole: None: its cluster stands alone, or there is none. instances: identifier → status.

    lag: None: CloudWatch has no value; an error: it did not answer, or must not. like: what another one like it would be made of."""

    region: str
    whole: Whole | None
    member: Member | None
    arn: str
    status: str
    version: str
    endpoint: str
    parameter_group: str
    instances: Mapping[str, str]
    lag: Value | StepError | None
    settled: Settled
    encrypted: bool = False
    like: Mapping[str, str] = field(default_factory=dict)

    @property
    def available(self) -> int:
        """Instances that work, or will in a moment."""
        return sum(ready(status) is not Look.BLOCKED for status in self.instances.values())

    @property
    def writes(self) -> bool:
        """It is the writer of the global database, or stands alone."""
        return self.member.writer if self.member is not None else bool(self.arn)


def like(described: Mapping[str, Any]) -> dict[str, str]:
    """What a cluster is like, as DescribeDBClusters says it, by the words of the runbook."""
    groups = (str(item["VpcSecurityGroupId"]) for item in described.get("VpcSecurityGroups", ()))
    return {
        "kms_key": str(described.get("KmsKeyId", "")) if described.get("StorageEncrypted") else "",
        "subnet_group": str(described.get("DBSubnetGroup", "")), "security_groups": " ".join(sorted(groups)),
        "parameter_group": str(described.get("DBClusterParameterGroup", "")),
    }  # fmt: skip


def questions(place: Place, cluster: str, source: Place) -> tuple[Question, ...]:
    """The lag of a secondary, best first. CloudWatch files it under the cluster and where its data comes from; also without that."""
    own = ("DBClusterIdentifier", cluster)
    return tuple(
        Question("AWS/RDS", name, dimensions) for name in LAGS for dimensions in ((own, ("SourceRegion", source.code)), (own,))
    )  # fmt: skip


def whole(aws: Aws, place: Place, name: str) -> Whole | None:
    """The global database as a region knows it; None: it knows none of that name. Raises StepError."""
    answer = aws.read(place, GLOBAL, GlobalClusterIdentifier=name)
    found = next(iter(answer["GlobalClusters"]), None)
    if found is None:
        return None
    members = tuple(
        Member(str(item["DBClusterArn"]), bool(item.get("IsWriter")), str(item.get("SynchronizationStatus", "")))
        for item in found.get("GlobalClusterMembers", ())
    )
    under_way = found.get("FailoverState") or {}
    going = under_way.get("Status") in ("pending", "failing-over")
    return Whole(str(found.get("Status", "")), members, str(under_way.get("ToDbClusterArn", "")) if going else "")


def cluster(aws: Aws, place: Place, name: str) -> Mapping[str, Any] | None:
    """A region's cluster as described; None: there is none. Raises StepError."""
    try:
        answer = aws.read(place, CLUSTERS, DBClusterIdentifier=name)
    except Permanent as error:
        if "DBClusterNotFoundFault" in error.message:
            return None
        raise
    found: Mapping[str, Any] | None = next(iter(answer["DBClusters"]), None)
    return found


def instances(aws: Aws, place: Place, name: str) -> dict[str, str]:
    """The instances of a cluster and their states. Raises StepError."""
    pages = aws.pages(place, INSTANCES, Filters=[{"Name": "db-cluster-id", "Values": [name]}])
    return {str(item["DBInstanceIdentifier"]): str(item["DBInstanceStatus"]) for page in pages for item in page["DBInstances"]}


class Looker:
    """Looks at one region at a time. Threads may use it at once."""

    def __init__(self, aws: Aws, config: AuroraConfig, places: Mapping[str, Place]) -> None:
        self._aws, self._config, self._places = aws, config, places
        self._metrics = Metrics.of(aws)
        self._settled: dict[str, tuple[float, Settled]] = {}
        self._lock = Lock()
        for region, place in places.items():
            self._metrics.register(place, *self._questions(region))

    def look(self, place: Place) -> Side:
        """A region's side, now. Raises StepError."""
        region, name = place.region, self._config.regions[place.region].cluster
        start, aws = self._aws.start, self._aws
        answers = start(partial(self._whole, place)), start(partial(cluster, aws, place, name)), start(partial(instances, aws, place, name))
        lag = start(partial(self._lag, place))
        found_whole, described, running = answers[0].result(), answers[1].result() or {}, answers[2].result()
        group, value = str(described.get("DBClusterParameterGroup", "")), _or_why(lag)
        return Side(
            region=region, whole=found_whole, member=found_whole.member(place) if found_whole is not None else None,
            arn=str(described.get("DBClusterArn", "")), status=str(described.get("Status", "")),
            version=str(described.get("EngineVersion", "")), endpoint=str(described.get("Endpoint", "")), parameter_group=group,
            instances=running, lag=value,
            settled=self._seldom(place, group), encrypted=bool(described.get("StorageEncrypted")), like=like(described),
        )  # fmt: skip

    def recovery_point(self, place: Place) -> datetime | None:
        """The newest moment whose data the region holds, by its own CloudWatch; None: it says nothing. Raises StepError."""
        value = self._lag(place)
        return value.at - timedelta(milliseconds=value.value) if value is not None else None

    def _whole(self, place: Place) -> Whole | None:
        try:
            return whole(self._aws, place, self._config.global_cluster)
        except Permanent as error:
            if "GlobalClusterNotFoundFault" in error.message:
                return None
            raise

    def _questions(self, region: str) -> tuple[Question, ...]:
        source = self._places[self._config.other(region)]
        return questions(self._places[region], self._config.regions[region].cluster, source)

    def _lag(self, place: Place) -> Value | None:
        values = (self._metrics.newest(place, question) for question in self._questions(place.region))
        return next((value for value in values if value is not None), None)

    def _seldom(self, place: Place, group: str) -> Settled:
        now = self._aws.site.clock.monotonic()
        with self._lock:
            known = self._settled.get(place.region)
        if known is not None and now - known[0] < _SLOW_SECONDS:
            return known[1]
        rpo, alarms = self._aws.start(partial(self._rpo, place, group)), self._aws.start(partial(self._alarms, place))
        seen = _or_why(rpo), _or_why(alarms)
        refused = tuple(item for item in seen if isinstance(item, StepError) and is_denied(item))
        found = Settled(
            None if isinstance(seen[0], StepError) else seen[0], None if isinstance(seen[1], StepError) else seen[1], refused
        )  # fmt: skip
        with self._lock:
            self._settled[place.region] = now, found
        return found

    def _rpo(self, place: Place, group: str) -> int | None:
        if not group:
            return None
        for page in self._aws.pages(place, PARAMETERS, DBClusterParameterGroupName=group, Source="user"):
            for item in page["Parameters"]:
                if item.get("ParameterName") == RPO_PARAMETER and str(item.get("ParameterValue", "")).isdigit():
                    return int(item["ParameterValue"])
        return None

    def _alarms(self, place: Place) -> tuple[str, ...]:
        """Of the first metric that has any: three such questions a second are all that an account may ask."""
        for question in self._questions(place.region):
            dimensions = [{"Name": name, "Value": value} for name, value in question.dimensions]
            answer = self._aws.read(place, ALARMS, Namespace=question.namespace, MetricName=question.name, Dimensions=dimensions)
            if answer["MetricAlarms"]:
                return tuple(str(item["AlarmName"]) for item in answer["MetricAlarms"])
        return ()


def _or_why(asked: Future[T]) -> T | StepError:
    """What must not hide the rest where it cannot be asked."""
    try:
        return asked.result()
    except StepError as error:
        return error
