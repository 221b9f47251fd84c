"""``dr.ports.Threads`` of this machine: threads of the operating system. The simulator has its own, in virtual time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class OsMailbox(Generic[T]):
    """``dr.ports.Mailbox``; ``put`` may be called from a signal handler."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[T] = queue.SimpleQueue()

    def __len__(self) -> int:
        return self._items.qsize()

    def put(self, item: T) -> None:
        """Leaves an item."""
        self._items.put(item)

    def take(self, seconds: float) -> list[T]:
        """Everything that is there."""
        items: list[T] = []
        try:
            items.append(self._items.get(timeout=seconds) if seconds > 0 else self._items.get_nowait())
            while True:
                items.append(self._items.get_nowait())
        except queue.Empty:
            return items


class OsPool:
    """``dr.ports.Pool``: threads are made when they are needed, and used again."""

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def do(self, job: Callable[[], None]) -> None:
        """Starts a job, or keeps it until a thread is free."""
        self._jobs.put(job)
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._most:
            thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Lets the threads end once they are through with what they do."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        through = False
        try:
            while (job := self._jobs.get()) is not None:
                job()
                self._idle.release()
            through = True
        finally:
            if not through:  # a job that raised took its thread along: the next one gets another
                self._threads.remove(threading.current_thread())


class OsThreads:
    """``dr.ports.Threads``."""

    def mailbox(self) -> OsMailbox[T]:
        """A new mailbox."""
        return OsMailbox()

    def pool(self, most: int, name: str) -> OsPool:
        """A new pool."""
        return OsPool(most, name)

    def gather(self, jobs: Sequence[Callable[[], T]], name: str) -> list[T]:
        """All at once; takes as long as the slowest."""
        with ThreadPoolExecutor(max_workers=max(1, len(jobs)), thread_name_prefix=name) as pool:
            return list(pool.map(lambda job: job(), jobs))
