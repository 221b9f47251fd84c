"""What both sides of an Aurora global database come to: roles, lag, what keeps a region from being moved to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from dr.errors import StepError
from dr.model.lag import Finding, LagSample, RegionView
from dr.model.words import Known, Role, Severity
from dr.providers.aws.aurora.config import AuroraConfig, Promotion
from dr.providers.aws.aurora.look import LAGS, RPO_PARAMETER, Side

Looks = Mapping[str, Side | StepError]


def role(side: Side) -> RegionView:
    """What a region is, by what it says itself."""
    if side.member is not None:
        return RegionView(role=Role.PRIMARY if side.member.writer else Role.SECONDARY, reason=_unsettled(side))
    if side.arn:
        return RegionView(role=Role.PRIMARY, reason="stands alone: no member of the global database any more")
    return RegionView(role=Role.STOPPED, reason="there is no cluster")


def _unsettled(side: Side) -> str:
    return "" if side.status in ("", "available") else side.status


def lag(component: str, looks: Looks, now: datetime) -> LagSample:
    """Read in the secondary, by its own CloudWatch."""
    seconds = [side for side in looks.values() if isinstance(side, Side) and side.member is not None and not side.member.writer]
    if len(seconds) != 1:
        reasons = [side.message for side in looks.values() if isinstance(side, StepError)]
        return LagSample(component=component, at=now, state=Known.UNKNOWN, reason="; ".join(reasons) or "no region is a secondary")
    side = seconds[0]
    if isinstance(side.lag, StepError):
        return LagSample(component=component, at=now, state=Known.UNKNOWN, reason=side.lag.message)
    if side.lag is None:
        return LagSample(component=component, at=now, state=Known.UNKNOWN, reason=f"CloudWatch in {side.region} has no lag of it")
    point = side.lag.at - timedelta(milliseconds=side.lag.value)
    return LagSample(
        component=component, at=now, state=Known.BOUND, lag=max(now - point, timedelta(0)), recovery_point=point,
        follows=side.member.synchronization != "pending-resync" if side.member is not None else None,
        reason="CloudWatch has one value a minute",
    )  # fmt: skip


def findings(component: str, config: AuroraConfig, looks: Looks) -> Iterator[Finding]:
    """What a failover would stumble over, by region."""
    sides = {region: side for region, side in looks.items() if isinstance(side, Side)}
    for region, side in sides.items():
        for severity, fact, fix in (*_presence(config, side), *_settings(side)):
            yield Finding(component=component, severity=severity, fact=fact, fix=fix, region=region)
    for severity, fact, fix in _parity(config, sides):
        yield Finding(component=component, severity=severity, fact=fact, fix=fix)


_Found = Iterator[tuple[Severity, str, str]]


def _presence(config: AuroraConfig, side: Side) -> _Found:
    wanted, region = config.regions[side.region], side.region
    if not side.arn:
        yield Severity.ERROR, f"no cluster {wanted.cluster} in {region}", "add the region to the global database"
        return
    if side.member is None:
        yield (
            Severity.ERROR, f"{wanted.cluster} in {region} is no member of {config.global_cluster}: it follows another source, or nobody",
            f"aws rds describe-global-clusters --global-cluster-identifier {config.global_cluster}",
        )  # fmt: skip
    elif not side.member.writer and side.available == 0:
        if wanted.instance_class is None:
            yield (
                Severity.ERROR, f"{wanted.cluster} in {region} is headless: it has no instance to promote",
                f"write regions.{region}.instance_class, so that a move creates one, or add one now",
            )  # fmt: skip
        else:
            yield (
                Severity.WARNING, f"{wanted.cluster} in {region} is headless: creating {wanted.instance_class} takes minutes of the RTO",
                "keep one instance there",
            )  # fmt: skip
    elif side.status != "available":
        yield Severity.WARNING, f"{wanted.cluster} in {region} is {side.status}", "aws rds describe-events"


def _settings(side: Side) -> _Found:
    if side.settled.rpo is not None:
        seconds = f"{side.settled.rpo} s"
        yield (
            Severity.WARNING,
            f"{RPO_PARAMETER} is {seconds} in {side.region} ({side.parameter_group}): as the writer it stops commits whenever no secondary "
            "is that near, and right after a failover none is",
            f"aws rds reset-db-cluster-parameter-group for {RPO_PARAMETER} in {side.region}, or accept that a failover pauses writes",
        )  # fmt: skip
    if side.settled.alarms == ():
        yield (
            Severity.INFO, f"no alarm on the replication lag in {side.region}: alarms are not inherited by a new writer",
            f"aws cloudwatch put-metric-alarm on {LAGS[0]}",
        )  # fmt: skip


def _parity(config: AuroraConfig, sides: Mapping[str, Side]) -> _Found:
    versions = {side.version for side in sides.values() if side.version}
    if len(versions) > 1 and config.promotion is Promotion.MANAGED:
        told = ", ".join(f"{region} {side.version}" for region, side in sides.items())
        yield (
            Severity.ERROR, f"engine versions differ ({told}): AWS refuses a managed failover where they are not compatible",
            "upgrade the older side, or write promotion: detach",
        )  # fmt: skip
    families = {side.parameter_group for side in sides.values() if side.parameter_group}
    if len(sides) == 2 and any(name.startswith("default.") for name in families) and len(families) > 1:
        told = ", ".join(f"{region} {side.parameter_group}" for region, side in sides.items())
        yield (
            Severity.WARNING, f"one side has a default parameter group ({told}): settings are not inherited by a new writer",
            "aws rds modify-db-cluster --db-cluster-parameter-group-name",
        )  # fmt: skip
