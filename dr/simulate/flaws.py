"""Flaws of a runbook: seen in its plans, and held against the stories that were played. Each with what would mend it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dr.engine import graph
from dr.model.base import show_duration
from dr.model.plan import Plan, StepSpec
from dr.model.runbook import Runbook
from dr.model.simulation import Flaw
from dr.model.words import Guard, Intent, Verb
from dr.simulate.survey import Tally, values

_ONLY_WAITS = (Verb.PROPAGATE, Verb.WAIT)
_PROOF = (Verb.PROMOTE, Verb.VERIFY_INSIDE)
_WANTED = {"images": ("oci-registry", "aws.ecr"), "secrets": ("vault-kv", "aws.secretsmanager", "aws.ssm-parameters")}
"""What Deployments cannot start without, and the kinds that look after it."""
_NOT_DEPLOYMENTS = ("aws.lambda-event-source",)
"""What starts and needs none of it."""


def flaws(runbook: Runbook, plans: Mapping[Intent, Plan], found: Tally) -> tuple[Flaw, ...]:
    """All of them, in the order in which a failover would meet them. ``plans``: as they follow from the runbook, away from home."""
    failover = plans[Intent.FAILOVER]
    return (
        *_fences(runbook, failover, found), *_people(failover, found), *_needs(runbook, failover, found), *_names(runbook, failover, found),
        *_time(plans, found), *_loss(runbook, found),
    )  # fmt: skip


def _of(plan: Plan, component: str, *verbs: Verb) -> list[StepSpec]:
    return [step for step in plan.steps if step.component == component and (not verbs or step.verb in verbs)]


def _ids(steps: Sequence[StepSpec]) -> tuple[str, ...]:
    return tuple(step.id for step in steps)


def _needed(runbook: Runbook, component: str) -> frozenset[str]:
    return graph.needed_by(graph.build({name: item.needs for name, item in runbook.components.items()}), component)


def _fences(runbook: Runbook, plan: Plan, found: Tally) -> Iterator[Flaw]:
    """I4: nothing is promoted beside a primary that may still write."""
    for name in runbook.components:
        promotes = [step for step in _of(plan, name, Verb.PROMOTE) if step.irreversible]  # what can be taken back has not forked
        fences = _of(plan, name, Verb.FENCE)
        hosts = {touch.region for step in fences for touch in step.touches if touch.service == "host"}
        shut = sorted(region for region in hosts if runbook.regions[region].host is None)
        if not promotes or (fences and not shut):
            continue
        if fences:
            text = f"no way to the hosts of {', '.join(shut)} is written, so {name} is fenced there never, however healthy the hosts are"
            fix = f"regions: {{{shut[0]}: {{host: {{exec: [ssh, …]}}}}}}"
        else:
            text = f"{name} is promoted without a fence: an old primary that comes back, or was only cut off, writes beside the new one"
            fix = f"a component that stops the old primary (kind: command, where: source), in the needs of {name}"
        yield Flaw(
            name="no-fence", component=name, steps=_ids(promotes), intents=(Intent.FAILOVER,), text=text, fix=fix,
            stories=found.counts["guard", Guard.FENCE.value, "stories"], of=found.stories,
        )  # fmt: skip


def _people(plan: Plan, found: Tally) -> Iterator[Flaw]:
    """At night nobody sits beside who is on call."""
    waiting = [step for step in plan.steps if step.approval]
    if not waiting:
        return
    waits = [values(found, "waited", step.id) for step in waiting]
    longest = max(waits, key=lambda item: item.p50_seconds or 0.0)
    names = ", ".join(step.id for step in waiting)
    yield Flaw(
        name="nobody-approves", component=waiting[0].component, steps=_ids(waiting), intents=(Intent.FAILOVER,),
        text=f"a failover waits for somebody beside the one who is on call ({names}); at night service stays away until somebody wakes up",
        fix="approvals: {failover: 0} and a review afterwards; or two people on call, with the wait counted in the RTO",
        stories=longest.known + longest.unknown, of=found.stories, lost_seconds=longest.p50_seconds,
    )  # fmt: skip


def _needs(runbook: Runbook, plan: Plan, found: Tally) -> Iterator[Flaw]:
    """I13: what a Deployment needs is there before it starts; somebody must look."""
    for name in runbook.components:
        starts = _of(plan, name, Verb.START)
        if not starts or runbook.components[name].kind in _NOT_DEPLOYMENTS:
            continue
        needed = _needed(runbook, name)
        for what, kinds in _WANTED.items():
            there = [other for other, item in runbook.components.items() if item.kind in kinds]
            if any(other in needed for other in there):
                continue
            if there:
                text = f"{name} does not need {', '.join(there)}: it starts in the target whether its {what} are there or nowhere"
                fix = f"components.{name}.needs: [{', '.join((*runbook.components[name].needs, *there))}]"
            else:
                text = f"nobody looks whether the {what} of {name} are in the target: that one is nowhere shows only at the start"
                fix = f"a component of kind {kinds[0]}, in the needs of {name}"
            yield Flaw(
                name="unchecked-need", component=name, steps=_ids(starts), intents=(Intent.FAILOVER, Intent.SWITCHOVER), text=text, fix=fix,
                stories=found.counts["guard", Guard.PREREQUISITES.value, "stories"], of=found.stories,
            )  # fmt: skip


def _names(runbook: Runbook, plan: Plan, found: Tally) -> Iterator[Flaw]:
    """I2: names lead only to what accepted a write; and somebody looks from outside."""
    proving = [name for name in runbook.components if _of(plan, name, *_PROOF)]
    for name in runbook.components:
        redirects = _of(plan, name, Verb.REDIRECT)
        missing = [other for other in proving if other != name and other not in _needed(runbook, name)]
        if not redirects or (proving and not missing):
            continue
        text = f"{name} leads people to the target before anybody saw it take a write" + (f" ({', '.join(missing)})" if missing else "")
        needs = ", ".join((*runbook.components[name].needs, *missing)) or "what takes the writes"
        yield _unverified(name, redirects, text, f"components.{name}.needs: [{needs}]", found)
    redirects = [step for step in plan.steps if step.verb is Verb.REDIRECT]
    if redirects and not any(step.verb is Verb.VERIFY_OUTSIDE for step in plan.steps):
        text = "names are moved, and nobody looks through them whether service is back: the run is over with the redirect, and nobody knows"
        yield _unverified(redirects[0].component, redirects, text, "a component of kind http-check, which needs the names", found)


def _unverified(component: str, steps: Sequence[StepSpec], text: str, fix: str, found: Tally) -> Flaw:
    return Flaw(
        name="unverified-names", component=component, steps=_ids(steps), intents=(Intent.FAILOVER, Intent.SWITCHOVER), text=text, fix=fix,
        stories=found.stories - found.counts["completed", "group", "all"], of=found.stories,
    )  # fmt: skip


def _time(plans: Mapping[Intent, Plan], found: Tally) -> Iterator[Flaw]:
    """Steps that cannot fit: by what they are expected to take, else by how long they are waited for."""
    told: set[tuple[str, ...]] = set()
    for intent, plan in plans.items():
        rto = show_duration(plan.rto)
        if plan.predicted_rta > plan.rto:
            steps = sorted((step for step in plan.steps if step.id in plan.critical_path), key=lambda step: -step.estimate)[:3]
            named = ", ".join(f"{step.id} ({show_duration(step.estimate)})" for step in steps)
            text = f"a {intent} takes {show_duration(plan.predicted_rta)} by its estimates, the RTO is {rto}; longest: {named}"
            fix = "less on the critical path (dr plan), or a longer RTO"
        else:
            steps = [step for step in plan.steps if _waits_too_long(plan, step)]
            named = ", ".join(f"{step.id} ({show_duration(step.budget)})" for step in steps[:3])
            text = f"in a {intent} these are waited for longer than the RTO of {rto} before they count as failed: {named}"
            fix = "a shorter time-out of these, or a longer RTO"
        if steps and _ids(steps) not in told:
            told.add(_ids(steps))
            yield Flaw(
                name="over-budget", component=steps[0].component, steps=_ids(steps), intents=(intent,), text=text, fix=fix,
                stories=found.stories - found.counts["rto", "group", "all"], of=found.stories,
            )  # fmt: skip


def _waits_too_long(plan: Plan, step: StepSpec) -> bool:
    """Only what is between the outage and service: of a planned move from its freeze on."""
    slot = plan.schedule.get(step.id)
    if slot is None or slot.latest_finish is None or step.approval or step.optional or step.verb in _ONLY_WAITS:
        return False
    ends = [plan.schedule[other.id].earliest_start for other in plan.steps if other.verb in (Verb.FREEZE, Verb.FENCE)]
    return step.budget > plan.rto and (not plan.intent.planned or not ends or slot.earliest_start >= min(ends))


def _loss(runbook: Runbook, found: Tally) -> Iterator[Flaw]:
    """An RPO that is missed although nothing went wrong but that the region was lost. What an old primary took after the disaster, because
    it came back or a split was accepted, is no fault of replication."""
    calm = found.counts["calm-loss",]
    for name in runbook.components:
        missed = found.counts["calm-loss-over", name]
        if missed:
            yield Flaw(
                name="tight-rpo", component=name, steps=(), intents=(Intent.FAILOVER,),
                text=f"the RPO of {name} is {show_duration(runbook.rpo(name))}; replication with nothing wrong is behind by more than that",
                fix=f"components.{name}.rpo: as much as dr lag shows at the worst hour, or synchronous replication",
                stories=missed, of=calm,
            )  # fmt: skip
