"""The platform of the tests: an Airflow service of N Deployments in two regions, replicated in every way that ``dr`` knows.

Everything is there at once and in sync: while seeding, nothing takes time.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.aws.emulator.emulator import ACCOUNT, Emulator

DOMAIN = "airflow.example.com"
ADDRESSES = ("192.0.2.10", "198.51.100.10")  # of the two regions' front doors
PARTS = ("identity", "databases", "storage", "images", "secrets", "keys", "traffic", "capacity", "tables")
TAG = {"platform": "airflow"}
TAGS = [{"Key": key, "Value": value} for key, value in TAG.items()]
LOWER_TAGS = [{"key": key, "value": value} for key, value in TAG.items()]
Dns = Literal["failover", "weighted", "simple"]


@dataclass
class Platform:
    """What there is, by its names. Pairs are (primary, secondary)."""

    primary: str
    secondary: str
    deployments: tuple[str, ...]
    hostnames: tuple[str, ...]
    dns: Dns
    addresses: tuple[str, str] = ADDRESSES
    global_cluster: str = "airflow-metadata"
    clusters: tuple[str, str] = ("airflow-metadata-a", "airflow-metadata-b")
    cluster_arns: tuple[str, str] = ("", "")
    read_replica: tuple[str, str] = ("airflow-reports-a", "airflow-reports-b")
    buckets: dict[str, tuple[str, str]] = field(default_factory=dict)
    access_point: str = ""
    replication_role: str = f"arn:aws:iam::{ACCOUNT}:role/airflow-replication"
    workload_role: str = "airflow-deployments"
    repositories: tuple[str, ...] = ()
    digests: dict[str, list[str]] = field(default_factory=dict)  # repository → newest last
    secrets: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    key: str = ""
    certificates: tuple[str, str] = ("", "")
    zone: str = ""
    health_checks: tuple[str, str] = ("", "")
    arc_cluster: str = ""
    control_panel: str = ""
    routing_controls: tuple[str, str] = ("", "")
    safety_rule: str = ""
    table: str = "airflow-sessions"
    eks_cluster: str = "airflow"
    node_group: str = "workers"
    ecs_cluster: str = "airflow"
    ecs_service: str = "webservers"
    group: str = "airflow-agents"
    function: str = "airflow-hooks"
    mappings: tuple[str, str] = ("", "")

    @property
    def regions(self) -> tuple[str, str]:
        """Primary and secondary."""
        return (self.primary, self.secondary)


def seed(
    aws: Emulator,
    primary: str = "us-west-2",
    secondary: str = "eu-west-1",
    deployments: int = 5,
    names_each: int = 3,
    dns: Dns = "failover",
    parts: Iterable[str] = PARTS,
    addresses: tuple[str, str] = ADDRESSES,
) -> Platform:
    """Build the platform, or only some ``parts`` of it, and return what it consists of.

    ``dns``: how the names are prepared. ``failover``: PRIMARY and SECONDARY records under the health checks of the two routing
    controls; ``weighted``: weights 100 and 0; ``simple``: one record, which has to be edited.
    """
    names = tuple(f"deployment-{number:03d}" for number in range(deployments))
    prefixes = ("", "api-", "agents-", *(f"extra{number}-" for number in range(names_each)))[:names_each]
    hostnames = tuple(f"{prefix}{name}.{DOMAIN}" for name in names for prefix in prefixes)
    made = Platform(primary, secondary, names, hostnames, dns, addresses)
    aws.set_seconds(seconds=0)
    builders = {
        "identity": _identity, "databases": _databases, "storage": _storage, "images": _images, "secrets": _secrets, "keys": _keys,
        "traffic": _traffic, "capacity": _capacity, "tables": _tables,
    }  # fmt: skip
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(builders[part], aws, made) for part in parts]:
            done.result()
    aws.set_seconds(seconds=0.2)
    return made


def _identity(aws: Emulator, made: Platform) -> None:
    iam = aws.client("iam", "us-east-1")
    issuers = [f"oidc.eks.{region}.amazonaws.com/id/{number:032X}" for number, region in enumerate(made.regions, 1)]
    providers = [iam.create_open_id_connect_provider(Url=f"https://{issuer}", ThumbprintList=["a" * 40]) for issuer in issuers]
    trusted = [
        {"Effect": "Allow", "Principal": {"Federated": one["OpenIDConnectProviderArn"]}, "Action": "sts:AssumeRoleWithWebIdentity"}
        for one in providers
    ]
    services = [{"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sts:AssumeRole"}]
    for name, statements in ((made.workload_role, trusted), ("airflow-replication", services)):
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy, Tags=TAGS)


def _databases(aws: Emulator, made: Platform) -> None:
    arns = []
    for region, cluster in zip(made.regions, made.clusters, strict=True):
        rds = aws.client("rds", region)
        login = {"MasterUsername": "root", "MasterUserPassword": "not-a-secret"} if region == made.primary else {}
        joins = {} if login else {"GlobalClusterIdentifier": made.global_cluster}
        group = f"{cluster}-parameters"
        rds.create_db_cluster_parameter_group(
            DBClusterParameterGroupName=group, DBParameterGroupFamily="aurora-postgresql16", Description="-"
        )
        arn = rds.create_db_cluster(
            DBClusterIdentifier=cluster, Engine="aurora-postgresql", EngineVersion="16.4", DBClusterParameterGroupName=group, Tags=TAGS,
            **login, **joins,
        )["DBCluster"]["DBClusterArn"]  # fmt: skip
        rds.create_db_instance(
            DBInstanceIdentifier=f"{cluster}-1", DBClusterIdentifier=cluster, Engine="aurora-postgresql", DBInstanceClass="db.r6g.large"
        )
        if login:
            rds.create_global_cluster(GlobalClusterIdentifier=made.global_cluster, SourceDBClusterIdentifier=arn)
        arns.append(arn)
    made.cluster_arns = (arns[0], arns[1])
    lag = {"AuroraGlobalDBReplicationLag": 80.0, "AuroraGlobalDBRPOLag": 120.0}
    for name, value in lag.items():
        aws.set_metric(made.secondary, "AWS/RDS", name, {"DBClusterIdentifier": made.clusters[1]}, value, "Milliseconds")
    source, replica = made.read_replica
    first = aws.client("rds", made.primary).create_db_instance(
        DBInstanceIdentifier=source, Engine="postgres", EngineVersion="16.4", DBInstanceClass="db.r6g.large", AllocatedStorage=100,
        MasterUsername="root", MasterUserPassword="not-a-secret", BackupRetentionPeriod=7, Tags=TAGS,
    )  # fmt: skip
    aws.client("rds", made.secondary).create_db_instance_read_replica(
        DBInstanceIdentifier=replica, SourceDBInstanceIdentifier=first["DBInstance"]["DBInstanceArn"], Tags=TAGS
    )
    aws.set_metric(made.secondary, "AWS/RDS", "ReplicaLag", {"DBInstanceIdentifier": replica}, 0.5, "Seconds")


def _storage(aws: Emulator, made: Platform) -> None:
    for kind in ("logs", "dags"):
        pair = (f"airflow-{kind}-{made.primary}", f"airflow-{kind}-{made.secondary}")
        made.buckets[kind] = pair
        for region, name in zip(made.regions, pair, strict=True):
            s3 = aws.client("s3", region)
            where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            s3.create_bucket(Bucket=name, **where)
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
            s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": TAGS})
        for region, source, target in ((made.primary, *pair), (made.secondary, *pair[::-1])):
            aws.client("s3", region).put_bucket_replication(Bucket=source, ReplicationConfiguration=_rules(made, target))
        for name in made.deployments:
            body = f"{kind} of {name}".encode()
            aws.client("s3", made.primary).put_object(Bucket=pair[0], Key=f"{name}/{kind}/first", Body=body)
    control = aws.client("s3control", "us-west-2")
    regions = [{"Bucket": name} for name in made.buckets["dags"]]
    control.create_multi_region_access_point(AccountId=ACCOUNT, ClientToken="seed", Details={"Name": "airflow-dags", "Regions": regions})
    alias = control.get_multi_region_access_point(AccountId=ACCOUNT, Name="airflow-dags")["AccessPoint"]["Alias"]
    made.access_point = f"arn:aws:s3::{ACCOUNT}:accesspoint/{alias}"


def _rules(made: Platform, target: str) -> dict[str, Any]:
    on = {"Status": "Enabled"}
    timed = {"ReplicationTime": {**on, "Time": {"Minutes": 15}}, "Metrics": {**on, "EventThreshold": {"Minutes": 15}}}
    rule = {
        "ID": "all", "Priority": 1, "Filter": {}, **on, "DeleteMarkerReplication": on,
        "SourceSelectionCriteria": {"ReplicaModifications": on}, "Destination": {"Bucket": f"arn:aws:s3:::{target}", **timed},
    }  # fmt: skip
    return {"Role": made.replication_role, "Rules": [rule]}


def _images(aws: Emulator, made: Platform) -> None:
    first = aws.client("ecr", made.primary)
    for region, other in (made.regions, made.regions[::-1]):
        rule = {"destinations": [{"region": other, "registryId": ACCOUNT}], "repositoryFilters": [_PREFIX]}
        aws.client("ecr", region).put_replication_configuration(replicationConfiguration={"rules": [rule]})
    made.repositories = tuple(f"airflow/{name}" for name in made.deployments)
    for number, name in enumerate(made.repositories):
        first.create_repository(repositoryName=name, tags=TAGS)
        for tag in ("previous", "current"):
            pushed = first.put_image(repositoryName=name, imageManifest=_manifest(number, tag), imageTag=tag)
            made.digests.setdefault(name, []).append(pushed["image"]["imageId"]["imageDigest"])


_PREFIX = {"filter": "airflow/", "filterType": "PREFIX_MATCH"}


def _manifest(number: int, tag: str) -> str:
    kind = "application/vnd.oci.image"
    config = {"mediaType": f"{kind}.config.v1+json", "digest": f"sha256:{number:064x}", "size": 100}
    return json.dumps(
        {"schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json", "config": config, "layers": [], "annotations": {"tag": tag}}
    )


def _secrets(aws: Emulator, made: Platform) -> None:
    first = aws.client("secretsmanager", made.primary)
    made.secrets = ("airflow/fernet-key", *(f"airflow/{name}/connections" for name in made.deployments))
    for name in made.secrets:
        value = f"value of {name}"
        first.create_secret(Name=name, SecretString=value, AddReplicaRegions=[{"Region": made.secondary}], Tags=TAGS)
    made.parameters = tuple(f"/airflow/{name}/config" for name in made.deployments)
    for region in made.regions:
        for name in made.parameters:
            aws.client("ssm", region).put_parameter(Name=name, Value=f"config of {name}", Type="SecureString", Tags=TAGS)


def _keys(aws: Emulator, made: Platform) -> None:
    first = aws.client("kms", made.primary)
    made.key = first.create_key(MultiRegion=True, Description="airflow", Tags=[{"TagKey": "platform", "TagValue": "airflow"}])[
        "KeyMetadata"
    ]["KeyId"]
    first.replicate_key(KeyId=made.key, ReplicaRegion=made.secondary)
    for region in made.regions:
        aws.client("kms", region).create_alias(AliasName="alias/airflow", TargetKeyId=made.key)
    certificate, key = self_signed(DOMAIN, f"*.{DOMAIN}")
    arns = [
        aws.client("acm", region).import_certificate(Certificate=certificate, PrivateKey=key, Tags=TAGS)["CertificateArn"]
        for region in made.regions
    ]
    made.certificates = (arns[0], arns[1])


def self_signed(*names: str) -> tuple[bytes, bytes]:
    """A certificate for these names and its key, as PEM."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).add_extension(alternatives, critical=False)
    signed = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=365)).sign(key, hashes.SHA256())
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return signed.public_bytes(serialization.Encoding.PEM), secret


def _traffic(aws: Emulator, made: Platform) -> None:
    _routing_controls(aws, made)
    route53 = aws.client("route53", "us-east-1")
    made.zone = route53.create_hosted_zone(Name=DOMAIN, CallerReference="seed")["HostedZone"]["Id"].rpartition("/")[2]
    checks = [
        route53.create_health_check(
            CallerReference=f"control {number}", HealthCheckConfig={"Type": "RECOVERY_CONTROL", "RoutingControlArn": control}
        )["HealthCheck"]["Id"]
        for number, control in enumerate(made.routing_controls)
    ]
    made.health_checks = (checks[0], checks[1])
    aws.control("set_address_regions", regions=dict(zip(made.addresses, made.regions, strict=True)))
    changes = [change for name in made.hostnames for change in _records(made, name)]
    for start in range(0, len(changes), 500):
        route53.change_resource_record_sets(HostedZoneId=made.zone, ChangeBatch={"Changes": changes[start : start + 500]})


def _records(made: Platform, name: str) -> list[dict[str, Any]]:
    def record(address: str, **routing: Any) -> dict[str, Any]:
        return {"Action": "CREATE", "ResourceRecordSet": _a_record(name, address) | routing}

    if made.dns == "simple":
        return [record(made.addresses[0])]
    kinds: list[dict[str, Any]] = [{"Failover": "PRIMARY"}, {"Failover": "SECONDARY"}]
    if made.dns == "weighted":
        kinds = [{"Weight": 100}, {"Weight": 0}]
    else:
        kinds = [{**kind, "HealthCheckId": check} for kind, check in zip(kinds, made.health_checks, strict=True)]
    parts = zip(made.addresses, made.regions, kinds, strict=True)
    return [record(address, SetIdentifier=region, **kind) for address, region, kind in parts]


def _a_record(name: str, address: str) -> dict[str, Any]:
    return {"Name": name, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": address}]}


def _routing_controls(aws: Emulator, made: Platform) -> None:
    config = aws.client("route53-recovery-control-config", "us-west-2")
    made.arc_cluster = config.create_cluster(ClusterName="airflow")["Cluster"]["ClusterArn"]
    made.control_panel = config.list_control_panels(ClusterArn=made.arc_cluster)["ControlPanels"][0]["ControlPanelArn"]
    first, second = (
        config.create_routing_control(ClusterArn=made.arc_cluster, RoutingControlName=region)["RoutingControl"]["RoutingControlArn"]
        for region in made.regions
    )
    made.routing_controls = (first, second)
    rule = {
        "AssertedControls": [first, second], "ControlPanelArn": made.control_panel, "Name": "at-least-one", "WaitPeriodMs": 5000,
        "RuleConfig": {"Inverted": False, "Threshold": 1, "Type": "ATLEAST"},
    }  # fmt: skip
    made.safety_rule = config.create_safety_rule(AssertionRule=rule)["AssertionRule"]["SafetyRuleArn"]
    cluster = aws.client("route53-recovery-cluster", "eu-west-1")
    cluster.update_routing_control_states(UpdateRoutingControlStateEntries=[{"RoutingControlArn": first, "RoutingControlState": "On"}])


def _capacity(aws: Emulator, made: Platform) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/airflow-lambda"
    policy = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
    aws.client("iam", "us-east-1").create_role(RoleName="airflow-lambda", AssumeRolePolicyDocument=document)
    mappings = []
    for region, nodes, tasks in ((made.primary, 6, 4), (made.secondary, 1, 0)):
        zones = [f"{region}a", f"{region}b"]
        subnets = aws.client("ec2", region).describe_subnets(Filters=[{"Name": "availability-zone", "Values": zones}])["Subnets"]
        networks = [subnet["SubnetId"] for subnet in subnets]
        eks = aws.client("eks", region)
        eks.create_cluster(name=made.eks_cluster, roleArn=role, resourcesVpcConfig={"subnetIds": networks}, tags=TAG)
        size = {"minSize": 0, "maxSize": 20, "desiredSize": nodes}
        eks.create_nodegroup(
            clusterName=made.eks_cluster, nodegroupName=made.node_group, scalingConfig=size, subnets=networks, nodeRole=role, tags=TAG
        )
        ecs = aws.client("ecs", region)
        ecs.create_cluster(clusterName=made.ecs_cluster, tags=LOWER_TAGS)
        ecs.register_task_definition(family="webserver", containerDefinitions=[{"name": "web", "image": "web", "memory": 128}])
        ecs.create_service(
            cluster=made.ecs_cluster, serviceName=made.ecs_service, taskDefinition="webserver", desiredCount=tasks, tags=LOWER_TAGS
        )
        _group(aws, made, region, zones, tasks)
        mappings.append(_function(aws, made, region, role))
    made.mappings = (mappings[0], mappings[1])


def _group(aws: Emulator, made: Platform, region: str, zones: list[str], size: int) -> None:
    scaling = aws.client("autoscaling", region)
    scaling.create_launch_configuration(LaunchConfigurationName="agents", ImageId="ami-12c6146b", InstanceType="m6i.large")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=made.group, LaunchConfigurationName="agents", MinSize=0, MaxSize=20, DesiredCapacity=size,
        AvailabilityZones=zones, Tags=[{**TAGS[0], "PropagateAtLaunch": True}],
    )  # fmt: skip


def _function(aws: Emulator, made: Platform, region: str, role: str) -> str:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("hooks.py", "def handle(event, context):\n    return {}\n")
    client = aws.client("lambda", region)
    arguments = {"Runtime": "python3.11", "Role": role, "Handler": "hooks.handle", "Code": {"ZipFile": code.getvalue()}, "Tags": TAG}
    client.create_function(FunctionName=made.function, **arguments)
    sqs = aws.client("sqs", region)
    queue = sqs.create_queue(QueueName="airflow-events", tags=TAG)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    mapping = client.create_event_source_mapping(FunctionName=made.function, EventSourceArn=arn, Enabled=region == made.primary)
    return str(mapping["UUID"])


def _tables(aws: Emulator, made: Platform) -> None:
    first = aws.client("dynamodb", made.primary)
    first.create_table(
        TableName=made.table, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}], Tags=TAGS,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )  # fmt: skip
    for name in made.deployments:
        first.put_item(TableName=made.table, Item={"id": {"S": name}})
    first.update_table(TableName=made.table, ReplicaUpdates=[{"Create": {"RegionName": made.secondary}}])
