"""Holding a run in this process: live table, Ctrl-C, summary, exit code. Shared by everything that starts or takes over a run."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from dr.cli.console import emit, picture
from dr.errors import ExitCode
from dr.model.words import RunOutcome

if TYPE_CHECKING:
    from datetime import datetime

    from dr.app import App
    from dr.app.conduct import Hooks
    from dr.engine.runner import Runner
    from dr.model.plan import Plan
    from dr.model.report import RunReport

QUIET = "DR_QUIET"
"""Set: no progress on stderr. A drill shows its runs itself, and its operators shall do nothing but the run."""


class Interrupts:
    """Ctrl-C while this process holds a run: the first starts nothing new and waits, the second detaches, a third ends at once.

    Before there is a runner Ctrl-C is Python's own: nothing was touched yet.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: signal.Handlers | Callable[[int, FrameType | None], object] | int | None = None

    def watch(self, runner: Runner, run_id: str) -> None:
        """From now on Ctrl-C is the runner's."""

        def heard(_number: int, _frame: FrameType | None) -> None:
            self.count += 1
            if self.count > 2:
                os._exit(ExitCode.INTERRUPTED)  # the journal is written ahead: as safe as a crash
            words = "starting nothing new, waiting for what is under way; again: detach" if self.count == 1 else "detached"
            with contextlib.suppress(OSError):  # nobody may listen any more; a signal may have stopped us inside print
                os.write(2, f"\n{words}. To go on: dr resume {run_id}\n".encode())
            runner.interrupt()

        before = signal.signal(signal.SIGINT, heard)
        if self._before is None:
            self._before = before

    def close(self) -> None:
        """Gives Ctrl-C back."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


def hold(
    app: App, go: Callable[[Hooks], RunReport | None], *, as_json: bool,
    confirm: Callable[[Plan, datetime | None], bool] = lambda _plan, _since: True,
) -> int:  # fmt: skip
    """Starts or takes over a run and stays with it.

    Args:
        go: calls the application with these hooks; None where another process will take the request up.
    """
    from dr.app.conduct import Hooks
    from dr.cli.live import watching

    interrupts = Interrupts()
    started: list[str] = []
    clock = app.state.clock
    try:
        with watching(app, clock.now, terminal=sys.stderr.isatty(), quiet=bool(os.environ.get(QUIET))) as begin:

            def on_start(run_id: str) -> None:
                started.append(run_id)
                begin(run_id)

            def on_runner(runner: Runner) -> None:
                interrupts.watch(runner, started[-1] if started else "RUN")

            report = go(Hooks(confirm=confirm, on_start=on_start, on_runner=on_runner))
    finally:
        interrupts.close()
    if report is None:
        return ExitCode.DONE
    show(report, as_json=as_json)
    if interrupts.count and report.outcome is RunOutcome.PAUSED:
        return ExitCode.INTERRUPTED
    return report.exit_code


def show(report: RunReport, *, as_json: bool, steps: bool = False) -> None:
    """The result on stdout."""
    if as_json:
        emit(report)
        return
    from dr.cli.run_view import show_run

    show_run(report, picture(), steps=steps)
