"""httpx for several threads: each client, with its connection, belongs to one thread at a time.

A pool that threads share is not safe: httpcore 1.0.9 asks whether a connection is idle, and then whether its socket has something to
read. Where another thread takes the connection and is answered between the two, it is closed in that thread's hands, and its descriptor
is soon another connection's: ``Bad file descriptor``, ``BAD_RECORD_TYPE`` (seen with eight threads on two busy processors).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

_KEPT, _KEPT_SECONDS = 2, 30
"""Connections of one client: to the server, and to where that sends us (a token service)."""


class Closed(Exception):
    """Nothing is lent any more."""


class Clients:
    """Lends clients, newest first, so that few connections are open where few are needed.

    Args:
        make: a new client with the given limits; called outside any lock.
        most: so many are lent at once.
    """

    def __init__(self, make: Callable[[httpx.Limits], httpx.Client], most: int) -> None:
        self._make = make
        self._turns = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._idle: list[httpx.Client] = []
        self._closed = False

    @contextmanager
    def one(self, seconds: float | None = None) -> Iterator[httpx.Client]:
        """A client of the caller's own until the block ends.

        Args:
            seconds: the longest wait for a turn; None: as long as it takes, which is no sign that a server is gone.

        Raises:
            TimeoutError: no turn in time. Closed: ``close`` was called.
        """
        if not self._turns.acquire(timeout=seconds):
            raise TimeoutError
        try:
            client = self._take()
            try:
                yield client
            finally:
                self._give_back(client)
        finally:
            self._turns.release()

    def close(self) -> None:
        """Closes all that are not lent now; those that are, as they come back."""
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        for client in idle:
            client.close()

    def _take(self) -> httpx.Client:
        with self._lock:
            if self._closed:
                raise Closed
            if self._idle:
                return self._idle.pop()
        import httpx

        return self._make(httpx.Limits(max_connections=None, max_keepalive_connections=_KEPT, keepalive_expiry=_KEPT_SECONDS))

    def _give_back(self, client: httpx.Client) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(client)
                return
        client.close()
