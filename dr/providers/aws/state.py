"""Shared state in a DynamoDB table of the surviving region: ``--state 'dynamodb://TABLE?region=us-west-2&profile=NAME'``.

The table has a partition key ``group`` and a sort key ``key``, both strings; a global table is refused: there the last writer wins, and a
lease would have two holders. Everything is read consistently and written in transactions with a token of their own, so that a write whose
answer is lost is sent again without being done twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from dr.errors import StateLost, StateUnreadable, StepError, UsageError
from dr.ports import Clock
from dr.ports.table import Fields, Write
from dr.providers.aws.calls import Call, Use, permissions
from dr.providers.aws.clients import Clients
from dr.providers.aws.place import Place
from dr.providers.aws.problems import failed, refused

DESCRIBE = Call("dynamodb", "DescribeTable")
"""Whether it is there, and no global table. API_DescribeTable; ResourceNotFoundException."""
GET = Call("dynamodb", "GetItem", plane="data")
"""One row, consistently. API_GetItem; ResourceNotFoundException, ProvisionedThroughputExceededException."""
QUERY = Call("dynamodb", "Query", plane="data")
"""Rows of one group, consistently. API_Query; as GetItem."""
WRITE = Call(
    "dynamodb",
    "TransactWriteItems",
    plane="data",
    action="dynamodb:PutItem",
    also=("dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"),
)
"""Up to 100 rows, all or none, on conditions. API_TransactWriteItems; TransactionCanceledException (a condition, a conflict),
IdempotentParameterMismatchException, TransactionInProgressException.

No ``act``: its token makes sending it again harmless for ten minutes, so boto3 may repeat it like a read."""
CALLS = (DESCRIBE, GET, QUERY, WRITE)

_CONFLICTS = 5
_CONFLICT_SECONDS = 0.1


class DynamoTable:
    """``dr.ports.table.Table`` in DynamoDB. Opens nothing before it is used.

    Args:
        address: ``dynamodb://TABLE?region=REGION`` with ``profile=NAME`` where one is needed.

    name, region: the table's.

    Raises:
        UsageError: not such an address.
    """

    def __init__(self, address: str, clock: Clock) -> None:
        parts = urlsplit(address)
        query = dict(parse_qsl(parts.query))
        unknown = sorted(query.keys() - {"region", "profile"})
        if parts.scheme != "dynamodb" or not parts.netloc or parts.path not in ("", "/") or "region" not in query or unknown:
            raise UsageError(f"--state {address}: not a table", hint="dynamodb://TABLE?region=us-west-2&profile=NAME")
        self.where = f"dynamodb://{parts.netloc}?region={query['region']}"
        self.name, self.region, self._clock = parts.netloc, query["region"], clock
        self._place = Place(query["region"], query["region"], query.get("profile", ""))
        self._clients = Clients(clock, _NoSecrets())
        self._lock = Lock()
        self._tokens = 0
        self._checked = False

    def get(self, group: str, key: str) -> Fields | None:
        """A row. Raises StateUnreadable."""
        answer = self._read(GET, Key={"group": {"S": group}, "key": {"S": key}}, ConsistentRead=True)
        return _fields(answer["Item"]) if "Item" in answer else None

    def rows(self, group: str, after: str = "", before: str | None = None) -> Sequence[tuple[str, Fields]]:
        """The rows of a group with ``after`` < key < ``before``. Raises StateUnreadable."""
        values: dict[str, Any] = {":group": {"S": group}, ":after": {"S": after or " "}}
        found: list[tuple[str, Fields]] = []
        start: dict[str, Any] = {}
        while True:
            answer = self._read(
                QUERY, KeyConditionExpression="#g = :group AND #k > :after", ExpressionAttributeNames={"#g": "group", "#k": "key"},
                ExpressionAttributeValues=values, ConsistentRead=True, **start,
            )  # fmt: skip
            for item in answer["Items"]:
                key = item["key"]["S"]
                if before is not None and key >= before:
                    return found
                found.append((key, _fields(item)))
            if not answer.get("LastEvaluatedKey"):
                return found
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def last(self, group: str) -> tuple[str, Fields] | None:
        """The row with the greatest key. Raises StateUnreadable."""
        answer = self._read(
            QUERY, KeyConditionExpression="#g = :group", ExpressionAttributeNames={"#g": "group"}, ConsistentRead=True, Limit=1,
            ExpressionAttributeValues={":group": {"S": group}}, ScanIndexForward=False,
        )  # fmt: skip
        return next(((item["key"]["S"], _fields(item)) for item in answer["Items"]), None)

    def write(self, writes: Sequence[Write]) -> bool:
        """All of them or none. False: a condition did not hold. Raises StateLost, StateUnreadable."""
        from botocore.exceptions import BotoCoreError, ClientError

        self._check()
        items = [self._item(write) for write in writes]
        token = self._token(items)
        for attempt in range(_CONFLICTS):
            try:
                self._client.transact_write_items(TransactItems=items, ClientRequestToken=token)
            except ClientError as error:
                reasons = {str(item.get("Code")) for item in error.response.get("CancellationReasons", ())}
                if "ConditionalCheckFailed" in reasons:
                    return False
                code = str(error.response.get("Error", {}).get("Code"))
                if (reasons & {"TransactionConflict"} or code == "TransactionInProgressException") and attempt + 1 < _CONFLICTS:
                    self._clock.sleep(_CONFLICT_SECONDS)
                    continue
                raise self._lost(refused(WRITE, self._place, error)) from error
            except BotoCoreError as error:
                raise self._lost(failed(WRITE, self._place, error)) from None
            return True
        raise StateLost(f"{self.where}: others write there all the time", hint="give the command again")

    def close(self) -> None:
        """Closes connections; safe to call twice."""
        self._clients.close()

    @property
    def _client(self) -> Any:
        return self._clients.of(self._place, "dynamodb", act=False)

    def _check(self) -> None:
        """Looked at once, before anything else. Raises StateUnreadable: it is not there, or is a global table."""
        if self._checked:
            return
        table = self._call(DESCRIBE, TableName=self.name)["Table"]
        if table.get("Replicas") or table.get("GlobalTableVersion"):
            raise StateUnreadable(
                f"{self.where} is a global table: its last writer wins, so it can hold no lease",
                hint="a table of the surviving region alone",
            )
        keys = {item["AttributeName"]: item["KeyType"] for item in table["KeySchema"]}
        if keys != {"group": "HASH", "key": "RANGE"}:
            raise StateUnreadable(f"{self.where} has other keys than group and key", hint=self._create())
        self._checked = True

    def _read(self, call: Call, **parameters: Any) -> Mapping[str, Any]:
        self._check()
        return self._call(call, TableName=self.name, **parameters)

    def _call(self, call: Call, **parameters: Any) -> Mapping[str, Any]:
        from botocore import xform_name
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: Mapping[str, Any] = getattr(self._client, xform_name(call.operation))(**parameters)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
                raise StateUnreadable(f"{self.where} is not there", hint=self._create()) from error
            problem = refused(call, self._place, error)
        except BotoCoreError as error:
            problem = failed(call, self._place, error)
        except StepError as error:
            problem = error
        else:
            return answer
        raise StateUnreadable(f"{self.where}: {problem.message}", hint=problem.hint)

    def _lost(self, problem: StepError) -> StateLost:
        return StateLost(f"{self.where}: {problem.message}", hint=problem.hint)

    def _create(self) -> str:
        keys = "AttributeName=group,KeyType=HASH AttributeName=key,KeyType=RANGE"
        types = "AttributeName=group,AttributeType=S AttributeName=key,AttributeType=S"
        where = f"--region {self._place.code}" + (f" --profile {self._place.profile}" if self._place.profile else "")
        return (
            f"aws dynamodb create-table --table-name {self.name} --attribute-definitions {types} --key-schema {keys} "
            f"--billing-mode PAY_PER_REQUEST {where}"
        )

    def _item(self, write: Write) -> dict[str, Any]:
        key = {"group": {"S": write.group}, "key": {"S": write.key}}
        condition: dict[str, Any] = {"TableName": self.name}
        if write.expect is None:
            condition |= {"ConditionExpression": "attribute_not_exists(#g)", "ExpressionAttributeNames": {"#g": "group"}}
        elif write.expect:
            names = {f"#f{number}": f"f_{name}" for number, name in enumerate(write.expect)}
            values = {f":f{number}": _value(value) for number, value in enumerate(write.expect.values())}
            clause = " AND ".join(f"#f{number} = :f{number}" for number in range(len(names)))
            condition |= {"ConditionExpression": clause, "ExpressionAttributeNames": names, "ExpressionAttributeValues": values}
        if write.fields is None:
            return {"Delete": {"Key": key, **condition}}
        return {"Put": {"Item": {**key, **{f"f_{name}": _value(value) for name, value in write.fields.items()}}, **condition}}

    def _token(self, items: Sequence[Mapping[str, Any]]) -> str:
        """Equal only for the same write of the same moment: at most 36 characters."""
        with self._lock:
            self._tokens += 1
            number = self._tokens
        text = json.dumps([number, self._clock.now().isoformat(), self._clock.uniform(0, 1), items], default=repr, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:36]


def rights(address: str, accounts: Collection[str]) -> tuple[str, ...]:
    """What whoever uses the table must be allowed, as ``StepSpec.permissions`` writes it. Raises UsageError: not such an address.

    Args:
        accounts: the one that the runbook names; none or several: the table's account is left open.
    """
    from dr.providers.system import SystemClock

    table = DynamoTable(address, SystemClock())
    [account] = accounts if len(accounts) == 1 else ("*",)
    return permissions([Use(call, "", (f"arn:aws:dynamodb:{table.region}:{account}:table/{table.name}",)) for call in CALLS])


class _NoSecrets:
    """A state's address names no role."""

    def get(self, ref: object) -> str:
        raise AssertionError("no role, no external id")

    def digest(self, value: str) -> str:
        raise AssertionError("nothing to digest")


def _value(value: str | int | bytes) -> dict[str, Any]:
    if isinstance(value, str):
        return {"S": value}
    return {"N": str(value)} if isinstance(value, int) else {"B": value}


def _fields(item: Mapping[str, Any]) -> Fields:
    found: dict[str, str | int | bytes] = {}
    for name, typed in item.items():
        if name.startswith("f_"):
            [(sort, value)] = typed.items()
            found[name[2:]] = int(value) if sort == "N" else bytes(value) if sort == "B" else value
    return found
