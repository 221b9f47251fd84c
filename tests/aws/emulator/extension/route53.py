"""Route 53: changes that take time, whole batches or nothing, the limits of a request and of an account, and what DNS would answer.

Why not moto's: a change is INSYNC at once and always has the same id; of a batch that is refused halfway a part stays; deleting
one weighted record deletes every record with its SetIdentifier; 10,000 records take minutes; there is no limit but one.

Times: ``route53.insync``; ``route53.processing`` (0 unless set) for which a zone refuses further changes.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.route53.models import route53_backends

from tests.aws.emulator.registry import before, control, later, now, operation, seconds
from tests.aws.emulator.wire import ACCOUNT, Call, Refusal

ELEMENTS, CHARACTERS = 1000, 32_000
Key = tuple[str, str, str]  # name, type, set identifier
Record = dict[str, Any]


@dataclass
class Zone:
    """The records of a hosted zone."""

    name: str
    records: dict[Key, Record] = field(default_factory=dict)
    busy_until: float = 0.0


_zones: dict[str, Zone] = {}
_changes: dict[str, dict[str, Any]] = {}
_limit = [5.0, 5.0, 0.0]  # calls a second; calls that may come now; as of when


def zones() -> list[Zone]:
    """Every hosted zone."""
    return [zone(identifier) for identifier in route53_backends[ACCOUNT]["aws"].zones]


def ordered(name: str) -> list[str]:
    """Records are listed by their labels from the right. https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListResourceRecordSets.html"""
    return name.rstrip(".").split(".")[::-1]


def absolute(name: str) -> str:
    """As Route 53 writes names."""
    return name.lower().rstrip(".").replace("*", "\\052") + "."


def zone(identifier: str) -> Zone:
    """The zone, with the NS and SOA records that moto made."""
    identifier = identifier.rpartition("/")[2]
    known = route53_backends[ACCOUNT]["aws"].zones
    if identifier not in known:
        raise Refusal("NoSuchHostedZone", f"No hosted zone found with ID: {identifier}", 404)
    if identifier not in _zones:
        made = Zone(absolute(known[identifier].name))
        for one in known[identifier].rrsets:
            values = [{"Value": value["Value"] if isinstance(value, dict) else value} for value in one.records]
            name, kind = absolute(one.name), str(one.type)
            made.records[name, kind, ""] = {"Name": name, "Type": kind, "TTL": int(one.ttl or 900), "ResourceRecords": values}
        _zones[identifier] = made
    return _zones[identifier]


@control
def set_route53_rate(a_second: float) -> None:
    """How many calls the account may make in a second (5, as in AWS; 0: any number); so many may come at once."""
    _limit[:] = [a_second, max(1.0, a_second), now()]


@before("route53")
def limit_of_the_account(call: Call) -> None:
    """https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html: five requests per second per account."""
    a_second, left, since = _limit
    if not call.proxied or not a_second:
        return
    left = min(max(1.0, a_second), left + (now() - since) * a_second)
    _limit[1:] = [left, now()]
    if left < 1:
        raise Refusal("Throttling", "Rate exceeded", 400)
    _limit[1] = left - 1


@operation("route53:ChangeResourceRecordSets")
def change_resource_record_sets(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html"""
    here = zone(call.params["HostedZoneId"])
    changes = call.params["ChangeBatch"]["Changes"]
    if here.busy_until > now():
        text = f"The request was rejected because Route 53 was still processing a prior request for hosted zone {here.name}"
        raise Refusal("PriorRequestNotComplete", text, 400)
    _check_size(changes)
    records = dict(here.records)
    for change in changes:
        _apply(here, records, change["Action"], change["ResourceRecordSet"])
    _check_conflicts(records, {absolute(change["ResourceRecordSet"]["Name"]) for change in changes})
    here.records = records
    here.busy_until = now() + seconds("route53.processing", 0.0)
    identifier = "C" + secrets.token_hex(10).upper()
    info = {"Id": f"/change/{identifier}", "Status": "PENDING", "SubmittedAt": datetime.now(UTC)}
    if comment := call.params["ChangeBatch"].get("Comment"):
        info["Comment"] = comment
    _changes[identifier] = info
    later("route53.insync", lambda: info.update(Status="INSYNC"))
    return {"ChangeInfo": dict(info)}


def _check_size(changes: list[dict[str, Any]]) -> None:
    """An UPSERT counts twice. https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html"""
    elements = characters = 0
    for change in changes:
        twice = 2 if change["Action"] == "UPSERT" else 1
        values = change["ResourceRecordSet"].get("ResourceRecords") or []
        elements += twice * max(1, len(values))
        characters += twice * sum(len(value["Value"]) for value in values)
    if elements > ELEMENTS:
        raise Refusal("InvalidChangeBatch", f"Number of records limit of {ELEMENTS} exceeded.", 400)
    if characters > CHARACTERS:
        raise Refusal("InvalidChangeBatch", f"Number of characters limit of {CHARACTERS} exceeded.", 400)


def _apply(here: Zone, records: dict[Key, Record], action: str, asked: Record) -> None:
    record = {**asked, "Name": absolute(asked["Name"])}
    key = (record["Name"], record["Type"], record.get("SetIdentifier", ""))
    shown = f"[name='{record['Name']}', type='{record['Type']}'"
    if not (record["Name"] == here.name or record["Name"].endswith("." + here.name)):
        raise Refusal("InvalidChangeBatch", f"[RRSet with DNS name {record['Name']} is not permitted in zone {here.name}]", 400)
    if ("AliasTarget" in record) == ("TTL" in record and "ResourceRecords" in record):
        text = "Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId]"
        raise Refusal("InvalidInput", f"Invalid request: {text} in {shown}]", 400)
    if (check := record.get("HealthCheckId")) and check not in route53_backends[ACCOUNT]["aws"].health_checks:
        raise Refusal("NoSuchHealthCheck", f"A health check with id {check} does not exist.", 404)
    routed = sum(name in record for name in ("Weight", "Region", "GeoLocation", "Failover", "MultiValueAnswer"))
    if routed != (1 if record.get("SetIdentifier") else 0):
        raise Refusal("InvalidInput", f"A SetIdentifier goes with exactly one routing policy: {shown}]", 400)
    if action == "CREATE" and key in records:
        raise Refusal("InvalidChangeBatch", f"[Tried to create resource record set {shown}] but it already exists]", 400)
    if action == "DELETE":
        if key not in records:
            raise Refusal("InvalidChangeBatch", f"[Tried to delete resource record set {shown}] but it was not found]", 400)
        if records[key] != record:
            text = f"[Tried to delete resource record set {shown}] but the values provided do not match the current values]"
            raise Refusal("InvalidChangeBatch", text, 400)
        del records[key]
    else:
        records[key] = record


def _check_conflicts(records: dict[Key, Record], names: set[str]) -> None:
    """A CNAME stands alone, and a simple record beside none with a routing policy."""
    kinds: dict[str, list[Record]] = {}
    for (name, _, _), record in records.items():
        if name in names:
            kinds.setdefault(name, []).append(record)
    for name, found in kinds.items():
        types = {record["Type"] for record in found}
        if "CNAME" in types and len(types) > 1:
            text = f"[RRSet of type CNAME with DNS name {name} is not permitted as it conflicts with other records with the same DNS name]"
            raise Refusal("InvalidChangeBatch", text, 400)
        for kind in types:
            policies = {tuple(sorted({"Weight", "Region", "Failover", "GeoLocation"} & set(one))) for one in found if one["Type"] == kind}
            if len(policies) > 1:
                raise Refusal("InvalidChangeBatch", f"[RRSet with DNS name {name}, type {kind} conflicts with another routing policy]", 400)


@operation("route53:GetChange")
def get_change(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetChange.html"""
    identifier = call.params["Id"].rpartition("/")[2]
    if identifier not in _changes:
        raise Refusal("NoSuchChange", f"Could not find resource with ID: {identifier}", 404)
    return {"ChangeInfo": dict(_changes[identifier])}


@operation("route53:ListResourceRecordSets")
def list_resource_record_sets(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListResourceRecordSets.html: at most 300 a page."""
    here, params = zone(call.params["HostedZoneId"]), call.params
    if params.get("StartRecordType") and not params.get("StartRecordName"):
        raise Refusal("InvalidInput", "StartRecordType needs StartRecordName", 400)
    size = min(int(params.get("MaxItems") or 300), 300)
    start = (
        ordered(absolute(params["StartRecordName"])) if params.get("StartRecordName") else [],
        params.get("StartRecordType") or "", params.get("StartRecordIdentifier") or "",
    )  # fmt: skip
    keys = sorted((ordered(name), kind, identifier, (name, kind, identifier)) for name, kind, identifier in here.records)
    found = [here.records[key] for *order, key in keys if tuple(order) >= start]
    result: dict[str, Any] = {"ResourceRecordSets": found[:size], "IsTruncated": len(found) > size, "MaxItems": str(size)}
    if len(found) > size:
        following = found[size]
        result |= {"NextRecordName": following["Name"], "NextRecordType": following["Type"]}
        if "SetIdentifier" in following:
            result["NextRecordIdentifier"] = following["SetIdentifier"]
    return result


@operation("route53:DeleteHostedZone")
def delete_hosted_zone(call: Call) -> None:
    """https://docs.aws.amazon.com/Route53/latest/APIReference/API_DeleteHostedZone.html: only when nothing but NS and SOA is left."""
    here = zone(call.params["Id"])
    if any(kind not in ("NS", "SOA") for _, kind, _ in here.records):
        raise Refusal("HostedZoneNotEmpty", "The specified hosted zone contains non-required resource record sets", 400)
