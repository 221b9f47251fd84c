"""``aws.arc-routing-control`` against the emulated cluster: five endpoints rotated, one atomic flip, safety rules and the way over them."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from dr.engine.planner import make_plan
from dr.errors import EffectUnknown, Permanent, Transient, UsageError
from dr.model.evidence import Redirected
from dr.model.lag import ComponentView
from dr.model.plan import Acceptance
from dr.model.runbook import Component, KindConfig, Objectives, Runbook
from dr.model.words import Guard, Intent, Role, Severity, Verb
from dr.ports import Look
from dr.providers import registry
from dr.providers.aws.route53 import Route53Records
from dr.providers.aws.routing_control import RoutingControl
from tests.aws.emulator import ARC_ENDPOINTS, Emulator
from tests.aws.rig import Rig
from tests.aws.test_route53 import SAID

CONFIG = "route53-recovery-control-config"
FLIP, STATE = "UpdateRoutingControlStates", "GetRoutingControlState"


class Cluster:
    """A cluster of one test, with a control for each region; east's is On."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.config = emulator.client(CONFIG, "us-west-2")
        self.cluster = self.config.create_cluster(ClusterName=uuid4().hex)["Cluster"]["ClusterArn"]
        panel = self.config.create_control_panel(ClusterArn=self.cluster, ControlPanelName=uuid4().hex)
        self.panel = panel["ControlPanel"]["ControlPanelArn"]
        self.east, self.west = self._control("east"), self._control("west")
        self.set(self.east, "On")

    def _control(self, name: str) -> str:
        made = self.config.create_routing_control(ClusterArn=self.cluster, ControlPanelArn=self.panel, RoutingControlName=name)
        return str(made["RoutingControl"]["RoutingControlArn"])

    def set(self, control: str, state: str) -> None:
        client = self.emulator.client("route53-recovery-cluster", "us-west-2")
        client.update_routing_control_state(RoutingControlArn=control, RoutingControlState=state)

    def rule(self) -> str:
        """No change may leave west On and east Off: both must be On, always."""
        rule = {
            "ControlPanelArn": self.panel, "Name": uuid4().hex, "AssertedControls": [self.east], "WaitPeriodMs": 0,
            "RuleConfig": {"Type": "ATLEAST", "Threshold": 1, "Inverted": False},
        }  # fmt: skip
        return str(self.config.create_safety_rule(AssertionRule=rule)["AssertionRule"]["SafetyRuleArn"])

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {
            "endpoints": {code: self.emulator.endpoint_of(code) for code in ARC_ENDPOINTS},
            "regions": {"east": {"control": self.east}, "west": {"control": self.west}}, "ttl": "1s", "takes": "1s", **changes,
        }  # fmt: skip


@pytest.fixture
def cluster(emulator: Emulator) -> Cluster:
    return Cluster(emulator)


def facts(view: ComponentView, severity: Severity) -> str:
    return " | ".join(finding.fact for finding in view.findings if finding.severity is severity)


def led(view: ComponentView) -> str | None:
    return next((region for region, seen in view.regions.items() if seen.role is Role.PRIMARY), None)


def test_the_registry_knows_it() -> None:
    assert registry.find("aws.arc-routing-control") is RoutingControl


def test_settings_that_contradict_each_other_are_refused(rig: Rig, cluster: Cluster) -> None:
    same = {"east": {"control": cluster.east}, "west": {"control": cluster.east}}
    with pytest.raises(UsageError, match="both have"):
        rig.make(RoutingControl, "traffic", cluster.settings(regions=same))
    unfit: tuple[dict[str, Any], ...] = ({"endpoints": {}}, {"endpoints": {"us-west-2": "host"}}, {"override_safety_rules": ["all"]})
    for wrong in unfit:
        with pytest.raises(ValidationError):
            rig.make(RoutingControl, "traffic", cluster.settings(**wrong))


def test_there_and_back_in_one_atomic_call_each(rig: Rig, cluster: Cluster, emulator: Emulator) -> None:
    traffic = rig.make(RoutingControl, "traffic", cluster.settings())
    view = traffic.view()
    assert led(view) == "east" and facts(view, Severity.WARNING) == ""
    steps = traffic.steps(Intent.FAILOVER, "east", "west")
    assert [step.spec.verb for step in steps] == [Verb.REDIRECT, Verb.PROPAGATE]
    with emulator.counted() as made:
        assert {seen.look for seen in rig.run(traffic, Intent.FAILOVER)} == {Look.DONE}
    assert len([call for call in made if call.operation == FLIP]) == 1
    assert rig.undeclared(steps, made) == set()
    assert led(traffic.view()) == "west"
    done = next(item for item in rig.evidence if isinstance(item, Redirected))
    assert done.region == "west"
    with emulator.counted() as made:
        assert rig.perform(rig.step(traffic, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER).look is Look.DONE
    assert {call.operation for call in made} == {STATE}
    rig.run(traffic, Intent.FAILBACK, "west", "east")
    assert led(traffic.view()) == "east"
    assert traffic.steps(Intent.REPROTECT, "east", "west") == ()


def test_an_undo_is_one_call_too(rig: Rig, cluster: Cluster, emulator: Emulator) -> None:
    traffic = rig.make(RoutingControl, "traffic", cluster.settings())
    redirect = rig.step(traffic, Intent.SWITCHOVER, Verb.REDIRECT)
    assert redirect.spec.undoable
    rig.perform(redirect, Intent.SWITCHOVER)
    with emulator.counted() as made:
        redirect.operation.undo(rig.context(redirect, Intent.SWITCHOVER))
        redirect.operation.undo(rig.context(redirect, Intent.SWITCHOVER))
    assert len([call for call in made if call.operation == FLIP]) == 1
    assert led(traffic.view()) == "east"


def test_two_dead_endpoints_and_a_dead_us_east_1_keep_nobody(rig: Rig, cluster: Cluster, emulator: Emulator) -> None:
    for code in ("us-east-1", "eu-west-1"):
        emulator.lose(code)
    try:
        traffic = rig.make(RoutingControl, "traffic", cluster.settings())
        began = rig.clock.monotonic()
        assert rig.perform(rig.step(traffic, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER).look is Look.DONE
        assert rig.clock.monotonic() - began < 5.0
        view = traffic.view()
        assert led(view) == "west" and "3 of 5 endpoints answer" in facts(view, Severity.WARNING)
    finally:
        emulator.bring_back("eu-west-1")


def test_whoever_answered_is_asked_first_and_the_lost_region_last(rig: Rig, cluster: Cluster, emulator: Emulator) -> None:
    traffic = rig.make(RoutingControl, "traffic", cluster.settings())
    assert traffic.cluster.order("us-east-1")[-1] == "us-east-1"
    emulator.fault("us-west-2", "refusal", "route53-recovery-cluster:*", code="EndpointTemporarilyUnavailableException", status=503)
    redirect = rig.step(traffic, Intent.FAILOVER, Verb.REDIRECT)
    with emulator.counted() as made:
        rig.perform(redirect, Intent.FAILOVER)
    asked = [call.proxy for call in made if call.operation == STATE]
    assert set(asked) == {"us-west-2", traffic.cluster.order()[0]} and asked[-1] == traffic.cluster.order()[0] != "us-west-2"
    assert [call.proxy for call in made if call.operation == FLIP] == [asked[-1]]


def test_an_endpoint_that_refuses_an_act_did_nothing_and_the_next_one_is_tried(rig: Rig, cluster: Cluster, emulator: Emulator) -> None:
    traffic = rig.make(RoutingControl, "traffic", cluster.settings())
    first = traffic.cluster.order("us-east-1")[0]
    emulator.fault(
        first, "refusal", f"route53-recovery-cluster:{FLIP}", times=1, code="EndpointTemporarilyUnavailableException", status=503
    )
    with emulator.counted() as made:
        assert rig.perform(rig.step(traffic, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER).look is Look.DONE
    proxies = [call.proxy for call in made if call.operation == FLIP]
    assert proxies[0] == first and len(proxies) == len(set(proxies)) == 2


def test_a_lost_answer_is_read_elsewhere_before_anything_is_sent_again(rig: Rig, cluster: Cluster, emulator: Emulator) -> None:
    traffic = rig.make(RoutingControl, "traffic", cluster.settings())
    redirect = rig.step(traffic, Intent.FAILOVER, Verb.REDIRECT)
    first = traffic.cluster.order("us-east-1")[0]
    emulator.fault(first, "lost-answer", f"route53-recovery-cluster:{FLIP}", times=1)
    with pytest.raises(EffectUnknown):
        rig.perform(redirect, Intent.FAILOVER)
    with emulator.counted() as made:
        assert rig.perform(redirect, Intent.FAILOVER).look is Look.DONE
    assert {call.operation for call in made} == {STATE} and first not in {call.proxy for call in made}


def test_a_safety_rule_refuses_and_a_named_person_goes_over_it(rig: Rig, cluster: Cluster, emulator: Emulator) -> None:
    rule = cluster.rule()
    bare = rig.make(RoutingControl, "traffic", cluster.settings())
    with pytest.raises(Permanent) as refused:
        rig.perform(rig.step(bare, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER)
    assert "ConflictException" in refused.value.message and rule in refused.value.message
    assert "override_safety_rules" in refused.value.hint and "SafetyRulesToOverride" in refused.value.hint
    assert led(bare.view()) == "east"
    traffic = rig.make(RoutingControl, "traffic", cluster.settings(override_safety_rules=[rule]))
    redirect = rig.step(traffic, Intent.FAILOVER, Verb.REDIRECT)
    with pytest.raises(Permanent) as refused:
        rig.perform(redirect, Intent.FAILOVER)
    assert refused.value.hint == "dr resume run-1 --accept prerequisites --reason TEXT"
    rig.acceptances = (Acceptance(guard=Guard.PREREQUISITES, actor="lead", reason="east burns", at=rig.clock.now()),)
    assert rig.perform(redirect, Intent.FAILOVER).look is Look.DONE
    assert any(rule in getattr(item, "text", "") for item in rig.evidence) and led(traffic.view()) == "west"
    assert "may be overridden" in facts(traffic.view(), Severity.INFO)


def test_the_override_is_sent_only_after_a_refusal(tmp_path: Path) -> None:
    alone = Rig(tmp_path)
    panel = "arn:aws:route53-recovery-control::123456789012:controlpanel/0123456789abcdef"
    rule = f"{panel}/safetyrule/aaaa"
    regions = {"east": {"control": f"{panel}/routingcontrol/e1"}, "west": {"control": f"{panel}/routingcontrol/f1"}}
    settings = {"endpoints": {"us-west-2": "https://cluster.example.com/v1"}, "regions": regions, "override_safety_rules": [rule]}
    traffic = alone.make(RoutingControl, "traffic", settings)
    place = traffic.cluster.place("us-west-2", alone.aws.place("west"))
    from botocore.stub import Stubber

    reads, acts = (Stubber(alone.aws.clients.of(place, "route53-recovery-cluster", act=act)) for act in (False, True))
    entries = [
        {"RoutingControlArn": regions["west"]["control"], "RoutingControlState": "On"},
        {"RoutingControlArn": regions["east"]["control"], "RoutingControlState": "Off"},
    ]
    for before in (("Off", "On"), ("On", "Off")):
        for region, state in zip(("west", "east"), before, strict=True):
            answer = {"RoutingControlArn": regions[region]["control"], "RoutingControlState": state}
            reads.add_response("get_routing_control_state", answer, {"RoutingControlArn": regions[region]["control"]})
    acts.add_client_error(
        "update_routing_control_states", "ConflictException", "rule", 409, expected_params={"UpdateRoutingControlStateEntries": entries}
    )
    acts.add_response("update_routing_control_states", {}, {"UpdateRoutingControlStateEntries": entries, "SafetyRulesToOverride": [rule]})
    alone.acceptances = (Acceptance(guard=Guard.PREREQUISITES, actor="lead", reason="east burns", at=alone.clock.now()),)
    with reads, acts:
        assert alone.perform(alone.step(traffic, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER).look is Look.DONE
        acts.assert_no_pending_responses()
    alone.close()


@pytest.mark.parametrize(("count", "severity"), [(4, Severity.WARNING), (2, Severity.ERROR)])
def test_fewer_than_five_endpoints_are_a_finding(rig: Rig, cluster: Cluster, count: int, severity: Severity) -> None:
    endpoints = dict(list(cluster.settings()["endpoints"].items())[-count:])
    view = rig.make(RoutingControl, "traffic", cluster.settings(endpoints=endpoints)).view()
    assert f"{count} of the cluster's five endpoints" in facts(view, severity)


def test_nobody_or_both_on_is_a_finding_and_no_primary(rig: Rig, cluster: Cluster) -> None:
    traffic = rig.make(RoutingControl, "traffic", cluster.settings())
    for control, state, told in (
        (cluster.west, "On", "both are On"),
        (cluster.west, "Off", ""),
        (cluster.east, "Off", "no routing control is On"),
    ):
        cluster.set(control, state)
        view = traffic.view()
        assert told in facts(view, Severity.WARNING) and (led(view) is None) == bool(told)


def test_no_endpoint_at_all_is_told_and_keeps_nobody_from_moving(rig: Rig, cluster: Cluster, emulator: Emulator) -> None:
    traffic = rig.make(RoutingControl, "traffic", cluster.settings())
    for code in ARC_ENDPOINTS:
        emulator.lose(code)
    try:
        began = rig.clock.monotonic()
        view = traffic.view()
        assert rig.clock.monotonic() - began < 4.0
        assert view.regions == {} and "not reachable" in facts(view, Severity.WARNING)
        with pytest.raises(Transient, match="none of the 5 endpoints"):
            rig.perform(rig.step(traffic, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER)
    finally:
        for code in ARC_ENDPOINTS:
            emulator.bring_back(code)


def test_what_it_touches_and_how_to_do_it_by_hand(rig: Rig, cluster: Cluster) -> None:
    traffic = rig.make(RoutingControl, "traffic", cluster.settings())
    redirect = rig.step(traffic, Intent.FAILOVER, Verb.REDIRECT)
    assert {touch.region for touch in redirect.spec.touches} == set(ARC_ENDPOINTS)
    assert all(touch.plane == "data" and touch.tried for touch in redirect.spec.touches)
    rights = {right.partition(" on ")[2] for right in redirect.spec.permissions}
    assert rights == {cluster.east, cluster.west}
    assert redirect.spec.by_hand.count("aws route53-recovery-cluster update-routing-control-states") == 5
    assert redirect.spec.by_hand.count("--endpoint-url") == 5 and "us-east-1" in redirect.spec.by_hand.splitlines()[-1]


def test_a_plan_has_all_stamps_of_the_recovery_time(rig: Rig, cluster: Cluster) -> None:
    """traffic/redirect → traffic/propagate → names/verify-outside: what ``dr.report.timing`` cuts the RTA by."""
    traffic = rig.make(RoutingControl, "traffic", cluster.settings())
    settings = {
        "zone": "Z123", "names": ["app.example.com"], "mode": "prepared", "flipped_by": "traffic", "probe": {},
        "regions": {"east": {"values": ["192.0.2.1"]}, "west": {"values": ["198.51.100.1"]}},
    }  # fmt: skip
    names = rig.make(Route53Records, "names", settings, ["traffic"])
    objectives = Objectives(rto=timedelta(hours=1), rpo=timedelta(minutes=15))
    parts = {
        "traffic": Component(name="traffic", kind=traffic.kind, config=KindConfig()),
        "names": Component(name="names", kind=names.kind, needs=("traffic",), config=KindConfig()),
    }
    runbook = Runbook(
        api_version="dr/v1", name="test", regions=dict(rig.site.regions), home="east", objectives=objectives, components=parts,
        path="test.yaml", base=str(rig.site.base), sha256="0" * 64,
    )  # fmt: skip
    chains = {name: peer.steps(Intent.FAILOVER, "east", "west") for name, peer in rig.peers.items()}
    plan = make_plan(runbook, chains, Intent.FAILOVER, "east", "west").plan
    assert plan.critical_path == ("traffic/redirect", "traffic/propagate", "names/verify-outside")


def test_every_step_says_what_it_touches_may_and_how_to_do_it_by_hand(rig: Rig, cluster: Cluster) -> None:
    for intent in Intent:
        for step in rig.make(RoutingControl, "traffic", cluster.settings()).steps(intent, "east", "west"):
            assert [name for name in SAID if not getattr(step.spec, name)] == [], step.spec.id
            for command in (step.spec.by_hand, step.spec.check_by_hand):
                assert subprocess.run(["bash", "-n", "-c", command], capture_output=True).returncode == 0, command
