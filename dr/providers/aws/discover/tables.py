"""What DynamoDB has: tables with a replica in the other region, and tables without one."""

from __future__ import annotations

from collections.abc import Iterator

from dr.errors import StepError
from dr.providers.aws.calls import Call
from dr.providers.aws.discover.ask import Ask
from dr.providers.aws.discover.found import Found, Gap, plain_name
from dr.providers.aws.dynamodb.calls import TABLE
from dr.providers.aws.hub import Answer
from dr.providers.aws.names import arn

LIST = Call("dynamodb", "ListTables")
"""Names of all tables of a region, 100 a page.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ListTables.html; InternalServerError."""


def look(ask: Ask, account: str) -> Iterator[Found]:
    """One listing, then each table that is meant: DescribeTable knows its replicas, and there is no form for many."""
    place = ask.primary._replace(account=account)
    names = [name for name in ask.pages(ask.primary, LIST, "TableNames") if ask.picks(arn(place, "dynamodb", f"table/{name}"))]
    for name, answer in ask.each(names, lambda name: ask.read(ask.primary, TABLE, TableName=name)):
        if isinstance(answer, StepError):
            ask.refuse(f"table {name}", answer)
        else:
            yield _table(ask, name, answer)


def _table(ask: Ask, name: str, answer: Answer) -> Found:
    here, there = ask.codes
    table = answer["Table"]
    replicated = any(replica["RegionName"] == there for replica in table.get("Replicas", ()))
    update = f'[{{"Create":{{"RegionName":"{there}"}}}}]'
    fix = f"aws dynamodb update-table --region {here} --table-name {name} --replica-updates '{update}'"
    gaps = () if replicated else (Gap(f"table {name}", f"it has no replica in {there}", fix),)
    numbers = {item["AttributeName"] for item in table.get("AttributeDefinitions", ()) if item["AttributeType"] == "N"}
    marker = ", ".join(f"{key['AttributeName']}: {0 if key['AttributeName'] in numbers else 'dr-marker'}" for key in table["KeySchema"])
    settings = {"table": name, "regions": {here: {}, there: {}}}
    after = (f"marker: {{{marker}}}     # one item that dr may write, to see that writes are taken",)
    return Found(plain_name(name, here, there), "aws.dynamodb-global-table", settings, (), after, gaps, active=replicated)
