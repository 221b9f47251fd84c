"""The embedded host of the machine: worker threads make attempts, one thread owns machine and journal.

One turn of the loop: take everything that happened, apply it, journal it in one commit, then do what follows. The intent of a
step (StepStarted) is in the same commit as what led to it and is durable before a worker sees it.
"""

from __future__ import annotations

import heapq
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dr.engine import machine
from dr.engine.attempt import Attempted, attempt
from dr.engine.state import Again, AskApproval, Command, EndRun, RunState, Start, Stop, Undo
from dr.errors import IllegalTransition, LeaseLost, StepError
from dr.model.events import (
    Approved,
    Event,
    PauseRequested,
    RetryDue,
    RetryScheduled,
    RunEnded,
    SkipRequested,
    StepEnded,
    StepStarted,
    TimedOut,
    Turned,
    UndoEnded,
    UndoStarted,
)
from dr.model.plan import Plan
from dr.model.words import RunStatus, StepState
from dr.ports import AttemptContext, Clock, Inbox, Journal, Lease, Operation

_POLL = 0.05
_RENEW = 1.0


@dataclass(frozen=True, slots=True)
class _Ended:
    """A worker is through with a step."""

    step: str
    result: Attempted
    seconds: float


@dataclass(frozen=True, slots=True)
class _Undone:
    """A worker is through with an undo."""

    step: str
    reason: str | None


class Runner:
    """Runs one run to its end or to a pause.

    Args:
        state: from ``RunState(run_id)`` for a new run, from ``machine.fold`` to resume one.
        operations: by step id; ``replan`` gives those of another plan when the run is turned.
        workers: at most so many attempts at once.
        changed: called after each commit with the state, in the loop's thread; must be quick.
    """

    def __init__(
        self,
        state: RunState,
        operations: Mapping[str, Operation],
        *,
        journal: Journal,
        lease: Lease,
        inbox: Inbox,
        clock: Clock,
        actor: str,
        replan: Callable[[Plan], Mapping[str, Operation]] | None = None,
        workers: int = 64,
        changed: Callable[[RunState], None] = lambda _state: None,
        say: Callable[[str, str], None] = lambda _step, _text: None,
    ) -> None:
        self._state, self._operations = state, operations
        self._journal, self._lease, self._inbox, self._clock = journal, lease, inbox, clock
        self._actor, self._replan, self._changed, self._say = actor, replan, changed, say
        self._most = workers
        self._threads: list[threading.Thread] = []
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._happened: queue.SimpleQueue[_Ended | _Undone | Event | None] = queue.SimpleQueue()
        self._timers: list[tuple[float, str]] = []
        self._turn: Turned | None = None
        self._abandon = threading.Event()
        self._detached = False

    def run(self, first: Sequence[Event]) -> RunState:
        """Blocks until the run has ended, is paused, or was detached from.

        Args:
            first: what happened before the loop begins: RunStarted, or Resumed with what came with it.

        Raises:
            StateLost: the journal cannot be written; nothing further was started.
            LeaseLost: another holder took over; nothing further was started.
        """
        try:
            over = self._deliver(list(first))
            limit = self._clock.monotonic() + self._state.current_plan.time_limit.total_seconds()
            next_poll = next_renew = 0.0
            while not over and not self._detached:
                now = self._clock.monotonic()
                if now >= next_renew:
                    self._renew()
                    next_renew = now + _RENEW
                happened = self._wait(max(0.0, min(next_poll, next_renew, self._timers[0][0] if self._timers else now + _POLL) - now))
                now = self._clock.monotonic()
                while self._timers and self._timers[0][0] <= now:
                    happened.append(RetryDue(step=heapq.heappop(self._timers)[1]))
                if now >= next_poll:
                    happened += self._inbox.take(self._state.run_id)
                    next_poll = now + _POLL
                if now >= limit:
                    happened.append(TimedOut())
                    limit = float("inf")
                over = self._deliver(happened) if happened else False
            return self._state
        finally:
            self._abandon.set()
            for _ in self._threads:
                self._work.put(None)

    def interrupt(self) -> None:
        """From a signal handler: the first call starts nothing new and waits, the second detaches. Both can be resumed."""
        if self._state.status in (RunStatus.PAUSING, RunStatus.PAUSED):
            self._detached = True
            self._happened.put(None)
        else:
            self._happened.put(PauseRequested(actor=self._actor, reason="interrupted"))

    # --- the loop ---------------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        try:
            self._lease.renew()
        except LeaseLost:
            self._abandon.set()
            raise

    def _wait(self, seconds: float) -> list[_Ended | _Undone | Event]:
        """Everything that happened, without blocking further once there is something: that is the group of one commit."""
        happened: list[_Ended | _Undone | Event] = []
        try:
            item = self._happened.get(timeout=seconds) if seconds > 0 else self._happened.get_nowait()
            while True:
                if item is not None:
                    happened.append(item)
                item = self._happened.get_nowait()
        except queue.Empty:
            return happened

    def _deliver(self, happened: Sequence[_Ended | _Undone | Event]) -> bool:
        """Applies, journals, acts. True once the run is over or paused."""
        rows: list[tuple[datetime, Event]] = []
        launches: list[Start | Undo] = []
        stop = False
        for item in happened:
            event = self._event(item)
            if event is not None:
                stop = self._apply(event, rows, launches) or stop
        if self._turn is not None and not self._state.active and self._state.status in (RunStatus.PAUSED, RunStatus.RUNNING):
            turn, self._turn = self._turn, None
            self._operations = self._replan(turn.plan) if self._replan else self._operations
            self._timers.clear()
            stop = self._apply(turn, rows, launches)
        if rows:
            self._journal.append(self._state.run_id, rows)
            self._inbox.confirm(self._state.run_id)
        for command in launches:
            self._launch(command)
        self._changed(self._state)
        return stop and self._turn is None

    def _event(self, item: _Ended | _Undone | Event) -> Event | None:
        """What happened as an event; None for what came too late to matter."""
        state = self._state
        if isinstance(item, _Ended):
            result = item.result
            return StepEnded(
                step=item.step, attempt=state.steps[item.step].attempts, outcome=result.outcome, acted=result.acted, reason=result.reason,
                evidence=tuple(result.evidence), guard=result.guard, duration=timedelta(seconds=item.seconds),
                clock=state.steps[item.step].clock,
            )  # fmt: skip
        if isinstance(item, _Undone):
            return UndoEnded(step=item.step, ok=item.reason is None, reason=item.reason or "")
        if isinstance(item, RetryDue) and state.steps[item.step].state not in (StepState.BACKOFF, StepState.UNKNOWN):
            return None
        if isinstance(item, Turned):
            self._turn = item
            busy = state.status is RunStatus.RUNNING and state.active
            return PauseRequested(actor=item.actor, reason="to be turned") if busy else None
        return item

    def _apply(self, event: Event, rows: list[tuple[datetime, Event]], launches: list[Start | Undo]) -> bool:
        """One event and all that follows from it at once. What a person asked for and the table refuses is not journaled."""
        at = self._clock.now()
        try:
            _, commands = machine.apply(self._state, event, at)
        except IllegalTransition:
            if isinstance(event, (Approved, SkipRequested, PauseRequested, TimedOut)):
                return False
            raise
        rows.append((at, event))
        stop = False
        for command in commands:
            stop = self._follow(command, rows, launches) or stop
        return stop

    def _follow(self, command: Command, rows: list[tuple[datetime, Event]], launches: list[Start | Undo]) -> bool:
        match command:
            case Start(step, look_first):
                launches.append(command)
                return self._apply(
                    StepStarted(step=step, attempt=self._state.steps[step].attempts + 1, look_first=look_first), rows, launches
                )
            case Undo(step):
                launches.append(command)
                return self._apply(UndoStarted(step=step), rows, launches)
            case Again(step, number, backoff):
                most = min(backoff.cap.total_seconds(), backoff.base.total_seconds() * 2 ** (number - 1))
                delay = self._clock.uniform(0.0, most)
                heapq.heappush(self._timers, (self._clock.monotonic() + delay, step))
                return self._apply(RetryScheduled(step=step, delay=timedelta(seconds=delay)), rows, launches)
            case AskApproval(step):
                self._say(step, f"waits for approval: dr approve {self._state.run_id} {step}")
                return False
            case Stop():
                return True
            case EndRun(outcome, reason):
                self._apply(RunEnded(outcome=outcome, reason=reason), rows, launches)
                return True

    # --- the workers ------------------------------------------------------------------------------------------------

    def _launch(self, command: Start | Undo) -> None:
        context = self._context(command.step)
        operation = self._operations[command.step]
        if isinstance(command, Start):
            self._work.put(lambda: self._try(operation, context, command.look_first))
        else:
            self._work.put(lambda: self._undo(operation, context))
        if self._state.active > len(self._threads) and len(self._threads) < self._most:
            thread = threading.Thread(target=self._worker, name=f"step-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _worker(self) -> None:
        while (job := self._work.get()) is not None:
            job()

    def _try(self, operation: Operation, context: AttemptContext, look_first: bool) -> None:
        started = self._clock.monotonic()
        result = attempt(operation, context, look_first=look_first)
        self._happened.put(_Ended(context.step.id, result, self._clock.monotonic() - started))

    def _undo(self, operation: Operation, context: AttemptContext) -> None:
        try:
            operation.undo(replace(context, cancelled=self._abandon.is_set))
        except StepError as error:
            self._happened.put(_Undone(context.step.id, f"{error.message} {error.hint}".strip()))
        else:
            self._happened.put(_Undone(context.step.id, None))

    def _context(self, step_id: str) -> AttemptContext:
        state, plan = self._state, self._state.current_plan
        step = state.steps[step_id]
        used = self._clock.now() - step.first_started_at if step.first_started_at else timedelta(0)
        return AttemptContext(
            run_id=state.run_id, step=step.spec, intent=plan.intent, source=plan.source, target=plan.target, number=step.attempts,
            key=f"{state.run_id}/{step_id}", epoch=state.epoch, actor=self._actor, clock=self._clock,
            deadline=self._clock.monotonic() + (step.spec.budget - used).total_seconds(),
            rpo=plan.component_rpo.get(step.spec.component, plan.rpo),
            evidence=tuple(state.evidence), acceptances=tuple(state.acceptances), approved_by=step.approved_by,
            outage_began=state.outage_began, may_act=self._lease.valid, cancelled=self._cancelled,
            say=lambda text: self._say(step_id, text),
        )  # fmt: skip

    def _cancelled(self) -> bool:
        return self._abandon.is_set() or self._state.status is RunStatus.ROLLING_BACK
