"""What the file alone says: does the order protect, does anything need the lost region, does it fit the objectives, can people do it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from dr.app.by_hand import unseen
from dr.app.platform import Platform
from dr.app.readiness.group import Group, Name
from dr.engine import graph
from dr.errors import UsageError
from dr.model.base import show_duration
from dr.model.plan import Plan, StepSpec
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Severity, Verb
from dr.providers.generic.command import CommandConfig

NAMED: tuple[Name, str] = ("runbook", "order, fences, the lost region, approvals, objectives, budgets, commands, by hand")
_TIGHTEST_RPO = timedelta(seconds=3)
"""Heartbeats come once a second, and a sample is as old again: what is tighter cannot be shown."""
_NEAR = 0.8
_SHOWN = 5
_ONLY_WAITS = (Verb.PROPAGATE, Verb.WAIT)
_PROOF = (Verb.PROMOTE, Verb.VERIFY_INSIDE)


def look(platform: Platform) -> Group:
    """Every check of the file."""
    group = Group(*NAMED)
    plans = _plans(platform, group)
    failover = next((plan for plan in plans if plan.intent is Intent.FAILOVER), None)
    if failover is not None:
        _fences(group, platform, failover)
        _names(group, platform, failover)
        _lost_region(group, failover)
        _people(group, platform, failover)
        _time(group, failover)
    _objectives(group, platform)
    for name, component in platform.runbook.components.items():
        _command(group, name, component.config)
    _by_hand(group, platform, plans)
    return group


def _plans(platform: Platform, group: Group) -> list[Plan]:
    """One plan for each intent, away from home and back; what cannot be planned is a finding."""
    home, found = platform.runbook.home, []
    try:
        away = platform.other(home)
    except UsageError as error:
        group.found("", Severity.WARNING, f"{error.message}: its moves are not looked at here", error.hint)
        return []
    for intent, source, target in (
        (Intent.FAILOVER, home, away), (Intent.SWITCHOVER, home, away), (Intent.REPROTECT, home, away), (Intent.FAILBACK, away, home),
    ):  # fmt: skip
        try:
            found.append(unseen(platform, intent, source, target))
            group.passed()
        except UsageError as error:
            group.found("", Severity.ERROR, f"{intent} cannot be planned: {error.message}", error.hint)
    return found


def _of(plan: Plan, component: str) -> list[StepSpec]:
    return [step for step in plan.steps if step.component == component]


def _fences(group: Group, platform: Platform, plan: Plan) -> None:
    """I4: a promotion needs the evidence of a fence."""
    for name in platform.runbook.components:
        verbs = {step.verb for step in _of(plan, name)}
        if Verb.PROMOTE not in verbs:
            continue
        fact = f"{name} is promoted without a fence: nothing keeps the old primary from writing"
        group.expect(Verb.FENCE in verbs, name, Severity.WARNING, fact, "a command component that cuts it off, which it needs")
        hosts = sorted({touch.region for step in _of(plan, name) if step.verb is Verb.FENCE for touch in step.touches
                        if touch.service == "host" and platform.runbook.regions[touch.region].host is None})  # fmt: skip
        fact = f"{name} cannot be fenced in {', '.join(hosts)}: no way to its hosts is written, so every failover needs --accept-split"
        group.expect(not hosts, name, Severity.WARNING, fact, f"regions: {{{hosts[0] if hosts else ''}: {{host: {{exec: […]}}}}}}")


def _names(group: Group, platform: Platform, plan: Plan) -> None:
    """I2: names lead only to what accepted a write; and somebody looks from outside, or nobody knows that service is back."""
    needs = graph.build({name: component.needs for name, component in platform.runbook.components.items()})
    proving = [name for name in platform.runbook.components if any(step.verb in _PROOF for step in _of(plan, name))]
    for name in platform.runbook.components:
        if not any(step.verb is Verb.REDIRECT for step in _of(plan, name)):
            continue
        missing = [other for other in proving if other != name and other not in graph.needed_by(needs, name)]
        fact = f"{name} does not need {', '.join(missing)}: names may lead there before a write was accepted"
        group.expect(not missing, name, Severity.ERROR, fact, f"needs: [{', '.join((*platform.runbook.components[name].needs, *missing))}]")
    outside = any(step.verb is Verb.VERIFY_OUTSIDE for step in plan.steps)
    fact = "nothing looks from outside whether service is back: the RTA ends with the redirect, and nobody knows"
    group.expect(outside, "", Severity.WARNING, fact, "a component that verifies through the public names, such as http-check")


def _lost_region(group: Group, plan: Plan) -> None:
    """A failover must never need the region that is lost; a fence there is tried and not waited for."""
    for component in dict.fromkeys(step.component for step in plan.steps):
        needed = [step.id for step in _of(plan, component)
                  if step.region == plan.source and step.verb is not Verb.FENCE and not step.optional]  # fmt: skip
        fact = f"a failover waits for {', '.join(needed)} in {plan.source}, the region that is lost"
        fix = "let it run in the target or here, or for planned moves only"
        group.expect(not needed, component, Severity.ERROR, fact, fix, plan.source)


def _people(group: Group, platform: Platform, plan: Plan) -> None:
    """Who must say yes, and whether the RTO waits for them."""
    waiting = [step for step in plan.steps if step.approval]
    if platform.runbook.approvals.failover == 0 and not waiting:
        fact = "one person alone can fail over: no approval is asked for"
        group.found("", Severity.INFO, fact, "approvals: {failover: 1}, if somebody else is awake at any hour")
        return
    group.passed()
    if not waiting:
        return
    names, most = ", ".join(step.id for step in waiting), max(step.budget for step in waiting)
    fact = f"a failover waits for people ({names}), up to {show_duration(most)}; counted as {show_duration(_sum(waiting))} of the RTO"
    fix = f"somebody beside the requester must answer at 03:00, well within {show_duration(plan.rto)}; or ask after the fact"
    group.expect(most <= plan.rto, "", Severity.WARNING, fact, fix)


def _sum(steps: Sequence[StepSpec]) -> timedelta:
    return sum((step.estimate for step in steps), timedelta(0))


def _time(group: Group, plan: Plan) -> None:
    """The critical path against the RTO, and what would be waited for longer than the RTO lasts."""
    path = " → ".join(plan.critical_path)
    took, rto = show_duration(plan.predicted_rta), show_duration(plan.rto)
    fact = f"the critical path takes {took}, the RTO is {rto}: {path}"
    group.expect(plan.predicted_rta <= plan.rto, "", Severity.ERROR, fact, "a longer RTO, or less on that path")
    near = plan.rto * _NEAR < plan.predicted_rta <= plan.rto
    group.expect(not near, "", Severity.WARNING, f"little is left: {fact}", "a longer RTO, or less on that path")
    waits = [step for step in plan.steps if step.budget > plan.rto and not step.approval and step.verb not in _ONLY_WAITS
             and (slot := plan.schedule.get(step.id)) and slot.latest_finish is not None]  # fmt: skip
    names = ", ".join(f"{step.id} ({show_duration(step.budget)})" for step in waits[:_SHOWN])
    fact = f"would be waited for longer than the RTO of {rto} before it counts as failed: {names}"
    group.expect(not waits, "", Severity.INFO, fact, "a shorter time-out, where it can be set: a run that cannot keep the RTO says so live")


def _objectives(group: Group, platform: Platform) -> None:
    """RPOs that nothing can show, and those of components that are looser than what the runbook promises."""
    promised = platform.runbook.objectives.rpo
    group.expect(promised > timedelta(0), "", Severity.ERROR, "an RPO of 0 cannot be shown: replication follows", "objectives: {rpo: 15m}")
    for name, component in platform.runbook.components.items():
        if component.rpo is None:
            continue
        tight = f"the RPO of {name} is {show_duration(component.rpo)}: tighter than samples and heartbeats of one second can show"
        group.expect(component.rpo >= _TIGHTEST_RPO, name, Severity.WARNING, tight, f"rpo: {_TIGHTEST_RPO.seconds}s or more")
        loose = f"{name} may lose {show_duration(component.rpo)}, the runbook promises {show_duration(promised)}"
        group.expect(component.rpo <= promised, name, Severity.WARNING, loose, f"rpo: {show_duration(promised)} or less")


def _command(group: Group, name: str, config: KindConfig) -> None:
    """A program of the user's own: can it be taken back, told whether it ran, tried in the lab?"""
    if not isinstance(config, CommandConfig):
        return
    planned = [intent for intent in (Intent.SWITCHOVER, Intent.FAILBACK) if config.active(intent)]
    undo = config.irreversible or not planned or all(config.argv("undo", intent) for intent in planned)
    fact = f"{name} has no undo: a planned move that fails after it leaves its effect behind"
    group.expect(undo, name, Severity.WARNING, fact, "undo: […], or irreversible: true")
    known = config.repeatable or config.check is not None
    fact = f"{name} has no check and is not repeatable: after an interruption the run waits for a person"
    group.expect(known, name, Severity.WARNING, fact, "check: […], or repeatable: true")
    fact = f"{name} runs in {', '.join(config.worlds)} only: no drill has ever run it"
    group.expect(set(config.worlds) != {"live"}, name, Severity.INFO, fact, "worlds: [live, lab], if it can be run there")


def _by_hand(group: Group, platform: Platform, plans: Sequence[Plan]) -> None:
    """Every step has a command and a check that a person can type."""
    for name in platform.runbook.components:
        mine = list(_first(plans, name))
        for what, lacking in (
            ("cannot be done by hand: no command is known for", [step.id for step in mine if not step.by_hand]),
            ("cannot be checked by hand:", [step.id for step in mine if not step.check_by_hand]),
        ):
            more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
            fact = f"{name} {what} {', '.join(lacking[:_SHOWN])}{more}"
            group.expect(not lacking, name, Severity.WARNING, fact, "write it down beside the output of dr runbook render")


def _first(plans: Sequence[Plan], component: str) -> Iterator[StepSpec]:
    seen: set[str] = set()
    for step in (step for plan in plans for step in _of(plan, component)):
        if step.id not in seen:
            seen.add(step.id)
            yield step
