"""Components of one runbook out of what was found: in the order of a move, with names of their own, and needs by what their kinds need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dr.providers.aws.discover.found import Found, unique

DATABASES = ("aws.aurora-global-database", "aws.rds-read-replica")
DATA = (*DATABASES, "aws.dynamodb-global-table", "aws.s3-bucket")
VALUES = ("aws.secretsmanager", "aws.ssm-parameters")

ORDER: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "aws.aurora-global-database": ("data", (), "which user may prove a write (sql)"),
    "aws.rds-read-replica": ("data", (), "which security group lets nobody in (quarantine): it fences an instance whose region answers"),
    "aws.dynamodb-global-table": ("data", (), "which item dr may write (marker): without one DynamoDB's word counts"),
    "aws.s3-bucket": ("data", (), "which role S3 Batch Operations may take on (batch_role)"),
    "aws.ecr": ("what runs needs", (), "which images the Deployments use: only their database knows (deployments, repository)"),
    "aws.secretsmanager": ("what runs needs", DATABASES, "which values differ in each region on purpose (per_region)"),
    "aws.ssm-parameters": ("what runs needs", DATABASES, "which values differ in each region on purpose (per_region)"),
    "aws.kms-key": ("what runs needs", (), ""),
    "aws.acm-certificates": ("what runs needs", (), ""),
    "aws.iam-trust": ("what runs needs", (), ""),
    "aws.eks-nodegroups": ("capacity", (), "whether so much capacity can be had on the day: reservations, and aws.quota"),
    "aws.ecs-services": ("capacity", (*DATABASES, *VALUES, "aws.ecr", "aws.kms-key"), ""),
    "aws.autoscaling-groups": ("capacity", (), ""),
    "aws.lambda-event-source": ("capacity", DATA, ""),
    "aws.arc-routing-control": ("traffic", DATA, ""),
    "aws.route53-health-check": ("traffic", DATA, ""),
    "aws.route53-records": ("traffic", (), "what answers on the names (probe), and addresses of the zone's name servers (name_servers)"),
}
"""By kind, in the order of a runbook: its part, the kinds that it needs, and what nobody at AWS can tell."""

_MORE = {kind: kind.removeprefix("aws.").split("-")[-1] for kind in ORDER} | {"aws.s3-bucket": "bucket", "aws.ecs-services": "tasks"}


@dataclass(frozen=True)
class Component:
    """A component of the runbook. part: the heading that it stands under. unknown: what nobody at AWS can tell; empty: nothing."""

    name: str
    part: str
    needs: tuple[str, ...]
    found: Found
    settings: Mapping[str, Any]
    unknown: str


def assemble(found: Sequence[Found]) -> list[Component]:
    """In order; what is only written as a comment is needed by nobody."""
    kinds = list(ORDER)
    ordered = sorted(found, key=lambda item: (kinds.index(item.kind), not item.active))
    names: list[str] = []
    for item in ordered:
        names.append(unique(item.name, names, _MORE[item.kind]))
    active = [(name, item) for name, item in zip(names, ordered, strict=True) if item.active]
    flips = {item.key: name for name, item in active if item.key}
    lead = next((name for name, item in active if item.kind in DATABASES), None)
    front = next((name for name, item in active if "access_point" in item.settings), "")
    made = []
    for name, item in zip(names, ordered, strict=True):
        part, wanted, unknown = ORDER[item.kind]
        needs = tuple(other for other, one in active if one.kind in wanted)
        settings = dict(item.settings)
        if item.kind in VALUES and lead is not None:
            needs, settings = (lead,), {"database": lead, **settings}
        if item.kind == "aws.route53-records":
            flip = flips.get(item.flipped_by)
            needs = (flip,) if flip else tuple(other for other, one in active if one.kind in DATA)
            settings |= {"flipped_by": flip} if flip else {}
        if "access_point" in settings:
            item, settings, needs = _in_front(item, settings, [other for other, one in active if one.kind in DATA], name, front)
        made.append(Component(name, part, needs, item, settings, unknown))
    return made


def _in_front(
    item: Found, settings: dict[str, Any], data: Sequence[str], name: str, front: str
) -> tuple[Found, dict[str, Any], tuple[str, ...]]:
    """A bucket whose access point is moved, too: that leads people, so it comes after all other data; only one bucket can come last."""
    if name == front:
        return item, settings, tuple(other for other in data if other != name)
    point = settings.pop("access_point")
    after = f"access_point: {point}     # its routes lead people, and {front} comes last already: a component of its own"
    return replace(item, after=(*item.after, after)), settings, ()
