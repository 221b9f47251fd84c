"""RDS read replicas across regions: made of what the request says and of nothing of the source's region, refused as documented; promoted.

Why not moto's: a replica is a copy of its source, groups, key and list of replicas included; its subnet group is looked for in the source's
region; a promoted replica stays one of its source and can be promoted again. Times: ``rds.promote``.
"""

from __future__ import annotations

import copy
from typing import Any

from moto.ec2.models import ec2_backends
from moto.rds.models import DBInstance, RDSBackend, rds_backends

from tests.aws.emulator.extension.rds import backend
from tests.aws.emulator.registry import later, operation
from tests.aws.emulator.wire import ACCOUNT, Call, Refusal

_WITH_GROUP = ("mysql", "oracle", "db2")
"""Engines whose cross-region replicas may be given a parameter group while they are made: API_CreateDBInstanceReadReplica."""

_promoting: set[tuple[str, str]] = set()  # region and name of replicas being promoted


@operation("rds:CreateDBInstanceReadReplica")
def create_read_replica(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstanceReadReplica.html: in another region than its source."""
    here, params, name = backend(call.region), call.params, call.params["DBInstanceIdentifier"].lower()
    arn = params["SourceDBInstanceIdentifier"]
    known = rds_backends[ACCOUNT][arn.split(":")[3]].databases if arn.startswith("arn:") else {}
    if (source := known.get(arn.rpartition(":")[2])) is None:
        raise Refusal("DBInstanceNotFound", f"DBInstance {arn} not found.", 404)
    if name in here.databases:
        raise Refusal("DBInstanceAlreadyExists", "DB instance already exists", 400)
    if source.status != "available":
        raise Refusal("InvalidDBInstanceState", f"DB Instance {arn} is {source.status}, it must be available.", 400)
    _check_key(call, source)
    _check_groups(call, source, here)
    made = copy.copy(source)
    made.backend = here
    here.databases[name] = _filled(made, source, call)
    source.add_replica(made)
    shown = {"DBInstanceIdentifier": name, "DBInstanceStatus": made.status, "Engine": made.engine, "DBInstanceArn": made.db_instance_arn}
    return {"DBInstance": shown}


def _check_key(call: Call, source: DBInstance) -> None:
    """Of an encrypted one with a key of its own region, by a request that is signed for the source's, too; of a plain one without.

    The words: https://github.com/terraform-aws-modules/terraform-aws-rds/pull/428; codes of the others: API_CreateDBInstanceReadReplica.
    """
    key = call.params.get("KmsKeyId", "")
    if not source.storage_encrypted and key:
        raise Refusal("InvalidParameterCombination", "Cannot create an encrypted read replica from an unencrypted source.", 400)
    if source.storage_encrypted and not key:
        raise Refusal("InvalidParameterCombination", "Cannot create a cross region unencrypted read replica from encrypted source.", 400)
    if source.storage_encrypted and not call.params.get("PreSignedUrl"):
        raise Refusal("InvalidParameterCombination", "A pre-signed URL has to be specified: the source is encrypted.", 400)
    if key and f":{call.region}:" not in key:
        raise Refusal("KMSKeyNotAccessibleFault", f"The key {key} is not one of {call.region}", 400)


def _check_groups(call: Call, source: DBInstance, here: RDSBackend) -> None:
    """They are there, in one VPC, and the engine takes them.

    The words: https://github.com/hashicorp/terraform-provider-aws/issues/38056 (a parameter group of PostgreSQL).
    """
    subnets, group, options = (call.params.get(name) for name in ("DBSubnetGroupName", "DBParameterGroupName", "OptionGroupName"))
    if group and not str(source.engine).startswith(_WITH_GROUP):
        text = f"A parameter group can't be specified during Read Replica creation for the following DB engine: {source.engine}"
        raise Refusal("InvalidParameterCombination", text, 400)
    if group and group not in here.db_parameter_groups:
        raise Refusal("DBParameterGroupNotFound", f"DBParameterGroup not found: {group}", 404)
    if options and options not in here.option_groups:
        raise Refusal("OptionGroupNotFoundFault", f"Specified OptionGroupName: {options} not found.", 404)
    if subnets and subnets not in here.subnet_groups:
        raise Refusal("DBSubnetGroupNotFoundFault", f"DB subnet group '{subnets}' does not exist.", 404)
    ec2 = ec2_backends[ACCOUNT][call.region]
    vpc = here.subnet_groups[subnets].vpc_id if subnets else ec2.default_vpc.id
    for name in call.params.get("VpcSecurityGroupIds", ()):
        found = ec2.get_security_group_from_id(name)
        if found is None or found.vpc_id != vpc:
            text = f"The DB instance and EC2 security group are in different VPCs. The DB instance is in {vpc} and {name} is not"
            raise Refusal("InvalidVPCNetworkStateFault", text, 400)


def _filled(made: DBInstance, source: DBInstance, call: Call) -> DBInstance:
    """What the request says; of what it does not say, the region's defaults, and not the source's."""
    params, ec2 = call.params, ec2_backends[ACCOUNT][call.region]
    reached: Any = ec2.get_default_security_group(ec2.default_vpc.id)
    name = made.db_instance_identifier = params["DBInstanceIdentifier"].lower()
    made.set_as_replica()
    made.source_db_instance_identifier = params["SourceDBInstanceIdentifier"]
    made.status, made.dbi_resource_id, made.backup_retention_period = "available", f"db-{name.upper()}", 0
    made.db_instance_class = params.get("DBInstanceClass", source.db_instance_class)
    made.kms_key_id = params.get("KmsKeyId")
    vars(made).pop("db_subnet_group", None)
    made.db_subnet_group_name = params.get("DBSubnetGroupName")
    made.vpc_security_group_ids = list(params.get("VpcSecurityGroupIds", ())) or [reached.id]
    made.db_parameter_group_name = params.get("DBParameterGroupName")
    made.option_group_name = params.get("OptionGroupName") or f"default:{made.engine}-{'-'.join(str(made.engine_version).split('.')[:2])}"
    made.publicly_accessible = params.get("PubliclyAccessible", True)  # in a VPC with an internet gateway; else it is not
    return made


@operation("rds:PromoteReadReplica")
def promote_read_replica(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_PromoteReadReplica.html: ends replication for good."""
    region, name = call.region, call.params["DBInstanceIdentifier"].lower()
    known = backend(region).databases
    if name not in known:
        raise Refusal("DBInstanceNotFound", f"DBInstance {name} not found.", 404)
    replica = known[name]
    if not replica.is_replica or (region, name) in _promoting:
        raise Refusal("InvalidDBInstanceState", f"DB Instance {name} is not a read replica.", 400)
    if replica.status != "available":
        raise Refusal("InvalidDBInstanceState", f"DB Instance {name} is {replica.status}, it must be available.", 400)
    _promoting.add((region, name))
    replica.status = "modifying"

    def stand_alone() -> None:
        _promoting.discard((region, name))
        _forget(replica)
        replica.is_replica, replica.source_db_instance_identifier, replica.status = False, None, "available"
        replica.backup_retention_period = int(call.params.get("BackupRetentionPeriod", 1))

    later("rds.promote", stand_alone)
    shown = backend(region).describe_db_instances(name)[0]
    status = {"DBInstanceIdentifier": name, "DBInstanceStatus": "modifying", "Engine": shown.engine, "DBInstanceArn": shown.db_instance_arn}
    return {"DBInstance": status | {"ReadReplicaSourceDBInstanceIdentifier": shown.source_db_instance_identifier}}


def _forget(replica: DBInstance) -> None:
    """No instance lists the promoted one as its replica any more."""
    for region in rds_backends[ACCOUNT]:
        for other in backend(region).databases.values():
            names = (replica.db_instance_identifier, replica.db_instance_arn)
            other.replicas = [name for name in copy.copy(other.replicas) if name not in names]
