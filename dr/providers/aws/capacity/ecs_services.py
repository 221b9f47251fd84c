"""The kind ``aws.ecs-services``: tasks of ECS services."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from dr.errors import Permanent, StepError
from dr.model.base import Frozen
from dr.model.runbook import KindConfig
from dr.providers.aws.calls import Call, Use
from dr.providers.aws.capacity.by_hand import at_least
from dr.providers.aws.capacity.config import CapacityConfig, Names, by_word
from dr.providers.aws.capacity.group import Group, count, missing
from dr.providers.aws.capacity.kind import Capacity, Groups
from dr.providers.aws.names import arn
from dr.providers.aws.place import Place
from dr.providers.aws.typed import cli

T = TypeVar("T")

_NO_CLUSTER = {"ClusterNotFoundException": "correct cluster: aws ecs list-clusters"}

SERVICES = Call("ecs", "DescribeServices", refusals=_NO_CLUSTER)
"""Services by name, 10 a call: counts, deployments, events.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html; what is not there is among ``failures``;
AccessDeniedException, ClientException, ClusterNotFoundException, InvalidParameterException, ServerException."""

LIST_TASKS = Call("ecs", "ListTasks", refusals=_NO_CLUSTER)
"""The tasks of one service, 100 a page: those that are to run, or those that are to stop, which are listed for an hour after they did.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html; refusals as DescribeServices, ServiceNotFoundException."""

TASKS = Call("ecs", "DescribeTasks", refusals=_NO_CLUSTER)
"""Tasks by ARN, 100 a call: state, health, availability zone.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html; refusals as DescribeServices."""

BOUNDS = Call("application-autoscaling", "DescribeScalableTargets")
"""Between which counts Service Auto Scaling keeps a service, 50 a call.

https://docs.aws.amazon.com/autoscaling/application/APIReference/API_DescribeScalableTargets.html; ConcurrentUpdateException,
InternalServiceException, InvalidNextTokenException, ValidationException; a service without one is left out."""

SUBNETS = Call("ec2", "DescribeSubnets", refusals={"InvalidSubnetID.NotFound": "a service names a subnet that is gone"})
"""In which zones a service may start tasks. https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSubnets.html"""

UPDATE = Call(
    "ecs",
    "UpdateService",
    act=True,
    refusals={
        **_NO_CLUSTER,
        "ServiceNotFoundException": "correct services: aws ecs list-services",
        "ServiceNotActiveException": "the service was deleted: create it again",
        "InvalidParameterException": "a daemon service has no count; see the message",
    },
)
"""How many tasks there are to be.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html; AccessDeniedException, ClientException,
ClusterNotFoundException, InvalidParameterException, PlatformUnknownException, ServerException, ServiceNotActiveException,
ServiceNotFoundException, UnsupportedFeatureException."""

_BATCH, _TASKS_BATCH, _BOUNDS_BATCH = 10, 100, 50
_RECENT = timedelta(minutes=10)
_COUNT = "ecs:service:DesiredCount"
_STOPPED = ("DEPROVISIONING", "STOPPED", "DELETED")
"""Its containers run no more. https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html"""
_BAD_NEWS = ("unable to", "unhealthy", "has reached", "failed")
"""What events say where tasks do not start. https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html"""


class RegionServices(Frozen):
    """One region's cluster and its services."""

    cluster: str = Field(min_length=1, max_length=255, description="its name, not its ARN")
    services: Names = Field(min_length=1)


class EcsConfig(CapacityConfig):
    """Settings of ``aws.ecs-services``."""

    regions: dict[str, RegionServices] = Field(min_length=2)

    def groups(self, region: str) -> Mapping[str, str]:
        """By the runbook's word, the name."""
        return by_word(self.regions[region].services)

    def named_regions(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self.regions)


class EcsServices(Capacity[EcsConfig]):
    """ECS services: in the target as many running tasks that are not unhealthy as wanted, in at least two zones.

    Protects what runs as tasks there. Needs services that are there in both regions. Bounds of Service Auto Scaling are respected, never
    changed. On EC2 capacity the instances are another component (``aws.autoscaling-groups``), which this one needs. With ``writers`` a
    planned move waits for the last task of the region that is left: one that is stopping has until its ``stopTimeout``, and writes.
    """

    kind: ClassVar[str] = "aws.ecs-services"
    Config: ClassVar[type[KindConfig]] = EcsConfig
    what: ClassVar[str] = "service"
    members: ClassVar[str] = "tasks"
    quota: ClassVar[tuple[str, str]] = ("fargate", "L-3032A538")
    takes: ClassVar[timedelta] = timedelta(minutes=1)
    goes: ClassVar[timedelta] = timedelta(minutes=1)

    def look(self, place: Place) -> Groups:
        """Services 10 a call, bounds 50 a call, all subnets in one, at the same time where they can be. Raises StepError.

        Bounds and zones only tell more: where they are refused, the groups say so. A minimum that is not known may keep tasks there.
        """
        names, cluster = self.config.groups(place.region), self.config.regions[place.region].cluster
        listed = list(names.values())
        asked = [partial(self._services, place, cluster, part) for part in _parts(listed, _BATCH)]
        bounded = list(_parts(listed, _BOUNDS_BATCH))
        bounds = [partial(self._bounds, place, cluster, part) for part in bounded]
        found: dict[str, Mapping[str, Any]] = {}
        unseen: list[StepError] = []
        for number, answer in enumerate(self.aws.many([*asked, *bounds])):
            if isinstance(answer, StepError):
                if number < len(asked) or not isinstance(answer, Permanent):
                    raise answer
                unseen.append(answer)
                answer = {name: {"unbounded": answer.hint or answer.message} for name in bounded[number - len(asked)]}
            for key, item in answer.items():
                found[key] = {**found.get(key, {}), **item}
        zones: Mapping[str, str] = {}
        try:
            zones = self._zones(place, found.values())
        except Permanent as error:
            unseen.append(error)
        return {
            word: replace(service(word, found[name], zones, self.site.clock.now() - _RECENT), unseen=tuple(unseen))
            if "serviceName" in found.get(name, {}) else missing(word, name, f"{self.what} in {cluster} of the name")
            for word, name in names.items()
        }  # fmt: skip

    def _services(self, place: Place, cluster: str, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        answer = self.aws.read(place, SERVICES, cluster=cluster, services=list(names))
        return {str(item["serviceName"]): item for item in answer["services"] if item.get("status") != "INACTIVE"}

    def _bounds(self, place: Place, cluster: str, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        asked = {"ServiceNamespace": "ecs", "ScalableDimension": _COUNT, "ResourceIds": [f"service/{cluster}/{name}" for name in names]}
        pages = self.aws.pages(place, BOUNDS, **asked)
        targets = (item for page in pages for item in page["ScalableTargets"])
        return {str(item["ResourceId"]).rpartition("/")[2]: {"least": item["MinCapacity"], "most": item["MaxCapacity"]} for item in targets}

    def _zones(self, place: Place, services: Iterable[Mapping[str, Any]]) -> Mapping[str, str]:
        """The zone of each subnet that services name."""
        subnets = sorted({subnet for item in services for subnet in _subnets(item)})
        if not subnets:
            return {}
        pages = self.aws.pages(place, SUBNETS, SubnetIds=subnets)
        return {str(item["SubnetId"]): str(item["AvailabilityZone"]) for page in pages for item in page["Subnets"]}

    def spread(self, place: Place, groups: Groups) -> Groups:
        """Counted anew from the tasks themselves: those that run and are not unhealthy, by zone. Raises StepError.

        Where tasks may not be listed, what the service itself counts is all there is to go by.
        """
        cluster = self.config.regions[place.region].cluster
        there = [item for item in groups.values() if not item.broken]
        found = dict(groups)
        for item, zones in zip(there, self.aws.many([partial(self._running, place, cluster, item.name) for item in there]), strict=True):
            if isinstance(zones, Permanent):
                found[item.word] = replace(item, unseen=(*item.unseen, zones))
            elif isinstance(zones, StepError):
                raise zones
            else:
                found[item.word] = replace(item, ready=sum(zones.values()), in_zones=zones)
        return found

    def _running(self, place: Place, cluster: str, name: str) -> Mapping[str, int]:
        tasks = self._tasks(place, cluster, name, "RUNNING")
        ready = (task for task in tasks if task.get("lastStatus") == "RUNNING" and task.get("healthStatus") != "UNHEALTHY")
        return count(str(task.get("availabilityZone", "")) for task in ready)

    def left(self, place: Place, groups: Groups) -> Groups:
        """Counted from the tasks, those that are stopping included: the service counts them no more. Raises StepError."""
        cluster = self.config.regions[place.region].cluster
        there = [item for item in groups.values() if not item.broken]
        found = dict(groups)
        for item, states in zip(there, self.aws.many([partial(self._still, place, cluster, item.name) for item in there]), strict=True):
            if isinstance(states, StepError):
                raise states
            found[item.word] = replace(item, still=states)
        return found

    def _still(self, place: Place, cluster: str, name: str) -> Mapping[str, int]:
        tasks = (task for status in ("RUNNING", "STOPPED") for task in self._tasks(place, cluster, name, status))
        return count(str(task["lastStatus"]) for task in tasks if task["lastStatus"] not in _STOPPED)

    def _tasks(self, place: Place, cluster: str, name: str, desired: str) -> Iterator[Mapping[str, Any]]:
        pages = self.aws.pages(place, LIST_TASKS, cluster=cluster, serviceName=name, desiredStatus=desired)
        arns = [str(one) for page in pages for one in page["taskArns"]]
        for part in _parts(arns, _TASKS_BATCH):
            yield from self.aws.read(place, TASKS, cluster=cluster, tasks=list(part))["tasks"]

    def scaling(self, place: Place, name: str, desired: int) -> tuple[Call, Mapping[str, Any]]:
        """``UpdateService``, the count and nothing else."""
        return UPDATE, {"cluster": self.config.regions[place.region].cluster, "service": name, "desiredCount": desired}

    def arns(self, place: Place, name: str) -> tuple[str, ...]:
        """The service."""
        return (arn(place, "ecs", f"service/{self.config.regions[place.region].cluster}/{name}"),)

    def reads(self, region: str) -> Sequence[Use]:
        """IAM knows no resource for the tasks of a service, for bounds and for subnets."""
        place, cluster = self.places[region], self.config.regions[region].cluster
        every = tuple(one for name in self.config.groups(region).values() for one in self.arns(place, name))
        tasks = (arn(place, "ecs", f"task/{cluster}/*"),)
        return (Use(SERVICES, region, every), Use(LIST_TASKS, region), Use(TASKS, region, tasks), Use(BOUNDS, region), Use(SUBNETS, region))

    def ready_by_hand(self, place: Place, name: str, wanted: str, zones: int) -> str:
        """Running tasks that are not unhealthy; of services with up to 100."""
        cluster = self.config.regions[place.region].cluster
        asked = {"cluster": cluster, "serviceName": name, "desiredStatus": "RUNNING"}
        listed = cli(LIST_TASKS, place, asked, query="taskArns[:100]", text=True)
        described = cli(TASKS, place, {"cluster": cluster, "tasks": ["LISTED"]}).replace("LISTED", f"$({listed})")
        ready = '.tasks[]|select(.lastStatus=="RUNNING" and .healthStatus!="UNHEALTHY")'
        return at_least(described, ready, wanted, ".availabilityZone", zones)

    def gone_by_hand(self, place: Place, name: str) -> str:
        """No task runs, nor is one stopping; of services with up to 100."""
        cluster = self.config.regions[place.region].cluster
        asked = {"cluster": cluster, "serviceName": name, "desiredStatus": "STATUS"}
        listed = cli(LIST_TASKS, place, asked, query="taskArns[:100]", text=True).replace("STATUS", '"$status"')
        there = "&&".join(f"lastStatus!='{state}'" for state in _STOPPED)
        described = cli(TASKS, place, {"cluster": cluster}, query=f"tasks[?{there}].lastStatus", text=True)
        return f'[ -z "$(for status in RUNNING STOPPED; do {listed} | xargs -r {described} --tasks; done)" ]'

    def size_by_hand(self, place: Place, name: str) -> str:
        """desiredCount."""
        asked = {"cluster": self.config.regions[place.region].cluster, "services": [name]}
        return cli(SERVICES, place, asked, query="services[0].desiredCount", text=True)


def service(word: str, item: Mapping[str, Any], zones: Mapping[str, str], since: datetime) -> Group:
    """A service as the API describes it.

    Args:
        zones: of subnets. since: events before that are no news.
    """
    events = [str(event["message"]) for event in item.get("events", ()) if event["createdAt"] >= since]
    told = [text for text in events if any(word in text for word in _BAD_NEWS)]
    rollouts = [
        f"deployment {one.get('id', '')} {one['rolloutState']}: {one.get('rolloutStateReason', '')}"
        for one in item.get("deployments", ()) if one.get("rolloutState") == "FAILED"
    ]  # fmt: skip
    status = str(item.get("status", ""))
    counts = {"RUNNING": int(item["runningCount"]), "PENDING": int(item.get("pendingCount", 0))}
    daemon = item.get("schedulingStrategy") == "DAEMON"
    unbounded = item.get("unbounded")
    return Group(
        word, str(item["serviceName"]), int(item["desiredCount"]), int(item["runningCount"]), least=int(item.get("least", 0)),
        most=item.get("most"), zones=tuple(sorted({zones[subnet] for subnet in _subnets(item) if subnet in zones})), still=counts,
        troubles=tuple(dict.fromkeys([*rollouts, *told]))[:3],
        held="" if unbounded is None else f"its minimum is not known: {unbounded}",
        broken="a daemon service has no count" if daemon else "" if status == "ACTIVE" else f"it is {status}",
    )  # fmt: skip


def _subnets(item: Mapping[str, Any]) -> Sequence[str]:
    found: Sequence[str] = ((item.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}).get("subnets") or ()
    return found


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
