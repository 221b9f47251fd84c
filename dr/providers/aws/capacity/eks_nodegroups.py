"""The kind ``aws.eks-nodegroups``: nodes of EKS managed node groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from pydantic import Field

from dr.errors import StepError
from dr.model.base import Frozen
from dr.model.runbook import KindConfig
from dr.providers.aws.calls import Call, Use
from dr.providers.aws.capacity.autoscaling_groups import ACTIVITIES, GROUPS, described, failures
from dr.providers.aws.capacity.autoscaling_groups import group as scaling_group
from dr.providers.aws.capacity.by_hand import at_least
from dr.providers.aws.capacity.config import CapacityConfig, Names, by_word
from dr.providers.aws.capacity.group import Group, missing
from dr.providers.aws.capacity.kind import Capacity, Groups
from dr.providers.aws.names import arn
from dr.providers.aws.place import Place
from dr.providers.aws.problems import code_of
from dr.providers.aws.typed import cli

NODEGROUP = Call("eks", "DescribeNodegroup", refusals={"ResourceNotFoundException": "correct cluster and nodegroups, or create it"})
"""One node group: status, sizes, health issues, the Auto Scaling group behind it. The API has no form for many.

https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeNodegroup.html; ClientException, InvalidParameterException,
ResourceNotFoundException, ServerException, ServiceUnavailableException."""

UPDATE = Call(
    "eks",
    "UpdateNodegroupConfig",
    act=True,
    refusals={
        "ResourceNotFoundException": "correct cluster and nodegroups, or create it",
        "InvalidParameterException": "a size beyond the node group's minSize and maxSize: aws eks describe-nodegroup",
        "InvalidRequestException": "the node group is in no state to be changed: aws eks describe-nodegroup",
    },
)
"""How many nodes there are to be; minSize and maxSize stay as they are.

https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdateNodegroupConfig.html; ClientException, InvalidParameterException,
InvalidRequestException, ResourceInUseException (another update is under way: it passes), ResourceNotFoundException, ServerException."""

_DEAD = ("CREATE_FAILED", "DELETING", "DELETE_FAILED")
_READY = '.LifecycleState=="InService" and .HealthStatus=="Healthy"'


class RegionNodegroups(Frozen):
    """One region's cluster and its node groups."""

    cluster: str = Field(min_length=1, max_length=100)
    nodegroups: Names = Field(min_length=1)


class EksConfig(CapacityConfig):
    """Settings of ``aws.eks-nodegroups``."""

    regions: dict[str, RegionNodegroups] = Field(min_length=2)

    def groups(self, region: str) -> Mapping[str, str]:
        """By the runbook's word, the name."""
        return by_word(self.regions[region].nodegroups)

    def named_regions(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self.regions)


class EksNodegroups(Capacity[EksConfig]):
    """EKS managed node groups: in the target as many nodes as wanted, in at least two zones, node group ACTIVE and without health issues.

    Protects the start of everything that runs on them. A node counts once its instance is InService and healthy: whether Kubernetes calls
    it Ready is not told by AWS. Cluster Autoscaler may take idle nodes away again after its own delay. With ``writers`` a planned move
    takes all nodes away, which EKS drains first, as disruption budgets allow; nodes outside of node groups (Karpenter) are not counted.
    """

    kind: ClassVar[str] = "aws.eks-nodegroups"
    Config: ClassVar[type[KindConfig]] = EksConfig
    what: ClassVar[str] = "node group"
    members: ClassVar[str] = "nodes"
    again: ClassVar[tuple[str, ...]] = ("ResourceInUseException",)

    def look(self, place: Place) -> Groups:
        """Each node group by a call of its own, at the same time; their instances 50 groups a call. Raises StepError."""
        names = self.config.groups(place.region)
        asked = self.aws.many([partial(self._described, place, word, name) for word, name in names.items()])
        found = []
        for item in asked:
            if isinstance(item, StepError):
                raise item
            found.append(item)
        launchers = described(self.aws, place, [item.launcher for item in found if item.launcher])
        return {item.word: _joined(item, launchers.get(item.launcher)) for item in found}

    def _described(self, place: Place, word: str, name: str) -> Group:
        cluster = self.config.regions[place.region].cluster
        try:
            item = self.aws.read(place, NODEGROUP, clusterName=cluster, nodegroupName=name)["nodegroup"]
        except StepError as error:
            if code_of(error) == "ResourceNotFoundException":
                return missing(word, name, f"{self.what} of {cluster},")
            raise
        return nodegroup(word, item)

    def troubled(self, place: Place, groups: Sequence[Group]) -> Groups:
        """With the failed launches of the last ten minutes. Raises StepError."""
        return {
            item.word: replace(item, troubles=(*item.troubles, *failures(self.aws, place, item.launcher))) if item.launcher else item
            for item in groups
        }  # fmt: skip

    def scaling(self, place: Place, name: str, desired: int) -> tuple[Call, Mapping[str, Any]]:
        """``UpdateNodegroupConfig``."""
        cluster = self.config.regions[place.region].cluster
        return UPDATE, {"clusterName": cluster, "nodegroupName": name, "scalingConfig": {"desiredSize": desired}}

    def arns(self, place: Place, name: str) -> tuple[str, ...]:
        """The node group; its id is not known here."""
        return (arn(place, "eks", f"nodegroup/{self.config.regions[place.region].cluster}/{name}/*"),)

    def reads(self, region: str) -> Sequence[Use]:
        """IAM knows no resource for those of Auto Scaling."""
        place = self.places[region]
        every = tuple(one for name in self.config.groups(region).values() for one in self.arns(place, name))
        return (Use(NODEGROUP, region, every), Use(GROUPS, region), Use(ACTIVITIES, region))

    def ready_by_hand(self, place: Place, name: str, wanted: str, zones: int) -> str:
        """Healthy instances of the Auto Scaling group behind it."""
        behind = self._cli(place, name, "nodegroup.resources.autoScalingGroups[0].name")
        command = cli(GROUPS, place, {"AutoScalingGroupNames": ["BEHIND"]}).replace("BEHIND", f'"$({behind})"')
        return at_least(command, f".AutoScalingGroups[0].Instances[]|select({_READY})", wanted, ".AvailabilityZone", zones)

    def gone_by_hand(self, place: Place, name: str) -> str:
        """The Auto Scaling group behind it lists no instance."""
        behind = self._cli(place, name, "nodegroup.resources.autoScalingGroups[0].name")
        listed = cli(GROUPS, place, {"AutoScalingGroupNames": ["BEHIND"]}, query="length(AutoScalingGroups[0].Instances)", text=True)
        return f'[ "$({listed})" = 0 ]'.replace("BEHIND", f'"$({behind})"')

    def size_by_hand(self, place: Place, name: str) -> str:
        """desiredSize."""
        return self._cli(place, name, "nodegroup.scalingConfig.desiredSize")

    def _cli(self, place: Place, name: str, query: str) -> str:
        cluster = self.config.regions[place.region].cluster
        return cli(NODEGROUP, place, {"clusterName": cluster, "nodegroupName": name}, query=query, text=True)


def nodegroup(word: str, item: Mapping[str, Any]) -> Group:
    """A node group as the API describes it, its nodes not counted yet."""
    sizes, status = item.get("scalingConfig", {}), str(item["status"])
    issues = tuple(f"{issue['code']}: {issue.get('message', '')}" for issue in (item.get("health") or {}).get("issues", ()))
    launchers = (item.get("resources") or {}).get("autoScalingGroups") or [{}]
    return Group(
        word, str(item["nodegroupName"]), int(sizes.get("desiredSize", 0)), 0, int(sizes.get("minSize", 0)), sizes.get("maxSize"),
        broken=f"it is {status}" + "".join(f"; {issue}" for issue in issues) if status in _DEAD else "",
        busy="" if status in ("ACTIVE", "DEGRADED") else f"it is {status}", troubles=issues, launcher=str(launchers[0].get("name", "")),
    )  # fmt: skip


def _joined(item: Group, launcher: Mapping[str, Any] | None) -> Group:
    """With the instances of the Auto Scaling group behind it. What an autoscaler did there counts, unless an update is on its way."""
    if launcher is None:
        return item
    behind = scaling_group(item.word, launcher)
    desired = item.desired if item.busy else behind.desired
    broken = item.broken or behind.broken
    return replace(
        item, desired=desired, ready=behind.ready, in_zones=behind.in_zones, zones=behind.zones, still=behind.still, held=behind.held,
        broken=broken,
    )  # fmt: skip
