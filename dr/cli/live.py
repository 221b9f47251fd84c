"""Watching a run by its journal: a live table on a terminal, plain lines elsewhere. Any process can watch any run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from dr.cli.console import clock_time, picture, say
from dr.engine.forecast import elapsed, forecast
from dr.engine.machine import apply
from dr.engine.state import RunState, StepRun
from dr.errors import DrError
from dr.model.base import show_duration
from dr.model.events import Event, Observed, Record, Resumed, RetryScheduled, StepEnded
from dr.model.evidence import PredictedLate
from dr.model.words import RunStatus, StepState

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST_ROWS = 30
_SIGNS = {
    StepState.PENDING: ("·", "dim"), StepState.WAITING_APPROVAL: ("?", "yellow"), StepState.RUNNING: ("▶", "cyan"),
    StepState.BACKOFF: ("↻", "yellow"), StepState.UNKNOWN: ("?", "yellow"), StepState.DONE: ("✔", "green"),
    StepState.ALREADY: ("✔", "green"), StepState.SKIPPED: ("↷", "yellow"), StepState.FAILED: ("✘", "red"),
    StepState.CANCELLED: ("–", "dim"), StepState.UNDOING: ("↺", "cyan"), StepState.UNDONE: ("↺", "dim"),
}  # fmt: skip

NO_RETURN = ("── point of no return ──", "ahead", "passed")
"""The row before the first step that cannot be undone, and what it says."""


class Followed(Protocol):
    """What the watcher asks of the application."""

    def follow(self, run_id: str, stop: threading.Event) -> Iterator[Sequence[Record]]:
        """The records of a run as they are written; ends when the run has, or once ``stop`` is set and all are delivered."""


class Watcher:
    """Folds the journal of one run in a thread of its own, and shows it.

    Args:
        now: the moment, UTC, for elapsed times.
    """

    def __init__(self, app: Followed, run_id: str, now: Callable[[], datetime], *, terminal: bool) -> None:
        self._app, self._run_id, self._now, self._terminal = app, run_id, now, terminal
        self._state = RunState(run_id)
        self._waiting: list[str] = []
        self._no_return = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def start(self) -> None:
        """Begins to watch; returns at once."""
        self._thread.start()

    def close(self) -> None:
        """Shows what is left in the journal, then ends."""
        self._stop.set()
        self._thread.join(timeout=3)

    def wait(self, stop: threading.Event | None = None) -> None:
        """Blocks until the run has ended or is paused, or until ``stop`` is set; then shows what is left."""
        while self._thread.is_alive() and not (stop is not None and stop.is_set()):
            self._thread.join(timeout=0.1)
        self.close()

    def _watch(self) -> None:
        try:
            self._show()
        except DrError as error:  # watching never ends a run
            say(f"the run cannot be shown any more: {error.message}")

    def _show(self) -> None:
        if not self._terminal:
            self._fold(lines=True)
            return
        from rich.live import Live

        console = picture(err=True)
        with Live(console=console, refresh_per_second=8, get_renderable=self._table, transient=False) as live:
            self._fold(lines=False)
            live.refresh()

    def _fold(self, *, lines: bool) -> None:
        for records in self._app.follow(self._run_id, self._stop):
            for record in records:
                at, event = datetime.fromisoformat(record.at), record.event
                with self._lock:
                    apply(self._state, event, at)
                if lines:
                    self._line(event, at)
                    self._mark(at)
                    self._ask()
            if self._state.status in (RunStatus.PAUSED, RunStatus.ENDED):
                return

    def _line(self, event: Event, at: datetime) -> None:
        text = ""
        if isinstance(event, StepEnded):
            step = self._state.steps[event.step]
            why = f"  {event.reason}" if event.reason and not step.state.satisfied else ""
            text = f"{event.step}  {event.outcome}  {show_duration(event.duration)}{why}"
        elif isinstance(event, RetryScheduled):
            text = f"{event.step}  again in {show_duration(event.delay)}"
        elif event.event in ("run-started", "turned"):
            plan = self._state.current_plan
            text = f"run {self._run_id}: {plan.intent} of {plan.runbook} from {plan.source} to {plan.target}, {len(plan.steps)} steps"
        elif isinstance(event, Observed) and isinstance(event.evidence, PredictedLate):
            text = f"LATE: {event.evidence}"
        elif isinstance(event, Resumed) and event.dropped:
            text = f"resumed; asked for before and not obeyed, ask again if it is still wanted: {', '.join(event.dropped)}"
        elif event.event not in ("step-started", "retry-due", "undo-started", "observed"):
            text = f"{event.event} {getattr(event, 'step', '')} {getattr(event, 'reason', '')}".rstrip()
        if text:
            say(f"{clock_time(at)}  {text}")

    def _mark(self, at: datetime) -> None:
        """Says when the point of no return is reached; and that it was not, where a guard stopped the step that would have been it."""
        passed = self._state.past_no_return
        if passed and not self._no_return:
            steps = self._state.steps.values()
            step = next((item.spec.id for item in steps if item.spec.irreversible and (item.look_first or item.state.active)), "a step")
            say(f"{clock_time(at)}  point of no return: {step} begins, once it has acted there is no way back")
        elif self._no_return and not passed:
            say(f"{clock_time(at)}  point of no return: not passed, nothing irreversible was done")
        self._no_return = passed

    def _ask(self) -> None:
        """Says once for each step that it waits for a person, with the command."""
        now = waiting(self._state)
        for step_id in now:
            if step_id not in self._waiting:
                say(f"{step_id} waits for approval: dr approve {self._run_id} {step_id}")
        self._waiting = now

    def _table(self) -> RenderableType:
        with self._lock:
            return table(self._state, self._now())


def table(state: RunState, now: datetime) -> RenderableType:
    """The live table: one row a step (those near the action, when there are many), a line of prediction below."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    if state.plan is None:
        return Text("…")
    plan = state.plan
    title = f"{plan.intent} of {plan.runbook}: {plan.source} → {plan.target}   run {state.run_id}   {state.status}"
    grid = Table(box=box.SIMPLE, pad_edge=False)
    for name in ("", "step", "state", "elapsed", "budget left", ""):
        grid.add_column(name, justify="right" if name in ("elapsed", "budget left") else "left", overflow="ellipsis", no_wrap=True)
    steps = list(state.steps.values())
    shown = _nearest(steps)
    marked = next((step.spec.id for step in shown if step.spec.irreversible), None)
    for step in shown:
        if step.spec.id == marked:
            grid.add_row("", NO_RETURN[0], NO_RETURN[1 + state.past_no_return], style="red" if state.past_no_return else "dim")
        grid.add_row(*_row(step, now), style=_SIGNS[step.state][1])
    if len(shown) < len(steps):
        done = sum(step.state.satisfied for step in steps)
        grid.add_row("", f"{len(steps) - len(shown)} more steps; {done} of {len(steps)} done", style="dim")
    asked = [Text(f"{step} waits for approval: dr approve {state.run_id} {step}", style="yellow") for step in waiting(state)]
    return Group(Text(title, style="bold"), grid, *asked, Text(prediction(state, now)))


def waiting(state: RunState) -> list[str]:
    """Steps that wait for a person."""
    return [step_id for step_id, step in state.steps.items() if step.state is StepState.WAITING_APPROVAL]


def prediction(state: RunState, now: datetime) -> str:
    """Predicted finish against the RTO, and whether the point of no return lies behind."""
    plan = state.current_plan
    began = state.outage_began or state.started_at or now
    back = "passed" if state.past_no_return else "ahead"
    line = f"{show_duration(now - began)} since the outage began, RTO {show_duration(plan.rto)} · point of no return: {back}"
    if state.status is RunStatus.ENDED:
        return line
    expected = forecast(state, now)
    if expected.service_back is not None:
        word = "LATE" if expected.late else "in time"
        line += f" · service predicted back at {clock_time(expected.service_back)} ({word})"
    if expected.ends is not None:
        line += f" · everything at {clock_time(expected.ends)}"
    return line


def _row(step: StepRun, now: datetime) -> tuple[str, ...]:
    took = elapsed(step, now)
    left = ""
    if step.state.active and took is not None:
        left = show_duration(step.spec.budget - took) if took < step.spec.budget else "over"
    mark = "!" if step.spec.irreversible else " "
    tries = f"try {step.attempts} " if step.attempts > 1 else ""
    remark = tries + (step.reason if not step.state.satisfied else "")
    return (
        _SIGNS[step.state][0] + mark, step.spec.id, str(step.state), "" if took is None else show_duration(took), left, remark,
    )  # fmt: skip


def _nearest(steps: Sequence[StepRun]) -> list[StepRun]:
    """All, or a window of the plan's order that begins shortly before the first step that is not done."""
    if len(steps) <= _MOST_ROWS:
        return list(steps)
    first = next((number for number, step in enumerate(steps) if not step.state.satisfied), len(steps))
    start = max(0, min(first - 5, len(steps) - _MOST_ROWS))
    return list(steps[start : start + _MOST_ROWS])


@contextmanager
def watching(app: Followed, now: Callable[[], datetime], *, terminal: bool, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Yields what is to be called with the id of the run once it has started; ends with the block."""
    watchers: list[Watcher] = []

    def begin(run_id: str) -> None:
        if not quiet and not watchers:
            watchers.append(Watcher(app, run_id, now, terminal=terminal))
            watchers[0].start()

    try:
        yield begin
    finally:
        for watcher in watchers:
            watcher.close()
