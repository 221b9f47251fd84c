"""``dr drill``: a scenario against real servers on this machine, judged by its expectations."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.options import DrCommand, file_argument, json_option

if TYPE_CHECKING:
    from rich.console import Console

    from dr.app import App
    from dr.model.lag import LagSample
    from dr.model.report import DrillReport, TruthReport


@click.command(cls=DrCommand)
@file_argument("scenario")
@click.option("--world", type=click.Choice(["lab"]), help="Where to play it, instead of the scenario's own world.")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="JUnit XML, for CI.")
@click.option("--report", type=click.Path(path_type=Path), metavar="DIR", help="One self-contained HTML file and the JSON there.")
@click.option("--state", metavar="DIR", help="Where records and states of drills are kept (default: lab-state/dr).")
@json_option
def command(scenario: Path, world: str | None, junit: Path | None, report: Path | None, state: str | None, as_json: bool) -> int:
    """Play SCENARIO against real servers on this machine and judge it by its expectations.

    Everything that was started is ended, whatever happens. Exit 0: every expectation is met (an expected refusal, too); else 1.
    """
    from dr.app import App
    from dr.cli.console import emit, picture, say
    from dr.cli.lab import laboratory
    from dr.cli.operator import OperatorProcess
    from dr.config.runbook import load_runbook
    from dr.config.scenario import load_scenario, runbook_path
    from dr.drill.record import fresh, keep
    from dr.errors import ExitCode, UsageError
    from dr.lab.world import LabWorld

    loaded = load_scenario(scenario)
    if (world or loaded.world) != "lab":
        raise UsageError(f"{scenario}: world {loaded.world} is not here", hint="--world lab")
    lab = laboratory()
    base = Path(state).absolute() if state else lab.layout.orchestrator
    directory = fresh(base, loaded.name, lab.clock.now())
    app = App(directory, LabWorld.name)
    runbook = runbook_path(scenario, loaded)
    LabWorld(lab).own(load_runbook(runbook))
    app.state.make()
    log = directory / "operators.log"
    try:
        with _watching_runs(app):
            result = app.drill(
                scenario,
                world=LabWorld(lab, say),
                operators=lambda: OperatorProcess(directory, runbook, log, {"DR_WORLD": LabWorld.name}),
                monitor=lambda path: _monitor(directory, path),
                say=say,
            )
        lag = [] if not result.runs else app.state.samples.history(result.runs[0].runbook, result.started_at)
    finally:
        app.close()
    keep(result, base)
    _keep_for_reports(result, base)
    _write(result, lag, junit, report)
    if as_json:
        emit(result)
    else:
        show_drill(result, picture())
    return ExitCode.DONE if result.verdict == "passed" else ExitCode.FAILED


def _keep_for_reports(result: DrillReport, base: Path) -> None:
    """The record lies beside the operator's own journal, too: ``dr report`` tells of runs and drills together."""
    from dr.app import App
    from dr.config.settings import state_directory
    from dr.drill.record import keep

    own = App(state_directory()).state
    if own.directory != base:
        own.make()
        keep(result, own.directory)


@contextmanager
def _monitor(directory: Path, runbook: Path) -> Iterator[None]:
    """``dr monitor`` in a thread, without the metrics endpoint; what it says goes into the samples that the runs read."""
    from datetime import timedelta

    from dr.app import App
    from dr.lab.world import LabWorld

    app = App(directory, LabWorld.name)
    platform = app.load(runbook)
    stop = threading.Event()
    thread = threading.Thread(
        target=app.monitor, args=(platform,), kwargs={"interval": timedelta(milliseconds=250), "port": None, "stop": stop}, name="monitor"
    )  # fmt: skip
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        platform.close()
        app.close()


@contextmanager
def _watching_runs(app: App) -> Iterator[None]:
    """Shows each run that the operators start, one after the other."""
    from dr.cli.live import Watcher

    known = set(app.state.journal.runs())
    stop = threading.Event()
    terminal = sys.stderr.isatty()

    def watch() -> None:
        while not stop.wait(0.1):
            for run_id in app.state.journal.runs():
                if run_id not in known:
                    known.add(run_id)
                    watcher = Watcher(app, run_id, app.state.clock.now, terminal=terminal)
                    watcher.start()
                    watcher.wait(stop)

    thread = threading.Thread(target=watch, name="watch-runs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)


def _write(result: DrillReport, lag: Sequence[LagSample], xml: Path | None, folder: Path | None) -> None:
    """The files that were asked for."""
    from dr.cli.console import say

    if xml is not None:
        from dr.report.junit import junit

        xml.parent.mkdir(parents=True, exist_ok=True)
        xml.write_text(junit(result), encoding="utf-8")
        say(f"JUnit: {xml}")
    if folder is not None:
        from dr.report.html import render_drill

        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{result.scenario}-{result.started_at:%Y%m%d-%H%M%S}"
        (folder / f"{stem}.json").write_text(result.model_dump_json(by_alias=True, indent=2), encoding="utf-8")
        page = folder / f"{stem}.html"
        page.write_text(render_drill(result, lag), encoding="utf-8")
        say(f"report: {page}")


def show_drill(report: DrillReport, console: Console) -> None:
    """The verdict first, then each expectation, what the client saw, and the runs."""
    from dr.cli.run_view import show_run

    passed = report.verdict == "passed"
    console.print(f"{report.verdict}: {report.scenario} in the {report.world}", style="bold green" if passed else "bold red")
    if report.error:
        console.print(f"  {report.error}", style="red", soft_wrap=True)
    for item in report.expectations:
        sign = "✔" if item.met else "✘"
        detail = f"  ({item.detail})" if item.detail else ""
        console.print(
            f"  {sign} {item.name}: expected {item.expected}, was {item.actual}{detail}", style=None if item.met else "red", soft_wrap=True
        )
    if report.truth is not None:
        _truth(report.truth, console)
    for left in report.cleanup.leftovers:
        console.print(f"  left over: {left}", style="red", soft_wrap=True)
    for run in report.runs:
        console.print("")
        show_run(run, console)


def _truth(truth: TruthReport, console: Console) -> None:
    from dr.cli.console import span

    outage = span(truth.outage_seconds) if truth.outage_seconds is not None else "not over"
    console.print(
        f"  seen from outside: outage {outage}, {truth.lost_writes} of {truth.acknowledged_writes} acknowledged writes lost"
        f" (window {span(truth.loss_window_seconds)})"
        + (f", {truth.unconfirmed_writes} more unconfirmed: their Deployment did not answer" if truth.unconfirmed_writes else ""),
        soft_wrap=True,
    )
