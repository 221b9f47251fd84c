"""Who holds the right to act on a runbook, and which runs there are, as the stores tell it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from dr.model.words import Word


class Life(Word):
    """What can be known of a process from here."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Held:
    """A lease as it stands: for ``dr status``, and for telling a crashed run from one under way.

    renewal: grows with every sign of life of the holder. lasts: how long it may give none.
    """

    runbook: str
    run_id: str
    holder: str
    epoch: int
    since: datetime
    released: bool
    life: Life
    renewal: int
    lasts: timedelta

    @property
    def alive(self) -> bool:
        """It is held, and its holder is not known to be gone (where that cannot be seen from here, ``Lease.watch`` waits for a sign of
        life)."""
        return not self.released and self.life is not Life.GONE


class Listed(NamedTuple):
    """One run as the journal lists it; its state is derived from its records. ``started_at`` as in ``Record.at``. ``head``: hash of its
    last record, which stands for all before it."""

    run_id: str
    runbook: str
    started_at: str
    head: str
