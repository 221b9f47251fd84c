"""Certificates: summaries with their names, key types as the page says, and states that a test sets.

Why not moto's: its summaries have no names, it lists every key type without being asked, and a certificate is never renewed.
"""

from __future__ import annotations

from typing import Any

from moto.acm.models import acm_backends

from tests.aws.emulator.registry import control, operation
from tests.aws.emulator.wire import ACCOUNT, Call, Refusal

_changed: dict[str, dict[str, Any]] = {}
_PAGE, _NAMES = 1000, 100


def _said(region: str, arn: str) -> dict[str, Any]:
    described: dict[str, Any] = acm_backends[ACCOUNT][region]._certificates[arn].describe()["Certificate"]
    return {**described, **_changed.get(arn, {})}


@operation("acm:ListCertificates")
def list_certificates(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/acm/latest/APIReference/API_ListCertificates.html and API_Filters.html: RSA 1024 and 2048 by default."""
    wanted = call.params.get("Includes", {}).get("keyTypes", ["RSA_1024", "RSA_2048"])
    statuses = call.params.get("CertificateStatuses")
    found = []
    for arn in acm_backends[ACCOUNT][call.region]._certificates:
        item = _said(call.region, arn)
        if item["KeyAlgorithm"] in wanted and (not statuses or item["Status"] in statuses):
            names, used = item.get("SubjectAlternativeNames", []), item.get("InUseBy", [])
            more = {"SubjectAlternativeNameSummaries": names[:_NAMES], "HasAdditionalSubjectAlternativeNames": len(names) > _NAMES}
            found.append({**item, **more, "InUse": bool(used)})
    first, most = int(call.params.get("NextToken", 0)), min(call.params.get("MaxItems", _PAGE), _PAGE)
    following = {"NextToken": str(first + most)} if len(found) > first + most else {}
    return {"CertificateSummaryList": found[first : first + most], **following}


@operation("acm:DescribeCertificate")
def describe_certificate(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/acm/latest/APIReference/API_DescribeCertificate.html"""
    arn = call.params["CertificateArn"]
    if arn not in acm_backends[ACCOUNT][call.region]._certificates:
        raise Refusal("ResourceNotFoundException", f"Could not find certificate {arn}.", 400)
    return {"Certificate": _said(call.region, arn)}


@control
def set_certificate(arn: str, **fields: Any) -> None:
    """These fields of its description are so from now on; moments as seconds since 1970."""
    _changed.setdefault(arn, {}).update(fields)
