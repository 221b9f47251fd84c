"""The lease in SQLite: the time-limited right to act on a runbook, for processes that share one state directory (so: one machine).

How it keeps I10, one holder per epoch:

* The row of a runbook is never deleted and its epoch only grows, in a write transaction that first reads it.
* A holder trusts itself for four fifths of the lease time, counted on its own monotonic clock from *before* each renewal.
* A taker waits until it saw the same renewal number for the whole lease time, counted on its own monotonic clock from *after* the
  first look. No clock is compared with another one's.
* Only a holder that is certainly dead is not waited for: same host, boot and pid namespace, and pid with that start time gone. After a
  reboot it is waited for once, for its lease time.
"""

from __future__ import annotations

import sqlite3
import threading
from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from dr.errors import LeaseLost, RunInFlight
from dr.model.lease import Held, Life
from dr.ports import Clock
from dr.store import database
from dr.store.processes import ProcessIdentity, this_process

SCHEMA = database.Schema(
    "lease",
    1,
    (
        "CREATE TABLE lease (runbook TEXT PRIMARY KEY, epoch INTEGER NOT NULL, run_id TEXT NOT NULL, holder TEXT NOT NULL,"
        " place TEXT NOT NULL, pid INTEGER NOT NULL, started INTEGER NOT NULL, lasts_ms INTEGER NOT NULL,"
        " renewal INTEGER NOT NULL, since TEXT NOT NULL, released INTEGER NOT NULL)",
    ),
)

LASTS = timedelta(seconds=10)
"""How long a lease holds without a renewal; renew about four times as often."""

_LOOK_SECONDS = 0.2


class Mark(NamedTuple):
    """What changes with every sign of life of a holder."""

    epoch: int
    renewal: int


class NotWritten(Exception):
    """A sign of life could not be written; the next one may be."""


class Keeper(ABC):
    """How a lease is taken, kept and watched, wherever its row lies. One object holds at most one lease; renew it from any thread.

    Args:
        clock: monotonic time for validity, sleep for waiting, now for "since".
        lasts: how long the lease holds without a renewal.
        patient: also wait for a holder that is alive on this host but may be stopped or stuck; without it, it is refused at once.
        silent: by runbook, what was seen to stand still for its whole lease time: shared by the leases of a process, so that it is not
            waited for twice.
    """

    def __init__(
        self, clock: Clock, *, lasts: timedelta = LASTS, patient: bool = False, silent: dict[str, Mark] | None = None
    ) -> None:  # fmt: skip
        self._silent = {} if silent is None else silent
        self._clock, self._lasts, self._patient = clock, lasts, patient
        self._lock = threading.Lock()
        self._runbook, self._epoch = "", 0
        self._trusted_until = float("-inf")

    def acquire(self, runbook: str, run_id: str, holder: str) -> int:
        """The new epoch. Waits (in ``clock.sleep``) up to one lease time for a holder that cannot be judged from here.

        Raises:
            RunInFlight: the holder is alive: on this host, or it renewed while we waited.
            StateUnreadable: the file cannot be read or trusted. StateLost: it cannot be written.
        """
        first: Mark | None = None
        first_seen = 0.0
        expired = self._silent.get(runbook)
        while True:
            began = self._clock.monotonic()
            with self._lock:
                taken = self._attempt(runbook, run_id, holder, expired)
                if isinstance(taken, int):
                    self._runbook, self._epoch = runbook, taken
                    self._trust(began)
                    return taken
            held, seen = taken, mark(taken)
            if (held.life is Life.ALIVE and not self._patient) or (first is not None and seen != first):
                raise RunInFlight(runbook, held.run_id, held.holder, held.since.isoformat(timespec="seconds"))
            if first is None:
                first, first_seen = seen, self._clock.monotonic()
            left = first_seen + held.lasts.total_seconds() - self._clock.monotonic()
            if left <= 0:
                expired = first
            else:
                self._clock.sleep(min(left, _LOOK_SECONDS))

    def renew(self) -> None:
        """Extends the lease; about every quarter of its time. A failed write alone does not end it: ``valid`` runs out by itself.

        Raises:
            LeaseLost: another epoch was taken, the lease was released, or it could not be renewed in time.
        """
        with self._lock:
            if not self._epoch:
                raise LeaseLost("no lease is held", hint="dr status")
            began = self._clock.monotonic()
            try:
                renewed = self._renewed(self._runbook, self._epoch)
            except NotWritten as error:
                if self.valid():
                    return
                raise LeaseLost(f"the lease of {self._runbook} could not be renewed in time: {error}", hint="dr status") from error
            if not renewed:
                self._trusted_until = float("-inf")
                raise LeaseLost(f"the lease of {self._runbook}, epoch {self._epoch}, was taken by another process", hint="dr status")
            self._trust(began)

    def valid(self) -> bool:
        """No I/O: nobody can have taken the lease over by now, with a fifth of its time to spare."""
        return self._clock.monotonic() < self._trusted_until

    def release(self) -> None:
        """Gives it back; the epoch stays. Safe to call twice, and when the lease was lost.

        Raises:
            StateLost: the file cannot be written; the lease ends by itself when this process does.
        """
        with self._lock:
            if self._epoch:
                self._trusted_until = float("-inf")
                self._give_back(self._runbook, self._epoch)
                self._epoch = 0
            self._let_go()

    @abstractmethod
    def look(self, runbook: str) -> Held | None:
        """The lease of a runbook as it stands, released or not; None where it was never taken. Takes nothing."""

    @abstractmethod
    def _attempt(self, runbook: str, run_id: str, holder: str, expired: Mark | None) -> int | Held:
        """Takes the lease where it is free, its holder is gone, or nothing changed since ``expired``: the new epoch; else what stands
        there. One step: nobody else takes it in between. Raises StateUnreadable, StateLost."""

    @abstractmethod
    def _renewed(self, runbook: str, epoch: int) -> bool:
        """One sign of life; False: it is not this epoch's any more. Raises NotWritten."""

    @abstractmethod
    def _give_back(self, runbook: str, epoch: int) -> None:
        """It is released, if it is this epoch's still. Raises StateLost."""

    def _let_go(self) -> None:
        """Closes what is open; nothing, where there is no connection of its own."""
        return

    def watch(self, runbook: str) -> Held | None:
        """As ``look``, and never UNKNOWN: a holder that cannot be looked up from here is ALIVE once it renews, and GONE when it did not
        for its whole lease time; so long this waits (in ``clock.sleep``), once for a holder. Takes nothing."""
        first = self.look(runbook)
        if first is None or first.released or first.life is not Life.UNKNOWN:
            return first
        gone, seen_at = replace(first, life=Life.GONE), self._clock.monotonic()
        while self._silent.get(runbook) != mark(first):
            left = seen_at + first.lasts.total_seconds() - self._clock.monotonic()
            if left > 0:
                self._clock.sleep(min(left, _LOOK_SECONDS))
            now = self.look(runbook)
            if now is None or now.released or mark(now) != mark(first):
                return replace(now, life=Life.ALIVE) if now is not None and now.life is Life.UNKNOWN else now
            if left <= 0:
                self._silent[runbook] = mark(first)
        return gone

    def _trust(self, since: float) -> None:
        self._trusted_until = since + self._lasts.total_seconds() * 0.8


class SqliteLease(Keeper):
    """``dr.ports.Lease`` in ``lease.db`` of a state directory. Arguments as for ``Keeper``, after the directory."""

    def __init__(
        self, directory: Path, clock: Clock, *, lasts: timedelta = LASTS, patient: bool = False, silent: dict[str, Mark] | None = None
    ) -> None:
        super().__init__(clock, lasts=lasts, patient=patient, silent=silent)
        self.path = directory / "lease.db"
        self._connection: sqlite3.Connection | None = None

    def look(self, runbook: str) -> Held | None:
        """The lease of a runbook as it stands, released or not; None where it was never taken. Takes nothing."""
        with database.reading(self.path, SCHEMA) as connection:
            return None if connection is None else _row(connection, runbook)

    def _attempt(self, runbook: str, run_id: str, holder: str, expired: Mark | None) -> int | Held:
        """Takes the lease where it is free, its holder is gone, or nothing changed since ``expired``; else what stands there."""
        try:
            with database.transaction(self._open()) as connection:
                row = _row(connection, runbook)
                if row is not None and not (row.released or row.life is Life.GONE or mark(row) == expired):
                    return row
                epoch = 1 if row is None else row.epoch + 1
                me = this_process()
                connection.execute(
                    "INSERT OR REPLACE INTO lease (runbook, epoch, run_id, holder, place, pid, started, lasts_ms, renewal, since, released)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0)",
                    (runbook, epoch, run_id, holder, me.place, me.pid, me.started, self._lasts // timedelta(milliseconds=1),
                     self._clock.now().astimezone(UTC).isoformat()),
                )  # fmt: skip
                return epoch
        except sqlite3.Error as error:
            raise database.failed(self.path, SCHEMA, error) from error

    def _renewed(self, runbook: str, epoch: int) -> bool:
        """One sign of life. Raises NotWritten."""
        try:
            with database.transaction(self._open()) as connection:
                query = "UPDATE lease SET renewal = renewal + 1 WHERE runbook = ? AND epoch = ? AND released = 0"
                return connection.execute(query, (runbook, epoch)).rowcount == 1
        except sqlite3.Error as error:
            raise NotWritten(str(error)) from error

    def _give_back(self, runbook: str, epoch: int) -> None:
        """Raises StateLost: the file cannot be written."""
        try:
            with database.transaction(self._open()) as connection:
                connection.execute("UPDATE lease SET released = 1 WHERE runbook = ? AND epoch = ?", (runbook, epoch))
        except sqlite3.Error as error:
            raise database.lost(self.path, SCHEMA, error) from error

    def _let_go(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = database.writer(self.path, SCHEMA)
        return self._connection


def mark(held: Held) -> Mark:
    """What shows whether the holder has given a sign of life since."""
    return Mark(held.epoch, held.renewal)


def _row(connection: sqlite3.Connection, runbook: str) -> Held | None:
    """The row.

    Raises:
        RowDamaged: it holds what was never written there; who holds the lease is then not known.
    """
    row = connection.execute(
        "SELECT epoch, run_id, holder, place, pid, started, lasts_ms, renewal, since, released FROM lease WHERE runbook = ?", (runbook,)
    ).fetchone()
    if row is None:
        return None
    epoch, run_id, holder, place, pid, started, lasts, renewal, since, released = row
    texts, numbers = (run_id, holder, place, since), (epoch, pid, started, lasts, renewal, released)
    if not (all(isinstance(item, str) for item in texts) and all(isinstance(item, int) and item >= 0 for item in numbers)):
        raise database.RowDamaged(f"the lease of {runbook} in it is damaged")
    try:
        began = datetime.fromisoformat(since)
    except ValueError as error:
        raise database.RowDamaged(f"the lease of {runbook} in it is damaged: since {since}") from error
    life = ProcessIdentity(place, pid, started).life()
    return Held(runbook, run_id, holder, epoch, began, bool(released), life, renewal, timedelta(milliseconds=lasts))
