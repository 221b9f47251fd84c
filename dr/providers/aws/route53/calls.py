"""What is called of Amazon Route 53. Pages: https://docs.aws.amazon.com/Route53/latest/APIReference/API_OPERATION.html

All of it is control plane, and that lives in us-east-1 for the whole world: it may be away when it is needed. DNS answers and health checks
are the data plane, on every continent (facts of 2025-10-19: names were answered for the 15 hours in which no record could be edited).
"""

from __future__ import annotations

from dr.providers.aws.calls import Call

HOME = "us-east-1"
_ZONE = {"NoSuchHostedZone": "no such hosted zone in this account: correct zone, or roles"}
_PREPARED = "prepare failover record sets that a routing control or a check of an object in the other region flips: mode: prepared"
_SWITCH = "give the check a switch in the other region: regions.*.object, or metric"
_CHECK = {"NoSuchHealthCheck": "no such health check in this account: correct health_check, or roles"}

ZONE = Call("route53", "GetHostedZone", home=HOME, refusals=_ZONE)
"""Public or private, its name servers, whether accelerated recovery is on. API_GetHostedZone; NoSuchHostedZone, InvalidInput."""

RECORDS = Call("route53", "ListResourceRecordSets", home=HOME, refusals=_ZONE, instead=_PREPARED)
"""Up to 300 record sets a page. API_ListResourceRecordSets; NoSuchHostedZone, InvalidInput."""

CHANGE = Call(
    "route53", "ChangeResourceRecordSets", act=True, home=HOME, instead=_PREPARED,
    refusals={
        **_ZONE,
        "InvalidChangeBatch": "nothing of this batch was changed: what the message names does not fit",
        "NoSuchHealthCheck": "a record set names a health check that is gone: nothing of this batch was changed",
    },
)  # fmt: skip
"""All changes of a batch, or none; an UPSERT replaces a record set. API_ChangeResourceRecordSets; at most 1,000 ResourceRecord elements and
32,000 characters of values, an UPSERT's counted twice (DNSLimitations.html of the Developer Guide). InvalidChangeBatch, NoSuchHostedZone,
NoSuchHealthCheck, InvalidInput; PriorRequestNotComplete (400): nothing was done, the zone still works on the change before."""

SYNCED = Call("route53", "GetChange", home=HOME, instead=_PREPARED)
"""PENDING, or INSYNC once all name servers of the zone have a change. API_GetChange; NoSuchChange, InvalidInput."""

CHECK = Call("route53", "GetHealthCheck", home=HOME, refusals=_CHECK, instead=_SWITCH)
"""The settings of a health check, and their version. API_GetHealthCheck; NoSuchHealthCheck, InvalidInput, IncompatibleVersion."""

CHECKERS = Call("route53", "GetHealthCheckStatus", home=HOME, refusals=_CHECK)
"""What each of the world's checkers saw last; not whether the check is inverted. "Intended for use during development": at most
one a second. API_GetHealthCheckStatus; NoSuchHealthCheck, InvalidInput."""

FORCE = Call("route53", "UpdateHealthCheck", act=True, home=HOME, refusals=_CHECK, instead=_SWITCH)
"""Changes settings, if their version is still the one given. API_UpdateHealthCheck: a disabled check counts as healthy, an inverted one as
the opposite: both together as unhealthy for good. NoSuchHealthCheck, InvalidInput, HealthCheckVersionMismatch (409): nothing was done."""


def zone_arn(zone: str) -> str:
    """A hosted zone for policies."""
    return f"arn:aws:route53:::hostedzone/{zone}"


def check_arn(check: str) -> str:
    """A health check for policies."""
    return f"arn:aws:route53:::healthcheck/{check}"


CHANGES = "arn:aws:route53:::change/*"
"""All changes: nobody knows the id of one beforehand."""
