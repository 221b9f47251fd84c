"""The state of a run and the commands that follow from it. Changed by ``dr.engine.machine`` only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from operator import attrgetter

from dr.errors import IllegalTransition, NotThere
from dr.model.events import RunStarted, StepEnded, Turned
from dr.model.evidence import Attested, Evidence, Fenced
from dr.model.plan import Acceptance, Backoff, Plan, StepSpec
from dr.model.words import ACTIVE, SATISFIED, ClockKind, FenceState, Guard, Outcome, RunOutcome, RunStatus, StepState, Verb


@dataclass(frozen=True, slots=True)
class Start:
    """Journal StepStarted, then run one attempt. A host may hold it back for a free worker; it drops it when the step is not
    pending any more (nor a fence that is owed), the run does not go on, or is turned (what is still wanted is said again)."""

    step: str
    look_first: bool


@dataclass(frozen=True, slots=True)
class Again:
    """Draw a delay, journal RetryScheduled; deliver RetryDue when it is over. ``longest``: nothing is drawn, the longest one is meant."""

    step: str
    attempt: int
    backoff: Backoff
    longest: bool = False


@dataclass(frozen=True, slots=True)
class AskApproval:
    """Tell a person; deliver Approved or SkipRequested when they answer."""

    step: str


@dataclass(frozen=True, slots=True)
class Undo:
    """Journal UndoStarted, then run the undo."""

    step: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The run is paused and quiet: the host may end."""

    reason: str


@dataclass(frozen=True, slots=True)
class EndRun:
    """Journal RunEnded."""

    outcome: RunOutcome
    reason: str


Command = Start | Again | AskApproval | Undo | Stop | EndRun


_WAITING = (StepState.BACKOFF, StepState.UNKNOWN, StepState.WAITING_APPROVAL)


@dataclass(slots=True)
class StepRun:
    """One step of a run.

    waiting_for: how many needs are open; Invariant: 0 <= waiting_for <= len(spec.needs).
    acted: this run had its effect, or may have had it. look_first: as acted, or an attempt was cut off by a crash; what the next
        attempt finds done was done by this run. Both stay until an undo has taken the effect back.
    undo_began: its effect is being, or was, taken back: nothing may rely on what it found.
    owed: its fence is being tried again although nothing waits for it any more.
    changed: number of the event that started or ended its newest attempt; undo goes backwards by it, not by clocks.
    duration: sum over attempts, without the delays between them.
    """

    spec: StepSpec
    waiting_for: int
    state: StepState = StepState.PENDING
    attempts: int = 0
    attempts_in_budget: int = 0
    acted: bool = False
    look_first: bool = False
    undo_began: bool = False
    owed: bool = False
    changed: int = 0
    outcome: Outcome | None = None
    started_at: datetime | None = None
    first_started_at: datetime | None = None
    ended_at: datetime | None = None
    duration: timedelta | None = None
    clock: ClockKind = ClockKind.MONOTONIC
    reason: str = ""
    guard: str | None = None
    approved_by: tuple[str, ...] = ()
    skipped_by: str | None = None
    evidence: list[Evidence] = field(default_factory=list)

    def copy(self) -> StepRun:
        """One of one's own."""
        other = StepRun(*_STEP(self))  # five times as fast as ``copy.copy``, and a run has hundreds of steps
        other.evidence = self.evidence.copy()
        return other

    @property
    def hopeful(self) -> bool:
        """It can go on: ready, due, or asked of a person."""
        return not self.waiting_for if self.state is StepState.PENDING else self.state in _WAITING

    def renew_budget(self) -> None:
        """A person asked for it: time and attempts count anew."""
        self.first_started_at = None
        self.attempts_in_budget = 0

    @property
    def to_undo(self) -> bool:
        """It may have had an effect that its undo takes back."""
        return self.spec.undoable and self.look_first and self.state in (StepState.DONE, StepState.FAILED, StepState.CANCELLED)


_STEP = attrgetter(*(item.name for item in fields(StepRun)))


@dataclass(slots=True)
class RunState:
    """A run: a fold over its events.

    events: how many were applied.
    active: steps with an attempt or an undo under way. unsatisfied: steps that the run still needs.
    hopeful: steps that can go on: ready, due, or asked of a person.
    ready: steps whose needs are satisfied and whose start is to be said. delays: steps whose delay is to be drawn.
    back_reason: why the run goes back; ``reason`` changes with every pause.
    no_return: an irreversible step of an earlier plan of this run acted, or may have.
    """

    run_id: str
    plan: Plan | None = None
    started: RunStarted | None = None
    status: RunStatus = RunStatus.RUNNING
    outcome: RunOutcome | None = None
    reason: str = ""
    actors: list[str] = field(default_factory=list)
    holder: str = ""
    epoch: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outage_began: datetime | None = None
    across_crash: bool = False
    events: int = 0
    steps: dict[str, StepRun] = field(default_factory=dict)
    dependents: dict[str, list[str]] = field(default_factory=dict)
    active: int = 0
    unsatisfied: int = 0
    hopeful: int = 0
    ready: list[str] = field(default_factory=list)
    delays: list[str] = field(default_factory=list)
    acceptances: list[Acceptance] = field(default_factory=list)
    approvals: list[Attested] = field(default_factory=list)
    deviations: list[str] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    rolling_back: bool = False
    back_reason: str = ""
    undo_failed: bool = False
    no_return: bool = False
    failed_step: str | None = None

    def copy(self) -> RunState:
        """A state of one's own: what is applied to it does not change this one."""
        other = RunState(*_RUN(self))
        other.steps = {name: step.copy() for name, step in self.steps.items()}
        other.actors, other.ready, other.delays = self.actors.copy(), self.ready.copy(), self.delays.copy()
        other.acceptances, other.approvals = self.acceptances.copy(), self.approvals.copy()
        other.deviations, other.evidence = self.deviations.copy(), self.evidence.copy()
        return other  # dependents change with the plan only, and are made anew then

    def step(self, step_id: str) -> StepRun:
        """The step of that id. Raises NotThere."""
        try:
            return self.steps[step_id]
        except KeyError:
            raise NotThere(f"run {self.run_id} has no step {step_id}", hint=f"dr runs {self.run_id}") from None

    @property
    def current_plan(self) -> Plan:
        """The plan. Raises IllegalTransition before the run started."""
        if self.plan is None:
            raise IllegalTransition(f"run {self.run_id} has not started")
        return self.plan

    @property
    def past_no_return(self) -> bool:
        """An irreversible step has acted, or may have; or it was found done, and what stands on it has acted: taken back, that would lead
        to what is not primary any more."""
        irreversible = [step for step in self.steps.values() if step.spec.irreversible]
        if self.no_return or any(step.look_first or step.state is StepState.RUNNING for step in irreversible):
            return True
        found = [step.spec.id for step in irreversible if step.state is StepState.ALREADY]
        return any(self.steps[name].to_undo for name in self._standing_on(found))

    def _standing_on(self, names: Iterable[str]) -> set[str]:
        """What waits for these steps, also through others."""
        reached: set[str] = set()
        ahead = list(names)
        while ahead:
            more = set(self.dependents.get(ahead.pop(), ())) - reached
            reached |= more
            ahead += more
        return reached

    @property
    def rolls_back(self) -> bool:
        """A failure now is taken back by itself: planned move, point of no return not passed."""
        return self.current_plan.rollback_on_failure and not self.past_no_return

    def passes(self, step: StepRun) -> bool:
        """Steps that wait for it may go on: satisfied, or failed and not needed."""
        return step.state in SATISFIED or step.owed or (step.state is StepState.FAILED and step.spec.optional)

    def owes(self, step: StepRun) -> bool:
        """A fence that nobody acknowledged, and on which its component was promoted all the same: a recorded split (I1)."""
        if step.spec.verb is not Verb.FENCE or step.state is not StepState.DONE:
            return False
        said = next((item for item in reversed(step.evidence) if isinstance(item, Fenced)), None)
        waited = (self.steps[name] for name in self.dependents.get(step.spec.id, ()))
        promoted = any(other.spec.verb is Verb.PROMOTE and other.state in (StepState.DONE, StepState.ALREADY) for other in waited)
        return promoted and said is not None and said.state is FenceState.UNACKNOWLEDGED

    def try_owed(self, among: Iterable[str]) -> None:
        """Each of these steps that is a fence and owed is to be tried again after a while."""
        self.delays += [name for name in among if self.owes(self.steps[name])]

    def owed_ended(self, step: StepRun, event: StepEnded) -> None:
        """Takes in what is known now; when the step ended, and how long it took, stays what the run waited for."""
        step.owed = False
        step.reason = event.reason
        step.evidence.extend(event.evidence)
        self.evidence.extend(event.evidence)
        self.try_owed([step.spec.id])

    def ages(self, step: StepRun) -> bool:
        """What it found may not be so any more by the time that its run goes on, and something still stands on it.

        A fence or a drain on which its component has to be promoted; a fence that nobody acknowledged and nobody accepted as a split, and
        what may run in one region only waits for it.
        """
        if step.spec.verb not in (Verb.FENCE, Verb.DRAIN) or self.rolling_back:
            return False
        waiting = {self.steps[name].spec.verb for name in self.dependents.get(step.spec.id, ()) if not self.passes(self.steps[name])}
        split = any(item.guard is Guard.FENCE for item in self.acceptances)
        return Verb.PROMOTE in waiting or (Verb.START in waiting and not split and self.owes(step))

    def has_spoken(self, actor: str, step: StepRun) -> bool:
        """Whether a person asked for this run, or let an approval beside ``step`` pass already: two people are two people."""
        beside = (other for other in self.steps.values() if other.spec.component == step.spec.component)
        heard = {name for other in beside for name in (*other.approved_by, other.skipped_by)}
        return actor in heard or (self.started is not None and actor == self.started.actor)

    def last_to_undo(self) -> StepRun | None:
        """Undo goes one by one, last changed first: what stands on a step is taken back before it."""
        return max((step for step in self.steps.values() if step.to_undo), key=lambda step: step.changed, default=None)

    def begin(self, event: RunStarted, at: datetime) -> None:
        """Takes the first event in."""
        self.started, self.started_at, self.epoch, self.holder = event, at, event.epoch, event.holder
        self.outage_began = event.outage_began
        self.acceptances = list(event.acceptances)
        self.add_actor(event.actor)
        self._lay_out(event.plan, {})

    def turn(self, event: Turned) -> None:
        """Takes another plan in; what is done stays so, what may have acted is looked at first, what was skipped is due again."""
        kept = self.steps
        self.no_return = self.past_no_return
        for step in kept.values():
            if step.undo_began:
                self.forget(step)
        self.add_actor(event.actor)
        self.deviations.append(f"turned from {self.current_plan.intent} into {event.plan.intent} by {event.actor}: {event.reason}")
        self.outage_began = event.outage_began or self.outage_began
        self.rolling_back = self.undo_failed = False
        self.reason = ""
        self._lay_out(event.plan, kept)
        if event.look_again:
            for step in self.steps.values():
                if step.state in (StepState.DONE, StepState.ALREADY) and self.ages(step):
                    step.state, step.look_first = StepState.PENDING, True
                    step.renew_budget()
            self.recount()

    def _lay_out(self, plan: Plan, kept: dict[str, StepRun]) -> None:
        self.plan = plan
        self.steps, self.dependents = {}, {}
        for spec in plan.steps:
            old = kept.get(spec.id)
            step = StepRun(spec, len(spec.needs))
            # a yes to a planned move is no yes to losing data: an approval is asked for anew
            stays = old is not None and old.spec.verb is spec.verb and spec.verb is not Verb.APPROVAL
            if old is not None and stays and old.state in (StepState.DONE, StepState.ALREADY):
                old.spec, old.waiting_for = spec, len(spec.needs)
                step = old
            elif old is not None:
                step.look_first, step.acted, step.changed = old.look_first, old.acted, old.changed
                step.attempts = old.attempts if old.look_first else 0  # a kind may ask whether it was tried before (I9)
            self.steps[spec.id] = step
            for need in spec.needs:
                self.dependents.setdefault(need, []).append(spec.id)
        self.recount()

    def recount(self) -> None:
        """Counters and the ready list from the states: at the start, after a turn and after a crash."""
        steps = self.steps.values()
        still_open = {step.spec.id for step in steps if not self.passes(step)}
        self.active = sum(step.state in ACTIVE for step in steps)
        self.unsatisfied = len(still_open)
        self.delays.clear()
        held_back = list(still_open)
        while held_back:
            behind = [name for name in self.dependents.get(held_back.pop(), ()) if self.steps[name].state is StepState.SKIPPED]
            held_back += [name for name in behind if name not in still_open]
            still_open.update(behind)
        for step in steps:
            step.waiting_for = sum(map(still_open.__contains__, step.spec.needs))
        self.hopeful = sum(step.hopeful for step in steps)
        self.ready = [step.spec.id for step in self.steps.values() if step.state is StepState.PENDING and not step.waiting_for]
        if self.rolling_back:
            self.ready = []

    def forget(self, step: StepRun) -> None:
        """What a step found does not hold any more (a fence that was opened again is no fence)."""
        gone = {id(item) for item in step.evidence}
        self.evidence = [item for item in self.evidence if id(item) not in gone]

    def satisfy(self, step: StepRun) -> None:
        """Counts a step as satisfied, once; what waited only for it becomes ready."""
        self.unsatisfied -= 1
        self._let_go_on(step)

    def _let_go_on(self, step: StepRun) -> None:
        """What waits for a step, which passes. One that was skipped before its turn still stands where it stands: behind its own needs."""
        passed = [] if step.waiting_for else [step]
        while passed:
            for name in self.dependents.get(passed.pop().spec.id, ()):
                other = self.steps[name]
                other.waiting_for -= 1
                if other.waiting_for:
                    continue
                if other.state is StepState.PENDING:
                    self.hopeful += 1
                    self.ready.append(name)
                elif other.state is StepState.SKIPPED:
                    passed.append(other)

    @property
    def stuck(self) -> bool:
        """Nothing is under way, ready, due, or asked of a person."""
        return not self.active and not self.hopeful

    def add_actor(self, actor: str) -> None:
        """Notes who had a hand in it, once."""
        if actor and actor not in self.actors:
            self.actors.append(actor)


_RUN = attrgetter(*(item.name for item in fields(RunState)))
