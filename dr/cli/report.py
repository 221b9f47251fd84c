"""``dr report``: every run and drill of a period, and how replication stood against its objectives meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.options import DrCommand, application, json_option, state_option
from dr.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from dr.model.period import PeriodReport, ReplicationReport


@click.command(cls=DrCommand)
@click.argument("runbook", required=False, type=click.Path(path_type=Path))
@click.option("--from", "begin", metavar="DATE", required=True, help="First moment: 2026-11-01 or 2026-11-01T08:00:00Z (UTC).")
@click.option("--to", "end", metavar="DATE", help="First moment after the period (that day is not part of it); default: now.")
@click.option("--html", "page", type=click.Path(path_type=Path), metavar="FILE", help="One self-contained HTML file; prints well.")
@state_option
@json_option
def command(runbook: Path | None, begin: str, end: str | None, page: Path | None, state: str | None, as_json: bool) -> int:
    """Every run and drill of a period, lag history, objectives against actuals, deviations and open debt.

    Without RUNBOOK: of everything in the state directory. Exit 3 where a record cannot be trusted; the rest is told all the same.
    """
    from dr.cli import pages
    from dr.cli.console import emit, picture, say

    app = application(state)
    first = moment(begin, "--from")
    last = app.state.clock.now() if end is None else moment(end, "--to")
    if last <= first:
        raise UsageError(f"--to {end or 'now'} is not after --from {begin}", hint="--to names the first moment after the period, in UTC")
    if page is not None:
        pages.check(page, "--html")
    report = app.report(first, last, runbook)
    if page is not None:
        from dr.report.period_page import render_period

        pages.write(page, render_period(report))
        say(f"report: {page}")
    if as_json:
        emit(report)
    elif page is None or report.exit_code:
        show_period(report, picture())
    return report.exit_code


def moment(text: str, option: str) -> datetime:
    """A date (its first moment) or a time stamp; UTC unless it names its zone.

    Raises:
        UsageError: neither.
    """
    try:
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):  # the year 1 begins in the year 0 where its zone is east of Greenwich
        raise UsageError(f"{option} {text}: not a date", hint=f"{option} 2026-11-01, or {option} 2026-11-01T08:00:00Z (UTC)") from None


def show_period(report: PeriodReport, console: Console) -> None:
    """The period as people read it at a terminal: what cannot be trusted first."""
    from dr.cli.console import date_time

    for problem in (*report.journal.problems, *report.unreadable):
        console.print(f"CANNOT BE TRUSTED: {problem}", style="bold red", soft_wrap=True)
    about = report.runbook or "all runbooks"
    console.print(f"{about}: {date_time(report.from_at)} to before {date_time(report.to_at)}", style="bold", soft_wrap=True)
    _replication(report.replication, console)
    _runs(report, console)
    _drills(report, console)
    if report.debt:
        console.print("owed at the end of the period:", style="bold")
    for item in report.debt:
        console.print(f"  {'open' if item.open else 'closed since'}: {item.kind} {item.component}: {item.text}", soft_wrap=True)
        console.print(f"    {item.command}" + (f"   owner: {item.owner}" if item.owner else ""), style="cyan", soft_wrap=True)
    held = "every chain holds" if report.journal.verified else "SEE ABOVE"
    console.print(f"from {report.journal.records} records of {report.journal.runs} runs in {report.journal.path}: {held}", soft_wrap=True)


def _replication(lines: tuple[ReplicationReport, ...], console: Console) -> None:
    from rich import box
    from rich.table import Table

    from dr.cli.console import date_time, span

    if not lines:
        console.print("replication: no lag sample and no run tells of it (dr monitor takes samples)", style="yellow")
        return
    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in ("component", "RPO", "inside", "above", "unknown", "worst exposure", "when", "worst lag", "samples"):
        table.add_column(name, justify="left" if name in ("component", "when") else "right", overflow="fold")
    for item in lines:
        table.add_row(
            item.component, "unknown" if item.rpo_seconds is None else span(item.rpo_seconds), per_cent(item.inside_share),
            per_cent(item.above_share), per_cent(item.unknown_share), span(item.worst_exposure_seconds), date_time(item.worst_exposure_at),
            span(item.worst_lag_seconds), str(item.samples), style="red" if item.above_seconds else None,
        )  # fmt: skip
    console.print(table)


def _runs(report: PeriodReport, console: Console) -> None:
    from dr.cli.console import date_time, span
    from dr.model.words import Known

    console.print(f"runs: {len(report.runs) or 'none'}", style="bold")
    for run in report.runs:
        goal = run.objectives
        said = f"{run.intent} {run.from_region} → {run.to_region}  {run.outcome} (exit {run.exit_code})"
        console.print(f"  {date_time(run.started_at)}  {said}  {run.run_id}", soft_wrap=True)
        if goal.rta_seconds is not None or goal.rto_met is not None:
            bound = ["at most " if state is Known.BOUND else "" for state in (goal.rta_state, goal.rpa_state)]
            console.print(
                f"    RTA {bound[0]}{span(goal.rta_seconds)} of {span(goal.rto_seconds)}, RPA {bound[1]}{span(goal.rpa_seconds)} of "
                f"{span(goal.rpo_seconds)}, by {', '.join(run.actors)}, {run.records} records, head {run.journal_head[:16]}",
                soft_wrap=True,
            )
        for text in run.deviations:
            console.print(f"    deviation: {text}", style="yellow", soft_wrap=True)
    for lost in report.broken:
        console.print(f"  {lost.started_at}  run {lost.run_id}: NOT TOLD, {lost.problem}", style="red", soft_wrap=True)


def _drills(report: PeriodReport, console: Console) -> None:
    from dr.cli.console import date_time

    console.print(f"drills: {len(report.drills) or 'none'}", style="bold")
    for item in report.drills:
        met = f"{item.expectations - len(item.unmet)} of {item.expectations} expectations met"
        what = f"{', '.join(item.components) or 'nothing'}, {item.deployments} Deployments"
        intents = ", ".join(item.intents) or "no run"
        console.print(
            f"  {date_time(item.started_at)}  {item.scenario} in world {item.world}: {item.verdict}, {met}; {intents}; {what}",
            style=None if item.verdict == "passed" else "red", soft_wrap=True,
        )  # fmt: skip


def per_cent(share: float | None) -> str:
    """A share so that 100 % means all of it: rounded down, with as many digits as that takes."""
    if share is None:
        return "unknown"
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    return f"{max(0.001, int(share * 100_000) / 1000):.3f} %"
