"""A secondary that is gone is made anew like the one that was there: of the runbook, else of what was seen of it; or refused beforehand."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from dr.errors import Permanent
from dr.model.evidence import Following
from dr.model.words import Intent, Severity, Verb
from dr.ports import Look
from dr.providers.aws.aurora import AuroraGlobalDatabase
from tests.aws.emulator import ACCOUNT, Emulator
from tests.aws.rig import CODES, Rig
from tests.aws.test_aurora import ENGINE

_NUMBERS = count(1)
KEYS = {region: f"arn:aws:kms:{code}:{ACCOUNT}:key/{region}" for region, code in CODES.items()}
GROUPS = ["sg-0a", "sg-0b"]


class Built:
    """A global database, encrypted or not, whose clusters are in a VPC of their own, with a parameter group of their own."""

    def __init__(self, emulator: Emulator, *, encrypted: bool) -> None:
        self.emulator, self.name = emulator, f"anew-{next(_NUMBERS)}"
        self.clusters = {region: f"{self.name}-{region}" for region in CODES}
        self.encrypted = encrypted
        self.rds("east").create_global_cluster(
            GlobalClusterIdentifier=self.name, EngineVersion="16.4", StorageEncrypted=encrypted, **ENGINE
        )  # fmt: skip
        for region in CODES:
            self.groups(region)
            login = {"MasterUsername": "airflow", "MasterUserPassword": "a-long-password"} if region == "east" else {}
            more = {"SourceRegion": CODES["east"]} if encrypted and region == "west" else {}
            self.rds(region).create_db_cluster(**self.made_of(region), **login, **more)
            self.rds(region).create_db_instance(
                DBInstanceIdentifier=f"{self.clusters[region]}-1", DBClusterIdentifier=self.clusters[region],
                DBInstanceClass="db.r6g.large", **ENGINE,
            )  # fmt: skip

    def rds(self, region: str) -> Any:
        return self.emulator.client("rds", CODES[region])

    def groups(self, region: str) -> None:
        """The region's VPC."""
        ec2 = self.emulator.client("ec2", CODES[region])
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        zones = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24")["Subnet"]["SubnetId"] for n in range(2)]
        self.rds(region).create_db_subnet_group(DBSubnetGroupName=self.name, DBSubnetGroupDescription="-", SubnetIds=zones)
        self.rds(region).create_db_cluster_parameter_group(
            DBClusterParameterGroupName=self.name, DBParameterGroupFamily="aurora-postgresql16", Description="-"
        )

    def made_of(self, region: str) -> dict[str, Any]:
        key = {"StorageEncrypted": True, "KmsKeyId": KEYS[region]} if self.encrypted else {}
        return {
            "DBClusterIdentifier": self.clusters[region], "GlobalClusterIdentifier": self.name, "EngineVersion": "16.4", **ENGINE,
            "DBSubnetGroupName": self.name, "VpcSecurityGroupIds": GROUPS, "DBClusterParameterGroupName": self.name, **key,
        }  # fmt: skip

    def settings(self, **east: object) -> dict[str, object]:
        regions: dict[str, dict[str, object]] = {region: {"cluster": name} for region, name in self.clusters.items()}
        regions["east"] |= east
        return {"global_cluster": self.name, "regions": regions}

    def described(self, region: str) -> dict[str, Any]:
        [found] = self.rds(region).describe_db_clusters(DBClusterIdentifier=self.clusters[region])["DBClusters"]
        return dict(found)

    def lose_east_for_good(self) -> None:
        """West writes; somebody deleted what was in east."""
        arn = {region: self.described(region)["DBClusterArn"] for region in CODES}
        named = {"GlobalClusterIdentifier": self.name}
        self.rds("east").switchover_global_cluster(TargetDbClusterIdentifier=arn["west"], **named)
        self.emulator.advance(5)
        self.rds("east").remove_from_global_cluster(DbClusterIdentifier=arn["east"], **named)
        self.emulator.advance(5)
        self.rds("east").delete_db_instance(DBInstanceIdentifier=f"{self.clusters['east']}-1", SkipFinalSnapshot=True)
        self.rds("east").delete_db_cluster(DBClusterIdentifier=self.clusters["east"], SkipFinalSnapshot=True)
        for left in self.rds("east").describe_db_cluster_snapshots()["DBClusterSnapshots"]:  # of automatic backups, which end with it
            if left["DBClusterIdentifier"] == self.clusters["east"]:
                self.rds("east").delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=left["DBClusterSnapshotIdentifier"])


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def built(request: pytest.FixtureRequest, emulator: Emulator) -> Built:
    return Built(emulator, encrypted=request.param)


def like(built: Built, region: str) -> tuple[object, ...]:
    """What a cluster is made of."""
    found = built.described(region)
    groups = sorted(item["VpcSecurityGroupId"] for item in found["VpcSecurityGroups"])
    key = found["KmsKeyId"] if found["StorageEncrypted"] else None
    return found["EngineVersion"], found["StorageEncrypted"], key, found["DBSubnetGroup"], groups, found["DBClusterParameterGroup"]


def facts(kind: AuroraGlobalDatabase) -> list[tuple[Severity, str]]:
    """What is said of making east anew."""
    return [(item.severity, item.fix) for item in kind.view().findings if item.region == "east" and "regions.east." in item.fix]


def test_what_is_gone_is_made_anew_as_it_was(rig: Rig, built: Built) -> None:
    """``dr`` saw it when it was there: the same key, version, subnets, groups and parameters, though the runbook says nothing of them."""
    was = like(built, "east")
    rig.make(AuroraGlobalDatabase, "metadata-db", built.settings()).view()
    built.lose_east_for_good()
    later = replace(rig.site, shared={})  # another process
    aurora = AuroraGlobalDatabase("metadata-db", AuroraGlobalDatabase.Config.model_validate(built.settings()), (), later)
    assert facts(aurora) == []
    built.emulator.clear_calls()
    assert [seen.look for seen in rig.run(aurora, Intent.REPROTECT)] == [Look.DONE] * 3
    assert like(built, "east") == was
    assert [item.region for item in rig.evidence if isinstance(item, Following)] == ["east"]
    assert not rig.undeclared(aurora.steps(Intent.REPROTECT, "east", "west"), built.emulator.calls())
    aurora.close()


def test_the_writers_version_is_taken_and_not_the_one_that_was_seen(rig: Rig, emulator: Emulator) -> None:
    """West was upgraded after east was gone: a member of another version is refused."""
    built = Built(emulator, encrypted=False)
    aurora = rig.make(AuroraGlobalDatabase, "metadata-db", built.settings())
    aurora.view()
    built.lose_east_for_good()
    emulator.control("set_engine_version", region=CODES["west"], cluster=built.clusters["west"], version="16.6")
    assert rig.run(aurora, Intent.REPROTECT)[-1].look is Look.DONE
    assert built.described("east")["EngineVersion"] == "16.6"


def test_the_runbook_comes_before_what_was_seen(rig: Rig, emulator: Emulator) -> None:
    """Whoever moves to another key or VPC writes it."""
    built = Built(emulator, encrypted=True)
    rig.make(AuroraGlobalDatabase, "metadata-db", built.settings()).view()
    built.lose_east_for_good()
    key = KEYS["east"] + "-new"
    aurora = rig.make(AuroraGlobalDatabase, "metadata-db", built.settings(kms_key=key, security_groups=["sg-0c"]))
    assert rig.run(aurora, Intent.REPROTECT)[-1].look is Look.DONE
    assert like(built, "east") == ("16.4", True, key, built.name, ["sg-0c"], built.name)
    rights = rig.step(aurora, Intent.REPROTECT, Verb.FOLLOW).spec.permissions
    assert f"kms:CreateGrant on {key}" in rights and f"kms:DescribeKey on {key}" in rights


def test_an_encrypted_one_whose_key_nobody_knows_is_refused_before_anything(rig: Rig, emulator: Emulator) -> None:
    """By a finding, and by the first step of the way back; nothing is sent, and what to write is said."""
    built = Built(emulator, encrypted=True)
    built.lose_east_for_good()
    aurora = rig.make(AuroraGlobalDatabase, "metadata-db", built.settings())
    assert [severity for severity, fix in facts(aurora)] == [Severity.WARNING, Severity.INFO]
    assert facts(aurora)[0][1].startswith("write regions.east.kms_key: the ARN of a key of us-east-1")
    emulator.clear_calls()
    for verb in (Verb.FENCE, Verb.FOLLOW):
        seen = rig.perform(rig.step(aurora, Intent.REPROTECT, verb), Intent.REPROTECT)
        assert seen.look is Look.BLOCKED and "write regions.east.kms_key" in seen.reason
    follow = rig.step(aurora, Intent.REPROTECT, Verb.FOLLOW)
    with pytest.raises(Permanent, match=r"write regions\.east\.kms_key"):
        follow.operation.act(rig.context(follow, Intent.REPROTECT))
    assert not emulator.calls("rds", "CreateDBCluster")
    written = rig.make(AuroraGlobalDatabase, "metadata-db", built.settings(kms_key=KEYS["east"], subnet_group=built.name))
    assert facts(written) == []
    assert [seen.look for seen in rig.run(written, Intent.REPROTECT)] == [Look.DONE] * 3


def test_a_region_that_is_silent_and_was_never_seen_is_named_beforehand(rig: Rig, emulator: Emulator) -> None:
    """While it is lost nobody can ask which key it has: the day to write it is before. Once it was seen, nothing has to be written."""
    built = Built(emulator, encrypted=True)
    aurora = rig.make(AuroraGlobalDatabase, "metadata-db", built.settings())
    emulator.lose(CODES["east"])
    assert [severity for severity, fix in facts(aurora)] == [Severity.INFO]
    emulator.bring_back(CODES["east"])
    rig.site.clock.sleep(5.5)  # what was unreachable is asked again after five seconds
    aurora.view()
    emulator.lose(CODES["east"])
    assert facts(aurora) == []


def test_what_a_person_types_is_of_the_writers_version_and_takes_a_key(rig: Rig, emulator: Emulator, tmp_path: Path) -> None:
    """bash reads it; the version is asked for, the key comes from the runbook or from KMS_KEY, where there is one."""
    built = Built(emulator, encrypted=True)
    (tmp_path / "aws").write_text('#!/bin/sh\ncase "$*" in *describe-db-clusters*) echo 16.4 ;; *) echo "$@" ;; esac\n')
    (tmp_path / "aws").chmod(0o755)

    def typed(settings: dict[str, object], **said: str) -> str:
        command = rig.step(rig.make(AuroraGlobalDatabase, "db", settings), Intent.REPROTECT, Verb.FOLLOW).spec.by_hand
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", **said}
        return subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True).stdout

    key = f"--storage-encrypted --kms-key-id {KEYS['east']} --source-region us-west-2"
    assert key in typed(built.settings(kms_key=KEYS["east"], subnet_group="private")) and "--db-subnet-group-name private" in typed(
        built.settings(kms_key=KEYS["east"], subnet_group="private")
    )
    assert key in typed(built.settings(), KMS_KEY=KEYS["east"]) and "kms" not in typed(built.settings())
    assert typed(built.settings()).strip().endswith("--engine-version 16.4")
