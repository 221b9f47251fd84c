"""One simulated process: its clock (which may be wrong), its chance, its threads, its death."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Any, Generic, TypeVar

from dr import __version__
from dr.errors import DrError
from dr.providers.sim.loop import Job, Killed, Loop

T = TypeVar("T")
Chance = random.Random
"""Where numbers are drawn from."""
START = datetime(2026, 3, 3, 2, 40, tzinfo=UTC)
"""What the right clocks of every world show at its beginning."""


def chance(seed: str, what: str) -> random.Random:
    """Chance for one purpose: what others draw does not change it."""
    return random.Random(f"{seed}/{what}")  # noqa: S311 - chance that can be repeated is the point


class Process:
    """A process of some machine: an operator's ``dr``, a monitor.

    skew: how far the wall clock of its machine is off when it starts, in seconds. rate: how fast its clocks go.
    points: every place at which it could have died so far. at_point: is told each; may kill it.
    frozen_until: until then nothing in it goes on (SIGSTOP, a closed laptop). dead: it was killed.
    version: which ``dr`` it is. renamed: a component whose steps have other names in that version; empty in the usual one.
    """

    def __init__(self, loop: Loop, name: str, seed: str, *, machine: str = "here", skew: float = 0.0, rate: float = 1.0) -> None:
        self.loop, self.name, self.machine, self.skew, self.rate = loop, name, machine, skew, rate
        self.frozen_until = 0.0
        self.dead = False
        self.ended = False
        self.version, self.renamed = __version__, ""
        self.jobs: list[Job] = []
        self.points: list[str] = []
        self.at_point: Callable[[str], None] = lambda _name: None
        self.clock = SimClock(self, seed)
        self.threads = SimThreads(self)

    @property
    def alive(self) -> bool:
        """It runs, or is frozen."""
        return not (self.dead or self.ended)

    def check(self) -> None:
        """Asked by everything that a process does to the outside. Raises Killed once it is gone."""
        if self.dead:
            raise Killed

    def point(self, name: str) -> None:
        """A place at which a process may die: before and after each effect, before and after each write of its journal."""
        self.check()
        self.points.append(name)
        self.at_point(name)
        self.check()

    def start(self, work: Callable[[], object], name: str = "main") -> Job:
        """Begins a job in it."""
        return self.loop.spawn(self, work, f"{self.name}:{name}")

    def kill(self) -> None:
        """SIGKILL. From one of its own jobs it does not return."""
        if self.dead:
            return
        self.dead = True
        own = self.loop.maybe_current
        for job in self.jobs:
            if job is not own:
                job.end()
        if own is not None and own.process is self:
            raise Killed

    def freeze(self, seconds: float) -> None:
        """Nothing in it goes on for so long."""
        self.frozen_until = max(self.frozen_until, self.loop.now + seconds)


class SimClock:
    """``dr.ports.Clock`` of a process. As in the real one, ``now`` is anchored at the start: later jumps of the wall do not move it."""

    def __init__(self, process: Process, seed: str) -> None:
        self._process, self._loop, self._seed = process, process.loop, seed
        self._anchor = START + timedelta(seconds=process.skew)

    @cached_property
    def _chance(self) -> random.Random:
        """Made when it is first asked: half of all processes never do, and a generator has 2,500 bytes to fill."""
        return chance(self._seed, "clock")

    def now(self) -> datetime:
        """What the machine's clock shows."""
        return self._anchor + timedelta(seconds=self._loop.now * self._process.rate)

    def monotonic(self) -> float:
        """Seconds since some point."""
        return 1000.0 + self._loop.now * self._process.rate

    def sleep(self, seconds: float) -> None:
        """The calling job goes on after so long."""
        process = self._process
        if process.dead:
            raise Killed
        self._loop.wait(seconds / process.rate if seconds > 0.0 else 0.0)

    def uniform(self, low: float, high: float) -> float:
        """A number of this process's own chance."""
        return self._chance.uniform(low, high)


class SimMailbox(Generic[T]):
    """``dr.ports.Mailbox`` between jobs of one process."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._items: deque[T] = deque()
        self._taker: Job | None = None

    def put(self, item: T) -> None:
        """Leaves an item, and wakes who waits for one."""
        self._items.append(item)
        if self._taker is not None:
            self._loop.wake(self._taker)

    def take(self, seconds: float) -> list[T]:
        """Everything that is there."""
        if not self._items and seconds > 0:
            self._taker = self._loop.current
            self._loop.wait(seconds)
            self._taker = None
        items = list(self._items)
        self._items.clear()
        return items


class SimPool:
    """``dr.ports.Pool``: a job each, at most so many at once."""

    def __init__(self, process: Process, most: int, name: str) -> None:
        self._process, self._most, self._name = process, most, name
        self._waiting: deque[Callable[[], None]] = deque()
        self._busy = 0

    def do(self, job: Callable[[], None]) -> None:
        """Starts it, or keeps it until one ends."""
        self._waiting.append(job)
        self._next()

    def close(self) -> None:
        """Nothing is kept that would have to be let go."""

    def _next(self) -> None:
        while self._waiting and self._busy < self._most:
            self._busy += 1
            job = self._waiting.popleft()
            self._process.start(partial(self._do, job), self._name)

    def _do(self, job: Callable[[], None]) -> None:
        job()
        self._busy -= 1
        self._next()


class SimThreads:
    """``dr.ports.Threads`` of a process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def mailbox(self) -> SimMailbox[Any]:
        """A new mailbox."""
        return SimMailbox(self._process.loop)

    def pool(self, most: int, name: str) -> SimPool:
        """A new pool."""
        return SimPool(self._process, most, name)

    def gather(self, jobs: Sequence[Callable[[], T]], name: str) -> list[T]:
        """All at once, in virtual time."""
        loop = self._process.loop
        caller, left = loop.current, len(jobs)
        results: list[Any] = [None] * left
        errors: list[DrError] = []

        def one(index: int) -> None:
            nonlocal left
            try:
                results[index] = jobs[index]()
            except DrError as error:
                errors.append(error)
            left -= 1
            if not left:
                loop.wake(caller)

        for index in range(len(jobs)):
            self._process.start(partial(one, index), name)
        while left:
            loop.wait()
        if errors:
            raise errors[0]
        return results
