"""In-memory ports for the tests of hosts: a journal that can die, a lease that can be lost, an inbox, a clock, scripted operations."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from dr.errors import EffectUnknown, LeaseLost, StateLost, StepError
from dr.model.events import GENESIS, Event, Record, chain_hash, encode
from dr.model.evidence import Evidence, Note
from dr.model.plan import Plan, StepSpec
from dr.model.words import Intent
from dr.ports import AttemptContext, Look, Operation, Seen
from tests.engine.build import RUN, START


class Killed(BaseException):
    """The process is gone (SIGKILL): nothing may handle this."""


class StillClock:
    """Stands still until somebody sleeps or advances it. Draws are the lower bound unless ``draw`` says otherwise (0 to 1)."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._lock = threading.Lock()
        self.draw = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return START + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return 1000.0 + self._seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._seconds += seconds

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.draw


class FastClock(StillClock):
    """Real time, a hundred times as fast: what waits for seconds takes milliseconds. Nothing is asserted on how long."""

    def __init__(self, speed: float = 100.0) -> None:
        super().__init__()
        self._speed, self._began = speed, time.monotonic()

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic() - 1000.0)

    def monotonic(self) -> float:
        return 1000.0 + self._seconds + (time.monotonic() - self._began) * self._speed

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self._speed)


class MemoryJournal:
    """A journal in a list. ``batches`` holds the kinds of events of each append.

    die_after: the append with this number (from 1) raises Killed, once; ``durable`` says whether what it wrote is kept.
    full: appends raise StateLost from now on.
    """

    def __init__(self) -> None:
        self.rows: list[Record] = []
        self.batches: list[list[str]] = []
        self.die_after: int | None = None
        self.durable = True
        self.full = False
        self.on_append: Callable[[Sequence[tuple[datetime, Event]]], None] = lambda _events: None

    def append(self, run_id: str, events: Sequence[tuple[datetime, Event]]) -> Sequence[Record]:
        if self.full:
            raise StateLost("no space left on device")
        dies = self.die_after == len(self.batches) + 1
        if dies and not self.durable:
            self.die_after = None
            raise Killed
        before = len(self.rows)
        for at, event in events:
            seq, stamp, body = len(self.rows) + 1, at.isoformat(timespec="microseconds"), encode(event)
            self.rows.append(Record(run_id, seq, stamp, body, chain_hash(self.head(run_id), run_id, seq, stamp, body)))
        self.batches.append([event.event for _, event in events])
        self.on_append(events)
        if dies:
            self.die_after = None
            raise Killed
        return self.rows[before:]

    def records(self, run_id: str, after: int = 0) -> Sequence[Record]:
        return self.rows[after:]

    def runs(self, runbook: str | None = None) -> Sequence[str]:
        return [RUN] if self.rows else []

    def head(self, run_id: str) -> str:
        return self.rows[-1].hash if self.rows else GENESIS

    def events(self) -> list[tuple[datetime, Event]]:
        """What is durable, as a process that comes later reads it."""
        return [(datetime.fromisoformat(row.at), row.event) for row in list(self.rows)]

    def kinds(self, step: str | None = None) -> list[str]:
        """The kinds of all events, in order; those about a step only, where named."""
        return [event.event for _, event in self.events() if step is None or getattr(event, "step", None) == step]


class MemoryLease:
    """A lease that is held until ``lost`` or ``stale`` is set: taken over, or not renewed for too long."""

    def __init__(self) -> None:
        self.epoch, self.renewals = 0, 0
        self.lost = self.stale = False

    def acquire(self, runbook: str, run_id: str, holder: str) -> int:
        self.epoch += 1
        return self.epoch

    def renew(self) -> None:
        if self.lost:
            raise LeaseLost("taken by another process")
        self.renewals += 1
        self.stale = False

    def valid(self) -> bool:
        return not (self.lost or self.stale)

    def release(self) -> None:
        """Nothing to give back."""


class MemoryInbox:
    """Requests in a list; what was taken and not confirmed is there again for ``another`` holder."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Event] = deque()
        self._taken: list[Event] = []

    def put(self, run_id: str, event: Event) -> int:
        with self._lock:
            self._waiting.append(event)
            return len(self._waiting)

    def take(self, run_id: str) -> Sequence[Event]:
        with self._lock:
            events = list(self._waiting)
            self._waiting.clear()
            self._taken += events
            return events

    def confirm(self, run_id: str) -> None:
        with self._lock:
            self._taken.clear()

    def another(self) -> None:
        """The holder died: what it took and did not confirm is taken again."""
        with self._lock:
            self._waiting.extendleft(reversed(self._taken))
            self._taken.clear()

    @property
    def empty(self) -> bool:
        """Everything was taken and confirmed."""
        return not self._waiting and not self._taken


@dataclass
class World:
    """What operations change, and a diary of every call: (call, step). ``dead``: the process is gone, nothing has an effect."""

    done: set[str] = field(default_factory=set)
    effects: list[str] = field(default_factory=list)
    diary: list[tuple[str, str]] = field(default_factory=list)
    contexts: dict[str, AttemptContext] = field(default_factory=dict)
    dead: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, call: str, step: str) -> None:
        with self.lock:
            self._alive()
            self.diary.append((call, step))

    def change(self, step: str) -> None:
        """The effect of a step: it is not idempotent, each one counts."""
        with self.lock:
            self._alive()
            self.effects.append(step)
            self.done.add(step)

    def _alive(self) -> None:
        if self.dead:
            raise RuntimeError("this process is gone")

    def calls(self, step: str) -> list[str]:
        """The calls of one step, in order."""
        return [call for call, name in self.diary if name == step]


Hook = Callable[[AttemptContext], None]
Script = StepError | Exception | Look | None


class FakeOperation:
    """Reads and changes a ``World``.

    script: how the next acts end; when it is used up they work. An ``EffectUnknown`` has had its effect, a ``Look`` is what
        verify sees afterwards, any other error comes before the effect.
    looking, during: called in observe, and in act before the effect.
    """

    def __init__(
        self, world: World, step: str, script: Sequence[Script] = (), *, during: Hook = lambda _context: None,
        looking: Hook = lambda _context: None, undo: Sequence[Exception | None] = (), evidence: Sequence[Evidence] = (),
    ) -> None:  # fmt: skip
        self.world, self.step, self.script, self.undo_script = world, step, deque(script), deque(undo)
        self.during, self.looking, self.evidence = during, looking, tuple(evidence)
        self._seen: Look | None = None

    def observe(self, context: AttemptContext) -> Seen:
        self.world.note("observe", self.step)
        self.world.contexts[self.step] = context
        self.looking(context)
        return Seen(Look.DONE if self.step in self.world.done else Look.NEEDED)

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        self.world.note("preserve", self.step)
        return ()

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        self.world.note("act", self.step)
        self.during(context)
        ends = self.script.popleft() if self.script else None
        if isinstance(ends, Exception) and not isinstance(ends, EffectUnknown):
            raise ends
        self.world.change(self.step)
        if isinstance(ends, EffectUnknown):
            raise ends
        self._seen = ends if isinstance(ends, Look) else None
        return self.evidence

    def verify(self, context: AttemptContext) -> Seen:
        self.world.note("verify", self.step)
        return Seen(self._seen or Look.DONE, "as scripted" if self._seen else "")

    def undo(self, context: AttemptContext) -> None:
        self.world.note("undo", self.step)
        self.world.contexts[f"undo {self.step}"] = context
        ends = self.undo_script.popleft() if self.undo_script else None
        if ends is not None:
            raise ends
        self.world.done.discard(self.step)


def operations(world: World, plan: Plan, *scripted: FakeOperation) -> dict[str, Operation]:
    """An operation for each step of a plan: the scripted ones, and working ones for the rest."""
    made: Mapping[str, Operation] = {step.id: FakeOperation(world, step.id) for step in plan.steps}
    return {**made, **{operation.step: operation for operation in scripted}}


def context_for(step: StepSpec, clock: StillClock | None = None, **more: Any) -> AttemptContext:
    """What an attempt of a step is given, with a minute left."""
    clock = clock or StillClock()
    values: dict[str, Any] = {
        "intent": Intent.FAILOVER, "number": 1, "deadline": clock.monotonic() + 60, "rpo": timedelta(minutes=15), **more,
    }  # fmt: skip
    return AttemptContext(
        run_id=RUN, step=step, source="east", target="west", key=f"{RUN}/{step.id}", epoch=1, actor="on-call", clock=clock, **values
    )


def note(text: str) -> Note:
    """A fact that nothing computes with."""
    return Note(text=text)


def wait_until(true: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Polls with a deadline."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds} s for: {what}"
        time.sleep(0.001)
