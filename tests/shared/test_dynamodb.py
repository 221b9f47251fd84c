"""Shared state in DynamoDB: the table's contract over HTTP, lost answers, throttling, and what may hold no lease."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dr.errors import StateLost, StateUnreadable, UsageError
from dr.ports.table import Table, Write
from dr.providers.aws.state import DynamoTable
from dr.providers.system import SystemClock
from tests.aws.emulator import Emulator
from tests.shared.contract import *  # noqa: F403

REGION = "us-west-2"
KEYS: dict[str, Any] = {
    "AttributeDefinitions": [{"AttributeName": "group", "AttributeType": "S"}, {"AttributeName": "key", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "group", "KeyType": "HASH"}, {"AttributeName": "key", "KeyType": "RANGE"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    """One region, with a table ``dr``."""
    with Emulator((REGION,)) as made:
        made.client("dynamodb", REGION).create_table(TableName="dr", **KEYS)
        yield made


@pytest.fixture
def table(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    """Through the region's proxy."""
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    made = DynamoTable(f"dynamodb://dr?region={REGION}&profile={REGION}", SystemClock())
    yield made
    made.close()
    aws.clear_faults()
    aws.bring_back(REGION)


def test_a_write_whose_answer_is_lost_is_done_once(table: Table, aws: Emulator, group: str) -> None:
    """Sent again with the same token: done, and no condition of its own making fails."""
    assert table.write([Write(group, "n", {"n": 1})])
    aws.fault(REGION, "lost-answer", "dynamodb:TransactWriteItems", times=1)
    assert table.write([Write(group, "n", {"n": 2}, {"n": 1})])
    assert table.get(group, "n") == {"n": 2}


def test_a_region_that_is_gone_is_said(table: Table, aws: Emulator, group: str) -> None:
    """To read: unreadable; to write: lost. Both name the table."""
    assert table.write([Write(group, "a", {"n": 1})])
    aws.lose(REGION)
    with pytest.raises(StateUnreadable, match="dynamodb://dr"):
        table.get(group, "a")
    with pytest.raises(StateLost, match="dynamodb://dr"):
        table.write([Write(group, "a", {"n": 2}, {"n": 1})])


def test_throttling_is_waited_out(table: Table, aws: Emulator, group: str) -> None:
    """Twice throttled, then done."""
    aws.fault(REGION, "throttle", "dynamodb:TransactWriteItems", times=2)
    assert table.write([Write(group, "a", {"n": 1})])


def test_no_table_and_a_table_of_others(table: Table, aws: Emulator) -> None:
    """Each is refused with what to type."""
    nobody = DynamoTable(f"dynamodb://none?region={REGION}&profile={REGION}", SystemClock())
    with pytest.raises(StateUnreadable, match="is not there") as caught:
        nobody.get("a", "b")
    assert "aws dynamodb create-table --table-name none" in caught.value.hint
    other = {**KEYS, "KeySchema": [{"AttributeName": "group", "KeyType": "HASH"}], "AttributeDefinitions": KEYS["AttributeDefinitions"][:1]}
    aws.client("dynamodb", REGION).create_table(TableName="other", **other)
    with pytest.raises(StateUnreadable, match="other keys"):
        DynamoTable(f"dynamodb://other?region={REGION}&profile={REGION}", SystemClock()).get("a", "b")


@pytest.mark.parametrize("address", ["dynamodb://", "dynamodb://dr", "dynamodb://dr?zone=a&region=b", "dynamodb://dr/x?region=b"])
def test_bad_addresses(address: str) -> None:
    """Exit 2 before anything is asked."""
    with pytest.raises(UsageError, match="not a table"):
        DynamoTable(address, SystemClock())
