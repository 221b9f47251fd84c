"""``dr runs``: all runs, one in full, or one as it goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.options import DrCommand, application, json_option, state_option

if TYPE_CHECKING:
    from rich.table import Table

    from dr.app import App
    from dr.model.report import RunReport
    from dr.model.status import RunSummary


@click.command(cls=DrCommand)
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--watch", is_flag=True, help="Follow RUN until it ends or pauses, whichever process holds it.")
@click.option("--html", "page", type=click.Path(path_type=Path), metavar="FILE", help="RUN as one self-contained HTML file.")
@state_option
@json_option
def command(run_id: str | None, watch: bool, page: Path | None, state: str | None, as_json: bool) -> int:
    """All runs of this state directory, newest first; with RUN its steps, objectives and debt."""
    from dr.cli import pages
    from dr.cli.console import emit, picture
    from dr.errors import UsageError
    from dr.model.status import RunList

    app = application(state)
    if run_id is None:
        if watch or page is not None:
            option = "--watch" if watch else "--html FILE"
            raise UsageError(f"{option} needs a run", hint=f"dr runs, then dr runs RUN {option}")
        summaries = app.list_runs()
        if as_json:
            emit(RunList(runs=summaries))
        elif summaries:
            picture().print(table(summaries))
        else:
            click.echo(f"no runs in {app.state.directory}")
        return 0
    if page is not None:
        pages.check(page, "--html")
    if watch:
        _watch(app, run_id)
    from dr.cli.host import show

    report = app.run_report(run_id)
    if page is not None:
        _write(app, report, page)
    show(report, as_json=as_json, steps=True)
    return 0


def _write(app: App, report: RunReport, page: Path) -> None:
    """The page with the lag of the time before, where the monitor still has it."""
    from dr.cli import pages
    from dr.cli.console import say
    from dr.report.html import BEFORE, render_run

    disaster = report.stamps.outage_began or report.stamps.decided
    lag = [] if disaster is None else app.state.samples.history(report.runbook, disaster - BEFORE)
    pages.write(page, render_run(report, lag))
    say(f"report: {page}")


def _watch(app: App, run_id: str) -> None:
    import sys

    from dr.cli.live import Watcher

    app.run_report(run_id)  # says so where there is no such run
    watcher = Watcher(app, run_id, app.state.clock.now, terminal=sys.stderr.isatty())
    watcher.start()
    watcher.wait()


def table(runs: tuple[RunSummary, ...]) -> Table:
    """One row a run."""
    from rich import box
    from rich.table import Table

    from dr.cli.console import date_time, span

    grid = Table(box=box.SIMPLE, pad_edge=False)
    for name in ("run", "runbook", "intent", "from", "to", "status", "started", "took", "who"):
        grid.add_column(name, overflow="fold")
    for run in runs:
        took = "-" if run.ended_at is None else span((run.ended_at - run.started_at).total_seconds())
        grid.add_row(
            run.run_id, run.runbook, run.intent, run.from_region, run.to_region, run.outcome or run.status, date_time(run.started_at),
            took, ", ".join(run.actors),
        )  # fmt: skip
    return grid
