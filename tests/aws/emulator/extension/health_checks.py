"""Route 53 health checks, and what DNS answers under them.

Why not moto's: it keeps neither alarm nor routing control nor version of a check, and every check is healthy.
Meanings: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html and
https://docs.aws.amazon.com/Route53/latest/APIReference/API_UpdateHealthCheck.html (a disabled check counts as healthy; with Inverted
as unhealthy; a record without a check is always healthy; with nothing healthy, everything is answered).
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.route53.models import route53_backends
from moto.s3.models import s3_backends

from tests.aws.emulator.extension import routing_controls
from tests.aws.emulator.extension.route53 import Record, absolute, zones
from tests.aws.emulator.lines import lost
from tests.aws.emulator.registry import control, operation
from tests.aws.emulator.wire import ACCOUNT, Call, Refusal

BUCKET = re.compile(r"(?P<bucket>.+)\.s3[.-](?P<region>[a-z0-9-]+)\.amazonaws\.com")
_checks: dict[str, dict[str, Any]] = {}
_observed: dict[str, bool] = {}
_addresses: dict[str, str] = {}


@control
def set_health(check: str, healthy: bool) -> None:
    """What the checkers see at this check's endpoint."""
    _observed[check] = healthy


@control
def set_address_regions(regions: dict[str, str]) -> None:
    """Which address or host name stands in which region: its checks fail while the region is lost."""
    _addresses.update(regions)


def healthy(identifier: str) -> bool:
    """What the check says, Disabled and Inverted included."""
    config = _checks[identifier]["HealthCheckConfig"]
    seen = True if config.get("Disabled") else _seen(identifier, config)
    return seen != bool(config.get("Inverted"))


def _seen(identifier: str, config: dict[str, Any]) -> bool:
    kind = config["Type"]
    if identifier in _observed:
        return _observed[identifier]
    if kind == "RECOVERY_CONTROL":
        return routing_controls.state(config["RoutingControlArn"]) == "On"
    if kind == "CLOUDWATCH_METRIC":
        alarm = cloudwatch_backends[ACCOUNT][config["AlarmIdentifier"]["Region"]].alarms.get(config["AlarmIdentifier"]["Name"])
        state = alarm.state_value if alarm else "INSUFFICIENT_DATA"
        return bool(state == "OK" or (state == "INSUFFICIENT_DATA" and config.get("InsufficientDataHealthStatus") != "Unhealthy"))
    if kind == "CALCULATED":
        return sum(healthy(child) for child in config.get("ChildHealthChecks", [])) >= int(config.get("HealthThreshold", 1))
    if match := BUCKET.fullmatch(config.get("FullyQualifiedDomainName", "")):
        return _object_seen(match["bucket"], match["region"], config)
    address = config.get("IPAddress") or config.get("FullyQualifiedDomainName", "")
    return not lost(_addresses.get(address, ""))


def _object_seen(bucket: str, region: str, config: dict[str, Any]) -> bool:
    known = s3_backends[ACCOUNT]["aws"].buckets.get(bucket)
    key = known.keys.get(config.get("ResourcePath", "/").lstrip("/")) if known else None
    if key is None or lost(region) or not hasattr(key, "value"):
        return False
    return config.get("SearchString", "").encode() in key.value


def _check(identifier: str) -> dict[str, Any]:
    if identifier not in _checks:
        raise Refusal("NoSuchHealthCheck", f"A health check with id {identifier} does not exist.", 404)
    return _checks[identifier]


@operation("route53:CreateHealthCheck")
def create_health_check(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/Route53/latest/APIReference/API_CreateHealthCheck.html"""
    reference = call.params["CallerReference"]
    if any(check["CallerReference"] == reference for check in _checks.values()):
        raise Refusal("HealthCheckAlreadyExists", f"A health check with caller reference {reference} exists.", 409)
    config = {"RequestInterval": 30, "FailureThreshold": 3, "Inverted": False, "Disabled": False, **call.params["HealthCheckConfig"]}
    identifier = str(uuid.uuid4())
    made = {"Id": identifier, "CallerReference": reference, "HealthCheckConfig": config, "HealthCheckVersion": 1}
    _checks[identifier] = made
    known = route53_backends[ACCOUNT]["aws"]
    known.health_checks[identifier] = known.create_health_check(reference, {"type": config["Type"]})  # moto keeps the tags
    return {"HealthCheck": made, "Location": f"https://route53.amazonaws.com/2013-04-01/healthcheck/{identifier}"}


@operation("route53:GetHealthCheck")
def get_health_check(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetHealthCheck.html"""
    return {"HealthCheck": _check(call.params["HealthCheckId"])}


@operation("route53:ListHealthChecks")
def list_health_checks(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListHealthChecks.html"""
    return {"HealthChecks": list(_checks.values()), "Marker": "", "IsTruncated": False, "MaxItems": "1000"}


@operation("route53:UpdateHealthCheck")
def update_health_check(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/Route53/latest/APIReference/API_UpdateHealthCheck.html"""
    check = _check(call.params["HealthCheckId"])
    version = call.params.get("HealthCheckVersion")
    if version is not None and int(version) != check["HealthCheckVersion"]:
        raise Refusal("HealthCheckVersionMismatch", f"The version in the database is {check['HealthCheckVersion']}.", 409)
    skip = ("HealthCheckId", "HealthCheckVersion", "ResetElements")
    check["HealthCheckConfig"].update({name: value for name, value in call.params.items() if name not in skip})
    for name in call.params.get("ResetElements", []):
        check["HealthCheckConfig"].pop(name, None)
    check["HealthCheckVersion"] += 1
    return {"HealthCheck": check}


@operation("route53:DeleteHealthCheck")
def delete_health_check(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/Route53/latest/APIReference/API_DeleteHealthCheck.html"""
    _check(call.params["HealthCheckId"])
    del _checks[call.params["HealthCheckId"]]
    del route53_backends[ACCOUNT]["aws"].health_checks[call.params["HealthCheckId"]]
    return {}


@operation("route53:GetHealthCheckStatus")
def get_health_check_status(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetHealthCheckStatus.html: what the checkers see, not inverted."""
    identifier = call.params["HealthCheckId"]
    config = _check(identifier)["HealthCheckConfig"]
    if config["Type"] in ("CALCULATED", "CLOUDWATCH_METRIC", "RECOVERY_CONTROL"):
        raise Refusal("InvalidInput", f"GetHealthCheckStatus is not available for checks of type {config['Type']}.", 400)
    words = "Success: HTTP Status Code 200, OK" if _seen(identifier, config) else "Failure: Connection timed out."
    report = {"Status": words, "CheckedTime": datetime.now(UTC)}
    regions = ("us-east-1", "us-west-2", "eu-west-1", "ap-southeast-1")
    return {"HealthCheckObservations": [{"Region": region, "IPAddress": "192.0.2.1", "StatusReport": report} for region in regions]}


@control
def resolve(name: str, kind: str = "A") -> list[str]:
    """What the name servers answer now for a name: records, weights, failover and aliases under the health checks."""
    found = [record for zone in zones() for (owner, sort, _), record in zone.records.items() if owner == absolute(name) and sort == kind]
    chosen = _chosen(found)
    answers: list[str] = []
    for record in chosen:
        if "AliasTarget" in record:
            answers += resolve(record["AliasTarget"]["DNSName"], kind) or [record["AliasTarget"]["DNSName"]]
        else:
            answers += [value["Value"] for value in record["ResourceRecords"]]
    return answers


def _chosen(found: list[Record]) -> list[Record]:
    well = [record for record in found if _well(record)]
    if any("Failover" in record for record in found):
        primary = [record for record in found if record["Failover"] == "PRIMARY"]
        secondary = [record for record in found if record["Failover"] == "SECONDARY"]
        usable = [record for record in primary if record in well] or [record for record in secondary if record in well] or primary
        return usable[:1]
    if any("Weight" in record for record in found):
        weighted = [record for record in well if int(record["Weight"]) > 0] or [record for record in well if int(record["Weight"]) == 0]
        return weighted or found
    return well or found


def _well(record: Record) -> bool:
    if check := record.get("HealthCheckId"):
        return healthy(check)
    alias = record.get("AliasTarget")
    if alias and alias.get("EvaluateTargetHealth"):
        targets = [one for zone in zones() for (owner, _, _), one in zone.records.items() if owner == absolute(alias["DNSName"])]
        return any(_well(one) for one in targets) if targets else not lost(_addresses.get(alias["DNSName"].rstrip("."), ""))
    return True
