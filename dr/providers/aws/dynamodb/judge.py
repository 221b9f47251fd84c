"""What both replicas come to: what keeps a region from being moved to, and where they are not alike. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dr.errors import StepError
from dr.model.lag import Finding
from dr.model.words import Severity
from dr.providers.aws.dynamodb.config import GlobalTableConfig
from dr.providers.aws.dynamodb.look import WRITES, Replica, Side
from dr.providers.aws.place import Place

_BAD = {
    "REGION_DISABLED": "after 20 hours DynamoDB takes it out of the group for good: enable the region",
    "INACCESSIBLE_ENCRYPTION_CREDENTIALS": "after 20 hours DynamoDB takes it out of the group for good: enable its KMS key",
    "REPLICATION_NOT_AUTHORIZED": "its resource policy must allow replication again, within 20 hours",
    "ARCHIVED": "it was archived for want of its key: it must be restored from the backup",
    "CREATION_FAILED": "delete it, and create it again: aws dynamodb update-table --replica-updates",
}


class Judge:
    """Of one component."""

    def __init__(self, name: str, config: GlobalTableConfig, places: Mapping[str, Place]) -> None:
        self._name, self._config, self._places = name, config, places

    def findings(self, looks: Mapping[str, Side | StepError]) -> Iterator[Finding]:
        """Of every region that answered, and of where they differ."""
        sides = {region: side.replica for region, side in looks.items() if isinstance(side, Side)}
        for region, replica in sides.items():
            yield from self._one(region, replica)
        if len(sides) == len(self._places):
            (one, here), (other, there) = sides.items()
            yield from self._alike(one, here, other, there)
        if not self._config.marker:
            fact = "no marker in the runbook: that the target takes writes is DynamoDB's word, no write is tried"
            yield self._finding(Severity.INFO, fact, "marker: {KEY: VALUE}, an item that nobody else writes")

    def _one(self, region: str, replica: Replica) -> Iterator[Finding]:
        other, table, code = self._config.other(region), self._config.table, self._places[region].code
        there = self._places[other].code
        flags = f"--table-name {table} --region {code}"
        if not replica.works:
            fact = f"the table in {region} is {replica.status}: {_BAD.get(replica.status, 'it takes no writes')}"
            yield self._finding(Severity.ERROR, fact, f"aws dynamodb describe-table {flags}", region)
        status = replica.replicas.get(there)
        if status is None:
            create = f"aws dynamodb update-table {flags} --replica-updates Create={{RegionName={there}}}"
            yield self._finding(Severity.ERROR, f"{table} in {region} has no replica in {other}", create, other)
        elif status not in ("ACTIVE", "UPDATING"):
            why = replica.notes.get(there) or _BAD.get(status, "not ready")
            yield self._finding(
                Severity.ERROR, f"the replica in {other} is {status}, says {region}: {why}", f"aws dynamodb describe-table {flags}", other
            )
        if not replica.current:
            fact = f"{table} in {region} is a global table of version 2017.11.29: its settings are not kept alike"
            yield self._finding(
                Severity.WARNING, fact, "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_upgrade.html"
            )
        if replica.backups is False:
            fact = f"{region} has no point-in-time recovery: what a later write replaces after a failover is gone for good"
            on = f"aws dynamodb update-continuous-backups {flags} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
            yield self._finding(Severity.WARNING, fact, on, region)
        if replica.scaling is not None and not replica.on_demand and (fixed := set(WRITES) - replica.scaling):
            fact = f"{table} in {region} has provisioned capacity that does not scale ({', '.join(sorted(fixed))}): it must carry all of it"
            yield self._finding(Severity.WARNING, fact, f"aws dynamodb update-table {flags} --billing-mode PAY_PER_REQUEST", region)
        wrong = set(self._config.marker) ^ set(replica.keys)
        if self._config.marker and wrong:
            fact = f"marker names {', '.join(sorted(self._config.marker))}, the keys of {table} are {', '.join(sorted(replica.keys))}"
            yield self._finding(Severity.ERROR, fact, f"marker: {{{', '.join(f'{key}: VALUE' for key in replica.keys)}}}", region)

    def _alike(self, one: str, here: Replica, other: str, there: Replica) -> Iterator[Finding]:
        pairs: tuple[tuple[str, object, object, Severity, str], ...] = (
            ("billing", _billing(here), _billing(there), Severity.WARNING, "aws dynamodb update-table --billing-mode"),
            ("the attribute that ends an item's life", here.expiry, there.expiry, Severity.WARNING, "aws dynamodb update-time-to-live"),
            ("the stream", here.stream or "off", there.stream or "off", Severity.WARNING,
             "aws dynamodb update-table --stream-specification"),
            ("deletion protection", here.protected, there.protected, Severity.WARNING,
             "aws dynamodb update-table --deletion-protection-enabled"),
            ("global secondary indexes", _names(here.indexes), _names(there.indexes), Severity.ERROR,
             "aws dynamodb update-table --global-secondary-index-updates"),
            ("consistency", _consistency(here), _consistency(there), Severity.WARNING, "aws dynamodb describe-table in both regions"),
        )  # fmt: skip
        for what, ours, theirs, severity, fix in pairs:
            if ours is not None and theirs is not None and ours != theirs:
                yield self._finding(severity, f"{what} differs: {ours or 'none'} in {one}, {theirs or 'none'} in {other}", fix)

    def _finding(self, severity: Severity, fact: str, fix: str, region: str | None = None) -> Finding:
        return Finding(component=self._name, severity=severity, fact=f"{self._name}: {fact}", fix=fix, region=region)


def _billing(replica: Replica) -> str:
    return "on demand" if replica.on_demand else "provisioned"


def _consistency(replica: Replica) -> str:
    return "strong" if replica.strong else "eventual"


def _names(items: frozenset[str]) -> str:
    return ", ".join(sorted(items)) or "none"
