"""What one region says of its bucket: settings, asked every five minutes, and how far its sending is behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any

from dr.errors import Permanent, StepError
from dr.providers.aws.hub import Aws
from dr.providers.aws.metrics import Metrics, Question, Value
from dr.providers.aws.place import Place
from dr.providers.aws.s3.calls import ENCRYPTION, KEY, NO_ENCRYPTION, NO_RULES, REPLICATION, VERSIONING
from dr.providers.aws.s3.config import S3BucketConfig
from dr.providers.aws.s3.routes import Routes
from dr.providers.aws.two_way import Told, measured

SETTLED_SECONDS = 300.0

"""Settings change when people change them."""


@dataclass(frozen=True)
class Rule:
    """A replication rule. modifications: of replicas are sent back. kms: objects that are encrypted with a key are sent, too."""

    id: str
    bucket: str
    enabled: bool
    prefix: str
    tagged: bool
    timed: bool
    measured: bool
    deletes: bool
    kms: bool
    replica_key: str
    modifications: bool

    def covers(self, key: str) -> bool:
        """Every object of this key is sent."""
        return self.enabled and not self.tagged and key.startswith(self.prefix)

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> Rule:
        """Out of GetBucketReplication."""
        chosen, there = item.get("Filter") or {}, item["Destination"]
        both, selection = chosen.get("And") or {}, item.get("SourceSelectionCriteria") or {}
        return cls(
            id=str(item.get("ID", "")), bucket=str(there["Bucket"]).rpartition(":")[2], enabled=item["Status"] == "Enabled",
            prefix=str(chosen.get("Prefix") or both.get("Prefix") or item.get("Prefix") or ""),
            tagged=bool(chosen.get("Tag") or both.get("Tags")), timed=_on(there.get("ReplicationTime")), measured=_on(there.get("Metrics")),
            deletes=_on(item.get("DeleteMarkerReplication")), kms=_on(selection.get("SseKmsEncryptedObjects")),
            replica_key=str((there.get("EncryptionConfiguration") or {}).get("ReplicaKmsKeyID", "")),
            modifications=_on(selection.get("ReplicaModifications")),
        )  # fmt: skip


def _on(item: Mapping[str, Any] | None) -> bool:
    return bool(item) and item is not None and item.get("Status") == "Enabled"


@dataclass(frozen=True)
class Settings:
    """A bucket as it is set up. kms: the key that it encrypts with by default, empty: S3's own; key: its state, empty: not asked.

    rules: those that send to the other region's bucket. routes: by bucket, of the Multi-Region Access Point; None: not asked."""

    versioning: str
    rules: tuple[Rule, ...]
    kms: str = ""
    key: str = ""
    routes: Mapping[str, int] | None = None

    @property
    def sending(self) -> tuple[Rule, ...]:
        """The rules that are on."""
        return tuple(rule for rule in self.rules if rule.enabled)


@dataclass(frozen=True)
class Side:
    """One region's bucket, and what it says of its sending to the other one."""

    settings: Settings
    told: Told


class Looker:
    """Looks at one region at a time. Threads may use it at once."""

    def __init__(self, aws: Aws, config: S3BucketConfig, routes: Routes | None) -> None:
        self._aws, self._config, self._routes = aws, config, routes
        self._metrics = Metrics.of(aws)
        self._settled: dict[str, tuple[float, Settings]] = {}
        self._failed: dict[str, dict[datetime, int]] = {}
        self._lock = Lock()

    def look(self, place: Place) -> Side:
        """A region's side, now. Raises StepError."""
        settings = self.settings(place)
        return Side(settings, measured(lambda: self.told(place, settings)))

    def settings(self, place: Place, *, fresh: bool = False) -> Settings:
        """How a region's bucket is set up. ``fresh``: asked in any case. Raises StepError."""
        now = self._aws.site.clock.monotonic()
        with self._lock:
            known = self._settled.get(place.region)
        if known is not None and now - known[0] < SETTLED_SECONDS and not fresh:
            return known[1]
        bucket = self._config.regions[place.region].bucket
        rules = self._aws.start(partial(self._rules, place, bucket))
        kms = self._aws.start(partial(self._kms, place, bucket))
        routes = self._aws.start(partial(self._routes.now, place)) if self._routes is not None else None
        versioning = str(self._aws.read(place, VERSIONING, Bucket=bucket).get("Status", ""))
        key, state = kms.result()
        found = Settings(versioning, rules.result(), key, state, _or_none(routes.result) if routes is not None else None)
        with self._lock:
            self._settled[place.region] = now, found
        return found

    def told(self, place: Place, settings: Settings) -> Told:
        """What CloudWatch has of a region's sending. Raises StepError."""
        other = self._config.regions[self._config.other(place.region)].bucket
        if not settings.sending:
            return Told(None, f"nothing is sent from {place.region} to {other}", follows=False)
        rules = [rule for rule in settings.sending if rule.measured or rule.timed]
        if len(rules) < len(settings.sending):
            return Told(None, f"{place.region} does not measure its replication: no metrics and no Replication Time Control")
        values = [self._values(place, self._config.regions[place.region].bucket, other, rule) for rule in rules]
        points = [point for value in values if (point := _point(value)) is not None]
        if len(points) < len(values):
            why = "enabled less than 15 minutes ago, or nothing was written"
            return Told(None, f"CloudWatch in {place.region} has no value of the last 20 minutes: {why}")
        failed = self._count_failed(place.region, [item for value in values if (item := value["OperationsFailedReplication"]) is not None])
        return Told(
            min(points), behind_bytes=_sum(values, "BytesPendingReplication"), behind_items=_sum(values, "OperationsPendingReplication"),
            failed=failed, follows=True,
        )  # fmt: skip

    def pending_at(self, place: Place) -> tuple[int, datetime] | None:
        """How many operations a region has still to send, and for which moment that was said; None: it does not say. Raises StepError."""
        settings = self.settings(place)
        other = self._config.regions[self._config.other(place.region)].bucket
        values = [self._values(place, self._config.regions[place.region].bucket, other, rule) for rule in settings.sending]
        told = [value["OperationsPendingReplication"] for value in values]
        known = [value for value in told if value is not None]
        if not known or len(known) < len(told):
            return None
        return int(sum(value.value for value in known)), min(value.at for value in known)

    def _values(self, place: Place, bucket: str, other: str, rule: Rule) -> dict[str, Value | None]:
        asked = questions(bucket, other, rule.id)
        self._metrics.register(place, *asked)  # all of them before the first answer is wanted: one call
        return {question.name: self._metrics.newest(place, question) for question in asked}

    def _count_failed(self, region: str, values: Sequence[Value]) -> int:
        """CloudWatch tells a minute's failures in that minute only: those that this process saw in the last day are added up."""
        with self._lock:
            seen = self._failed.setdefault(region, {})
            for value in values:
                minute = value.at + timedelta(seconds=-value.at.timestamp() % 60)
                seen[minute] = max(int(value.value), seen.get(minute, 0))  # a minute that is not over yet is told more than once
            oldest = self._aws.site.clock.now() - timedelta(days=1)
            for at in [at for at in seen if at < oldest]:
                del seen[at]
            return sum(seen.values())

    def _rules(self, place: Place, bucket: str) -> tuple[Rule, ...]:
        other = self._config.regions[self._config.other(place.region)].bucket
        try:
            answer = self._aws.read(place, REPLICATION, Bucket=bucket)
        except Permanent as error:
            if NO_RULES in error.message:
                return ()
            raise
        rules = (Rule.read(item) for item in answer["ReplicationConfiguration"]["Rules"])
        return tuple(rule for rule in rules if rule.bucket == other)

    def _kms(self, place: Place, bucket: str) -> tuple[str, str]:
        """The default key and its state."""
        try:
            answer = self._aws.read(place, ENCRYPTION, Bucket=bucket)
        except Permanent as error:
            if NO_ENCRYPTION in error.message:
                return "", ""
            raise
        rules = answer["ServerSideEncryptionConfiguration"].get("Rules", ())
        defaults = [item.get("ApplyServerSideEncryptionByDefault") or {} for item in rules]
        found = next((item for item in defaults if str(item.get("SSEAlgorithm", "")).startswith("aws:kms")), None)
        if found is None:
            return "", ""
        key = str(found.get("KMSMasterKeyID") or "alias/aws/s3")
        try:
            return key, str(self._aws.read(place, KEY, KeyId=key)["KeyMetadata"]["KeyState"])
        except Permanent as error:
            return key, "NotFound" if "NotFoundException" in error.message else ""


def questions(bucket: str, other: str, rule: str) -> tuple[Question, ...]:
    """What is asked of one rule. https://docs.aws.amazon.com/AmazonS3/latest/userguide/repl-metrics.html: latency in seconds."""
    dimensions = (("SourceBucket", bucket), ("DestinationBucket", other), ("RuleId", rule))
    peak = ("ReplicationLatency", "BytesPendingReplication", "OperationsPendingReplication")
    return *(Question("AWS/S3", name, dimensions) for name in peak), Question("AWS/S3", "OperationsFailedReplication", dimensions, "Sum")


def _point(values: Mapping[str, Value | None]) -> datetime | None:
    """What was written before this moment has arrived: as far back as the latency says; now, where nothing is pending."""
    latency, pending = values["ReplicationLatency"], values["OperationsPendingReplication"]
    if pending is not None and pending.value == 0:
        return pending.at
    return latency.at - timedelta(seconds=latency.value) if latency is not None else None


def _sum(values: Sequence[Mapping[str, Value | None]], name: str) -> int | None:
    known = [int(item.value) for value in values if (item := value[name]) is not None]
    return sum(known) if known else None


def _or_none(ask: Any) -> Mapping[str, int] | None:
    try:
        found: Mapping[str, int] = ask()
    except StepError:
        return None
    return found
