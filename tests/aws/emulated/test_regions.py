"""The emulated AWS itself: a lost region is lost, faults are what they say, and calls are counted."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from tests.aws.emulated.asking import EAST, HASTY, PLAIN, WEST, client, refused
from tests.aws.emulator import ARC_ENDPOINTS, GLOBAL, Emulator
from tests.aws.emulator.seed import seed


@pytest.mark.parametrize(
    ("how", "error"),
    [("refuse", EndpointConnectionError), ("hang", ReadTimeoutError), ("blackhole", (ConnectTimeoutError, ReadTimeoutError))],
)
def test_a_lost_region_is_gone_and_the_others_are_not(aws: Emulator, how: str, error: type[Exception]) -> None:
    for region in (WEST, EAST):
        aws.client("ssm", region).put_parameter(Name="/x", Value=region, Type="String")
    lost, other = client(aws, "ssm", WEST, HASTY), client(aws, "ssm", EAST)
    aws.lose(WEST, how)
    with pytest.raises(error):
        lost.get_parameter(Name="/x")
    with pytest.raises(error):
        client(aws, "ssm", WEST, HASTY).get_parameter(Name="/x")  # a new connection neither
    assert other.get_parameter(Name="/x")["Parameter"]["Value"] == EAST
    aws.bring_back(WEST)
    assert client(aws, "ssm", WEST).get_parameter(Name="/x")["Parameter"]["Value"] == WEST


def test_connections_that_were_open_die_with_the_region(aws: Emulator) -> None:
    kept = client(aws, "ssm", WEST)
    kept.describe_parameters()
    aws.lose(WEST)
    with pytest.raises(EndpointConnectionError):
        kept.describe_parameters()


def test_a_call_that_hangs_is_let_go_when_the_region_comes_back(aws: Emulator) -> None:
    """It was never applied: what was accepted and not read is lost with the region."""
    aws.lose(WEST, "hang")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client(aws, "ssm", WEST).put_parameter, Name="/x", Value="1", Type="String")
        while not aws.calls(region=WEST):
            pass
        aws.bring_back(WEST)
        with pytest.raises(ConnectionClosedError):
            waiting.result()
    assert not aws.client("ssm", WEST).describe_parameters()["Parameters"]


def test_with_us_east_1_go_the_control_planes_that_live_there(aws: Emulator) -> None:
    """Name servers and routing controls go on.

    https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/global-services.html
    """
    made = seed(aws, deployments=1, parts=["traffic"])
    aws.lose("us-east-1")
    for service, call in (("route53", "list_hosted_zones"), ("iam", "list_roles")):
        with pytest.raises(EndpointConnectionError):
            getattr(client(aws, service, EAST), call)()
    assert client(aws, "sts", EAST).get_caller_identity()["Account"] == aws.account
    assert aws.resolve(made.hostnames[0]) == [made.addresses[0]]
    _flip(aws, made.routing_controls, next(region for region in ARC_ENDPOINTS if region != "us-east-1"))
    assert aws.resolve(made.hostnames[0]) == [made.addresses[1]]


def _flip(aws: Emulator, controls: tuple[str, str], endpoint: str) -> None:
    states = [{"RoutingControlArn": arn, "RoutingControlState": state} for arn, state in zip(controls, ("Off", "On"), strict=True)]
    client(aws, "route53-recovery-cluster", endpoint).update_routing_control_states(UpdateRoutingControlStateEntries=states)


def test_a_proxy_takes_only_what_is_signed_for_its_region(aws: Emulator) -> None:
    """Credential should be scoped to a valid Region: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html"""
    with mock.patch.dict(os.environ, aws.environment()):
        wrong = boto3.client("ssm", region_name=WEST, endpoint_url=aws.endpoint_of(EAST), config=PLAIN)
        regional = boto3.client("route53", region_name=WEST, endpoint_url=aws.endpoint_of(WEST), config=PLAIN)
    with refused("SignatureDoesNotMatch"):
        wrong.describe_parameters()
    with refused("SignatureDoesNotMatch"):
        regional.list_hosted_zones()


def test_a_client_without_a_profile_reaches_nobody(aws: Emulator) -> None:
    with mock.patch.dict(os.environ, aws.environment()):
        stray = boto3.Session().client("ssm", region_name=WEST, config=HASTY)
    with pytest.raises(EndpointConnectionError):
        stray.describe_parameters()


THROTTLED: dict[str, tuple[str, int, Callable[[Any], object]]] = {
    "ssm": ("ThrottlingException", 400, lambda one: one.describe_parameters()),
    "rds": ("Throttling", 400, lambda one: one.describe_db_clusters()),
    "route53": ("Throttling", 400, lambda one: one.list_hosted_zones()),
    "s3": ("SlowDown", 503, lambda one: one.list_buckets()),
    "ec2": ("RequestLimitExceeded", 503, lambda one: one.describe_regions()),
    "lambda": ("TooManyRequestsException", 429, lambda one: one.list_functions()),
}


@pytest.mark.parametrize("service", THROTTLED)
def test_throttling_is_said_in_each_services_own_words(aws: Emulator, service: str) -> None:
    """https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html: the codes by which an SDK knows throttling."""
    code, status, call = THROTTLED[service]
    aws.fault("*", "throttle", f"{service}:*")
    with pytest.raises(ClientError) as caught:
        call(client(aws, service, WEST))
    assert (caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)


def test_a_share_of_the_calls_or_a_number_of_them(aws: Emulator) -> None:
    here = client(aws, "ssm", WEST)
    aws.fault(WEST, "throttle", share=0.3)
    assert _failures(here.describe_parameters, 20) == 6
    aws.clear_faults()
    aws.fault(WEST, "error", "ssm:DescribeParameters", times=2, status=503)
    assert _failures(here.describe_parameters, 20) == 2


def _failures(call: Callable[[], object], times: int) -> int:
    failed = 0
    for _ in range(times):
        try:
            call()
        except ClientError:
            failed += 1
    return failed


def test_a_lost_answer_was_applied(aws: Emulator) -> None:
    here = client(aws, "ssm", WEST)
    aws.fault(WEST, "lost-answer", "ssm:PutParameter", times=1)
    with pytest.raises(ConnectionClosedError):
        here.put_parameter(Name="/x", Value="1", Type="String")
    assert here.get_parameter(Name="/x")["Parameter"]["Value"] == "1"


def test_a_slow_call_is_answered_and_a_hanging_one_is_not(aws: Emulator) -> None:
    aws.fault(WEST, "slow", "ssm:DescribeParameters", seconds=0.05)
    aws.fault(WEST, "hang", "ssm:GetParameter")
    assert client(aws, "ssm", WEST).describe_parameters()["Parameters"] == []
    with pytest.raises(ReadTimeoutError):
        client(aws, "ssm", WEST, HASTY).get_parameter(Name="/x")


def test_a_denied_action_is_named_by_iams_name(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html: HeadObject needs s3:GetObject."""
    aws.client("s3", WEST).create_bucket(Bucket="logs", CreateBucketConfiguration={"LocationConstraint": WEST})
    aws.client("s3", WEST).put_object(Bucket="logs", Key="x", Body=b"x")
    aws.deny("s3:GetObject")
    aws.deny("rds:Failover*")
    here, there = client(aws, "s3", WEST), client(aws, "rds", EAST)
    with pytest.raises(ClientError, match="403"):
        here.head_object(Bucket="logs", Key="x")
    assert here.list_objects_v2(Bucket="logs")["KeyCount"] == 1
    with pytest.raises(ClientError, match="not authorized to perform: rds:FailoverGlobalCluster") as caught:
        there.failover_global_cluster(GlobalClusterIdentifier="x", TargetDbClusterIdentifier="y")
    assert caught.value.response["Error"]["Code"] == "AccessDenied"


def test_everything_outside_a_policy_can_be_refused(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_action.html (wildcards, any case)"""
    aws.allow_only(["ssm:Describe*", "RDS:describedbclusters"])
    here = client(aws, "ssm", WEST)
    assert here.describe_parameters()["Parameters"] == []
    assert client(aws, "rds", EAST).describe_db_clusters()["DBClusters"] == []
    with refused("AccessDeniedException"):
        here.put_parameter(Name="/x", Value="1", Type="String")


def test_a_role_is_assumed_as_its_trust_policy_says_and_another_account_sees_nothing_of_this_one(aws: Emulator) -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_common-scenarios_third-party.html"""
    aws.client("ssm", WEST).put_parameter(Name="/x", Value="1", Type="String")
    aws.control("add_role", account="210987654321", name="failover", external_id="42")
    sts, asked = client(aws, "sts", WEST), {"RoleSessionName": "test", "RoleArn": "arn:aws:iam::210987654321:role/failover"}
    for wrong in ({}, {"ExternalId": "41"}, {"ExternalId": "42", "RoleArn": "arn:aws:iam::210987654321:role/other"}):
        with refused("AccessDenied"):
            sts.assume_role(**{**asked, **wrong})
    key = sts.assume_role(**asked, ExternalId="42")["Credentials"]["AccessKeyId"]
    assert aws.client("sts", WEST, key).get_caller_identity()["Account"] == "210987654321"
    assert aws.client("ssm", WEST, key).describe_parameters()["Parameters"] == []


def test_calls_are_counted_in_order_and_by_name(aws: Emulator) -> None:
    with aws.counted() as made:
        client(aws, "ssm", WEST).describe_parameters()
        client(aws, "rds", EAST).describe_db_clusters()
        client(aws, "route53", EAST).list_hosted_zones()
        client(aws, "s3", EAST).list_buckets()
    assert [(call.proxy, call.name, call.status) for call in made] == [
        (WEST, "ssm:DescribeParameters", 200),
        (EAST, "rds:DescribeDBClusters", 200),
        (GLOBAL, "route53:ListHostedZones", 200),
        (EAST, "s3:ListBuckets", 200),
    ]
    assert made[3].actions == ("s3:ListAllMyBuckets",)
    assert [call.operation for call in aws.calls(service="rds")] == ["DescribeDBClusters"]


def test_what_nobody_emulates_is_refused_clearly_and_not_with_an_error_that_sdks_retry(aws: Emulator) -> None:
    for service, call in (("arc-region-switch", "list_plans"), ("rds", "describe_db_major_engine_versions")):
        with pytest.raises(ClientError) as caught:
            getattr(client(aws, service, WEST), call)()
        assert caught.value.response["Error"]["Code"] == "NotImplementedByTheEmulator"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


@pytest.mark.parametrize("pair", [(WEST, EAST), ("us-east-1", EAST)])
def test_the_platform_is_in_both_regions_and_in_sync(aws: Emulator, pair: tuple[str, str]) -> None:
    made = seed(aws, *pair, deployments=2)
    first, second = pair
    assert len(made.hostnames) == 6
    members = aws.client("rds", second).describe_global_clusters()["GlobalClusters"][0]["GlobalClusterMembers"]
    assert [(one["DBClusterArn"], one["IsWriter"]) for one in members] == list(zip(made.cluster_arns, (True, False), strict=True))
    for source, target in made.buckets.values():
        assert _keys(aws, first, source) == _keys(aws, second, target) != []
    for name, digests in made.digests.items():
        images = aws.client("ecr", second).describe_images(repositoryName=name)["imageDetails"]
        assert {image["imageDigest"] for image in images} == set(digests)
    for name in made.secrets:
        assert aws.client("secretsmanager", second).get_secret_value(SecretId=name)["SecretString"] == f"value of {name}"
    sealed = aws.client("kms", first).encrypt(KeyId=made.key, Plaintext=b"x")["CiphertextBlob"]
    assert aws.client("kms", second).decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"
    states = [
        aws.client("acm", region).describe_certificate(CertificateArn=arn)["Certificate"]["Status"]
        for region, arn in zip(pair, made.certificates, strict=True)
    ]
    assert states == ["ISSUED", "ISSUED"]
    assert aws.client("dynamodb", second).scan(TableName=made.table)["Count"] == 2
    assert [aws.resolve(name) for name in made.hostnames] == [[made.addresses[0]]] * 6
    assert aws.control("timed_things_left") == 0


def _keys(aws: Emulator, region: str, bucket: str) -> list[str]:
    return [one["Key"] for one in aws.client("s3", region).list_objects_v2(Bucket=bucket)["Contents"]]
