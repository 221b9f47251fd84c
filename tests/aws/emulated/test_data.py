"""Replication that really copies, and capacity that takes time, as the documentation says: each claim with its page.

Time is advanced by hand: everything takes a minute, and no state in between is missed.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.emulated.asking import EAST, MINUTE, WEST, build, client, metric, refused, values
from tests.aws.emulator import ACCOUNT, Emulator

# S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-status.html


def status(aws: Emulator, region: str, bucket: str, key: str) -> str | None:
    """The replication status of an object; None: it has none; ``missing``: there is no such object."""
    try:
        found = aws.client("s3", region).head_object(Bucket=bucket, Key=key).get("ReplicationStatus")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "404", error
        return "missing"
    return None if found is None else str(found)


def waiting(aws: Emulator, made: Any, name: str) -> list[float]:
    """A replication metric of the log buckets, in the source's region."""
    source, target = made.buckets["logs"]
    return values(aws, WEST, metric("AWS/S3", name, SourceBucket=source, DestinationBucket=target, RuleId="all"))


def test_a_new_object_is_pending_then_completed_and_the_same_in_the_other_region(aws: Emulator) -> None:
    made = build(aws, "storage")
    source, target = made.buckets["logs"]
    put = aws.client("s3", WEST).put_object(Bucket=source, Key="x y/é", Body=b"twelve bytes", Metadata={"run": "7"})
    assert (status(aws, WEST, source, "x y/é"), status(aws, EAST, target, "x y/é")) == ("PENDING", "missing")
    assert set(waiting(aws, made, "OperationsPendingReplication")) == {1.0}
    assert set(waiting(aws, made, "BytesPendingReplication")) == {12.0}
    aws.advance(MINUTE)
    assert (status(aws, WEST, source, "x y/é"), status(aws, EAST, target, "x y/é")) == ("COMPLETED", "REPLICA")
    copy = aws.client("s3", EAST).get_object(Bucket=target, Key="x y/é")
    assert (copy["Body"].read(), copy["VersionId"], copy["ETag"]) == (b"twelve bytes", put["VersionId"], put["ETag"])
    assert copy["Metadata"] == {"run": "7"}
    assert set(waiting(aws, made, "OperationsPendingReplication")) == {0.0}
    aws.client("s3", WEST).delete_object(Bucket=source, Key="x y/é")
    aws.advance(MINUTE)
    assert status(aws, EAST, target, "x y/é") == "missing"


def test_what_was_pending_when_the_region_was_lost_stays_behind_and_arrives_with_it(aws: Emulator) -> None:
    made = build(aws, "storage")
    source, target = made.buckets["logs"]
    aws.client("s3", WEST).put_object(Bucket=source, Key="late", Body=b"x")
    aws.lose(WEST)
    aws.advance(10 * MINUTE)
    assert status(aws, EAST, target, "late") == "missing"
    aws.bring_back(WEST)
    aws.advance(2 * MINUTE)
    assert status(aws, EAST, target, "late") == "REPLICA"


def test_failed_objects_are_counted_and_batch_replication_brings_them_and_the_old_ones(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-batch-replication-batch.html"""
    made = build(aws, "storage")
    (source, target), s3 = made.buckets["logs"], aws.client("s3", WEST)
    rules = s3.get_bucket_replication(Bucket=source)["ReplicationConfiguration"]
    s3.delete_bucket_replication(Bucket=source)
    with refused("ReplicationConfigurationNotFoundError"):
        s3.get_bucket_replication(Bucket=source)
    s3.put_object(Bucket=source, Key="older", Body=b"x")
    s3.put_bucket_replication(Bucket=source, ReplicationConfiguration=rules)
    assert s3.get_bucket_replication(Bucket=source)["ReplicationConfiguration"] == rules
    aws.control("fail_replication", bucket=source, keys="bad*")
    s3.put_object(Bucket=source, Key="bad one", Body=b"x")
    aws.advance(MINUTE)
    assert (status(aws, WEST, source, "bad one"), status(aws, WEST, source, "older")) == ("FAILED", None)
    assert set(waiting(aws, made, "OperationsFailedReplication")) == {1.0}
    aws.control("fail_replication", bucket=source, keys="")
    job = {
        "AccountId": ACCOUNT, "ConfirmationRequired": False, "Operation": {"S3ReplicateObject": {}}, "Report": {"Enabled": False},
        "ClientRequestToken": "token", "Priority": 1, "RoleArn": made.replication_role,
        "ManifestGenerator": {
            "S3JobManifestGenerator": {
                "SourceBucket": f"arn:aws:s3:::{source}", "EnableManifestOutput": False,
                "Filter": {"EligibleForReplication": True, "ObjectReplicationStatuses": ["NONE", "FAILED"]},
            }
        },
    }  # fmt: skip
    batch = aws.client("s3control", WEST)
    identifier = batch.create_job(**job)["JobId"]
    assert batch.create_job(**job)["JobId"] == identifier
    with refused("IdempotencyException"):
        batch.create_job(**{**job, "Priority": 2})
    with refused("BadRequestException"):
        aws.client("s3control", EAST).create_job(**{**job, "ClientRequestToken": "other"})
    seen = [batch.describe_job(AccountId=ACCOUNT, JobId=identifier)["Job"]["Status"]]
    for _ in range(4):
        aws.advance(MINUTE)
        seen.append(batch.describe_job(AccountId=ACCOUNT, JobId=identifier)["Job"]["Status"])
    assert seen == ["New", "Preparing", "Active", "Active", "Complete"]
    assert [status(aws, EAST, target, key) for key in ("bad one", "older")] == ["REPLICA", "REPLICA"]


def test_replication_needs_versions_on_both_sides(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketReplication.html"""
    made = build(aws, "storage")
    source, _ = made.buckets["logs"]
    rules = aws.client("s3", WEST).get_bucket_replication(Bucket=source)["ReplicationConfiguration"]
    where = {"LocationConstraint": WEST}
    aws.client("s3", WEST).create_bucket(Bucket="plain", CreateBucketConfiguration=where)
    with refused("InvalidRequest"):
        aws.client("s3", WEST).put_bucket_replication(Bucket="plain", ReplicationConfiguration=rules)
    rules["Rules"][0]["Destination"]["Bucket"] = "arn:aws:s3:::plain"
    with refused("InvalidRequest"):
        aws.client("s3", WEST).put_bucket_replication(Bucket=source, ReplicationConfiguration=rules)


def test_a_bucket_answers_only_in_its_own_region(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/Redirects.html (PermanentRedirect)"""
    made = build(aws, "storage")
    with pytest.raises(ClientError) as caught:
        client(aws, "s3", EAST).list_objects_v2(Bucket=made.buckets["logs"][0])
    assert caught.value.response["Error"]["Code"] == "SignatureDoesNotMatch", (
        "boto3 follows the redirect, and this proxy is not the bucket's"
    )


def test_an_access_points_routes_take_effect_after_a_while_and_one_stays_open(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_SubmitMultiRegionAccessPointRoutes.html"""
    made = build(aws, "storage")
    control, which = aws.client("s3control", "ap-southeast-2"), {"AccountId": ACCOUNT, "Mrap": made.access_point}

    def routes() -> dict[str, int]:
        return {one["Region"]: one["TrafficDialPercentage"] for one in control.get_multi_region_access_point_routes(**which)["Routes"]}

    def updates(*shares: int) -> list[dict[str, Any]]:
        return [{"Region": region, "TrafficDialPercentage": share} for region, share in zip((WEST, EAST), shares, strict=True)]

    for bad in (updates(0, 0), updates(50, 50), [{"Region": "us-east-1", "TrafficDialPercentage": 100}]):
        with refused("InvalidRequest"):
            control.submit_multi_region_access_point_routes(**which, RouteUpdates=bad)
    control.submit_multi_region_access_point_routes(**which, RouteUpdates=updates(0, 100))
    assert routes() == {WEST: 100, EAST: 100}
    aws.advance(MINUTE)
    assert routes() == {WEST: 0, EAST: 100}


# Secrets Manager, KMS, ECR, DynamoDB


def test_a_replica_of_a_secret_cannot_be_written_until_it_stands_alone(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/standalone-secret.html"""
    made = build(aws, "secrets")
    name, there, here = made.secrets[0], aws.client("secretsmanager", EAST), aws.client("secretsmanager", WEST)
    for call in (there.put_secret_value, there.update_secret):
        with refused("InvalidRequestException"):
            call(SecretId=name, SecretString="new")
    with refused("InvalidRequestException"):
        here.stop_replication_to_replica(SecretId=name)
    aws.lose(WEST)
    arn = there.stop_replication_to_replica(SecretId=name)["ARN"]
    there.put_secret_value(SecretId=name, SecretString="new")
    aws.bring_back(WEST)
    aws.advance(2 * MINUTE)
    assert there.describe_secret(SecretId=name).get("PrimaryRegion") is None
    assert arn == here.describe_secret(SecretId=name)["ARN"].replace(WEST, EAST)
    assert [one.get_secret_value(SecretId=name)["SecretString"] for one in (here, there)] == [f"value of {name}", "new"]
    # the way back: without force the older secret of that name is in the way
    back = {"SecretId": name, "AddReplicaRegions": [{"Region": WEST}]}
    assert there.replicate_secret_to_regions(**back)["ReplicationStatus"][0]["Status"] == "Failed"
    there.remove_regions_from_replication(SecretId=name, RemoveReplicaRegions=[WEST])
    assert there.replicate_secret_to_regions(**back, ForceOverwriteReplicaSecret=True)["ReplicationStatus"][0]["Status"] == "InProgress"
    aws.advance(MINUTE)
    assert there.describe_secret(SecretId=name)["ReplicationStatus"][0]["Status"] == "InSync"
    assert here.get_secret_value(SecretId=name)["SecretString"] == "new"


def test_a_multi_region_key_decrypts_in_both_regions_and_its_primary_moves(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html"""
    made = build(aws, "keys")
    here, there = aws.client("kms", WEST), aws.client("kms", EAST)
    sealed = there.encrypt(KeyId="alias/airflow", Plaintext=b"x", EncryptionContext={"a": "b"})["CiphertextBlob"]
    assert here.decrypt(CiphertextBlob=sealed, EncryptionContext={"a": "b"})["Plaintext"] == b"x"
    with refused("UnsupportedOperationException"):
        there.update_primary_region(KeyId=made.key, PrimaryRegion=EAST)
    here.update_primary_region(KeyId=made.key, PrimaryRegion=EAST)
    aws.advance(MINUTE)
    found = [one.describe_key(KeyId=made.key)["KeyMetadata"]["MultiRegionConfiguration"] for one in (here, there)]
    assert [one["MultiRegionKeyType"] for one in found] == ["REPLICA", "PRIMARY"]
    single = here.create_key()["KeyMetadata"]["KeyId"]
    with refused("UnsupportedOperationException"):
        here.replicate_key(KeyId=single, ReplicaRegion=EAST)


def test_only_images_pushed_after_the_rule_are_replicated(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImageReplicationStatus.html"""
    here, there = aws.client("ecr", WEST), aws.client("ecr", EAST)
    here.create_repository(repositoryName="airflow/x")
    aws.set_seconds(seconds=MINUTE)

    def push(tag: str) -> str:
        manifest = json.dumps({"mediaType": "application/vnd.oci.image.index.v1+json", "schemaVersion": 2, "manifests": [], "tag": tag})
        return str(here.put_image(repositoryName="airflow/x", imageManifest=manifest, imageTag=tag)["image"]["imageId"]["imageDigest"])

    def states(tag: str) -> list[str]:
        found = here.describe_image_replication_status(repositoryName="airflow/x", imageId={"imageTag": tag})
        return [one["status"] for one in found["replicationStatuses"]]

    push("old")
    rule = {
        "destinations": [{"region": EAST, "registryId": ACCOUNT}],
        "repositoryFilters": [{"filter": "airflow/", "filterType": "PREFIX_MATCH"}],
    }
    here.put_replication_configuration(replicationConfiguration={"rules": [rule]})
    digest = push("new")
    assert (states("old"), states("new")) == ([], ["IN_PROGRESS"])
    with refused("RepositoryNotFoundException"):
        there.describe_images(repositoryName="airflow/x")
    aws.advance(MINUTE)
    assert states("new") == ["COMPLETE"]
    assert [one["imageDigest"] for one in there.describe_images(repositoryName="airflow/x")["imageDetails"]] == [digest]
    aws.control("fail_image_replication", repositories="airflow/*")
    push("newer")
    aws.advance(MINUTE)
    assert states("newer") == ["FAILED"]
    with refused("ImageNotFoundException"):
        states("never")


def test_the_last_writer_of_a_global_table_wins_in_both_regions(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GlobalTables.html"""
    made = build(aws, "tables")
    clients = [aws.client("dynamodb", region) for region in (WEST, EAST)]
    assert [one.describe_table(TableName=made.table)["Table"]["Replicas"][0]["RegionName"] for one in clients] == [EAST, WEST]
    for one, value in zip(clients, ("first", "last"), strict=True):
        one.put_item(TableName=made.table, Item={"id": {"S": "x"}, "value": {"S": value}})
    read = [one.get_item(TableName=made.table, Key={"id": {"S": "x"}})["Item"]["value"]["S"] for one in clients]
    assert read == ["first", "last"]
    aws.advance(MINUTE)
    read = [one.get_item(TableName=made.table, Key={"id": {"S": "x"}})["Item"]["value"]["S"] for one in clients]
    assert read == ["last", "last"]
    clients[0].delete_item(TableName=made.table, Key={"id": {"S": "x"}})
    aws.advance(MINUTE)
    assert "Item" not in clients[1].get_item(TableName=made.table, Key={"id": {"S": "x"}})


# Capacity


def test_node_groups_and_services_take_time_and_do_not_come_while_there_is_no_capacity(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdateNodegroupConfig.html, .../AmazonECS/.../API_UpdateService.html"""
    made = build(aws, "capacity")
    eks, ecs = aws.client("eks", EAST), aws.client("ecs", EAST)
    group = {"clusterName": made.eks_cluster, "nodegroupName": made.node_group}

    def seen() -> tuple[str, int, int]:
        service = ecs.describe_services(cluster=made.ecs_cluster, services=[made.ecs_service])["services"][0]
        return eks.describe_nodegroup(**group)["nodegroup"]["status"], service["runningCount"], service["pendingCount"]

    assert seen() == ("ACTIVE", 0, 0)
    with refused("InvalidParameterException"):
        eks.update_nodegroup_config(**group, scalingConfig={"desiredSize": 21})
    aws.control("hold_capacity", region=EAST, held=True)
    update = eks.update_nodegroup_config(**group, scalingConfig={"desiredSize": 6})["update"]["id"]
    ecs.update_service(cluster=made.ecs_cluster, service=made.ecs_service, desiredCount=4)
    with refused("ResourceInUseException"):
        eks.update_nodegroup_config(**group, scalingConfig={"desiredSize": 7})
    aws.advance(10 * MINUTE)
    assert seen() == ("UPDATING", 0, 4)
    aws.control("hold_capacity", region=EAST, held=False)
    aws.advance(MINUTE)
    assert seen() == ("ACTIVE", 4, 0)
    assert eks.describe_update(name=made.eks_cluster, updateId=update, nodegroupName=made.node_group)["update"]["status"] == "Successful"


def test_instances_of_a_group_are_pending_then_in_service_within_its_limits(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetDesiredCapacity.html"""
    made = build(aws, "capacity")
    scaling = aws.client("autoscaling", EAST)
    for wanted in (21, -1):
        with pytest.raises(ClientError):
            scaling.set_desired_capacity(AutoScalingGroupName=made.group, DesiredCapacity=wanted)
    scaling.set_desired_capacity(AutoScalingGroupName=made.group, DesiredCapacity=3)

    def states() -> list[str]:
        found = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[made.group])["AutoScalingGroups"][0]
        return [one["LifecycleState"] for one in found["Instances"]]

    assert states() == ["Pending"] * 3
    aws.advance(MINUTE)
    assert states() == ["InService"] * 3


def test_an_event_source_mapping_is_enabled_after_a_while(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html"""
    made = build(aws, "capacity")
    functions, mapping = aws.client("lambda", EAST), made.mappings[1]
    assert functions.get_event_source_mapping(UUID=mapping)["State"] == "Disabled"
    assert functions.update_event_source_mapping(UUID=mapping, Enabled=True)["State"] == "Enabling"
    with refused("ResourceInUseException"):
        functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    aws.advance(MINUTE)
    assert functions.list_event_source_mappings(FunctionName=made.function)["EventSourceMappings"][0]["State"] == "Enabled"


def test_quotas_are_what_the_test_set(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html"""
    quotas, which = aws.client("service-quotas", EAST), {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}
    aws.control("set_quota", region=EAST, service="ec2", code="L-1216C47A", value=5.0)
    found = [quotas.get_service_quota(**which), quotas.get_aws_default_service_quota(**which)]
    assert [one["Quota"]["Value"] for one in found] == [5.0, 256.0]
    with refused("NoSuchResourceException"):
        quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-0")
