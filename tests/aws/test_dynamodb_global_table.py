"""aws.dynamodb-global-table: a table with two replicas in the emulator; what is sent, seen, refused, and done twice."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dr.errors import EffectUnknown, Permanent, Transient, UsageError
from dr.model.evidence import Fenced, Following, Promoted, RecoveryPoint, WriteAccepted
from dr.model.words import FenceState, Intent, Known, Severity, Verb
from dr.ports import Look
from dr.providers.aws.dynamodb import DynamoDbGlobalTable, steps
from dr.providers.aws.dynamodb.judge import Judge
from dr.providers.aws.dynamodb.look import Replica, Side
from dr.providers.aws.kind import used
from dr.providers.aws.metrics import Metrics
from dr.providers.aws.two_way import Told
from tests.aws.emulator import ACCOUNT, Emulator
from tests.aws.rig import CODES, Rig

EAST, WEST = CODES["east"], CODES["west"]
MARKER = {"pk": "dr", "sk": 1}


class Table:
    """A global table of one test."""

    def __init__(self, emulator: Emulator, *, replicas: bool = True) -> None:
        self.emulator, self.name = emulator, f"t-{uuid.uuid4().hex[:8]}"
        keys = [("pk", "HASH", "S"), ("sk", "RANGE", "N")]
        self.client("east").create_table(
            TableName=self.name, BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind, _ in keys],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": type_} for name, _, type_ in keys],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )  # fmt: skip
        if replicas:
            emulator.set_seconds("dynamodb.replica", seconds=0.0)
            self.client("east").update_table(TableName=self.name, ReplicaUpdates=[{"Create": {"RegionName": WEST}}])
            for region in CODES:
                pitr = {"PointInTimeRecoveryEnabled": True}
                self.client(region).update_continuous_backups(TableName=self.name, PointInTimeRecoverySpecification=pitr)

    def client(self, region: str) -> Any:
        return self.emulator.client("dynamodb", CODES[region])

    def settings(self, **more: object) -> dict[str, object]:
        return {"table": self.name, "regions": {"east": {}, "west": {}}, "marker": MARKER, **more}

    def item(self, region: str) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] = self.client(region).get_item(TableName=self.name, Key={"pk": {"S": "dr"}, "sk": {"N": "1"}})
        return found.get("Item")


@pytest.fixture
def table(emulator: Emulator) -> Table:
    emulator.set_seconds(seconds=0.05)
    return Table(emulator)


@pytest.fixture
def kind(rig: Rig, table: Table, monkeypatch: pytest.MonkeyPatch) -> DynamoDbGlobalTable:
    monkeypatch.setattr(steps, "SETTLES", timedelta(seconds=0.2))
    return rig.make(DynamoDbGlobalTable, "runs", table.settings())


def test_a_well_kept_table_has_a_lag_and_no_finding(kind: DynamoDbGlobalTable, emulator: Emulator) -> None:
    view = kind.view()
    assert view.findings == () and view.regions == {}
    assert view.lag is not None and view.lag.state is Known.BOUND and view.lag.follows is True


def test_a_poll_asks_cloudwatch_once_for_each_region(rig: Rig, emulator: Emulator) -> None:
    kinds = [rig.make(DynamoDbGlobalTable, f"t{number}", Table(emulator).settings()) for number in range(5)]
    for kind in kinds:
        kind.sample(None)
        kind._sampled = None  # as ten seconds later
    Metrics.of(rig.aws)._answers.clear()
    with emulator.counted() as made:
        for kind in kinds:
            assert kind.sample(None).state is Known.BOUND
    assert sorted(call.name for call in made) == ["cloudwatch:GetMetricData"] * 2


def test_what_a_lost_source_said_last_is_remembered(rig: Rig, kind: DynamoDbGlobalTable, emulator: Emulator) -> None:
    rig.site.samples.add("test", [kind.sample("east")])
    emulator.lose(EAST)
    again = DynamoDbGlobalTable("runs", kind.config, (), replace(rig.site, shared={}))
    before = rig.site.samples.latest("test")["runs"]
    view = again.view()
    assert view.lag is not None and view.lag.recovery_point == before.recovery_point
    assert any(item.region == "east" for item in view.findings)
    again.close()


def test_a_table_without_replica_is_an_error(rig: Rig, emulator: Emulator) -> None:
    lone = rig.make(DynamoDbGlobalTable, "runs", Table(emulator, replicas=False).settings())
    found = {item.fact: item for item in lone.view().findings}
    missing = next(item for fact, item in found.items() if "has no replica in west" in fact)
    assert (missing.severity, missing.region) == (Severity.ERROR, "west") and "Create={RegionName=us-west-2}" in missing.fix
    assert any("ResourceNotFoundException" in fact for fact in found)
    assert any("no point-in-time recovery" in fact for fact in found)


def _side(**changes: object) -> Side:
    known: dict[str, Any] = {
        "status": "ACTIVE", "replicas": {WEST: "ACTIVE", EAST: "ACTIVE"}, "notes": {}, "strong": False, "current": True, "on_demand": True,
        "stream": "NEW_AND_OLD_IMAGES", "indexes": frozenset(), "protected": False, "keys": {"pk": "S", "sk": "N"}, "expiry": "",
        "backups": True, "scaling": frozenset(),
    }  # fmt: skip
    return Side(Replica(**{**known, **changes}), Told(None))


@pytest.mark.parametrize(
    ("here", "expected", "severity"),
    [
        ({"status": "INACCESSIBLE_ENCRYPTION_CREDENTIALS"}, "after 20 hours", Severity.ERROR),
        ({"replicas": {WEST: "REGION_DISABLED"}}, "is REGION_DISABLED, says east", Severity.ERROR),
        ({"replicas": {}}, "has no replica in west", Severity.ERROR),
        ({"current": False}, "version 2017.11.29", Severity.WARNING),
        ({"on_demand": False}, "does not scale (ReadCapacityUnits, WriteCapacityUnits)", Severity.WARNING),
        ({"on_demand": False, "scaling": frozenset({"WriteCapacityUnits", "ReadCapacityUnits"})}, "billing differs", Severity.WARNING),
        ({"expiry": "ends"}, "ends an item's life differs: ends in east, none in west", Severity.WARNING),
        ({"stream": ""}, "the stream differs: off in east", Severity.WARNING),
        ({"indexes": frozenset({"by-dag"})}, "indexes differs: by-dag in east", Severity.ERROR),
        ({"strong": True}, "consistency differs: strong in east", Severity.WARNING),
        ({"keys": {"id": "S"}}, "marker names pk, sk, the keys of", Severity.ERROR),
    ],
)
def test_what_keeps_a_region_from_being_moved_to(
    kind: DynamoDbGlobalTable, here: Mapping[str, object], expected: str, severity: Severity
) -> None:
    found = list(Judge("runs", kind.config, kind.places).findings({"east": _side(**here), "west": _side()}))
    assert [item.severity for item in found if expected in item.fact] == [severity], found
    assert all(item.fix for item in found)


@pytest.mark.parametrize("intent", list(Intent))
def test_each_chain_is_whole_and_can_be_typed(kind: DynamoDbGlobalTable, intent: Intent) -> None:
    chain = kind.steps(intent, "east", "west")
    ids = [step.spec.id for step in chain]
    assert len(set(ids)) == len(ids) and all(need in ids for step in chain for need in step.spec.needs)
    for step in chain:
        assert step.spec.by_hand.startswith("aws dynamodb") and "| grep" in step.spec.check_by_hand
        for use in used(step):
            assert use.resources == ("*",) or use.resources[0].endswith(f"{ACCOUNT}:table/{kind.config.table}")
    if intent is Intent.FAILOVER:
        assert {touch.region for step in chain for touch in step.spec.touches} == {"west"}


def test_failover_with_the_source_gone(rig: Rig, kind: DynamoDbGlobalTable, table: Table, emulator: Emulator) -> None:
    rig.site.samples.add("test", [kind.sample("east")])
    emulator.lose(EAST)
    emulator.clear_calls()
    assert [seen.look for seen in rig.run(kind, Intent.FAILOVER)] == [Look.DONE] * 2
    made = emulator.calls()
    assert {call.proxy for call in made} == {WEST}
    assert not rig.undeclared(kind.steps(Intent.FAILOVER, "east", "west"), made)
    context = rig.context(rig.step(kind, Intent.FAILOVER, Verb.PREPARE), Intent.FAILOVER)
    fenced, point = context.found(Fenced), context.found(RecoveryPoint)
    assert fenced is not None and fenced.state is FenceState.NOT_NEEDED
    assert point is not None and point.recovery_point is not None and not point.complete
    assert context.found(WriteAccepted) and context.found(Promoted)
    item = table.item("west")
    assert item is not None and item[steps.OURS]["S"] == "run-1"
    emulator.clear_calls()
    assert rig.perform(rig.step(kind, Intent.FAILOVER, Verb.VERIFY_INSIDE), Intent.FAILOVER).look is Look.DONE
    assert not emulator.calls("dynamodb", "PutItem")


def test_a_write_whose_answer_is_lost_is_seen_by_the_next_attempt(rig: Rig, kind: DynamoDbGlobalTable, emulator: Emulator) -> None:
    step = rig.step(kind, Intent.FAILOVER, Verb.VERIFY_INSIDE)
    emulator.fault(WEST, "lost-answer", "dynamodb:PutItem", times=1)
    with pytest.raises(EffectUnknown):
        rig.perform(step, Intent.FAILOVER)
    assert rig.perform(step, Intent.FAILOVER).look is Look.DONE
    assert len(emulator.calls("dynamodb", "PutItem")) == 1


def test_switchover_waits_for_the_marker_and_the_latency(rig: Rig, kind: DynamoDbGlobalTable, emulator: Emulator) -> None:
    seen = rig.run(kind, Intent.SWITCHOVER)
    assert [item.look for item in seen] == [Look.DONE] * 4, seen
    assert not rig.undeclared(kind.steps(Intent.SWITCHOVER, "east", "west"), emulator.calls())
    points = [item for item in rig.evidence if isinstance(item, RecoveryPoint)]
    assert points[-1].complete and not points[0].complete
    assert any(isinstance(item, Following) and item.region == "east" for item in rig.evidence)


def test_a_drain_is_not_done_before_the_marker_arrived(rig: Rig, kind: DynamoDbGlobalTable, emulator: Emulator) -> None:
    emulator.set_seconds("dynamodb.replication", seconds=3)
    drain = rig.step(kind, Intent.SWITCHOVER, Verb.DRAIN)
    context = rig.context(drain, Intent.SWITCHOVER)
    drain.operation.act(context)
    seen = drain.operation.verify(context)
    emulator.set_seconds("dynamodb.replication", seconds=0.05)
    assert seen.look is Look.NEEDED and "has not arrived" in seen.reason


def test_reprotect_sees_a_marker_arrive(rig: Rig, kind: DynamoDbGlobalTable, table: Table) -> None:
    assert [seen.look for seen in rig.run(kind, Intent.REPROTECT)] == [Look.DONE]
    item = table.item("east")
    assert item is not None and item[steps.REGION]["S"] == "west"


def test_reprotect_without_a_replica_names_the_command(rig: Rig, emulator: Emulator) -> None:
    lone = rig.make(DynamoDbGlobalTable, "runs", Table(emulator, replicas=False).settings())
    seen = rig.perform(rig.step(lone, Intent.REPROTECT, Verb.FOLLOW, "west", "east"), Intent.REPROTECT, "west", "east")
    assert seen.look is Look.BLOCKED and "aws dynamodb update-table" in seen.reason


def test_an_item_that_is_not_ours_is_never_written_over(rig: Rig, kind: DynamoDbGlobalTable, table: Table) -> None:
    mine = {"pk": {"S": "dr"}, "sk": {"N": "1"}, "mine": {"S": "x"}}
    table.client("west").put_item(TableName=table.name, Item=mine)
    step = rig.step(kind, Intent.FAILOVER, Verb.VERIFY_INSIDE)
    with pytest.raises(Permanent, match="not ours"):
        rig.perform(step, Intent.FAILOVER)
    with pytest.raises(Permanent, match="ConditionalCheckFailedException") as raised:
        step.operation.act(rig.context(step, Intent.FAILOVER))
    assert "another marker" in raised.value.hint
    assert table.item("west") == mine


def test_without_a_marker_nothing_is_written_and_that_is_said(rig: Rig, table: Table, emulator: Emulator) -> None:
    kind = rig.make(DynamoDbGlobalTable, "runs", table.settings(marker={}))
    assert [item.severity for item in kind.view().findings] == [Severity.INFO]
    emulator.clear_calls()
    assert all(seen.look is Look.DONE for seen in rig.run(kind, Intent.FAILOVER))
    assert not emulator.calls("dynamodb", "PutItem")
    assert not any(isinstance(item, WriteAccepted) for item in rig.evidence)
    actions = {action for intent in Intent for step in kind.steps(intent, "east", "west") for use in used(step) for action in use.call.iam}
    assert "dynamodb:PutItem" not in actions


@pytest.mark.parametrize(("fault", "error"), [("throttle", Transient), ("deny", Permanent), ("error", Transient)])
def test_what_the_api_refuses(rig: Rig, kind: DynamoDbGlobalTable, emulator: Emulator, fault: str, error: type[Exception]) -> None:
    emulator.fault(WEST, fault, "dynamodb:DescribeTable")
    with pytest.raises(error):
        rig.perform(rig.step(kind, Intent.FAILOVER, Verb.PREPARE), Intent.FAILOVER)


def test_settings_that_contradict_are_refused(rig: Rig) -> None:
    with pytest.raises(UsageError, match="unknown region"):
        rig.make(DynamoDbGlobalTable, "runs", {"table": "runs", "regions": {"east": {}, "north": {}}})
