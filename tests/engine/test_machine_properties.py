"""Random runs under a random host: all orders of outcomes, people, crashes and delays.

A failing example prints its seed: ``RandomHost(seed).live(moves)`` repeats it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from dr.engine.state import RunState, StepRun, Undo
from dr.engine.table import STEP_TABLE
from dr.errors import IllegalTransition, NotThere
from dr.model.events import (
    Accepted,
    Approved,
    CancelRequested,
    Event,
    Observed,
    PauseRequested,
    Resumed,
    RetryDue,
    RetryScheduled,
    SkipRequested,
    StepStarted,
    TimedOut,
    Turned,
    UndoEnded,
    UndoStarted,
)
from dr.model.evidence import Note
from dr.model.plan import Acceptance, Plan
from dr.model.words import Guard, Intent, Outcome, RunOutcome, RunStatus, StepState
from tests.engine.build import START, ended, plan, spec
from tests.engine.driver import Driver, dump

MOST_STEPS = 30
HARD = settings(max_examples=200, deadline=None)


def random_plan(random: Random) -> Plan:
    """A random acyclic plan with every flag that a step can have, also in combinations that no kind declares."""

    def rare() -> bool:
        return random.random() < 0.2

    steps = [
        spec(
            f"s{number}", " ".join(f"s{need}" for need in sorted(random.sample(range(number), random.randint(0, min(number, 3))))),
            approval=rare(), optional=rare(), undoable=random.random() < 0.6, irreversible=rare(), max_attempts=random.randint(1, 3),
        )
        for number in range(random.randint(1, MOST_STEPS))
    ]  # fmt: skip
    return plan(*steps, intent=random.choice((Intent.FAILOVER, Intent.SWITCHOVER)))


class Watch:
    """Checks each event against what the state was right before, and the state right after."""

    def __init__(self) -> None:
        self.undone: list[str] = []
        self.before: dict[str, StepState] = {}

    def __call__(self, state: RunState, event: Event) -> None:
        self.before = {name: step.state for name, step in state.steps.items()}
        if isinstance(event, StepStarted):
            found = state.steps.get(event.step)
            self._may_start = state.status is RunStatus.RUNNING and found is not None and all(
                not still_open(state, need) for need in found.spec.needs
            )  # fmt: skip
        if isinstance(event, UndoStarted):
            step = state.steps.get(event.step)
            self._may_undo = (
                state.status is RunStatus.ROLLING_BACK and not state.past_no_return and step is not None
                and step.spec.undoable and not (step.spec.irreversible and step.acted)
            )  # fmt: skip

    def accepted(self, event: Event, state: RunState, turned: bool) -> None:
        """An event went through: it had to be allowed, and what it left has to add up."""
        if isinstance(event, StepStarted):
            assert self._may_start, f"{event.step} started while its needs are open"
            step = state.steps[event.step]
            assert not step.spec.approval or step.approved_by, f"{event.step} started without approval"
        if isinstance(event, UndoStarted):
            assert self._may_undo, f"{event.step} must not be undone"
            assert state.active == 1, "undo goes one by one"
            if not turned:
                later = [other.spec.id for other in state.steps.values() if event.step in other.spec.needs and other.to_undo]
                assert not later, f"{event.step} is undone before {later}, which stand on it"
        if not isinstance(event, (Turned, Resumed)):
            for name, step in state.steps.items():
                was = self.before.get(name, step.state)
                assert was is step.state or (was, step.state) in MOVES, f"{name}: {was} → {step.state} by {event.event}"


MOVES = {(before, after) for (before, _), after in STEP_TABLE.items()}
MOVES |= {(before, last) for before, after in MOVES for other, last in MOVES if after is other}  # due and asked at once


def still_open(state: RunState, name: str) -> bool:
    """It does not pass; or it was skipped before its turn, and something that it needs is still open."""
    step = state.steps[name]
    return not state.passes(step) or (step.state is StepState.SKIPPED and any(still_open(state, need) for need in step.spec.needs))


def check_counters(state: RunState) -> None:
    """What is counted along equals a recount."""
    steps = state.steps.values()
    assert state.active == sum(step.state in (StepState.RUNNING, StepState.UNDOING) for step in steps)
    assert state.unsatisfied == sum(not state.passes(step) for step in steps)
    waiting = (StepState.BACKOFF, StepState.UNKNOWN, StepState.WAITING_APPROVAL)
    assert state.hopeful == sum(
        step.state in waiting or (step.state is StepState.PENDING and not step.waiting_for) for step in steps
    )  # fmt: skip
    for step in steps:
        assert step.waiting_for == sum(still_open(state, need) for need in step.spec.needs), step.spec.id
        assert step.look_first or not step.acted


def check_live(driver: Driver) -> None:
    """Something is under way, due, asked of a person or to be started; or the run is paused with a reason, or has ended."""
    state = driver.state
    match state.status:
        case RunStatus.ENDED:
            assert state.outcome is not None
            assert not state.active
        case RunStatus.PAUSED:
            assert state.reason
            assert not state.active
        case RunStatus.PAUSING:
            assert state.active
        case RunStatus.RUNNING | RunStatus.ROLLING_BACK:
            expected = (StepState.BACKOFF, StepState.UNKNOWN, StepState.WAITING_APPROVAL)
            waits = state.status is RunStatus.RUNNING and any(step.state in expected for step in state.steps.values())
            assert state.active or driver.wanted() or waits, f"{state.status}: nobody will do anything: {driver.states()}"


class RandomHost:
    """A host that does anything that can happen, and many things that cannot."""

    def __init__(self, seed: int) -> None:
        self.random, self.turned = Random(seed), False
        self.seed = seed
        self.other = random_plan(self.random)
        self.watch = Watch()
        self.driver = Driver.of(random_plan(self.random))
        self.driver.watch = self.watch

    def __repr__(self) -> str:
        return f"RandomHost({self.seed})"

    def live(self, moves: int) -> None:
        """Up to so many random things."""
        for _ in range(moves):
            if self.driver.state.status is RunStatus.ENDED:
                break
            self.move()

    def _deliver(self, event: Event) -> bool:
        """True where the machine took it; where it refused, nothing may have changed."""
        driver = self.driver
        before, length = dump(driver.state), len(driver.log)
        try:
            driver.deliver(event)
        except (IllegalTransition, NotThere):
            assert len(driver.log) == length, "a follow-up that the machine itself asked for was refused"
            assert dump(driver.state) == before, f"{event} was refused and changed the state"
            return False
        self.turned = self.turned or isinstance(event, Turned)
        if len(driver.log) == length + 1:  # else an end or a delay that followed hides what was in between
            self.watch.accepted(event, driver.state, self.turned)
        check_counters(driver.state)
        check_live(driver)
        return True

    def step(self, want: Callable[[StepRun], bool]) -> str | None:
        fitting = [name for name, step in self.driver.state.steps.items() if want(step)]
        return self.random.choice(fitting) if fitting else None

    def move(self) -> None:
        """One thing that may happen now, or something random that mostly may not."""
        kind = self.random.random()
        if kind < 0.4 and self.driver.wanted():
            self.begin()
        elif kind < 0.75 and self.driver.state.active:
            self.end(self.random.choice(list(Outcome)), ok=self.random.random() < 0.7)
        elif kind < 0.87:
            self._deliver(self.person())
        else:
            self._deliver(self.anything())

    def begin(self) -> None:
        """Starts one thing that is wanted."""
        command = self.random.choice(self.driver.wanted())
        self.driver.held.remove(command)
        attempt = self.driver.state.steps[command.step].attempts + 1
        event = UndoStarted(step=command.step) if isinstance(command, Undo) else StepStarted(
            step=command.step, attempt=attempt, look_first=command.look_first
        )  # fmt: skip
        assert self._deliver(event) or isinstance(command, Undo), f"refused to start {command.step}"

    def end(self, outcome: Outcome, *, ok: bool) -> None:
        """Ends one attempt or undo that is under way."""
        name = self.step(lambda step: step.state.active)
        assert name is not None
        if self.driver.state.steps[name].state is StepState.UNDOING:
            assert self._deliver(UndoEnded(step=name, ok=ok, reason="" if ok else "no way back"))
        else:
            note = Note(text=f"{name} {outcome}")
            acted = outcome is Outcome.DONE or self.random.random() < 0.5
            assert self._deliver(ended(name, outcome, acted=acted, reason=str(outcome), evidence=[note]))

    def any_step(self) -> str:
        return self.random.choice([*self.driver.state.steps, "nowhere"])

    def person(self) -> Event:
        """What people ask for, mostly where it makes sense."""
        waiting = self.step(lambda step: step.state is StepState.WAITING_APPROVAL) or self.any_step()
        failed = self.step(lambda step: step.state is StepState.FAILED) or self.any_step()
        due = self.step(lambda step: step.state in (StepState.BACKOFF, StepState.UNKNOWN)) or self.any_step()
        resumed = Resumed(actor="second", holder="there", epoch=self.driver.state.epoch + 1)
        rare: list[Event] = [
            CancelRequested(actor="lead"), Turned(plan=self.other, actor="lead", reason="east is lost"), TimedOut(),
            PauseRequested(actor="lead"), SkipRequested(step=failed, actor="lead", reason="by hand"),
        ]  # fmt: skip
        common: list[Event] = [Approved(step=waiting, actor="lead"), RetryDue(step=due)]
        return self.random.choice([*rare, *common * 12, *([resumed] * 4)])

    def anything(self) -> Event:
        """Any event about any step."""
        name, random = self.any_step(), self.random
        events: list[Event] = [
            StepStarted(step=name, attempt=random.randint(0, 3)), ended(name, random.choice(list(Outcome))),
            RetryScheduled(step=name, delay=START - START), RetryDue(step=name), UndoStarted(step=name),
            UndoEnded(step=name, ok=random.random() < 0.5), Approved(step=name, actor="x"),
            SkipRequested(step=name, actor="x", reason="y"), Observed(evidence=Note(text="x")),
            Accepted(acceptance=Acceptance(guard=Guard.FENCE, actor="x", reason="y", at=START)),
        ]  # fmt: skip
        return random.choice(events)

    def calm_down(self) -> None:
        """Faults have healed: everything works from now on, and people answer."""
        state = self.driver.state
        for _ in range(20 * len(state.steps) + 20):
            waiting = self.step(lambda step: step.state is StepState.WAITING_APPROVAL)
            due = self.step(lambda step: step.state in (StepState.BACKOFF, StepState.UNKNOWN))
            if state.status is RunStatus.ENDED:
                return
            if state.status is RunStatus.PAUSED:
                assert self._deliver(Resumed(actor="second", holder="there", epoch=state.epoch + 1))
            elif state.active:
                self.end(Outcome.DONE, ok=True)
            elif self.driver.wanted():
                self.begin()
            elif waiting:
                assert self._deliver(Approved(step=waiting, actor="lead"))
            elif due:
                assert self._deliver(RetryDue(step=due))
        raise AssertionError(f"the run does not end: {state.status} {state.reason} {self.driver.states()}")


HOSTS = st.builds(RandomHost, st.integers(0, 2**32))


@HARD
@given(HOSTS, st.integers(0, 120))
def test_a_random_host_sees_only_what_is_allowed(host: RandomHost, moves: int) -> None:
    """Legal moves, needs before starts, no undo of what cannot be undone, counters that add up, never stuck in silence; and
    the journal gives the live state back."""
    host.live(moves)
    assert dump(host.driver.folded()) == dump(host.driver.state)


@HARD
@given(HOSTS, st.integers(0, 120))
def test_every_run_ends_once_faults_heal(host: RandomHost, moves: int) -> None:
    """L1: from wherever chance led, a run whose steps work and whose people answer comes to its end."""
    host.live(moves)
    host.calm_down()
    state = host.driver.state
    match state.outcome:
        case RunOutcome.COMPLETED:
            assert state.unsatisfied == 0
        case RunOutcome.ROLLED_BACK:
            assert not [name for name, step in state.steps.items() if step.to_undo], "left behind"
            assert state.reason
        case other:
            assert other is RunOutcome.CANCELLED
            assert state.past_no_return


@HARD
@given(HOSTS, st.lists(st.integers(1, 25), max_size=4))
def test_a_crash_at_any_point_changes_nothing_but_who_goes_on(host: RandomHost, lives: list[int]) -> None:
    """A host that is killed anywhere is followed by one that knows the journal only; it goes on from the same state."""
    for moves in lives:
        host.live(moves)
        running = [name for name, step in host.driver.state.steps.items() if step.state.active]
        host.driver.state = host.driver.folded()
        host.driver.held.clear()
        if host.driver.state.status is not RunStatus.ENDED:
            assert host._deliver(Resumed(actor="second", holder="there", epoch=host.driver.state.epoch + 1, crashed=True))
            assert all(host.driver.state.steps[name].look_first for name in running), "what was under way is looked at first"
    host.calm_down()


@settings(max_examples=60, deadline=None)
@given(HOSTS)
def test_without_faults_every_plan_completes(host: RandomHost) -> None:
    """Any order of starting and ending leads to completed, with each step tried once."""
    host.calm_down()
    assert host.driver.state.outcome is RunOutcome.COMPLETED
    assert {step.state for step in host.driver.state.steps.values()} == {StepState.DONE}
    assert {step.attempts for step in host.driver.state.steps.values()} == {1}
