"""RDS read replicas: promoted once and for good, fenced by a quarantine, made anew for the way back; nothing is deleted."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from dr.errors import EffectUnknown, StepError
from dr.model.evidence import Fenced, Following, Preserved, Promoted, RecoveryPoint
from dr.model.words import FenceState, Intent, Role, Severity, Verb
from dr.ports import Look
from dr.providers.aws.rds_replica import RdsReadReplica
from tests.aws.emulator import ACCOUNT, Emulator
from tests.aws.rig import CODES, Rig

_NUMBERS = count(1)


class Pair:
    """An instance in east and its replica in west, of one test."""

    def __init__(self, emulator: Emulator) -> None:
        number = next(_NUMBERS)
        self.emulator = emulator
        self.names = {region: f"replica-{number}-{region}" for region in CODES}
        self.open: dict[str, str] = {}
        self.closed: dict[str, str] = {}
        for region, code in CODES.items():
            ec2 = emulator.client("ec2", code)
            vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
            for name, kept in (("clients", self.open), ("nobody", self.closed)):
                made = ec2.create_security_group(GroupName=f"{name}-{number}", Description=name, VpcId=vpc)
                kept[region] = made["GroupId"]
        self.rds("east").create_db_instance(
            DBInstanceIdentifier=self.names["east"], DBInstanceClass="db.m6g.large", Engine="postgres", AllocatedStorage=20,
            MasterUsername="airflow", MasterUserPassword="a-long-password", BackupRetentionPeriod=7,
            VpcSecurityGroupIds=[self.open["east"]],
        )  # fmt: skip
        source = f"arn:aws:rds:{CODES['east']}:{ACCOUNT}:db:{self.names['east']}"
        self.rds("west").create_db_instance_read_replica(
            DBInstanceIdentifier=self.names["west"], SourceDBInstanceIdentifier=source, VpcSecurityGroupIds=[self.open["west"]],
        )  # fmt: skip
        self.lag("west", 3.0)

    def rds(self, region: str) -> Any:
        return self.emulator.client("rds", CODES[region])

    def lag(self, region: str, value: float | dict[datetime, float]) -> None:
        self.emulator.set_metric(CODES[region], "AWS/RDS", "ReplicaLag", {"DBInstanceIdentifier": self.names[region]}, value)

    def settings(self, *, quarantine: bool = True) -> dict[str, object]:
        return {
            "regions": {
                region: {
                    "instance": name, "security_groups": [self.open[region]], "instance_class": "db.m6g.large",
                    **({"quarantine": self.closed[region]} if quarantine else {}),
                }
                for region, name in self.names.items()
            }
        }  # fmt: skip

    def described(self, region: str, name: str = "") -> Any:
        return self.rds(region).describe_db_instances(DBInstanceIdentifier=name or self.names[region])["DBInstances"][0]

    def acts(self) -> list[str]:
        return [call.operation for call in self.emulator.calls("rds") if not call.operation.startswith("Describe")]


@pytest.fixture
def pair(emulator: Emulator) -> Pair:
    return Pair(emulator)


@pytest.fixture
def kind(rig: Rig, pair: Pair) -> RdsReadReplica:
    return rig.make(RdsReadReplica, "metadata-db", pair.settings())


def test_roles_lag_and_what_is_missing(rig: Rig, kind: RdsReadReplica, pair: Pair) -> None:
    """By whose replica each one is; a lag of minus one is no lag; without a quarantine both sides are warned of."""
    view = kind.view()
    assert {region: seen.role for region, seen in view.regions.items()} == {"east": Role.PRIMARY, "west": Role.SECONDARY}
    assert view.lag is not None and view.lag.lag is not None and view.lag.lag >= timedelta(seconds=3)
    assert not view.findings
    bare = rig.make(RdsReadReplica, "bare", pair.settings(quarantine=False))
    assert [item.severity for item in bare.view().findings] == [Severity.WARNING] * 2


def test_a_replica_of_something_else_is_refused(rig: Rig, pair: Pair) -> None:
    """An error finding, and the step before the promotion is blocked."""
    settings = pair.settings()
    regions = settings["regions"]
    assert isinstance(regions, dict)
    regions["east"]["instance"] = "somebody-else"
    kind = rig.make(RdsReadReplica, "metadata-db", settings)
    assert any("follows another source" in item.fact and item.severity is Severity.ERROR for item in kind.view().findings)
    seen = rig.perform(rig.step(kind, Intent.FAILOVER, Verb.PREPARE), Intent.FAILOVER)
    assert (seen.look, "another source" in seen.reason) == (Look.BLOCKED, True)


def test_a_failover_with_the_source_gone(rig: Rig, kind: RdsReadReplica, pair: Pair) -> None:
    """Promoted in west; the fence is unacknowledged, and waited for at most once."""
    pair.emulator.lose(CODES["east"])
    pair.emulator.clear_calls()
    assert {seen.look for seen in rig.run(kind, Intent.FAILOVER)} == {Look.DONE}
    assert pair.acts() == ["PromoteReadReplica"]
    assert [item.state for item in rig.evidence if isinstance(item, Fenced)] == [FenceState.UNACKNOWLEDGED]
    assert not pair.described("west").get("ReadReplicaSourceDBInstanceIdentifier")


def test_a_failover_with_the_source_alive_fences_it(rig: Rig, kind: RdsReadReplica, pair: Pair) -> None:
    """Into quarantine, which is proof; a second run of all of it sends nothing."""
    pair.emulator.clear_calls()
    rig.run(kind, Intent.FAILOVER)
    assert pair.acts() == ["ModifyDBInstance", "PromoteReadReplica"]
    assert [item["VpcSecurityGroupId"] for item in pair.described("east")["VpcSecurityGroups"]] == [pair.closed["east"]]
    assert [item.state for item in rig.evidence if isinstance(item, Fenced)][-1] is FenceState.FENCED
    rig.run(kind, Intent.FAILOVER)
    assert pair.acts() == ["ModifyDBInstance", "PromoteReadReplica"]


def test_a_lost_answer_is_no_second_promotion(rig: Rig, kind: RdsReadReplica, pair: Pair) -> None:
    """Unknown; then read, and sent no more."""
    pair.emulator.fault(CODES["west"], "lost-answer", "rds:PromoteReadReplica", times=1)
    pair.emulator.clear_calls()
    step = rig.step(kind, Intent.FAILOVER, Verb.PROMOTE)
    with pytest.raises(EffectUnknown):
        rig.perform(step, Intent.FAILOVER)
    assert rig.perform(step, Intent.FAILOVER).look is Look.DONE
    assert pair.acts() == ["PromoteReadReplica"]
    assert [item.region for item in rig.evidence if isinstance(item, Promoted)] == ["west"]


def test_a_planned_move_without_quarantine_does_not_begin(rig: Rig, pair: Pair) -> None:
    """RDS knows no other fence."""
    bare = rig.make(RdsReadReplica, "bare", pair.settings(quarantine=False))
    seen = rig.perform(rig.step(bare, Intent.SWITCHOVER, Verb.FENCE), Intent.SWITCHOVER)
    assert (seen.look, "does not begin" in seen.reason) == (Look.BLOCKED, True)


def test_a_planned_move_loses_nothing_and_makes_the_way_back(rig: Rig, kind: RdsReadReplica, pair: Pair) -> None:
    """Fenced; zero lag of a moment after the fence; promoted; the old instance set aside, a new replica under its name."""
    pair.emulator.clear_calls()
    for verb in (Verb.PREPARE, Verb.FENCE):
        assert rig.perform(rig.step(kind, Intent.SWITCHOVER, verb), Intent.SWITCHOVER).look is Look.DONE
    drain = rig.step(kind, Intent.SWITCHOVER, Verb.DRAIN)
    assert rig.perform(drain, Intent.SWITCHOVER, deadline=rig.clock.monotonic()).look is Look.NEEDED, "a lag of before says nothing"
    later = rig.clock.now() + timedelta(seconds=130)
    fence = [item for item in rig.evidence if isinstance(item, Fenced)][-1]
    rig.evidence.append(fence.model_copy(update={"writes_ended_at": later - timedelta(minutes=10)}))  # ten minutes have passed
    pair.lag("west", 0.0)
    kind._metrics._answers.clear()
    for name in ("drain", "promote", "preserve", "follow"):
        seen = rig.perform(rig.step(kind, Intent.SWITCHOVER, name), Intent.SWITCHOVER)
        assert seen.look is Look.DONE, (name, seen.reason)
    assert pair.acts() == ["ModifyDBInstance", "PromoteReadReplica", "ModifyDBInstance", "CreateDBInstanceReadReplica"]
    assert [item.complete for item in rig.evidence if isinstance(item, RecoveryPoint)][-1]
    assert pair.described("east", kind.aside("east"))
    assert [item.path for item in rig.evidence if isinstance(item, Preserved)] == [kind.arn("east", kind.aside("east"))]
    assert [item.region for item in rig.evidence if isinstance(item, Following)] == ["east"]
    steps = kind.steps(Intent.SWITCHOVER, "east", "west")
    assert not rig.undeclared(steps, pair.emulator.calls())


def test_the_undo_of_the_fence_lets_clients_in_again(rig: Rig, kind: RdsReadReplica, pair: Pair) -> None:
    """The groups that the runbook names."""
    step = rig.step(kind, Intent.SWITCHOVER, Verb.FENCE)
    rig.perform(step, Intent.SWITCHOVER)
    step.operation.undo(rig.context(step, Intent.SWITCHOVER))
    assert [item["VpcSecurityGroupId"] for item in pair.described("east")["VpcSecurityGroups"]] == [pair.open["east"]]


def test_reprotect_never_sets_aside_what_leads(rig: Rig, kind: RdsReadReplica, pair: Pair) -> None:
    """As long as west is a replica, nothing is done to east (I17)."""
    pair.emulator.clear_calls()
    seen = rig.perform(rig.step(kind, Intent.REPROTECT, Verb.PRESERVE), Intent.REPROTECT)
    assert (seen.look, "which copy is newer" in seen.reason) == (Look.BLOCKED, True)
    assert pair.acts() == []


def test_errors_are_step_errors_with_hints(rig: Rig, kind: RdsReadReplica, pair: Pair) -> None:
    """A denied action is named."""
    pair.emulator.deny("rds:PromoteReadReplica")
    with pytest.raises(StepError) as caught:
        rig.perform(rig.step(kind, Intent.FAILOVER, Verb.PROMOTE), Intent.FAILOVER)
    assert "rds:PromoteReadReplica" in caught.value.hint
