"""The loop of ``dr monitor``: a round every interval, on an absolute schedule, until it is told to stop."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from datetime import timedelta

from dr.monitor.sampler import Sampler
from dr.monitor.watch import Round
from dr.ports import Clock

_SLICE_SECONDS = 0.1


class Monitor:
    """Runs rounds of a sampler, and closes it in the end.

    Args:
        interval: from the start of one round to the start of the next. A round that takes longer skips the starts that it
            missed, so that rounds neither drift nor pile up.
        heard: called with each round, in this thread; what it raises ends the loop.
    """

    def __init__(self, sampler: Sampler, clock: Clock, interval: timedelta, heard: Callable[[Round], None] = lambda _round: None) -> None:
        self._sampler, self._clock, self._interval, self._heard = sampler, clock, interval, heard

    def run(self, stop: threading.Event) -> None:
        """Blocks until ``stop`` is set; a round under way is finished.

        Raises:
            StateLost, StateUnreadable: what is measured cannot be stored. A monitor that cannot remember must not look alive.
        """
        start, every = self._clock.monotonic(), self._interval.total_seconds()
        try:
            while not stop.is_set():
                self._heard(self._sampler.round())
                self._wait(next_start(start, every, self._clock.monotonic()), stop)
        finally:
            self._sampler.close()

    def _wait(self, until: float, stop: threading.Event) -> None:
        while not stop.is_set() and (left := until - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left, _SLICE_SECONDS))


def next_start(start: float, every: float, now: float) -> float:
    """The first start of the schedule ``start, start + every, …`` after ``now``; seconds."""
    return start + (math.floor((now - start) / every) + 1) * every
