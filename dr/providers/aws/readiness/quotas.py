"""Service quotas: what an account may have in a region, and how much of it is in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dr.errors import Permanent
from dr.providers.aws.calls import Call
from dr.providers.aws.hub import Aws
from dr.providers.aws.metrics import Metrics, Question
from dr.providers.aws.place import Place

_NO_QUOTA = {"NoSuchResourceException": "no such quota: aws service-quotas list-service-quotas --service-code SERVICE names them"}

APPLIED = Call("service-quotas", "GetServiceQuota", action="servicequotas:GetServiceQuota", refusals=_NO_QUOTA)
"""One quota as it is for this account; NoSuchResourceException: no such quota, or it was never anything but the default.

https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html; AccessDeniedException,
IllegalArgumentException, NoSuchResourceException, ServiceException, TooManyRequestsException."""

ALL_APPLIED = Call("service-quotas", "ListServiceQuotas", action="servicequotas:ListServiceQuotas", refusals=_NO_QUOTA)
"""All quotas of a service that have a value of this account, 100 a page. API_ListServiceQuotas; refusals as GetServiceQuota."""

DEFAULT = Call("service-quotas", "GetAWSDefaultServiceQuota", action="servicequotas:GetAWSDefaultServiceQuota", refusals=_NO_QUOTA)
"""What everybody has who never asked for more. API_GetAWSDefaultServiceQuota; refusals as GetServiceQuota."""


@dataclass(frozen=True)
class Quota:
    """One quota of a region. usage: the metric that says how much of it is in use; None: AWS keeps none."""

    service: str
    code: str
    name: str
    value: float
    usage: Question | None

    def __str__(self) -> str:
        return f"{self.name} ({self.service} {self.code})"


def quota(aws: Aws, place: Place, service: str, code: str) -> Quota:
    """One quota: as applied, else the default. Raises StepError."""
    try:
        answer = aws.read(place, APPLIED, ServiceCode=service, QuotaCode=code)
    except Permanent as error:
        if "NoSuchResourceException" not in error.message:
            raise
        answer = aws.read(place, DEFAULT, ServiceCode=service, QuotaCode=code)
    return read(answer["Quota"])


def quotas(aws: Aws, place: Place, service: str) -> Mapping[str, Quota]:
    """All quotas of a service that have a value of this account, by code. Raises StepError."""
    pages = aws.pages(place, ALL_APPLIED, ServiceCode=service)
    return {str(item["QuotaCode"]): read(item) for page in pages for item in page["Quotas"] if "Value" in item}


def used(aws: Aws, place: Place, question: Question) -> float | None:
    """How much is in use, by CloudWatch; None: no value of late. Raises StepError."""
    found = Metrics.of(aws).newest(place, question)
    return None if found is None else found.value


def read(item: Mapping[str, Any]) -> Quota:
    """A quota as the API describes it."""
    metric = item.get("UsageMetric") or {}
    question = None
    if metric.get("MetricName"):
        dimensions = tuple(sorted((str(key), str(value)) for key, value in metric.get("MetricDimensions", {}).items()))
        stat = str(metric.get("MetricStatisticRecommendation") or "Maximum")
        question = Question(str(metric["MetricNamespace"]), str(metric["MetricName"]), dimensions, stat, 300)
    return Quota(str(item["ServiceCode"]), str(item["QuotaCode"]), str(item.get("QuotaName", "")), float(item["Value"]), question)
