"""``dr simulate``: a runbook against many simulated disasters."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.options import DrCommand, FileName, application, file_argument, json_option, state_option
from dr.errors import UsageError

if TYPE_CHECKING:
    from dr.app.simulating import Wanted
    from dr.simulate.survey import Tally

SEEDS = 200
_LONGEST = 40


@click.command(cls=DrCommand)
@file_argument("runbook")
@click.option("--seeds", type=click.IntRange(min=1), metavar="N", help=f"So many disasters (default: {SEEDS}; with --minutes: no limit).")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), metavar="M",
              help="Begins no story after so many minutes; each job plays some, however few they are.")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, metavar="J", help="So many processes; the result is the same.")
@click.option("--seed", metavar="S", help="The first seed (default: 1).")
@click.option("--explain", is_flag=True, help="Play the one story of --seed and tell it step by step.")
@click.option("--deployments", type=click.IntRange(1, 2000), default=5, metavar="N", help="So many Deployments in the simulated platform.")
@click.option("--html", "page", type=FileName(), metavar="FILE", help="One self-contained HTML file; prints well.")
@state_option
@json_option
def command(
    runbook: Path, seeds: int | None, minutes: float | None, jobs: int, seed: str | None, explain: bool, deployments: int,
    page: Path | None, state: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Try RUNBOOK against simulated disasters: what is met how often, what hurts, what is wrong with it. Touches nothing.

    Steps take what they took in earlier runs and drills once there are five of them, else about what they are estimated to take.
    Exit 0: every story ended within RTO and RPO; 5: some did not; 1: something happened that must never happen.
    """
    from dr.cli import pages
    from dr.cli.console import emit, picture, say
    from dr.cli.simulate_view import show_simulation, show_story
    from dr.errors import ExitCode
    from dr.simulate import check_installed

    if explain and (seed is None or seeds is not None or minutes is not None):
        raise UsageError("--explain tells one story, by its seed", hint=f"dr simulate {runbook} --seed SEED --explain")
    if seed is not None and not (seed.isprintable() and 0 < len(seed) <= _LONGEST and " " not in seed):
        raise UsageError(f"--seed is one word of at most {_LONGEST} letters and digits", hint="--seed 1")
    if minutes is not None and not math.isfinite(minutes):
        raise UsageError("--minutes is a number", hint="--minutes 30")
    if page is not None:
        pages.check(page, "--html")
    check_installed()
    from dr.app.simulating import Simulating, Wanted

    limit = SEEDS if seeds is None and minutes is None else seeds
    first = "1" if seed is None else seed
    wanted = Wanted(runbook, first=first, seeds=limit, minutes=minutes, jobs=jobs, deployments=deployments, state=state)
    own = application(state).state
    with _interrupt() as stop:
        simulating = Simulating(own, wanted, say=_progress(wanted), stop=stop)
        report = simulating.explain() if explain else simulating.many()
    if page is not None:
        from dr.report.simulation_page import render_simulation

        pages.write(page, render_simulation(report))
        say(f"report: {page}")
    if as_json:
        emit(report)
    elif explain:
        show_story(report, picture())
    elif page is None or report.exit_code not in (ExitCode.DONE, ExitCode.OBJECTIVE_MISSED):
        show_simulation(report, picture())
    return report.exit_code


@contextmanager
def _interrupt() -> Iterator[Callable[[], bool]]:
    """Ctrl-C ends it with what there is so far; the second one at once."""
    heard: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, _frame: object) -> None:
        heard.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, stop)
    try:
        yield lambda: bool(heard)
    finally:
        signal.signal(signal.SIGINT, before)


def _progress(wanted: Wanted) -> Callable[[Tally, float], None]:
    """On a terminal one line that is written over, else a line every ten seconds; nothing of what is over soon."""
    terminal, last = sys.stderr.isatty(), 0.0

    def told(found: Tally, seconds: float) -> None:
        nonlocal last
        done = found.stories == wanted.seeds
        if seconds - last < (0.5 if terminal else 10.0) and not (done and terminal and last):
            return
        last = seconds
        of = f" of {wanted.seeds}" if wanted.seeds is not None else ""
        bad = f", {found.violations} with a violation" if found.violations else ""
        text = f"{found.stories}{of} disasters, {found.stories / seconds:.0f} a second{bad}"
        click.echo(f"\r\x1b[K{text}" if terminal else text, err=True, nl=not terminal or done)

    return told
