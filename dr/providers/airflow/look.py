"""What is seen of the Deployments without touching them: a role for each region, and findings. Decides from what was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dr.errors import StepError
from dr.model.lag import Finding, RegionView
from dr.model.words import Role, Severity
from dr.providers.airflow.control import RegionStatus
from dr.providers.airflow.step import some
from dr.providers.selfhosted.certificates.judge import Flaw

Seen = Mapping[str, RegionStatus | StepError]
"""What each region's control API said, or why it said nothing."""


def roles(seen: Seen) -> dict[str, RegionView]:
    """Primary is where databases take writes and schedulers run; where none runs anywhere (amid a move), where they take writes.

    A region that takes writes without schedulers while another one schedules is stopped: an old primary that came back.
    """
    writable = {region for region, status in seen.items() if isinstance(status, RegionStatus) and _writable(status)}
    scheduling = {region for region in writable if _scheduling(seen[region])}
    return {region: _role(region, status, writable, scheduling) for region, status in seen.items()}


def _role(region: str, status: RegionStatus | StepError, writable: set[str], scheduling: set[str]) -> RegionView:
    if isinstance(status, StepError):
        return RegionView(role=Role.UNREACHABLE, reason=status.message, late=status.late)
    everything = status.deployments.values()
    states = {item.database for item in everything}
    reason = f"{sum(item.scheduling for item in everything)} of {len(everything)} schedulers run"
    frozen = sum(item.frozen for item in everything)
    if frozen:
        reason += f", {frozen} frozen"
    if not everything or states == {"unreachable"}:
        return RegionView(role=Role.UNKNOWN, reason="the runtime serves no Deployment" if not everything else "the runtime has no database")
    if region in scheduling or (region in writable and not scheduling):
        return RegionView(role=Role.PRIMARY, reason=reason)
    if region in writable:
        return RegionView(role=Role.STOPPED, reason=f"databases take writes, {reason}")
    return RegionView(role=Role.SECONDARY, reason=reason)


def _writable(status: RegionStatus) -> bool:
    return any(item.database == "writable" for item in status.deployments.values())


def _scheduling(status: RegionStatus | StepError) -> bool:
    return isinstance(status, RegionStatus) and any(item.scheduling for item in status.deployments.values())


def findings(component: str, seen: Seen, views: Mapping[str, RegionView], listed: frozenset[str], flaws: Sequence[Flaw]) -> list[Finding]:
    """What keeps a region from taking over (error), or is to be mended before that day (warning).

    Args:
        listed: ids of the Deployments in the platform database; empty where nobody could be asked.
        flaws: of the certificates of all regions that could be looked at.
    """
    found: list[Finding] = []
    for region, status in seen.items():
        if isinstance(status, StepError):
            found.append(Finding(component=component, severity=Severity.WARNING, fact=status.message, fix=f"start the runtime in {region}"))
            continue
        absent = listed - status.deployments.keys()
        if absent:
            fact, fix = f"the runtime in {region} does not know {some(absent)}", f"deploy {some(absent)} in {region}"
            found.append(Finding(component=component, severity=_severity(views[region]), fact=fact, fix=fix))
        left = {key: item.problem.text for key, item in status.deployments.items() if item.problem is not None and not item.scheduling}
        if left:
            fact = f"{len(left)} Deployments do not start in {region}: {some([f'{key}: {text}' for key, text in left.items()])}"
            fix = "mend that there, then dr resume the run that started them, or POST /start at the control API"
            found.append(Finding(component=component, severity=Severity.WARNING, fact=fact, fix=fix))
    locks = {lock.owner: lock for status in seen.values() if isinstance(status, RegionStatus) for lock in status.locks}
    for owner, lock in sorted(locks.items()):
        fact = f"deploys are locked by {owner} since {lock.since:%Y-%m-%d %H:%M} until {lock.expires_at:%H:%M} UTC: {lock.reason}"
        fix = "its run takes it away when it ends; a lock without one: POST /unlock at the control API where databases take writes"
        found.append(Finding(component=component, severity=Severity.INFO, fact=fact, fix=fix))
    for flaw in flaws:
        severity = Severity.WARNING if flaw.usable else _severity(views[flaw.region])
        found.append(Finding(component=component, severity=severity, fact=str(flaw), fix=flaw.fix))
    return found


def _severity(view: RegionView) -> Severity:
    """Only what is missing where we would go refuses a run; what is missing where we are, or in a lost region, is for later."""
    return Severity.ERROR if view.role is Role.SECONDARY else Severity.WARNING
