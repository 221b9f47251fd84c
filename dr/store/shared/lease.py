"""The lease on a shared table: how it is waited for and trusted is ``Keeper``'s; every change is conditional on what was read (I10).

Nobody's wall clock decides: a holder elsewhere is taken over from only after its row stood still for the whole lease time, counted on
the taker's own monotonic clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dr.errors import StateLost, StateUnreadable
from dr.model.lease import Held, Life
from dr.ports import Clock
from dr.ports.table import Fields, Table, Write
from dr.store.lease import Keeper, Mark, NotWritten, mark
from dr.store.processes import ProcessIdentity, this_process

GROUP = "lease"
LASTS = timedelta(seconds=20)
"""Longer than on one machine: a renewal crosses a network."""


class SharedLease(Keeper):
    """``dr.ports.LeaseStore`` on a table. Arguments as for ``Keeper``, after the table."""

    def __init__(
        self, table: Table, clock: Clock, *, lasts: timedelta = LASTS, patient: bool = False, silent: dict[str, Mark] | None = None
    ) -> None:
        super().__init__(clock, lasts=lasts, patient=patient, silent=silent)
        self._table = table

    def look(self, runbook: str) -> Held | None:
        """The lease of a runbook as it stands, released or not; None where it was never taken. Raises StateUnreadable."""
        row = self._table.get(GROUP, runbook)
        return None if row is None else self._held(runbook, row)

    def _attempt(self, runbook: str, run_id: str, holder: str, expired: Mark | None) -> int | Held:
        """Takes it, or says who has it. Raises StateUnreadable, StateLost."""
        row = self._table.get(GROUP, runbook)
        held = None if row is None else self._held(runbook, row)
        if held is not None and not (held.released or held.life is Life.GONE or mark(held) == expired):
            return held
        epoch, me = 1 if held is None else held.epoch + 1, this_process()
        taken: Fields = {
            "epoch": epoch, "run_id": run_id, "holder": holder, "place": me.place, "pid": me.pid, "started": me.started,
            "lasts_ms": self._lasts // timedelta(milliseconds=1), "renewal": 0,
            "since": self._clock.now().astimezone(UTC).isoformat(), "released": 0,
        }  # fmt: skip
        if self._table.write([Write(GROUP, runbook, taken, row)]):
            return epoch
        other = self.look(runbook)
        if other is None:
            raise StateLost(f"{self._table.where}: the lease of {runbook} went away while it was taken", hint="give the command again")
        return other

    def _renewed(self, runbook: str, epoch: int) -> bool:
        """One sign of life. Raises NotWritten."""
        try:
            row = self._own(runbook, epoch)
            if row is None or row["released"]:
                return False
            return self._table.write([Write(GROUP, runbook, {**row, "renewal": int(row["renewal"]) + 1}, row)])
        except (StateLost, StateUnreadable) as error:
            raise NotWritten(error.message) from error

    def _give_back(self, runbook: str, epoch: int) -> None:
        """Raises StateLost, StateUnreadable."""
        row = self._own(runbook, epoch)
        if row is not None:
            self._table.write([Write(GROUP, runbook, {**row, "released": 1}, row)])

    def _own(self, runbook: str, epoch: int) -> Fields | None:
        row = self._table.get(GROUP, runbook)
        return row if row is not None and row["epoch"] == epoch else None

    def _held(self, runbook: str, row: Fields) -> Held:
        try:
            began = datetime.fromisoformat(str(row["since"]))
            numbers = {name: int(row[name]) for name in ("epoch", "pid", "started", "lasts_ms", "renewal", "released")}
            life = ProcessIdentity(str(row["place"]), numbers["pid"], numbers["started"]).life()
            return Held(
                runbook, str(row["run_id"]), str(row["holder"]), numbers["epoch"], began, bool(numbers["released"]), life,
                numbers["renewal"], timedelta(milliseconds=numbers["lasts_ms"]),
            )  # fmt: skip
        except (KeyError, ValueError):
            raise StateUnreadable(f"{self._table.where}: the lease of {runbook} in it is damaged", hint="restore the table") from None
