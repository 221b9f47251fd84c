"""The lease in SQLite: the time-limited right to act on a runbook, for processes that share one state directory (so: one machine).

How it keeps I10, one holder per epoch:

* The row of a runbook is never deleted and its epoch only grows, in a write transaction that first reads it.
* A holder trusts itself for four fifths of the lease time, counted on its own monotonic clock from *before* each renewal.
* A taker waits until it saw the same renewal number for the whole lease time, counted on its own monotonic clock from *after* the
  first look. No clock is compared with another one's.
* Only a holder that is certainly dead is not waited for: same host, boot and pid namespace, and pid with that start time gone.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from dr.errors import LeaseLost, RunInFlight
from dr.ports import Clock
from dr.store import database
from dr.store.processes import Life, ProcessIdentity, this_process

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


@dataclass(frozen=True)
class Held:
    """A lease as it stands: for ``dr status``, and for telling a crashed run from one under way."""

    runbook: str
    run_id: str
    holder: str
    epoch: int
    since: datetime
    released: bool
    life: Life

    @property
    def alive(self) -> bool:
        """It is held, and its holder is not known to be gone (where that cannot be known from here, it counts as alive)."""
        return not self.released and self.life is not Life.GONE


class _Mark(NamedTuple):
    """What changes with every sign of life of a holder."""

    epoch: int
    renewal: int


class SqliteLease:
    """``dr.ports.Lease`` in ``lease.db`` of a state directory. One object holds at most one lease; renew it from any thread.

    Args:
        directory: the state directory.
        clock: monotonic time for validity, sleep for waiting, now for "since".
        lasts: how long the lease holds without a renewal.
        patient: also wait for a holder that is alive on this host but may be stopped or stuck; without it, it is refused at once.
    """

    local = True
    """The lease protects against processes of this machine only; ``dr status`` says so (I10)."""

    def __init__(self, directory: Path, clock: Clock, *, lasts: timedelta = LASTS, patient: bool = False) -> None:
        self.path = directory / "lease.db"
        self._clock, self._lasts, self._patient = clock, lasts, patient
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._runbook, self._epoch = "", 0
        self._trusted_until = float("-inf")

    def acquire(self, runbook: str, run_id: str, holder: str) -> int:
        """The new epoch. Waits (in ``clock.sleep``) up to one lease time for a holder that cannot be judged from here.

        Raises:
            RunInFlight: the holder is alive: on this host, or it renewed while we waited.
            StateUnreadable: the file cannot be read or trusted. StateLost: it cannot be written.
        """
        mark: _Mark | None = None
        first_seen = 0.0
        expired: _Mark | None = None
        while True:
            began = self._clock.monotonic()
            with self._lock:
                taken = self._try(runbook, run_id, holder, expired)
                if isinstance(taken, int):
                    self._runbook, self._epoch = runbook, taken
                    self._trust(began)
                    return taken
            held, seen, lasts = taken
            if (held.life is Life.ALIVE and not self._patient) or (mark is not None and seen != mark):
                raise RunInFlight(runbook, held.run_id, held.holder, held.since.isoformat(timespec="seconds"))
            if mark is None:
                mark, first_seen = seen, self._clock.monotonic()
            left = first_seen + lasts - self._clock.monotonic()
            if left <= 0:
                expired = mark
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
                with database.transaction(self._open()) as connection:
                    query = "UPDATE lease SET renewal = renewal + 1 WHERE runbook = ? AND epoch = ? AND released = 0"
                    renewed = connection.execute(query, (self._runbook, self._epoch)).rowcount
            except sqlite3.Error as error:
                if self.valid():
                    return
                raise LeaseLost(f"the lease of {self._runbook} could not be renewed in time: {error}", hint="dr status") from error
            if renewed != 1:
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
                try:
                    with database.transaction(self._open()) as connection:
                        connection.execute("UPDATE lease SET released = 1 WHERE runbook = ? AND epoch = ?", (self._runbook, self._epoch))
                except sqlite3.Error as error:
                    raise database.lost(self.path, SCHEMA, error) from error
                self._epoch = 0
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def look(self, runbook: str) -> Held | None:
        """The lease of a runbook as it stands, released or not; None where it was never taken. Takes nothing."""
        with database.reading(self.path, SCHEMA) as connection:
            row = None if connection is None else _row(connection, runbook)
        return None if row is None else row[0]

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = database.writer(self.path, SCHEMA)
        return self._connection

    def _trust(self, since: float) -> None:
        self._trusted_until = since + self._lasts.total_seconds() * 0.8

    def _try(self, runbook: str, run_id: str, holder: str, expired: _Mark | None) -> int | tuple[Held, _Mark, float]:
        """Takes the lease where it is free, its holder is gone, or nothing changed since ``expired``; else what stands there."""
        try:
            with database.transaction(self._open()) as connection:
                row = _row(connection, runbook)
                if row is not None and not (row[0].released or row[0].life is Life.GONE or row[1] == expired):
                    return row
                epoch = 1 if row is None else row[0].epoch + 1
                me = this_process()
                connection.execute(
                    "INSERT OR REPLACE INTO lease (runbook, epoch, run_id, holder, place, pid, started, lasts_ms, renewal, since, released)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0)",
                    (runbook, epoch, run_id, holder, me.place, me.pid, me.started, self._lasts // timedelta(milliseconds=1),
                     self._clock.now().astimezone(UTC).isoformat()),
                )  # fmt: skip
                return epoch
        except sqlite3.Error as error:
            raise database.lost(self.path, SCHEMA, error) from error


def _row(connection: sqlite3.Connection, runbook: str) -> tuple[Held, _Mark, float] | None:
    """The row with its mark and its holder's own lease time in seconds."""
    row = connection.execute(
        "SELECT epoch, run_id, holder, place, pid, started, lasts_ms, renewal, since, released FROM lease WHERE runbook = ?", (runbook,)
    ).fetchone()
    if row is None:
        return None
    epoch, run_id, holder, place, pid, started, lasts, renewal, since, released = row
    life = ProcessIdentity(place, pid, started).life()
    held = Held(runbook, run_id, holder, epoch, datetime.fromisoformat(since), bool(released), life)
    return held, _Mark(epoch, renewal), lasts / 1000
