"""Routing controls of Application Recovery Controller: configuration (us-west-2) and the five endpoints of a cluster. Moto has neither.

https://docs.aws.amazon.com/recovery-cluster/latest/api/ (the API) and
https://docs.aws.amazon.com/r53recovery/latest/dg/routing-control.html (safety rules, overriding them, five endpoints).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.aws.emulator.proxy_names import ARC_ENDPOINTS
from tests.aws.emulator.registry import control, operation
from tests.aws.emulator.wire import ACCOUNT, Call, Refusal

CONFIG_REGION = "us-west-2"
PREFIX = f"arn:aws:route53-recovery-control::{ACCOUNT}"
Reader = Callable[[dict[str, Any]], dict[str, Any]]
CONFIG = "route53-recovery-control-config"


@dataclass
class Control:
    """A switch."""

    arn: str
    panel: str
    name: str
    state: str = "Off"


@dataclass
class Rule:
    """A safety rule: of ``controls`` (for a gating rule: if ``gates`` say so) at least/all/one must be On, or not."""

    arn: str
    panel: str
    name: str
    kind: str
    controls: list[str]
    config: dict[str, Any]
    gates: list[str] = field(default_factory=list)
    wait_ms: int = 5000


_clusters: dict[str, str] = {}  # ARN → name
_panels: dict[str, tuple[str, str, bool]] = {}  # ARN → cluster, name, default
_controls: dict[str, Control] = {}
_rules: dict[str, Rule] = {}
_endpoints: dict[str, str] = {}


@control
def set_cluster_endpoints(endpoints: dict[str, str]) -> None:
    """Where the five endpoints are reached."""
    _endpoints.update(endpoints)


def state(arn: str) -> str:
    """``On`` or ``Off``; Off for a control that is gone."""
    return _controls[arn].state if arn in _controls else "Off"


def _known(table: dict[str, Any], arn: str, what: str) -> Any:
    if arn not in table:
        raise Refusal("ResourceNotFoundException", f"{what} {arn} was not found.", 404, resourceId=arn, resourceType=what)
    return table[arn]


# configuration: one region only


def config(name: str) -> Callable[[Reader], Reader]:
    """An operation of the configuration, refused outside us-west-2."""

    def register(handler: Reader) -> Reader:
        def answer(call: Call) -> dict[str, Any]:
            if call.region != CONFIG_REGION:
                raise Refusal("AccessDeniedException", f"{CONFIG} is served in {CONFIG_REGION} only, not in {call.region}.", 403)
            return handler(call.params)

        operation(f"{CONFIG}:{name}")(answer)
        return handler

    return register


def _cluster(arn: str) -> dict[str, Any]:
    endpoints = [{"Endpoint": _endpoints[region], "Region": region} for region in ARC_ENDPOINTS]
    return {"ClusterArn": arn, "Name": _clusters[arn], "Status": "DEPLOYED", "ClusterEndpoints": endpoints, "Owner": ACCOUNT}


@config("CreateCluster")
def create_cluster(params: dict[str, Any]) -> dict[str, Any]:
    """A cluster with its default control panel."""
    arn = f"{PREFIX}:cluster/{uuid.uuid4()}"
    _clusters[arn] = params["ClusterName"]
    _panels[f"{PREFIX}:controlpanel/{uuid.uuid4().hex}"] = (arn, "DefaultControlPanel", True)
    return {"Cluster": _cluster(arn)}


@config("DescribeCluster")
def describe_cluster(params: dict[str, Any]) -> dict[str, Any]:
    """A cluster, with its endpoints."""
    _known(_clusters, params["ClusterArn"], "Cluster")
    return {"Cluster": _cluster(params["ClusterArn"])}


@config("ListClusters")
def list_clusters(params: dict[str, Any]) -> dict[str, Any]:
    """All clusters."""
    return {"Clusters": [_cluster(arn) for arn in _clusters]}


def _panel(arn: str) -> dict[str, Any]:
    cluster, name, default = _panels[arn]
    count = sum(one.panel == arn for one in _controls.values())
    return {
        "ControlPanelArn": arn, "ClusterArn": cluster, "Name": name, "DefaultControlPanel": default, "RoutingControlCount": count,
        "Status": "DEPLOYED", "Owner": ACCOUNT,
    }  # fmt: skip


@config("CreateControlPanel")
def create_control_panel(params: dict[str, Any]) -> dict[str, Any]:
    """A control panel."""
    _known(_clusters, params["ClusterArn"], "Cluster")
    arn = f"{PREFIX}:controlpanel/{uuid.uuid4().hex}"
    _panels[arn] = (params["ClusterArn"], params["ControlPanelName"], False)
    return {"ControlPanel": _panel(arn)}


@config("DescribeControlPanel")
def describe_control_panel(params: dict[str, Any]) -> dict[str, Any]:
    """A control panel."""
    _known(_panels, params["ControlPanelArn"], "ControlPanel")
    return {"ControlPanel": _panel(params["ControlPanelArn"])}


@config("ListControlPanels")
def list_control_panels(params: dict[str, Any]) -> dict[str, Any]:
    """All control panels of a cluster."""
    wanted = params.get("ClusterArn")
    return {"ControlPanels": [_panel(arn) for arn, (cluster, *_) in _panels.items() if wanted in (None, cluster)]}


def _routing_control(one: Control) -> dict[str, Any]:
    return {"RoutingControlArn": one.arn, "ControlPanelArn": one.panel, "Name": one.name, "Status": "DEPLOYED", "Owner": ACCOUNT}


@config("CreateRoutingControl")
def create_routing_control(params: dict[str, Any]) -> dict[str, Any]:
    """A routing control, Off."""
    default = next(arn for arn, (cluster, _, default) in _panels.items() if cluster == params["ClusterArn"] and default)
    panel = params.get("ControlPanelArn", default)
    _known(_panels, panel, "ControlPanel")
    one = Control(f"{panel}/routingcontrol/{uuid.uuid4().hex[:16]}", panel, params["RoutingControlName"])
    _controls[one.arn] = one
    return {"RoutingControl": _routing_control(one)}


@config("DescribeRoutingControl")
def describe_routing_control(params: dict[str, Any]) -> dict[str, Any]:
    """A routing control, without its state."""
    return {"RoutingControl": _routing_control(_known(_controls, params["RoutingControlArn"], "RoutingControl"))}


@config("ListRoutingControls")
def list_configured_controls(params: dict[str, Any]) -> dict[str, Any]:
    """All routing controls of a control panel."""
    _known(_panels, params["ControlPanelArn"], "ControlPanel")
    return {"RoutingControls": [_routing_control(one) for one in _controls.values() if one.panel == params["ControlPanelArn"]]}


def _rule(one: Rule) -> dict[str, Any]:
    common = {
        "SafetyRuleArn": one.arn, "ControlPanelArn": one.panel, "Name": one.name, "RuleConfig": one.config, "WaitPeriodMs": one.wait_ms,
        "Status": "DEPLOYED", "Owner": ACCOUNT,
    }  # fmt: skip
    if one.kind == "ASSERTION":
        return {**common, "AssertedControls": one.controls}
    return {**common, "TargetControls": one.controls, "GatingControls": one.gates}


@config("CreateSafetyRule")
def create_safety_rule(params: dict[str, Any]) -> dict[str, Any]:
    """An assertion rule or a gating rule."""
    kind, asked = next((kind, params[key]) for kind, key in (("ASSERTION", "AssertionRule"), ("GATING", "GatingRule")) if key in params)
    controls = asked["AssertedControls"] if kind == "ASSERTION" else asked["TargetControls"]
    for arn in controls:
        _known(_controls, arn, "RoutingControl")
    arn = f"{asked['ControlPanelArn']}/safetyrule/{uuid.uuid4().hex[:16]}"
    wait, gates = asked["WaitPeriodMs"], asked.get("GatingControls", [])
    _rules[arn] = rule = Rule(arn, asked["ControlPanelArn"], asked["Name"], kind, controls, asked["RuleConfig"], gates, wait)
    return {"AssertionRule" if kind == "ASSERTION" else "GatingRule": _rule(rule)}


@config("ListSafetyRules")
def list_safety_rules(params: dict[str, Any]) -> dict[str, Any]:
    """All safety rules of a control panel."""
    return {"SafetyRules": [{one.kind: _rule(one)} for one in _rules.values() if one.panel == params["ControlPanelArn"]]}


@config("DescribeSafetyRule")
def describe_safety_rule(params: dict[str, Any]) -> dict[str, Any]:
    """A safety rule."""
    one: Rule = _known(_rules, params["SafetyRuleArn"], "SafetyRule")
    return {"AssertionRule" if one.kind == "ASSERTION" else "GatingRule": _rule(one)}


@config("ListTagsForResource")
def list_tags(params: dict[str, Any]) -> dict[str, Any]:
    """None."""
    return {"Tags": {}}


# the cluster: five endpoints, one state


def _at_an_endpoint(call: Call) -> None:
    if call.region not in ARC_ENDPOINTS:
        raise Refusal("EndpointTemporarilyUnavailableException", f"No endpoint of a cluster is in {call.region}.", 503)


@operation("route53-recovery-cluster:GetRoutingControlState")
def get_routing_control_state(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/routing-control/latest/APIReference/API_GetRoutingControlState.html"""
    _at_an_endpoint(call)
    one: Control = _known(_controls, call.params["RoutingControlArn"], "RoutingControl")
    return {"RoutingControlArn": one.arn, "RoutingControlState": one.state, "RoutingControlName": one.name}


@operation("route53-recovery-cluster:ListRoutingControls")
def list_routing_controls(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/routing-control/latest/APIReference/API_ListRoutingControls.html"""
    _at_an_endpoint(call)
    panel = call.params.get("ControlPanelArn")
    found = [one for one in _controls.values() if panel in (None, one.panel)]
    return {
        "RoutingControls": [
            {
                "ControlPanelArn": one.panel, "ControlPanelName": _panels[one.panel][1], "RoutingControlArn": one.arn,
                "RoutingControlName": one.name, "RoutingControlState": one.state, "Owner": ACCOUNT,
            }
            for one in found
        ]
    }  # fmt: skip


@operation("route53-recovery-cluster:UpdateRoutingControlState")
def update_routing_control_state(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/routing-control/latest/APIReference/API_UpdateRoutingControlState.html"""
    _at_an_endpoint(call)
    _update([call.params], call.params.get("SafetyRulesToOverride", []))
    return {}


@operation("route53-recovery-cluster:UpdateRoutingControlStates")
def update_routing_control_states(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/routing-control/latest/APIReference/API_UpdateRoutingControlStates.html: all or none of them."""
    _at_an_endpoint(call)
    _update(call.params["UpdateRoutingControlStateEntries"], call.params.get("SafetyRulesToOverride", []))
    return {}


def _update(entries: list[dict[str, str]], override: list[str]) -> None:
    wanted = {arn: one.state for arn, one in _controls.items()}
    for entry in entries:
        if entry["RoutingControlState"] not in ("On", "Off"):
            raise Refusal("ValidationException", "RoutingControlState must be On or Off.", 400, reason="FIELD_VALIDATION_FAILED")
        _known(_controls, entry["RoutingControlArn"], "RoutingControl")
        wanted[entry["RoutingControlArn"]] = entry["RoutingControlState"]
    for arn in override:
        _known(_rules, arn, "SafetyRule")
    changed = {arn for arn, state in wanted.items() if state != _controls[arn].state}
    for rule in _rules.values():
        if rule.arn not in override and _forbids(rule, wanted, changed):
            text = f"Safety rule {rule.name} ({rule.arn}) isn't met by the requested routing control states."
            raise Refusal("ConflictException", text, 409, resourceId=rule.arn, resourceType="SafetyRule")
    for arn, state in wanted.items():
        _controls[arn].state = state


def _forbids(rule: Rule, wanted: dict[str, str], changed: set[str]) -> bool:
    """An assertion rule looks at the controls it names; a gating rule lets its targets change only while its gates are met."""
    looked_at = rule.controls if rule.kind == "ASSERTION" else rule.gates
    if not changed & set(rule.controls):
        return False
    on = sum(wanted[arn] == "On" for arn in looked_at)
    needed = {"AND": len(looked_at), "OR": 1, "ATLEAST": int(rule.config.get("Threshold", 1))}[rule.config["Type"]]
    return (on >= needed) == bool(rule.config.get("Inverted", False))
