"""What is called of DynamoDB. Pages: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_OPERATION.html

Each replica answers in its own region, for itself; items are read and written on the data plane there.
"""

from __future__ import annotations

from dr.providers.aws.calls import Call

_NO_TABLE = {"ResourceNotFoundException": "no such table in this region: correct table, or create the replica: aws dynamodb update-table"}

TABLE = Call("dynamodb", "DescribeTable", refusals=_NO_TABLE)
"""Status, replicas, capacity, keys, streams. API_DescribeTable; InternalServerError, ResourceNotFoundException."""

EXPIRY = Call("dynamodb", "DescribeTimeToLive", refusals=_NO_TABLE)
"""Which attribute ends an item's life. API_DescribeTimeToLive; InternalServerError, ResourceNotFoundException."""

BACKUPS = Call("dynamodb", "DescribeContinuousBackups", refusals={"TableNotFoundException": _NO_TABLE["ResourceNotFoundException"]})
"""Whether one can go back to a point in time. API_DescribeContinuousBackups; InternalServerError, TableNotFoundException."""

SCALING = Call("application-autoscaling", "DescribeScalableTargets")
"""Which capacities of a table scale by themselves.
https://docs.aws.amazon.com/autoscaling/application/APIReference/API_DescribeScalableTargets.html"""

PUT = Call(
    "dynamodb", "PutItem", act=True, plane="data",
    refusals={
        **_NO_TABLE, "ConditionalCheckFailedException": "an item that is not ours has the marker's key: another marker in the runbook",
        "ValidationException": "marker does not fit the keys of the table: name each key attribute, with its type",
    },
)  # fmt: skip
"""One item, on a condition. API_PutItem; ConditionalCheckFailedException, ItemCollectionSizeLimitExceededException,
ProvisionedThroughputExceededException, ReplicatedWriteConflictException (strong consistency, worth another try), RequestLimitExceeded,
ResourceNotFoundException, ThrottlingException, TransactionConflictException."""

GET_ITEM = Call("dynamodb", "GetItem", plane="data", refusals=_NO_TABLE)
"""One item, read consistently within its region. API_GetItem; ProvisionedThroughputExceededException, ResourceNotFoundException."""
