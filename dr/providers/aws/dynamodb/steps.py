"""What a run does to a global table: nothing is promoted, for every replica takes writes, and the last writer wins (so it is no lock)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from dr.errors import Permanent
from dr.model.base import show_duration
from dr.model.evidence import Evidence, Following, Note, RecoveryPoint, WriteAccepted
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.dynamodb.calls import GET_ITEM, PUT
from dr.providers.aws.kind import AwsStep

if TYPE_CHECKING:
    from dr.providers.aws.dynamodb.kind import DynamoDbGlobalTable

OURS, REGION, AT = "dr_run", "dr_region", "dr_at"
"""Attributes of the marker: which run wrote it, where, when."""
SETTLES = timedelta(seconds=5)
"""A write takes about a second to the other region; partitions are replicated each on its own, so the marker alone proves little."""
_TIMES = 3


class TableStep(AwsStep["DynamoDbGlobalTable"]):
    """Base: the marker, where the runbook has one."""

    owner: DynamoDbGlobalTable

    def marker(self, region: str) -> dict[str, str] | None:
        """Our attributes of the item as a region has it; None: it is not there. Raises Permanent: it is somebody else's."""
        item = self.read(region, GET_ITEM, TableName=self.owner.config.table, Key=self.owner.key(), ConsistentRead=True).get("Item")
        if item is None:
            return None
        if OURS not in item:
            raise Permanent(
                f"{self.owner.name} in {region}: an item that is not ours has the marker's key", hint="another marker in the runbook"
            )  # fmt: skip
        return {name: str(item[name].get("S", "")) for name in (OURS, REGION, AT) if name in item}

    def mark(self, context: AttemptContext, region: str) -> None:
        """Writes the marker, over none or over ours. Raises StepError."""
        self.call(context, region, PUT, **self.owner.writing(context.run_id, region, context.clock.now()))

    def written(self, context: AttemptContext, where: str, by: str) -> datetime | None:
        """When this run wrote the marker in a region, as another one has it; None: it has not arrived."""
        found = self.marker(where)
        if found is None or (found.get(OURS), found.get(REGION)) != (context.run_id, by):
            return None
        return datetime.fromisoformat(found[AT])

    def unusable(self, region: str) -> str:
        """Why a region's table takes no writes; empty where it does."""
        replica = self.owner.looker.replica(self.owner.places[region])
        return "" if replica.works else f"{self.owner.config.table} in {region} is {replica.status}"


class Prepare(TableStep):
    """The target's replica takes writes. Its recovery point is what was known last of the source's sending."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it does. BLOCKED: it does not; planned: nor if the source does not send to it."""
        place = self.owner.places[self.target]
        replica = self.owner.looker.replica(place)
        if not replica.works:
            return Seen(Look.BLOCKED, f"{self.owner.config.table} in {self.target} is {replica.status}")
        point = self.owner.recovery_point(self.target)
        if replica.strong:  # acknowledged only once a second region has it
            now = context.clock.now()
            point = point.model_copy(update={"recovery_point": now, "complete": True})
        if context.intent.planned:
            told = self.owner.looker.replica(self.owner.places[self.source]).replicas.get(place.code)
            if told not in ("ACTIVE", "UPDATING"):
                return Seen(Look.BLOCKED, f"the replica in {self.target} is {told or 'not there'}, says {self.source}")
        return Seen(Look.DONE, evidence=(self.owner.unfenced(self.source), point))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing: what is looked for is there or is not."""
        return ()


class Drain(TableStep):
    """The writers are frozen: what they wrote is in the target. DynamoDB says of no write that it arrived, so a marker is seen arriving,
    and three times the newest latency, five seconds at least, is waited out from the freeze."""

    _began: datetime | None = None

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it was seen in this run, or every write is in both regions before it is acknowledged."""
        before = context.found(RecoveryPoint, self.owner.name)
        if before is not None and before.complete and before.region == self.target:
            return Seen(Look.DONE, f"everything of {self.source} is in {self.target}")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The marker in the source, where there is one."""
        self._began = context.clock.now()
        if self.owner.config.marker:
            self.mark(context, self.source)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: the marker arrived, and the time is over."""
        now, began = context.clock.now(), self._began or context.clock.now()
        if self.owner.config.marker and self.written(context, self.target, self.source) is None:
            return Seen(Look.NEEDED, f"the marker of {self.source} has not arrived in {self.target}")
        wait = max(SETTLES, _TIMES * self.owner.looker.slowest(self.owner.places[self.source]))
        if now - began < wait:
            return Seen(Look.NEEDED, f"{show_duration(wait)} from the freeze are waited out")
        point = RecoveryPoint(component=self.owner.name, region=self.target, read_at=now, recovery_point=now, complete=True)
        return Seen(Look.DONE, evidence=(point,))


class VerifyInside(TableStep):
    """The target took the marker and gives it back; without one, its table is in a state in which it takes writes."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: this run's marker of the target is there."""
        if not self.owner.config.marker:
            wrong = self.unusable(self.target)
            if wrong:
                return Seen(Look.BLOCKED, wrong)
            note = Note(text=f"{self.owner.name}: no marker in the runbook: that {self.target} takes writes is DynamoDB's word")
            return Seen(Look.DONE, note.text, (note, self.owner.promoted(self.target)))
        at = self.written(context, self.target, self.target)
        if at is None:
            return Seen(Look.NEEDED)
        accepted = WriteAccepted(
            component=self.owner.name, region=self.target, route="inside", names=(self.owner.config.table,), first_at=at, last_at=at
        )  # fmt: skip
        return Seen(Look.DONE, evidence=(accepted, self.owner.promoted(self.target)))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One item."""
        self.mark(context, self.target)
        return ()


class Follow(TableStep):
    """The old side is a replica again, and what is written in the target arrives there. DynamoDB merges by itself what it had not sent: the
    later write of an item wins, whichever side took it."""

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED: it is no replica, or has lost its right to be one. DONE: the marker of this run arrived."""
        there = self.owner.places[self.source].code
        status = self.owner.looker.replica(self.owner.places[self.target]).replicas.get(there)
        if status is None:
            return Seen(Look.BLOCKED, f"{self.target} has no replica in {self.source}: {self.owner.creating(self.target, there)}")
        if status not in ("ACTIVE", "UPDATING"):
            return Seen(Look.NEEDED if status == "CREATING" else Look.BLOCKED, f"the replica in {self.source} is {status}")
        how = f"replica {status}"
        if self.owner.config.marker:
            if self.written(context, self.source, self.target) is None:
                return Seen(Look.NEEDED, f"the marker of {self.target} has not arrived in {self.source}")
            how += ", a marker arrived"
        follows = Following(component=self.owner.name, region=self.source, upstream=self.owner.arn(self.target), how=how)
        return Seen(Look.DONE, how, (follows,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The marker in the target."""
        if self.owner.config.marker and self.written(context, self.target, self.target) is None:
            self.mark(context, self.target)
        return ()


def item(key: dict[str, Any], run: str, region: str, at: datetime) -> dict[str, Any]:
    """The marker as DynamoDB stores it."""
    return {**key, OURS: {"S": run}, REGION: {"S": region}, AT: {"S": at.isoformat()}}
