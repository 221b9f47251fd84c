"""What both buckets come to: what keeps a region from being moved to, and what would be lost without anybody noticing. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dr.errors import StepError
from dr.model.lag import Finding
from dr.model.words import Severity
from dr.providers.aws.config import region_of
from dr.providers.aws.s3.by_hand import ByHand
from dr.providers.aws.s3.config import S3BucketConfig
from dr.providers.aws.s3.look import Rule, Settings, Side

Looks = Mapping[str, Side | StepError]
_GOOD_KEYS = ("", "Enabled")


class Judge:
    """Of one component. Facts name buckets; fixes are commands or settings."""

    def __init__(self, name: str, config: S3BucketConfig, codes: Mapping[str, str], by_hand: ByHand) -> None:
        self._name, self._config, self._codes, self._by_hand = name, config, codes, by_hand

    def findings(self, looks: Looks) -> Iterator[Finding]:
        """Of every region that answered."""
        for region, side in looks.items():
            if isinstance(side, StepError):
                continue
            yield from self._bucket(region, side.settings)
            if not side.settings.sending:
                yield self._no_rule(region, side.settings)
                continue
            for rule in side.settings.sending:
                yield from self._rule(region, rule, side.settings)
            yield from self._told(region, side)
        if self._config.batch_role is None:
            fact = "no batch_role: what was written before a rule, or failed, cannot be brought over, only named"
            yield self._finding(Severity.WARNING, fact, "batch_role: ARN of a role for S3 Batch Operations")

    def _bucket(self, region: str, settings: Settings) -> Iterator[Finding]:
        bucket = self._config.regions[region].bucket
        if settings.versioning != "Enabled":
            state = settings.versioning or "never enabled"
            fact = f"versioning of {bucket} in {region} is {state}: nothing is replicated to or from it, and what is overwritten is lost"
            yield self._finding(Severity.ERROR, fact, self._by_hand.versioning(region))
        if settings.key not in _GOOD_KEYS:
            fact = f"{bucket} in {region} encrypts with {settings.kms}, which is {settings.key}: it takes no writes and no replicas"
            fix = f"aws kms enable-key --key-id {settings.kms} --region {self._codes[region]}"
            yield self._finding(Severity.ERROR, fact, fix, region)
        if settings.routes is not None and bucket not in settings.routes:
            fact = f"{bucket} in {region} is no part of {self._config.access_point}: traffic cannot be moved there"
            yield self._finding(Severity.ERROR, fact, "a new Multi-Region Access Point: its buckets cannot be changed", region)

    def _no_rule(self, region: str, settings: Settings) -> Finding:
        other = self._config.other(region)
        ours, theirs = self._config.regions[region].bucket, self._config.regions[other].bucket
        off = ", ".join(rule.id for rule in settings.rules)
        fact = f"nothing is sent from {ours} in {region} to {theirs} in {other}" + (f": {off} is disabled" if off else ": there is no rule")
        return self._finding(Severity.ERROR, fact, self._by_hand.rule(region), other)

    def _rule(self, region: str, rule: Rule, settings: Settings) -> Iterator[Finding]:
        other = self._config.other(region)
        edit = self._by_hand.rule(region)
        named = f"rule {rule.id} from {self._config.regions[region].bucket} in {region} to {other}"
        off = (
            (
                not rule.timed,
                "has no Replication Time Control: an RPO of 15m is nobody's promise",
                "ReplicationTime and Metrics, 15 minutes",
            ),
            (not rule.timed and not rule.measured, "measures nothing: its lag cannot be known", "Metrics: {Status: Enabled}"),
            (not rule.deletes, "leaves out delete markers: what was deleted comes back with a move", "DeleteMarkerReplication: Enabled"),
            (not rule.modifications, "does not send changes of replicas back (replica modification sync)", "ReplicaModifications: Enabled"),
        )
        for is_it, fact, setting in off:
            if is_it:
                yield self._finding(Severity.WARNING, f"{named} {fact}", f"{edit} with {setting}", other)
        if rule.prefix or rule.tagged:
            part = f"prefix {rule.prefix}" if rule.prefix else "some tags"
            yield self._finding(Severity.WARNING, f"{named} sends only what has {part}", f"{edit} without a filter", other)
        yield from self._keys(region, rule, settings, named)

    def _keys(self, region: str, rule: Rule, settings: Settings, named: str) -> Iterator[Finding]:
        other, edit = self._config.other(region), self._by_hand.rule(region)
        if settings.kms and not rule.kms:
            fact = f"{named} leaves out what is encrypted with a key, and the bucket encrypts with {settings.kms}: nothing is sent"
            yield self._finding(Severity.ERROR, fact, f"{edit} with SseKmsEncryptedObjects and ReplicaKmsKeyID", other)
        there = region_of(rule.replica_key) if rule.replica_key.startswith("arn:") else ""
        if there and there != self._codes[other]:
            fact = f"{named} encrypts with {rule.replica_key}, which is a key of {there}: {other} cannot use it"
            yield self._finding(Severity.ERROR, fact, f"{edit} with ReplicaKmsKeyID of {self._codes[other]}", other)
        if rule.kms and not rule.replica_key:
            yield self._finding(Severity.ERROR, f"{named} names no key for replicas", f"{edit} with ReplicaKmsKeyID", other)

    def _told(self, region: str, side: Side) -> Iterator[Finding]:
        other, told = self._config.other(region), side.told
        if told.failed:
            fact = f"{told.failed} objects of {region} failed to replicate to {other}: they never will by themselves"
            yield self._finding(Severity.WARNING, fact, self._by_hand.batch(region), other)
        elif told.point is None and told.follows is None and told.reason and told.unasked is None:
            yield self._finding(
                Severity.WARNING, told.reason, "Metrics or ReplicationTime of the rule; dr monitor remembers what they say", other
            )

    def _finding(self, severity: Severity, fact: str, fix: str, region: str | None = None) -> Finding:
        return Finding(component=self._name, severity=severity, fact=f"{self._name}: {fact}", fix=fix, region=region)
