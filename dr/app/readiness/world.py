"""The world as it is: who is primary, does the other side answer, what do the kinds find there, would the guards let a failover pass?"""

from __future__ import annotations

from dr.app import outlook
from dr.app.platform import Platform
from dr.app.readiness.group import Group, Name
from dr.app.runs import Request, Runs
from dr.engine import guards
from dr.errors import DrError
from dr.model.lag import ComponentView, Finding
from dr.model.plan import GuardResult
from dr.model.words import Guard, Intent, Role, Severity, Verdict

NAMED: tuple[Name, str] = ("world", "regions that answer, one primary, what each kind found, the guards of a failover")
_SAID_ELSEWHERE = (Guard.PRIMARY_HEALTHY, Guard.TARGET_REACHABLE, Guard.PREREQUISITES)
"""A healthy primary is no finding; what the other two say stands among the views already."""


def look(runs: Runs, platform: Platform, seen: outlook.Outlook, target: str | None) -> Group:
    """Every component in every region, then the guards for a move to ``target``."""
    group = Group(*NAMED)
    for view in seen.views:
        _regions(group, view, target)
        for finding in view.findings:
            _finding(group, finding, target)
    primaries = {view.primary for view in seen.views if view.primary is not None}
    where = ", ".join(f"{view.component} in {view.primary}" for view in seen.views if view.primary is not None)
    fact = f"the primary is not one region: {where}"
    group.expect(len(primaries) < 2, "", Severity.ERROR, fact, f"dr status {platform.runbook.path}: finish or undo the move that was begun")
    fact = "no region is primary of anything, as far as can be seen from here"
    group.expect(bool(primaries) or not any(view.regions for view in seen.views), "", Severity.WARNING, fact)
    if seen.primary is not None and target is not None:
        _guards(group, runs, platform, seen, target)
    return group


def _regions(group: Group, view: ComponentView, target: str | None) -> None:
    """The side that a failover would go to must answer; the other one may be lost, and nothing can be said of it then."""
    for region, there in view.regions.items():
        if there.role in (Role.PRIMARY, Role.SECONDARY):
            group.passed()
            continue
        needed = region == target
        fact = f"{view.component} in {region} is {there.role}, so nothing there was checked" + (f": {there.reason}" if there.reason else "")
        fix = f"nothing can be moved to {region} before it answers there" if needed else ""
        group.found(view.component, Severity.ERROR if needed else Severity.WARNING, fact, fix, region)


def _finding(group: Group, finding: Finding, target: str | None) -> None:
    """What a kind found; what keeps only the other direction from working is no error for this one."""
    elsewhere = finding.region is not None and target is not None and finding.region != target and finding.severity is Severity.ERROR
    severity = Severity.WARNING if elsewhere else finding.severity
    group.found(finding.component, severity, finding.fact, finding.fix, finding.region)


def _guards(group: Group, runs: Runs, platform: Platform, seen: outlook.Outlook, target: str) -> None:
    try:
        plan = runs.plan(platform, Request(Intent.FAILOVER, target, actor="check"), seen).plan
    except DrError as error:
        group.found("", Severity.ERROR, f"a failover to {target} cannot be planned: {error.message}", error.hint, target)
        return
    for result in plan.guards:
        if result.name not in _SAID_ELSEWHERE:
            group.expect(result.verdict is not Verdict.REFUSED, result.component or "", *_said(result), target)
    slow = f"by what earlier runs took, a failover to {target} takes longer than the RTO"
    group.expect(plan.predicted_rta <= plan.rto, "", Severity.ERROR, slow, f"dr plan {platform.runbook.path} --to {target}", target)


def _said(result: GuardResult) -> tuple[Severity, str, str]:
    accept = " ".join(result.accept or guards.FLAG.get(result.name, ()))
    fix = "find out why replication does not keep up: dr lag" if result.name is Guard.EXPOSURE else ""
    return Severity.ERROR, f"guard {result.name} would refuse: {result.reason}" + (f" (accepted with {accept})" if accept else ""), fix
