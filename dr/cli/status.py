"""``dr status``: who is primary, what would be lost, what is in flight, what is owed, can we fail over now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.options import DrCommand, application, json_option, opened, state_option

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from dr.model.status import ComponentStatus, Readiness, RunSummary, StatusReport


@click.command(cls=DrCommand)
@click.argument("runbook", required=False, type=click.Path(path_type=Path))
@state_option
@json_option
def command(runbook: Path | None, state: str | None, as_json: bool) -> int:
    """Who is primary, lag and exposure of each component against its RPO, runs in flight, debt; can we fail over now.

    Without RUNBOOK: the runs in flight and the debt of this state directory, asking nothing of the network.
    """
    if runbook is None and _never_used(state, as_json=as_json):
        return 0
    app = application(state)
    report = app.status(None if runbook is None else opened(app, runbook))
    if as_json:
        from dr.cli.console import emit

        emit(report)
    elif runbook is None and not report.in_flight and not report.debt:
        click.echo(f"no run in flight in {report.state_directory}")
    else:
        from dr.cli.console import picture

        show_status(report, picture())
    return 0


def _never_used(state: str | None, *, as_json: bool) -> bool:
    """Says so without loading the models (0.1 s): the first thing that a newcomer types answers at once."""
    from dr.config.settings import shared_state, state_directory

    if shared_state(state) is not None:
        return False
    directory = state_directory(state)
    try:
        empty = not any(path.name.startswith("journal.db") for path in directory.iterdir())  # drills alone leave nothing to be said
    except FileNotFoundError:
        empty = True
    except OSError:
        return False  # the application says what is wrong with it
    if empty and as_json:
        click.echo(json.dumps(_empty(directory), indent=2))
    elif empty:
        click.echo(f"no run in flight in {directory}")
    return empty


def _empty(directory: Path) -> dict[str, str | list[str] | None]:
    """``dr.status/1`` of a state directory that holds nothing; a test compares it with the model."""
    from dr import __version__
    from dr.providers.system import SystemClock

    nothing: dict[str, str | list[str] | None] = dict.fromkeys(("runbook", "home", "primary", "lease", "readiness"))
    lists: dict[str, str | list[str] | None] = {"components": [], "in_flight": [], "debt": [], "troubles": []}
    at = f"{SystemClock().now():%Y-%m-%dT%H:%M:%S.%fZ}"
    return {"schema": "dr.status/1", "tool_version": __version__, "state_directory": str(directory), "at": at, **nothing, **lists}


def show_status(report: StatusReport, console: Console) -> None:
    """The status as people read it: the answer first."""
    from dr.cli.console import span

    if report.runbook is not None:
        where = f"primary: {report.primary}" if report.primary else "primary: not clear"
        home = "" if report.primary == report.home else f" (home is {report.home})"
        console.print(f"{report.runbook}   {where}{home}", style="bold")
        _components(report.components, report.at, console)
    if report.readiness is not None:
        _readiness(report.readiness, console)
    for run in report.in_flight:
        _run(run, console)
    if report.debt:
        console.print("left to be done:", style="bold")
        for debt in report.debt:
            age = f" (since {span((report.at - debt.since).total_seconds())})" if debt.since else ""
            console.print(f"  {debt.kind} {debt.component}: {debt.text}{age}", soft_wrap=True)
            owner = f"   owner: {debt.owner} (run {debt.run_id})" if debt.owner else ""
            console.print(f"    {debt.command}{owner}", style="cyan", soft_wrap=True)
    for trouble in report.troubles:
        console.print(f"shared state: {trouble}", style="yellow", soft_wrap=True)
    if report.lease is not None and report.lease.scope == "local":
        console.print("lease: local; only runs of this machine are kept apart", style="dim")
    elif report.lease is not None:
        console.print("lease: shared; runs of all machines with this --state are kept apart", style="dim")


def _components(components: tuple[ComponentStatus, ...], at: datetime, console: Console) -> None:
    from rich import box
    from rich.table import Table

    from dr.cli.console import span

    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in ("component", "regions", "lag", "recovery point", "sampled", "would be lost", "RPO", "against RPO", "ready"):
        table.add_column(name, overflow="fold")
    for item in components:
        regions = "  ".join(f"{name}: {view.role}" for name, view in item.regions.items())
        if item.exposure_reason and item.exposure_seconds is None and item.lag_age_seconds is None:
            table.add_row(item.id, regions, "-", "-", "-", "-", "-", item.exposure_reason, _ready(item))
            continue
        word, style = {True: ("within", "green"), False: ("ABOVE", "red"), None: ("unknown", "yellow")}[item.rpo_met]
        age = "-" if item.lag_age_seconds is None else f"{span(item.lag_age_seconds)} ago"
        table.add_row(
            item.id, regions, span(item.lag_seconds), _point(item.recovery_point, at), age, span(item.exposure_seconds),
            span(item.rpo_seconds), word, _ready(item), style=style,
        )  # fmt: skip
    console.print(table)
    for item in components:
        for name, view in item.regions.items():
            if view.reason:
                console.print(f"  {item.id} in {name}: {view.reason}", soft_wrap=True)
        for finding in item.findings:
            fix = f"  Try: {finding.fix}" if finding.fix else ""
            console.print(f"  {finding.severity}: {finding.component}: {finding.fact}{fix}", soft_wrap=True)


def _ready(item: ComponentStatus) -> str:
    """``ready``, or how many findings speak against it."""
    if item.readiness in (None, "ready"):
        return "-" if item.readiness is None else "ready"
    errors = sum(found.severity == "error" for found in item.findings)
    warnings = sum(found.severity == "warning" for found in item.findings)
    if item.readiness == "warnings":
        return f"{warnings} warning{'s' if warnings > 1 else ''}"
    return f"NOT: {errors} error{'s' if errors > 1 else ''}" if errors else "NOT: no answer"


def _point(moment: datetime | None, at: datetime) -> str:
    """The time of day; with the date where that is not today's."""
    from dr.cli.console import clock_time, date_time

    return "unknown" if moment is None else clock_time(moment) if moment.date() == at.date() else date_time(moment)


def _readiness(ready: Readiness, console: Console) -> None:
    from dr.cli.console import span
    from dr.model.words import Guard, Verdict

    words = {"yes": ("yes", "green"), "with-acceptance": ("only with acceptance", "yellow"), "no": ("NO", "red")}
    word, style = words[ready.verdict]
    loss = span(ready.would_lose_seconds) if ready.would_lose_seconds is not None else "an unknown amount"
    console.print(
        f"can we fail over to {ready.target} now: {word}; would lose at most {loss}, "
        f"predicted RTA {span(ready.predicted_rta_seconds)} against RTO {span(ready.rto_seconds)}",
        style=style,
        soft_wrap=True,
    )
    for guard in ready.guards:
        # that a healthy primary needs a reason is no news on a quiet day
        if guard.verdict is not Verdict.PASSED and guard.name is not Guard.PRIMARY_HEALTHY:
            console.print(f"  guard {guard.name} {guard.verdict}: {guard.reason}", style="yellow", soft_wrap=True)
    if ready.verdict != "no":
        console.print(f"  {ready.command}", style="cyan", soft_wrap=True)


def _run(run: RunSummary, console: Console) -> None:
    unseen = f"held by {run.holder}, which cannot be looked up from here (resume goes on with it if that is gone)"
    held = {True: f"held by {run.holder}", False: f"held by nobody (was {run.holder})", None: unseen}[run.holder_alive]
    console.print(f"run {run.run_id}: {run.intent} of {run.runbook} to {run.to_region}, {run.status}, {held}", style="bold", soft_wrap=True)
    if run.reason:
        console.print(f"  {run.reason}", soft_wrap=True)
    for typed in run.commands:
        console.print(f"  {typed}", style="cyan", soft_wrap=True)
