"""Capacity and readiness kinds as people write them: one runbook, every intent, nothing connected."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dr.app import App
from dr.app.by_hand import unseen
from dr.model.plan import StepSpec
from dr.model.words import Intent, Verb

RUNBOOK = """
apiVersion: dr/v1
name: aws-capacity
regions:
  east: {aws: {region: us-east-1, account: "123456789012"}}
  west: {aws: {region: us-west-2, account: "123456789012"}}
home: east
objectives: {rto: 1h, rpo: 15m}
components:
  nodes:
    kind: aws.eks-nodegroups
    stand_by: 1
    regions:
      east: {cluster: prod, nodegroups: [workers, gpu]}
      west: {cluster: prod, nodegroups: {workers: workers-2, gpu: gpu-2}}
  instances: {kind: aws.autoscaling-groups, size: 50%, stand_by: 10%, regions: {east: {groups: [batch]}, west: {groups: [batch]}}}
  tasks:
    kind: aws.ecs-services
    needs: [instances]
    size: 4
    sizes: {web: primary}
    if_unknown: 2
    stand_by: 0
    regions: {east: {cluster: prod, services: [web, api]}, west: {cluster: prod, services: [web, api]}}
  events:
    kind: aws.lambda-event-source
    needs: [tasks]
    regions:
      east: {mappings: {orders: 12345678-1234-1234-1234-123456789012}}
      west: {mappings: {orders: 12345678-1234-1234-1234-123456789013}}
  partner: {kind: aws.lambda, check: true, needs: [tasks], regions: {east: {function: tell}, west: {function: "tell:live"}}}
  trust:
    kind: aws.iam-trust
    trusted: [worker]
    regions: {east: {cluster: prod}, west: {issuer: "https://oidc.eks.us-west-2.amazonaws.com/id/X"}}
  quotas:
    kind: aws.quota
    regions: {east: {}, west: {}}
    quotas:
      - {service: ec2, code: L-1216C47A, at_least: 64}
      - {service: ec2, code: L-0263D0A3, as_used: true}
  network:
    kind: aws.network
    regions:
      east: {vpcs: [vpc-1]}
      west: {vpcs: [vpc-2], reaches: [10.0.0.0/8], egress_allowed: [203.0.113.1]}
"""
ROUTED = {"RouteTables": [{"Routes": [{"DestinationCidrBlock": "10.0.0.0/8", "State": "active", "TransitGatewayId": "tgw-1"}]}]}
ZONES = [{"LifecycleState": "InService", "HealthStatus": "Healthy", "AvailabilityZone": zone} for zone in ("a", "b")]


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[dict[Intent, tuple[StepSpec, ...]]]:
    """By intent, from east to west."""
    path = tmp_path / "runbook.yaml"
    path.write_text(RUNBOOK)
    app = App(tmp_path / "state")
    platform = app.load(path)
    yield {intent: unseen(platform, intent, "east", "west").steps for intent in Intent}
    platform.close()
    app.close()


def test_every_step_says_what_it_needs(steps: dict[Intent, tuple[StepSpec, ...]]) -> None:
    """What it touches, what must be allowed, what a person types and how they see it; bash reads both."""
    assert {intent: len(specs) for intent, specs in steps.items()} == {
        Intent.FAILOVER: 8, Intent.SWITCHOVER: 9, Intent.FAILBACK: 9, Intent.REPROTECT: 4,
    }  # fmt: skip
    for intent, specs in steps.items():
        for spec in specs:
            assert spec.touches and spec.permissions and spec.by_hand and spec.check_by_hand, (intent, spec.id)
            for text in (spec.by_hand, spec.check_by_hand):
                assert not subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False).stderr, text


def test_a_failover_needs_nothing_of_the_lost_region(steps: dict[Intent, tuple[StepSpec, ...]]) -> None:
    """Only what is tried and not waited for goes there; nothing asks IAM, whose home it is (I11)."""
    for spec in steps[Intent.FAILOVER]:
        for touch in spec.touches:
            assert touch.region == "west" or (spec.optional and touch.tried), (spec.id, touch)


def test_a_planned_move_is_ready_before_it_freezes(steps: dict[Intent, tuple[StepSpec, ...]]) -> None:
    """Everything that prepares comes before the freeze; the target's events start last."""
    verbs = [spec.verb for spec in steps[Intent.SWITCHOVER]]
    ready = max(index for index, verb in enumerate(verbs) if verb in (Verb.PREPARE, Verb.SCALE))
    assert ready < verbs.index(Verb.FREEZE) < verbs.index(Verb.START)


@pytest.mark.parametrize(
    ("step", "answer", "holds"),
    [
        ("instances/scale", {"AutoScalingGroups": [{"Instances": ZONES}]}, True),
        ("instances/scale", {"AutoScalingGroups": [{"Instances": ZONES[:1] * 2}]}, False),
        ("instances/scale", {"AutoScalingGroups": [{"Instances": ZONES[:1]}]}, False),
        ("network/prepare", {**ROUTED, "NatGateways": [{"NatGatewayAddresses": [{"PublicIp": "203.0.113.1"}]}]}, True),
        ("network/prepare", {**ROUTED, "NatGateways": [{"NatGatewayAddresses": [{"PublicIp": "203.0.113.2"}]}]}, False),
        ("network/prepare", {"RouteTables": [{"Routes": []}], "NatGateways": []}, False),
    ],
)
def test_a_check_holds_when_it_is_so(
    steps: dict[Intent, tuple[StepSpec, ...]], tmp_path: Path, step: str, answer: object, holds: bool
) -> None:  # fmt: skip
    """The command itself, with an ``aws`` that answers this: exit status 0 then and only then."""
    fake = tmp_path / "aws"
    fake.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(answer)}\nEND\n")
    fake.chmod(0o755)
    text = next(spec.check_by_hand for spec in steps[Intent.FAILOVER] if spec.id == step)
    text = re.sub(r'"\$\{BATCH_SIZE:[^}]*\}"', "2", text)
    ran = subprocess.run(["bash", "-c", f'export PATH="{tmp_path}:$PATH"\n{text}'], capture_output=True, check=False, text=True)
    assert (ran.returncode == 0) is holds, ran.stderr
