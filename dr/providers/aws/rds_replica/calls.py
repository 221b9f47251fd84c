"""What is called of Amazon RDS for instances. Pages: https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_OPERATION.html"""

from __future__ import annotations

from dr.providers.aws.calls import Call

_STATE = "the instance is changing: aws rds describe-db-instances, then again"
_GONE = {"DBInstanceNotFound": "no such instance: correct regions.*.instance", "InvalidDBInstanceState": _STATE}

INSTANCES = Call("rds", "DescribeDBInstances", refusals={"DBInstanceNotFound": _GONE["DBInstanceNotFound"]})
"""One instance: status, whose replica it is, its replicas, security groups. API_DescribeDBInstances; DBInstanceNotFound."""

PROMOTE = Call("rds", "PromoteReadReplica", act=True, refusals=_GONE)
"""The replica stands alone and writes; replication ends for good. API_PromoteReadReplica; DBInstanceNotFound, InvalidDBInstanceState
(it is no replica any more, or not available)."""

MODIFY = Call(
    "rds",
    "ModifyDBInstance",
    act=True,
    refusals={**_GONE, "DBInstanceAlreadyExists": "an instance of that name is there already", "InvalidVPCNetworkStateFault": _STATE},
)
"""Other security groups, or another name. API_ModifyDBInstance; DBInstanceAlreadyExists, DBInstanceNotFound, InvalidDBInstanceState,
InvalidVPCNetworkStateFault, …"""

CREATE_REPLICA = Call(
    "rds",
    "CreateDBInstanceReadReplica",
    act=True,
    refusals={
        **_GONE,
        "InsufficientDBInstanceCapacity": "AWS has no such instance left there: another instance_class",
        "InstanceQuotaExceeded": "aws service-quotas request-service-quota-increase --service-code rds --quota-code L-7B6409FD",
        "KMSKeyNotAccessibleFault": "write regions.*.kms_key: a key of that region",
    },
)
"""A new replica of an instance elsewhere. API_CreateDBInstanceReadReplica; DBInstanceAlreadyExists, DBInstanceNotFound,
InsufficientDBInstanceCapacity, InstanceQuotaExceeded, InvalidDBInstanceState, KMSKeyNotAccessibleFault, …"""
