"""DynamoDB global tables whose replicas follow each other, last writer wins.

Why not moto's: it accepts ReplicaUpdates without effect.
Times: ``dynamodb.replica`` until a new replica is active, ``dynamodb.replication`` for each write.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GlobalTables.html
"""

from __future__ import annotations

import copy
import json
from typing import Any, cast

from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table

from tests.aws.emulator.extension.cloudwatch import COMPUTED
from tests.aws.emulator.lines import lost
from tests.aws.emulator.registry import after, later, now, operation, seconds
from tests.aws.emulator.wire import ACCOUNT, Answer, Call, Refusal

VERSION = "2019.11.21"
_replicas: dict[str, dict[str, str]] = {}  # table → region → status, the first region included
_written: dict[tuple[str, str, str], float] = {}  # table, region, key → when


def backend(region: str) -> DynamoDBBackend:
    """Moto's part of a region."""
    return dynamodb_backends[ACCOUNT][region]


def table(region: str, name: str) -> Table:
    """A table, or ResourceNotFoundException."""
    name = name.rpartition("/")[2]
    if name not in backend(region).tables:
        raise Refusal("ResourceNotFoundException", f"Requested resource not found: Table: {name} not found", 400)
    return backend(region).tables[name]


@operation("dynamodb:UpdateTable")
def update_table(call: Call) -> dict[str, Any] | None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html (ReplicaUpdates: one at a time)."""
    updates = call.params.get("ReplicaUpdates")
    if not updates:
        return None
    here = table(call.region, call.params["TableName"])
    known = _replicas.setdefault(here.name, {call.region: "ACTIVE"})
    if len(updates) != 1:
        raise Refusal("ValidationException", "Only one replica can be created or deleted in a single UpdateTable operation", 400)
    if any(status != "ACTIVE" for status in known.values()):
        raise Refusal("ResourceInUseException", f"Table is being updated: {here.name}", 400)
    change = updates[0]
    if "Create" in change:
        _create(here, change["Create"]["RegionName"], known)
    elif "Delete" in change:
        region = change["Delete"]["RegionName"]
        known[region] = "DELETING"

        def deleted() -> None:
            del known[region], backend(region).tables[here.name]

        later("dynamodb.replica", deleted)
    return {"TableDescription": _shown(call.region, here.describe()["TableDescription"])}


def _create(here: Table, region: str, known: dict[str, str]) -> None:
    if region in known or here.name in backend(region).tables:
        raise Refusal("ValidationException", f"Table {here.name} already exists in region {region}", 400)
    known[region] = "CREATING"

    def active() -> None:
        other = copy.deepcopy(here)
        other.table_arn = here.table_arn.replace(here.region_name, region)
        other.region_name = region
        backend(region).tables[here.name] = other
        known[region] = "ACTIVE"

    later("dynamodb.replica", active)


def _shown(region: str, description: dict[str, Any]) -> dict[str, Any]:
    known = _replicas.get(description["TableName"])
    if known is None or region not in known:
        return description
    others = [{"RegionName": other, "ReplicaStatus": status} for other, status in known.items() if other != region]
    return {**description, "GlobalTableVersion": VERSION, "Replicas": others}


@after("dynamodb:DescribeTable")
def describe_table(call: Call, answer: Answer) -> Answer:
    """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html"""
    described = json.loads(answer.body)
    described["Table"] = _shown(call.region, described["Table"])
    # moto's checksum is of another body: botocore would ask twice more
    headers = [(name, value) for name, value in answer.headers if name.lower() != "x-amz-crc32"]
    return Answer(answer.status, headers, json.dumps(described).encode())


# writes


@after("dynamodb:PutItem")
@after("dynamodb:UpdateItem")
@after("dynamodb:DeleteItem")
def write_item(call: Call, answer: Answer) -> None:
    """One item."""
    _follow(call.region, call.params["TableName"], call.params.get("Item") or call.params["Key"])


@after("dynamodb:BatchWriteItem")
def batch_write_item(call: Call, answer: Answer) -> None:
    """Several items."""
    for name, requests in call.params["RequestItems"].items():
        for request in requests:
            _follow(call.region, name, request["PutRequest"]["Item"] if "PutRequest" in request else request["DeleteRequest"]["Key"])


@after("dynamodb:TransactWriteItems")
def transact_write_items(call: Call, answer: Answer) -> None:
    """A transaction is one only in its own region: replicas get its items one by one."""
    for item in call.params["TransactItems"]:
        for kind, request in item.items():
            if kind != "ConditionCheck":
                _follow(call.region, request["TableName"], request.get("Item") or request["Key"])


def _follow(region: str, name: str, item: dict[str, Any]) -> None:
    here = table(region, name)
    if here.name not in _replicas:
        return
    keys = {one: item[one] for one in (here.hash_key_attr, here.range_key_attr) if one is not None}
    key, at = json.dumps(keys, sort_keys=True, default=str), now()
    _written[here.name, region, key] = at
    for other in _replicas[here.name]:
        if other != region:
            _send(here.name, region, other, keys, key, at)


def _send(name: str, source: str, target: str, keys: dict[str, Any], key: str, at: float) -> None:
    def arrive() -> None:
        if lost(source) or lost(target) or _replicas.get(name, {}).get(target) == "CREATING":
            later("dynamodb.replication", arrive)
            return
        if target not in _replicas.get(name, {}) or _written.get((name, target, key), 0.0) > at:
            return
        _written[name, target, key] = at
        _put(table(source, name), table(target, name), keys)

    later("dynamodb.replication", arrive)


def _put(here: Table, there: Table, keys: dict[str, Any]) -> None:
    first = DynamoType(keys[here.hash_key_attr])
    last = DynamoType(keys[here.range_key_attr]) if here.range_key_attr else None
    item = here.get_item(first, last)
    if item is None:
        there.delete_item(first, last)
    elif last is None:
        there.items[first] = cast("Any", copy.deepcopy(item))
    else:
        there.items[first][last] = copy.deepcopy(item)


def _metric(region: str, namespace: str, name: str, dimensions: dict[str, str]) -> float | None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html (ReplicationLatency, milliseconds)"""
    if namespace != "AWS/DynamoDB" or name != "ReplicationLatency":
        return None
    known = _replicas.get(dimensions.get("TableName", ""), {})
    return seconds("dynamodb.replication") * 1000 if region in known and dimensions.get("ReceivingRegion") in known else None


COMPUTED.append(_metric)
