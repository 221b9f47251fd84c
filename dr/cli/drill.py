"""``dr drill``: a scenario against real servers on this machine, or in virtual time; judged by its expectations."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.options import DrCommand, file_argument, json_option
from dr.errors import DrError

if TYPE_CHECKING:
    from rich.console import Console

    from dr.app import App
    from dr.model.lag import LagSample
    from dr.model.report import DrillReport, TruthReport


@click.command(cls=DrCommand)
@file_argument("scenario")
@click.option("--world", metavar="NAME", help="lab (real servers here), sim (virtual time), or a package's own (default: the scenario's).")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Of everything that is left to chance in virtual time (default: 0).")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="JUnit XML, for CI.")
@click.option("--report", type=click.Path(path_type=Path), metavar="DIR", help="One self-contained HTML file and the JSON there.")
@click.option("--state", metavar="DIR", help="Where records are kept (default: lab-state/dr; of virtual time: nowhere; else $DR_STATE).")
@json_option
def command(
    scenario: Path, world: str | None, seed: int | None, junit: Path | None, report: Path | None, state: str | None, as_json: bool
) -> int:
    """Play SCENARIO against real servers on this machine, in virtual time, or in another world, and judge it by its expectations.

    Everything that was started is ended, whatever happens. Exit 0: every expectation is met (an expected refusal, too); else 1.
    """
    from dr.cli.console import complain, emit, picture
    from dr.config import worlds
    from dr.config.scenario import load_scenario
    from dr.errors import ExitCode, UsageError

    if world is not None:
        worlds.check(world)
    where = world or load_scenario(scenario).world
    files = _Files(junit, report)
    files.check()
    if where == "sim":
        result, problem = _in_virtual_time(scenario, seed or 0, state, files)
    elif seed is not None:
        raise UsageError("--seed: real servers know no seed", hint=f"dr drill {scenario} --world sim --seed {seed}")
    elif where == "lab":
        result, problem = _in_the_lab(scenario, state, files)
    else:
        result, problem = _elsewhere(where, scenario, state, files)
    if as_json:
        emit(result)
    else:
        show_drill(result, picture())
    if problem is not None:
        complain(problem)
    return ExitCode.DONE if result.verdict == "passed" and problem is None else ExitCode.FAILED


def _in_virtual_time(scenario: Path, seed: int, state: str | None, files: _Files) -> tuple[DrillReport, DrError | None]:
    """Touches nothing but the files that were asked for: its moments are those of another world, and no evidence of a period of ours."""
    from dr.simulate import check_installed

    check_installed()
    from dr.app.drilling import SimDrill
    from dr.cli.console import say
    from dr.cli.typed import obey
    from dr.drill.record import keep

    drill = SimDrill(scenario, obey, seed=seed, say=say)
    result = drill.run()
    kept = () if state is None else (partial(keep, result, Path(state).absolute()),)
    return result, _write((*kept, partial(files.write_junit, result), lambda: files.write_page(result, drill.lag(result))))


def _in_the_lab(scenario: Path, state: str | None, files: _Files) -> tuple[DrillReport, DrError | None]:
    from dr.app import App
    from dr.cli.console import say
    from dr.cli.lab import laboratory
    from dr.cli.operator import OperatorProcess
    from dr.config.runbook import load_runbook
    from dr.config.scenario import load_scenario, runbook_path
    from dr.config.settings import state_directory
    from dr.drill.record import fresh
    from dr.lab.world import LabWorld

    loaded, own, lab = load_scenario(scenario), state_directory(), laboratory()
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
    return result, _keep(result, lag, base, own, files)


def _elsewhere(where: str, scenario: Path, state: str | None, files: _Files) -> tuple[DrillReport, DrError | None]:
    """In a world that a package brings."""
    from dr.app import App
    from dr.cli import elsewhere
    from dr.cli.console import say
    from dr.config.scenario import load_scenario
    from dr.config.settings import state_directory
    from dr.drill.record import fresh
    from dr.providers.system import SystemClock

    own = state_directory()
    base = Path(state).absolute() if state else own
    directory = fresh(base, load_scenario(scenario).name, SystemClock().now())
    drilled = elsewhere.Drilled.of(where, scenario, directory)
    app = App(directory, where)
    app.state.make()
    try:
        with _watching_runs(app):
            result = app.drill(
                scenario, world=drilled.world, runbook=drilled.runbook, operators=drilled.operator,
                monitor=lambda _path: drilled.monitor(), say=say,
            )  # fmt: skip
        lag = [] if not result.runs else app.state.samples.history(result.runs[0].runbook, result.started_at)
    finally:
        app.close()
    return result, _keep(result, lag, base, own, files)


def _keep(result: DrillReport, lag: Sequence[LagSample], base: Path, own: Path, files: _Files) -> DrError | None:
    """Keeps the record and writes the files. The record lies beside the operator's own journal, too: ``dr report`` tells of runs and
    drills together."""
    from dr.drill.record import keep

    return _write((
        lambda: keep(result, base),
        lambda: None if own == base else keep(result, own),
        lambda: files.write_junit(result),
        lambda: files.write_page(result, lag),
    ))  # fmt: skip


def _write(writes: Sequence[Callable[[], object]]) -> DrError | None:
    """Writes all; the first thing that could not be written, because the result is to be shown all the same."""
    first = None
    for write in writes:
        try:
            write()
        except DrError as error:
            first = first or error
    return first


@dataclass(frozen=True)
class _Files:
    """What was asked for: a JUnit XML file, a folder for page and JSON."""

    junit: Path | None
    folder: Path | None

    def check(self) -> None:
        """Before the drill. Raises UsageError where one cannot be written."""
        from dr.cli import pages

        if self.junit is not None:
            pages.check(self.junit, "--junit")
        if self.folder is not None:
            pages.check_folder(self.folder, "--report")

    def write_junit(self, result: DrillReport) -> None:
        """Raises DrError."""
        if self.junit is None:
            return
        from dr.cli import pages
        from dr.cli.console import say
        from dr.report.junit import junit

        pages.write(self.junit, junit(result))
        say(f"JUnit: {self.junit}")

    def write_page(self, result: DrillReport, lag: Sequence[LagSample]) -> None:
        """Raises DrError."""
        if self.folder is None:
            return
        from dr.cli import pages
        from dr.cli.console import say
        from dr.drill.record import seeded
        from dr.report.html import render_drill

        stem = seeded(result) or f"{result.scenario}-{result.started_at:%Y%m%d-%H%M%S}"
        pages.write(self.folder / f"{stem}.json", result.model_dump_json(by_alias=True, indent=2))
        page = self.folder / f"{stem}.html"
        pages.write(page, render_drill(result, lag))
        say(f"report: {page}")


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


def show_drill(report: DrillReport, console: Console) -> None:
    """The verdict first, then each expectation, what the client saw, and the runs."""
    from dr.cli.run_view import show_run

    passed = report.verdict == "passed"
    where = report.world if report.seed is None else f"{report.world} (seed {report.seed})"
    console.print(f"{report.verdict}: {report.scenario} in the {where}", style="bold green" if passed else "bold red")
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
