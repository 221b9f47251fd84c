"""What was seen of both regions' secrets, as roles and findings. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dr.errors import StepError
from dr.model.lag import Finding, RegionView
from dr.model.words import Role, Severity
from dr.providers.selfhosted.vault.accounts import Compared, Side, many, some
from dr.providers.selfhosted.vault.deployments import Authority
from dr.providers.selfhosted.vault.lineage import Standing
from dr.providers.selfhosted.vault.needs import Lacks
from dr.providers.selfhosted.vault.vaults import Late
from dr.providers.selfhosted.vault.wire import NotAnswering, Sealed

Sides = Mapping[str, Side | StepError]
Authorities = Mapping[str, Authority | StepError]


@dataclass(frozen=True)
class Judged:
    """One region as a place to move to.

    compared: with the other region, else with what was kept of it; None where there is neither. late: why it could not be judged in time.
    """

    compared: Compared | None = None
    lacks: Lacks = field(default_factory=Lacks)
    late: str = ""


def roles(sides: Sides, authorities: Authorities) -> dict[str, RegionView]:
    """Secrets have no primary of their own: it is where the platform's database takes writes. A region whose database says nothing is
    secondary: that it can be promoted is the database's own business. Without a database in the runbook only those in trouble have a role.
    """
    found = {}
    for region, side in sides.items():
        seen = authorities.get(region)
        if isinstance(side, NotAnswering):
            found[region] = RegionView(role=Role.STOPPED if side.refused else Role.UNREACHABLE, reason=side.message, late=side.late)
        elif isinstance(side, StepError) and not isinstance(side, (Sealed, Late)):
            found[region] = RegionView(role=Role.UNKNOWN, reason=side.message)
        elif isinstance(seen, Authority):
            reason = side.message if isinstance(side, StepError) else ""
            found[region] = RegionView(role=Role.PRIMARY if seen.writable else Role.SECONDARY, epoch=seen.epoch, reason=reason)
        elif seen is not None:
            found[region] = RegionView(role=Role.SECONDARY, reason=seen.message)
        elif isinstance(side, Sealed):
            found[region] = RegionView(role=Role.UNKNOWN, reason=side.message)
    return found


def findings(component: str, sides: Sides, views: Mapping[str, RegionView], judged: Mapping[str, Judged]) -> list[Finding]:
    """What keeps each region from being moved to (error), or is to be mended (warning)."""
    found = []
    for region, side in sides.items():
        primary = region in views and views[region].role is Role.PRIMARY
        worst = Severity.WARNING if primary else Severity.ERROR  # where we are already, it is drift
        if isinstance(side, StepError):
            # one that does not answer is no target anyway: its role says so; one that is slow is looked at again before anything starts
            severity = Severity.WARNING if isinstance(side, (NotAnswering, Late)) else worst
            found.append(_finding(component, region, severity, side.message, side.hint or f"start the server in {region}"))
            continue
        seen = judged.get(region)
        said = [] if seen is None else [*_compared(region, seen), *_lacks(region, seen), *_leads(side)]
        found += [_finding(component, region, worst if severe else Severity.WARNING, fact, fix) for severe, fact, fix in said]
    return found


def _finding(component: str, region: str, severity: Severity, fact: str, fix: str) -> Finding:
    told = fact if fact.startswith(component) else f"{component}: {fact}"
    return Finding(component=component, region=region, severity=severity, fact=told, fix=fix)


def _compared(region: str, judged: Judged) -> Iterator[tuple[bool, str, str]]:
    compared = judged.compared
    if judged.late:
        yield False, f"the secrets of {region} could not be judged: {judged.late}", "dr status; prepare and fingerprint take their time"
        return
    if compared is None:
        yield False, "nothing is known of the other side's secrets: no account of them was kept", "dr monitor keeps one"
        return
    held = "" if compared.complete else " (by the account that was kept of the other side)"
    mend = "dr reprotect copies them" if compared.complete else "write the right value there, or go on without: --accept prerequisites"
    missing = compared.of(Standing.MISSING)
    if missing:
        named = some([f"{item.path} ({item.why})" for item in missing])
        yield True, f"{many(len(missing), 'secret')} missing in {region}{held}: {named}", mend
    look = "look which value is right and write it to both sides; or name the path in per_region"
    for standing, how, fix in (
        (Standing.OLDER, "with an older value" if compared.complete else "with another value", mend),
        (Standing.NEWER, "changed after it was copied", look),
        (Standing.DIVERGED, "with another value and no common history", look),
    ):
        names = compared.names(standing)
        if names:
            yield True, f"{many(len(names), 'secret')} in {region} {how}{held}: {some(names)}", fix
    extra = compared.names(Standing.EXTRA)
    if extra and compared.complete:
        yield False, f"{many(len(extra), 'secret')} only in {region}: {some(extra)}", "delete it there, or write it to the other side"


def _lacks(region: str, judged: Judged) -> Iterator[tuple[bool, str, str]]:
    lacks, told = judged.lacks, judged.compared.names(Standing.MISSING) if judged.compared else ()
    missing = tuple(text for text in lacks.missing if text.partition(" ")[0] not in told)
    for names, what, how, fix in (
        (missing, "secret", "that Deployments need missing", "write it there, or dr reprotect while both sides are there"),
        (lacks.no_keys, "secret", "without a Fernet key", "write the Deployment's own key there"),
        (lacks.undecryptable, "value", "that the Fernet key does not decrypt", "write the Deployment's own key there"),
    ):
        if names:
            yield True, f"{many(len(names), what)} {how} in {region}: {some(names)}", fix
    if lacks.unknown:
        yield False, f"{many(len(lacks.unknown), 'Fernet key')} in {region} could not be tried: {lacks.unknown[0]}", "see dr status"


def _leads(side: Side) -> Iterator[tuple[bool, str, str]]:
    """Values that lead into another region than the one they are in."""
    by_region: dict[str, list[str]] = {}
    for path, fact in sorted(side.facts.items()):
        for region in sorted(fact.leads_into - {side.region}):
            by_region.setdefault(region, []).append(path)
    for region, paths in by_region.items():
        fix = f"use a name that moves, or give {side.region} its own value and name the path in per_region"
        yield True, f"{many(len(paths), 'secret')} in {side.region} leading into {region}: {some(paths)}", fix
