"""The monitor's memory on a shared table: what a move on another machine needs of it. The long history stays where it was taken.

Three things lie there: of each machine that watches, the newest sample of each component and the heartbeats that date an outage (one row,
written anew every few seconds); of each component and region, who its Deployments are, and what else is told by name (``identities``).

Nothing here may hold a monitor or a failover up: writes go out beside it, and what cannot be read is left out and said (``troubles``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar, cast

from dr.errors import StateLost, StateUnreadable
from dr.model.identity import IdentitySnapshot
from dr.model.lag import STALE_AFTER, Beat, LagSample, Stretch
from dr.model.words import Known
from dr.ports import Clock, SampleStore
from dr.ports.table import Fields, Table, Write
from dr.store.shared import watched
from dr.store.shared.beside import Beside
from dr.store.shared.watched import Beats

T = TypeVar("T")

EVERY: Final = 5.0
"""Seconds between two writes of what is newest; the first heartbeat that fails is written at once."""
FRESH: Final = 2.0
"""Seconds for which what was read counts without asking again: views ask often."""
_LOOK_BACK = timedelta(hours=1), timedelta(hours=6)
"""How far a process that begins to watch looks at what its machine saw before; the second, where the first held failures only."""
_AGAIN = timedelta(minutes=1)
"""An identity snapshot that says the same is written again only so often: its age is told by the minute."""
_FORGOTTEN = timedelta(days=2)
"""The row of a machine that has not watched for so long goes."""


class SharedSamples:
    """``dr.ports.SampleStore``: one machine's own, and of others what the table holds.

    Args:
        own: of this machine. machine: its name, and nobody else's; what it wrote before under that name is replaced.
    """

    def __init__(self, own: SampleStore, table: Table, clock: Clock, machine: str) -> None:
        self._own, self._table, self._clock, self._machine = own, table, clock, machine
        self._newest: dict[str, dict[str, LagSample]] = {}
        self._beats: dict[str, dict[str, Beats]] = {}
        self._written: dict[str, float] = {}
        self._unwritten: set[str] = set()
        self._kept: dict[tuple[str, str, str], tuple[str, datetime]] = {}
        self._read: dict[str, tuple[float, Sequence[object]]] = {}
        self._reading: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._troubles: dict[str, None] = {}
        self._beside = Beside(self._trouble)

    # --- written ------------------------------------------------------------------------------------------------------

    def add(self, runbook: str, samples: Iterable[LagSample], beats: Iterable[Beat] = ()) -> None:
        """As this machine's own; and what is newest to the table, now and then. Raises as this machine's own."""
        samples, beats = list(samples), list(beats)
        self._own.add(runbook, samples, beats)
        with self._lock:
            begins = self._note(runbook, samples, beats)
            now = self._clock.monotonic()
            if not begins and now - self._written.get(runbook, float("-inf")) < EVERY:
                self._unwritten.add(runbook)
                return
            self._written[runbook] = now
            self._unwritten.discard(runbook)
        self._beside.do(f"what is watched of {runbook}", partial(self._write_newest, runbook), first=True)

    def keep_identities(self, runbook: str, component: str, snapshot: IdentitySnapshot) -> None:
        """As this machine's own, and to the table. Raises as this machine's own."""
        self._own.keep_identities(runbook, component, snapshot)
        place, digest = (runbook, component, snapshot.region), snapshot.sha256
        with self._lock:
            known = self._kept.get(place)
            if known is not None and known[0] == digest and snapshot.taken_at - known[1] < _AGAIN:
                return
            self._kept[place] = digest, snapshot.taken_at
        self._beside.do(f"who {component} is in {snapshot.region}", lambda: self._put(watched.rows_of(*place, snapshot)))

    def troubles(self) -> Sequence[str]:
        """What could not be written to the table, or read there, since the last call; each once."""
        with self._lock:
            found, self._troubles = list(self._troubles), {}
        return [*self._own.troubles(), *found]

    def close(self) -> None:
        """Writes what is left, for some seconds at most; safe to call twice."""
        for runbook in sorted(self._unwritten):
            self._beside.do(f"what is watched of {runbook}", partial(self._write_newest, runbook), first=True)
        self._unwritten.clear()
        self._beside.close()
        self._own.close()

    def _note(self, runbook: str, samples: Sequence[LagSample], beats: Sequence[Beat]) -> bool:
        """Remembers; whether an outage seems to begin. A process that begins to watch goes on with what its machine saw before."""
        if runbook not in self._newest:
            self._newest[runbook], self._beats[runbook] = dict(self._own.latest(runbook)), {}
            beats = self._earlier(runbook, beats)
        self._newest[runbook].update({sample.component: sample for sample in samples})
        begins = [self._beats[runbook].setdefault(beat.component, Beats()).add(beat) for beat in beats]
        return any(begins)

    def _earlier(self, runbook: str, beats: Sequence[Beat]) -> Sequence[Beat]:
        """With the heartbeats of before, where this machine has them: these are stored already."""
        now = min((beat.sent_at for beat in beats), default=self._clock.now())
        for back in _LOOK_BACK:
            found = self._own.beats(runbook, now - back)
            well = {beat.component for beat in found if beat.acknowledged_at is not None}
            if well >= {beat.component for beat in found}:
                break
        return found

    def _write_newest(self, runbook: str) -> None:
        with self._lock:
            body = watched.packed([*self._newest[runbook].values()], [beat for own in self._beats[runbook].values() for beat in own])
        group, now = watched.group(runbook), self._clock.now()
        self._put([Write(group, self._machine, {"body": body, "at": now.isoformat()}, {})])
        gone = [key for key, row in self._table.rows(group) if now - watched.moment(row, "at", now) > _FORGOTTEN]
        if gone:
            self._put([Write(group, key, None, {}) for key in gone])

    def _put(self, rows: Sequence[Write]) -> None:
        if not self._table.write(rows):
            raise StateLost(f"{self._table.where}: refused without a condition")

    def _trouble(self, text: str) -> None:
        with self._lock:
            self._troubles[text] = None

    # --- read ---------------------------------------------------------------------------------------------------------

    def latest(self, runbook: str) -> Mapping[str, LagSample]:
        """Of each component the newest sample that says something now, whichever machine took it; else the newest."""
        found, now = dict(self._own.latest(runbook)), self._clock.now()
        for samples, _ in self._elsewhere(runbook):
            for sample in samples:
                known = found.get(sample.component)
                if known is None or _says(sample, now) > _says(known, now):
                    found[sample.component] = sample
        return found

    def beats(self, runbook: str, since: datetime) -> Sequence[Beat]:
        """Heartbeats since then, oldest first: all of this machine's, of others those that date an outage."""
        found = {(beat.sent_at, beat.component): beat for _, beats in self._elsewhere(runbook) for beat in beats if beat.sent_at >= since}
        found |= {(beat.sent_at, beat.component): beat for beat in self._own.beats(runbook, since)}
        return [found[key] for key in sorted(found)]

    def identities(self, runbook: str, component: str, not_from: str | None = None) -> IdentitySnapshot | None:
        """The newest snapshot (of another region than ``not_from``), whichever machine took it."""
        own = self._own.identities(runbook, component, not_from)
        heads = self._asked(watched.identities(runbook), watched.head)
        there = [head for head in heads if head.component == component and head.region != not_from]
        newest = max(there, key=lambda head: head.taken_at, default=None)
        if newest is None or (own is not None and own.taken_at >= newest.taken_at):
            return own
        for snapshot in self._asked(watched.body(runbook, component, newest.region), watched.snapshot, whole=True):
            if own is None or snapshot.taken_at > own.taken_at:
                return snapshot
        return own

    def history(self, runbook: str, since: datetime) -> Sequence[LagSample]:
        """This machine's own."""
        return self._own.history(runbook, since)

    def stretches(self, runbook: str, since: datetime, until: datetime) -> Iterator[Stretch]:
        """This machine's own."""
        return self._own.stretches(runbook, since, until)

    def runbooks(self) -> Sequence[str]:
        """This machine's own."""
        return self._own.runbooks()

    def _elsewhere(self, runbook: str) -> Sequence[tuple[list[LagSample], list[Beat]]]:
        return self._asked(watched.group(runbook), watched.unpacked)

    def _asked(self, group: str, parse: Callable[[str, Sequence[Fields]], T], *, whole: bool = False) -> Sequence[T]:
        """What the rows of a group say, each by itself, or all of them one thing (``whole``); as of a moment ago. Where the table does not
        answer, or a row cannot be read (another version of dr wrote it), it is left out and said: this machine's own is what there is."""
        with self._lock:
            reading = self._reading.setdefault(group, threading.Lock())
            known = self._read.get(group)
        if not reading.acquire(blocking=known is None):
            return () if known is None else cast("Sequence[T]", known[1])
        try:
            known = self._read.get(group)
            if known is None or self._clock.monotonic() - known[0] > FRESH:
                found = self._parsed(group, parse, whole)
                known = self._read[group] = self._clock.monotonic(), found
            return cast("Sequence[T]", known[1])  # a group is always parsed by one function
        finally:
            reading.release()

    def _parsed(self, group: str, parse: Callable[[str, Sequence[Fields]], T], whole: bool) -> Sequence[T]:
        try:
            rows = self._table.rows(group)
        except StateUnreadable as error:
            self._trouble(f"what other machines saw is not known: {error.message}")
            return ()
        found = []
        for key, fields in [("", [row for _, row in rows])] if whole else [(key, [row]) for key, row in rows]:
            try:
                found.append(parse(key, fields))
            except watched.UNREADABLE:
                row = f"row {key} of «{group}»" if key else f"«{group}»"
                self._trouble(f"what other machines saw is not known: {self._table.where}: {row} cannot be read")
        return found


def _says(sample: LagSample, now: datetime) -> tuple[bool, datetime]:
    """For comparing: one that is known and of now goes before any other; among those, and among others, the newer one."""
    usable = sample.state is not Known.UNKNOWN and abs(now - sample.at) <= STALE_AFTER
    return usable, sample.at
