"""What a failover would call in the region that is lost, or where an API lives in one place for everybody (I11).

On 2025-10-19 the control planes in us-east-1 were away for most of a day, and regions that nobody had lost could not be moved to.
"""

from __future__ import annotations

from collections.abc import Iterator

from dr.app.by_hand import unseen
from dr.app.platform import Platform
from dr.app.readiness.group import Group, Name
from dr.errors import UsageError
from dr.model.plan import Plan, StepSpec, Touch
from dr.model.words import Intent, Severity, Verb

NAMED: tuple[Name, str] = ("dependencies", "what a failover calls in the lost region, and in control planes that live in one region only")


def look(platform: Platform, lost: str) -> Group:
    """One check for each step of a failover away from ``lost``. Raises UsageError: there is no such region, or no single way out."""
    source = platform.region(lost)
    target = platform.other(source)
    group = Group(*NAMED)
    try:
        plan = unseen(platform, Intent.FAILOVER, source, target)
    except UsageError as error:
        group.found("", Severity.ERROR, f"a failover to {target} cannot be planned: {error.message}", error.hint)
        return group
    for step in plan.steps:
        found = list(_calls(platform, plan, step))
        if not found:
            group.passed()
        for severity, touch, why in found:
            fix = touch.instead or "let the step touch the target only, or make it optional"
            fact = f"{step.id} calls {touch.service} ({touch.plane} plane) in {touch.region}{why}"
            group.found(step.component, severity, fact, "" if severity is Severity.INFO else fix, step.region)
    return group


def _calls(platform: Platform, plan: Plan, step: StepSpec) -> Iterator[tuple[Severity, Touch, str]]:
    lost = {plan.source, _name(platform, plan.source)}
    regions = {*platform.runbook.regions, *(_name(platform, region) for region in platform.runbook.regions)}
    when = plan.schedule.get(step.id)
    after = when is not None and when.latest_finish is None
    for touch in step.touches:
        alone = touch.region not in platform.runbook.regions
        if touch.region in lost:
            why = f", {'whose one home is' if alone else 'which is'} the region that is lost"
        elif alone and touch.plane == "control":
            why = ", the one place where it lives" + ("" if touch.region in regions else ", whichever region is lost")
        else:
            continue
        if step.optional or touch.tried or step.verb is Verb.FENCE:
            yield Severity.INFO, touch, f"{why}: tried, and not waited for"
        elif after:
            yield Severity.WARNING, touch, f"{why}: only after service is back"
        else:
            yield Severity.ERROR, touch, why


def _name(platform: Platform, region: str) -> str:
    """What the provider calls a region of the runbook."""
    aws = platform.runbook.regions[region].aws
    return (aws.region if aws is not None else None) or region
