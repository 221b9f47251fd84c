"""Capacity that takes time, or does not come: EKS node groups, ECS services, Auto Scaling groups, Lambda event source mappings.

Why not moto's: everything has its new size at once, and sizes beyond the limits pass.
Times: ``eks.nodegroup``, ``ecs.service``, ``autoscaling.instances``, ``lambda.mapping``.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from moto.autoscaling.models import autoscaling_backends
from moto.ecs.models import Service, ecs_backends
from moto.eks.models import eks_backends

from tests.aws.emulator.extension.scaling import stopping
from tests.aws.emulator.registry import after, control, later, operation
from tests.aws.emulator.wire import ACCOUNT, Answer, Call, Refusal

_held: set[str] = set()
_lingering: set[str] = set()
_were: dict[tuple[str, str], list[Any]] = {}
_updates: dict[str, dict[str, Any]] = {}
_mappings: dict[str, str] = {}
_running: dict[tuple[str, str], int] = {}


@control
def hold_capacity(region: str, held: bool) -> None:
    """Nothing starts in the region while it is held: launches are throttled, or there is no capacity."""
    if held:
        _held.add(region)
    else:
        _held.discard(region)


@control
def hold_stopping(region: str, held: bool) -> None:
    """What is taken away in the region does not go while it is held: a lifecycle hook waits, tasks have not handled their signal yet."""
    if held:
        _lingering.add(region)
    else:
        _lingering.discard(region)


def _when_there_is_room(what: str, region: str, act: Any, keeps: set[str] = _held) -> None:
    def arrive() -> None:
        if region in keeps:
            later(what, arrive)
        else:
            act()

    later(what, arrive)


def _without_length(answer: Answer, body: dict[str, Any]) -> Answer:
    headers = answer.headers
    return Answer(answer.status, headers, json.dumps(body).encode())


# EKS


@operation("eks:UpdateNodegroupConfig")
def update_nodegroup_config(call: Call) -> dict[str, Any] | None:
    """https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdateNodegroupConfig.html: minSize <= desiredSize <= maxSize."""
    cluster = eks_backends[ACCOUNT][call.region].clusters.get(call.params["clusterName"])
    group = cluster.nodegroups.get(call.params["nodegroupName"]) if cluster else None
    if group is None:
        return None  # moto says it well
    if group.status != "ACTIVE":
        raise Refusal("ResourceInUseException", f"Nodegroup {group.nodegroup_name} is {group.status}", 409)
    size = {**group.scaling_config, **(call.params.get("scalingConfig") or {})}
    if not size["minSize"] <= size["desiredSize"] <= size["maxSize"]:
        text = f"Minimum capacity {size['minSize']} <= desired {size['desiredSize']} <= maximum {size['maxSize']} does not hold"
        raise Refusal("InvalidParameterException", text, 400)
    return None


@after("eks:UpdateNodegroupConfig")
def nodegroup_updated(call: Call, answer: Answer) -> None:
    """Updating, then active."""
    group = eks_backends[ACCOUNT][call.region].clusters[call.params["clusterName"]].nodegroups[call.params["nodegroupName"]]
    update = json.loads(answer.body)["update"]
    _updates[update["id"]] = {**update, "status": "InProgress"}
    group.status = "UPDATING"

    def active() -> None:
        group.status = "ACTIVE"
        _updates[update["id"]]["status"] = "Successful"

    _when_there_is_room("eks.nodegroup", call.region, active, _held if group.scaling_config["desiredSize"] else _lingering)


@operation("eks:DescribeUpdate")
def describe_update(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeUpdate.html"""
    if call.params["updateId"] not in _updates:
        raise Refusal("ResourceNotFoundException", f"No update found for ID: {call.params['updateId']}", 404)
    return {"update": _updates[call.params["updateId"]]}


# ECS


def _service(call: Call) -> Service | None:
    cluster = call.params.get("cluster", "default").rpartition("/")[2]
    name = (call.params.get("service") or call.params.get("serviceName", "")).rpartition("/")[2]
    return ecs_backends[ACCOUNT][call.region].services.get(f"{cluster}:{name}")


@operation("ecs:UpdateService")
def before_update_service(call: Call) -> None:
    """What runs now, before moto changes it."""
    if service := _service(call):
        _running[call.region, service.arn] = service.running_count


@after("ecs:UpdateService")
@after("ecs:CreateService")
def service_updated(call: Call, answer: Answer) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html: tasks are pending, then they run."""
    service = _service(call)
    assert service is not None
    wanted, ran = service.desired_count, _running.get((call.region, service.arn), 0)
    _count(service, min(ran, wanted))
    if ran > wanted:
        stopping[service.arn] = ran - wanted
        _when_there_is_room("ecs.service", call.region, lambda: stopping.pop(service.arn, None), _lingering)
    _when_there_is_room("ecs.service", call.region, lambda: _count(service, wanted))


def _count(service: Service, running: int) -> None:
    service.running_count = running
    service.pending_count = max(0, service.desired_count - running)
    for deployment in service.deployments[:1]:
        deployment.update(desiredCount=service.desired_count, runningCount=running, pendingCount=service.pending_count)
        deployment["rolloutState"] = "COMPLETED" if running == service.desired_count else "IN_PROGRESS"


# Auto Scaling


@operation("autoscaling:SetDesiredCapacity")
def set_desired_capacity(call: Call) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetDesiredCapacity.html"""
    name, wanted = call.params["AutoScalingGroupName"], int(call.params["DesiredCapacity"])
    group = autoscaling_backends[ACCOUNT][call.region].autoscaling_groups.get(name)
    if group is None:
        raise Refusal("ValidationError", "AutoScalingGroup name not found - null", 400)
    if wanted > (group.max_size or 0):
        raise Refusal("ValidationError", f"New SetDesiredCapacity value {wanted} is above max value {group.max_size} for the group.", 400)
    if wanted < (group.min_size or 0):
        raise Refusal("ValidationError", f"New SetDesiredCapacity value {wanted} is below min value {group.min_size} for the group.", 400)
    _were[call.region, name] = list(group.instance_states)


_OURS = "emulated"
"""What this file adds to moto's instance: it was started here already."""


@after("autoscaling:SetDesiredCapacity")
def instances_stopped(call: Call, answer: Answer) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html: what is taken away is terminating first."""
    name = call.params["AutoScalingGroupName"]
    group = autoscaling_backends[ACCOUNT][call.region].autoscaling_groups[name]
    for state in (state for state in _were.pop((call.region, name), ()) if state not in group.instance_states):
        state.lifecycle_state = "Terminating:Wait"
        group.instance_states.append(state)
        gone = partial(_drop, group, state)
        _when_there_is_room("autoscaling.instances", call.region, gone, _lingering)


def _drop(group: Any, state: Any) -> None:
    group.instance_states = [one for one in group.instance_states if one is not state]


@after("autoscaling:SetDesiredCapacity")
@after("autoscaling:UpdateAutoScalingGroup")
def instances_started(call: Call, answer: Answer) -> None:
    """New instances are pending, then in service."""
    group = autoscaling_backends[ACCOUNT][call.region].autoscaling_groups[call.params["AutoScalingGroupName"]]
    for state in group.instance_states:
        if getattr(state, _OURS, None) is None:
            setattr(state, _OURS, True)
            state.lifecycle_state = "Pending"
            _when_there_is_room("autoscaling.instances", call.region, lambda state=state: setattr(state, "lifecycle_state", "InService"))


@after("autoscaling:CreateAutoScalingGroup")
def group_created(call: Call, answer: Answer) -> None:
    """What a group starts with is in service: the platform was there before."""
    group = autoscaling_backends[ACCOUNT][call.region].autoscaling_groups[call.params["AutoScalingGroupName"]]
    for state in group.instance_states:
        setattr(state, _OURS, True)


# Lambda


@operation("lambda:UpdateEventSourceMapping")
def update_event_source_mapping(call: Call) -> None:
    """https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html: refused while an update is in progress."""
    if call.params["UUID"] in _mappings:
        raise Refusal("ResourceInUseException", "The event source mapping is being updated", 400)


@after("lambda:UpdateEventSourceMapping")
def mapping_updated(call: Call, answer: Answer) -> Answer:
    """Enabling or disabling, then enabled or disabled."""
    shown, identifier = json.loads(answer.body), call.params["UUID"]
    if "Enabled" in call.params:
        shown["State"] = _mappings[identifier] = "Enabling" if call.params["Enabled"] else "Disabling"

        def done() -> None:
            del _mappings[identifier]

        later("lambda.mapping", done)
    return _without_length(answer, shown)


@after("lambda:GetEventSourceMapping")
def get_event_source_mapping(call: Call, answer: Answer) -> Answer:
    """https://docs.aws.amazon.com/lambda/latest/api/API_GetEventSourceMapping.html"""
    shown = json.loads(answer.body)
    shown["State"] = _mappings.get(shown["UUID"], shown["State"])
    return _without_length(answer, shown)


@after("lambda:ListEventSourceMappings")
def list_event_source_mappings(call: Call, answer: Answer) -> Answer:
    """https://docs.aws.amazon.com/lambda/latest/api/API_ListEventSourceMappings.html"""
    shown = json.loads(answer.body)
    for one in shown["EventSourceMappings"]:
        one["State"] = _mappings.get(one["UUID"], one["State"])
    return _without_length(answer, shown)
