"""Whether names can be led over by health alone: what failover and weighted record sets need, so that nobody has to edit them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dr.errors import StepError
from dr.model.words import Severity
from dr.providers.aws.route53.config import Goal
from dr.providers.aws.route53.sets import RecordSet, Wire, leads, private

_ENDPOINTS = ("HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP")


@dataclass(frozen=True)
class Flaw:
    """What is wrong with one record set. ``region``: moves to it would not work, or slowly; ``fact`` without the name."""

    severity: Severity
    name: str
    fact: str
    fix: str
    region: str | None = None


def checks_of(items: Iterable[RecordSet]) -> list[str]:
    """The health checks that record sets name, each once."""
    return list(dict.fromkeys(str(item.wire["HealthCheckId"]) for item in items if item.wire.get("HealthCheckId")))


def flaws(items: Iterable[RecordSet], goals: Mapping[str, Goal], checks: Mapping[str, Wire | StepError], ttl: int) -> Iterator[Flaw]:
    """Of all record sets of the runbook's names. ``checks``: by id, HealthCheckConfig of the API; ``ttl``: the longest that is good."""
    by_key: dict[str, list[RecordSet]] = {}
    for item in items:
        by_key.setdefault(item.key, []).append(item)
        if item.ttl > ttl:
            yield Flaw(
                Severity.WARNING, item.name, f"a TTL of {item.ttl} s: so long caches hold the old answer", f"a TTL of {ttl} s or less"
            )
    for sides in by_key.values():
        yield from _sides(sides, goals, checks)


def _sides(sides: list[RecordSet], goals: Mapping[str, Goal], checks: Mapping[str, Wire | StepError]) -> Iterator[Flaw]:
    name = sides[0].name
    by_region = {region: [item for item in sides if region in leads(item, goals)] for region in goals}
    if not any(by_region.values()):
        return  # leads to no region of the runbook
    if not all(item.identifier for item in sides):
        fix = "make a PRIMARY and a SECONDARY record set of it, or write mode: edit"
        yield Flaw(Severity.ERROR, name, "a simple record set: health leads nobody away from it", fix)
        return
    for region, found in by_region.items():
        away = next(other for other in goals if other != region)
        if not found:
            yield Flaw(Severity.ERROR, name, f"no record set leads to {region}", f"add the one for {region}", region)
        for item in found:
            last = item.wire.get("Failover") == "SECONDARY" or item.wire.get("Weight") == 0
            yield from _side(item, away, checks, last_resort=last)


def _side(item: RecordSet, away: str, checks: Mapping[str, Wire | StepError], *, last_resort: bool) -> Iterator[Flaw]:
    """What keeps people from being led away from one record set."""
    which, check = str(item.wire.get("Failover") or item.identifier), item.wire.get("HealthCheckId")
    evaluated = bool(item.wire.get("AliasTarget", {}).get("EvaluateTargetHealth"))
    if not check:
        if not evaluated and not last_resort:
            fix = "give it the health check that flipped_by flips; of an alias, evaluate target health, too"
            yield Flaw(Severity.ERROR, item.name, f"{which} has no health check: it counts as healthy for ever", fix, away)
        return
    config = checks.get(str(check))
    if config is None or isinstance(config, StepError):
        return
    fix = f"aws route53 update-health-check --health-check-id {check} --no-disabled --region us-east-1"
    if config.get("Disabled") and not config.get("Inverted"):
        yield Flaw(Severity.ERROR, item.name, f"{which}: health check {check} is disabled: it counts as healthy for ever", fix, away)
    if config.get("Inverted") and not config.get("Disabled") and config["Type"] in ("HTTP", "HTTPS", "TCP"):
        text = f"{which}: health check {check} is inverted and not disabled: a server that is dead counts as healthy"
        yield Flaw(Severity.ERROR, item.name, text, f"{fix.removesuffix(' --region us-east-1')} --no-inverted --region us-east-1", away)
    if config["Type"] in _ENDPOINTS and config.get("IPAddress") and private(config["IPAddress"]):
        text = f"{which}: health check {check} asks {config['IPAddress']}, a private address that no health checker reaches"
        yield Flaw(Severity.ERROR, item.name, text, "a check on a CloudWatch alarm or a routing control, or evaluate target health", away)


def told(found: Iterable[Flaw]) -> Iterator[Flaw]:
    """One for each sort of flaw, with the first names that have it."""
    same: dict[tuple[Severity, str, str, str | None], list[str]] = {}
    for flaw in found:
        same.setdefault((flaw.severity, flaw.fact, flaw.fix, flaw.region), []).append(flaw.name)
    for (severity, fact, fix, region), names in same.items():
        each = sorted(set(names))
        named = ", ".join(each[:3]) + (f" and {len(each) - 3} more names" if len(each) > 3 else "")
        yield Flaw(severity, named, f"{named}: {fact}", fix, region)
