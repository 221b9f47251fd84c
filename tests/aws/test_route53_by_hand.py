"""What a person types for a hosted zone sends what the steps send: run by bash and jq, with an ``aws`` that keeps what it is given."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dr.model.words import Intent
from dr.providers.aws.route53 import Route53Records
from dr.providers.aws.route53.sets import moved, ours, parameters, parsed, retimed
from tests.aws.rig import Rig

FAKE = """#!/bin/sh
case "$2" in
list-resource-record-sets) cat "$LISTING" ;;
change-resource-record-sets) cat >> "$SENT"; echo >> "$SENT" ;;
esac
"""
LB_EAST = {"HostedZoneId": "Z35SXDOTRQ7X7K", "DNSName": "dualstack.lb-east.example.net.", "EvaluateTargetHealth": True}
REGIONS = {
    "east": {
        "values": ["192.0.2.1", "192.0.2.2", "2001:db8::1", "east.example.net"],
        "alias": {"zone": "Z35SXDOTRQ7X7K", "name": "lb-east.example.net"},
    },
    "west": {
        "values": ["198.51.100.1", "2001:db8::2", "west.example.net"],
        "alias": {"zone": "Z1H1FL5HABSF5", "name": "lb-west.example.net"},
    },
}


def record(name: str, kind: str, *values: str, **more: Any) -> dict[str, Any]:
    return {"Name": f"{name}.dr.example.com.", "Type": kind, "TTL": 300, "ResourceRecords": [{"Value": value} for value in values], **more}


RECORDS = [
    record("a", "A", "192.0.2.1"), record("b", "A", "203.0.113.9", "192.0.2.2"), record("six", "AAAA", "2001:db8::1"),
    record("c", "CNAME", "east.example.net"), record("there", "A", "198.51.100.1"), record("other", "A", "203.0.113.9"),
    record("pair", "A", "192.0.2.1", SetIdentifier="e", Failover="PRIMARY"), record("text", "TXT", '"192.0.2.1"'),
    {"Name": "\\052.w.dr.example.com.", "Type": "A", "AliasTarget": LB_EAST},
    {**record("a", "A", "192.0.2.1"), "Name": "a.elsewhere.example.com."},
]  # fmt: skip


class Hand:
    """A shell with that ``aws`` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.listing, self.sent = folder, folder / "listing.json", folder / "sent"
        (folder / "aws").write_text(FAKE)
        (folder / "aws").chmod(0o755)

    def run(self, command: str, records: list[dict[str, Any]], **more: str) -> int:
        self.listing.write_text(json.dumps({"ResourceRecordSets": records}))
        self.sent.write_text("")
        paths = {"PATH": f"{self.folder}:{os.environ['PATH']}", "LISTING": str(self.listing), "SENT": str(self.sent)}
        return subprocess.run(["bash", "-c", command], env={**os.environ, **paths, **more}, capture_output=True, timeout=60).returncode

    def batches(self) -> list[list[Mapping[str, Any]]]:
        return [json.loads(line)["Changes"] for line in self.sent.read_text().splitlines() if line]


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return Hand(tmp_path)


@pytest.fixture
def dns(tmp_path: Path) -> Route53Records:
    settings = {"zone": "Z1", "names": ["*.dr.example.com"], "mode": "edit", "regions": REGIONS, "lower_ttl_to": "5s"}
    return Rig(tmp_path).make(Route53Records, "dns", settings)


def ordered(changes: list[Mapping[str, Any]]) -> list[str]:
    """Each change as text; the order of values is nobody's business."""
    for change in changes:
        change["ResourceRecordSet"].get("ResourceRecords", []).sort(key=lambda item: item["Value"])
        target = change["ResourceRecordSet"].get("AliasTarget")
        if target:
            target["DNSName"] = target["DNSName"].rstrip(".")
    return sorted(json.dumps(change, sort_keys=True) for change in changes)


def test_the_redirect_sends_the_upserts_of_the_step(dns: Route53Records, hand: Hand) -> None:
    redirect = next(step.spec for step in dns.steps(Intent.FAILOVER, "east", "west"))
    assert hand.run(redirect.check_by_hand, RECORDS) != 0
    assert hand.run(redirect.by_hand, RECORDS) == 0
    items = ours([parsed(item) for item in RECORDS], dns.config.names)
    changes, stuck = moved(items, dns.config.regions["east"], dns.config.regions["west"], dns.ttl)
    expected = json.loads(json.dumps(parameters("Z1", changes, "")["ChangeBatch"]["Changes"]))
    (sent,) = hand.batches()
    assert ordered(list(sent)) == ordered(expected) and len(sent) == 5 and not stuck
    changed = {(item["ResourceRecordSet"]["Name"], item["ResourceRecordSet"]["Type"]): item["ResourceRecordSet"] for item in sent}
    after = [changed.get((item["Name"], item["Type"]), item) for item in RECORDS]
    assert hand.run(redirect.check_by_hand, after) == 0


def test_twelve_hundred_are_three_calls_and_a_refused_one_is_no_success(dns: Route53Records, hand: Hand) -> None:
    redirect = next(step.spec for step in dns.steps(Intent.FAILOVER, "east", "west"))
    many = [record(f"n{number}", "A", "192.0.2.1") for number in range(1200)]
    assert hand.run(redirect.by_hand, many) == 0
    assert [len(batch) for batch in hand.batches()] == [500, 500, 200]
    (hand.folder / "aws").write_text(FAKE.replace("cat >>", "exit 254; cat >>"))
    assert hand.run(redirect.by_hand, many) != 0


def test_a_ttl_is_lowered_and_put_back(dns: Route53Records, hand: Hand) -> None:
    steps = {step.spec.id: step.spec for step in dns.steps(Intent.SWITCHOVER, "east", "west")}
    lower, back = steps["dns/lower-ttl"], steps["dns/raise-ttl"]
    assert hand.run(steps["dns/prepare"].check_by_hand, RECORDS) == 0
    assert hand.run(lower.check_by_hand, RECORDS) != 0 and hand.run(lower.by_hand, RECORDS) == 0
    (sent,) = hand.batches()
    items = [item for item in ours([parsed(item) for item in RECORDS], dns.config.names) if item.values and not item.identifier]
    led = [item for item in items if set(item.values) & set(dns.config.regions["east"].values)]
    expected = parameters("Z1", retimed(led, {item.key: 5 for item in led}), "")["ChangeBatch"]["Changes"]
    assert ordered(list(sent)) == ordered(json.loads(json.dumps(expected)))
    low = [record("a", "A", "198.51.100.1", TTL=5)]
    assert hand.run(back.check_by_hand, low, OLD_TTL="300") != 0 and hand.run(back.by_hand, low, OLD_TTL="300") == 0
    assert hand.batches()[0][0]["ResourceRecordSet"]["TTL"] == 300
    assert hand.run(back.by_hand, low) != 0  # nobody said what it was
