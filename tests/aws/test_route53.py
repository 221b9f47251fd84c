"""``aws.route53-records`` against the emulated AWS: edited in few calls, or prepared and led by health; DNS where the API is away."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from dr.errors import EffectUnknown, Permanent, Transient, UsageError
from dr.model.evidence import Healthy, PutBack, Redirected, TtlLowered, Ttls, WriteAccepted
from dr.model.lag import ComponentView
from dr.model.words import Intent, Known, Role, Severity, Verb
from dr.ports import Look
from dr.providers import registry
from dr.providers.aws.route53 import Route53Records
from dr.providers.aws.route53.config import Goal
from dr.providers.aws.route53.sets import batches, moved, parsed
from tests.aws.emulator import Emulator
from tests.aws.names import FRESH_SECONDS, name_server, of_zone
from tests.aws.rig import Rig
from tests.store.build import HandClock

EAST, WEST = "192.0.2.1", "198.51.100.1"
NOWHERE = "127.0.0.1:9"
"""Nobody answers there: no test asks the resolver of the machine."""


class Zone:
    """A hosted zone of one test."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator, self.name = emulator, f"t{uuid4().hex[:8]}.example.com"
        emulator.control("set_route53_rate", a_second=0)
        emulator.set_seconds("route53.insync", seconds=0.2)
        self.client = emulator.client("route53", "us-east-1")
        self.id = str(self.client.create_hosted_zone(Name=self.name, CallerReference=self.name)["HostedZone"]["Id"]).rpartition("/")[2]

    def put(self, *sets: dict[str, Any]) -> None:
        changes = [{"Action": "UPSERT", "ResourceRecordSet": item} for item in sets]
        for first in range(0, len(changes), 400):
            self.client.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch={"Changes": changes[first : first + 400]})

    def simple(self, count: int = 3, address: str = EAST, ttl: int = 1) -> None:
        self.put(*(self.a(f"n{number:05}", address, ttl) for number in range(count)))

    def a(self, label: str, address: str, ttl: int = 1, **more: Any) -> dict[str, Any]:
        return {"Name": f"{label}.{self.name}", "Type": "A", "TTL": ttl, "ResourceRecords": [{"Value": address}], **more}

    def pair(self, label: str, check: str | None, ttl: int = 1) -> None:
        checked = {} if check is None else {"HealthCheckId": check}
        self.put(
            self.a(label, EAST, ttl, SetIdentifier="east", Failover="PRIMARY", **checked),
            self.a(label, WEST, ttl, SetIdentifier="west", Failover="SECONDARY"),
        )

    def check(self, **changes: Any) -> str:
        config = {"Type": "HTTPS", "FullyQualifiedDomainName": "app.example.com", "Port": 443, "ResourcePath": "/health"}
        made = self.client.create_health_check(CallerReference=uuid4().hex, HealthCheckConfig=config)["HealthCheck"]
        if changes:
            self.client.update_health_check(HealthCheckId=made["Id"], **changes)
        return str(made["Id"])

    def held(self) -> dict[str, Any]:
        pages = self.client.get_paginator("list_resource_record_sets").paginate(HostedZoneId=self.id)
        found = [item for page in pages for item in page["ResourceRecordSets"] if item["Type"] not in ("NS", "SOA")]
        return {
            f"{item['Name'].split('.')[0]} {item['Type']}": item.get("AliasTarget", {}).get("DNSName")
            or [value["Value"] for value in item["ResourceRecords"]]
            for item in found
        }

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {
            "zone": self.id, "names": [f"*.{self.name}"], "mode": "edit", "ttl": "1s", "name_servers": [NOWHERE],
            "regions": {"east": {"values": [EAST]}, "west": {"values": [WEST]}}, **changes,
        }  # fmt: skip

    def prepared(self, **changes: Any) -> dict[str, Any]:
        return self.settings(mode="prepared", flipped_by="traffic", **changes)


@pytest.fixture
def zone(emulator: Emulator) -> Zone:
    return Zone(emulator)


def facts(view: ComponentView, severity: Severity) -> list[str]:
    return [finding.fact for finding in view.findings if finding.severity is severity]


def test_the_registry_knows_it() -> None:
    assert registry.find("aws.route53-records") is Route53Records


def test_settings_that_contradict_each_other_are_refused(rig: Rig, zone: Zone) -> None:
    unfit: tuple[dict[str, Any], ...] = (
        {"mode": "prepared"}, {"flipped_by": "traffic"}, {"names": []}, {"probe": {"url": "https://example.com/"}},
        {"mode": "prepared", "flipped_by": "traffic", "lower_ttl_to": "5s"}, {"regions": {"east": {}, "west": {"values": [WEST]}}},
    )  # fmt: skip
    for wrong in unfit:
        with pytest.raises(ValidationError):
            rig.make(Route53Records, "dns", zone.settings(**wrong))
    same = {"east": {"values": [EAST]}, "west": {"values": [EAST]}}
    for settings in (zone.prepared(), zone.settings(regions=same), zone.settings(deployments="airflow")):
        with pytest.raises(UsageError):
            rig.make(Route53Records, "dns", settings)


def test_ten_thousand_addresses_are_twenty_calls_and_five_hundred_are_one() -> None:
    east, west = Goal(values=(EAST,)), Goal(values=(WEST,))
    for count, calls in ((1, 1), (500, 1), (501, 2), (10_000, 20)):
        found = [
            parsed({"Name": f"n{number}.example.com.", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": EAST}]})
            for number in range(count)
        ]
        changes, stuck = moved(found, east, west, 60)
        assert (len(changes), stuck) == (count, [])
        whole = list(batches(changes))
        assert len(whole) == calls
        assert [change.old.name for batch in whole for change in batch] == sorted(item.name for item in found)


def test_values_of_60_characters_are_266_a_call() -> None:
    host = "h" * 48 + ".example.com"
    item = {"Name": "n.example.com.", "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": "old.example.com"}]}
    found = [parsed({**item, "Name": f"n{number}.example.com."}) for number in range(1000)]
    changes, _ = moved(found, Goal(values=("old.example.com",)), Goal(values=(host,)), 60)
    assert [len(batch) for batch in batches(changes)] == [266, 266, 266, 202]


def test_a_failover_is_one_atomic_call_and_says_what_the_report_needs(rig: Rig, zone: Zone, emulator: Emulator) -> None:
    zone.simple(500)
    zone.put(zone.a("other", "203.0.113.9"))
    with name_server(of_zone(emulator, zone.id)) as server:
        dns = rig.make(Route53Records, "dns", zone.settings(name_servers=[server]))
        assert {region: seen.role for region, seen in dns.view().regions.items()} == {"east": Role.PRIMARY, "west": Role.SECONDARY}
        steps = dns.steps(Intent.FAILOVER, "east", "west")
        assert [step.spec.verb for step in steps] == [Verb.REDIRECT, Verb.PROPAGATE]
        with emulator.counted() as made:
            seen = rig.run(dns, Intent.FAILOVER)
    assert [item.look for item in seen] == [Look.DONE, Look.DONE]
    assert len([call for call in made if call.operation == "ChangeResourceRecordSets"]) == 1
    assert rig.undeclared(steps, made) == set()
    held = zone.held()
    assert held.pop("other A") == ["203.0.113.9"] and set(map(tuple, held.values())) == {(WEST,)}
    done = next(item for item in rig.evidence if isinstance(item, Redirected))
    assert (done.region, done.names, done.old_ttl, done.before[f"n00000.{zone.name} A"]) == ("west", 500, timedelta(seconds=1), (EAST,))


def test_changes_are_paced_as_the_account_takes_them_and_that_is_foreseen(emulator: Emulator, tmp_path: Path, zone: Zone) -> None:
    """An UPSERT counts twice: of 1,500 the first 500 go at once, the others wait for 90 changes a second; a refused call costs nothing."""
    zone.simple(1_500)
    clock = HandClock()
    slow = Rig(tmp_path / "slow", emulator, clock=clock)
    dns = slow.make(Route53Records, "dns", zone.settings())
    [found] = [item.fact for item in dns.view().findings if "a move to west edits 1500" in item.fact]
    assert "takes about 18 s" in found
    redirect = slow.step(dns, Intent.FAILOVER, Verb.REDIRECT)
    assert redirect.spec.estimate > timedelta(seconds=18)
    emulator.fault("global", "refusal", "route53:ChangeResourceRecordSets", times=1, code="Throttling", status=400)
    with pytest.raises(Transient, match="Throttling"):
        slow.perform(redirect, Intent.FAILOVER, deadline=clock.monotonic() + 1800)
    began = clock.monotonic()
    assert slow.perform(redirect, Intent.FAILOVER, deadline=began + 1800).look is Look.DONE
    assert 17 < clock.monotonic() - began < 25
    assert set(map(tuple, zone.held().values())) == {(WEST,)}
    slow.close()


@pytest.mark.long
def test_ten_thousand_records_are_twenty_calls_on_the_wire(
    rig: Rig, zone: Zone, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # how fast they go is another test's matter: an account takes three minutes for so many
    monkeypatch.setattr("dr.providers.aws.route53.step.CHANGES", (1e6, 1_400))
    zone.simple(10_000)
    dns = rig.make(Route53Records, "dns", zone.settings())
    redirect = rig.step(dns, Intent.FAILOVER, Verb.REDIRECT)
    with emulator.counted() as made:
        assert rig.perform(redirect, Intent.FAILOVER).look is Look.DONE
    count = {
        name: len([call for call in made if call.operation == name]) for name in ("ChangeResourceRecordSets", "ListResourceRecordSets")
    }
    assert count == {"ChangeResourceRecordSets": 20, "ListResourceRecordSets": 34}
    assert set(map(tuple, zone.held().values())) == {(WEST,)}


def test_what_a_crash_left_is_sent_and_nothing_twice(rig: Rig, zone: Zone, emulator: Emulator) -> None:
    zone.simple(600)
    dns = rig.make(Route53Records, "dns", zone.settings())
    redirect = rig.step(dns, Intent.FAILOVER, Verb.REDIRECT)
    emulator.fault("global", "refusal", "route53:ChangeResourceRecordSets", times=1, code="PriorRequestNotComplete", status=400)
    with pytest.raises(Transient, match="PriorRequestNotComplete"):
        rig.perform(redirect, Intent.FAILOVER)
    assert set(map(tuple, zone.held().values())) == {(EAST,)}
    emulator.fault("global", "lost-answer", "route53:ChangeResourceRecordSets", times=1)
    with pytest.raises(EffectUnknown):
        rig.perform(redirect, Intent.FAILOVER)
    assert sum(value == [WEST] for value in zone.held().values()) == 500
    with emulator.counted() as made:
        assert rig.perform(rig.step(dns, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER).look is Look.DONE
    assert len([call for call in made if call.operation == "ChangeResourceRecordSets"]) == 1
    with emulator.counted() as made:
        again = rig.make(Route53Records, "dns", zone.settings())
        assert rig.perform(rig.step(again, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER).look is Look.DONE
    assert {call.operation for call in made} <= {"ListResourceRecordSets", "GetCallerIdentity"}


def test_another_process_waits_for_the_name_servers_by_the_records_alone(rig: Rig, zone: Zone) -> None:
    zone.simple(ttl=1)
    dns = rig.make(Route53Records, "dns", zone.settings())
    rig.perform(rig.step(dns, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER)
    other = rig.make(Route53Records, "dns", zone.settings())
    propagate = rig.step(other, Intent.FAILOVER, Verb.PROPAGATE)
    seen = propagate.operation.observe(rig.context(propagate, Intent.FAILOVER))
    assert seen.look is Look.NEEDED and "name servers may need" in seen.reason
    early = [
        item.model_copy(update={"at": item.at - timedelta(minutes=2)}) if isinstance(item, Redirected) else item for item in rig.evidence
    ]
    rig.evidence = early
    assert rig.perform(propagate, Intent.FAILOVER).look is Look.DONE


def test_it_waits_until_all_name_servers_have_it_and_then_the_old_ttl(rig: Rig, zone: Zone, emulator: Emulator) -> None:
    zone.simple(ttl=2)
    emulator.set_seconds("route53.insync", seconds=1.0)
    dns = rig.make(Route53Records, "dns", zone.settings())
    rig.perform(rig.step(dns, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER)
    propagate = rig.step(dns, Intent.FAILOVER, Verb.PROPAGATE)
    context = rig.context(propagate, Intent.FAILOVER)
    assert "not all name servers" in propagate.operation.observe(context).reason
    began = rig.clock.monotonic()
    with emulator.counted() as made:
        assert rig.perform(propagate, Intent.FAILOVER).look is Look.DONE
    assert rig.clock.monotonic() - began >= 2.0
    assert len([call for call in made if call.operation == "GetChange"]) <= 3


def test_a_planned_move_lowers_the_ttl_before_and_puts_it_back(rig: Rig, zone: Zone, emulator: Emulator) -> None:
    zone.simple(ttl=2)
    dns = rig.make(Route53Records, "dns", zone.settings(lower_ttl_to="1s"))
    steps = dns.steps(Intent.SWITCHOVER, "east", "west")
    verbs = [step.spec.verb for step in steps]
    assert verbs == [Verb.PREPARE, Verb.LOWER_TTL, Verb.LOWER_TTL, Verb.REDIRECT, Verb.PROPAGATE, Verb.RAISE_TTL]
    with emulator.counted() as made:
        assert {seen.look for seen in rig.run(dns, Intent.SWITCHOVER)} == {Look.DONE}
    assert rig.undeclared(steps, made) == set()
    kinds = [type(item) for item in rig.evidence]
    assert [kind for kind in (Ttls, TtlLowered, Redirected, PutBack) if kind not in kinds] == []
    done = next(item for item in rig.evidence if isinstance(item, Redirected))
    assert done.old_ttl == timedelta(seconds=1)
    sets = zone.client.list_resource_record_sets(HostedZoneId=zone.id)["ResourceRecordSets"]
    assert {item["TTL"] for item in sets if item["Type"] == "A"} == {2}
    assert rig.run(dns, Intent.FAILBACK, "west", "east")[-1].look is Look.DONE
    assert set(map(tuple, zone.held().values())) == {(EAST,)}


def test_an_undo_puts_the_old_answers_back_aliases_too(rig: Rig, zone: Zone) -> None:
    lb = {"HostedZoneId": "Z35SXDOTRQ7X7K", "DNSName": "dualstack.lb-192-0-2-1.elb.example.com.", "EvaluateTargetHealth": True}
    zone.simple(2)
    zone.put({"Name": f"lb.{zone.name}", "Type": "A", "AliasTarget": lb}, zone.a("was-west", WEST))
    alias = {"zone": "Z1H1FL5HABSF5", "name": "lb-198-51-100-1.elb.example.com"}
    regions = {
        "east": {"values": [EAST], "alias": {"zone": "Z35SXDOTRQ7X7K", "name": "lb-192-0-2-1.elb.example.com"}},
        "west": {"values": [WEST], "alias": alias},
    }
    dns = rig.make(Route53Records, "dns", zone.settings(regions=regions))
    before = zone.held()
    assert rig.perform(rig.step(dns, Intent.SWITCHOVER, Verb.PREPARE), Intent.SWITCHOVER).look is Look.DONE
    redirect = rig.step(dns, Intent.SWITCHOVER, Verb.REDIRECT)
    assert redirect.spec.undoable
    rig.perform(redirect, Intent.SWITCHOVER)
    after = zone.held()
    assert after["lb A"].rstrip(".") == "lb-198-51-100-1.elb.example.com" and after["n00000 A"] == [WEST]
    redirect.operation.undo(rig.context(redirect, Intent.SWITCHOVER))
    assert zone.held() == before


def test_a_record_that_the_target_has_nothing_for_is_found_before_and_told_after(rig: Rig, zone: Zone) -> None:
    zone.simple(1)
    zone.put({"Name": f"six.{zone.name}", "Type": "AAAA", "TTL": 1, "ResourceRecords": [{"Value": "2001:db8::1"}]})
    dns = rig.make(Route53Records, "dns", zone.settings(regions={"east": {"values": [EAST, "2001:db8::1"]}, "west": {"values": [WEST]}}))
    error = next(finding for finding in dns.view().findings if finding.severity is Severity.ERROR)
    assert "nothing to lead to in west" in error.fact and error.region == "west" and "AAAA" in error.fix
    with pytest.raises(Permanent, match="nothing to lead to"):
        rig.perform(rig.step(dns, Intent.SWITCHOVER, Verb.PREPARE), Intent.SWITCHOVER)
    assert rig.perform(rig.step(dns, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER).look is Look.DONE
    assert zone.held() == {"n00000 A": [WEST], "six AAAA": ["2001:db8::1"]}
    assert any("still lead to east" in getattr(item, "text", "") for item in rig.evidence)


def test_without_us_east_1_where_names_lead_is_asked_by_dns_and_said(rig: Rig, zone: Zone, emulator: Emulator) -> None:
    zone.simple(3)
    names = [f"n0000{number}.{zone.name}" for number in range(3)]
    with name_server(lambda name: [EAST] if name in names else []) as server:
        dns = rig.make(Route53Records, "dns", zone.settings(names=names, name_servers=[server]))
        emulator.lose("us-east-1")
        began = rig.clock.monotonic()
        view = dns.view()
        assert rig.clock.monotonic() - began < 3.0  # the bound is 1.9 s; the rest is a slow machine
        assert view.regions["east"].role is Role.PRIMARY
        told = next(fact for fact in facts(view, Severity.WARNING) if "by DNS" in fact)
        assert "3 names" in told and server in told and "cannot be edited now" in told
        with pytest.raises(Transient):
            rig.perform(rig.step(dns, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER)


def test_nothing_known_is_no_role_so_that_it_keeps_nobody_from_moving(rig: Rig, zone: Zone, emulator: Emulator) -> None:
    zone.simple(1)
    dns = rig.make(Route53Records, "dns", zone.settings())
    emulator.lose("us-east-1")
    view = dns.view()
    assert view.regions == {} and any("not known" in fact for fact in facts(view, Severity.WARNING))
    assert (dns.sample(None).state, dns.sample(None).lag) == (Known.KNOWN, None)


def test_what_is_prepared_is_never_edited_and_led_by_dns(rig: Rig, zone: Zone, emulator: Emulator) -> None:
    check = zone.check()
    for label in ("a", "b"):
        zone.pair(label, check)
    healthy = {check: True}
    with name_server(of_zone(emulator, zone.id, lambda asked: healthy[asked])) as server:
        settings = zone.prepared(names=[f"a.{zone.name}", f"b.{zone.name}"], name_servers=[server])
        dns = rig.make(Route53Records, "dns", settings, ["traffic"])
        emulator.clear_calls()
        view = dns.view()
        assert len([call for call in emulator.calls() if call.operation != "GetCallerIdentity"]) == 3
        assert view.regions["east"].role is Role.PRIMARY and facts(view, Severity.ERROR) == []
        assert dns.steps(Intent.FAILOVER, "east", "west") == ()
        assert [step.spec.verb for step in dns.steps(Intent.SWITCHOVER, "east", "west")] == [Verb.PREPARE]
        prepare = rig.step(dns, Intent.SWITCHOVER, Verb.PREPARE)
        with emulator.counted() as made:
            assert rig.perform(prepare, Intent.SWITCHOVER).look is Look.DONE
        assert rig.undeclared([prepare], made) == set()
        assert dns.leads_to("west").startswith("a.")
        healthy[check] = False
        assert dns.leads_to("west") == ""
        assert dns.view().regions["west"].role is Role.PRIMARY


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"Disabled": True}, "disabled: it counts as healthy for ever"),
        ({"Inverted": True}, "a server that is dead counts as healthy"),
        ({"IPAddress": "10.0.0.7"}, "a private address that no health checker reaches"),
    ],
)
def test_a_check_that_leads_nobody_away_is_an_error_for_moves_away(rig: Rig, zone: Zone, change: dict[str, Any], told: str) -> None:
    zone.pair("a", zone.check(**change))
    dns = rig.make(Route53Records, "dns", zone.prepared(), ["traffic"])
    found = [finding for finding in dns.view().findings if finding.severity is Severity.ERROR]
    assert [(told in finding.fact, finding.region) for finding in found] == [(True, "west")]
    seen = rig.perform(rig.step(dns, Intent.SWITCHOVER, Verb.PREPARE), Intent.SWITCHOVER)
    assert seen.look is Look.BLOCKED and told in seen.reason


def test_what_is_missing_of_a_pair_is_found(rig: Rig, zone: Zone) -> None:
    zone.pair("bare", None, ttl=300)
    zone.put(zone.a("simple", EAST), zone.a("half", EAST, SetIdentifier="e", Failover="PRIMARY", HealthCheckId=zone.check()))
    zone.put(*(zone.a("weight", value, SetIdentifier=name, Weight=50) for name, value in (("e", EAST), ("w", WEST))))
    view = rig.make(Route53Records, "dns", zone.prepared(), ["traffic"]).view()
    errors = " | ".join(sorted(facts(view, Severity.ERROR)))
    for told in ("bare.", "PRIMARY has no health check", "simple record set", "no record set leads to west", "weight."):
        assert told in errors
    assert any("a TTL of 300 s" in fact for fact in facts(view, Severity.WARNING))


def test_edits_leave_what_is_prepared_alone_and_say_so(rig: Rig, zone: Zone) -> None:
    zone.simple(1)
    zone.pair("a", zone.check())
    view = rig.make(Route53Records, "dns", zone.settings()).view()
    assert any("which mode: edit leaves alone" in fact for fact in facts(view, Severity.ERROR))
    warnings = " | ".join(facts(view, Severity.WARNING))
    assert "edits 1 record sets in 1 calls of the control plane in us-east-1" in warnings and "accelerated recovery" in warnings


def test_refusals_say_what_to_do(rig: Rig, zone: Zone, emulator: Emulator) -> None:
    zone.simple(1)
    dns = rig.make(Route53Records, "dns", zone.settings())
    redirect = rig.step(dns, Intent.FAILOVER, Verb.REDIRECT)
    for code, told in (
        ("InvalidChangeBatch", "nothing of this batch was changed"),
        ("AccessDenied", "allow route53:ChangeResourceRecordSets"),
    ):
        emulator.clear_faults()
        emulator.fault("global", "refusal", "route53:ChangeResourceRecordSets", code=code, status=403)
        with pytest.raises(Permanent) as error:
            rig.perform(redirect, Intent.FAILOVER)
        assert told in error.value.hint
    emulator.clear_faults()
    missing = rig.make(Route53Records, "dns", {**zone.settings(), "zone": "Z0000000000"})
    found = next(finding for finding in missing.view().findings if finding.severity is Severity.ERROR)
    assert "NoSuchHostedZone" in found.fact and "correct zone" in found.fix


def test_credentials_of_the_other_region_that_may_not_ask_are_an_error_for_moves_there(rig: Rig, zone: Zone) -> None:
    zone.simple(1)
    west = rig.site.regions["west"]
    assert west.aws is not None and isinstance(rig.site.regions, dict)
    rig.site.regions["west"] = west.model_copy(update={"aws": west.aws.model_copy(update={"account": "999999999999"})})
    found = [finding for finding in rig.make(Route53Records, "dns", zone.settings()).view().findings if finding.severity is Severity.ERROR]
    assert [(finding.region, "999999999999" in finding.fact) for finding in found] == [("west", True)]


def test_a_planned_redirect_is_refused_where_nothing_leads_to_a_region(rig: Rig, zone: Zone) -> None:
    zone.put(zone.a("other", "203.0.113.9"))
    dns = rig.make(Route53Records, "dns", zone.settings())
    assert any("no record set" in fact for fact in facts(dns.view(), Severity.ERROR))
    assert rig.perform(rig.step(dns, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER).look is Look.BLOCKED
    with pytest.raises(Permanent, match="leads to east"):
        rig.perform(rig.step(dns, Intent.SWITCHOVER, Verb.PREPARE), Intent.SWITCHOVER)


class Fleet:
    """A component that knows host names."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def hostnames(self, region: str) -> tuple[str, ...]:
        if region == "east":
            raise Transient("east is lost")
        return self.names


def test_names_come_from_the_deployments(rig: Rig, zone: Zone) -> None:
    zone.simple(3)
    rig.peers["airflow"] = Fleet(f"n00001.{zone.name}")  # type: ignore[assignment]
    dns = rig.make(Route53Records, "dns", zone.settings(names=[], deployments="airflow"), ["airflow"])
    rig.perform(rig.step(dns, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER)
    assert [name for name, value in zone.held().items() if value == [WEST]] == ["n00001 A"]


@contextmanager
def web(status: list[int]) -> Iterator[int]:
    """An HTTP server that answers with the newest status of the list."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[-1] if self.headers["Host"].startswith("n00000.") else 200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_service_is_proven_from_outside_by_an_answer_and_no_write_is_claimed(rig: Rig, zone: Zone, emulator: Emulator) -> None:
    zone.simple(2, "127.0.0.1")
    status = [503]
    regions = {"east": {"values": [EAST]}, "west": {"values": ["127.0.0.1"]}}
    with web(status) as port, name_server(of_zone(emulator, zone.id)) as server:
        probe = {"url": f"http://{{name}}:{port}/health", "status": [200, 204]}
        dns = rig.make(Route53Records, "dns", zone.settings(regions=regions, name_servers=[server], probe=probe))
        outside = rig.step(dns, Intent.FAILOVER, Verb.VERIFY_OUTSIDE)
        with pytest.raises(Transient, match="status 503, expected 200 or 204"):
            rig.perform(outside, Intent.FAILOVER)
        status.append(204)
        assert rig.perform(outside, Intent.FAILOVER).look is Look.DONE
        healthy = next(item for item in rig.evidence if isinstance(item, Healthy))
        assert (healthy.total, healthy.healthy) == (2, 2)
        assert not [item for item in rig.evidence if isinstance(item, WriteAccepted)]
        assert any("an answer, no write" in fact for fact in facts(dns.view(), Severity.INFO))
        zone.put(zone.a("n00000", EAST))
        rig.clock.sleep(FRESH_SECONDS)
        with pytest.raises(Transient, match="leads to east"):
            rig.perform(outside, Intent.FAILOVER)


def test_prepared_names_are_proven_from_outside_without_any_call(rig: Rig, zone: Zone, emulator: Emulator) -> None:
    settings = zone.prepared(names=[f"a.{zone.name}"], probe={})
    dns = rig.make(Route53Records, "dns", settings, ["traffic"])
    (outside,) = dns.steps(Intent.FAILOVER, "east", "west")
    assert outside.spec.verb is Verb.VERIFY_OUTSIDE and not [right for right in outside.spec.permissions if "arn:" in right]
    assert {(touch.service, touch.plane, touch.region) for touch in outside.spec.touches} == {
        ("dns", "data", "west"),
        ("https", "data", "west"),
    }


def test_what_a_chain_touches_is_said(rig: Rig, zone: Zone) -> None:
    dns = rig.make(Route53Records, "dns", zone.settings())
    redirect, propagate = dns.steps(Intent.FAILOVER, "east", "west")
    assert {(touch.service, touch.plane, touch.region, touch.tried) for touch in redirect.spec.touches} == {
        ("route53", "control", "us-east-1", False), ("sts", "data", "west", True)
    }  # fmt: skip
    assert all("mode: prepared" in touch.instead for touch in redirect.spec.touches if touch.service == "route53")
    assert all(touch.tried for touch in propagate.spec.touches if touch.service == "route53")
    assert f"route53:ChangeResourceRecordSets on arn:aws:route53:::hostedzone/{zone.id}" in redirect.spec.permissions
    assert dns.steps(Intent.REPROTECT, "east", "west") == ()


def test_a_process_that_may_not_act_sends_nothing(rig: Rig, zone: Zone) -> None:
    zone.simple(1)
    dns = rig.make(Route53Records, "dns", zone.settings())
    redirect = rig.step(dns, Intent.FAILOVER, Verb.REDIRECT)
    with pytest.raises(Permanent):
        redirect.operation.act(replace(rig.context(redirect, Intent.FAILOVER), may_act=lambda: False))
    assert zone.held() == {"n00000 A": [EAST]}


SAID = ("touches", "permissions", "by_hand", "check_by_hand", "estimate", "budget")


@pytest.mark.parametrize("intent", list(Intent))
def test_every_step_says_what_it_touches_may_and_how_to_do_it_by_hand(rig: Rig, zone: Zone, intent: Intent) -> None:
    edited = zone.settings(lower_ttl_to="1s", probe={})
    for settings in (edited, zone.prepared(probe={}), zone.settings(names=[], deployments="airflow", probe={})):
        dns = rig.make(Route53Records, "dns", settings, ["traffic", "airflow"])
        for step in dns.steps(intent, "east", "west"):
            assert [name for name in SAID if not getattr(step.spec, name)] == [], step.spec.id
            for command in (step.spec.by_hand, step.spec.check_by_hand):
                assert subprocess.run(["bash", "-n", "-c", command], capture_output=True).returncode == 0, command
