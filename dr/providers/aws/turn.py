"""How long a look is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

from dr.ports import Clock

L = TypeVar("L")


class Turn:
    """How long one region's look is waited for: until a moment. The making of clients, which takes hundreds of milliseconds of processor
    the first time and says nothing about a region, does not count.

    Args:
        until: seconds of the monotonic clock.
    """

    def __init__(self, until: float) -> None:
        self._until = until
        self._going = Event()
        self._going.set()

    @contextmanager
    def held_up(self, clock: Clock, seconds: float) -> Iterator[None]:
        """Time that does not count; ``seconds`` are left afterwards."""
        self._going.clear()
        try:
            yield
        finally:
            self._until = clock.monotonic() + seconds
            self._going.set()

    def wait(self, future: Future[L], clock: Clock) -> L:
        """What came of it. Raises TimeoutError: nothing in time."""
        while True:
            try:
                return future.result(max(0.0, self._until - clock.monotonic()))
            except FutureTimeout:
                if self._going.is_set() and clock.monotonic() >= self._until:
                    raise
                self._going.wait()
