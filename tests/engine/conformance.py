"""What every host of the machine must do, whatever performs its commands: the embedded runner today, a simulator later.

A host is made by ``make_host``; a test class of a host inherits ``HostConformance`` and defines that fixture.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import pytest

from dr.engine import machine
from dr.engine.state import RunState
from dr.errors import EffectUnknown, LeaseLost, Permanent, StateLost, Transient
from dr.model.events import (
    Accepted,
    Approved,
    CancelRequested,
    Event,
    PauseRequested,
    Resumed,
    RetryScheduled,
    SkipRequested,
    StepEnded,
    TimedOut,
    Turned,
)
from dr.model.evidence import Fenced, Note
from dr.model.plan import Acceptance, Backoff, Plan
from dr.model.words import FenceState, Guard, Intent, Outcome, RunOutcome, RunStatus, Verb
from dr.ports import AttemptContext, Look, Operation
from tests.engine.build import RUN, START, plan, spec, started
from tests.engine.doubles import FakeOperation, Killed, MemoryInbox, MemoryJournal, MemoryLease, StillClock, World, operations


class Host(Protocol):
    """A host under test, with the ports that it was given. Each ``run`` is a process of its own that knows the journal only."""

    journal: MemoryJournal
    inbox: MemoryInbox
    lease: MemoryLease
    clock: StillClock
    said: list[tuple[str, str]]

    def run(
        self, first: Sequence[Event], operations: Mapping[str, Operation], *,
        replan: Callable[[Plan], Mapping[str, Operation]] | None = None, workers: int = 8,
    ) -> RunState:  # fmt: skip
        """Blocks until the run has ended or is paused. Raises what the ports raise, Killed included."""

    def bury(self, world: World) -> None:
        """Returns once nothing of a killed process can act any more."""


MakeHost = Callable[[], Host]
DIAMOND = plan(spec("a"), spec("b", "a"), spec("c", "a"), spec("d", "b c"))
ACCEPTED = Accepted(acceptance=Acceptance(guard=Guard.FENCE, actor="lead", reason="dark", at=START))


def resumed(host: Host) -> Resumed:
    return Resumed(actor="second", holder="there", epoch=host.lease.acquire("lab", RUN, "there"))


def asks(host: Host, *events: Event) -> Callable[[AttemptContext], None]:
    """Somebody asks for something while an operation is under way, long enough for the host to look into its inbox."""

    def during(context: AttemptContext) -> None:
        for event in events:
            host.inbox.put(RUN, event)
        context.clock.sleep(0.2)

    return during


def goes_on(host: Host, first: Plan, ops: Mapping[str, Operation]) -> RunState:
    """What the next process does after a kill: begins where nothing is durable, goes on where the run has not ended."""
    state = machine.fold(host.journal.events(), RUN)
    if state.plan is None:
        return host.run([started(first)], ops)
    return state if state.status is RunStatus.ENDED else host.run([resumed(host)], ops)


def fold_is_live(host: Host, state: RunState) -> None:
    """The journal alone gives the state that the host ended with."""
    again = machine.fold(host.journal.events(), RUN)
    assert (again.status, again.outcome, again.reason) == (state.status, state.outcome, state.reason)
    assert {name: step.state for name, step in again.steps.items()} == {name: step.state for name, step in state.steps.items()}
    assert again.evidence == state.evidence


def check_looked_before_acting(world: World) -> None:
    """I9: no act without a look right before it, in the same attempt."""
    for step in {name for _, name in world.diary}:
        calls = [call for call in world.calls(step) if call != "preserve"]
        for before, call in zip(["", *calls], calls, strict=False):
            assert call != "act" or before == "observe", f"{step}: {calls}"


class HostConformance:
    """The claims. ``host`` is new for each test."""

    @pytest.fixture
    def host(self, make_host: MakeHost) -> Host:
        return make_host()

    def test_it_completes_a_plan_in_order(self, host: Host) -> None:
        """a → b, c → d: each step is observed, done and verified once; d after b and c; every event is in the journal."""
        world = World()
        state = host.run([started(DIAMOND)], operations(world, DIAMOND))
        assert state.outcome is RunOutcome.COMPLETED
        assert world.effects[0] == "a"
        assert world.effects[-1] == "d"
        assert all(world.calls(step) == ["observe", "preserve", "act", "verify"] for step in "abcd")
        assert host.journal.kinds()[0] == "run-started"
        assert host.journal.kinds()[-1] == "run-ended"
        fold_is_live(host, state)

    def test_an_intent_is_durable_before_its_operation_is_asked_anything(self, host: Host) -> None:
        """Write ahead: in every attempt, StepStarted is in the journal when observe is called; the end of what it needs is, too."""
        world = World()
        looks: list[list[str]] = []

        def watched(step: str) -> FakeOperation:
            def looking(context: AttemptContext) -> None:
                looks.append([step, str(context.number), *host.journal.kinds(step)])
                if step == "d":
                    looks.append([step, "needs", *host.journal.kinds("b")[-1:], *host.journal.kinds("c")[-1:]])

            return FakeOperation(world, step, [Transient("once")] if step == "c" else [], looking=looking)

        host.run([started(DIAMOND)], operations(world, DIAMOND, *map(watched, "abcd")))
        again = ["step-started", "step-ended", "retry-scheduled", "retry-due", "step-started"]
        assert sorted(looks) == sorted(
            [
                ["a", "1", "step-started"], ["b", "1", "step-started"], ["c", "1", "step-started"], ["c", "2", *again],
                ["d", "1", "step-started"], ["d", "needs", "step-ended", "step-ended"],
            ]
        )  # fmt: skip

    def test_a_retry_waits_for_a_delay_that_is_journaled(self, host: Host) -> None:
        """a fails twice: two delays, drawn from [0, base · 2ⁿ⁻¹], are in the journal; the third attempt works."""
        world, host.clock.draw = World(), 0.5
        first = plan(spec("a", backoff=Backoff(base=timedelta(seconds=2), cap=timedelta(seconds=3))))
        state = host.run([started(first)], operations(world, first, FakeOperation(world, "a", [Transient("x"), Transient("y")])))
        delays = [event.delay for _, event in host.journal.events() if isinstance(event, RetryScheduled)]
        assert delays == [timedelta(seconds=1), timedelta(seconds=1.5)]
        assert (state.outcome, state.steps["a"].attempts) == (RunOutcome.COMPLETED, 3)

    def test_what_is_unknown_is_looked_at_and_not_repeated(self, host: Host) -> None:
        """a had its effect and no answer came: the next attempt sees it done; one effect, and it counts as this run's."""
        world = World()
        first = plan(spec("a"))
        state = host.run([started(first)], operations(world, first, FakeOperation(world, "a", [EffectUnknown("no answer")])))
        assert world.effects == ["a"]
        assert state.steps["a"].outcome is Outcome.DONE
        check_looked_before_acting(world)

    def test_evidence_reaches_later_steps(self, host: Host) -> None:
        """What fence found is there when promote looks; the key and the epoch are carried."""
        world = World()
        fenced = Fenced(component="db", region="east", state=FenceState.FENCED, proof="gone", writes_ended_at=START)
        first = plan(spec("fence", verb=Verb.FENCE), spec("later", "fence"))
        host.run([started(first)], operations(world, first, FakeOperation(world, "fence", evidence=[fenced])))
        context = world.contexts["later"]
        assert context.found(Fenced, "db") == fenced
        assert (context.key, context.epoch, context.run_id) == (f"{RUN}/later", 1, RUN)

    def test_pause_starts_nothing_new_and_resume_goes_on(self, host: Host) -> None:
        """a → b, c → b: paused while a and c are under way: both end, b does not start; resumed, it does."""
        world = World()
        first = plan(spec("a"), spec("c"), spec("b", "a c"))
        ops = operations(world, first, FakeOperation(world, "a", during=asks(host, PauseRequested(actor="lead"))))
        state = host.run([started(first)], ops)
        assert (state.status, state.reason) == (RunStatus.PAUSED, "paused by lead")
        assert sorted(world.effects) == ["a", "c"]
        state = host.run([resumed(host)], ops)
        assert (state.outcome, state.epoch) == (RunOutcome.COMPLETED, 1)
        assert world.calls("a").count("observe") == 1, "what is done is not looked at again"
        fold_is_live(host, state)

    def test_pause_also_holds_what_waits_for_a_worker(self, host: Host) -> None:
        """s0 … s4 with one worker, paused in the first: the others were not started, in the journal neither."""
        world = World()
        first = plan(*(spec(f"s{number}") for number in range(5)))
        ops = operations(world, first, FakeOperation(world, "s0", during=asks(host, PauseRequested(actor="lead"))))
        state = host.run([started(first)], ops, workers=1)
        assert (state.status, world.effects) == (RunStatus.PAUSED, ["s0"])
        assert host.journal.kinds().count("step-started") == 1
        state = host.run([resumed(host)], ops, workers=1)
        assert state.outcome is RunOutcome.COMPLETED
        assert not any(context.step.id != "s0" and context.number > 1 for context in world.contexts.values())

    def test_no_more_attempts_at_once_than_workers(self, host: Host) -> None:
        """Twelve steps, three workers: never more than three in the journal as started and not ended."""
        world = World()
        first = plan(*(spec(f"s{number}") for number in range(12)))
        host.run([started(first)], operations(world, first), workers=3)
        running = most = 0
        for kind in host.journal.kinds():
            running += {"step-started": 1, "step-ended": -1}.get(kind, 0)
            most = max(most, running)
        assert 1 <= most <= 3

    def test_cancel_takes_back_what_was_done(self, host: Host) -> None:
        """a → b → c: cancelled while b acts: b and a are undone, c never starts; the undo has time, and sees what was found."""
        world = World()
        steps = [spec("a", undoable=True, budget=timedelta(milliseconds=1)), spec("b", "a", undoable=True), spec("c", "b")]
        first = plan(*steps)
        a = FakeOperation(world, "a", evidence=[Note(text="the old answers")])
        b = FakeOperation(world, "b", during=asks(host, CancelRequested(actor="lead")))
        state = host.run([started(first)], operations(world, first, a, b))
        assert state.outcome is RunOutcome.ROLLED_BACK
        assert [name for call, name in world.diary if call == "undo"] == ["b", "a"]
        assert (world.done, world.calls("c")) == (set(), [])
        undo = world.contexts["undo a"]
        assert undo.deadline > world.contexts["a"].deadline
        assert undo.found(Note) == Note(text="the old answers")
        fold_is_live(host, state)

    def test_a_planned_move_that_fails_is_taken_back(self, host: Host) -> None:
        """a → b: b fails for good: a is undone by itself."""
        world = World()
        first = plan(spec("a", undoable=True), spec("b", "a"), intent=Intent.SWITCHOVER)
        state = host.run([started(first)], operations(world, first, FakeOperation(world, "b", [Permanent("wrong password")])))
        assert (state.outcome, state.reason) == (RunOutcome.ROLLED_BACK, "b failed: wrong password")
        assert not world.done

    @pytest.mark.parametrize("error", [Permanent("two primaries"), ValueError("a fault of the kind")])
    def test_an_undo_that_fails_pauses(self, host: Host, error: Exception) -> None:
        """Whatever an undo raises, a fault of the kind included: the run pauses; resumed, it is undone."""
        world = World()
        first = plan(spec("a", undoable=True), spec("b", "a"), intent=Intent.SWITCHOVER)
        ops = operations(world, first, FakeOperation(world, "a", undo=[error]), FakeOperation(world, "b", [Permanent("x")]))
        state = host.run([started(first)], ops)
        assert state.status is RunStatus.PAUSED
        assert "undo failed" in state.reason
        state = host.run([resumed(host)], ops)
        assert (state.outcome, world.done) == (RunOutcome.ROLLED_BACK, set())

    def test_a_failure_pauses_and_resume_tries_again(self, host: Host) -> None:
        """a → b: b fails for good in a failover: the run pauses with the reason; resumed, b works."""
        world = World()
        first = plan(spec("a"), spec("b", "a"))
        ops = operations(world, first, FakeOperation(world, "b", [Permanent("disk full")]))
        state = host.run([started(first)], ops)
        assert (state.status, state.reason) == (RunStatus.PAUSED, "b failed: disk full")
        state = host.run([resumed(host)], ops)
        assert state.outcome is RunOutcome.COMPLETED
        assert Counter(world.effects) == {"a": 1, "b": 1}

    def test_approval_is_waited_for(self, host: Host) -> None:
        """gate → a: the gate does not start before a person approved; who, is in its context."""
        world = World()
        first = plan(spec("other"), spec("gate", approval=True), spec("a", "gate"))
        ops = operations(world, first, FakeOperation(world, "other", during=asks(host, Approved(step="gate", actor="lead"))))
        state = host.run([started(first)], ops)
        assert state.outcome is RunOutcome.COMPLETED
        assert world.contexts["gate"].approved_by == ("lead",)
        assert any(step == "gate" and "dr approve" in text for step, text in host.said)
        assert host.inbox.empty

    def test_skip_while_it_waits_for_the_next_attempt(self, host: Host) -> None:
        """a cannot work and is skipped between two attempts; b, which waited for it, goes on."""
        world = World()
        long = timedelta(hours=9)
        first = plan(spec("a", budget=long, backoff=Backoff(base=long, cap=long)), spec("b", "a"))
        host.clock.draw = 1.0

        def ask(events: Sequence[tuple[datetime, Event]]) -> None:
            if any(isinstance(event, RetryScheduled) for _, event in events):
                host.inbox.put(RUN, SkipRequested(step="a", actor="lead", reason="by hand"))

        host.journal.on_append = ask
        state = host.run([started(first)], operations(world, first, FakeOperation(world, "a", [Transient("x")])))
        assert (state.outcome, world.effects) == (RunOutcome.COMPLETED, ["b"])
        assert state.deviations == ["a skipped by lead: by hand"]

    def test_a_switchover_is_turned_into_a_failover(self, host: Host) -> None:
        """freeze → fence → promote: turned while fence acts: it ends, then the other plan goes on in the same run; fence once."""
        world = World()
        first = plan(spec("freeze"), spec("fence", "freeze"), spec("promote", "fence"), intent=Intent.SWITCHOVER)
        other = plan(spec("fence"), spec("promote", "fence"), spec("redirect", "promote"))
        turned = Turned(plan=other, actor="lead", reason="east is lost")
        fence = FakeOperation(world, "fence", during=asks(host, turned))
        state = host.run(
            [started(first)], operations(world, first, fence), replan=lambda plan: operations(world, plan), workers=2,
        )  # fmt: skip
        assert state.outcome is RunOutcome.COMPLETED
        assert Counter(world.effects) == {"freeze": 1, "fence": 1, "promote": 1, "redirect": 1}
        assert state.current_plan.intent is Intent.FAILOVER
        assert host.journal.kinds().count("turned") == 1
        assert host.inbox.empty
        fold_is_live(host, state)

    def test_a_turn_does_not_wait_for_what_waits(self, host: Host) -> None:
        """drain waits for a source that hangs, until its deadline: the turn cancels it, and the other plan looks at it first."""
        world = World()
        first = plan(spec("freeze"), spec("drain", "freeze"), intent=Intent.SWITCHOVER)
        other = plan(spec("drain"), spec("promote", "drain"))

        def hangs(context: AttemptContext) -> None:
            host.inbox.put(RUN, Turned(plan=other, actor="lead", reason="east hangs"))
            while not context.cancelled():
                assert context.clock.monotonic() < context.deadline, "the turn waited for the step"
                context.clock.sleep(0.01)
            raise Transient("the source does not answer")

        drain = FakeOperation(world, "drain", during=hangs)
        state = host.run([started(first)], operations(world, first, drain), replan=lambda plan: operations(world, plan))
        assert state.outcome is RunOutcome.COMPLETED
        assert world.effects == ["freeze", "drain", "promote"]
        assert world.calls("drain")[:5] == ["observe", "preserve", "act", "observe", "preserve"]

    def test_a_turn_does_not_wait_for_an_undo_that_cannot_work(self, host: Host) -> None:
        """The source died and the move is being taken back: the undo that wants the source is given up for the failover."""
        world = World()
        first = plan(spec("freeze", undoable=True), spec("drain", "freeze"), intent=Intent.SWITCHOVER)
        other = plan(spec("promote"))
        given_up: list[bool] = []

        class Away(FakeOperation):
            def undo(self, context: AttemptContext) -> None:
                host.inbox.put(RUN, Turned(plan=other, actor="lead", reason="east is lost"))
                while not context.cancelled():
                    assert context.clock.monotonic() < context.deadline, "the turn waited for the undo"
                    context.clock.sleep(0.01)
                given_up.append(True)
                raise Transient("the source does not answer")

        drain = FakeOperation(world, "drain", [Permanent("east is lost")])
        ops = operations(world, first, Away(world, "freeze"), drain)
        state = host.run([started(first)], ops, replan=lambda plan: operations(world, plan))
        assert state.outcome is RunOutcome.COMPLETED
        assert (world.effects, given_up) == (["freeze", "promote"], [True])

    def test_a_rollback_is_turned_into_a_failover(self, host: Host) -> None:
        """a → b → c: c fails, b is being taken back, and east dies: turned, b is tried again; a, never taken back, is not."""
        world = World()
        first = plan(spec("a", undoable=True), spec("b", "a", undoable=True), spec("c", "b"), intent=Intent.SWITCHOVER)
        turned = Turned(plan=plan(spec("a"), spec("b", "a")), actor="lead")

        class SlowUndo(FakeOperation):
            def undo(self, context: AttemptContext) -> None:
                asks(host, turned)(context)
                super().undo(context)

        ops = operations(world, first, SlowUndo(world, "b"), FakeOperation(world, "c", [Permanent("x")]))
        state = host.run([started(first)], ops, replan=lambda plan: operations(world, plan))
        assert state.outcome is RunOutcome.COMPLETED
        assert Counter(world.effects) == {"a": 1, "b": 2}
        assert [name for call, name in world.diary if call == "undo"] == ["b"]

    def test_what_people_ask_for_too_late_is_said_and_forgotten(self, host: Host) -> None:
        """The run has ended in the same turn: cancel, pause, approve, skip, accept, turn, time-out change nothing and kill nothing."""
        late: list[Event] = [
            CancelRequested(actor="x"), PauseRequested(actor="x"), Approved(step="a", actor="x"), ACCEPTED,
            SkipRequested(step="a", actor="x", reason="y"), Turned(plan=DIAMOND, actor="x"), TimedOut(),
        ]  # fmt: skip
        state = host.run([started(plan()), *late], {}, replan=lambda _plan: {})
        assert state.outcome is RunOutcome.COMPLETED
        assert host.journal.kinds() == ["run-started", "run-ended"]
        assert len([text for _, text in host.said if text.startswith("refused: ")]) == len(late)

    def test_requests_that_make_no_sense_kill_nothing(self, host: Host) -> None:
        """A step that is not there, a skip of what is under way, an approval that nobody asked for: refused, the run goes on."""
        world = World()
        first = plan(spec("a"), spec("b", "a"))
        asked = asks(
            host, SkipRequested(step="nowhere", actor="x", reason="y"), SkipRequested(step="a", actor="x", reason="y"),
            Approved(step="b", actor="x"), Approved(step="nowhere", actor="x"),
        )  # fmt: skip
        state = host.run([started(first)], operations(world, first, FakeOperation(world, "a", during=asked)))
        assert state.outcome is RunOutcome.COMPLETED
        assert len([text for _, text in host.said if text.startswith("refused: ")]) == 4
        assert host.inbox.empty

    def test_what_waits_in_the_inbox_counts_before_anything_starts(self, host: Host) -> None:
        """a failed; a person skipped it while nobody held the run: the next holder does not try it again. An old pause is over."""
        world = World()
        first = plan(spec("a"), spec("b", "a"))
        ops = operations(world, first, FakeOperation(world, "a", [Permanent("x")]))
        host.run([started(first)], ops)
        for event in (PauseRequested(actor="lead"), SkipRequested(step="a", actor="lead", reason="by hand"), ACCEPTED):
            host.inbox.put(RUN, event)
        state = host.run([resumed(host)], ops)
        assert state.outcome is RunOutcome.COMPLETED
        assert world.effects == ["b"]
        assert world.contexts["b"].acceptances == (ACCEPTED.acceptance,)

    @pytest.mark.parametrize("resumed_first", [True, False])
    @pytest.mark.parametrize("requests", ["cancel", "turn"])
    def test_taken_over_to_be_cancelled_or_turned_starts_nothing_of_the_old_plan(
        self, host: Host, requests: str, resumed_first: bool
    ) -> None:
        """a → b: the process dies in a. Resumed together with a cancel, or a turn: a is looked at or taken back, b never starts."""
        world = World()
        first = plan(spec("a", undoable=True), spec("b", "a"), intent=Intent.SWITCHOVER)
        host.journal.die_after = 2
        with pytest.raises(Killed):
            host.run([started(first)], operations(world, first))
        host.bury(world)
        event: Event = CancelRequested(actor="lead") if requests == "cancel" else Turned(plan=plan(spec("a"), spec("c", "a")), actor="lead")
        both = [resumed(host), event] if resumed_first else [event, resumed(host)]
        state = host.run(both, operations(world, first), replan=lambda plan: operations(world, plan))
        assert world.calls("b") == []
        assert state.outcome is (RunOutcome.ROLLED_BACK if requests == "cancel" else RunOutcome.COMPLETED)
        assert Counter(world.effects)["a"] <= 1
        fold_is_live(host, state)

    @pytest.mark.parametrize("durable", [True, False])
    @pytest.mark.parametrize("number", range(1, 16))
    def test_a_kill_at_any_append_converges(self, make_host: MakeHost, number: int, durable: bool) -> None:
        """L2, I9: killed at each append, before or after it is durable; the next process goes on. Every effect once, looked at first.

        a → b, c → d → e; b without answer once, c refused once.
        """
        host, world = make_host(), World()
        first = plan(spec("a"), spec("b", "a"), spec("c", "a"), spec("d", "b c", irreversible=True), spec("e", "d"))
        ops = operations(
            world, first, FakeOperation(world, "b", [EffectUnknown("no answer")]), FakeOperation(world, "c", [Transient("refused")])
        )
        host.journal.die_after, host.journal.durable = number, durable
        killed = False
        try:
            state = host.run([started(first)], ops)
        except Killed:
            killed = True
            host.bury(world)
            state = goes_on(host, first, ops)
        assert killed or len(host.journal.batches) < number, "fewer appends than that: nothing to kill"
        assert state.outcome is RunOutcome.COMPLETED
        assert Counter(world.effects) == dict.fromkeys("abcde", 1)
        check_looked_before_acting(world)
        fold_is_live(host, state)

    @pytest.mark.parametrize("number", range(1, 12))
    def test_a_kill_at_any_append_of_a_rollback_converges(self, make_host: MakeHost, number: int) -> None:
        """a → b → c: c fails for good; killed anywhere, also between the undos: in the end nothing is left."""
        host, world = make_host(), World()
        first = plan(spec("a", undoable=True), spec("b", "a", undoable=True), spec("c", "b"), intent=Intent.SWITCHOVER)
        ops = operations(world, first, FakeOperation(world, "c", [Permanent("x")] * 9))
        host.journal.die_after = number
        try:
            state = host.run([started(first)], ops)
        except Killed:
            host.bury(world)
            state = goes_on(host, first, ops)
        assert (state.outcome, world.done) == (RunOutcome.ROLLED_BACK, set())
        fold_is_live(host, state)

    def test_killed_again_and_again_it_still_converges(self, host: Host) -> None:
        """Killed after every second append: each life does a little, none does anything twice."""
        world = World()
        ops = operations(world, DIAMOND)
        for _life in range(30):
            host.journal.die_after = len(host.journal.batches) + 2
            try:
                state = goes_on(host, DIAMOND, ops)
                break
            except Killed:
                host.bury(world)
        else:
            pytest.fail("thirty lives were not enough")
        assert state.outcome is RunOutcome.COMPLETED
        assert Counter(world.effects) == dict.fromkeys("abcd", 1)

    def test_a_request_that_was_taken_by_a_process_that_died_is_taken_again(self, host: Host) -> None:
        """Turned, and killed before the turn was made: the next holder turns; it was not forgotten with the pause that came first."""
        world = World()
        first = plan(spec("a"), spec("b", "a"), intent=Intent.SWITCHOVER)
        other = plan(spec("c"))

        def die_at_the_pause(events: Sequence[tuple[datetime, Event]]) -> None:
            if any(isinstance(event, PauseRequested) for _, event in events):
                raise Killed

        host.journal.on_append = die_at_the_pause
        asked = threading.Event()

        def ask(_context: AttemptContext) -> None:
            host.inbox.put(RUN, Turned(plan=other, actor="lead"))
            asked.wait(10)

        host.journal.on_append = die_at_the_pause
        with pytest.raises(Killed):
            host.run([started(first)], operations(world, first, FakeOperation(world, "a", during=ask)))
        asked.set()
        host.bury(world)
        host.journal.on_append = lambda _events: None
        host.inbox.another()
        state = host.run([resumed(host)], operations(world, first), replan=lambda plan: operations(world, plan))
        assert state.outcome is RunOutcome.COMPLETED
        assert "c" in world.effects
        assert "b" not in world.effects

    def test_a_lost_lease_stops_everything(self, host: Host) -> None:
        """Another process has taken over while a acts: LeaseLost, and b does not act; what was journaled is readable."""
        world = World()
        first = plan(spec("a"), spec("b", "a"))

        def lose(context: AttemptContext) -> None:
            host.lease.lost = True
            context.clock.sleep(2)

        with pytest.raises(LeaseLost):
            host.run([started(first)], operations(world, first, FakeOperation(world, "a", during=lose)))
        host.bury(world)
        assert "act" not in world.calls("b")
        assert host.journal.kinds()[0] == "run-started"

    def test_a_lease_that_was_late_is_renewed_and_the_step_goes_on(self, host: Host) -> None:
        """The process was stopped and the lease ran out, but nobody took it: a does not act at first, then it does."""
        world = World()
        first = plan(spec("a", max_attempts=100))
        once = iter([True])

        def late(_context: AttemptContext) -> None:
            host.lease.stale = next(once, False)

        state = host.run([started(first)], operations(world, first, FakeOperation(world, "a", looking=late)))
        assert (state.outcome, world.effects) == (RunOutcome.COMPLETED, ["a"])
        ends = [event for _, event in host.journal.events() if isinstance(event, StepEnded)]
        assert (ends[0].outcome, ends[0].acted) == (Outcome.RETRY, False)

    def test_a_full_disk_stops_everything(self, host: Host) -> None:
        """The journal cannot be written while a is under way: StateLost, b never starts, what was written stays readable."""
        world = World()
        first = plan(spec("a"), spec("b", "a"))

        def fill(_context: AttemptContext) -> None:
            host.journal.full = True

        with pytest.raises(StateLost):
            host.run([started(first)], operations(world, first, FakeOperation(world, "a", during=fill)))
        host.bury(world)
        assert world.calls("b") == []
        assert host.journal.kinds() == ["run-started", "step-started"]

    def test_the_end_of_its_time_pauses_a_run(self, host: Host) -> None:
        """A run of five seconds whose first step takes longer: it ends its attempt, the next does not start, a person is asked."""
        world = World()
        first = plan(spec("a"), spec("b", "a"), time_limit=timedelta(seconds=5))
        slow = FakeOperation(world, "a", during=lambda context: context.clock.sleep(20))
        state = host.run([started(first)], operations(world, first, slow))
        assert (state.status, state.reason) == (RunStatus.PAUSED, "the run used up its time")
        assert world.effects == ["a"]

    def test_a_step_that_never_holds_is_unknown_and_then_failed(self, host: Host) -> None:
        """a acts and is not seen to hold in its budget: the run pauses and says so; resumed, a is looked at, and it holds."""
        world = World()
        first = plan(spec("a", budget=timedelta(seconds=1)))
        ops = operations(world, first, FakeOperation(world, "a", [Look.NEEDED]))
        state = host.run([started(first)], ops)
        assert (state.status, state.steps["a"].outcome) == (RunStatus.PAUSED, Outcome.UNKNOWN)
        assert state.reason == "a failed: acted, and could not see it hold in time: as scripted"
        state = host.run([resumed(host)], ops)
        assert (state.outcome, state.steps["a"].outcome, world.effects) == (RunOutcome.COMPLETED, Outcome.DONE, ["a"])
