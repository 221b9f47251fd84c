"""Calls of capacity kinds that only tell more: one that is refused stops nobody in the middle of a failover, and nothing is claimed that it
would have told."""

from __future__ import annotations

from typing import Any

import pytest

from dr.errors import Permanent, Transient
from dr.model.words import Intent, Severity, Verb
from dr.ports import Look
from dr.providers.aws.capacity.kind import Capacity
from tests.aws.emulator import Emulator
from tests.aws.rig import Rig
from tests.aws.test_capacity import EAST, WEST, Groups, Nodegroups, Services, World
from tests.aws.test_lambda import Functions, events, functions

__all__ = ["events", "functions"]


def platform(rig: Rig, world: World, **settings: object) -> Capacity[Any]:
    """East runs 6 and 3, west one of each; east was seen."""
    world.make(EAST, 6, 3)
    world.make(WEST, 1, 1)
    kind: Capacity[Any] = rig.make(world.kind, "workers", world.settings(**settings))
    kind.view()
    return kind


def in_subnets(emulator: Emulator, world: Services) -> None:
    """The services of west start their tasks in two zones."""
    ec2 = emulator.client("ec2", WEST)
    vpc = ec2.create_vpc(CidrBlock="10.78.0.0/16")["Vpc"]["VpcId"]
    made = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.78.{n}.0/24", AvailabilityZone=f"{WEST}{zone}") for n, zone in enumerate("ab")]
    for name in world.names.values():
        subnets = [item["Subnet"]["SubnetId"] for item in made]
        emulator.control("service_subnets", region=WEST, cluster=world.cluster, service=name, subnets=subnets)


@pytest.mark.parametrize(
    ("action", "zones"),
    [
        ("ec2:DescribeSubnets", True),
        ("application-autoscaling:DescribeScalableTargets", True),
        ("ecs:ListTasks", False),
        ("ecs:DescribeTasks", False),
    ],
)
def test_a_service_is_scaled_by_what_it_says_itself(rig: Rig, emulator: Emulator, action: str, zones: bool) -> None:
    """Subnets, bounds, tasks: the failover goes on, says what it could not see, and names no zone that it has not seen."""
    world = Services(emulator)
    kind = platform(rig, world)
    in_subnets(emulator, world)
    emulator.lose(EAST)
    emulator.deny(action, WEST)
    step = rig.step(kind, Intent.FAILOVER, Verb.SCALE)
    seen = rig.perform(step, Intent.FAILOVER)
    assert seen.look is Look.DONE and (world.size(WEST), world.size(WEST, "web")) == (6, 3)
    assert "workers: 6 of 6 ready" in seen.reason and "not all can be seen" in seen.reason
    assert action.partition(":")[2] in seen.reason and "not authorized" in seen.reason
    assert (f"{WEST}a and {WEST}b" in seen.reason) is zones
    assert ("in which zones is not known" in seen.reason) is not zones


@pytest.mark.parametrize("action", ["ec2:DescribeSubnets", "application-autoscaling:DescribeScalableTargets"])
def test_a_look_at_services_is_worth_something_without_the_rest(rig: Rig, emulator: Emulator, action: str) -> None:
    """One warning a region with what to allow; what a region has is remembered all the same."""
    world = Services(emulator)
    kind = platform(rig, world)
    in_subnets(emulator, world)
    emulator.deny(action, WEST)
    kind.scale(None, "west", {world.names["workers"]: 2})
    rig.clock.sleep(0.2)
    findings = kind.view().findings
    assert [(item.severity, item.region) for item in findings] == [(Severity.WARNING, "west")], findings
    assert "a part is not known" in findings[0].fact and action in findings[0].fix
    assert kind.remembered("west") == {"workers": 2, "web": 1}


@pytest.mark.parametrize("make", [Groups, Nodegroups], ids=["autoscaling", "eks"])
def test_why_nothing_starts_may_stay_unsaid(rig: Rig, emulator: Emulator, make: type[World]) -> None:
    """Activities are refused: what starts is waited for without them, and nothing is lost of what else is known."""
    world = make(emulator)
    kind = platform(rig, world)
    emulator.control("hold_capacity", region=WEST, held=True)
    emulator.deny("autoscaling:DescribeScalingActivities", WEST)
    step = rig.step(kind, Intent.FAILOVER, Verb.SCALE)
    try:
        seen = rig.perform(step, Intent.FAILOVER, deadline=rig.clock.monotonic() + 0.5)
    finally:
        emulator.control("hold_capacity", region=WEST, held=False)
    assert seen.look is Look.NEEDED and "workers: 1 of 6 ready" in seen.reason
    assert "not all can be seen (autoscaling DescribeScalingActivities" in seen.reason
    assert rig.perform(step, Intent.FAILOVER).look is Look.DONE


@pytest.mark.parametrize("make", [Groups, Nodegroups, Services], ids=["autoscaling", "eks", "ecs"])
def test_the_quota_may_stay_unsaid(rig: Rig, emulator: Emulator, make: type[World]) -> None:
    """Beside what AWS says of the launches."""
    world = make(emulator)
    kind = platform(rig, world)
    emulator.control("hold_capacity", region=WEST, held=True)
    world.fail(WEST, "workers", "InsufficientInstanceCapacity")
    emulator.deny("servicequotas:*", WEST)
    step = rig.step(kind, Intent.FAILOVER, Verb.SCALE)
    try:
        seen = rig.perform(step, Intent.FAILOVER, deadline=rig.clock.monotonic() + 0.5)
    finally:
        emulator.control("hold_capacity", region=WEST, held=False)
    assert seen.look is Look.NEEDED and "InsufficientInstanceCapacity" in seen.reason and "cannot be read" in seen.reason
    assert rig.perform(step, Intent.FAILOVER).look is Look.DONE


@pytest.mark.parametrize(
    ("make", "action"),
    [
        (Groups, "autoscaling:DescribeAutoScalingGroups"),
        (Nodegroups, "eks:DescribeNodegroup"),
        (Nodegroups, "autoscaling:DescribeAutoScalingGroups"),  # how many there are to be: an autoscaler may have asked for more
        (Services, "ecs:DescribeServices"),
    ],
)
def test_what_the_act_goes_by_still_stops_it(rig: Rig, emulator: Emulator, make: type[World], action: str) -> None:
    """Without it nobody knows whether it would scale down."""
    world = make(emulator)
    kind = platform(rig, world)
    emulator.deny(action, WEST)
    with pytest.raises(Permanent, match=action.partition(":")[2]):
        rig.perform(rig.step(kind, Intent.FAILOVER, Verb.SCALE), Intent.FAILOVER)
    assert world.acts() == []


@pytest.mark.parametrize("operation", ["application-autoscaling:DescribeScalableTargets", "ecs:ListTasks"])
def test_what_is_throttled_is_asked_again(rig: Rig, emulator: Emulator, operation: str) -> None:
    """It is no refusal: it passes."""
    world = Services(emulator)
    kind = platform(rig, world)
    emulator.fault(WEST, "throttle", operation)
    step = rig.step(kind, Intent.FAILOVER, Verb.SCALE)
    with pytest.raises(Transient):
        rig.perform(step, Intent.FAILOVER)
    emulator.clear_faults()
    seen = rig.perform(step, Intent.FAILOVER)
    assert seen.look is Look.DONE and "can be seen" not in seen.reason


@pytest.mark.parametrize("action", ["lambda:GetFunctionConcurrency", "lambda:GetAccountSettings"])
def test_event_sources_are_switched_without_what_limits_their_functions(
    rig: Rig, functions: Functions, events: Any, emulator: Emulator, action: str
) -> None:
    """A warning with what to allow, no error that would refuse a failover; what else is wrong there is found all the same."""
    emulator.deny(action, WEST)
    client = functions.emulator.client("lambda", WEST)
    client.update_event_source_mapping(UUID=functions.mappings[WEST], Enabled=True)
    rig.clock.sleep(0.1)
    findings = events.view().findings
    assert {item.severity for item in findings} == {Severity.WARNING}
    [unseen] = [item for item in findings if item.region == "west"]
    assert "a part is not known" in unseen.fact and action in unseen.fix
    assert any("enabled in east and west" in item.fact for item in findings)
    emulator.clear_faults()
    assert not [item for item in events.view().findings if item.region == "west"], "asked for again at once"
    emulator.deny(action, WEST)
    assert [item.look for item in rig.run(events, Intent.SWITCHOVER)] == [Look.DONE] * 2
