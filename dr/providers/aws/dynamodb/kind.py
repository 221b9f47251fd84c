"""The kind ``aws.dynamodb-global-table``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from dr.errors import StepError
from dr.model.by_hand import MARK, Typed
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Verb
from dr.ports import Site, Step
from dr.providers.aws.calls import Use
from dr.providers.aws.dynamodb import steps
from dr.providers.aws.dynamodb.calls import BACKUPS, EXPIRY, GET_ITEM, PUT, SCALING, TABLE
from dr.providers.aws.dynamodb.config import GlobalTableConfig
from dr.providers.aws.dynamodb.judge import Judge
from dr.providers.aws.dynamodb.look import Looker, Side
from dr.providers.aws.kind import Judged
from dr.providers.aws.metrics import GET
from dr.providers.aws.place import Place
from dr.providers.aws.two_way import TwoWay
from dr.providers.regions import same_regions

_BY_HAND = datetime(2000, 1, 1, tzinfo=UTC)


class DynamoDbGlobalTable(TwoWay[GlobalTableConfig, Side]):
    """A table that DynamoDB keeps alike in two regions, both of which take writes; of two writes of an item the later one wins.

    Needs: an active replica in both regions (version 2019.11.21); a running ``dr monitor``, which remembers how far the source was. Limits:
    DynamoDB tells of no single write whether it arrived; a planned move waits for a marker and for three times the latency.
    """

    kind: ClassVar[str] = "aws.dynamodb-global-table"
    Config: ClassVar[type[KindConfig]] = GlobalTableConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        super().__init__(name, config, needs, site)
        self.apart("a global table spans two AWS regions")
        self.looker = Looker(self.aws, self.config, self.places)
        self._judge = Judge(name, self.config, self.places)

    def regions(self) -> Sequence[str]:
        """Both. Raises UsageError."""
        same_regions(self.name, self.config.regions, self.site)
        return tuple(self.config.regions)

    def look(self, place: Place) -> Side:
        """One region's replica."""
        return self.looker.look(place)

    def judge(self, looks: Mapping[str, Side | StepError]) -> Judged:
        """No roles: both take writes. The lag of the direction that is further behind."""
        told = {region: side if isinstance(side, StepError) else side.told for region, side in looks.items()}
        return Judged({}, (*self._judge.findings(looks), *self.unmeasured(told), *self.silent(looks)), self.lag(told))

    def watches(self) -> Sequence[Use]:
        """What the monitor calls."""
        tables = (TABLE, EXPIRY, BACKUPS)
        return [
            use for region in self.places
            for use in (*(Use(call, region, (self.arn(region),)) for call in tables), Use(SCALING, region), Use(GET, region))
        ]  # fmt: skip

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain for an intent. ``reprotect``: ``target`` leads now, ``source`` shall follow it."""
        if intent is Intent.REPROTECT:
            return (self._follow(source, target),)
        if intent.planned:
            return (
                self._prepare(source, target, planned=True), self._drain(source, target),
                self._verify(source, target, ("prepare", "drain")), self._follow(source, target, ("verify-inside",)),
            )  # fmt: skip
        return self._prepare(source, target, planned=False), self._verify(source, target, ("prepare",))

    # --- what is sent, for steps and for people ---

    def arn(self, region: str) -> str:
        """A region's replica."""
        place = self.places[region]
        return f"arn:aws:dynamodb:{place.code}:{place.account or '*'}:table/{self.config.table}"

    def key(self) -> dict[str, Any]:
        """The marker's key as DynamoDB writes it."""
        return {name: {"N" if isinstance(value, int) else "S": str(value)} for name, value in self.config.marker.items()}

    def writing(self, run: str, region: str, at: datetime) -> dict[str, Any]:
        """Parameters of PutItem: over no item, or over our own."""
        first = next(iter(self.config.marker))
        return {
            "TableName": self.config.table, "Item": steps.item(self.key(), run, region, at),
            "ConditionExpression": "attribute_not_exists(#key) OR attribute_exists(#ours)",
            "ExpressionAttributeNames": {"#key": first, "#ours": steps.OURS},
        }  # fmt: skip

    def creating(self, region: str, code: str) -> str:
        """What a person types for a replica that is not there."""
        created = f'--replica-updates \'[{{"Create":{{"RegionName":"{code}"}}}}]\''
        return f"aws dynamodb update-table --table-name {self.config.table} {created} --region {self.places[region].code}"

    # --- the steps ---

    def _described(self, region: str, query: str = "Table.TableStatus") -> str:
        return self.typed(self.places[region], TABLE, {"TableName": self.config.table}, query=query, text=True)

    def _active(self, region: str) -> Typed:
        told = self._described(region)
        return Typed(told, f"{told} | grep -Eqx 'ACTIVE|UPDATING'")

    def _uses(self, *regions: str, writes: str = "") -> tuple[Use, ...]:
        """The table is described in these regions; the marker is read in all of them and written in one."""
        described = tuple(Use(TABLE, region, (self.arn(region),)) for region in regions)
        if not self.config.marker or not writes:
            return described
        return (*described, *(Use(GET_ITEM, region, (self.arn(region),)) for region in regions), Use(PUT, writes, (self.arn(writes),)))

    def _marks(self, region: str, seen_in: str) -> Typed:
        if not self.config.marker:
            return self._active(seen_in)
        do = self.typed(self.places[region], PUT, self.writing(MARK, region, _BY_HAND))
        asked = {"TableName": self.config.table, "Key": self.key(), "ConsistentRead": True}
        return Typed(
            do, f"{self.typed(self.places[seen_in], GET_ITEM, asked, query=f'Item.{steps.REGION}.S', text=True)} | grep -qx {region}"
        )

    def _prepare(self, source: str, target: str, *, planned: bool) -> Step:
        return self.step(
            Verb.PREPARE, target, f"the replica of {target} takes writes", steps.Prepare(self, source, target),
            uses=self._uses(target, *((source,) if planned else ())), typed=self._active(target),
            estimate=timedelta(milliseconds=200), budget=timedelta(minutes=5),
        )  # fmt: skip

    def _drain(self, source: str, target: str) -> Step:
        return self.step(
            Verb.DRAIN, source, f"everything of {source} is in {target}", steps.Drain(self, source, target),
            uses=(*self._uses(target, source, writes=source), Use(GET, source)), typed=self._marks(source, target),
            estimate=steps.SETTLES, budget=timedelta(minutes=15), needs=("prepare",),
        )  # fmt: skip

    def _verify(self, source: str, target: str, needs: Sequence[str]) -> Step:
        return self.step(
            Verb.VERIFY_INSIDE, target, f"{target} takes writes", steps.VerifyInside(self, source, target),
            uses=self._uses(target, writes=target), typed=self._marks(target, target), estimate=timedelta(milliseconds=100),
            budget=timedelta(minutes=5), needs=needs, max_attempts=20,
        )  # fmt: skip

    def _follow(self, source: str, target: str, needs: Sequence[str] = ()) -> Step:
        """After a planned move it runs beside: the move is done without it."""
        told = self._described(target, f"Table.Replicas[?RegionName=='{self.places[source].code}'].ReplicaStatus")
        return self.step(
            Verb.FOLLOW, source, f"what is written in {target} arrives in {source}", steps.Follow(self, source, target),
            uses=self._uses(target, source, writes=target), typed=Typed(told, f"{told} | grep -Eqx 'ACTIVE|UPDATING'"),
            estimate=timedelta(seconds=2), budget=timedelta(minutes=30) if needs else timedelta(hours=14), needs=needs,
            max_attempts=50, optional=bool(needs),
        )  # fmt: skip
