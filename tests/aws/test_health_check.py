"""``aws.route53-health-check`` against the emulated AWS: switches in the other region, and the edit of a check as a fallback."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from dr.errors import EffectUnknown, Permanent, Transient, UsageError
from dr.model.evidence import Redirected
from dr.model.lag import ComponentView
from dr.model.words import Intent, Role, Severity, Verb
from dr.ports import Look
from dr.providers import registry
from dr.providers.aws.health_check import HealthCheck
from dr.providers.aws.health_check.kind import Seen
from dr.providers.aws.health_check.switch import State
from dr.providers.aws.route53 import Route53Records
from tests.aws.emulator import Emulator
from tests.aws.names import name_server, of_zone
from tests.aws.rig import CODES, Rig
from tests.aws.test_route53 import SAID, Zone

OBJECT = {"Type": "HTTPS_STR_MATCH", "SearchString": "AWAY", "Inverted": True, "ResourcePath": "/east"}


class Made:
    """Checks and a bucket of one test."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator, self.bucket = emulator, f"t{uuid4().hex[:8]}"
        emulator.control("set_route53_rate", a_second=0)
        self.client = emulator.client("route53", "us-east-1")
        self.s3 = emulator.client("s3", CODES["west"])
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": CODES["west"]})

    def check(self, **config: Any) -> str:
        settings = {"Type": "HTTPS", "FullyQualifiedDomainName": "app.example.com", "Port": 443, **config}
        made = self.client.create_health_check(CallerReference=uuid4().hex, HealthCheckConfig=settings)["HealthCheck"]
        return str(made["Id"])

    def both(self, check: str) -> tuple[bool, bool]:
        config = self.client.get_health_check(HealthCheckId=check)["HealthCheck"]["HealthCheckConfig"]
        return bool(config.get("Disabled")), bool(config.get("Inverted"))

    def write(self, text: str, key: str = "east") -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode())

    def says(self, key: str = "east") -> str:
        return str(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode())

    def edited(self, **config: Any) -> dict[str, Any]:
        return {"regions": {"east": {"health_check": self.check(**config)}, "west": {}}, "ttl": "1s", "takes": "1s"}

    def by_object(self, **config: Any) -> dict[str, Any]:
        self.write("HERE")
        switch = {"in_region": "west", "bucket": self.bucket, "key": "east"}
        east = {"health_check": self.check(**{**OBJECT, **config}), "object": switch}
        return {"regions": {"east": east, "west": {}}, "ttl": "1s", "takes": "1s"}

    def by_metric(self) -> dict[str, Any]:
        switch = {"in_region": "west", "namespace": f"dr/{self.bucket}", "name": "away", "dimensions": {"of": "east"}, "periods": 3}
        return {"regions": {"east": {"health_check": self.check(), "metric": switch}, "west": {}}, "ttl": "1s", "takes": "1s"}


@pytest.fixture
def made(emulator: Emulator) -> Made:
    return Made(emulator)


def facts(view: ComponentView, severity: Severity) -> str:
    return " | ".join(finding.fact for finding in view.findings if finding.severity is severity)


def led(view: ComponentView) -> str | None:
    return next((region for region, seen in view.regions.items() if seen.role is Role.PRIMARY), None)


def test_the_registry_knows_it() -> None:
    assert registry.find("aws.route53-health-check") is HealthCheck


def test_a_switch_that_is_lost_with_its_region_is_refused(rig: Rig, made: Made) -> None:
    settings = made.by_object()
    for wrong in ("east", "north"):
        east = {**settings["regions"]["east"], "object": {**settings["regions"]["east"]["object"], "in_region": wrong}}
        with pytest.raises(ValidationError, match="expected the other region"):
            rig.make(HealthCheck, "traffic", {**settings, "regions": {"east": east, "west": {}}})
    with pytest.raises(ValidationError, match="expected health_check"):
        rig.make(HealthCheck, "traffic", {"regions": {"east": {}, "west": {}}})
    with pytest.raises(UsageError):
        rig.make(HealthCheck, "traffic", {"regions": {"east": {"health_check": "abc"}, "north": {}}})


@pytest.mark.parametrize("sort", ["edited", "by_object", "by_metric"])
def test_there_and_back(rig: Rig, made: Made, emulator: Emulator, sort: str) -> None:
    traffic = rig.make(HealthCheck, "traffic", getattr(made, sort)())
    assert led(traffic.view()) == "east"
    steps = traffic.steps(Intent.FAILOVER, "east", "west")
    assert [step.spec.verb for step in steps] == [Verb.REDIRECT, Verb.PROPAGATE] and all(step.spec.by_hand for step in steps)
    with emulator.counted() as calls:
        assert {seen.look for seen in rig.run(traffic, Intent.FAILOVER)} == {Look.DONE}
    assert rig.undeclared(steps, calls) == set()
    assert led(traffic.view()) == "west"
    done = next(item for item in rig.evidence if isinstance(item, Redirected))
    assert (done.region, done.old_ttl) == ("west", timedelta(seconds=1))
    with emulator.counted() as calls:
        again = rig.perform(rig.step(traffic, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER)
    assert again.look is Look.DONE
    assert not {call.operation for call in calls} & {"UpdateHealthCheck", "PutObject", "PutMetricData"}
    if sort != "by_metric":  # of a minute that has both values the greater one counts
        rig.run(traffic, Intent.FAILBACK, "west", "east")
        assert led(traffic.view()) == "east"
    assert traffic.steps(Intent.REPROTECT, "east", "west") == ()


def test_forced_unhealthy_is_both_settings_in_one_call_never_one_alone(rig: Rig, made: Made, emulator: Emulator) -> None:
    settings = made.edited()
    check = settings["regions"]["east"]["health_check"]
    traffic = rig.make(HealthCheck, "traffic", settings)
    redirect = rig.step(traffic, Intent.FAILOVER, Verb.REDIRECT)
    with emulator.counted() as calls:
        rig.perform(redirect, Intent.FAILOVER)
    assert len([call for call in calls if call.operation == "UpdateHealthCheck"]) == 1
    assert made.both(check) == (True, True)
    redirect.operation.undo(rig.context(redirect, Intent.FAILOVER))
    assert made.both(check) == (False, False)
    assert "--disabled --inverted" in redirect.spec.by_hand and "control plane in us-east-1" in facts(traffic.view(), Severity.WARNING)
    edits = [touch for touch in redirect.spec.touches if touch.service != "sts"]
    assert {(touch.plane, touch.region) for touch in edits} == {("control", "us-east-1")}
    assert all("switch in the other region" in touch.instead for touch in edits)


def test_an_edit_carries_the_version_that_it_read(tmp_path: Path) -> None:
    alone = Rig(tmp_path)
    traffic = alone.make(HealthCheck, "traffic", {"regions": {"east": {"health_check": "abc"}, "west": {}}})
    reads, acts = (alone.stub("west", "route53", act=act, home="us-east-1") for act in (False, True))
    config = {"Type": "HTTPS", "Disabled": False, "Inverted": False}
    answer = {"HealthCheck": {"Id": "abc", "CallerReference": "r", "HealthCheckConfig": config, "HealthCheckVersion": 7}}
    for _ in range(3):
        reads.add_response("get_health_check", answer, {"HealthCheckId": "abc"})
    acts.add_client_error(
        "update_health_check", "HealthCheckVersionMismatch", "changed", 409,
        expected_params={"HealthCheckId": "abc", "Disabled": True, "Inverted": True, "HealthCheckVersion": 7},
    )  # fmt: skip
    with pytest.raises(Transient, match="somebody else changed the check"):
        alone.perform(alone.step(traffic, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER)
    acts.assert_no_pending_responses()
    alone.close()


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"Disabled": True}, "counts as healthy for ever"), ({"Inverted": True}, "sends people back into east once that is dead")],
)
def test_one_setting_alone_is_an_error(rig: Rig, made: Made, changes: dict[str, Any], told: str) -> None:
    traffic = rig.make(HealthCheck, "traffic", made.edited(**changes))
    found = [finding for finding in traffic.view().findings if finding.severity is Severity.ERROR]
    assert [(told in finding.fact, finding.region) for finding in found] == [(True, "west")]
    assert "--no-disabled --no-inverted" in found[0].fix


def test_an_object_is_flipped_without_us_east_1_and_without_the_lost_region(rig: Rig, made: Made, emulator: Emulator) -> None:
    traffic = rig.make(HealthCheck, "traffic", made.by_object())
    emulator.lose("us-east-1")  # the primary's region, and Route 53's control plane with it
    began = rig.clock.monotonic()
    redirect = rig.step(traffic, Intent.FAILOVER, Verb.REDIRECT)
    assert rig.perform(redirect, Intent.FAILOVER).look is Look.DONE
    assert rig.clock.monotonic() - began < 5.0
    assert made.says() == "AWAY"
    assert {(touch.service, touch.plane, touch.region) for touch in redirect.spec.touches if not touch.tried} == {("s3", "data", "west")}
    view = traffic.view()
    assert led(view) == "west" and "could not be looked at" in facts(view, Severity.WARNING)


@pytest.mark.parametrize(
    ("config", "severity", "told"),
    [
        ({"Type": "HTTPS", "SearchString": "AWAY"}, Severity.ERROR, "not what it says; nothing is ever deleted"),
        ({"SearchString": "DOWN"}, Severity.ERROR, "looks for 'DOWN'"),
        ({"Inverted": False, "SearchString": "HERE"}, Severity.WARNING, "with west lost, it leads people away from east while that works"),
        ({"ResourcePath": "/other"}, Severity.WARNING, "which does not name east"),
        ({"Disabled": True}, Severity.ERROR, "whatever its switch says, it does not change any more"),
    ],
)
def test_what_is_wrong_with_a_check_on_an_object(rig: Rig, made: Made, config: dict[str, Any], severity: Severity, told: str) -> None:
    view = rig.make(HealthCheck, "traffic", made.by_object(**config)).view()
    assert told in facts(view, severity)


def test_a_check_on_an_object_that_fits_has_no_error(rig: Rig, made: Made) -> None:
    settings = made.by_object()
    view = rig.make(HealthCheck, "traffic", {**settings, "takes": "90s"}).view()
    assert facts(view, Severity.ERROR) == "" and facts(view, Severity.WARNING) == ""
    assert "checkers need up to 90 s" in facts(rig.make(HealthCheck, "traffic", settings).view(), Severity.WARNING)


def test_a_metric_is_written_for_the_minutes_before_and_on_the_way_back_for_those_that_come(tmp_path: Path) -> None:
    alone = Rig(tmp_path)
    switch = {"in_region": "west", "namespace": "dr", "name": "away", "periods": 2}
    traffic = alone.make(HealthCheck, "traffic", {"regions": {"east": {"health_check": "abc", "metric": switch}, "west": {}}})
    acts = alone.stub("west", "cloudwatch", act=True)
    sent: list[list[tuple[float, float]]] = []

    def keep(params: dict[str, Any], **_: object) -> None:
        sent.append([(round((item["Timestamp"] - now).total_seconds()), item["Value"]) for item in params["MetricData"]])

    acts.client.meta.events.register("provide-client-params.cloudwatch.PutMetricData", keep)
    step = alone.step(traffic, Intent.FAILOVER, Verb.REDIRECT)
    context, place = alone.context(step, Intent.FAILOVER), alone.aws.place("west")
    for state in State:
        acts.add_response("put_metric_data", {})
        now = alone.clock.now()
        traffic.switches["east"].write(context, place, state)
    assert sent == [[(0, 0.0), (60, 0.0), (120, 0.0)], [(0, 1.0), (-60, 1.0)]]
    alone.close()


def test_a_metric_needs_a_check_on_an_alarm_that_keeps_its_status(rig: Rig, made: Made) -> None:
    traffic = rig.make(HealthCheck, "traffic", made.by_metric())
    switch = traffic.switches["east"]
    alarm = {
        "Type": "CLOUDWATCH_METRIC",
        "AlarmIdentifier": {"Region": "us-east-1", "Name": "away"},
        "InsufficientDataHealthStatus": "Healthy",
    }
    told = " | ".join(fact for _, fact, _ in switch.flaws(alarm, "us-west-2"))
    assert "us-east-1, and the metric is flipped in us-west-2" in told and "led back by themselves" in told
    good = {**alarm, "AlarmIdentifier": {"Region": "us-west-2", "Name": "away"}, "InsufficientDataHealthStatus": "LastKnownStatus"}
    assert [severity for severity, _, _ in switch.flaws(good, "us-west-2")] == [Severity.WARNING]
    assert "is of type HTTPS" in facts(traffic.view(), Severity.ERROR)


def test_an_object_that_is_not_there_is_an_error_with_the_command(rig: Rig, made: Made) -> None:
    settings = made.by_object()
    settings["regions"]["east"]["object"]["key"] = "nothing"
    view = rig.make(HealthCheck, "traffic", settings).view()
    assert view.regions == {}
    found = next(finding for finding in view.findings if finding.severity is Severity.ERROR)
    assert "cannot be read" in found.fact and f"aws s3 cp - s3://{made.bucket}/nothing" in found.fix


def test_a_lost_answer_is_read_before_anything_is_sent_again(rig: Rig, made: Made, emulator: Emulator) -> None:
    traffic = rig.make(HealthCheck, "traffic", made.by_object())
    redirect = rig.step(traffic, Intent.FAILOVER, Verb.REDIRECT)
    emulator.fault(CODES["west"], "lost-answer", "s3:PutObject", times=1)
    with pytest.raises(EffectUnknown):
        rig.perform(redirect, Intent.FAILOVER)
    with emulator.counted() as calls:
        assert rig.perform(redirect, Intent.FAILOVER).look is Look.DONE
    assert "PutObject" not in {call.operation for call in calls}


def test_a_missing_permission_is_named(rig: Rig, made: Made, emulator: Emulator) -> None:
    traffic = rig.make(HealthCheck, "traffic", made.by_object())
    emulator.deny("s3:PutObject")
    with pytest.raises(Permanent) as error:
        rig.perform(rig.step(traffic, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER)
    assert "allow s3:PutObject" in error.value.hint


def test_object_that_the_checkers_cannot_read_is_an_error(rig: Rig, made: Made) -> None:
    traffic = rig.make(HealthCheck, "traffic", made.by_object())
    config = {**OBJECT, "RequestInterval": 10, "FailureThreshold": 3}
    for status, told in (("Failure: HTTP Status Code 403, Forbidden", True), ("Success: HTTP Status Code: 200. OK", False)):
        look = {"east": Seen(State.HERE, config, (status,))}
        found = [
            finding.fact for finding in traffic.judge(dict.fromkeys(("east", "west"), look)).findings if finding.severity is Severity.ERROR
        ]
        assert any("flipping it would change nothing" in fact for fact in found) == told


def test_two_checks_leave_one_region_in(rig: Rig, made: Made) -> None:
    made.write("HERE", "west")
    west = {"health_check": made.check(), "metric": {"in_region": "east", "namespace": f"dr/{made.bucket}", "name": "west"}}
    settings = made.by_object()
    traffic = rig.make(HealthCheck, "traffic", {**settings, "regions": {"east": settings["regions"]["east"], "west": west}})
    assert led(traffic.view()) is None and "at the same time" in facts(traffic.view(), Severity.WARNING)
    rig.perform(rig.step(traffic, Intent.SWITCHOVER, Verb.REDIRECT), Intent.SWITCHOVER)
    assert led(traffic.view()) == "west"
    failover = rig.step(traffic, Intent.FAILOVER, Verb.REDIRECT)
    assert {touch.region for touch in failover.spec.touches} == {"west"}  # what lies in the lost region is left alone
    rig.perform(rig.step(traffic, Intent.FAILBACK, Verb.REDIRECT, "west", "east"), Intent.FAILBACK, "west", "east")
    assert led(traffic.view()) == "east"


def test_a_metric_that_is_lost_with_its_region_blocks_and_says_what_to_type(rig: Rig, made: Made) -> None:
    traffic = rig.make(HealthCheck, "traffic", made.by_metric())
    seen = rig.perform(rig.step(traffic, Intent.FAILOVER, Verb.REDIRECT, "west", "east"), Intent.FAILOVER, "west", "east")
    assert seen.look is Look.BLOCKED and "aws route53 update-health-check" in seen.reason
    by_object = rig.make(HealthCheck, "traffic", made.by_object())
    redirect = rig.step(by_object, Intent.FAILOVER, Verb.REDIRECT, "west", "east")
    assert rig.perform(redirect, Intent.FAILOVER, "west", "east").look is Look.DONE and all(touch.tried for touch in redirect.spec.touches)


def test_caches_are_waited_for_from_when_names_lead_there(rig: Rig, made: Made, emulator: Emulator) -> None:
    zone = Zone(emulator)
    settings = made.by_object()
    zone.pair("app", settings["regions"]["east"]["health_check"])
    seen = {"east": True}
    with name_server(of_zone(emulator, zone.id, lambda check: seen["east"])) as server:
        traffic = rig.make(HealthCheck, "traffic", settings)
        rig.make(Route53Records, "dns", zone.prepared(names=[f"app.{zone.name}"], name_servers=[server]), ["traffic"])
        rig.perform(rig.step(traffic, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER)
        propagate = rig.step(traffic, Intent.FAILOVER, Verb.PROPAGATE)
        rig.clock.sleep(2.2)  # longer than takes and ttl together: not time alone decides
        waits = propagate.operation.observe(rig.context(propagate, Intent.FAILOVER))
        assert waits.look is Look.NEEDED and f"app.{zone.name} leads to east" in waits.reason
        seen["east"] = False
        began = rig.clock.monotonic()
        assert rig.perform(propagate, Intent.FAILOVER).look is Look.DONE
        assert rig.clock.monotonic() - began >= 1.0


def test_nothing_secret_and_nothing_deleted_is_ever_asked_for(rig: Rig, made: Made) -> None:
    traffic = rig.make(HealthCheck, "traffic", made.by_object())
    rights = [
        right for intent in Intent for step in traffic.steps(intent, "east", "west") for right in step.spec.permissions if "arn:" in right
    ]
    assert json.dumps(sorted(set(rights))) == json.dumps(
        [f"s3:GetObject on arn:aws:s3:::{made.bucket}/east", f"s3:PutObject on arn:aws:s3:::{made.bucket}/east"]
    )


def test_every_step_says_what_it_touches_may_and_how_to_do_it_by_hand(rig: Rig, made: Made) -> None:
    for settings in (made.edited(), made.by_object(), made.by_metric()):
        traffic = rig.make(HealthCheck, "traffic", settings)
        for intent in Intent:
            for source, target in (("east", "west"), ("west", "east")):
                for step in traffic.steps(intent, source, target):
                    assert [name for name in SAID if not getattr(step.spec, name)] == [], step.spec.id
                    for command in (step.spec.by_hand, step.spec.check_by_hand):
                        assert subprocess.run(["bash", "-n", "-c", command], capture_output=True).returncode == 0, command
