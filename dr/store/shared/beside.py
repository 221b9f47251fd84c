"""Writes that nobody waits for: one after the other, of each thing only the newest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from dr.errors import DrError

PATIENCE: Final = 5.0
"""Seconds for which the end of a process waits for what is left to be written."""


class Beside:
    """A thread that works while there is something to do. It keeps no process alive.

    Args:
        trouble: told what was not written, and why.
    """

    def __init__(self, trouble: Callable[[str], None]) -> None:
        self._trouble = trouble
        self._left: dict[str, Callable[[], None]] = {}
        self._urgent: dict[str, Callable[[], None]] = {}
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None

    def do(self, what: str, job: Callable[[], None], *, first: bool = False) -> None:
        """Soon. A job of the same name that has not begun is not done any more: this one knows better. ``first``: before others."""
        with self._lock:
            (self._urgent if first else self._left)[what] = job
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="beside", daemon=True)
                self._worker.start()

    def close(self) -> None:
        """Waits until all is done, for ``PATIENCE`` at most; what is left then is dropped, and said."""
        worker = self._worker
        if worker is not None:
            worker.join(PATIENCE)
        with self._lock:
            dropped = [*self._urgent, *self._left]
            self._urgent.clear()
            self._left.clear()
        for what in dropped:
            self._trouble(f"{what} is not shared: the table does not answer in time")

    def _work(self) -> None:
        while True:
            with self._lock:
                jobs = self._urgent or self._left
                if not jobs:
                    self._worker = None
                    return
                what = next(iter(jobs))
                job = jobs.pop(what)
            try:
                job()
            except DrError as error:
                self._trouble(f"{what} is not shared: {error.message}")
