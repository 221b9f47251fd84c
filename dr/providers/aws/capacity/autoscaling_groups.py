"""The kind ``aws.autoscaling-groups``: instances of EC2 Auto Scaling groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import Field

from dr.model.base import Frozen
from dr.model.runbook import KindConfig
from dr.providers.aws.calls import Call, Use
from dr.providers.aws.capacity.by_hand import at_least
from dr.providers.aws.capacity.config import CapacityConfig, Names, by_word
from dr.providers.aws.capacity.group import Group, count, missing
from dr.providers.aws.capacity.kind import Capacity, Groups
from dr.providers.aws.hub import Aws
from dr.providers.aws.names import arn
from dr.providers.aws.place import Place
from dr.providers.aws.typed import cli

GROUPS = Call("autoscaling", "DescribeAutoScalingGroups")
"""Groups by name, 50 a call: sizes, zones, instances with their state and health, suspended processes.

https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingGroups.html; a name that is not there is left out;
InvalidNextToken, ResourceContention."""

ACTIVITIES = Call("autoscaling", "DescribeScalingActivities")
"""What the group tried to do, newest first: a failed launch says why (InsufficientInstanceCapacity, VcpuLimitExceeded, …).

https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeScalingActivities.html; InvalidNextToken, ResourceContention."""

DESIRED = Call(
    "autoscaling",
    "SetDesiredCapacity",
    act=True,
    refusals={"ValidationError": "a size beyond the group's minimum and maximum, or no such group: aws autoscaling …"},
)
"""How many instances there are to be, within minimum and maximum, which stay as they are.

https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetDesiredCapacity.html; ResourceContention, ScalingActivityInProgress (both
pass); ValidationError."""

BATCH = 50
"""Names of one call."""
RECENT = timedelta(minutes=10)
"""So long a failed launch is told."""
_LAUNCHES = frozenset({"Launch", "AddToLoadBalancer"})
_OVER = ("Terminated", "Detached")
"""Instances that are not there any more, or not the group's. One that is Terminating runs on while a lifecycle hook waits for it.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html"""
_READY = '.LifecycleState=="InService" and .HealthStatus=="Healthy"'


class RegionGroups(Frozen):
    """One region's groups."""

    groups: Names = Field(min_length=1)


class AutoScalingConfig(CapacityConfig):
    """Settings of ``aws.autoscaling-groups``. Weights count: sizes are units of capacity, as the group itself counts."""

    regions: dict[str, RegionGroups] = Field(min_length=2)

    def groups(self, region: str) -> Mapping[str, str]:
        """By the runbook's word, the name."""
        return by_word(self.regions[region].groups)

    def named_regions(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self.regions)


class AutoScalingGroups(Capacity[AutoScalingConfig]):
    """EC2 Auto Scaling groups: in the target as many healthy instances InService as wanted, in at least two zones.

    Protects the start of everything that runs on them. Needs groups that are there in both regions; minimum and maximum are never changed,
    and nothing keeps a scaling policy or a schedule of yours from changing the size afterwards. With ``writers`` a planned move waits for
    the last instance of the region that is left, those that a lifecycle hook or a protection from scale-in keeps included; a warm pool is
    not counted.
    """

    kind: ClassVar[str] = "aws.autoscaling-groups"
    Config: ClassVar[type[KindConfig]] = AutoScalingConfig
    what: ClassVar[str] = "Auto Scaling group"
    members: ClassVar[str] = "instances"
    again: ClassVar[tuple[str, ...]] = (
        "ScalingActivityInProgress", "ScalingActivityInProgressFault", "ResourceContention", "ResourceContentionFault",
    )  # fmt: skip

    def look(self, place: Place) -> Groups:
        """All groups, 50 a call. Raises StepError."""
        names = self.config.groups(place.region)
        found = described(self.aws, place, list(names.values()))
        return {word: group(word, found[name]) if name in found else missing(word, name, self.what) for word, name in names.items()}

    def troubled(self, place: Place, groups: Sequence[Group]) -> Groups:
        """With the failed launches of the last ten minutes. Raises StepError."""
        return {item.word: replace(item, troubles=(*item.troubles, *failures(self.aws, place, item.name))) for item in groups}

    def scaling(self, place: Place, name: str, desired: int) -> tuple[Call, Mapping[str, Any]]:
        """``SetDesiredCapacity``, now and not after a cooldown."""
        return DESIRED, {"AutoScalingGroupName": name, "DesiredCapacity": desired, "HonorCooldown": False}

    def arns(self, place: Place, name: str) -> tuple[str, ...]:
        """The group; its id is not known here."""
        return (arn(place, "autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{name}"),)

    def reads(self, region: str) -> Sequence[Use]:
        """IAM knows no resource for these."""
        return (Use(GROUPS, region), Use(ACTIVITIES, region))

    def ready_by_hand(self, place: Place, name: str, wanted: str, zones: int) -> str:
        """Healthy instances InService."""
        command = cli(GROUPS, place, {"AutoScalingGroupNames": [name]})
        return at_least(command, f".AutoScalingGroups[0].Instances[]|select({_READY})", wanted, ".AvailabilityZone", zones)

    def gone_by_hand(self, place: Place, name: str) -> str:
        """No instance is listed."""
        listed = cli(GROUPS, place, {"AutoScalingGroupNames": [name]}, query="length(AutoScalingGroups[0].Instances)", text=True)
        return f'[ "$({listed})" = 0 ]'

    def size_by_hand(self, place: Place, name: str) -> str:
        """DesiredCapacity."""
        return cli(GROUPS, place, {"AutoScalingGroupNames": [name]}, query="AutoScalingGroups[0].DesiredCapacity", text=True)


def described(aws: Aws, place: Place, names: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """Groups as the API describes them, by name; those that are not there are left out. Raises StepError."""
    found: dict[str, Mapping[str, Any]] = {}
    for first in range(0, len(names), BATCH):
        for page in aws.pages(place, GROUPS, AutoScalingGroupNames=list(names[first : first + BATCH])):
            found |= {str(item["AutoScalingGroupName"]): item for item in page["AutoScalingGroups"]}
    return found


def group(word: str, item: Mapping[str, Any]) -> Group:
    """A group as described. A group that is being deleted, or may not launch, is broken."""
    in_zones: dict[str, int] = {}
    for instance in item.get("Instances", ()):
        if instance.get("LifecycleState") == "InService" and instance.get("HealthStatus") == "Healthy":
            zone = str(instance["AvailabilityZone"])
            in_zones[zone] = in_zones.get(zone, 0) + int(instance.get("WeightedCapacity") or 1)
    stopped = sorted(_LAUNCHES & {str(process["ProcessName"]) for process in item.get("SuspendedProcesses", ())})
    broken = f"the process {stopped[0]} is suspended: aws autoscaling resume-processes" if stopped else ""
    if item.get("Status"):  # there is one only while it is being deleted
        broken = str(item["Status"])
    processes = {str(process["ProcessName"]) for process in item.get("SuspendedProcesses", ())}
    held = "the process Terminate is suspended: aws autoscaling resume-processes" if "Terminate" in processes else ""
    if item.get("NewInstancesProtectedFromScaleIn"):
        held = "its instances are protected from scale-in: aws autoscaling update-auto-scaling-group, and set-instance-protection"
    states = count(_state(instance) for instance in item.get("Instances", ()) if instance.get("LifecycleState") not in _OVER)
    if any("Standby" in state for state in states):
        held = "some of its instances are in Standby, where no size counts them: aws autoscaling exit-standby"
    return Group(
        word, str(item["AutoScalingGroupName"]), int(item["DesiredCapacity"]), sum(in_zones.values()), least=int(item["MinSize"]),
        most=int(item["MaxSize"]), in_zones=in_zones, zones=tuple(item.get("AvailabilityZones", ())), still=states, held=held,
        broken=broken,
    )  # fmt: skip


def _state(instance: Mapping[str, Any]) -> str:
    protected = " and protected from scale-in" if instance.get("ProtectedFromScaleIn") else ""
    return f"{instance.get('LifecycleState', '')}{protected}"


def failures(aws: Aws, place: Place, name: str) -> tuple[str, ...]:
    """Why launches of a group failed of late, each reason once, newest first. Raises StepError."""
    since = aws.site.clock.now() - RECENT
    answer = aws.read(place, ACTIVITIES, AutoScalingGroupName=name, MaxRecords=20)
    told = [
        str(item.get("StatusMessage") or item.get("Description", ""))
        for item in answer["Activities"]
        if item["StatusCode"] in ("Failed", "Cancelled") and item["StartTime"] >= since
    ]
    return tuple(dict.fromkeys(told))[:3]
