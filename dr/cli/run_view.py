"""The summary of a run: objectives first, then what was lost, what is left to be done, and the next thing to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dr.cli.console import clock_time, date_time, span
from dr.model.report import AccountedReport, RunReport, StepReport
from dr.model.words import FenceState, Known, RunOutcome, StepState, Verdict

if TYPE_CHECKING:
    from rich.console import Console

_GOOD = (RunOutcome.COMPLETED, RunOutcome.ALREADY)
_MET = {True: ("met", "green"), False: ("MISSED", "red"), None: ("not known to be met", "yellow")}


def show_run(report: RunReport, console: Console, *, steps: bool = False) -> None:
    """The summary; ``steps`` adds every step."""
    good = report.outcome in _GOOD and report.exit_code == 0
    console.print(
        f"{report.outcome}: {report.intent} of {report.runbook} from {report.from_region} to {report.to_region}  (run {report.run_id})",
        style="bold green" if good else "bold red",
    )
    if report.reason:
        console.print(f"  {report.reason}", soft_wrap=True)
    if report.steps:
        _objectives(report, console)
        _losses(report, console)
        _platform(report, console)
    if steps:
        show_steps(report, console)
    for guard in report.guards:
        if guard.verdict is not Verdict.PASSED:
            by = f" by {guard.overridden_by}" if guard.overridden_by else ""
            where = f" at {guard.step}" if guard.step else ""
            console.print(f"  guard {guard.name} {guard.verdict}{by}{where}: {guard.reason}", style="yellow", soft_wrap=True)
    for deviation in report.deviations:
        console.print(f"  deviation: {deviation}", style="yellow", soft_wrap=True)
    if report.debt:
        console.print("left to be done:", style="bold")
        for debt in report.debt:
            console.print(f"  {debt.kind} {debt.component}: {debt.text}", soft_wrap=True)
            owner = f"   owner: {debt.owner}" if debt.owner else ""
            console.print(f"    {debt.command}{owner}", style="cyan", soft_wrap=True)
    if report.hint:
        console.print(f"Next: {report.hint}", style="cyan", soft_wrap=True)


def _objectives(report: RunReport, console: Console) -> None:
    """What was promised and what was; nothing where the run moved nothing."""
    if not report.intent.moves or report.outcome in (RunOutcome.ALREADY, RunOutcome.REFUSED):
        return
    goal = report.objectives
    for name, limit, actual, state, met in (
        ("RTA (recovery time actual)", goal.rto_seconds, goal.rta_seconds, goal.rta_state, goal.rto_met),
        ("RPA (recovery point actual)", goal.rpo_seconds, goal.rpa_seconds, goal.rpa_state, goal.rpo_met),
    ):
        word, style = _MET[met]
        most = "at most " if state is Known.BOUND else ""
        console.print(f"  {name:<28} {most}{span(actual)} of {span(limit)} ({name[0]}{name[1]}O): {word}", style=style)
    parts = report.rta_breakdown_seconds
    named = (("detect", parts.detect), ("decide", parts.decide), ("execute", parts.execute), ("propagate", parts.propagate))
    if report.point_of_no_return_at is not None:
        passed = f"passed {clock_time(report.point_of_no_return_at)}, {report.point_of_no_return_step}"
        console.print(f"  point of no return: {passed}", soft_wrap=True)
    split = [f"{name} {span(value)}" for name, value in (*named, ("verify", parts.verify)) if value is not None]
    if split:
        console.print("  " + " · ".join(split))


def _losses(report: RunReport, console: Console) -> None:
    for component in report.components:
        bound = "at most " if component.rpa_state is Known.BOUND else ""
        console.print(
            f"  {component.id}: lost {bound}{span(component.rpa_seconds)} of {span(component.rpo_seconds)}, "
            f"recovery point {date_time(component.recovery_point)}",
            soft_wrap=True,
        )
    if report.fence.state is not FenceState.NOT_NEEDED:
        said = f"{report.fence.state}. {report.fence.evidence}" if report.fence.tried else "not tried"
        console.print(f"  fence: {said}", soft_wrap=True)
    if report.divergence.state != "none":
        where = f" at {report.divergence.preserved_at}" if report.divergence.preserved_at else ""
        console.print(f"  divergence: {report.divergence.state}{where}", style="yellow", soft_wrap=True)


def _platform(report: RunReport, console: Console) -> None:
    facts = []
    if report.deployments.total:
        facts.append(f"Deployments healthy {report.deployments.healthy} of {report.deployments.total}")
    if report.identities.checked:
        who = report.identities
        lost = f", {sum(who.fewer.values())} rows of history fewer" if who.fewer else ""
        different = len(who.changed) + len(who.contents) + len(who.missing)
        facts.append(f"identities {who.checked} checked, {different} changed or missing{lost}")
    tasks = report.tasks
    if tasks.in_flight is not None:
        lost = "an unknown number of others lost" if tasks.lost is None else f"{tasks.lost} lost"
        facts.append(f"tasks in flight {tasks.in_flight}: {tasks.requeued} requeued, {tasks.failed} failed, {lost}")
    if facts:
        console.print("  " + " · ".join(facts), soft_wrap=True)
    for item in report.accounted:
        _accounted(item, console)


def _accounted(item: AccountedReport, console: Console) -> None:
    """One line an account; what is not equal is named."""
    parts = [f"{item.missing_total} missing", f"{item.differing_total} differing", f"{item.conflicts_total} conflicts"]
    other = "" if item.complete else ", the other side was not asked"
    names = ", ".join((*item.missing, *item.differing, *item.conflicts)[:5])
    console.print(
        f"  {item.component} in {item.region}: {item.equal} of {item.checked} equal, {', '.join(parts)}, {item.repaired} repaired{other}"
        + (f": {names}" if names else ""),
        style="yellow" if item.unequal or item.conflicts_total else None, soft_wrap=True,
    )  # fmt: skip


def show_steps(report: RunReport, console: Console) -> None:
    """Every step with its times; ``*`` marks the critical path, ``!`` what cannot be undone."""
    from rich import box
    from rich.table import Table

    critical = set(report.critical_path.steps)
    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in ("", "step", "region", "state", "tries", "started", "took", "expected", "why"):
        table.add_column(name, justify="right" if name in ("tries", "took", "expected") else "left", overflow="fold")
    for step in report.steps:
        sign = ("!" if step.irreversible else " ") + ("*" if step.id in critical else " ")
        table.add_row(
            sign, step.id, step.region, str(step.state), str(step.attempts), clock_time(step.started_at),
            "-" if step.duration_seconds is None else span(step.duration_seconds), span(step.estimate_seconds), _why(step),
            style=_style(step),
        )  # fmt: skip
    console.print(table)


def _why(step: StepReport) -> str:
    return step.reason if not step.state.satisfied or step.state is StepState.SKIPPED else ""


def _style(step: StepReport) -> str | None:
    if step.state is StepState.FAILED:
        return "red"
    return "yellow" if step.over_budget or step.state in (StepState.UNKNOWN, StepState.WAITING_APPROVAL) else None
