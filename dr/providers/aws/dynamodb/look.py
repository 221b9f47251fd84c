"""What one region says of its replica: how it is set up, asked every five minutes, and how long its writes take to the other one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from threading import Lock
from typing import Any

from dr.errors import StepError
from dr.providers.aws.dynamodb.calls import BACKUPS, EXPIRY, SCALING, TABLE
from dr.providers.aws.dynamodb.config import GlobalTableConfig
from dr.providers.aws.hub import Aws
from dr.providers.aws.metrics import Metrics, Question
from dr.providers.aws.place import Place
from dr.providers.aws.two_way import Told, measured

SETTLED_SECONDS = 300.0
_EXTRA_SECONDS = 0.7
"""So long a look waits for what is only for findings."""
_CURRENT = "2019.11.21"
_NOT_TOLD_YET = timedelta(minutes=2)
"""CloudWatch of DynamoDB comes within so long."""
WRITES = ("ReadCapacityUnits", "WriteCapacityUnits")


@dataclass(frozen=True)
class Replica:
    """A table as its region describes it. replicas: status by AWS region, this one left out. expiry, backups, scaling: None: not asked.

    strong: a write is in a second region before it is acknowledged. indexes: names. scaling: dimensions that scale by themselves."""

    status: str
    replicas: Mapping[str, str]
    notes: Mapping[str, str]
    strong: bool
    current: bool
    on_demand: bool
    stream: str
    indexes: frozenset[str]
    protected: bool
    keys: Mapping[str, str]
    expiry: str | None = None
    backups: bool | None = None
    scaling: frozenset[str] | None = None

    @property
    def works(self) -> bool:
        """It takes reads and writes: while it is being changed, too."""
        return self.status in ("ACTIVE", "UPDATING")


@dataclass(frozen=True)
class Side:
    """One region's replica, and what it says of its sending to the other one."""

    replica: Replica
    told: Told


class Looker:
    """Looks at one region at a time. Threads may use it at once."""

    def __init__(self, aws: Aws, config: GlobalTableConfig, places: Mapping[str, Place]) -> None:
        self._aws, self._config, self._places = aws, config, places
        self._metrics = Metrics.of(aws)
        self._settled: dict[tuple[str, str], tuple[float, Any]] = {}
        self._lock = Lock()
        for region, place in places.items():
            self._metrics.register(place, *self._questions(region))

    def look(self, place: Place) -> Side:
        """A region's side, now. Raises StepError."""
        replica = self._known(place)
        return Side(replica, measured(lambda: self.told(place, replica)))

    def replica(self, place: Place) -> Replica:
        """The table as described now. Raises StepError."""
        table = self._aws.read(place, TABLE, TableName=self._config.table)["Table"]
        billing = (table.get("BillingModeSummary") or {}).get("BillingMode", "PROVISIONED")
        stream = table.get("StreamSpecification") or {}
        others = [item for item in table.get("Replicas", ()) if item["RegionName"] != place.code]
        return Replica(
            status=str(table["TableStatus"]), replicas={str(item["RegionName"]): str(item.get("ReplicaStatus", "")) for item in others},
            notes={str(item["RegionName"]): str(item.get("ReplicaStatusDescription", "")) for item in others},
            strong=table.get("MultiRegionConsistency") == "STRONG", current=table.get("GlobalTableVersion", _CURRENT) == _CURRENT,
            on_demand=billing == "PAY_PER_REQUEST", stream=str(stream.get("StreamViewType", "")) if stream.get("StreamEnabled") else "",
            indexes=frozenset(str(item["IndexName"]) for item in table.get("GlobalSecondaryIndexes", ())),
            protected=bool(table.get("DeletionProtectionEnabled")), keys=_keys(table),
        )  # fmt: skip

    def told(self, place: Place, replica: Replica) -> Told:
        """What CloudWatch has of a region's sending. Raises StepError."""
        other = self._places[self._config.other(place.region)]
        status = replica.replicas.get(other.code)
        if status is None:
            return Told(None, f"the table in {place.region} has no replica in {other.region}", follows=False)
        if status not in ("ACTIVE", "UPDATING"):
            return Told(None, f"the replica in {other.region} is {status}, says {place.region}", follows=False)
        now = self._aws.site.clock.now()
        if replica.strong:
            return Told(now, follows=True)
        latency, writes = (self._metrics.newest(place, question) for question in self._questions(place.region))
        if latency is not None:
            return Told(latency.at - timedelta(milliseconds=latency.value), follows=True)
        if writes is None or writes.value == 0:
            return Told(now - _NOT_TOLD_YET, f"nobody wrote in {place.region} in the last 20 minutes", follows=True)
        return Told(None, f"CloudWatch in {place.region} has writes and no ReplicationLatency of the last 20 minutes")

    def slowest(self, place: Place) -> timedelta:
        """How long a write takes to the other region, by the newest value; zero where there is none. Raises StepError."""
        value = self._metrics.newest(place, self._questions(place.region)[0])
        return timedelta(milliseconds=value.value) if value is not None else timedelta(0)

    def _questions(self, region: str) -> tuple[Question, Question]:
        table, other = ("TableName", self._config.table), self._places[self._config.other(region)]
        return (
            Question("AWS/DynamoDB", "ReplicationLatency", (table, ("ReceivingRegion", other.code))),
            Question("AWS/DynamoDB", "ConsumedWriteCapacityUnits", (table,), "Sum"),
        )

    def _known(self, place: Place) -> Replica:
        """With what is only for findings, as far as that came in time: what comes later is kept for the next look."""
        now = self._aws.site.clock.monotonic()
        described: Replica | None = self._fresh(place.region, "described", now)
        if described is None:
            described = self.replica(place)
            self._keep(place.region, "described", described)
        extras = {"expiry": self._expiry, "backups": self._backups}
        if not described.on_demand:
            extras["scaling"] = self._scaling
        stale = {name: ask for name, ask in extras.items() if self._fresh(place.region, name, now) is None}
        wait([self._aws.start(partial(self._ask, place, name, ask)) for name, ask in stale.items()], timeout=_EXTRA_SECONDS)
        return replace(described, **{name: self._fresh(place.region, name, now) for name in extras})

    def _fresh(self, region: str, name: str, now: float) -> Any:
        with self._lock:
            known = self._settled.get((region, name))
        return known[1] if known is not None and now - known[0] < SETTLED_SECONDS else None

    def _keep(self, region: str, name: str, value: Any) -> None:
        with self._lock:
            self._settled[region, name] = self._aws.site.clock.monotonic(), value

    def _ask(self, place: Place, name: str, ask: Callable[[Place], Any]) -> None:
        with contextlib.suppress(StepError):  # worth nothing where it cannot be asked
            self._keep(place.region, name, ask(place))

    def _expiry(self, place: Place) -> str:
        found = self._aws.read(place, EXPIRY, TableName=self._config.table).get("TimeToLiveDescription") or {}
        return str(found.get("AttributeName", "")) if found.get("TimeToLiveStatus") in ("ENABLED", "ENABLING") else ""

    def _backups(self, place: Place) -> bool:
        found = self._aws.read(place, BACKUPS, TableName=self._config.table)["ContinuousBackupsDescription"]
        return bool((found.get("PointInTimeRecoveryDescription") or {}).get("PointInTimeRecoveryStatus") == "ENABLED")

    def _scaling(self, place: Place) -> frozenset[str]:
        pages = self._aws.pages(place, SCALING, ServiceNamespace="dynamodb", ResourceIds=[f"table/{self._config.table}"])
        return frozenset(str(item["ScalableDimension"]).rpartition(":")[2] for page in pages for item in page.get("ScalableTargets", ()))


def _keys(table: Mapping[str, Any]) -> dict[str, str]:
    """Key attribute → its type (S, N, B)."""
    types = {item["AttributeName"]: item["AttributeType"] for item in table.get("AttributeDefinitions", ())}
    return {item["AttributeName"]: types.get(item["AttributeName"], "S") for item in table.get("KeySchema", ())}
