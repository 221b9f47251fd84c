"""Service quotas as tests set them.

Why not moto's: it knows those of VPC only, and none that can be changed.
https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html
"""

from __future__ import annotations

from typing import Any

from tests.aws.emulator.registry import control, operation
from tests.aws.emulator.wire import ACCOUNT, Call, Refusal

DEFAULTS = {  # https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html, one page for each service
    ("ec2", "L-1216C47A"): ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 256.0),
    ("eks", "L-33415657"): ("Managed node groups per cluster", 30.0),
    ("rds", "L-7B6409FD"): ("DB instances", 40.0),
    ("lambda", "L-B99A9384"): ("Concurrent executions", 1000.0),
    ("fargate", "L-3032A538"): ("Fargate On-Demand vCPU resource count", 500.0),
}
_set: dict[tuple[str, str, str], float] = {}


@control
def set_quota(region: str, service: str, code: str, value: float) -> None:
    """The account's quota in a region."""
    _set[region, service, code] = value


def _quota(region: str, service: str, code: str, applied: bool) -> dict[str, Any]:
    if (service, code) not in DEFAULTS and (region, service, code) not in _set:
        raise Refusal("NoSuchResourceException", f"The request failed because the quota {code} of {service} does not exist.", 400)
    name, value = DEFAULTS.get((service, code), (code, 0.0))
    value = _set.get((region, service, code), value) if applied else value
    arn = f"arn:aws:servicequotas:{region}:{ACCOUNT}:{service}/{code}"
    common = {"ServiceCode": service, "ServiceName": service, "QuotaArn": arn, "QuotaCode": code, "QuotaName": name, "Value": value}
    return {**common, "Unit": "None", "Adjustable": True, "GlobalQuota": False}


@operation("service-quotas:GetServiceQuota")
def get_service_quota(call: Call) -> dict[str, Any]:
    """What applies to this account."""
    return {"Quota": _quota(call.region, call.params["ServiceCode"], call.params["QuotaCode"], True)}


@operation("service-quotas:GetAWSDefaultServiceQuota")
def get_default_service_quota(call: Call) -> dict[str, Any]:
    """What AWS gives to everybody."""
    return {"Quota": _quota(call.region, call.params["ServiceCode"], call.params["QuotaCode"], False)}


@operation("service-quotas:ListServiceQuotas")
def list_service_quotas(call: Call) -> dict[str, Any]:
    """All of a service."""
    service = call.params["ServiceCode"]
    codes = dict.fromkeys([code for known, code in DEFAULTS if known == service])
    codes |= dict.fromkeys(code for region, known, code in _set if (region, known) == (call.region, service))
    return {"Quotas": [_quota(call.region, service, code, True) for code in codes]}
