"""What stands behind capacity: the Auto Scaling group of a node group, the tasks of a service, failed launches, what a function returns.

Why not moto's: node groups have no instances, services no tasks, groups no activities; a function returns what it was sent.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from moto.autoscaling.models import autoscaling_backends
from moto.ecs.models import ecs_backends
from moto.eks.models import eks_backends

from tests.aws.emulator.registry import after, control, operation
from tests.aws.emulator.wire import ACCOUNT, Answer, Call, Refusal

_zones: dict[str, tuple[str, ...]] = {}
_nodes: dict[str, int] = {}
_failed: dict[tuple[str, str], list[tuple[datetime, str]]] = {}
_answers: dict[tuple[str, str], tuple[str, str]] = {}
_asked: list[dict[str, Any]] = []
stopping: dict[str, int] = {}
"""By the ARN of a service: how many of its tasks have got their signal and run on for a while."""


@control
def set_zones(region: str, zones: list[str]) -> None:
    """Where nodes and tasks start from now on, in turn; two zones where it was never said."""
    _zones[region] = tuple(zones)


def _zone(region: str, number: int) -> str:
    known = _zones.get(region, ("a", "b"))
    return region + known[number % len(known)]


@control
def fail_launches(region: str, group: str, message: str) -> None:
    """From now on the group has a failed launch of this moment."""
    _failed.setdefault((region, group), []).insert(0, (datetime.now(UTC), message))


@control
def set_issue(region: str, cluster: str, nodegroup: str, code: str, message: str, status: str = "DEGRADED") -> None:
    """EKS says that a node group has a problem; an empty code: no more."""
    group = eks_backends[ACCOUNT][region].clusters[cluster].nodegroups[nodegroup]
    group.health = {"issues": [{"code": code, "message": message, "resourceIds": []}] if code else []}
    group.status = status if code else "ACTIVE"


@control
def node_launcher(region: str, cluster: str, nodegroup: str) -> str:
    """The name of the Auto Scaling group behind a node group."""
    return _launcher(eks_backends[ACCOUNT][region].clusters[cluster].nodegroups[nodegroup])


@control
def service_event(region: str, cluster: str, service: str, message: str) -> None:
    """An event of this moment. https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html"""
    event = {"id": str(len(message)), "createdAt": datetime.now(UTC), "message": message}
    ecs_backends[ACCOUNT][region].services[f"{cluster}:{service}"].events.insert(0, event)


@control
def service_subnets(region: str, cluster: str, service: str, subnets: list[str]) -> None:
    """Where tasks of a service start, as its network configuration has it."""
    found = ecs_backends[ACCOUNT][region].services[f"{cluster}:{service}"]
    found.network_configuration = {"awsvpcConfiguration": {"subnets": subnets}}


@control
def function_returns(region: str, name: str, body: str, error: str = "") -> None:
    """What an invocation of the function returns; error: Handled or Unhandled."""
    _answers[region, name] = (body, error)


@control
def invocations(region: str, name: str) -> list[dict[str, Any]]:
    """The payloads that a function was invoked with."""
    return [one["payload"] for one in _asked if (one["region"], one["name"]) == (region, name)]


@operation("autoscaling:DescribeAutoScalingGroups")
def describe_groups(call: Call) -> dict[str, Any] | None:
    """https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingGroups.html; those of node groups, else moto's."""
    groups = [
        group for cluster in eks_backends[ACCOUNT][call.region].clusters.values() for group in cluster.nodegroups.values()
        if _launcher(group) in call.params.get("AutoScalingGroupNames", ())
    ]  # fmt: skip
    return {"AutoScalingGroups": [_behind(call.region, group) for group in groups]} if groups else None


def _launcher(group: Any) -> str:
    return str(group.resources["autoScalingGroups"][0]["name"])


def _behind(region: str, group: Any) -> dict[str, Any]:
    """As many instances as the node group had when it was ACTIVE last."""
    size = group.scaling_config
    if group.status == "ACTIVE" or group.uuid not in _nodes:
        _nodes[group.uuid] = size["desiredSize"]
    zones = [_zone(region, number) for number in range(len(_zones.get(region, ("a", "b"))))]
    instances = [
        {
            "InstanceId": f"i-{number:017x}", "AvailabilityZone": _zone(region, number), "LifecycleState": "InService",
            "HealthStatus": "Healthy", "ProtectedFromScaleIn": False,
        }
        for number in range(_nodes[group.uuid])
    ]  # fmt: skip
    return {
        "AutoScalingGroupName": _launcher(group), "MinSize": size["minSize"], "MaxSize": size["maxSize"],
        "DesiredCapacity": size["desiredSize"], "DefaultCooldown": 300, "AvailabilityZones": zones, "HealthCheckType": "EC2",
        "CreatedTime": group.created_at, "Instances": instances, "SuspendedProcesses": [],
    }  # fmt: skip


@after("autoscaling:CreateAutoScalingGroup")
@after("autoscaling:SetDesiredCapacity")
def spread(call: Call, answer: Answer) -> None:
    """Moto draws zones by chance; a group keeps them even."""
    group = autoscaling_backends[ACCOUNT][call.region].autoscaling_groups[call.params["AutoScalingGroupName"]]
    for number, state in enumerate(group.instance_states):
        state.availability_zone = _zone(call.region, number)


@operation("autoscaling:DescribeScalingActivities")
def describe_activities(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeScalingActivities.html: newest first."""
    name = call.params.get("AutoScalingGroupName", "")
    known = autoscaling_backends[ACCOUNT][call.region].autoscaling_groups.keys() | {
        _launcher(group)
        for cluster in eks_backends[ACCOUNT][call.region].clusters.values() for group in cluster.nodegroups.values()
    }  # fmt: skip
    if name and name not in known:
        raise Refusal("ValidationError", f"AutoScalingGroup name not found - {name}", 400)
    return {
        "Activities": [
            {
                "ActivityId": f"{name}-{number}", "AutoScalingGroupName": name, "Description": "Launching a new EC2 instance.",
                "Cause": "a difference between desired and actual capacity", "StartTime": at, "EndTime": at,
                "StatusCode": "Failed", "StatusMessage": message, "Progress": 100,
            }
            for number, (at, message) in enumerate(_failed.get((call.region, name), []))
        ]
    }  # fmt: skip


@operation("ecs:ListTasks")
def list_tasks(call: Call) -> dict[str, Any] | None:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html: those of a service, 100 a page.

    Those that have stopped are listed, too, for an hour: here one always is.
    """
    cluster, name = call.params.get("cluster", "default"), call.params.get("serviceName")
    if not name:
        return None
    service = ecs_backends[ACCOUNT][call.region].services.get(f"{cluster}:{name}")
    if service is None:
        raise Refusal("ServiceNotFoundException", "Service not found.", 400)
    first = int(call.params.get("nextToken") or 0)
    ends = call.params.get("desiredStatus") == "STOPPED"
    words = [f"stopping-{number}" for number in range(stopping.get(service.arn, 0))] + ["stopped-0"]
    words = words if ends else [str(number) for number in range(service.running_count)]
    arns = [f"arn:aws:ecs:{call.region}:{ACCOUNT}:task/{cluster}/{name}-{word}" for word in words]
    more = {"nextToken": str(first + 100)} if first + 100 < len(arns) else {}
    return {"taskArns": arns[first : first + 100], **more}


@operation("ecs:DescribeTasks")
def describe_tasks(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html: up to 100."""
    if len(call.params["tasks"]) > 100:
        raise Refusal("InvalidParameterException", "Tasks cannot be more than 100.", 400)
    return {
        "tasks": [
            {
                "taskArn": arn,
                "lastStatus": "STOPPED" if "-stopped-" in arn else "STOPPING" if "-stopping-" in arn else "RUNNING",
                "healthStatus": "UNKNOWN",
                "availabilityZone": _zone(call.region, int(arn.rpartition("-")[2])),
            }
            for arn in call.params["tasks"]
        ],
        "failures": [],
    }


@operation("lambda:Invoke")
def invoke(call: Call) -> Answer | None:
    """https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html: what a test set, with the header for an error of the function."""
    name = call.params["FunctionName"]
    if (call.region, name) not in _answers:
        return None
    body, error = _answers[call.region, name]
    sent = call.params.get("Payload") or b"{}"
    _asked.append({"region": call.region, "name": name, "payload": json.loads(sent)})
    headers = [("Content-Type", "application/json"), ("X-Amz-Executed-Version", "$LATEST")]
    headers += [("X-Amz-Function-Error", error)] if error else []
    return Answer(200, headers, body.encode())


@operation("lambda:GetAccountSettings")
def account_settings(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/lambda/latest/api/API_GetAccountSettings.html: what everybody has."""
    limits = {
        "ConcurrentExecutions": 1000,
        "UnreservedConcurrentExecutions": 1000,
        "CodeSizeUnzipped": 262144000,
        "CodeSizeZipped": 52428800,
    }
    return {"AccountLimit": {**limits, "TotalCodeSize": 80530636800}, "AccountUsage": {"FunctionCount": 1, "TotalCodeSize": 1}}
