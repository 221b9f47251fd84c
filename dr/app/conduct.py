"""Starting runs, taking them over, going on with them. What is done in them is the engine's; whether one may begin, its guards'."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path

from dr.app import outlook
from dr.app.platform import Books, Platform
from dr.app.runs import Request, Runs
from dr.app.since import outage_began, told
from dr.app.state import State
from dr.engine import guards
from dr.engine.planner import operations
from dr.engine.runner import Runner
from dr.engine.state import RunState
from dr.errors import DrError, NeedsOperator, NotThere, Refused, RunInFlight, StateLost, StateUnreadable
from dr.model.base import show_duration
from dr.model.events import Accepted, CancelRequested, Event, Resumed, RunEnded, RunStarted, Turned
from dr.model.lease import Held, Life
from dr.model.plan import Acceptance, Plan
from dr.model.report import RunReport
from dr.model.words import Intent, RunOutcome, RunStatus, Verb
from dr.ports import Clock, LeaseStore, Operation


@dataclass(frozen=True)
class Hooks:
    """What a viewer may want: the plan before it is touched (False: not now), with since when writes fail (None: not known); the run's id;
    the runner to interrupt."""

    confirm: Callable[[Plan, datetime | None], bool] = lambda _plan, _since: True
    on_start: Callable[[str], None] = lambda _run: None
    on_runner: Callable[[Runner], None] = lambda _runner: None
    say: Callable[[str, str], None] = lambda _step, _text: None


_LOOK_SECONDS = 0.05
_FIRST_RECORD = 20
"""Looks for the first record of a run that holds the lease; it comes within milliseconds, or its process is gone."""
_OVERTAKEN = (CancelRequested, Turned, Accepted)
"""What a process that takes a run over does not obey when it was asked of the one before: much may have changed since. Answers to what
the run asks (approve, skip) are as good as they were."""


@contextmanager
def giving_back(lease: LeaseStore) -> Iterator[None]:
    """Releases a lease in the end. Where that cannot be written (a full disk) the lease ends by itself with this process, so it hides
    neither what went wrong before nor a report that is finished."""
    try:
        yield
    finally:
        with suppress(StateLost):
            lease.release()


class Conductor:
    """Begins runs and goes on with them, in this process."""

    def __init__(self, state: State, runs: Runs, books: Books | None = None) -> None:
        self.state, self.runs, self.books = state, runs, books or Books()

    def start(self, platform: Platform, request: Request, hooks: Hooks | None = None) -> RunReport:
        """Looks, plans, asks the guards, asks the person, and runs to the end or to a pause.

        The same command given again converges: the target is the key. What is there already is not touched; a run that was
        left behind by a process that died goes on.

        Raises:
            UsageError, Refused, RunInFlight, StateLost, LeaseLost: as their names say.
        """
        self.state.make()
        hooks = hooks or Hooks()
        open_run = self.runs.unfinished(platform.runbook.name)
        if open_run is not None:
            return self._again(platform, request, open_run, hooks)
        if request.to is not None:
            platform.warm(platform.region(request.to))
        known = next(self.state.journal.newest(platform.runbook.name), None)
        seen = self._look(platform, request)
        request = self.runs.the_rest(platform, request, seen)
        planned = self.runs.plan(platform, request, seen)
        if request.intent is Intent.FAILOVER and guards.maybe_slow(planned.plan, planned.plan.guards):
            seen = outlook.look(platform)  # it waits for nothing that is slow, unless the answer is no for that alone
            planned = self.runs.plan(platform, request, seen)
        plan = planned.plan
        if self.runs.already(platform, request, seen, plan):
            plan = plan.model_copy(update={"guards": ()})  # nothing would be done, so nothing is refused
            return self._only_said(platform, request, seen, plan, RunOutcome.ALREADY, f"{plan.target} is already primary")
        if no := guards.refused(plan.guards):
            text = "; ".join(f"{item.name}: {item.reason}" for item in no)
            return self._only_said(platform, request, seen, plan, RunOutcome.REFUSED, text)
        if not hooks.confirm(plan, request.outage_began or seen.outage_began):
            raise Refused("not confirmed; nothing was touched")
        run_id = _new_id(self.state.clock)
        lease = self.state.lease()
        try:
            epoch = lease.acquire(platform.runbook.name, run_id, self.state.holder)
        except RunInFlight as error:
            if self._steps_aside(error.run_id, request):
                return self.start(platform, request, hooks)
            raise
        with giving_back(lease):
            since = takewhile(lambda item: known is None or item.run_id != known.run_id, self.state.journal.newest(platform.runbook.name))
            begun = next((item.run_id for item in since if not self._steps_aside(item.run_id, request)), None)
            if begun is not None:
                text = f"run {begun} was started meanwhile; nothing was touched"
                raise Refused(text, hint=f"dr runs {begun}, then give the command again")
            first = self._first(platform, request, seen, plan, epoch)
            hooks.on_start(run_id)
            return self._run(platform, RunState(run_id), planned.operations, [first], lease, request.actor, hooks)

    def _look(self, platform: Platform, request: Request) -> outlook.Outlook:
        """What is there now. Where somebody can wait and something did not answer in time, it is looked at once more: what was only slow
        is no reason to refuse. A failover does not wait for that as long as it can go on, nor the fence that the monitor tries again."""
        seen = outlook.look(platform)
        if request.intent is Intent.FAILOVER or request.fence_only or not seen.late:
            return seen
        return outlook.look(platform)

    def _first(self, platform: Platform, request: Request, seen: outlook.Outlook, plan: Plan, epoch: int) -> RunStarted:
        now = self.state.clock.now()
        before = self.runs.left_away(platform.runbook.name) if request.intent is Intent.FAILOVER else None
        began, known_from = outage_began(request, seen, plan, before)
        return RunStarted(
            plan=plan, document=self.books.document(platform.runbook), runbook_path=platform.runbook.path, actor=request.actor,
            reason=request.reason,
            holder=self.state.holder, epoch=epoch, tool_version=self.state.tool_version, acceptances=request.acceptances,
            outage_began=began, detected=None if began is None else max(began, seen.detected or seen.at), decided=now,
            samples_from=known_from, only=request.only, asked=request.asked,
        )  # fmt: skip

    def _only_said(
        self, platform: Platform, request: Request, seen: outlook.Outlook, plan: Plan, outcome: RunOutcome, reason: str
    ) -> RunReport:
        """Journals an answer that touched nothing: auditors want refusals, too."""
        run_id = _new_id(self.state.clock)
        first = self._first(platform, request, seen, plan.model_copy(update={"steps": (), "schedule": {}, "critical_path": ()}), 0)
        now = self.state.clock.now()
        self.state.journal.append(run_id, [(now, first), (now, RunEnded(outcome=outcome, reason=reason))])
        return self.runs.report(run_id, keep=True)

    def _again(self, platform: Platform, request: Request, run_id: str, hooks: Hooks) -> RunReport:
        """A run of this runbook has not ended: turn it, go on with it, or refuse."""
        state = self.runs.history(run_id).state
        plan = state.current_plan
        held = self.held(state)
        if (request.intent is Intent.FAILOVER and plan.intent is Intent.REPROTECT) or self._steps_aside(run_id, request):
            self._give_up(platform, request, state, held, hooks)
            return self.start(platform, request, hooks)
        # cancelled, and asked for once more: forward, not back
        again = plan.intent is Intent.FAILOVER and state.rolling_back and not held and self._same_parts(state, request)
        if request.intent is Intent.FAILOVER and (plan.intent.planned or again) and request.to == plan.target:
            kept = self.platform_of(state)  # who goes on later has that runbook and no other
            try:
                return self._turn(kept, request, state, held, hooks)
            finally:
                kept.close()
        started = state.started_at.isoformat() if state.started_at else ""
        if held:
            raise RunInFlight(platform.runbook.name, run_id, state.holder, started)
        asked = None if state.started is None else state.started.asked
        same = request.intent in (plan.intent, asked) and (request.to or plan.target) == plan.target
        if same and self._same_parts(state, request):
            return self.resume(run_id, actor=request.actor, acceptances=request.acceptances, hooks=hooks)
        raise RunInFlight(platform.runbook.name, run_id, state.holder, started, held=False)

    @staticmethod
    def _same_parts(state: RunState, request: Request) -> bool:
        return state.started is not None and request.only == state.started.only

    def _steps_aside(self, run_id: str, request: Request) -> bool:
        """A fence that the monitor tries again by itself never keeps a person waiting: whatever is asked for fences, too, where it must."""
        for _ in range(_FIRST_RECORD):
            try:
                steps = self.runs.history(run_id).state.current_plan.steps
                break
            except NotThere:  # it holds the lease and has not written its first record
                self.state.clock.sleep(_LOOK_SECONDS)
        else:
            return False
        return not request.fence_only and bool(steps) and all(step.verb is Verb.FENCE and step.optional for step in steps)

    def _give_up(self, platform: Platform, request: Request, state: RunState, held: bool, hooks: Hooks) -> None:
        """A re-protect, which may wait a quarter of an hour for a region to come back, does not stand in the way of a failover."""
        cancel = CancelRequested(actor=request.actor, reason=f"a {request.intent} comes first")
        if held:
            self._ask(state.run_id, [cancel], Hooks())
        if self.runs.history(state.run_id).state.status is not RunStatus.ENDED:
            kept = self.platform_of(state)
            try:
                self.take_over(kept, state, [cancel], request.actor, Hooks(say=hooks.say))
            finally:
                kept.close()

    def _turn(self, platform: Platform, request: Request, state: RunState, held: bool, hooks: Hooks) -> RunReport:
        """A switchover becomes a failover: in the process that holds it, or here."""
        seen = outlook.look(platform)
        plan = self.runs.plan(platform, request, seen).plan
        if no := guards.refused(plan.guards):
            return self._only_said(
                platform, request, seen, plan, RunOutcome.REFUSED, "; ".join(f"{item.name}: {item.reason}" for item in no)
            )
        if not hooks.confirm(plan, request.outage_began or seen.outage_began):
            raise Refused("not confirmed; nothing was touched")
        own = self.runs.history(state.run_id).first_act(Verb.FENCE) is not None  # this run stopped the primary itself, after its freeze
        began, known_from = told(request, seen) if own else outage_began(request, seen, plan, None)
        turned = Turned(
            plan=plan, actor=request.actor, reason=request.reason, outage_began=began, samples_from=known_from,
            look_again=state.rolling_back,
        )  # fmt: skip
        events: list[Event] = [*(Accepted(acceptance=item) for item in request.acceptances), turned]
        if held:
            return self._ask(state.run_id, events, hooks)
        return self.take_over(platform, state, events, request.actor, hooks)

    def held(self, state: RunState) -> bool:
        """Whether a process holds a run. One that cannot be looked up from here has a lease time to give a sign of life: so long this may
        take, once."""
        live = self.state.lease().watch(state.current_plan.runbook)
        return live is not None and live.alive and live.run_id == state.run_id

    def _ask(self, run_id: str, events: Sequence[Event], hooks: Hooks) -> RunReport:
        """Asks the process that holds a run, and follows the run. What it did not take up is withdrawn however the waiting ends: nobody
        wants a command obeyed that was given up.

        Raises:
            NeedsOperator: the process gives no sign of life.
        """
        asked: list[int] = []
        try:
            for event in events:
                asked.append(self.state.inbox.put(run_id, event))
            hooks.on_start(run_id)
            return self._await_end(run_id)
        finally:
            with suppress(StateLost):  # what stays there, the next holder drops
                self.state.inbox.withdraw(asked)

    def _await_end(self, run_id: str) -> RunReport:
        """Follows a run that another process holds until it has ended or is paused, or until that process is silent for a lease time."""
        last: Held | None = None
        since = 0.0
        head = ""
        while True:
            grown = self.state.journal.head(run_id)
            if grown != head:
                state, head = self.runs.history(run_id).state, grown
            live = self.state.lease().look(state.current_plan.runbook)
            # an ended run's process gives its lease back a moment later: who comes next is not to find it held
            if live is None or not live.alive or live.run_id != run_id:
                return self.runs.report(run_id)
            now = self.state.clock.monotonic()
            if last is None or (live.epoch, live.renewal) != (last.epoch, last.renewal):
                last, since = live, now
            elif now - since > live.lasts.total_seconds():
                if state.status is RunStatus.ENDED:
                    return self.runs.report(run_id)
                end_it = f"end it where it hangs ({live.holder}), then " if live.life is Life.ALIVE else ""
                raise NeedsOperator(
                    f"nobody answers: {live.holder} holds run {run_id} and gave no sign of life for {show_duration(live.lasts)}; "
                    "what was asked of it is withdrawn",
                    hint=f"{end_it}dr resume {run_id}, or give the same command again",
                )
            self.state.clock.sleep(_LOOK_SECONDS)

    def resume(self, run_id: str, *, actor: str, acceptances: Sequence[Acceptance] = (), hooks: Hooks | None = None) -> RunReport:
        """Goes on with a paused or abandoned run, here.

        Raises:
            Refused: it has ended. RunInFlight: a live process holds it.
        """
        state = self.runs.history(run_id).state
        if state.status is RunStatus.ENDED:
            raise Refused(f"run {run_id} has ended: {state.outcome}", hint=f"dr runs {run_id}")
        platform = self.platform_of(state)
        try:
            accepted = [Accepted(acceptance=item) for item in acceptances]
            return self.take_over(platform, state, accepted, actor, hooks or Hooks())
        finally:
            platform.close()

    def platform_of(self, state: RunState) -> Platform:
        """The platform of a run, as its runbook was when it started."""
        assert state.started is not None, "a folded run has its first event"
        return self.books.build(self.books.restore(state.started.document), self.state)

    def _changed(self, state: RunState) -> bool:
        """The runbook's file is not what it was when the run started."""
        assert state.started is not None, "a folded run has its first event"
        try:
            return self.books.load(Path(state.started.runbook_path)).sha256 != state.current_plan.runbook_sha256
        except DrError:
            return True

    def take_over(
        self, platform: Platform, state: RunState, events: Sequence[Event], actor: str, hooks: Hooks
    ) -> RunReport:
        """Holds a run that nobody holds, delivers the events, and goes on to its end or a pause."""
        lease = self.state.lease()
        lease.watch(state.current_plan.runbook)  # what has to be waited for is waited for here: the next two lines are one moment
        before = self.state.inbox.newest()
        epoch = lease.acquire(state.current_plan.runbook, state.run_id, self.state.holder)
        with giving_back(lease):
            state = self.runs.fold(state.run_id)  # what the last holder wrote before it went
            crashed = state.status is not RunStatus.PAUSED
            operations = self._operations(platform, state.current_plan, state)
            dropped = self.state.inbox.drop(state.run_id, before, _OVERTAKEN)
            # acceptances count from the first step on, and whatever else was asked for comes from the new holder's epoch
            resumed = Resumed(
                actor=actor, holder=self.state.holder, epoch=epoch, runbook_changed=self._changed(state), crashed=crashed,
                dropped=tuple(_asked(event) for event in dropped), tool_version=self.state.tool_version,
            )  # fmt: skip
            given = [event for event in events if isinstance(event, Accepted)]
            first = [*given, resumed, *(event for event in events if not isinstance(event, Accepted))]
            hooks.on_start(state.run_id)
            return self._run(platform, state, operations, first, lease, actor, hooks)

    def _operations(self, platform: Platform, plan: Plan, state: RunState) -> Mapping[str, Operation]:
        """Operations for a plan that was made earlier in a run, by step id.

        Raises:
            Refused: this version of a kind has no such step any more.
        """
        chains = platform.chains(plan.intent, plan.source, plan.target)
        rebuilt = operations(platform.runbook, chains, plan.intent, plan.target)
        missing = [spec.id for spec in plan.steps if spec.id not in rebuilt]
        if missing:
            first = self.state.tool_version if state.started is None else state.started.tool_version
            raise Refused(
                f"this version of dr ({self.state.tool_version}) does not know the steps {', '.join(missing)} of the run",
                hint=f"go on with dr {first}, which started it",
            )
        return rebuilt

    def _run(
        self, platform: Platform, state: RunState, operations: Mapping[str, Operation], first: Sequence[Event], lease: LeaseStore,
        actor: str, hooks: Hooks,
    ) -> RunReport:  # fmt: skip
        runner = Runner(
            state, operations, journal=self.state.journal, lease=lease, inbox=self.state.inbox, clock=self.state.clock, actor=actor,
            replan=lambda plan: self._operations(platform, plan, state), say=hooks.say, threads=self.state.threads,
            rhythm=self.state.rhythm,
        )  # fmt: skip
        hooks.on_runner(runner)
        try:
            runner.run(first)
            return self.runs.report(state.run_id, keep=True)
        except StateLost as error:
            raise StateLost(error.message, hint=f"{error.hint}; with room again: {self._go_on(state.run_id)}") from error
        except StateUnreadable as error:
            if not runner.wrote:
                raise StateUnreadable(f"{error.message}; nothing was touched", hint=error.hint) from error
            # no refusal: it has acted
            text = f"run {state.run_id} has acted, and how far it came cannot be read: {error.message}"
            raise StateLost(text, hint=error.hint) from error

    def _go_on(self, run_id: str) -> str:
        """What brings a run on whose journal could not be written any more; it may not even have begun."""
        try:
            begun = bool(self.state.journal.records(run_id))
        except StateUnreadable as error:
            return error.hint
        return f"dr resume {run_id}" if begun else "give the same command again"


def _asked(event: Event) -> str:
    """What somebody had asked for, and who."""
    if isinstance(event, Accepted):
        return f"guard {event.acceptance.guard} accepted by {event.acceptance.actor}"
    if isinstance(event, Turned):
        return f"{event.plan.intent} to {event.plan.target} by {event.actor}"
    who = f"cancel by {event.actor}" if isinstance(event, CancelRequested) else event.event
    reason = getattr(event, "reason", "")
    return f"{who}: {reason}" if reason else who


def _new_id(clock: Clock) -> str:
    """An id that sorts by time and that a person can read out: 20261121-024003-7f3a."""
    return f"{clock.now():%Y%m%d-%H%M%S}-{int(clock.uniform(0, 1 << 16)):04x}"
