"""What the buckets of both regions say, as roles and findings. Pure.

A region is primary where the newest marker in its own store names it. An old primary that came back says so of itself, with the older
epoch, until it is protected again. Replication that is behind is a warning here: what that would cost is the exposure guard's, with its
own acceptance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from dr.errors import StepError
from dr.model.base import show_duration
from dr.model.lag import ComponentView, Finding, LagSample, RegionView
from dr.model.words import Role, Severity
from dr.providers.selfhosted.s3 import control
from dr.providers.selfhosted.s3.buckets import KIND
from dr.providers.selfhosted.s3.config import S3Config
from dr.providers.selfhosted.s3.lag import Copy
from dr.providers.selfhosted.s3.wire import NotServed


@dataclass(frozen=True)
class Rights:
    """What our key pair may do, and how the bucket is kept.

    refused: why a write would not be taken; empty where it would, or where only a real one can tell.
    """

    versioning: str
    refused: str = ""


@dataclass(frozen=True)
class Look:
    """One region, looked at. ``rights``: None where that was not answered in time."""

    copy: Copy
    rights: Rights | None = None


def judge(
    component: str, at: datetime, config: S3Config, looks: Mapping[str, Look | StepError], lag: LagSample, mark_first: str
) -> ComponentView:
    """Roles and findings of one look.

    Args:
        mark_first: the command that says who is primary, where nothing says it yet.
    """
    found = [*_findings(config, looks, mark_first), *_behind(config, lag, looks)]
    return ComponentView(
        component=component, kind=KIND, at=at, regions={region: _role(region, looks[region]) for region in config.regions}, lag=lag,
        findings=tuple(
            Finding(component=component, severity=severity, fact=f"{component}: {fact}", fix=fix, region=region)
            for severity, region, fact, fix in found
        ),
    )  # fmt: skip


def _role(region: str, look: Look | StepError) -> RegionView:
    if isinstance(look, NotServed):
        return RegionView(role=Role.STOPPED if look.refused else Role.UNREACHABLE, reason=look.message, late=look.late)
    if isinstance(look, StepError):
        return RegionView(role=Role.UNKNOWN, reason=look.message)
    marker = look.copy.marker
    if marker is None:
        return RegionView(role=Role.UNKNOWN, reason="nothing there says who is primary")
    return RegionView(role=Role.PRIMARY if marker.region == region else Role.SECONDARY, epoch=marker.epoch)


_Found = tuple[Severity, str | None, str, str]


def _findings(config: S3Config, looks: Mapping[str, Look | StepError], mark_first: str) -> Iterator[_Found]:
    for region, look in looks.items():
        bucket = config.regions[region].bucket
        if isinstance(look, StepError):
            if not isinstance(look, NotServed):
                yield Severity.ERROR, region, f"the bucket {bucket} in {region} does not work with us: {look.message}", look.hint
        elif look.rights is not None and look.rights.refused:
            fact = f"the bucket {bucket} in {region} takes no write of ours: {look.rights.refused}"
            yield Severity.ERROR, region, fact, "let the key pair write there"
    seen = {region: look for region, look in looks.items() if isinstance(look, Look)}
    unmarked = [region for region, look in seen.items() if look.copy.marker is None]
    if unmarked and len(unmarked) == len(seen):
        yield Severity.ERROR, None, "nothing says which region is primary", mark_first
    elif unmarked:
        fact = f"the marker of the primary has not arrived in {unmarked[0]}"
        yield Severity.ERROR, unmarked[0], fact, "start the replication, or dr reprotect"
    if len(seen) == len(config.regions):
        (one, ours), (other, theirs) = seen.items()
        kept = [look.rights.versioning for look in (ours, theirs) if look.rights is not None]
        if len(set(kept)) == 2:
            fact = f"versioning is {kept[0] or 'off'} in {one} and {kept[1] or 'off'} in {other}"
            yield Severity.WARNING, None, fact, "the same in both: what is overwritten by mistake is kept on both sides or on none"
        markers = [look.copy.marker for look in seen.values() if look.copy.marker is not None]
        if markers and control.newest(markers) is None:
            fact = f"{one} and {other} both became primary as of epoch {max(markers).epoch}"
            yield Severity.ERROR, None, fact, "delete the marker of the wrong one (docstring of dr.providers.selfhosted.s3.control)"


def _behind(config: S3Config, lag: LagSample, looks: Mapping[str, Look | StepError]) -> Iterator[_Found]:
    if lag.failed_items:
        more = f" and {lag.failed_items - len(lag.failed_named)} more" if lag.failed_items > len(lag.failed_named) else ""
        fact = (
            f"{lag.failed_items} objects failed to replicate: {', '.join(lag.failed_named)}{more} (what was written"
            f" {show_duration(config.failed_after)} later has arrived)"
        )
        fix = "have the store send them again, or copy them; a dr switchover brings them over before it promotes, a failover loses them"
        yield Severity.WARNING, None, fact, fix
    if lag.lag is None or any(isinstance(look, StepError) for look in looks.values()):
        return
    sent = max((at for look in looks.values() if isinstance(look, Look) for at in look.copy.heartbeats.values()), default=None)
    if sent is not None and lag.recovery_point is not None and sent - lag.recovery_point > config.stalled_after:
        fact = f"the replication does not run: nothing has arrived for {show_duration(sent - lag.recovery_point)}"
        yield Severity.WARNING, None, fact, "start the replication between the stores again; it is not dr's"
    if lag.behind_items:
        fact = f"{lag.behind_items} objects have not arrived in the secondary"
        yield Severity.INFO, None, fact, "wait for the replication; dr reprotect brings over what it lost"
