"""``dr init aws`` against the emulated platform: what is there, what is not replicated, what could not be asked."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dr.app.init import Wanted
from dr.app.init import aws as init
from dr.app.init.text import block, flow
from dr.app.state import State
from dr.config.outputs import schema_of
from dr.errors import ExitCode, Refused
from dr.providers.aws.aurora.config import Sql
from dr.providers.aws.discover.ask import Ask
from dr.providers.aws.discover.assemble import ORDER, assemble
from dr.providers.aws.discover.found import Found, plain_name, prefixes, unique
from tests.aws.emulator import ACCOUNT, Emulator
from tests.aws.emulator.seed import TAGS, Platform, seed
from tests.report.schema import problems

ROOT = Path(__file__).parents[2]
HERE, THERE = "us-west-2", "eu-west-1"
TYPED = ["init", "aws", "--primary", HERE, "--secondary", THERE, "--profile-primary", HERE, "--profile-secondary", THERE]
TAGGED = ["--tag", "platform=airflow"]
LONE_ROLE = "airflow-alone"


@dataclass
class Account:
    """The emulated account, and ``dr`` as a process beside it."""

    aws: Emulator
    platform: Platform
    folder: Path

    def dr(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **self.aws.environment(), "HOME": str(self.folder), "DR_STATE": str(self.folder / "state")}
        return subprocess.run(
            [sys.executable, "-m", "dr", *words], env=environment, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False
        )

    def report(self, *words: str) -> Any:
        said = self.dr(*TYPED, *words, "--json")
        assert said.returncode == 0, said.stderr
        body = json.loads(said.stdout)
        assert problems(body, schema_of("dr.init/1")) == []
        return body


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """The seeded platform, all of it tagged, and beside it, without tags, what nobody thought of."""
    with Emulator((HERE, THERE)) as aws:
        platform = seed(aws, HERE, THERE, deployments=3)
        route53 = aws.client("route53", "us-east-1")
        route53.change_tags_for_resource(ResourceType="hostedzone", ResourceId=platform.zone, AddTags=TAGS)
        _unprotected(aws)
        _other_zone(aws)
        yield Account(aws, platform, tmp_path_factory.mktemp("init"))


def _unprotected(aws: Emulator) -> None:
    where = {"CreateBucketConfiguration": {"LocationConstraint": HERE}}
    aws.client("s3", HERE).create_bucket(Bucket="scratch-us-west-2", **where)
    aws.client("dynamodb", HERE).create_table(
        TableName="locks", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
    )  # fmt: skip
    for region in (HERE, THERE):
        aws.client("secretsmanager", region).create_secret(Name="alone/twice", SecretString=region)
    aws.client("secretsmanager", HERE).create_secret(Name="alone/once", SecretString="x")
    aws.client("ssm", HERE).put_parameter(Name="/alone/once", Value="x", Type="String")
    aws.client("ecr", HERE).create_repository(repositoryName="alone/tool")
    rds = aws.client("rds", HERE)
    login = {"MasterUsername": "root", "MasterUserPassword": "not-a-secret"}
    rds.create_db_cluster(DBClusterIdentifier="ledger", Engine="aurora-postgresql", EngineVersion="16.4", **login)
    rds.create_db_instance(
        DBInstanceIdentifier="notes", Engine="postgres", EngineVersion="16.4", DBInstanceClass="db.r6g.large", AllocatedStorage=20, **login
    )
    kms = aws.client("kms", HERE)
    kms.create_alias(AliasName="alias/old", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    aws.client("autoscaling", HERE).create_auto_scaling_group(
        AutoScalingGroupName="alone",
        LaunchConfigurationName="agents",
        MinSize=0,
        MaxSize=1,
        DesiredCapacity=0,
        AvailabilityZones=[f"{HERE}a"],
    )
    ecs = aws.client("ecs", HERE)
    ecs.create_service(cluster="airflow", serviceName="alone", taskDefinition="webserver", desiredCount=1)
    iam = aws.client("iam", "us-east-1")
    issuer = f"arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.eks.{HERE}.amazonaws.com/id/{1:032X}"
    trusted = {"Effect": "Allow", "Principal": {"Federated": issuer}, "Action": "sts:AssumeRoleWithWebIdentity"}
    iam.create_role(RoleName=LONE_ROLE, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trusted]}))


def _other_zone(aws: Emulator) -> None:
    """Names under health checks of their own, and one name that leads to one region only."""
    route53 = aws.client("route53", "us-east-1")
    zone = route53.create_hosted_zone(Name="shop.example.com", CallerReference="shop")["HostedZone"]["Id"].rpartition("/")[2]
    changes = [{"Name": "alone.shop.example.com", "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": "front.example.net"}]}]
    for region, role, address in ((HERE, "PRIMARY", "192.0.2.30"), (THERE, "SECONDARY", "198.51.100.30")):
        config = {"Type": "HTTPS", "FullyQualifiedDomainName": f"{region}.shop.example.com", "Port": 443, "ResourcePath": "/"}
        check = route53.create_health_check(CallerReference=f"shop {region}", HealthCheckConfig=config)["HealthCheck"]["Id"]
        record = {"Name": "www.shop.example.com", "Type": "A", "TTL": 300, "ResourceRecords": [{"Value": address}]}
        changes.append({**record, "SetIdentifier": region, "Failover": role, "HealthCheckId": check})
    batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": change} for change in changes]}
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)


@pytest.fixture(autouse=True)
def all_well(account: Account) -> Iterator[None]:
    account.aws.clear_calls()
    yield
    account.aws.clear_faults()
    for region in (HERE, THERE):
        account.aws.bring_back(region)


@pytest.fixture(scope="module")
def whole(account: Account) -> Any:
    """The report without a filter, and in ``made`` the calls that reached AWS."""
    account.aws.clear_calls()
    report = account.report()
    return {**report, "made": account.aws.calls()}


def active(report: Any) -> dict[str, str]:
    return {item["name"]: item["kind"] for item in report["components"] if item["active"]}


def gaps(report: Any) -> dict[str, str]:
    return {gap["what"]: gap["why"] for gap in report["not_replicated"]}


def settings(report: Any) -> dict[str, Any]:
    components: dict[str, Any] = YAML(typ="safe").load(report["text"])["components"]
    return components


def test_one_of_each_kind_is_found(whole: Any) -> None:
    """Everything on the platform is a component, and nothing was refused."""
    assert set(active(whole).values()) == set(ORDER)
    assert whole["not_asked"] == []
    assert settings(whole).keys() == active(whole).keys()


def test_settings_are_those_of_the_platform(whole: Any, account: Account) -> None:
    """Names, ARNs and endpoints, as the seed made them."""
    found, platform = settings(whole), account.platform
    sides = {HERE: {"bucket": f"airflow-dags-{HERE}"}, THERE: {"bucket": f"airflow-dags-{THERE}"}}
    assert found["airflow-dags"]["regions"] == sides and found["airflow-dags"]["access_point"] == platform.access_point
    assert found["airflow-metadata"]["regions"] == {HERE: {"cluster": "airflow-metadata-a"}, THERE: {"cluster": "airflow-metadata-b"}}
    assert found["traffic"]["regions"] == {
        HERE: {"control": platform.routing_controls[0]},
        THERE: {"control": platform.routing_controls[1]},
    }
    assert len(found["traffic"]["endpoints"]) == 5
    assert found["names"]["flipped_by"] == "traffic" and sorted(found["names"]["names"]) == sorted(platform.hostnames)
    assert found["names"]["regions"] == {HERE: {"values": ["192.0.2.10"]}, THERE: {"values": ["198.51.100.10"]}}
    assert set(found["certificates"]["hostnames"]) == set(platform.hostnames)
    assert found["secrets"]["prefixes"] == ["airflow/"] and found["parameters"]["paths"] == ["/airflow/", "/alone/"]
    assert found["nodes"]["if_unknown"] == 6 and found["services"]["regions"][HERE] == {"cluster": "airflow", "services": ["webservers"]}
    assert [found["events"]["regions"][region]["mappings"]["airflow-hooks"] for region in (HERE, THERE)] == list(platform.mappings)
    assert {name.partition(":")[0] for name in found["images"]["images"]} == set(platform.repositories)


def test_what_a_person_adds_to_prove_writes_has_both_endpoints_of_each_side(whole: Any, account: Account) -> None:
    """As RDS tells them: the reader's, because the writer's of a secondary is inactive; only the user is left to write."""
    lines = whole["text"].splitlines()
    first = next(number for number, line in enumerate(lines) if line.strip() == "# sql:")
    block = itertools.takewhile(lambda line: line.strip().startswith("# "), lines[first:])
    sql = Sql.model_validate(YAML(typ="safe").load("\n".join(line.strip().removeprefix("# ") for line in block))["sql"])
    for code, name in ((HERE, "airflow-metadata-a"), (THERE, "airflow-metadata-b")):
        [told] = account.aws.client("rds", code).describe_db_clusters(DBClusterIdentifier=name)["DBClusters"]
        assert (sql.endpoints[code], sql.reader_endpoints[code]) == (told["Endpoint"], told["ReaderEndpoint"])


def test_needs_follow_the_kinds(whole: Any) -> None:
    """People come only to what took a write; values follow the database that leads."""
    found = settings(whole)
    data = {name for name, kind in active(whole).items() if kind in ORDER and ORDER[kind][0] == "data"}
    assert set(found["traffic"]["needs"]) == set(found["events"]["needs"]) == data
    assert found["names"]["needs"] == ["traffic"]
    assert found["secrets"]["needs"] == found["parameters"]["needs"] == ["airflow-metadata"] == [found["secrets"]["database"]]
    assert {"secrets", "images", "airflow-key", "airflow-metadata"} <= set(found["services"]["needs"])


def test_names_under_checks_of_their_own(whole: Any) -> None:
    """Without routing controls the checks themselves are flipped, which is said to be a fallback."""
    [traffic] = [name for name, kind in active(whole).items() if kind == "aws.route53-health-check"]
    found = settings(whole)
    [names] = [item for item in found.values() if item.get("flipped_by") == traffic]
    assert names["names"] == ["www.shop.example.com"] and found[traffic]["ttl"] == "300s"
    assert all(side["health_check"] for side in found[traffic]["regions"].values())
    assert "the checks are edited, in us-east-1" in whole["text"]


@pytest.mark.parametrize("what", [
    "bucket scratch-us-west-2", "table locks", "secret alone/once", "secret alone/twice", "parameter /alone/once", "repository alone/tool",
    "database cluster ledger", "database instance notes", "key alias/old", "Auto Scaling group alone", "service alone of cluster airflow",
    f"role {LONE_ROLE}", "names alone.shop.example.com",
])  # fmt: skip
def test_what_is_not_replicated_is_named(whole: Any, what: str) -> None:
    """In the report and in the file, with what to do about it; what would be a component of its own is one in comments."""
    [gap] = [gap for gap in whole["not_replicated"] if gap["what"] == what]
    assert gap["why"] and gap["fix"]
    assert f"# not replicated yet: {what}: " in whole["text"] and f"  #   {gap['fix']}\n" in whole["text"]
    if gap["component"] not in active(whole):
        assert f"\n  # {gap['component']}:\n  #   kind: aws." in whole["text"]


def test_nothing_else_is_missing(whole: Any) -> None:
    """What the seed replicates is no gap."""
    assert len(whole["not_replicated"]) == 13, gaps(whole)


@pytest.mark.parametrize("words", [[], TAGGED])
def test_the_result_passes_the_check(account: Account, words: list[str]) -> None:
    """As it was written, without a person's hand."""
    path = account.folder / f"found-{len(words)}.yaml"
    said = account.dr(*TYPED, *words, "-o", str(path))
    assert (said.returncode, said.stdout) == (0, "") and f"Next: dr runbook check {path}" in said.stderr
    checked = account.dr("runbook", "check", str(path), "--offline")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    rights = account.dr("runbook", "permissions", str(path), "--json")
    assert rights.returncode == 0 and json.loads(rights.stdout)["policies"]


def test_a_tag_chooses(account: Account, whole: Any) -> None:
    """What carries no tag is neither a component nor missing; all that does is there. ECR, hosted zones, roles and groups, too."""
    report = account.report(*TAGGED)
    untagged = {"aws.route53-health-check"}
    assert set(active(report).values()) == set(ORDER) - untagged
    assert report["not_replicated"] == [] and report["not_asked"] == []
    assert settings(report)["trust"]["trusted"] == [account.platform.workload_role]
    asked = account.aws.calls("resourcegroupstaggingapi")
    assert {(call.operation, call.region) for call in asked} == {("GetResources", HERE)}
    assert {"alone", "airflow-agents"} >= set(settings(report)["instances"]["regions"][HERE]["groups"]) == {"airflow-agents"}


def test_a_tag_that_nothing_carries(account: Account) -> None:
    """Exit 3: there is nothing to move; said plainly."""
    said = account.dr(*TYPED, "--tag", "platform=nobody")
    assert said.returncode == 3 and "nothing of it is replicated" in said.stderr


def test_a_service_that_may_not_be_asked(account: Account) -> None:
    """Its action is named, and everything else is there."""
    account.aws.deny("dynamodb:ListTables")
    account.aws.deny("kms:ListKeys", THERE)
    said = account.dr(*TYPED)
    assert said.returncode == 0
    [table] = [line for line in said.stderr.splitlines() if line.startswith("not asked: DynamoDB")]
    assert "allow dynamodb:ListTables" in table and "AccessDenied" in table
    assert any(line.startswith("not asked: KMS") and "allow kms:ListKeys" in line for line in said.stderr.splitlines())
    assert "aws.dynamodb-global-table" not in said.stdout and "kind: aws.aurora-global-database" in said.stdout
    assert "# - DynamoDB: " in said.stdout


def test_one_bucket_that_may_not_be_read(account: Account) -> None:
    """The other buckets are there all the same."""
    account.aws.fault(HERE, "deny", "s3:GetReplicationConfiguration", times=1)
    report = account.report()
    buckets = [name for name, kind in active(report).items() if kind == "aws.s3-bucket"]
    [silent] = [item["about"] for item in report["not_asked"]]
    assert silent.startswith("bucket ") and len(buckets) + ("bucket scratch-us-west-2" in gaps(report)) == 2


def test_without_a_search_of_tags(account: Account) -> None:
    """With a filter that cannot be applied nothing is taken for meant."""
    account.aws.deny("tag:GetResources")
    said = account.dr(*TYPED, *TAGGED)
    assert said.returncode == 0 and "allow tag:GetResources" in said.stderr
    assert "kind: aws.s3-bucket" not in said.stdout and "kind: aws.eks-nodegroups" in said.stdout


def test_routing_controls_that_nobody_tells(account: Account) -> None:
    """us-west-2's control plane is needed for the endpoints: without it the names stand there as comments."""
    account.aws.deny("route53-recovery-control-config:*")
    report = account.report(*TAGGED)
    assert [item["about"] for item in report["not_asked"]] == ["routing controls' endpoints"]
    assert "aws.route53-records" not in active(report).values()
    assert any(why == "what flips them was not told" for why in gaps(report).values())


def test_an_existing_file_is_kept(account: Account) -> None:
    """Exit 3 before anything is asked; --force overwrites."""
    path = account.folder / "mine.yaml"
    path.write_text("mine")
    said = account.dr(*TYPED, *TAGGED, "-o", str(path))
    assert said.returncode == 3 and "there already" in said.stderr and path.read_text() == "mine"
    assert account.aws.calls() == []
    assert account.dr(*TYPED, *TAGGED, "-o", str(path), "--force").returncode == 0
    assert path.read_text().startswith("# What two regions")


def test_the_same_account_gives_the_same_text(account: Account, whole: Any) -> None:
    """Nothing in it depends on who answered first; the number of calls is printed."""
    said = account.dr(*TYPED)
    assert said.stdout == whole["text"] and f"by {whole['calls']} calls" in said.stderr


def test_only_reads_and_few_of_them(whole: Any) -> None:
    """The number that is told is what reached AWS, and it is bounded by what there is. No value of a secret is asked for."""
    made = whole["made"]
    assert whole["calls"] == len(made) <= 90
    assert {call.operation for call in made if not call.operation.startswith(("Get", "List", "Describe"))} == set()
    assert not [call.name for call in made if "SecretValue" in call.operation or call.operation.startswith("GetParameter")]


def test_a_bucket_without_a_way_back(account: Account) -> None:
    """It is protected, so it is a component; what is written after a failover would stay there, so it is named."""
    s3 = account.aws.client("s3", THERE)
    name = f"airflow-logs-{THERE}"
    before = s3.get_bucket_replication(Bucket=name)["ReplicationConfiguration"]
    s3.delete_bucket_replication(Bucket=name)
    try:
        report = account.report()
    finally:
        s3.put_bucket_replication(Bucket=name, ReplicationConfiguration=before)
    assert "airflow-logs" in active(report) and "does not replicate back" in gaps(report)[f"bucket {name}"]


@pytest.mark.parametrize(("words", "code", "said"), [
    (["--primary", HERE, "--secondary", HERE], 2, "are both us-west-2"),
    (["--primary", "west", "--secondary", THERE], 2, "not a region of AWS"),
    (["--primary", HERE, "--secondary", THERE, "--tag", "airflow"], 2, "expected KEY=VALUE"),
    (["--primary", HERE, "--secondary", THERE, "--name", "My Platform"], 2, "not a name of a runbook"),
    (["--primary", HERE, "--secondary", THERE, "--profile", "nobody"], 3, "aws configure list"),
])  # fmt: skip
def test_bad_input(account: Account, words: list[str], code: int, said: str) -> None:
    """A clear error, nothing asked."""
    done = account.dr("init", "aws", *words)
    assert done.returncode == code and said in done.stderr, done.stderr
    assert account.aws.calls() == []


def test_a_region_that_does_not_answer(account: Account) -> None:
    """Exit 3: half of a runbook would look as if nothing were replicated."""
    account.aws.lose(THERE)
    said = account.dr(*TYPED)
    assert said.returncode == 3 and "not reachable" in said.stderr and said.stdout == ""


def test_a_region_that_is_not_enabled(account: Account) -> None:
    """STS of such a region knows no credentials."""
    account.aws.fault(THERE, "refusal", "sts:GetCallerIdentity", status=403, code="InvalidClientTokenId")
    said = account.dr(*TYPED)
    assert said.returncode == 3 and "not enabled" in said.stderr


def test_two_accounts(account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles of two accounts are a mistake."""
    for name, value in account.aws.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Ask, "account", lambda _, place: {HERE: ACCOUNT, THERE: "999999999999"}[place.code])
    with pytest.raises(Refused, match="999999999999") as caught:
        init(State(tmp_path), Wanted(HERE, THERE, "platform", profiles=(HERE, THERE)))
    assert caught.value.exit_code == ExitCode.REFUSED and "one account" in caught.value.hint


def test_help_says_what_is_asked_where(account: Account) -> None:
    """Which tags are searched, and where APIs live alone."""
    text = " ".join(account.dr("init", "aws", "--help").stdout.split())
    assert "tag:GetResources" in text and "us-west-2, where their APIs live" in text
    assert "init" in account.dr("--help").stdout


@pytest.mark.parametrize("value", ["on", "0123", "*.a.b", "a: b", "", "#x", "arn:aws:s3:::x", "x:", 'say "so"', "é", "1e3", "-", "null"])
def test_text_reads_back(value: str) -> None:
    """Whatever a resource is called, YAML gives it back as a string."""
    read = YAML(typ="safe")
    assert read.load("\n".join(block("key", {"names": [value, value], value: {}})))["key"] == {"names": [value, value], value: {}}
    assert read.load(f"key: {flow([value] * 40)}") == {"key": [value] * 40}


def test_one_bucket_comes_last() -> None:
    """Two access points cannot both be moved after all other data: the second one's stands there as a comment."""
    point = {"access_point": f"arn:aws:s3::{ACCOUNT}:accesspoint/x.mrap"}
    buckets = [Found(name, "aws.s3-bucket", {"regions": {}, **point}) for name in ("one", "two")]
    table, first, second = assemble([*buckets, Found("table", "aws.dynamodb-global-table", {})])
    assert set(first.needs) == {"two", "table"} and "access_point" in first.settings
    assert second.needs == () and "access_point" not in second.settings and second.found.after[0].startswith("access_point: arn:")
    assert table.needs == ()


def test_names_are_readable_and_unique() -> None:
    """Without the region's name, small letters, and nobody's twice."""
    assert plain_name("Airflow_Logs-us-west-2", HERE, THERE) == "airflow-logs"
    assert plain_name("2024.backup", HERE) == "x-2024-backup" and plain_name("us-west-2", HERE) == "x"
    assert unique("airflow", ["airflow"], "bucket") == "airflow-bucket"
    assert unique("airflow", ["airflow", "airflow-bucket"], "bucket") == "airflow-bucket-2"


def test_beginnings_stand_for_whole_folders_only() -> None:
    """A prefix would take along what is not meant."""
    assert prefixes(["a/x", "a/y", "b"], ["a/x", "a/y", "b", "c"]) == (["a/"], ["b"])
    assert prefixes(["a/x"], ["a/x", "a/y"]) == ([], ["a/x"])
    assert prefixes(["/a/x"], ["/a/x"]) == (["/a/"], [])
