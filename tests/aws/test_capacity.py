"""``aws.autoscaling-groups``, ``aws.eks-nodegroups``, ``aws.ecs-services``: one contract for all three, against the emulated AWS."""

from __future__ import annotations

import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from dr.errors import EffectUnknown, Permanent, Transient, UsageError
from dr.model.evidence import Note, Sized
from dr.model.plan import Acceptance
from dr.model.words import Guard, Intent, Severity, Verb
from dr.ports import Look
from dr.providers import registry
from dr.providers.aws.capacity.autoscaling_groups import AutoScalingGroups
from dr.providers.aws.capacity.ecs_services import EcsServices
from dr.providers.aws.capacity.eks_nodegroups import EksNodegroups
from dr.providers.aws.capacity.kind import Capacity
from dr.providers.aws.kind import used
from tests.aws.emulator import Emulator
from tests.aws.rig import CODES, Rig

EAST, WEST = CODES["east"], CODES["west"]
IMAGE = "ami-12c6146b"
"""One that moto knows."""


class World(ABC):
    """Groups of one sort in both regions: ``workers`` and ``web``, between 0 and 20."""

    kind: type[Capacity[Any]]
    act: str
    settles: str

    def __init__(self, emulator: Emulator) -> None:
        self.emulator, self.cluster = emulator, f"c{uuid4().hex[:8]}"
        self.names = {"workers": f"workers-{self.cluster}", "web": f"web-{self.cluster}"}
        emulator.set_seconds(self.settles, seconds=0.05)

    def make(self, region: str, workers: int, web: int, least: int = 0, most: int = 20) -> None:
        """Both groups with these sizes."""
        for word, size in (("workers", workers), ("web", web)):
            self.create(self.emulator, region, self.names[word], size, least, most)

    @abstractmethod
    def create(self, emulator: Emulator, region: str, name: str, size: int, least: int, most: int) -> None: ...

    @abstractmethod
    def size(self, region: str, word: str = "workers") -> int:
        """How many there are to be."""

    @abstractmethod
    def fail(self, region: str, word: str, message: str) -> None:
        """AWS says why it starts none."""

    def settings(self, **changes: object) -> dict[str, object]:
        own = {self.field: self.names, **self.cluster_field}
        return {"regions": {"east": own, "west": own}, **changes}

    field = "groups"

    @property
    def cluster_field(self) -> dict[str, str]:
        return {}

    def acts(self) -> list[str]:
        """Regions in which something was scaled, in order."""
        return [call.region for call in self.emulator.calls() if call.operation == self.act]


class Groups(World):
    kind, act, settles = AutoScalingGroups, "SetDesiredCapacity", "autoscaling.instances"

    def create(self, emulator: Emulator, region: str, name: str, size: int, least: int, most: int) -> None:
        client = emulator.client("autoscaling", region)
        client.create_launch_configuration(LaunchConfigurationName=name, ImageId=IMAGE, InstanceType="t3.micro")
        client.create_auto_scaling_group(
            AutoScalingGroupName=name, LaunchConfigurationName=name, MinSize=least, MaxSize=most, DesiredCapacity=size,
            AvailabilityZones=[f"{region}a", f"{region}b"],
        )  # fmt: skip

    def size(self, region: str, word: str = "workers") -> int:
        found = self.emulator.client("autoscaling", region).describe_auto_scaling_groups(AutoScalingGroupNames=[self.names[word]])
        return int(found["AutoScalingGroups"][0]["DesiredCapacity"])

    def fail(self, region: str, word: str, message: str) -> None:
        self.emulator.control("fail_launches", region=region, group=self.names[word], message=message)


class Nodegroups(World):
    kind, act, settles, field = EksNodegroups, "UpdateNodegroupConfig", "eks.nodegroup", "nodegroups"

    @property
    def cluster_field(self) -> dict[str, str]:
        return {"cluster": self.cluster}

    def create(self, emulator: Emulator, region: str, name: str, size: int, least: int, most: int) -> None:
        client = emulator.client("eks", region)
        role = f"arn:aws:iam::{emulator.account}:role/eks"
        if self.cluster not in client.list_clusters()["clusters"]:
            client.create_cluster(name=self.cluster, roleArn=role, resourcesVpcConfig={"subnetIds": ["subnet-1"]})
        client.create_nodegroup(
            clusterName=self.cluster, nodegroupName=name, nodeRole=role, subnets=["subnet-1"],
            scalingConfig={"minSize": least, "maxSize": most, "desiredSize": size},
        )  # fmt: skip

    def size(self, region: str, word: str = "workers") -> int:
        found = self.emulator.client("eks", region).describe_nodegroup(clusterName=self.cluster, nodegroupName=self.names[word])
        return int(found["nodegroup"]["scalingConfig"]["desiredSize"])

    def fail(self, region: str, word: str, message: str) -> None:
        launcher = self.emulator.control("node_launcher", region=region, cluster=self.cluster, nodegroup=self.names[word])
        self.emulator.control("fail_launches", region=region, group=launcher, message=message)


class Services(World):
    kind, act, settles, field = EcsServices, "UpdateService", "ecs.service", "services"

    @property
    def cluster_field(self) -> dict[str, str]:
        return {"cluster": self.cluster}

    def create(self, emulator: Emulator, region: str, name: str, size: int, least: int, most: int) -> None:
        client, scaling = emulator.client("ecs", region), emulator.client("application-autoscaling", region)
        client.create_cluster(clusterName=self.cluster)
        client.register_task_definition(family=self.cluster, containerDefinitions=[{"name": "a", "image": "a", "cpu": 1, "memory": 64}])
        client.create_service(cluster=self.cluster, serviceName=name, taskDefinition=self.cluster, desiredCount=size)
        scaling.register_scalable_target(
            ServiceNamespace="ecs", ResourceId=f"service/{self.cluster}/{name}", ScalableDimension="ecs:service:DesiredCount",
            MinCapacity=least, MaxCapacity=most,
        )  # fmt: skip
        time.sleep(0.1)  # until they run

    def size(self, region: str, word: str = "workers") -> int:
        found = self.emulator.client("ecs", region).describe_services(cluster=self.cluster, services=[self.names[word]])
        return int(found["services"][0]["desiredCount"])

    def fail(self, region: str, word: str, message: str) -> None:
        self.emulator.control(
            "service_event", region=region, cluster=self.cluster, service=self.names[word], message=f"unable to place: {message}"
        )


@pytest.fixture(params=[Groups, Nodegroups, Services], ids=["autoscaling", "eks", "ecs"])
def world(request: pytest.FixtureRequest, emulator: Emulator) -> Iterator[World]:
    make: Callable[[Emulator], World] = request.param
    yield make(emulator)
    for region in (EAST, WEST):
        emulator.control("hold_capacity", region=region, held=False)
        emulator.control("set_zones", region=region, zones=["a", "b"])


@pytest.fixture
def capacity(rig: Rig, world: World) -> Capacity[Any]:
    """East runs 6 and 3, west one of each."""
    world.make(EAST, 6, 3)
    world.make(WEST, 1, 1)
    return rig.make(world.kind, "workers", world.settings())


def test_a_failover_scales_to_what_the_lost_region_had(rig: Rig, world: World, capacity: Capacity[Any], emulator: Emulator) -> None:
    """Sizes were seen while east was there; no call enters it once it is gone; every group is ready, in two zones."""
    capacity.view()
    emulator.lose(EAST)
    emulator.clear_calls()
    seen = rig.run(capacity, Intent.FAILOVER)
    assert [item.look for item in seen] == [Look.DONE], seen
    assert (world.size(WEST), world.size(WEST, "web")) == (6, 3)
    assert "6 of 6 ready in" in seen[0].reason and f"{WEST}a and {WEST}b" in seen[0].reason
    assert {call.region for call in emulator.calls()} == {WEST}
    assert world.acts() == [WEST, WEST], "one act for each group"
    told = [item.text for item in rig.evidence if isinstance(item, Note) and "east had" in item.text]
    assert len(told) == 1 and "workers 6, web 3" in told[0] and told[0].endswith("s ago"), "with its age"


@pytest.mark.parametrize("intent", [Intent.SWITCHOVER, Intent.FAILBACK])
def test_a_planned_move_asks_the_source_itself(rig: Rig, world: World, capacity: Capacity[Any], intent: Intent) -> None:
    """Nothing was remembered, so nothing but the source says how many."""
    assert [item.look for item in rig.run(capacity, intent)] == [Look.DONE]
    assert (world.size(WEST), world.size(WEST, "web")) == (6, 3)


def test_sizes_may_be_numbers_and_shares(rig: Rig, world: World) -> None:
    """Half of six, rounded up; two where it says two; what is there already is never taken away."""
    world.make(EAST, 5, 9)
    world.make(WEST, 4, 0)
    kind = rig.make(world.kind, "workers", world.settings(size="50%", sizes={"web": 2}))
    assert [item.look for item in rig.run(kind, Intent.SWITCHOVER)] == [Look.DONE]
    assert (world.size(WEST), world.size(WEST, "web")) == (4, 2)


def test_the_same_again_sends_nothing(rig: Rig, world: World, capacity: Capacity[Any], emulator: Emulator) -> None:
    """Killed between act and verify: the next attempt sees what it asked for, waits for it, and asks no second time."""
    step = rig.step(capacity, Intent.SWITCHOVER, Verb.SCALE)
    context = rig.context(step, Intent.SWITCHOVER)
    seen = step.operation.observe(context)
    context = replace(context, evidence=seen.evidence)
    step.operation.act(context)
    assert len(world.acts()) == 2
    again = rig.step(capacity, Intent.SWITCHOVER, Verb.SCALE)
    rig.evidence += seen.evidence
    assert rig.perform(again, Intent.SWITCHOVER).look is Look.DONE
    assert len(world.acts()) == 2
    assert rig.perform(again, Intent.SWITCHOVER).look is Look.DONE
    assert len([item for item in rig.evidence if isinstance(item, Sized)]) == 1, "what was there before is told once, by who came first"


def test_a_lost_answer_is_read_before_anything_else(rig: Rig, world: World, capacity: Capacity[Any], emulator: Emulator) -> None:
    """The size was taken, the answer lost: unknown; then it is seen to be so."""
    emulator.fault(WEST, "lost-answer", f"*:{world.act}", times=1)
    step = rig.step(capacity, Intent.SWITCHOVER, Verb.SCALE)
    with pytest.raises(EffectUnknown):
        rig.perform(step, Intent.SWITCHOVER)
    assert rig.perform(step, Intent.SWITCHOVER).look is Look.DONE
    assert len(world.acts()) == 2


def test_no_capacity_is_told_at_once_and_with_the_quota(rig: Rig, world: World, capacity: Capacity[Any], emulator: Emulator) -> None:
    """While nothing starts, what AWS says of it is on the live table, and the quota beside it."""
    emulator.control("hold_capacity", region=WEST, held=True)
    world.fail(WEST, "workers", "InsufficientInstanceCapacity: no t3.micro in us-west-2a now")
    step = rig.step(capacity, Intent.SWITCHOVER, Verb.SCALE)
    said: list[str] = []
    seen = rig.perform(step, Intent.SWITCHOVER, deadline=rig.clock.monotonic() + 0.5, say=said.append)
    assert seen.look is Look.NEEDED
    assert "workers: 1 of 6 ready" in seen.reason and "InsufficientInstanceCapacity" in seen.reason
    assert "quota" in seen.reason and capacity.quota[1] in seen.reason
    assert said and "InsufficientInstanceCapacity" in said[0]
    emulator.control("hold_capacity", region=WEST, held=False)
    assert rig.perform(step, Intent.SWITCHOVER).look is Look.DONE


def test_one_zone_is_not_enough(rig: Rig, world: World, capacity: Capacity[Any], emulator: Emulator) -> None:
    """All of them in one zone is what the loss of one zone ends; zones: 1 accepts it."""
    emulator.control("set_zones", region=WEST, zones=["c"])
    step = rig.step(capacity, Intent.SWITCHOVER, Verb.SCALE)
    context = rig.context(step, Intent.SWITCHOVER, seconds=60)
    step.operation.observe(context)
    step.operation.act(context)
    for _ in range(20):
        emulator.control("advance", seconds=10)
        seen = step.operation.verify(context)
        if "6 of 6 ready in us-west-2c" in seen.reason:
            break
    assert seen.look is Look.NEEDED and "6 of 6 ready in us-west-2c" in seen.reason, seen.reason
    one = rig.make(world.kind, "one-zone", world.settings(zones=1))
    assert [item.look for item in rig.run(one, Intent.SWITCHOVER)] == [Look.DONE]


def test_the_maximum_is_respected(rig: Rig, world: World) -> None:
    """More than it may have: an error for moves there; the step refuses, and with an acceptance goes as far as it may."""
    world.make(EAST, 6, 1)
    world.make(WEST, 1, 1, most=4)
    kind = rig.make(world.kind, "workers", world.settings())
    errors = [(item.region, item.fact) for item in kind.view().findings if item.severity is Severity.ERROR]
    assert len(errors) == 1 and errors[0][0] == "west" and "at most 4" in errors[0][1]
    step = rig.step(kind, Intent.FAILOVER, Verb.SCALE)
    seen = rig.perform(step, Intent.FAILOVER)
    assert seen.look is Look.BLOCKED and "at most 4" in seen.reason and "--accept prerequisites" in seen.reason
    assert world.acts() == []
    rig.acceptances = (Acceptance(guard=Guard.PREREQUISITES, actor="lead", reason="four will do", at=rig.clock.now()),)
    assert rig.perform(step, Intent.FAILOVER).look is Look.DONE
    assert world.size(WEST) == 4


def test_nobody_knows_how_many(rig: Rig, world: World, emulator: Emulator) -> None:
    """East was never seen: an error, and the step refuses; if_unknown says how many then."""
    world.make(EAST, 6, 3)
    world.make(WEST, 1, 1)
    kind = rig.make(world.kind, "workers", world.settings())
    emulator.lose(EAST)
    assert any("is not known" in item.fact and item.severity is Severity.ERROR for item in kind.view().findings)
    seen = rig.perform(rig.step(kind, Intent.FAILOVER, Verb.SCALE), Intent.FAILOVER)
    assert seen.look is Look.BLOCKED and "nobody knows" in seen.reason
    given = rig.make(world.kind, "given", world.settings(if_unknown=2))
    assert [item.look for item in rig.run(given, Intent.FAILOVER)] == [Look.DONE]
    assert world.size(WEST) == 2


def test_undo_goes_back_to_what_was_there(rig: Rig, world: World, capacity: Capacity[Any]) -> None:
    """What somebody changed since is left alone."""
    step = rig.step(capacity, Intent.SWITCHOVER, Verb.SCALE)
    assert step.spec.undoable
    assert rig.perform(step, Intent.SWITCHOVER).look is Look.DONE
    capacity.scale(None, "west", {world.names["web"]: 5})
    step.operation.undo(rig.context(step, Intent.SWITCHOVER))
    assert (world.size(WEST), world.size(WEST, "web")) == (1, 5)
    step.operation.undo(rig.context(step, Intent.SWITCHOVER))
    assert world.size(WEST) == 1


def test_what_came_back_stands_by(rig: Rig, world: World) -> None:
    """Re-protect: east goes back to one of each, never below its minimum; without ``stand_by`` there is no step."""
    world.make(EAST, 6, 3)
    world.make(WEST, 6, 3)
    plain = rig.make(world.kind, "plain", world.settings())
    assert plain.steps(Intent.REPROTECT, "east", "west") == ()
    kind = rig.make(world.kind, "workers", world.settings(stand_by="30%"))
    assert [item.look for item in rig.run(kind, Intent.REPROTECT)] == [Look.DONE]
    assert (world.size(EAST), world.size(EAST, "web")) == (2, 1)
    assert set(world.acts()) == {EAST}
    assert [item.look for item in rig.run(kind, Intent.REPROTECT)] == [Look.DONE]
    assert len(world.acts()) == 2


def test_the_last_ones_are_not_taken_away(rig: Rig, world: World) -> None:
    """Nothing is ready where it leads: then what came back keeps what it has."""
    world.make(EAST, 6, 3)
    world.make(WEST, 0, 3)
    kind = rig.make(world.kind, "workers", world.settings(stand_by=0))
    seen = rig.run(kind, Intent.REPROTECT)
    assert seen[0].look is Look.BLOCKED and "none is ready in west" in seen[0].reason
    assert world.acts() == []


def test_findings_name_what_a_move_would_stumble_over(rig: Rig, world: World, capacity: Capacity[Any], emulator: Emulator) -> None:
    """Nothing to find; then a group that is not there, and a region that does not answer."""
    assert [item.fact for item in capacity.view().findings] == []
    missing = {**world.names, "web": "never-made"}
    own = {world.field: missing, **world.cluster_field}
    settings = world.settings(regions={"east": {world.field: world.names, **world.cluster_field}, "west": own})
    kind = rig.make(world.kind, "missing", settings)
    errors = [item for item in kind.view().findings if item.severity is Severity.ERROR]
    assert len(errors) == 1 and errors[0].region == "west" and "never-made" in errors[0].fact
    assert rig.perform(rig.step(kind, Intent.FAILOVER, Verb.SCALE), Intent.FAILOVER).look is Look.BLOCKED
    emulator.lose(WEST)
    assert [(item.severity, item.region) for item in capacity.view().findings] == [(Severity.WARNING, "west")]


def test_a_missing_permission_names_the_action(rig: Rig, world: World, capacity: Capacity[Any], emulator: Emulator) -> None:
    """Permanent, with the action in the hint; throttled: nothing happened, try again."""
    step = rig.step(capacity, Intent.SWITCHOVER, Verb.SCALE)
    action = capacity.scaling(capacity.places["west"], "x", 1)[0].iam[0]
    emulator.deny(action, WEST)
    with pytest.raises(Permanent) as refused:
        rig.perform(step, Intent.SWITCHOVER)
    assert action in refused.value.hint
    emulator.clear_faults()
    emulator.fault(WEST, "throttle", f"*:{world.act}", times=1)
    with pytest.raises(Transient):
        rig.perform(step, Intent.SWITCHOVER)
    for code in capacity.again[:1]:
        emulator.fault(WEST, "refusal", f"*:{world.act}", times=1, status=400, code=code)
        with pytest.raises(Transient):
            rig.perform(step, Intent.SWITCHOVER)
    assert rig.perform(step, Intent.SWITCHOVER).look is Look.DONE


def test_every_call_was_declared(rig: Rig, world: World, emulator: Emulator) -> None:
    """What the steps call is what their uses name, by the narrowest names; the acts in the region of the step only."""
    world.make(EAST, 6, 3)
    world.make(WEST, 1, 1)
    kind = rig.make(world.kind, "workers", world.settings(stand_by=1))
    kind.view()
    for intent in Intent:
        emulator.clear_calls()
        rig.evidence.clear()
        rig.run(kind, intent)
        steps = kind.steps(intent, "east", "west")
        assert not rig.undeclared(steps, emulator.calls()), intent
        for step in steps:
            acts = [use for use in used(step) if use.call.act]
            assert [use.region for use in acts] == [step.spec.region]
            assert all(world.names["workers"] in use.resources[0] for use in acts)
            assert intent is not Intent.FAILOVER or {touch.region for touch in step.spec.touches} == {"west"}
            assert step.spec.verb is (Verb.SCALE if intent.moves else Verb.STAND_BY)


def test_what_a_person_types_is_a_command(rig: Rig, world: World, capacity: Capacity[Any]) -> None:
    """bash parses it; a size that depends on the primary is asked for by name; one that does not is in it."""
    for step in capacity.steps(Intent.FAILOVER, "east", "west"):
        assert "${WORKERS_SIZE:?" in step.spec.by_hand and "987654321" not in step.spec.by_hand
        for text in (step.spec.by_hand, step.spec.check_by_hand):
            assert not subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False).stderr
    fixed = rig.make(world.kind, "fixed", world.settings(size=4, stand_by=1))
    move, rest = (fixed.steps(intent, "east", "west")[0].spec for intent in (Intent.FAILOVER, Intent.REPROTECT))
    assert "SIZE" not in move.by_hand and "4" in move.by_hand
    assert rest.check_by_hand.endswith("-le 1 ]")
    for text in (rest.by_hand, rest.check_by_hand):
        assert not subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False).stderr


def test_settings_that_contradict(rig: Rig, world: World) -> None:
    """Named with the field, before anything is called."""
    own = {world.field: world.names, **world.cluster_field}
    with pytest.raises(UsageError, match=r"regions\.west: no web"):
        rig.make(world.kind, "x", {"regions": {"east": own, "west": {**own, world.field: ["workers"]}}})
    with pytest.raises(UsageError, match="unknown region"):
        rig.make(world.kind, "x", {"regions": {"east": own, "north": own}})
    with pytest.raises(UsageError, match=r"sizes\.nobody"):
        rig.make(world.kind, "x", world.settings(sizes={"nobody": 1}))
    for wrong in ({"size": "many"}, {"size": -1}, {"zones": 0}, {"stand_by": "5 %"}):
        with pytest.raises(ValidationError):
            rig.make(world.kind, "x", world.settings(**wrong))


def test_the_number_of_calls_does_not_grow_with_the_groups(rig: Rig, emulator: Emulator) -> None:
    """40 groups: one call a region; 40 services: four, one for their bounds."""
    groups, services = Groups(emulator), Services(emulator)
    names = {f"g{number}": f"g{number}" for number in range(40)}
    one = {"regions": {"east": {"groups": names}, "west": {"groups": names}}}
    kind: Capacity[Any] = rig.make(groups.kind, "groups", one)
    with emulator.counted() as made:
        kind.view()
    assert sorted(call.name for call in made if call.service != "sts") == ["autoscaling:DescribeAutoScalingGroups"] * 2
    for region in (EAST, WEST):
        services.make(region, 0, 0)
    both = {"cluster": services.cluster, "services": names}
    other: Capacity[Any] = rig.make(services.kind, "services", {"regions": {"east": both, "west": both}})
    with emulator.counted() as made:
        other.view()
    names_made = [call.operation for call in made if call.service != "sts"]
    assert sorted(names_made) == ["DescribeScalableTargets"] * 2 + ["DescribeServices"] * 8


def test_the_registry_knows_them() -> None:
    """By name."""
    for kind in (AutoScalingGroups, EksNodegroups, EcsServices):
        assert registry.find(kind.kind) is kind


def test_zones_of_a_service_are_those_of_its_subnets(rig: Rig, emulator: Emulator) -> None:
    """One subnet: an error for moves there; two in two zones: none."""
    world, ec2 = Services(emulator), emulator.client("ec2", WEST)
    world.make(EAST, 2, 1)
    world.make(WEST, 1, 1)
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.77.{number}.0/24", AvailabilityZone=f"{WEST}{zone}")["Subnet"]["SubnetId"]
        for number, zone in enumerate("ab")
    ]
    kind: Capacity[Any] = rig.make(world.kind, "workers", world.settings())
    for chosen, wrong in ((subnets[:1], 1), (subnets, 0)):
        emulator.control("service_subnets", region=WEST, cluster=world.cluster, service=world.names["workers"], subnets=chosen)
        facts = [item.fact for item in kind.view().findings if item.severity is Severity.ERROR]
        assert len([fact for fact in facts if f"in {WEST}a only" in fact]) == wrong, facts


def test_what_eks_says_of_a_node_group(rig: Rig, emulator: Emulator) -> None:
    """A health issue is a warning, and told while nodes are waited for; a node group that failed is an error, and blocks."""
    world = Nodegroups(emulator)
    world.make(EAST, 3, 1)
    world.make(WEST, 1, 1)
    kind: Capacity[Any] = rig.make(world.kind, "workers", world.settings())
    issue = {"region": WEST, "cluster": world.cluster, "nodegroup": world.names["workers"]}
    emulator.control("set_issue", code="AsgInstanceLaunchFailures", message="no room in us-west-2b", **issue)
    assert [item.severity for item in kind.view().findings if "no room" in item.fact] == [Severity.WARNING]
    emulator.control("set_issue", code="Ec2SubnetNotFound", message="subnet-1 is gone", status="CREATE_FAILED", **issue)
    assert [item.region for item in kind.view().findings if item.severity is Severity.ERROR] == ["west"]
    seen = rig.perform(rig.step(kind, Intent.SWITCHOVER, Verb.SCALE), Intent.SWITCHOVER)
    assert seen.look is Look.BLOCKED and "subnet-1 is gone" in seen.reason and "dr skip" in seen.reason
    emulator.control("set_issue", code="", message="", **issue)
    assert [item.look for item in rig.run(kind, Intent.SWITCHOVER)] == [Look.DONE]


def test_a_group_that_may_not_launch(rig: Rig, emulator: Emulator) -> None:
    """A suspended process is an error, with the command; resumed, it is none."""
    world = Groups(emulator)
    world.make(EAST, 1, 1)
    world.make(WEST, 0, 1)
    kind: Capacity[Any] = rig.make(world.kind, "workers", world.settings())
    client = emulator.client("autoscaling", WEST)
    client.suspend_processes(AutoScalingGroupName=world.names["workers"], ScalingProcesses=["Launch"])
    errors = [item.fact for item in kind.view().findings if item.severity is Severity.ERROR]
    assert len(errors) == 1 and "resume-processes" in errors[0]
    client.resume_processes(AutoScalingGroupName=world.names["workers"], ScalingProcesses=["Launch"])
    assert [item.severity for item in kind.view().findings] == [Severity.INFO], "nothing stands by: nobody guarantees capacity on the day"
