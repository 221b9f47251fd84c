"""Virtual time. One heap of moments, one job at a time, no thread: the same seed gives the same order of everything.

A job is done in a greenlet: ordinary blocking code (an attempt, a runner, a whole command) that gives up the processor where it sleeps or
waits. A greenlet whose job is over does another one: a story has 150 jobs, and each new greenlet has a stack that the system has to give.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from dr.providers.sim.process import Process


class Killed(BaseException):
    """The process of this job is gone (SIGKILL): nothing may handle this."""


class Timer:
    """A call at a moment. ``cancel`` forgets it."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """It does not happen."""
        self.call = None


def _nothing() -> None:
    """What a job that is over has to do."""


class _Idle(threading.local):
    """Greenlets whose jobs are over, of all worlds of one thread; no job is half-way in one of these. So many at most as there ever were
    jobs at once."""

    def __init__(self) -> None:
        self.greenlets: list[greenlet] = []


_idle = _Idle()


def _worker(job: Job) -> None:
    """One job after the other, as long as none of them raises something that nobody handled: that goes to the hub."""
    me, idle = getcurrent(), _idle.greenlets
    while True:
        back = job.work()
        del job  # nor the world that it was in
        idle.append(me)
        job = back.switch()


class Job:
    """Something that a process does beside other things."""

    __slots__ = ("_back", "_greenlet", "_loop", "_work", "done", "name", "process", "timer", "waiting")

    def __init__(self, loop: Loop, process: Process | None, work: Callable[[], object], name: str) -> None:
        self._loop, self.process, self.name = loop, process, name
        self.done = False
        self.waiting = False
        self.timer: Timer | None = None
        self._work = work
        self._back = loop.hub
        self._greenlet: greenlet | None = None

    def work(self) -> greenlet:
        """All of it; then who is to go on."""
        try:
            self._work()
        except Killed:
            pass  # anything else that nobody handled comes out of ``Loop.run``
        finally:
            self._over()
        return self._back

    def _over(self) -> None:
        self.done = True
        self._greenlet = None
        self._work = _nothing  # nor what it held

    def go_on(self) -> None:
        """Runs it until it sleeps, waits or ends. From the loop only."""
        if self.done:
            return
        loop, process = self._loop, self.process
        if process is not None and process.frozen_until > loop.now and not process.dead:
            self.timer = loop.at(process.frozen_until, self.go_on)
            return
        self.waiting, self.timer = False, None
        loop.maybe_current = self
        try:
            if self._greenlet is not None:
                self._greenlet.switch()
            else:
                idle = _idle.greenlets
                self._greenlet = idle.pop() if idle else greenlet(_worker, loop.hub)
                self._greenlet.switch(self)
        finally:
            loop.maybe_current = None

    def end(self) -> None:
        """SIGKILL: it never goes on from where it is. What it left open is not closed."""
        if self.timer is not None:
            self.timer.cancel()
        if not self.done and self._greenlet is not None:
            loop = self._loop
            self._back = getcurrent()  # and back here
            before, loop.maybe_current = loop.maybe_current, self  # what it still does is its own
            try:
                self._greenlet.throw(Killed)
            finally:
                loop.maybe_current = before
        self._over()


def _never() -> bool:
    return False


class Loop:
    """The clockwork of one world.

    now: seconds since its beginning. maybe_current: the job that runs now; None where the loop itself does. turns: how much has happened.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.hub = getcurrent()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = 0
        self.maybe_current: Job | None = None
        self.turns = 0
        self._until = 0.0
        self._over: Callable[[], bool] = _never

    @property
    def current(self) -> Job:
        """The job that runs now."""
        assert self.maybe_current is not None, "only jobs wait"
        return self.maybe_current

    def at(self, when: float, call: Callable[[], None]) -> Timer:
        """``call`` at a moment (at once, if that is over), in the loop; it must not sleep."""
        self._order += 1
        timer = Timer(call)
        heapq.heappush(self._timers, (when if when > self.now else self.now, self._order, timer))
        return timer

    def spawn(self, process: Process | None, work: Callable[[], object], name: str) -> Job:
        """A new job, which begins as soon as all that is due before has happened. What it raises, ``run`` raises."""
        job = Job(self, process, work, name)
        if process is not None:
            process.jobs.append(job)
        job.timer = self.at(self.now, job.go_on)
        return job

    def sleep(self, seconds: float) -> None:
        """The current job goes on after so long; nothing happens to it before, unless its process is killed."""
        self.wait(seconds if seconds > 0.0 else 0.0)

    def wait(self, seconds: float | None = None) -> None:
        """The current job goes on when ``wake`` is called for it, or after so long at the latest (None: never by itself)."""
        job = self.current
        process = job.process
        if process is not None and process.dead:
            raise Killed
        if seconds is not None:
            when = self.now + seconds
            if self._nothing_before(when, process):
                self.now = when
                self.turns += 1
                return
            job.timer = self.at(when, job.go_on)
        job.waiting = True
        self.hub.switch()
        if process is not None and process.dead:
            raise Killed

    def _nothing_before(self, when: float, process: Process | None) -> bool:
        """Whether the current job would be the very next to go on, and would: then it just does. Two of three waits are like that, and
        this costs a tenth of two switches and a timer."""
        timers = self._timers
        while timers and timers[0][2].call is None:
            heapq.heappop(timers)
        if timers and timers[0][0] <= when:
            return False
        return when <= self._until and (process is None or process.frozen_until <= when) and not self._over()

    def wake(self, job: Job) -> None:
        """A waiting job goes on now, after what is due before it."""
        if job.waiting and not job.done:
            if job.timer is not None:
                job.timer.cancel()
            job.waiting = False
            job.timer = self.at(self.now, job.go_on)

    def run(self, until: float, over: Callable[[], bool] = _never) -> bool:
        """Lets things happen until a moment, or until ``over`` says so (asked after each). Returns whether it did.

        Raises:
            whatever a job raised and did not handle itself.
        """
        timers, self._until, self._over = self._timers, until, over
        while timers and timers[0][0] <= until:
            when, _order, timer = heapq.heappop(timers)
            call, timer.call = timer.call, None
            if call is None:
                continue
            self.now = when
            self.turns += 1
            call()
            if over():
                return True
        self.now = max(self.now, until)
        return over()
