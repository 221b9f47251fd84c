"""Aurora global databases.

Why not moto's: it has neither failover nor switchover; no member is ever the writer of a global cluster made from a source
cluster; a member can be removed only from us-east-1.

Where a refusal's code is not documented (called in the wrong region, headless target), the documented fault of that operation
which comes nearest is used. Times: ``rds.pending`` before anything shows, then ``rds.failover`` or ``rds.switchover``;
``rds.resync`` of the old primary once its region is back; ``rds.detach``; ``rds.instance`` (0 unless set).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.rds.models import DBCluster, GlobalCluster, RDSBackend, rds_backends

from tests.aws.emulator.lines import lost
from tests.aws.emulator.registry import after, control, later, operation
from tests.aws.emulator.wire import ACCOUNT, Answer, Call, Refusal

GLOBAL_HOME = "us-east-1"  # where moto keeps every global cluster; not a place of the real service


@dataclass
class Move:
    """A failover or switchover under way. ``shows``: whether describe says so yet."""

    kind: str
    source: DBCluster
    target: DBCluster
    shows: bool = False


_moves: dict[str, Move] = {}  # by global cluster
_resyncing: set[str] = set()  # ARNs of members that do not follow


def backend(region: str) -> RDSBackend:
    """Moto's part of a region."""
    return rds_backends[ACCOUNT][region]


def region_of(cluster: DBCluster) -> str:
    """Where a cluster lives."""
    return cluster.region


def find(name: str) -> GlobalCluster:
    """The global cluster of this name; moto keeps them all in one region."""
    for region in rds_backends[ACCOUNT]:
        if name in (known := backend(region).global_clusters):
            return known[name]
    raise Refusal("GlobalClusterNotFoundFault", f"Global cluster {name} not found", 404)


def member(cluster: GlobalCluster, arn: str) -> DBCluster:
    """The member of this ARN."""
    if not arn.startswith("arn:"):
        raise Refusal("InvalidParameterValue", f"Malformed db cluster arn {arn}", 400)
    for one in cluster.members:
        if one.db_cluster_arn == arn:
            return one
    raise Refusal("DBClusterNotFoundFault", f"The DB cluster {arn} is not a member of the global cluster {cluster.resource_id}", 404)


def writer(cluster: GlobalCluster) -> DBCluster | None:
    """The member that takes writes."""
    return next((one for one in cluster.members if one.is_writer), None)


def described(cluster: GlobalCluster) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_GlobalCluster.html"""
    move = _moves.get(cluster.resource_id)
    shows = move is not None and move.shows
    result: dict[str, Any] = {
        "GlobalClusterIdentifier": cluster.resource_id, "GlobalClusterResourceId": cluster.global_cluster_resource_id,
        "GlobalClusterArn": cluster.arn, "Status": "available", "Engine": cluster.engine, "EngineVersion": cluster.engine_version,
        "StorageEncrypted": cluster.storage_encrypted, "DeletionProtection": cluster.deletion_protection, "Endpoint": cluster.endpoint,
        "GlobalClusterMembers": [_described_member(cluster, one) for one in cluster.members],
    }  # fmt: skip
    if move:
        word = "switching-over" if move.kind == "switchover" else "failing-over"
        result["Status"] = word if shows else "available"
        result["FailoverState"] = {
            "Status": word if shows else "pending", "FromDbClusterArn": move.source.db_cluster_arn,
            "ToDbClusterArn": move.target.db_cluster_arn, "IsDataLossAllowed": move.kind == "failover",
        }  # fmt: skip
    return result


def _described_member(cluster: GlobalCluster, one: DBCluster) -> dict[str, Any]:
    result: dict[str, Any] = {
        "DBClusterArn": one.db_cluster_arn, "IsWriter": bool(one.is_writer),
        "SynchronizationStatus": "pending-resync" if one.db_cluster_arn in _resyncing else "connected",
        "Readers": [other.db_cluster_arn for other in cluster.members if other is not one] if one.is_writer else [],
    }  # fmt: skip
    if not one.is_writer:
        result["GlobalWriteForwardingStatus"] = "disabled"
    return result


@operation("rds:CreateGlobalCluster")
def create_global_cluster(call: Call) -> dict[str, Any]:
    """Of a source cluster of any region, which becomes the writer; or empty, for the first cluster that joins.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateGlobalCluster.html
    """
    name, arn = call.params["GlobalClusterIdentifier"].lower(), call.params.get("SourceDBClusterIdentifier")
    if any(name in backend(region).global_clusters for region in rds_backends[ACCOUNT]):
        raise Refusal("GlobalClusterAlreadyExistsFault", f"Global cluster {name} already exists", 400)
    source = _cluster_of(arn) if arn else None
    if source is not None and call.params.get("Engine"):
        raise Refusal("InvalidParameterCombination", "The engine is inherited from the source cluster", 400)
    home = backend(GLOBAL_HOME)
    engine = source.engine if source else call.params["Engine"]
    version = source.engine_version if source else call.params.get("EngineVersion")
    encrypted, protected = call.params.get("StorageEncrypted"), call.params.get("DeletionProtection")
    made = home.global_clusters[name] = GlobalCluster(home, name, engine, version, encrypted, protected)
    if source is not None:
        source.global_cluster_identifier, source.is_writer = name, True
        made.members.append(source)
    return {"GlobalCluster": described(made)}


def _cluster_of(arn: str) -> DBCluster:
    parts = arn.split(":")
    if len(parts) != 7 or parts[6] not in backend(parts[3]).clusters:
        raise Refusal("DBClusterNotFoundFault", f"DBCluster {arn} not found.", 404)
    return backend(parts[3]).clusters[parts[6]]


@operation("rds:DeleteGlobalCluster")
def delete_global_cluster(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DeleteGlobalCluster.html: every member is removed first."""
    cluster = find(call.params["GlobalClusterIdentifier"])
    if cluster.members:
        raise Refusal("InvalidGlobalClusterStateFault", f"Global cluster {cluster.resource_id} still has members", 400)
    backend(GLOBAL_HOME).global_clusters.pop(cluster.resource_id)
    return {"GlobalCluster": described(cluster)}


@operation("rds:CreateDBCluster")
def create_db_cluster(call: Call) -> None:
    """A secondary joins an existing global cluster that has a writer elsewhere.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBCluster.html (GlobalClusterNotFoundFault)
    """
    if name := call.params.get("GlobalClusterIdentifier"):
        cluster = find(name)
        if any(region_of(one) == call.region for one in cluster.members):
            raise Refusal("InvalidGlobalClusterStateFault", f"Global cluster {name} already has a member in {call.region}", 400)
        if (source := writer(cluster)) is not None:
            _check_secondary(call, source)


def _check_secondary(call: Call, source: DBCluster) -> None:
    """Of the writer's version; of an encrypted one with a key of its own region, by a request that is signed for the source's, too.

    The parameter: https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBCluster.html; the words of the refusals:
    https://github.com/hashicorp/terraform-provider-aws/issues/13715,
    https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/719
    """
    arn = source.db_cluster_arn
    if source.storage_encrypted and not call.params.get("PreSignedUrl"):
        raise Refusal("InvalidParameterCombination", f"Source cluster {arn} is encrypted; pre-signed URL has to be specified", 400)
    if source.storage_encrypted and f":{call.region}:" not in call.params.get("KmsKeyId", ""):
        raise Refusal("InvalidParameterCombination", f"KmsKeyId of {call.region} should be explicitly specified: {arn} is encrypted", 400)
    version = call.params.get("EngineVersion")
    if version != source.engine_version:
        text = f"The engine version {version or 'by default'} is another one than {source.engine_version} of {arn}"
        raise Refusal("InvalidParameterCombination", text, 400)


@operation("rds:DescribeGlobalClusters")
def describe_global_clusters(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeGlobalClusters.html"""
    if name := call.params.get("GlobalClusterIdentifier"):
        return {"GlobalClusters": [described(find(name))]}
    regions = list(rds_backends[ACCOUNT])
    return {"GlobalClusters": [described(one) for region in regions for one in backend(region).global_clusters.values()]}


@operation("rds:FailoverGlobalCluster")
def failover_global_cluster(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_FailoverGlobalCluster.html

    Called in the target's region: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-global-database-disaster-recovery.html
    """
    allow_loss, switch = call.params.get("AllowDataLoss"), call.params.get("Switchover")
    if allow_loss and switch:
        raise Refusal("InvalidParameterCombination", "AllowDataLoss can't be specified together with Switchover", 400)
    return _move(call, "failover" if allow_loss else "switchover")


@operation("rds:SwitchoverGlobalCluster")
def switchover_global_cluster(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_SwitchoverGlobalCluster.html (in the primary's region)"""
    return _move(call, "switchover")


def _move(call: Call, kind: str) -> dict[str, Any]:
    cluster = find(call.params["GlobalClusterIdentifier"])
    target, source = member(cluster, call.params["TargetDbClusterIdentifier"]), writer(cluster)
    name, arn = cluster.resource_id, target.db_cluster_arn
    if source is None or target is source:
        raise Refusal("InvalidGlobalClusterStateFault", f"{arn} is already the primary cluster of global cluster {name}", 400)
    if name in _moves:
        raise Refusal("InvalidGlobalClusterStateFault", f"Global cluster {name} is already failing over or switching over", 400)
    if not target.db_cluster_members:
        raise Refusal("InvalidDBClusterStateFault", f"The DB cluster {arn} has no DB instances and can't be promoted", 400)
    if target.status != "available":
        raise Refusal("InvalidDBClusterStateFault", f"The DB cluster {arn} is {target.status}, it must be available", 400)
    if _patch(target) != _patch(source):
        raise Refusal("InvalidDBClusterStateFault", f"Engine versions {source.engine_version} and {target.engine_version} differ", 400)
    if kind == "switchover":
        _check_switchover(call, cluster, source)
    elif call.region != region_of(target):
        raise Refusal("InvalidDBClusterStateFault", f"A failover to {arn} is requested in {region_of(target)}, not {call.region}", 400)
    move = _moves[name] = Move(kind, source, target)

    def begin() -> None:
        move.shows = True
        later(f"rds.{kind}", lambda: _arrive(cluster, move))

    later("rds.pending", begin)
    return {"GlobalCluster": described(cluster)}


def _patch(cluster: DBCluster) -> str:
    return str(cluster.engine_version)


def _check_switchover(call: Call, cluster: GlobalCluster, source: DBCluster) -> None:
    """Every member is healthy, and the request comes to the primary's region."""
    sick = [one.db_cluster_arn for one in cluster.members if lost(region_of(one)) or one.status != "available"]
    sick += [one.db_cluster_arn for one in cluster.members if one.db_cluster_arn in _resyncing]
    if sick:
        raise Refusal("InvalidGlobalClusterStateFault", f"Global cluster {cluster.resource_id} is not healthy: {', '.join(sick)}", 400)
    if call.operation == "SwitchoverGlobalCluster" and call.region != region_of(source):
        raise Refusal("InvalidDBClusterStateFault", f"A switchover is requested in the primary's region {region_of(source)}", 400)


def _arrive(cluster: GlobalCluster, move: Move) -> None:
    del _moves[cluster.resource_id]
    move.source.is_writer, move.target.is_writer = False, True
    if move.kind == "failover":
        stamp = datetime.now(UTC).strftime("%Y-%m-%d-%H-%M-%S")
        _resyncing.add(move.source.db_cluster_arn)
        _come_back(move.source, stamp)


def _come_back(old: DBCluster, stamp: str) -> None:
    """The old primary's volume is kept as a system snapshot when its region is back; then the cluster follows the new primary.

    https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-global-database-disaster-recovery.html
    """

    def follow() -> None:
        _resyncing.discard(old.db_cluster_arn)

    def look() -> None:
        if old.db_cluster_arn not in _resyncing:
            return
        if lost(region_of(old)):
            later("rds.resync", look)
            return
        name = f"rds:unplanned-global-failover-{old.resource_id}-{stamp}"
        backend(region_of(old)).create_auto_cluster_snapshot(old.resource_id, name)
        later("rds.resync", follow)

    look()


@operation("rds:RemoveFromGlobalCluster")
def remove_from_global_cluster(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_RemoveFromGlobalCluster.html: in the member's own region."""
    cluster = find(call.params["GlobalClusterIdentifier"])
    one = member(cluster, call.params["DbClusterIdentifier"])
    if call.region != region_of(one):
        raise Refusal("DBClusterNotFoundFault", f"DBCluster {one.db_cluster_arn} not found in {call.region}", 404)
    if one.is_writer and len(cluster.members) > 1:
        raise Refusal("InvalidGlobalClusterStateFault", "The primary cluster can be removed only after every secondary cluster", 400)
    if cluster.resource_id in _moves:
        raise Refusal("InvalidGlobalClusterStateFault", f"Global cluster {cluster.resource_id} is failing over or switching over", 400)
    cluster.members.remove(one)
    _resyncing.discard(one.db_cluster_arn)
    one.status = "promoting"

    def stand_alone() -> None:
        one.global_cluster_identifier = None
        one.is_writer, one.status = True, "available"

    later("rds.detach", stand_alone)
    return {"GlobalCluster": described(cluster)}


@after("rds:CreateDBInstance")
def create_db_instance(call: Call, answer: Answer) -> None:
    """Creating, then available; at once unless a test sets ``rds.instance``. A headless secondary waits for this inside its RTO."""
    instance = backend(call.region).databases[call.params["DBInstanceIdentifier"]]
    instance.status = "creating"
    later("rds.instance", lambda: setattr(instance, "status", "available"), 0.0)


@control
def set_status(region: str, name: str, status: str) -> None:
    """A cluster or an instance of this name has this status until it is set again: whatever AWS does to it meanwhile."""
    known = backend(region)
    (known.clusters[name] if name in known.clusters else known.databases[name]).status = status


@control
def set_engine_version(region: str, cluster: str, version: str) -> None:
    """A cluster runs this engine version: patch levels drift apart."""
    backend(region).clusters[cluster].engine_version = version
