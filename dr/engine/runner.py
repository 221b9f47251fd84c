"""The embedded host of the machine: worker threads make attempts, one thread owns machine and journal.

One turn of the loop: take everything that happened, apply it, start as many steps as there are free workers, journal all that
in one commit, then let the workers see it. The intent of a step (StepStarted) is durable before its operation is asked anything.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dr.engine import forecast, machine
from dr.engine.attempt import Attempted, attempt, take_back
from dr.engine.state import Again, AskApproval, Command, EndRun, RunState, Start, StepRun, Stop, Undo
from dr.engine.threads import OsThreads
from dr.errors import IllegalTransition, LeaseLost, NotThere, Refused
from dr.model.events import (
    Accepted,
    Approved,
    CancelRequested,
    Event,
    Observed,
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
from dr.model.evidence import Evidence
from dr.model.plan import Plan
from dr.model.words import RunStatus, StepState
from dr.ports import AttemptContext, Clock, Inbox, Journal, Lease, Mailbox, Operation, Pool, Rhythm, Threads

_REQUESTS = (Accepted, Approved, CancelRequested, PauseRequested, SkipRequested, TimedOut, Turned)
"""What may come too late: refused by the machine, it is said and forgotten. Everything else that is refused is a bug of ours."""


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
        say: one line for people about a step ("": about the run); called from any thread.
        threads: what attempts are made in.
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
        threads: Threads | None = None,
        rhythm: Rhythm | None = None,
    ) -> None:
        self._state, self._operations = state, operations
        self._journal, self._lease, self._inbox, self._clock = journal, lease, inbox, clock
        self._now = clock.now()
        self._actor, self._replan, self._changed, self._say = actor, replan, changed, say
        self._most = workers
        self._rhythm, threads = rhythm or Rhythm(), threads or OsThreads()
        self._workers: Pool = threads.pool(workers, "step")
        self._happened: Mailbox[_Ended | _Undone | Event | None] = threads.mailbox()
        self._held_back: deque[Start | Undo] = deque()
        self._timers: list[tuple[float, str]] = []
        self._taken = False
        self._turn: Turned | None = None
        self._found: tuple[int, tuple[Evidence, ...]] = (0, ())
        self._abandon = threading.Event()
        self._interrupted = self._detached = False
        self.wrote = False
        """Something was journaled here. Until then this process has started nothing, whatever the run did before."""

    def run(self, first: Sequence[Event]) -> RunState:
        """Blocks until the run has ended, is paused, or was detached from.

        Args:
            first: what happened before the loop begins: RunStarted, or Resumed with what came with it. Nothing is started
                before all of it, and all requests that wait in the inbox, were taken in.

        Raises:
            StateLost: the journal cannot be written; nothing further was started.
            LeaseLost: another holder took over; nothing further was started.
        """
        try:
            # a pause that was asked for before a person said "resume" is over
            waiting = [event for event in self._take() if not isinstance(event, PauseRequested)]
            if self._state.rolling_back:  # known before anything: a run that goes back may be at its end with the next event
                self._turn = next((event for event in first if isinstance(event, Turned)), None)
            over = self._deliver([*(event for event in first if event is not self._turn), *waiting])
            limit = self._clock.monotonic() + self._state.current_plan.time_limit.total_seconds()
            next_poll = next_renew = 0.0
            while not over and not self._detached:
                now = self._clock.monotonic()
                renewed = now >= next_renew
                if renewed:
                    self._renew()
                    next_renew = now + self._rhythm.renew
                warned = self._foresee() if renewed else []
                due = self._timers[0][0] if self._timers else next_poll
                happened = warned + self._wait(max(0.0, min(next_poll, next_renew, due) - now))
                now = self._clock.monotonic()
                while self._timers and self._timers[0][0] <= now:
                    happened.append(RetryDue(step=heapq.heappop(self._timers)[1]))
                if now >= next_poll:
                    happened += self._take()
                    next_poll = now + self._rhythm.poll
                if now >= limit:
                    happened.append(TimedOut())
                    limit = float("inf")
                over = self._deliver(happened) if happened else False
            return self._state
        finally:
            self._abandon.set()
            self._workers.close()

    def interrupt(self) -> None:
        """From a signal handler: the first call starts nothing new and waits, the second detaches. Both can be resumed."""
        self._detached = self._interrupted
        self._interrupted = True
        self._happened.put(None if self._detached else PauseRequested(actor=self._actor, reason="interrupted"))

    def _foresee(self) -> list[_Ended | _Undone | Event]:
        """The RTO that will be missed is said, and journaled, as soon as the estimates show it."""
        late = forecast.late(self._state, self._clock.now())
        return [] if late is None else [Observed(evidence=late)]

    # --- the loop ---------------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        try:
            self._lease.renew()
        except LeaseLost:
            self._abandon.set()
            raise

    def _wait(self, seconds: float) -> list[_Ended | _Undone | Event]:
        """Everything that happened, without blocking further once there is something: that is the group of one commit."""
        return [item for item in self._happened.take(seconds) if item is not None]

    def _take(self) -> Sequence[Event]:
        taken = self._inbox.take(self._state.run_id)
        self._taken = self._taken or bool(taken)
        return taken

    def _deliver(self, happened: Sequence[_Ended | _Undone | Event]) -> bool:
        """Applies, journals, acts. True once the run is over or paused."""
        state = self._state
        rows: list[tuple[datetime, Event]] = []
        self._now = self._clock.now()  # one turn, one moment: its events are durable together
        for item in happened:
            event = self._event(item)
            if event is not None:
                self._apply(event, rows)
        self._turn_when_quiet(rows)
        launches = self._fill(rows)
        if rows:
            self._journal.append(state.run_id, rows)
            self.wrote = True
        if self._taken and self._turn is None:  # a request is final once it is journaled or refused, a turn once it is made
            self._inbox.confirm(state.run_id)
            self._taken = False
        for command in launches:
            self._launch(command)
        self._changed(state)
        return state.status in (RunStatus.PAUSED, RunStatus.ENDED)

    def _event(self, item: _Ended | _Undone | Event) -> Event | None:
        """What happened as an event; None for what came too late to matter."""
        state = self._state
        if isinstance(item, _Ended):
            step, result = state.steps[item.step], item.result
            return StepEnded(
                step=item.step, attempt=step.attempts, outcome=result.outcome, acted=result.acted, reason=result.reason,
                evidence=tuple(result.evidence), guard=result.guard, guards=result.guards, duration=timedelta(seconds=item.seconds),
                clock=step.clock, owed=step.owed,
            )  # fmt: skip
        if isinstance(item, _Undone):
            return UndoEnded(step=item.step, ok=item.reason is None, reason=item.reason or "")
        if isinstance(item, RetryDue) and not self._waits(state.steps[item.step]):
            return None
        if isinstance(item, Turned):
            self._turn = item
            busy = state.active and state.status in (RunStatus.RUNNING, RunStatus.ROLLING_BACK)
            return PauseRequested(actor=item.actor, reason="to be turned") if busy else None
        return item

    def _waits(self, step: StepRun) -> bool:
        """For its next attempt."""
        return step.state in (StepState.BACKOFF, StepState.UNKNOWN) or self._state.owes(step)

    def _turn_when_quiet(self, rows: list[tuple[datetime, Event]]) -> None:
        if self._turn is None or self._state.active:
            return
        turn, self._turn = self._turn, None
        if self._state.status is not RunStatus.ENDED:  # else the machine refuses it
            try:
                self._operations = self._replan(turn.plan) if self._replan else self._operations
            except Refused as error:  # another version's plan: the run stays as it is, and this is no refusal of what was done so far
                self._say("", f"refused: {error.message}")
                return
            self._timers.clear()
            self._held_back.clear()
        self._apply(turn, rows)

    def _apply(self, event: Event, rows: list[tuple[datetime, Event]]) -> None:
        """One event and all that follows from it at once. What a person asked for and the machine refuses is not journaled."""
        try:
            _, commands = machine.apply(self._state, event, self._now)
        except (IllegalTransition, NotThere) as error:
            if not isinstance(event, _REQUESTS):
                raise
            self._say(getattr(event, "step", ""), f"refused: {error.message}")
            return
        rows.append((self._now, event))
        for command in commands:
            self._follow(command, rows)

    def _follow(self, command: Command, rows: list[tuple[datetime, Event]]) -> None:
        match command:
            case Start() | Undo():
                self._held_back.append(command)
            case Again(step, number, backoff, longest):
                most = min(backoff.cap.total_seconds(), backoff.base.total_seconds() * 2 ** min(number - 1, 60))
                delay = most if longest else self._clock.uniform(0.0, most)
                heapq.heappush(self._timers, (self._clock.monotonic() + delay, step))
                self._apply(RetryScheduled(step=step, delay=timedelta(seconds=delay)), rows)
            case AskApproval(step):
                self._say(step, f"waits for approval: dr approve {self._state.run_id} {step}")
            case EndRun() if self._turn is not None:
                pass  # it goes on with another plan
            case EndRun(outcome, reason):
                self._apply(RunEnded(outcome=outcome, reason=reason), rows)
            case Stop():
                pass  # the status says it

    def _fill(self, rows: list[tuple[datetime, Event]]) -> list[Start | Undo]:
        """Says the intent of what was held back, while there are free workers; what the run does not want any more is dropped."""
        state = self._state
        launches: list[Start | Undo] = []
        while self._held_back and state.active < self._most:
            command = self._held_back.popleft()
            step = state.steps[command.step]
            if isinstance(command, Undo):
                if state.status is RunStatus.ROLLING_BACK and step.to_undo and not state.active:
                    self._apply(UndoStarted(step=command.step), rows)
                    launches.append(command)
            elif state.status is RunStatus.RUNNING and (step.state is StepState.PENDING or state.owes(step)):
                owed = step.state is not StepState.PENDING
                self._apply(StepStarted(step=command.step, attempt=step.attempts + 1, look_first=command.look_first, owed=owed), rows)
                launches.append(command)
        return launches

    # --- the workers ------------------------------------------------------------------------------------------------

    def _launch(self, command: Start | Undo) -> None:
        context = self._context(command.step)
        operation = self._operations[command.step]
        if isinstance(command, Start):
            self._workers.do(lambda: self._try(operation, context, command.look_first))
        else:
            self._workers.do(lambda: self._undo(operation, context))

    def _try(self, operation: Operation, context: AttemptContext, look_first: bool) -> None:
        started = self._clock.monotonic()
        result = attempt(operation, context, look_first=look_first)
        self._happened.put(_Ended(context.step.id, result, self._clock.monotonic() - started))

    def _undo(self, operation: Operation, context: AttemptContext) -> None:
        # the source that it wants to start again may be why somebody gives the move up
        reason = take_back(operation, replace(context, cancelled=lambda: self._abandon.is_set() or self._turn is not None))
        self._happened.put(_Undone(context.step.id, reason))

    def _context(self, step_id: str) -> AttemptContext:
        state, plan = self._state, self._state.current_plan
        step = state.steps[step_id]
        asked = state.started.actor if state.started is not None else self._actor
        left = step.spec.budget
        if step.first_started_at is not None and step.state is StepState.RUNNING:  # an undo has a budget of its own
            left -= self._now - step.first_started_at
        if self._found[0] != state.events:  # one tuple for all attempts that see the same
            self._found = state.events, tuple(state.evidence)
        return AttemptContext(
            run_id=state.run_id, step=step.spec, intent=plan.intent, source=plan.source, target=plan.target, number=step.attempts,
            key=f"{state.run_id}/{step_id}", epoch=state.epoch, actor=asked, clock=self._clock,
            deadline=self._clock.monotonic() + left.total_seconds(),
            rpo=plan.component_rpo.get(step.spec.component, plan.rpo),
            evidence=self._found[1], acceptances=tuple(state.acceptances), approved_by=step.approved_by,
            outage_began=state.outage_began, may_act=self._lease.valid, cancelled=self._cancelled,
            pausing=lambda: self._state.status is RunStatus.PAUSING, to_service=plan.to_service(step_id),
            say=lambda text: self._say(step_id, text),
        )  # fmt: skip

    def _cancelled(self) -> bool:
        # a turn waits until nothing is under way: what waits for a source that may be dead must not hold it; nor may it hold the end
        return self._abandon.is_set() or self._state.rolling_back or self._turn is not None or not self._state.unsatisfied
