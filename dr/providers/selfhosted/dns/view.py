"""What the zones of both regions say, as roles and findings. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from dr.errors import StepError
from dr.model.lag import ComponentView, Finding, RegionView
from dr.model.words import Role, Severity
from dr.providers.selfhosted.dns.config import DnsConfig
from dr.providers.selfhosted.dns.records import ZoneCopy, leads
from dr.providers.selfhosted.dns.wire import NotAnswering

KIND = "dns-records"
_LONG_TTL_SECONDS = 60
_SHOWN = 5


def judge(component: str, at: datetime, config: DnsConfig, copies: Mapping[str, ZoneCopy | StepError]) -> ComponentView:
    """A region is primary where its own server leads every name to it, secondary where it leads every name to the other one."""
    findings = tuple(
        Finding(component=component, severity=severity, fact=f"{component}: {fact}", fix=fix)
        for severity, fact, fix in _findings(config, copies)
    )
    return ComponentView(
        component=component, kind=KIND, at=at, regions={region: _role(config, region, copies[region]) for region in config.regions},
        findings=findings,
    )  # fmt: skip


def _role(config: DnsConfig, region: str, copy: ZoneCopy | StepError) -> RegionView:
    if isinstance(copy, NotAnswering):
        return RegionView(role=Role.STOPPED if copy.refused else Role.UNREACHABLE, reason=copy.message, late=copy.late)
    if isinstance(copy, StepError):
        return RegionView(role=Role.UNKNOWN, reason=copy.message)
    found = leads(copy.matching(config.names), _addresses(config))
    if found.only is None:
        several = "its server leads names to several regions"
        return RegionView(role=Role.UNKNOWN, reason=several if found.regions or found.mixed else "no name leads to a region")
    return RegionView(role=Role.PRIMARY if found.only == region else Role.SECONDARY)


def _findings(config: DnsConfig, copies: Mapping[str, ZoneCopy | StepError]) -> Iterator[tuple[Severity, str, str]]:
    seen = {region: copy.matching(config.names) for region, copy in copies.items() if isinstance(copy, ZoneCopy)}
    for region, copy in copies.items():
        if isinstance(copy, StepError) and not isinstance(copy, NotAnswering):
            yield Severity.ERROR, f"the server of {region} does not work with us: {copy.message}", copy.hint
    for region, records in seen.items():
        found = leads(records, _addresses(config))
        if not found.regions and not found.mixed:
            yield Severity.ERROR, f"no name at the server of {region} leads to a region", "check names and addresses in the runbook"
        elif found.only is None:
            names = [*found.mixed, *(name for names in found.regions.values() for name in names[:1])]
            where = f"the server of {region} leads names to several regions: {', '.join(names[:_SHOWN])}"
            yield Severity.ERROR, where, "finish or undo the run that was redirecting; see dr status"
        longest = max((item.ttl for item in records.values()), default=0)
        if longest > _LONG_TTL_SECONDS:
            text = f"TTL of {longest} s at the server of {region}: clients keep old answers that long"
            yield Severity.WARNING, text, "a TTL of 60 s or less"
    if len(seen) == len(config.regions):
        yield from _differences(config, seen)


def _differences(config: DnsConfig, seen: Mapping[str, Mapping[tuple[str, str], object]]) -> Iterator[tuple[Severity, str, str]]:
    (one, ours), (other, theirs) = seen.items()
    for region, missing in ((other, ours.keys() - theirs.keys()), (one, theirs.keys() - ours.keys())):
        if missing:
            names = ", ".join(sorted(name for name, _ in missing)[:_SHOWN])
            yield Severity.WARNING, f"{len(missing)} records are missing at the server of {region}: {names}", "dr reprotect, or add them"
    differing = sorted(name for name, kind in ours.keys() & theirs.keys() if ours[(name, kind)] != theirs[(name, kind)])
    if differing:
        text = f"the servers of {one} and {other} answer {len(differing)} names differently: {', '.join(differing[:_SHOWN])}"
        yield Severity.ERROR, text, "dr reprotect makes the stale one equal"


def _addresses(config: DnsConfig) -> dict[str, tuple[str, ...]]:
    return {region: server.addresses for region, server in config.regions.items()}
