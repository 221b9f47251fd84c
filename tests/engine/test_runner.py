"""The embedded runner: everything that every host must do, and what only a host with threads and signals does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import pytest

from dr.engine import machine
from dr.engine.runner import Runner
from dr.engine.state import RunState
from dr.engine.threads import OsMailbox
from dr.model.events import CancelRequested, Event, StepStarted
from dr.model.plan import Plan
from dr.model.words import Outcome, RunOutcome, RunStatus
from dr.ports import AttemptContext, Operation
from tests.engine.build import RUN, ended, plan, spec, started
from tests.engine.conformance import HostConformance, MakeHost, resumed
from tests.engine.doubles import (
    FakeOperation,
    FastClock,
    MemoryInbox,
    MemoryJournal,
    MemoryLease,
    StillClock,
    World,
    operations,
    wait_until,
)


class EmbeddedHost:
    """``Runner`` with in-memory ports and a fast clock."""

    def __init__(self) -> None:
        self.journal, self.inbox, self.lease = MemoryJournal(), MemoryInbox(), MemoryLease()
        self.clock: StillClock = FastClock()
        self.said: list[tuple[str, str]] = []
        self.runner: Runner | None = None
        self.changes = 0

    def run(
        self, first: Sequence[Event], operations: Mapping[str, Operation], *,
        replan: Callable[[Plan], Mapping[str, Operation]] | None = None, workers: int = 8,
    ) -> RunState:  # fmt: skip
        state = machine.fold(self.journal.events(), RUN)
        self.runner = Runner(
            state, operations, journal=self.journal, lease=self.lease, inbox=self.inbox, clock=self.clock, actor="on-call",
            replan=replan, workers=workers, changed=self._changed, say=lambda step, text: self.said.append((step, text)),
        )  # fmt: skip
        return self.runner.run(first)

    def _changed(self, _state: RunState) -> None:
        self.changes += 1

    def bury(self, world: World) -> None:
        world.dead = True
        wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("step-")], "workers end")
        world.dead = False


@pytest.fixture
def make_host() -> MakeHost:
    return EmbeddedHost


class TestEmbeddedRunner(HostConformance):
    """The conformance suite on the embedded runner."""


@pytest.fixture
def host() -> EmbeddedHost:
    return EmbeddedHost()


def until(event: threading.Event) -> Callable[[AttemptContext], None]:
    """An operation that hangs until the test lets it go on."""

    def during(_context: AttemptContext) -> None:
        event.wait(10)

    return during


def in_background(host: EmbeddedHost, first: Sequence[Event], ops: Mapping[str, Operation]) -> tuple[threading.Thread, list[RunState]]:
    """A run in another thread, so that the test can be the person at the keyboard."""
    got: list[RunState] = []
    thread = threading.Thread(target=lambda: got.append(host.run(first, ops)), name="host", daemon=True)
    thread.start()
    return thread, got


def test_the_first_interrupt_waits_and_the_second_detaches(host: EmbeddedHost) -> None:
    """a hangs: Ctrl-C starts nothing new and waits; again, and the host returns while a is under way. Resumed, a is looked at first."""
    world, release = World(), threading.Event()
    first = plan(spec("a"), spec("b"), spec("c", "a b"))
    hangs = FakeOperation(world, "a", during=until(release))
    thread, got = in_background(host, [started(first)], operations(world, first, hangs))
    wait_until(lambda: "act" in world.calls("a") and "step-ended" in host.journal.kinds("b"), "a under way, b done")
    assert host.runner is not None
    host.runner.interrupt()
    wait_until(lambda: "pause-requested" in host.journal.kinds(), "the pause is journaled")
    assert thread.is_alive()
    host.runner.interrupt()
    thread.join(10)
    assert not thread.is_alive()
    assert (got[0].status, got[0].active, world.calls("c")) == (RunStatus.PAUSING, 1, [])
    world.dead = True
    release.set()
    host.bury(world)
    state = host.run([resumed(host)], operations(world, first))
    assert state.outcome is RunOutcome.COMPLETED
    begins = [event for _, event in host.journal.events() if isinstance(event, StepStarted) and event.step == "a"]
    assert [event.look_first for event in begins] == [False, True]
    assert sorted(world.effects) == ["a", "b", "c"]


def test_an_interrupt_pauses_a_rollback_too_and_a_second_one_detaches(host: EmbeddedHost) -> None:
    """The undo of a hangs: Ctrl-C twice returns; it does not wait for ever."""
    world, release = World(), threading.Event()
    first = plan(spec("a", undoable=True))

    class Hangs(FakeOperation):
        def undo(self, context: AttemptContext) -> None:
            self.world.note("undo", self.step)
            release.wait(10)

    def cancel(context: AttemptContext) -> None:
        host.inbox.put(RUN, CancelRequested(actor="lead"))
        context.clock.sleep(0.2)

    thread, got = in_background(host, [started(first)], operations(world, first, Hangs(world, "a", during=cancel)))
    wait_until(lambda: "undo" in world.calls("a"), "the undo is under way")
    assert host.runner is not None
    host.runner.interrupt()
    host.runner.interrupt()
    thread.join(10)
    assert not thread.is_alive()
    assert got[0].status in (RunStatus.PAUSING, RunStatus.ROLLING_BACK)
    release.set()
    host.bury(world)


def test_what_happens_together_is_one_commit(host: EmbeddedHost) -> None:
    """a, b and c end while a commit is under way: their ends, and the start of d that follows, are in one append."""
    world = World()
    first = plan(spec("first"), spec("a"), spec("b"), spec("c"), spec("d", "a b c"))
    go = threading.Event()
    ops = operations(world, first, *(FakeOperation(world, step, during=until(go)) for step in "abc"))

    def slow_disk(events: Sequence[tuple[datetime, Event]]) -> None:
        if any(event.event == "step-ended" for _, event in events) and not go.is_set():
            go.set()
            assert host.runner is not None
            mailbox = host.runner._happened
            assert isinstance(mailbox, OsMailbox)
            wait_until(lambda: len(mailbox) == 3, "all three have ended")

    host.journal.on_append = slow_disk
    assert host.run([started(first)], ops).outcome is RunOutcome.COMPLETED
    assert host.journal.batches == [
        ["run-started", "step-started", "step-started", "step-started", "step-started"],
        ["step-ended"],
        ["step-ended", "step-ended", "step-ended", "step-started"],
        ["step-ended", "run-ended"],
    ]
    assert host.changes == 4


def test_an_idle_run_looks_after_its_lease(host: EmbeddedHost) -> None:
    """While nothing happens but a step that takes its time, the lease is renewed again and again."""
    world = World()
    first = plan(spec("a"))
    slow = FakeOperation(world, "a", during=lambda _context: wait_until(lambda: host.lease.renewals >= 3, "three renewals"))
    assert host.run([started(first)], operations(world, first, slow)).outcome is RunOutcome.COMPLETED


def test_the_workers_end_with_the_run(host: EmbeddedHost) -> None:
    """No thread is left behind."""
    world = World()
    first = plan(*(spec(f"s{number}") for number in range(20)))
    host.run([started(first)], operations(world, first), workers=5)
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("step-")], "workers end")


def test_a_growing_delay_does_not_overflow(host: EmbeddedHost) -> None:
    """A step that may be tried thousands of times: two to the power of the attempt is capped before it is a float too large."""
    world = World()
    step = spec("a", max_attempts=5000)
    state, _ = machine.apply(RunState(RUN), started(plan(step)), host.clock.now())
    runner = Runner(
        state, operations(world, plan(step)), journal=host.journal, lease=host.lease, inbox=host.inbox, clock=host.clock, actor="x"
    )
    machine.apply(state, StepStarted(step="a", attempt=1), host.clock.now())
    state.steps["a"].attempts_in_budget = 4000
    rows: list[tuple[datetime, Event]] = []
    runner._apply(ended("a", Outcome.RETRY), rows)
    assert [event.event for _, event in rows] == ["step-ended", "retry-scheduled"]
