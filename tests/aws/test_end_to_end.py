"""The shipped AWS runbook against the whole emulated platform: ``dr`` as people call it, real processes, two regions, one really gone."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.cloud import REGIONS, Cloud, cloud

A, B = REGIONS
ACCEPT = ("--yes", "--accept-split", "--accept-data-loss", "15m", "--reason", "region lost")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Cloud]:
    """A platform of its own for each test."""
    with cloud(tmp_path) as made:
        yield made


def test_the_shipped_runbook_is_ready_and_needs_nothing_of_a_lost_region(world: Cloud) -> None:
    """No error finding, with either region lost; every finding has a fix or is a fact."""
    for lost in REGIONS:
        said = world.dr("runbook", "check", str(world.runbook), "--lost", lost, "--json")
        errors = [item for item in said.report["findings"] if item["severity"] == "error"]
        assert (said.code, errors) == (0, []), said.err
        assert {group["name"] for group in said.report["groups"]} >= {"dependencies", "world"}


def test_a_region_is_lost_and_everything_moves_and_comes_back(world: Cloud) -> None:
    """A gone, us-east-1's control planes gone, too; then re-protect and failback with one command each."""
    world.watched("laptop")
    world.lose(A)
    world.emulator.lose("global")
    world.emulator.clear_calls()
    said = world.dr("failover", str(world.runbook), "--to", B, *ACCEPT, "--json")
    run = said.report
    assert (said.code, run["outcome"]) == (0, "completed"), said.out[-3000:] + said.err
    assert world.writer() == B
    assert run["objectives"]["rto_met"] and run["objectives"]["rpo_met"]
    reached = {call.region for call in world.emulator.calls()}
    assert reached <= {B, "us-east-1", "ap-northeast-1", "ap-southeast-2"}, "the last three are endpoints of ARC"
    assert {call.service for call in world.emulator.calls() if call.region not in (B,)} <= {"route53-recovery-cluster"}

    again = world.dr("failover", str(world.runbook), "--to", B, *ACCEPT, "--json")
    assert (again.code, again.report["outcome"]) == (0, "already")

    world.bring_back(A)
    world.emulator.bring_back("global")
    time.sleep(1)  # Aurora notices
    said = world.dr("reprotect", str(world.runbook), "--yes", "--json")
    assert said.code == 0, said.out[-3000:] + said.err
    dimensions = {"DBClusterIdentifier": world.platform.clusters[0]}
    world.emulator.set_metric(A, "AWS/RDS", "AuroraGlobalDBReplicationLag", dimensions, 90.0, "Milliseconds")
    assert (agents(world, A), agents(world, B)) == (1, 4), "what stands by"
    said = world.dr("failback", str(world.runbook), "--yes", "--json")
    assert said.code == 0, said.out[-3000:] + said.err
    assert world.writer() == A
    assert (agents(world, A), agents(world, B)) == (4, 0), "they write: none was left before the logs were drained"
    said = world.dr("reprotect", str(world.runbook), "--yes", "--json")
    assert said.code == 0, said.out[-3000:] + said.err
    assert (agents(world, A), agents(world, B)) == (4, 1)


def agents(world: Cloud, region: str) -> int:
    """How many there are to be."""
    scaling = world.emulator.client("autoscaling", region)
    [group] = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[world.platform.group])["AutoScalingGroups"]
    return int(group["DesiredCapacity"])


def test_killed_and_resumed_on_another_machine(world: Cloud) -> None:
    """State in a table of the surviving region: a second engineer takes over what the first one's laptop left. Neither laptop ever
    watched anything: what was seen last, the images of the Deployments and how large the lost region was is known from a third machine."""
    table = world.emulator.client("dynamodb", B)
    keys = [("group", "HASH"), ("key", "RANGE")]
    table.create_table(
        TableName="dr-state", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": name, "KeyType": sort} for name, sort in keys],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
    )  # fmt: skip
    shared = f"dynamodb://dr-state?region={B}&profile={B}"
    world.watched("watcher", shared=shared)
    world.lose(A)
    world.emulator.set_seconds("rds.failover", seconds=4.0)
    first = world.begin("failover", str(world.runbook), "--to", B, *ACCEPT, machine="first", shared=shared)
    deadline = time.monotonic() + 120
    while not world.emulator.calls("rds", "FailoverGlobalCluster"):
        assert first.poll() is None and time.monotonic() < deadline, first.communicate()
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    runs = world.dr("runs", "--json", machine="second", shared=shared).report["runs"]
    said = world.dr("resume", runs[0]["run_id"], "--json", machine="second", shared=shared)
    assert (said.code, said.report["outcome"]) == (0, "completed"), said.out[-3000:] + said.err
    assert world.writer() == B
    assert len(world.emulator.calls("rds", "FailoverGlobalCluster")) == 1, "promoted once"
    status = world.dr("status", str(world.runbook), "--json", machine="third", shared=shared).report
    assert status["lease"]["scope"] == "shared"


def test_bad_input_is_refused_before_anything(world: Cloud) -> None:
    """Another account, a missing permission, throttled for good: exit 3, what to do, and not one act."""
    before = world.runbook.read_text()
    world.runbook.write_text(before.replace('account: "123456789012"', 'account: "999999999999"'))
    world.emulator.clear_calls()
    said = world.dr("switchover", str(world.runbook), "--to", B, "--yes", "--json")
    assert said.code == 3 and "123456789012" in said.out and "999999999999" in said.out
    world.runbook.write_text(before)

    world.emulator.deny("rds:DescribeDBClusters")
    said = world.dr("switchover", str(world.runbook), "--to", B, "--yes", "--json")
    assert said.code == 3 and "rds:DescribeDBClusters" in said.out
    world.emulator.clear_faults()

    world.emulator.fault(B, "throttle", "rds:*")
    said = world.dr("switchover", str(world.runbook), "--to", B, "--yes", "--json")
    assert said.code == 3, said.out
    world.emulator.clear_faults()
    reads = ("Describe", "Get", "List", "Batch", "Head", "Query", "Decrypt", "GenerateDataKey")
    acts = [call.name for call in world.emulator.calls() if not call.operation.startswith(reads)]
    assert acts == []
    assert world.writer() == A


def test_what_each_role_is_allowed_is_enough(world: Cloud) -> None:
    """A failover with every action refused that its policies do not name."""
    policies = world.dr("runbook", "permissions", str(world.runbook), "--role", "failover", "--json").report["policies"]
    statements = [statement for policy in policies for statement in policy["document"]["Statement"]]
    allowed = {action for statement in statements if statement["Effect"] == "Allow" for action in statement["Action"]}
    assert any(statement["Effect"] == "Deny" and "rds:Delete*" in statement["Action"] for statement in statements)
    assert all(len(json.dumps(policy["document"], separators=(",", ":"))) <= 6144 for policy in policies)
    world.watched("laptop")
    world.lose(A)
    world.emulator.clear_calls()
    said = world.dr("failover", str(world.runbook), "--to", B, *ACCEPT, "--json")
    assert said.code == 0, said.out[-3000:] + said.err
    used = {action for call in world.emulator.calls() for action in call.actions} - {"sts:GetCallerIdentity"}
    assert used <= allowed, used - allowed
