"""What is called of Amazon RDS. Pages: https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_OPERATION.html

RDS answers in each region for itself; a global cluster is known in every region that has a member of it. All of it is control plane: Aurora
has no other way to promote, and in the target's region it does not depend on the lost one.
"""

from __future__ import annotations

from dr.providers.aws.calls import Call

_STATE = "the global database or a member is changing or not healthy: aws rds describe-global-clusters, then again"
_NO_GLOBAL = "no such global database: correct global_cluster, or the account"
_NO_CLUSTER = "no such member: correct regions.*.cluster"

GLOBAL = Call("rds", "DescribeGlobalClusters", refusals={"GlobalClusterNotFoundFault": _NO_GLOBAL})
"""The members, which of them writes, whether a failover is under way. API_DescribeGlobalClusters; GlobalClusterNotFoundFault."""

CLUSTERS = Call("rds", "DescribeDBClusters", refusals={"DBClusterNotFoundFault": _NO_CLUSTER})
"""One region's cluster: status, version, endpoints, parameter group. API_DescribeDBClusters; DBClusterNotFoundFault."""

INSTANCES = Call("rds", "DescribeDBInstances")
"""The instances of a cluster, filtered by ``db-cluster-id``. API_DescribeDBInstances; DBInstanceNotFound."""

PARAMETERS = Call("rds", "DescribeDBClusterParameters", refusals={"DBParameterGroupNotFound": "the cluster's parameter group is gone"})
"""What people set in a parameter group (``Source=user``). API_DescribeDBClusterParameters; DBParameterGroupNotFound."""

EVENTS = Call("rds", "DescribeEvents")
"""What RDS says it did, for 14 days: the fencing of the old writer, too. API_DescribeEvents."""

SNAPSHOTS = Call("rds", "DescribeDBClusterSnapshots")
"""Snapshots of a cluster. API_DescribeDBClusterSnapshots; DBClusterSnapshotNotFoundFault."""

ALARMS = Call("cloudwatch", "DescribeAlarmsForMetric")
"""Alarms on one metric. https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarmsForMetric.html"""

_REFUSED = {
    "InvalidGlobalClusterStateFault": _STATE,
    "InvalidDBClusterStateFault": _STATE,
    "GlobalClusterNotFoundFault": _NO_GLOBAL,
    "DBClusterNotFoundFault": _NO_CLUSTER,
}

SWITCHOVER = Call("rds", "SwitchoverGlobalCluster", act=True, refusals=_REFUSED)
"""The target writes, the old writer follows; loses nothing; both sides healthy; asked in the current writer's region.

API_SwitchoverGlobalCluster: "only on a healthy Aurora global database"; DBClusterNotFoundFault, GlobalClusterNotFoundFault,
InvalidDBClusterStateFault, InvalidGlobalClusterStateFault (the target is the writer already; something is under way)."""

FAILOVER = Call("rds", "FailoverGlobalCluster", act=True, refusals=_REFUSED)
"""The target writes, whatever had not arrived is lost, the old writer is fenced as well as that goes; asked in the target's region.

API_FailoverGlobalCluster: AllowDataLoss and Switchover exclude each other; without AllowDataLoss it is a switchover, which a dead region
cannot do; refusals as SwitchoverGlobalCluster."""

REMOVE = Call("rds", "RemoveFromGlobalCluster", act=True, refusals=_REFUSED)
"""Detach and promote: the member stands alone and writes; for good. API_RemoveFromGlobalCluster; refusals as SwitchoverGlobalCluster."""

ADD_INSTANCE = Call(
    "rds",
    "CreateDBInstance",
    act=True,
    refusals={
        "InsufficientDBInstanceCapacity": "AWS has no such instance left there: another instance_class, or a zone with room",
        "InstanceQuotaExceeded": "aws service-quotas request-service-quota-increase --service-code rds --quota-code L-7B6409FD",
        "InvalidDBClusterStateFault": _STATE,
    },
)
"""An instance for a cluster that has none. API_CreateDBInstance; DBInstanceAlreadyExists, InsufficientDBInstanceCapacity,
InstanceQuotaExceeded, InvalidDBClusterStateFault, …"""

ADD_CLUSTER = Call(
    "rds",
    "CreateDBCluster",
    act=True,
    refusals={
        **_REFUSED,
        "KMSKeyNotAccessibleFault": "write regions.*.kms_key: a key of that region; dr runbook permissions then allows its use",
        "DBSubnetGroupNotFoundFault": "the subnet group that it had is gone: write regions.*.subnet_group",
        "DBClusterParameterGroupNotFound": "the parameter group that it had is gone: write regions.*.parameter_group",
        "InvalidVPCNetworkStateFault": "subnet_group and security_groups must be of one VPC: correct regions.*",
        "InvalidParameterCombination": "correct regions.*.kms_key, subnet_group, security_groups, parameter_group: the message says which",
        "DBClusterQuotaExceededFault": "aws service-quotas request-service-quota-increase --service-code rds --quota-code L-952B80B8",
    },
)
"""A new secondary of a global database. API_CreateDBCluster; DBClusterAlreadyExistsFault, DBClusterParameterGroupNotFound,
DBClusterQuotaExceededFault, DBSubnetGroupNotFoundFault, InvalidGlobalClusterStateFault, InvalidVPCNetworkStateFault,
KMSKeyNotAccessibleFault, …"""

WITH_KEY = Call("rds", "CreateDBCluster", act=True, action="kms:CreateGrant", also=("kms:DescribeKey",))
"""What IAM wants besides on a customer's key: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Overview.Encryption.Keys.html"""

COPY_SNAPSHOT = Call(
    "rds",
    "CopyDBClusterSnapshot",
    act=True,
    also=("rds:AddTagsToResource",),
    refusals={
        "InvalidDBClusterSnapshotStateFault": "the snapshot is not available yet",
        "SnapshotQuotaExceeded": "aws service-quotas request-service-quota-increase --service-code rds --quota-code L-9B510759",
    },
)
"""A manual copy of a snapshot, which does not expire. API_CopyDBClusterSnapshot; DBClusterSnapshotAlreadyExistsFault,
DBClusterSnapshotNotFoundFault, InvalidDBClusterSnapshotStateFault, KMSKeyNotAccessibleFault, SnapshotQuotaExceeded."""
