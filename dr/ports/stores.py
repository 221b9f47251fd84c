"""What is remembered: the journal, the lease, requests to runs, the monitor's samples. Ports, no implementation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from dr.model.events import Event, Record
from dr.model.identity import IdentitySnapshot
from dr.model.lag import Beat, LagSample, Stretch
from dr.model.lease import Held, Listed


class Journal(Protocol):
    """Append-only, durable, hash-chained record of runs. One writer at a time (the holder of the lease)."""

    def append(self, run_id: str, events: Sequence[tuple[datetime, Event]]) -> Sequence[Record]:
        """Writes all or nothing; durable when it returns. Raises StateLost when it cannot, LeaseLost when another process went on."""

    def records(self, run_id: str, after: int = 0) -> Sequence[Record]:
        """The verified records with seq > after, in order. Raises StateUnreadable where the chain is broken."""

    def runs(self, runbook: str | None = None) -> Sequence[str]:
        """Ids of all runs, oldest first; of one runbook when named."""

    def head(self, run_id: str) -> str:
        """Hash of the last record."""


class JournalStore(Journal, Protocol):
    """A journal as its owner has it."""

    @property
    def path(self) -> Path | str:
        """Where it lies, or its address; printed only."""

    def listing(self, runbook: str | None = None) -> Sequence[Listed]:
        """All runs, oldest first, with runbook and start; no record is read."""

    def newest(self, runbook: str) -> Iterator[Listed]:
        """The runs of a runbook, newest first, read only as far as somebody asks."""

    def close(self) -> None:
        """Closes connections; safe to call twice."""


class Lease(Protocol):
    """The time-limited right to act on a runbook. One holder per epoch (I10)."""

    def acquire(self, runbook: str, run_id: str, holder: str) -> int:
        """The new epoch, greater than any before. Raises RunInFlight while another holder is alive."""

    def renew(self) -> None:
        """Called often. Raises LeaseLost when another epoch was taken, or when it cannot be renewed in time."""

    def valid(self) -> bool:
        """Cheap, no I/O: the lease cannot have been taken over by now. Asked before each effect."""

    def release(self) -> None:
        """Gives it back; safe to call twice."""


class LeaseStore(Lease, Protocol):
    """A lease that can be looked at without taking it."""

    def look(self, runbook: str) -> Held | None:
        """The lease of a runbook as it stands, released or not; None where it was never taken. Takes nothing."""

    def watch(self, runbook: str) -> Held | None:
        """As ``look``, and never of unknown life: waits, up to a lease time, for a sign of life. Takes nothing."""


class Inbox(Protocol):
    """Requests of other processes to a run: pause, cancel, approve, skip, accept, turn."""

    def put(self, run_id: str, event: Event) -> int:
        """Durable when it returns. Its number, for who asked to withdraw it."""

    def take(self, run_id: str) -> Sequence[Event]:
        """Requests not yet taken, in order. Each is returned once to a live holder; ``confirm`` makes it final."""

    def confirm(self, run_id: str) -> None:
        """What ``take`` returned is journaled now."""


class InboxStore(Inbox, Protocol):
    """An inbox as those who ask, and who take a run over, need it."""

    def withdraw(self, numbers: Sequence[int]) -> None:
        """Forgets requests that nobody has taken up; safe where they were."""

    def newest(self) -> int:
        """The greatest number of the requests of all runs; 0 where there are none."""

    def drop(self, run_id: str, up_to: int, unwanted: tuple[type[Event], ...]) -> Sequence[Event]:
        """Forgets the requests of these types to a run, up to that number, and returns them."""

    def close(self) -> None:
        """Closes connections; safe to call twice."""


class Derived(Protocol):
    """What was reckoned from a journal, kept so that it need not be reckoned again; may be gone at any time."""

    def first(self, keys: Iterable[str]) -> tuple[str, str] | None:
        """The first of these keys that has a text, with it."""

    def keep(self, key: str, text: str) -> None:
        """Stores a text; whatever stood under that key before is gone."""


class Samples(Protocol):
    """The monitor's memory, outside the source region: lag samples, heartbeats, identity snapshots."""

    def add(self, runbook: str, samples: Iterable[LagSample], beats: Iterable[Beat] = ()) -> None:
        """Stores; older than the retention may be dropped."""

    def latest(self, runbook: str) -> Mapping[str, LagSample]:
        """The newest sample of each component."""

    def history(self, runbook: str, since: datetime) -> Sequence[LagSample]:
        """All samples since then, oldest first."""

    def beats(self, runbook: str, since: datetime) -> Sequence[Beat]:
        """All heartbeats since then, oldest first."""

    def keep_identities(self, runbook: str, component: str, snapshot: IdentitySnapshot) -> None:
        """Stores a snapshot."""

    def identities(self, runbook: str, component: str, not_from: str | None = None) -> IdentitySnapshot | None:
        """The newest snapshot (taken in another region than ``not_from``, when given)."""

    def troubles(self) -> Sequence[str]:
        """What could not be told other machines since the last call; of what is not shared, nothing."""


class SampleStore(Samples, Protocol):
    """The monitor's memory as reports read it."""

    def stretches(self, runbook: str, since: datetime, until: datetime) -> Iterator[Stretch]:
        """What the samples from ``since`` to before ``until`` speak for, in no order."""

    def runbooks(self) -> Sequence[str]:
        """All runbooks that there are samples of."""

    def close(self) -> None:
        """Closes connections; safe to call twice."""
