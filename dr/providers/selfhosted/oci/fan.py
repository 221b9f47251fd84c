"""Threads of one component's own: both registries and both databases are asked at once, and none waits for what a dead one holds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

T = TypeVar("T")

_MORE = 6
"""Beside ``width`` for each of two registries: for the databases, and for those who wait for the others."""


class Fan:
    """Does things beside each other.

    Args:
        width: how many requests one job has under way at once.
    """

    def __init__(self, name: str, width: int) -> None:
        self.width = width
        self._name = name
        self._pool: ThreadPoolExecutor | None = None
        self._lock = Lock()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Begins something. Raises RuntimeError after the interpreter has begun to end."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(2 * self.width + _MORE, thread_name_prefix=f"oci-{self._name}")
            return self._pool.submit(work)

    def workers(self, count: int, work: Callable[[], None]) -> list[Future[None]]:
        """Begins as many workers of one job as it has items for, ``width`` at most."""
        return [self.submit(work) for _ in range(min(self.width, count))]

    def close(self) -> None:
        """Ends the threads once they are done; safe to call twice."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
