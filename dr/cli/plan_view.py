"""Pictures of a plan: waves with markers, the critical path, Mermaid. Reads a plan, decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dr.model.base import show_duration
from dr.model.plan import Plan, StepSpec
from dr.model.words import Verb, Verdict

if TYPE_CHECKING:
    from rich.console import Console

LEGEND = "+ adds or starts   ~ changes   ! cannot be undone   · only looks   ? waits for a person   * critical path"

_LOOKS = (Verb.SNAPSHOT, Verb.VERIFY_INSIDE, Verb.VERIFY_OUTSIDE, Verb.PROPAGATE, Verb.CANARY, Verb.FINGERPRINT, Verb.CHECK, Verb.WAIT)
_ADDS = (Verb.PREPARE, Verb.SCALE, Verb.START, Verb.PRESERVE, Verb.FOLLOW, Verb.RELEASE)
_PEOPLE = (Verb.APPROVAL, Verb.GATE)


def marker(step: StepSpec) -> str:
    """One character: what the step does to the world."""
    if step.irreversible:
        return "!"
    if step.approval or step.verb in _PEOPLE:
        return "?"
    if step.verb in _LOOKS:
        return "·"
    return "+" if step.verb in _ADDS else "~"


def waves(steps: Sequence[StepSpec]) -> list[list[StepSpec]]:
    """Steps by depth: those of a wave need something of the wave before. Only for reading: at run time nothing waits for a wave."""
    depth: dict[str, int] = {}
    by_id = {step.id: step for step in steps}
    for start in by_id:
        stack = [start]
        while stack:
            step = by_id[stack[-1]]
            open_needs = [need for need in step.needs if need not in depth and need in by_id]
            if open_needs:
                stack.extend(open_needs)
            else:
                depth[stack.pop()] = max((depth[need] + 1 for need in step.needs if need in by_id), default=0)
    result: list[list[StepSpec]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for step in steps:
        result[depth[step.id]].append(step)
    return result


def show_plan(plan: Plan, console: Console) -> None:
    """The plan as people read it."""
    console.print(f"{plan.intent} of {plan.runbook}: from {plan.source} to {plan.target}", style="bold")
    if not plan.steps:
        console.print(f"nothing to do: {plan.target} is already primary")
        return
    critical = set(plan.critical_path)
    width = max(len(step.id) for step in plan.steps)
    for number, wave in enumerate(waves(plan.steps), 1):
        console.print(f"wave {number}", style="dim")
        for step in wave:
            sign = marker(step)
            star = "*" if step.id in critical else " "
            row = f"  {sign} {star} {step.id:<{width}}  {step.region:<8} {show_duration(step.estimate):>7}  {step.title}"
            console.print(row, style="red" if sign == "!" else "bold" if star == "*" else None, soft_wrap=True)
    console.print(LEGEND, style="dim")
    console.print("critical path: " + " → ".join(plan.critical_path), soft_wrap=True)
    met = plan.predicted_rta <= plan.rto
    console.print(
        f"predicted RTA (recovery time actual) {show_duration(plan.predicted_rta)} against RTO {show_duration(plan.rto)}: "
        + ("within it" if met else "TOO LONG"),
        style="green" if met else "red",
    )
    for guard in plan.guards:
        if guard.verdict is not Verdict.PASSED:
            by = f", overridden by {guard.overridden_by}" if guard.overridden_by else ""
            console.print(f"guard {guard.name} {guard.verdict}: {guard.reason}{by}", style="yellow", soft_wrap=True)


def mermaid(plan: Plan) -> str:
    """The graph as a Mermaid flow chart, the critical path drawn thick."""
    names = {step.id: f"s{number}" for number, step in enumerate(plan.steps)}
    critical = set(plan.critical_path)
    lines = ["flowchart LR"]
    for component in dict.fromkeys(step.component for step in plan.steps):
        lines.append(f'  subgraph {component.replace("-", "_")}_["{component}"]')
        for step in plan.steps:
            if step.component == component:
                label = f"{marker(step)} {step.id.removeprefix(component + '/')}<br/>{show_duration(step.estimate)}"
                lines.append(f'    {names[step.id]}["{label}"]')
        lines.append("  end")
    for step in plan.steps:
        for need in step.needs:
            arrow = "==>" if need in critical and step.id in critical else "-->"
            lines.append(f"  {names[need]} {arrow} {names[step.id]}")
    marked = [names[step.id] for step in plan.steps if step.irreversible]
    if marked:
        lines += ["  classDef irreversible stroke:#c00,stroke-width:3px", f"  class {','.join(marked)} irreversible"]
    return "\n".join(lines)
