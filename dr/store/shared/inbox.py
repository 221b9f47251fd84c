"""The inbox on a shared table: requests in the order of one counter for all runs."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from pydantic import ValidationError

from dr.errors import StateLost, StateUnreadable
from dr.model.events import Event, decode, encode
from dr.ports import Clock
from dr.ports.table import MOST_WRITES, Table, Write

COUNTER, OPEN = ("counter", "inbox"), "request"
"""The last number that was given, never again; and by number, the run of each request that is not forgotten."""
_TRIES = 20
_LOOK_SECONDS = 1.0


class SharedInbox:
    """``dr.ports.InboxStore`` on a table. ``take`` may be polled at any rate: the table is asked once a second."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table, self._clock = table, clock
        self._lock = threading.Lock()
        self._taken: dict[str, str] = {}
        self._unconfirmed: dict[str, list[str]] = {}
        self._looked: dict[str, float] = {}

    def put(self, run_id: str, event: Event) -> int:
        """Stores a request; durable when it returns. Its number: greater than that of any request before.

        Raises:
            StateUnreadable, StateLost: the table cannot be read, or written.
        """
        for _ in range(_TRIES):  # another request may come at the same moment
            row = self._table.get(*COUNTER)
            number = 1 if row is None else int(row["newest"]) + 1
            asked = Write(_group(run_id), _key(number), {"body": encode(event)})
            if self._table.write([Write(*COUNTER, {"newest": number}, row), asked, Write(OPEN, _key(number), {"run_id": run_id})]):
                return number
        raise StateLost(f"{self._table.where}: others write there all the time", hint="give the command again")

    def withdraw(self, numbers: Sequence[int]) -> None:
        """Forgets requests that nobody has taken up; safe where they were. Raises StateUnreadable, StateLost."""
        for number in dict.fromkeys(numbers):
            row = self._table.get(OPEN, _key(number))
            if row is not None:
                self._forget(str(row["run_id"]), [_key(number)])

    def newest(self) -> int:
        """The greatest number of the requests of all runs; 0 where there are none. Raises StateUnreadable."""
        row = self._table.last(OPEN)
        return 0 if row is None else int(row[0])

    def drop(self, run_id: str, up_to: int, unwanted: tuple[type[Event], ...]) -> Sequence[Event]:
        """Forgets the requests of these types to a run, up to that number, and returns them. Raises StateUnreadable, StateLost."""
        found = [(key, self._event(str(row["body"]))) for key, row in self._table.rows(_group(run_id), "", _key(up_to + 1))]
        gone = [(key, event) for key, event in found if isinstance(event, unwanted)]
        self._forget(run_id, [key for key, _ in gone])
        return [event for _, event in gone]

    def take(self, run_id: str) -> Sequence[Event]:
        """Requests that this object has not returned yet, in order. Raises StateUnreadable."""
        with self._lock:
            now = self._clock.monotonic()
            if now - self._looked.get(run_id, float("-inf")) < _LOOK_SECONDS:
                return []
            self._looked[run_id] = now
            rows = self._table.rows(_group(run_id), self._taken.get(run_id, ""))
            events = [self._event(str(row["body"])) for _, row in rows]
            if rows:
                self._taken[run_id] = rows[-1][0]
                self._unconfirmed.setdefault(run_id, []).extend(key for key, _ in rows)
            return events

    def confirm(self, run_id: str) -> None:
        """Forgets what ``take`` returned to this object: it is journaled now. Raises StateLost."""
        with self._lock:
            self._forget(run_id, self._unconfirmed.get(run_id, ()))
            self._unconfirmed.pop(run_id, None)

    def close(self) -> None:
        """Nothing of its own to close."""

    def _forget(self, run_id: str, keys: Sequence[str]) -> None:
        for first in range(0, len(keys), MOST_WRITES // 2):
            some = keys[first : first + MOST_WRITES // 2]
            self._table.write([Write(group, key, None, {}) for key in some for group in (_group(run_id), OPEN)])

    def _event(self, body: str) -> Event:
        try:
            return decode(body)
        except ValidationError:
            what = f"a request in {self._table.where} is damaged, or of another version of dr"
            raise StateUnreadable(what, hint="use the version of dr that asked") from None


def _group(run_id: str) -> str:
    return f"request {run_id}"


def _key(number: int) -> str:
    return f"{number:012d}"
