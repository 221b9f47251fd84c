"""What the emulator answers where moto would not: each claim with the page of the documentation that it comes from.

Time is advanced by hand: everything takes a minute, and no state in between is missed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.emulated.asking import EAST, MINUTE, WEST, build, client, metric, refused, values
from tests.aws.emulator import ARC_ENDPOINTS, Emulator

# Aurora: https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_FailoverGlobalCluster.html


def members(aws: Emulator, region: str = EAST) -> tuple[str, list[tuple[bool, str]]]:
    """Status of the global cluster; of each member whether it writes, and how it follows."""
    found = aws.client("rds", region).describe_global_clusters()["GlobalClusters"][0]
    return found["Status"], [(one["IsWriter"], one["SynchronizationStatus"]) for one in found["GlobalClusterMembers"]]


CALM = [(True, "connected"), (False, "connected")]


@pytest.mark.parametrize(
    ("region", "change", "code"),
    [
        (EAST, {"AllowDataLoss": True, "Switchover": True}, "InvalidParameterCombination"),
        (EAST, {"TargetDbClusterIdentifier": "0", "AllowDataLoss": True}, "InvalidGlobalClusterStateFault"),
        (EAST, {"TargetDbClusterIdentifier": "arn:aws:rds:eu-west-1:123456789012:cluster:other"}, "DBClusterNotFoundFault"),
        (EAST, {"TargetDbClusterIdentifier": "airflow-metadata-b"}, "InvalidParameterValue"),
        (EAST, {"GlobalClusterIdentifier": "other"}, "GlobalClusterNotFoundFault"),
        (WEST, {"AllowDataLoss": True}, "InvalidDBClusterStateFault"),
    ],
)
def test_a_failover_is_refused(aws: Emulator, region: str, change: dict[str, Any], code: str) -> None:
    """Both flags at once, the current writer, an unknown member, a name instead of an ARN, an unknown cluster, the wrong region."""
    made = build(aws, "databases")
    asked = {"GlobalClusterIdentifier": made.global_cluster, "TargetDbClusterIdentifier": made.cluster_arns[1], **change}
    if asked["TargetDbClusterIdentifier"] == "0":
        asked["TargetDbClusterIdentifier"] = made.cluster_arns[0]
    with refused(code):
        aws.client("rds", region).failover_global_cluster(**asked)
    assert members(aws) == ("available", CALM)


def test_in_an_outage_only_a_failover_that_allows_data_loss_works_and_it_takes_time(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-global-database-disaster-recovery.html

    "available" shows before the change; the old primary's volume is kept as a snapshot once its region is back.
    """
    made = build(aws, "databases")
    aws.lose(WEST)
    rds = client(aws, "rds", EAST)
    asked = {"GlobalClusterIdentifier": made.global_cluster, "TargetDbClusterIdentifier": made.cluster_arns[1]}
    for call in (rds.failover_global_cluster, rds.switchover_global_cluster):
        with refused("InvalidGlobalClusterStateFault"):
            call(**asked)
    state = rds.failover_global_cluster(**asked, AllowDataLoss=True)["GlobalCluster"]["FailoverState"]
    assert (state["Status"], state["IsDataLossAllowed"]) == ("pending", True)
    assert members(aws) == ("available", CALM)
    with refused("InvalidGlobalClusterStateFault"):
        rds.failover_global_cluster(**asked, AllowDataLoss=True)
    aws.advance(MINUTE)
    assert members(aws) == ("failing-over", CALM)
    aws.advance(MINUTE)
    assert members(aws) == ("available", [(False, "pending-resync"), (True, "connected")])
    assert not unplanned(aws)
    aws.bring_back(WEST)
    aws.advance(MINUTE)
    assert members(aws) == ("available", [(False, "pending-resync"), (True, "connected")])
    assert len(unplanned(aws)) == 1
    aws.advance(MINUTE)
    assert members(aws) == ("available", [(False, "connected"), (True, "connected")])


def unplanned(aws: Emulator) -> list[str]:
    """Snapshots of an old primary's volume."""
    found = aws.client("rds", WEST).describe_db_cluster_snapshots()["DBClusterSnapshots"]
    names = [one["DBClusterSnapshotIdentifier"] for one in found]
    return [name for name in names if name.startswith("rds:unplanned-global-failover-airflow-metadata-a-")]


def test_a_switchover_is_called_at_the_primary_and_keeps_both_connected(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_SwitchoverGlobalCluster.html"""
    made = build(aws, "databases")
    asked = {"GlobalClusterIdentifier": made.global_cluster, "TargetDbClusterIdentifier": made.cluster_arns[1]}
    with refused("InvalidDBClusterStateFault"):
        aws.client("rds", EAST).switchover_global_cluster(**asked)
    aws.client("rds", WEST).switchover_global_cluster(**asked)
    aws.advance(MINUTE)
    assert members(aws) == ("switching-over", CALM)
    aws.advance(MINUTE)
    assert members(aws) == ("available", [(False, "connected"), (True, "connected")])
    assert not unplanned(aws)


def test_a_headless_secondary_or_one_of_another_patch_level_is_not_promoted_but_can_be_detached(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_RemoveFromGlobalCluster.html: alone it takes writes."""
    made = build(aws, "databases")
    rds, name = aws.client("rds", EAST), made.clusters[1]
    asked = {"GlobalClusterIdentifier": made.global_cluster, "TargetDbClusterIdentifier": made.cluster_arns[1], "AllowDataLoss": True}
    aws.control("set_engine_version", region=EAST, cluster=name, version="16.3")
    with refused("InvalidDBClusterStateFault"):
        rds.failover_global_cluster(**asked)
    aws.control("set_engine_version", region=EAST, cluster=name, version="16.4")
    rds.delete_db_instance(DBInstanceIdentifier=f"{name}-1", SkipFinalSnapshot=True)
    with refused("InvalidDBClusterStateFault"):
        rds.failover_global_cluster(**asked)
    removed = {"GlobalClusterIdentifier": made.global_cluster, "DbClusterIdentifier": made.cluster_arns[1]}
    with refused("DBClusterNotFoundFault"):
        aws.client("rds", WEST).remove_from_global_cluster(**removed)
    rds.remove_from_global_cluster(**removed)
    assert rds.describe_db_clusters()["DBClusters"][0]["Status"] == "promoting"
    aws.advance(MINUTE)
    assert rds.describe_db_clusters()["DBClusters"][0]["Status"] == "available"
    assert members(aws) == ("available", [(True, "connected")])


def test_a_new_instance_takes_as_long_as_the_test_says(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html (DBInstanceStatus)"""
    made, rds = build(aws, "databases"), aws.client("rds", EAST)
    aws.set_seconds("rds.instance", seconds=MINUTE)
    new = {"DBInstanceIdentifier": "second", "DBInstanceClass": "db.r6g.large", "Engine": "aurora-postgresql"}
    rds.create_db_instance(**new, DBClusterIdentifier=made.clusters[1])
    seen = []
    for _ in range(2):
        seen.append(rds.describe_db_instances(DBInstanceIdentifier="second")["DBInstances"][0]["DBInstanceStatus"])
        aws.advance(MINUTE)
    assert seen == ["creating", "available"]


def test_a_promoted_replica_is_nobodys_replica_and_cannot_be_promoted_again(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_PromoteReadReplica.html"""
    made = build(aws, "databases")
    rds, (source, replica) = aws.client("rds", EAST), made.read_replica
    rds.promote_read_replica(DBInstanceIdentifier=replica)
    for _ in range(2):
        with refused("InvalidDBInstanceState"):
            rds.promote_read_replica(DBInstanceIdentifier=replica)
        aws.advance(MINUTE)
    with refused("InvalidDBInstanceState"):
        aws.client("rds", WEST).promote_read_replica(DBInstanceIdentifier=source)
    found = rds.describe_db_instances(DBInstanceIdentifier=replica)["DBInstances"][0]
    assert (found["DBInstanceStatus"], found.get("ReadReplicaSourceDBInstanceIdentifier")) == ("available", None)
    first = aws.client("rds", WEST).describe_db_instances(DBInstanceIdentifier=source)["DBInstances"][0]
    assert first.get("ReadReplicaDBInstanceIdentifiers", []) == []


# CloudWatch


def test_a_metric_is_what_the_test_set_in_its_region_and_a_call_takes_500_queries(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html"""
    build(aws, "databases")
    lag = metric("AWS/RDS", "AuroraGlobalDBReplicationLag", DBClusterIdentifier="airflow-metadata-b")
    assert set(values(aws, EAST, lag, 500)) == {80.0}
    assert values(aws, WEST, lag) == []
    with refused("ValidationError"):
        values(aws, EAST, lag, 501)
    aws.set_metric(EAST, "AWS/RDS", "AuroraGlobalDBReplicationLag", {"DBClusterIdentifier": "airflow-metadata-b"}, {datetime.now(UTC): 9.0})
    assert values(aws, EAST, lag) == [9.0]


# Route 53


def record(name: str, value: str = "192.0.2.1", action: str = "UPSERT", **more: Any) -> dict[str, Any]:
    """A change of one A record."""
    return {"Action": action, "ResourceRecordSet": {"Name": name, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": value}], **more}}


def change(aws: Emulator, zone: str, *changes: dict[str, Any], through: bool = False) -> str:
    """The id of a change."""
    route53 = client(aws, "route53", WEST) if through else aws.client("route53", WEST)
    return str(route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": list(changes)})["ChangeInfo"]["Id"])


def test_a_change_is_pending_then_in_sync(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetChange.html"""
    made = build(aws, "traffic", dns="simple")
    route53, identifier = aws.client("route53", WEST), change(aws, made.zone, record(made.hostnames[0], "203.0.113.1"))
    assert route53.get_change(Id=identifier)["ChangeInfo"]["Status"] == "PENDING"
    aws.advance(MINUTE)
    assert route53.get_change(Id=identifier)["ChangeInfo"]["Status"] == "INSYNC"
    assert aws.resolve(made.hostnames[0]) == ["203.0.113.1"]
    with refused("NoSuchChange"):
        route53.get_change(Id="CNEVER")


def test_a_batch_is_applied_whole_or_not_at_all_and_has_its_limits(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html: an UPSERT counts twice."""
    made = build(aws, "traffic", dns="simple")
    fresh = [f"new{number}.airflow.example.com" for number in range(501)]
    change(aws, made.zone, *(record(name) for name in fresh[:500]))
    for changes in (
        [record(name) for name in fresh],
        [record(f"many{number}.airflow.example.com", action="CREATE") for number in range(1001)],
        [{**record("long.airflow.example.com"), "ResourceRecordSet": long_record()}],
        [record("other.airflow.example.com"), record(fresh[0], "203.0.113.9", "DELETE")],
        [record("other.airflow.example.com"), record(made.hostnames[0], action="CREATE")],
        [record("www.example.org")],
    ):
        with refused("InvalidChangeBatch"):
            change(aws, made.zone, *changes)
    assert aws.resolve("other.airflow.example.com") == []
    pages = aws.client("route53", WEST).get_paginator("list_resource_record_sets").paginate(HostedZoneId=made.zone)
    names = {one["Name"].rstrip(".") for page in pages for one in page["ResourceRecordSets"] if one["Type"] == "A"}
    assert names == {*made.hostnames, *fresh[:500]}


def long_record() -> dict[str, Any]:
    """One record of more than 16,000 characters: twice that, as an UPSERT."""
    return {"Name": "long.airflow.example.com", "Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": f'"{"x" * 16_000}"'}]}


def test_five_calls_a_second_for_an_account_and_one_change_at_a_time_for_a_zone(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html (PriorRequestNotComplete, five requests a second)"""
    made = build(aws, "traffic")
    aws.set_seconds("route53.processing", seconds=MINUTE)
    change(aws, made.zone, record("x.airflow.example.com"), through=True)
    with refused("PriorRequestNotComplete"):
        change(aws, made.zone, record("x.airflow.example.com"), through=True)
    aws.advance(MINUTE)
    aws.control("set_route53_rate", a_second=0.001)
    change(aws, made.zone, record("x.airflow.example.com"), through=True)
    with refused("Throttling"):
        client(aws, "route53", WEST).list_hosted_zones()
    aws.advance(1000)
    client(aws, "route53", WEST).list_hosted_zones()


@pytest.mark.parametrize(
    ("disabled", "inverted", "region_lost", "answered"),
    [
        (False, False, False, 0),
        (False, False, True, 1),
        (True, False, True, 0),  # disabled counts as healthy: users stay in the dead region
        (True, True, False, 1),
        (True, True, True, 1),
        (False, True, False, 1),
        (False, True, True, 0),  # inverted alone sends users back into the dead region
    ],
)
def test_what_a_health_check_means_for_a_failover_record(
    aws: Emulator, disabled: bool, inverted: bool, region_lost: bool, answered: int
) -> None:
    """https://docs.aws.amazon.com/Route53/latest/APIReference/API_UpdateHealthCheck.html (Disabled, Inverted)"""
    made = build(aws, "traffic", dns="simple")
    route53, addresses = aws.client("route53", WEST), made.addresses
    config = {"Type": "HTTPS", "IPAddress": addresses[0], "Port": 443}
    check = route53.create_health_check(CallerReference="x", HealthCheckConfig=config)["HealthCheck"]["Id"]
    first = record("x.airflow.example.com", addresses[0], SetIdentifier="a", Failover="PRIMARY", HealthCheckId=check)
    change(aws, made.zone, first, record("x.airflow.example.com", addresses[1], SetIdentifier="b", Failover="SECONDARY"))
    if region_lost:
        aws.lose(WEST)
    version = route53.get_health_check(HealthCheckId=check)["HealthCheck"]["HealthCheckVersion"]
    route53.update_health_check(HealthCheckId=check, HealthCheckVersion=version, Disabled=disabled, Inverted=inverted)
    assert aws.resolve("x.airflow.example.com") == [addresses[answered]]
    with refused("HealthCheckVersionMismatch"):
        route53.update_health_check(HealthCheckId=check, HealthCheckVersion=version, Disabled=False)


def test_a_check_can_look_at_an_object_in_the_surviving_region(aws: Emulator) -> None:
    """It is flipped there, without a control plane.

    https://aws.amazon.com/blogs/networking-and-content-delivery/creating-disaster-recovery-mechanisms-using-amazon-route-53/
    """
    made = build(aws, "traffic", "storage", dns="simple")
    route53, bucket = aws.client("route53", WEST), made.buckets["logs"][1]
    config = {"Type": "HTTPS_STR_MATCH", "FullyQualifiedDomainName": f"{bucket}.s3.{EAST}.amazonaws.com"}
    config |= {"ResourcePath": "/switch", "SearchString": "west"}
    check = route53.create_health_check(CallerReference="x", HealthCheckConfig=config)["HealthCheck"]["Id"]
    first = record("x.airflow.example.com", "192.0.2.1", SetIdentifier="a", Failover="PRIMARY", HealthCheckId=check)
    change(aws, made.zone, first, record("x.airflow.example.com", "192.0.2.2", SetIdentifier="b", Failover="SECONDARY"))
    for body, answer in ((b"west", "192.0.2.1"), (b"east", "192.0.2.2")):
        aws.client("s3", EAST).put_object(Bucket=bucket, Key="switch", Body=body)
        assert aws.resolve("x.airflow.example.com") == [answer]


# Routing controls: https://docs.aws.amazon.com/routing-control/latest/APIReference/API_UpdateRoutingControlStates.html


def test_routing_controls_flip_together_under_safety_rules_at_any_of_five_endpoints(aws: Emulator) -> None:
    made = build(aws, "traffic")
    first, second = made.routing_controls
    for number, region in enumerate(ARC_ENDPOINTS):
        cluster = client(aws, "route53-recovery-cluster", region)
        on, off = (first, second) if number % 2 else (second, first)
        with refused("ConflictException"):
            cluster.update_routing_control_state(RoutingControlArn=off, RoutingControlState="Off")
        states = [{"RoutingControlArn": arn, "RoutingControlState": state} for arn, state in ((off, "Off"), (on, "On"))]
        cluster.update_routing_control_states(UpdateRoutingControlStateEntries=states)
        assert aws.resolve(made.hostnames[0]) == [made.addresses[0 if on == first else 1]]
    cluster.update_routing_control_state(RoutingControlArn=on, RoutingControlState="Off", SafetyRulesToOverride=[made.safety_rule])
    assert {one["RoutingControlState"] for one in cluster.list_routing_controls()["RoutingControls"]} == {"Off"}
    with refused("ResourceNotFoundException"):
        cluster.get_routing_control_state(RoutingControlArn=f"{first}x")
    config = aws.client("route53-recovery-control-config", "us-west-2")
    endpoints = config.describe_cluster(ClusterArn=made.arc_cluster)["Cluster"]["ClusterEndpoints"]
    assert {one["Region"]: one["Endpoint"] for one in endpoints} == {region: f"{aws.endpoint_of(region)}/v1" for region in ARC_ENDPOINTS}
    with pytest.raises(ClientError):
        aws.client("route53-recovery-control-config", EAST).list_clusters()
