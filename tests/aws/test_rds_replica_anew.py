"""A replica is made anew like the instance it takes the place of: of the runbook, else of what was seen of it; or refused beforehand."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from dr.errors import Permanent, Transient
from dr.model.evidence import Following
from dr.model.words import Intent, Severity, Verb
from dr.ports import Look, Seen
from dr.providers.aws.kind import used
from dr.providers.aws.rds_replica import RdsReadReplica
from tests.aws.emulator import ACCOUNT, Emulator
from tests.aws.rig import CODES, Rig

_NUMBERS = count(1)
KEYS = {region: f"arn:aws:kms:{code}:{ACCOUNT}:key/{region}" for region, code in CODES.items()}
FAMILY = {"postgres": "postgres16", "mysql": "mysql8.0"}
VERSION = {"postgres": "16.4", "mysql": "8.0.36"}


class Built:
    """An instance and its replica, encrypted or not, each in a VPC of its own, with groups of its own; not for everybody to see."""

    def __init__(self, emulator: Emulator, engine: str = "postgres", *, encrypted: bool = True) -> None:
        self.emulator, self.number, self.engine, self.encrypted = emulator, next(_NUMBERS), engine, encrypted
        self.names = {region: f"anew-{self.number}-{region}" for region in CODES}
        self.parameters, self.options = f"anew-{self.number}", f"anew-{self.number}"
        self.subnets = f"default-vpc-{self.number}"
        self.open: dict[str, str] = {}
        self.closed: dict[str, str] = {}
        self.elsewhere: dict[str, str] = {}
        for region in CODES:
            self._groups(region)
        key = {"StorageEncrypted": True, "KmsKeyId": KEYS["east"]} if encrypted else {}
        self.rds("east").create_db_instance(
            DBInstanceIdentifier=self.names["east"], Engine=engine, EngineVersion=VERSION[engine], DBInstanceClass="db.m6g.large",
            AllocatedStorage=20, MasterUsername="airflow", MasterUserPassword="a-long-password", BackupRetentionPeriod=7,
            DBParameterGroupName=self.parameters, **self._placed("east"), **key,
        )  # fmt: skip
        key = {"KmsKeyId": KEYS["west"], "SourceRegion": CODES["east"]} if encrypted else {}
        source = f"arn:aws:rds:{CODES['east']}:{ACCOUNT}:db:{self.names['east']}"
        self.rds("west").create_db_instance_read_replica(
            DBInstanceIdentifier=self.names["west"], SourceDBInstanceIdentifier=source, **self._placed("west"), **key
        )  # fmt: skip

    def rds(self, region: str) -> Any:
        return self.emulator.client("rds", CODES[region])

    def _groups(self, region: str) -> None:
        """The region's VPC."""
        ec2 = self.emulator.client("ec2", CODES[region])
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        zones = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24")["Subnet"]["SubnetId"] for n in range(2)]
        self.rds(region).create_db_subnet_group(DBSubnetGroupName=self.subnets, DBSubnetGroupDescription="-", SubnetIds=zones)
        self.rds(region).create_db_parameter_group(
            DBParameterGroupName=self.parameters, DBParameterGroupFamily=FAMILY[self.engine], Description="-"
        )
        if self.engine == "mysql":
            self.rds(region).create_option_group(
                OptionGroupName=self.options, EngineName="mysql", MajorEngineVersion="8.0", OptionGroupDescription="-"
            )
        for name, kept in (("clients", self.open), ("nobody", self.closed), ("others", self.elsewhere)):
            made = ec2.create_security_group(GroupName=f"{name}-{self.number}", Description=name, VpcId=vpc)
            kept[region] = made["GroupId"]

    def _placed(self, region: str) -> dict[str, Any]:
        options = {"OptionGroupName": self.options} if self.engine == "mysql" else {}
        return {
            "DBSubnetGroupName": self.subnets, "VpcSecurityGroupIds": [self.open[region]], "PubliclyAccessible": False, **options,
        }  # fmt: skip

    def settings(self, *, quarantine: bool = False, east: Mapping[str, object] | None = None) -> dict[str, object]:
        regions: dict[str, dict[str, object]] = {region: {"instance": name} for region, name in self.names.items()}
        if quarantine:
            for region, side in regions.items():
                side["quarantine"] = self.closed[region]
        regions["east"] |= east or {}
        return {"regions": regions}

    def described(self, region: str) -> dict[str, Any]:
        [found] = self.rds(region).describe_db_instances(DBInstanceIdentifier=self.names[region])["DBInstances"]
        return dict(found)

    def like(self, region: str) -> tuple[object, ...]:
        """What an instance is made of."""
        found = self.described(region)
        key = found["KmsKeyId"] if found["StorageEncrypted"] else None
        [options], [parameters] = found["OptionGroupMemberships"], found["DBParameterGroups"]
        return (
            key, found["DBSubnetGroup"]["DBSubnetGroupName"], [item["VpcSecurityGroupId"] for item in found["VpcSecurityGroups"]],
            parameters["DBParameterGroupName"], options["OptionGroupName"], found["PubliclyAccessible"],
        )  # fmt: skip

    def promote_west(self) -> None:
        self.rds("west").promote_read_replica(DBInstanceIdentifier=self.names["west"])
        self.emulator.advance(5)

    def lose_east_for_good(self) -> None:
        """West writes; somebody deleted what was in east."""
        self.promote_west()
        self.rds("east").delete_db_instance(DBInstanceIdentifier=self.names["east"], SkipFinalSnapshot=True)

    def made(self) -> list[Any]:
        return list(self.emulator.calls("rds", "CreateDBInstanceReadReplica"))


def facts(kind: RdsReadReplica) -> list[tuple[Severity, str]]:
    """What is said of making east anew."""
    return [(item.severity, item.fix) for item in kind.view().findings if item.region == "east" and "regions.east." in item.fix]


def protect(rig: Rig, kind: RdsReadReplica, intent: Intent = Intent.REPROTECT) -> list[Seen]:
    """The way back, each step again where its attempt says so."""
    found = []
    for step in kind.steps(intent, "east", "west"):
        if step.spec.verb not in (Verb.PRESERVE, Verb.FOLLOW):
            continue
        try:
            found.append(rig.perform(step, intent))
        except Transient:
            found.append(rig.perform(step, intent))
    return found


@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
@pytest.mark.parametrize("engine", ["postgres", "mysql"])
def test_the_way_back_is_like_what_was_there(rig: Rig, emulator: Emulator, engine: str, *, encrypted: bool) -> None:
    """Also where the fence had put it into quarantine: its own security groups, and no others. PostgreSQL gets its parameters later."""
    built = Built(emulator, engine, encrypted=encrypted)
    was = built.like("east")
    assert was[1:5] == (built.subnets, [built.open["east"]], built.parameters, was[4]) and was[5] is False
    kind = rig.make(RdsReadReplica, "metadata-db", built.settings(quarantine=True))
    kind.view()
    emulator.clear_calls()
    assert {seen.look for seen in rig.run(kind, Intent.FAILOVER)} == {Look.DONE}
    kind.view()
    assert built.like("east")[2] == [built.closed["east"]]
    assert [seen.look for seen in protect(rig, kind)] == [Look.DONE] * 2
    assert built.like("east") == was
    assert [item.region for item in rig.evidence if isinstance(item, Following)] == ["east"]
    steps = [*kind.steps(Intent.FAILOVER, "east", "west"), *kind.steps(Intent.REPROTECT, "east", "west")]
    seen = {use.call.operation for step in steps for use in used(step)}
    assert not rig.undeclared(steps, emulator.calls()) and {"CreateDBInstanceReadReplica", "ModifyDBInstance"} <= seen


def test_the_old_one_under_its_other_name_tells_it_too(rig: Rig, emulator: Emulator) -> None:
    """Where no monitor ever looked: the process that goes on is a new one, and knows nothing."""
    built = Built(emulator)
    was = built.like("east")
    built.promote_west()
    kind = rig.make(RdsReadReplica, "metadata-db", built.settings())
    assert [seen.look for seen in protect(rig, kind)] == [Look.DONE] * 2
    assert built.like("east") == was


def test_the_fence_keeps_who_was_let_in(rig: Rig, emulator: Emulator) -> None:
    """Where no monitor ever looked: afterwards nothing tells it any more."""
    built = Built(emulator)
    was = built.like("east")
    kind = rig.make(RdsReadReplica, "metadata-db", built.settings(quarantine=True))
    assert {seen.look for seen in rig.run(kind, Intent.FAILOVER)} == {Look.DONE}
    assert [seen.look for seen in protect(rig, kind)] == [Look.DONE] * 2
    assert built.like("east") == was


def test_what_is_gone_is_made_anew_as_it_was_seen(rig: Rig, emulator: Emulator) -> None:
    """Deleted by somebody; what the monitor saw of it is enough, and nothing has to be written."""
    built = Built(emulator)
    was = built.like("east")
    kind = rig.make(RdsReadReplica, "metadata-db", built.settings())
    kind.view()
    built.lose_east_for_good()
    assert facts(kind) == []
    assert [seen.look for seen in protect(rig, kind)] == [Look.DONE] * 2
    assert built.like("east") == was


def test_a_look_before_it_has_its_parameters_does_not_forget_them(rig: Rig, emulator: Emulator) -> None:
    """A new PostgreSQL replica has the default group for a moment: the next attempt, or the next run, knows better still."""
    built = Built(emulator)
    kind = rig.make(RdsReadReplica, "metadata-db", built.settings())
    kind.view()
    built.lose_east_for_good()
    follow = rig.step(kind, Intent.REPROTECT, Verb.FOLLOW)
    with pytest.raises(Transient, match=f"its parameter group {built.parameters}"):
        rig.perform(follow, Intent.REPROTECT)
    assert str(built.like("east")[3]).startswith("default.")
    kind.view()
    emulator.clear_calls()
    assert rig.perform(follow, Intent.REPROTECT).look is Look.DONE
    assert built.like("east")[3] == built.parameters and len(emulator.calls("rds", "ModifyDBInstance")) == 1
    other = f"{built.parameters}-other"
    built.rds("east").create_db_parameter_group(DBParameterGroupName=other, DBParameterGroupFamily="postgres16", Description="-")
    built.rds("east").modify_db_instance(DBInstanceIdentifier=built.names["east"], DBParameterGroupName=other, ApplyImmediately=True)
    assert rig.perform(follow, Intent.REPROTECT).look is Look.DONE
    assert built.like("east")[3] == other, "what somebody gave it since stays"


def test_the_runbook_comes_before_what_was_seen(rig: Rig, emulator: Emulator) -> None:
    """Whoever moves to another key or lets others in writes it; the policy has that key and these groups."""
    built = Built(emulator, "mysql")
    rig.make(RdsReadReplica, "metadata-db", built.settings()).view()
    built.lose_east_for_good()
    key = KEYS["east"] + "-new"
    changed: dict[str, object] = {"kms_key": key, "security_groups": [built.elsewhere["east"]], "subnet_group": built.subnets}
    changed |= {"parameter_group": built.parameters, "option_group": built.options}
    kind = rig.make(RdsReadReplica, "metadata-db", built.settings(east=changed))
    assert protect(rig, kind)[-1].look is Look.DONE
    assert built.like("east")[:3] == (key, built.subnets, [built.elsewhere["east"]])
    rights = rig.step(kind, Intent.REPROTECT, Verb.FOLLOW).spec.permissions
    mine = f"arn:aws:rds:{CODES['east']}:{ACCOUNT}"
    made = [f"{mine}:subgrp:{built.subnets}", f"{mine}:pg:{built.parameters}", f"{mine}:og:{built.options}"]
    assert {f"rds:CreateDBInstanceReadReplica on {arn}" for arn in made} <= set(rights)
    assert {f"kms:CreateGrant on {key}", f"kms:DescribeKey on {key}", f"rds:ModifyDBInstance on {made[1]}"} <= set(rights)


def test_an_encrypted_one_whose_key_nobody_knows_is_refused_before_anything(rig: Rig, emulator: Emulator) -> None:
    """By a finding, and by the first step of the way back; nothing is sent, and what to write is said."""
    built = Built(emulator)
    built.lose_east_for_good()
    kind = rig.make(RdsReadReplica, "metadata-db", built.settings())
    assert [severity for severity, fix in facts(kind)] == [Severity.WARNING, Severity.INFO]
    assert facts(kind)[0][1].startswith("write regions.east.kms_key: the ARN of a key of us-east-1")
    emulator.clear_calls()
    for verb in (Verb.PRESERVE, Verb.FOLLOW):
        seen = rig.perform(rig.step(kind, Intent.REPROTECT, verb), Intent.REPROTECT)
        assert seen.look is Look.BLOCKED and "write regions.east.kms_key" in seen.reason
    follow = rig.step(kind, Intent.REPROTECT, Verb.FOLLOW)
    with pytest.raises(Permanent, match=r"write regions\.east\.kms_key"):
        follow.operation.act(rig.context(follow, Intent.REPROTECT))
    assert not built.made()
    written = rig.make(RdsReadReplica, "metadata-db", built.settings(east={"kms_key": KEYS["east"], "subnet_group": built.subnets}))
    assert facts(written) == []
    assert [seen.look for seen in protect(rig, written)] == [Look.DONE] * 2
    assert built.like("east")[:2] == (KEYS["east"], built.subnets)


def test_a_plain_one_has_no_key_whatever_the_runbook_says(rig: Rig, emulator: Emulator) -> None:
    """An encrypted replica of an unencrypted instance is refused by RDS; nothing is missing where no key is known."""
    built = Built(emulator, encrypted=False)
    built.lose_east_for_good()
    kind = rig.make(RdsReadReplica, "metadata-db", built.settings(east={"kms_key": KEYS["east"], "subnet_group": built.subnets}))
    assert facts(kind) == []
    assert [seen.look for seen in protect(rig, kind)] == [Look.DONE] * 2
    assert not built.described("east")["StorageEncrypted"]


def test_a_region_that_is_silent_and_was_never_seen_is_named_beforehand(rig: Rig, emulator: Emulator) -> None:
    """While it is lost nobody can ask which key it has: the day to write it is before. Once it was seen, nothing has to be written."""
    built = Built(emulator)
    kind = rig.make(RdsReadReplica, "metadata-db", built.settings())
    emulator.lose(CODES["east"])
    assert [severity for severity, fix in facts(kind) if "kms_key" in fix] == [Severity.INFO]
    emulator.bring_back(CODES["east"])
    rig.site.clock.sleep(5.5)  # what was unreachable is asked again after five seconds
    kind.view()
    emulator.lose(CODES["east"])
    assert not any("kms_key" in fix for _, fix in facts(kind))


def test_a_group_that_is_gone_too_is_named(rig: Rig, emulator: Emulator) -> None:
    """The refusal of RDS, and what to write."""
    built = Built(emulator)
    kind = rig.make(RdsReadReplica, "metadata-db", built.settings(east={"subnet_group": "was-deleted"}))
    kind.view()
    built.lose_east_for_good()
    with pytest.raises(Permanent, match="DBSubnetGroupNotFoundFault") as caught:
        protect(rig, kind)
    assert "write regions.*.subnet_group" in caught.value.hint


def test_a_first_backup_of_the_new_writer_is_waited_for(rig: Rig, emulator: Emulator) -> None:
    """RDS makes no replica of an instance that is being backed up: to be asked for again; of one that is stopped it is for a person."""
    built = Built(emulator)
    kind = rig.make(RdsReadReplica, "metadata-db", built.settings())
    kind.view()
    built.lose_east_for_good()
    follow = rig.step(kind, Intent.REPROTECT, Verb.FOLLOW)
    for status, error in (("backing-up", Transient), ("stopped", Permanent)):
        emulator.control("set_status", region=CODES["west"], name=built.names["west"], status=status)
        with pytest.raises(error, match="InvalidDBInstanceState"):
            rig.perform(follow, Intent.REPROTECT)


def test_the_undo_of_a_planned_fence_knows_who_was_let_in(rig: Rig, emulator: Emulator) -> None:
    """Although the runbook does not say it; where nobody knows, it does not claim that it has let anybody in."""
    built = Built(emulator)
    seen = rig.make(RdsReadReplica, "seen", built.settings(quarantine=True))
    fence = rig.step(seen, Intent.SWITCHOVER, Verb.FENCE)
    rig.perform(fence, Intent.SWITCHOVER)
    seen.view()
    unseen = rig.make(RdsReadReplica, "unseen", built.settings(quarantine=True))
    with pytest.raises(Permanent, match="which security groups it had is not known"):
        rig.step(unseen, Intent.SWITCHOVER, Verb.FENCE).operation.undo(rig.context(fence, Intent.SWITCHOVER))
    assert built.like("east")[2] == [built.closed["east"]]
    fence.operation.undo(rig.context(fence, Intent.SWITCHOVER))
    assert built.like("east")[2] == [built.open["east"]]


def test_what_a_person_types_takes_a_key_and_gives_the_parameters(rig: Rig, emulator: Emulator, tmp_path: Path) -> None:
    """bash reads it; the key comes from the runbook or from KMS_KEY, where there is one; parameters once the replica serves."""
    built = Built(emulator)
    (tmp_path / "aws").write_text(
        '#!/bin/sh\ncase "$*" in *describe-db-instances*) echo available ;; *) echo "$@" ;; esac\n', encoding="utf-8"
    )
    (tmp_path / "aws").chmod(0o755)

    def typed(settings: dict[str, object], **said: str) -> list[str]:
        command = rig.step(rig.make(RdsReadReplica, "db", settings), Intent.REPROTECT, Verb.FOLLOW).spec.by_hand
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", **said}
        told = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True, timeout=20)
        return told.stdout.splitlines()

    key = f"--kms-key-id {KEYS['east']} --source-region us-west-2"
    own = {"kms_key": KEYS["east"], "subnet_group": "private", "parameter_group": "own", "option_group": "more"}
    [made, given] = typed(built.settings(east=own))
    assert key in made and "--db-subnet-group-name private" in made and "--option-group-name more" in made and "own" not in made
    given_to = f"--db-instance-identifier {built.names['east']} --db-parameter-group-name own --apply-immediately"
    assert given.startswith(f"rds modify-db-instance {given_to}")
    assert key in typed(built.settings(), KMS_KEY=KEYS["east"])[0]
    [plain] = typed(built.settings())
    assert "kms" not in plain and "source-region" not in plain
