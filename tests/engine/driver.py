"""The smallest host: delivers events to the machine one by one, in the order that a test wants. No threads, no time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import datetime, timedelta

from dr.engine import machine
from dr.engine.state import Again, AskApproval, Command, EndRun, RunState, Start, StepRun, Stop, Undo
from dr.model.events import (
    Event,
    Resumed,
    RetryDue,
    RetryScheduled,
    RunEnded,
    StepStarted,
    Turned,
    UndoEnded,
    UndoStarted,
    decode,
    encode,
)
from dr.model.plan import Plan
from dr.model.words import Outcome, RunStatus, StepState
from tests.engine.build import RUN, START, ended, started


def dump(state: RunState) -> dict[str, object]:
    """Everything that makes up a state, for comparing; steps as plain values."""
    plain = {field.name: getattr(state, field.name) for field in fields(RunState) if field.name != "steps"}
    plain["evidence"] = list(state.evidence)
    for name in ("actors", "ready", "delays", "acceptances", "approvals", "deviations"):
        plain[name] = list(plain[name])
    plain["dependents"] = {name: list(others) for name, others in state.dependents.items()}
    plain["steps"] = {
        name: {field.name: _copy(getattr(step, field.name)) for field in fields(StepRun)} for name, step in state.steps.items()
    }
    return plain


def _copy(value: object) -> object:
    return list(value) if isinstance(value, list) else value


class Driver:
    """A run under a test's hand.

    held: what the machine said and was not done yet. log: what was applied. Delays are scheduled at once and are due when the
    test says so; the end of a run is written at once.
    """

    def __init__(self) -> None:
        self.state = RunState(RUN)
        self.log: list[tuple[datetime, Event]] = []
        self.held: list[Start | Undo] = []
        self.asked: list[str] = []
        self.stops: list[str] = []
        self.watch: Callable[[RunState, Event], None] = lambda _state, _event: None

    @classmethod
    def of(cls, first: Plan) -> Driver:
        """A run of that plan, begun."""
        driver = cls()
        driver.deliver(started(first))
        return driver

    def deliver(self, event: Event) -> None:
        """Applies one event and what follows from it at once. Raises what the machine raises."""
        at = START + timedelta(seconds=len(self.log))
        self.watch(self.state, event)
        _, commands = machine.apply(self.state, event, at)
        self.log.append((at, event))
        if isinstance(event, (Turned, Resumed)):
            self.held.clear()  # what is still wanted was said again
        for command in commands:
            self._follow(command)

    def _follow(self, command: Command) -> None:
        match command:
            case Start() | Undo():
                self.held.append(command)
            case Again(step):
                self.deliver(RetryScheduled(step=step, delay=timedelta(seconds=1)))
            case AskApproval(step):
                self.asked.append(step)
            case Stop(reason):
                self.stops.append(reason)
            case EndRun(outcome, reason):
                self.deliver(RunEnded(outcome=outcome, reason=reason))

    def wanted(self) -> list[Start | Undo]:
        """What is held and still wanted, as a host must judge it."""
        state = self.state
        return [
            command
            for command in self.held
            if (isinstance(command, Start) and state.status is RunStatus.RUNNING and self._startable(state.steps[command.step]))
            or (isinstance(command, Undo) and state.status is RunStatus.ROLLING_BACK and state.steps[command.step].to_undo)
        ]

    def _startable(self, step: StepRun) -> bool:
        return step.state is StepState.PENDING or self.state.owes(step)

    def start(self, *only: str) -> list[str]:
        """Starts what is wanted (or some of it); returns the ids."""
        began = []
        for command in self.wanted():
            if (not only or command.step in only) and command in self.wanted():
                self.held.remove(command)
                step = self.state.steps[command.step]
                if isinstance(command, Start):
                    owed = self.state.owes(step)
                    self.deliver(StepStarted(step=command.step, attempt=step.attempts + 1, look_first=command.look_first, owed=owed))
                else:
                    self.deliver(UndoStarted(step=command.step))
                began.append(command.step)
        return began

    def do(self, step: str, outcome: Outcome = Outcome.DONE, **more: object) -> None:
        """Starts one step and ends its attempt."""
        assert self.start(step) == [step], f"{step} was not to be started: {self.state.steps[step].state}, held {self.held}"
        self.deliver(ended(step, outcome, **more))  # type: ignore[arg-type]

    def undo(self, step: str, *, ok: bool = True, reason: str = "") -> None:
        """Starts the undo that is wanted, which must be this one, and ends it."""
        assert self.start() == [step]
        self.deliver(UndoEnded(step=step, ok=ok, reason=reason))

    def due(self, step: str) -> None:
        """The delay of a step is over."""
        self.deliver(RetryDue(step=step))

    def status(self) -> RunStatus:
        """Where the run stands."""
        return self.state.status

    def look_first(self) -> dict[str, bool]:
        """What is to be started, and whether it is looked at first."""
        return {command.step: command.look_first for command in self.wanted() if isinstance(command, Start)}

    def states(self) -> dict[str, str]:
        """The state of each step."""
        return {name: step.state.value for name, step in self.state.steps.items()}

    def folded(self) -> RunState:
        """The state that the journal of this run gives."""
        return machine.fold(((at, decode(encode(event))) for at, event in self.log), RUN)
