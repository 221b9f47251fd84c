"""What is called of Amazon RDS for instances. Pages: https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_OPERATION.html"""

from __future__ import annotations

from dr.providers.aws.calls import Call

_STATE = "the instance is changing: aws rds describe-db-instances, then again"
_GONE = {"DBInstanceNotFound": "no such instance: correct regions.*.instance", "InvalidDBInstanceState": _STATE}
_NO_PARAMETERS = "the parameter group that it had is gone: write regions.*.parameter_group"
_ONE_VPC = "subnet_group and security_groups must be of one VPC, that of the source's other replicas there: correct regions.*"

INSTANCES = Call("rds", "DescribeDBInstances", refusals={"DBInstanceNotFound": _GONE["DBInstanceNotFound"]})
"""One instance: status, whose replica it is, its replicas, security groups. API_DescribeDBInstances; DBInstanceNotFound."""

PROMOTE = Call("rds", "PromoteReadReplica", act=True, refusals=_GONE)
"""The replica stands alone and writes; replication ends for good. API_PromoteReadReplica; DBInstanceNotFound, InvalidDBInstanceState
(it is no replica any more, or not available)."""

MODIFY = Call(
    "rds",
    "ModifyDBInstance",
    act=True,
    refusals={
        **_GONE,
        "DBInstanceAlreadyExists": "an instance of that name is there already",
        "InvalidVPCNetworkStateFault": _STATE,
        "DBParameterGroupNotFound": _NO_PARAMETERS,
    },
)
"""Other security groups, another name, another parameter group. API_ModifyDBInstance; DBInstanceAlreadyExists, DBInstanceNotFound,
DBParameterGroupNotFound, InvalidDBInstanceState, InvalidVPCNetworkStateFault, …"""

CREATE_REPLICA = Call(
    "rds",
    "CreateDBInstanceReadReplica",
    act=True,
    refusals={
        **_GONE,
        "InsufficientDBInstanceCapacity": "AWS has no such instance left there: another instance_class",
        "InstanceQuotaExceeded": "aws service-quotas request-service-quota-increase --service-code rds --quota-code L-7B6409FD",
        "KMSKeyNotAccessibleFault": "write regions.*.kms_key: a key of that region; dr runbook permissions then allows its use",
        "DBSubnetGroupNotFoundFault": "the subnet group that it had is gone: write regions.*.subnet_group",
        "DBParameterGroupNotFound": _NO_PARAMETERS,
        "OptionGroupNotFoundFault": "the option group that it had is gone: write regions.*.option_group",
        "InvalidDBSubnetGroupFault": _ONE_VPC,
        "InvalidVPCNetworkStateFault": _ONE_VPC,
        "InvalidParameterCombination": "correct regions.*.kms_key, subnet_group, security_groups, option_group: the message says which",
    },
)
"""A new replica of an instance elsewhere. API_CreateDBInstanceReadReplica; DBInstanceAlreadyExists, DBInstanceNotFound,
DBParameterGroupNotFound, DBSubnetGroupNotFoundFault, InsufficientDBInstanceCapacity, InstanceQuotaExceeded, InvalidDBInstanceState,
InvalidDBSubnetGroupFault, InvalidVPCNetworkStateFault, KMSKeyNotAccessibleFault, OptionGroupNotFoundFault, …"""

WITH_KEY = Call("rds", "CreateDBInstanceReadReplica", act=True, action="kms:CreateGrant", also=("kms:DescribeKey",))
"""What IAM wants besides on a customer's key: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Overview.Encryption.Keys.html"""
