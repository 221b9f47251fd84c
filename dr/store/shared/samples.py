"""The monitor's memory on a shared table: what a move on another machine needs of it. The long history stays where it was taken.

Three things lie there: of each machine that watches, the newest sample of each component and the heartbeats that date an outage (one row,
written anew every few seconds); of each component and region, who its Deployments are, and what else is told by name (``identities``).
"""

from __future__ import annotations

import json
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from pydantic import ValidationError

from dr.errors import DrError, StateLost, StateUnreadable
from dr.model.identity import IdentitySnapshot
from dr.model.lag import Beat, LagSample, Stretch
from dr.ports import Clock, SampleStore
from dr.ports.table import MOST_BYTES, Fields, Table, Write

EVERY: Final = 5.0
"""Seconds between two writes of what is newest; the first heartbeat that fails is written at once."""
BEATS: Final = 25
"""So many acknowledged heartbeats of a component are kept: the last one dates an outage, the distance of the others says whether it may."""
_MOST_PARTS = 8
_AGAIN = timedelta(minutes=1)
"""An identity snapshot that says the same is written again only so often: its age is told by the minute."""
_TRIES = 3
_FRESH = 2.0
"""Seconds for which what was read is read again without asking."""


class Beats:
    """Of one component, as much as dates an outage: the newest that were acknowledged, and the first and the newest that were not."""

    def __init__(self) -> None:
        self._well: deque[Beat] = deque(maxlen=BEATS)
        self._failed: list[Beat] = []

    def add(self, beat: Beat) -> bool:
        """In order. Returns whether an outage seems to begin with it."""
        if beat.acknowledged_at is not None:
            self._well.append(beat)
            self._failed.clear()
            return False
        self._failed[1:] = [] if not self._failed else [beat]
        if not self._failed:
            self._failed.append(beat)
        return self._failed == [beat]

    def __iter__(self) -> Iterator[Beat]:
        """Oldest first."""
        yield from self._well
        yield from self._failed


class SharedSamples:
    """``dr.ports.SampleStore``: one machine's own, and of others what the table holds. No write waits for the table, or fails with it.

    Args:
        own: of this machine. machine: its name; what it wrote before under that name is replaced.
    """

    def __init__(self, own: SampleStore, table: Table, clock: Clock, machine: str) -> None:
        self._own, self._table, self._clock, self._machine = own, table, clock, machine
        self._newest: dict[str, dict[str, LagSample]] = {}
        self._beats: dict[str, dict[str, Beats]] = {}
        self._written: dict[str, float] = {}
        self._unwritten: set[str] = set()
        self._urgent = False
        self._read: dict[str, tuple[float, Sequence[tuple[str, Fields]]]] = {}
        self._kept: dict[tuple[str, str, str], tuple[str, datetime]] = {}
        self._lock = threading.Lock()
        self._writer: ThreadPoolExecutor | None = None
        self._under_way: Future[None] | None = None
        self._troubles: list[str] = []

    # --- written ------------------------------------------------------------------------------------------------------

    def add(self, runbook: str, samples: Iterable[LagSample], beats: Iterable[Beat] = ()) -> None:
        """As this machine's own; and what is newest to the table, now and then. Raises as this machine's own."""
        samples, beats = list(samples), list(beats)
        self._own.add(runbook, samples, beats)
        with self._lock:
            self._urgent |= self._note(runbook, samples, beats)
            self._unwritten.add(runbook)
            now = self._clock.monotonic()
            busy = self._under_way is not None and not self._under_way.done()
            if busy or not (self._urgent or now - self._written.get(runbook, float("-inf")) >= EVERY):
                return
            self._urgent, self._written[runbook] = False, now
        self._under_way = self._later("what is watched", lambda: self._write_newest(runbook))

    def keep_identities(self, runbook: str, component: str, snapshot: IdentitySnapshot) -> None:
        """As this machine's own, and to the table. Raises as this machine's own."""
        self._own.keep_identities(runbook, component, snapshot)
        place, digest = (runbook, component, snapshot.region), snapshot.sha256
        with self._lock:
            known = self._kept.get(place)
            if known is not None and known[0] == digest and snapshot.taken_at - known[1] < _AGAIN:
                return
            self._kept[place] = digest, snapshot.taken_at
        self._later(f"who {component} is in {snapshot.region}", lambda: self._put(_parts(*place, snapshot)))

    def troubles(self) -> Sequence[str]:
        """What could not be written to the table since the last call."""
        with self._lock:
            found, self._troubles = self._troubles, []
        return [*self._own.troubles(), *found]

    def _note(self, runbook: str, samples: Sequence[LagSample], beats: Sequence[Beat]) -> bool:
        """Remembers; whether an outage seems to begin. A process that begins to watch goes on with what its machine saw before."""
        if runbook not in self._newest:
            self._newest[runbook], self._beats[runbook] = dict(self._own.latest(runbook)), {}
            earlier = self._own.beats(runbook, min((beat.sent_at for beat in beats), default=self._clock.now()) - timedelta(hours=1))
            beats = [*(beat for beat in earlier if beat not in beats), *beats]
        self._newest[runbook].update({sample.component: sample for sample in samples})
        begins = [self._beats[runbook].setdefault(beat.component, Beats()).add(beat) for beat in beats]
        return any(begins)

    def _write_newest(self, runbook: str) -> None:
        with self._lock:
            self._unwritten.discard(runbook)
            body = _packed([*self._newest[runbook].values()], [beat for own in self._beats[runbook].values() for beat in own])
        self._put([Write(_watch(runbook), self._machine, {"body": body}, {})])

    def _later(self, what: str, job: Callable[[], None]) -> Future[None]:
        """One write after the other, beside what is being watched."""

        def tried() -> None:
            try:
                job()
            except DrError as error:
                with self._lock:
                    self._troubles.append(f"{what} is not shared: {error.message}")

        with self._lock:
            if self._writer is None:
                self._writer = ThreadPoolExecutor(1, thread_name_prefix="share")
            return self._writer.submit(tried)

    def _put(self, rows: Sequence[Write]) -> None:
        if not self._table.write(rows):
            raise StateLost(f"{self._table.where}: refused without a condition")

    # --- read ---------------------------------------------------------------------------------------------------------

    def latest(self, runbook: str) -> Mapping[str, LagSample]:
        """The newest sample of each component, whichever machine took it. Raises StateUnreadable: damaged."""
        found = dict(self._own.latest(runbook))
        for samples, _ in self._elsewhere(runbook):
            for sample in samples:
                known = found.get(sample.component)
                if known is None or known.at < sample.at:
                    found[sample.component] = sample
        return found

    def beats(self, runbook: str, since: datetime) -> Sequence[Beat]:
        """Heartbeats since then, oldest first: all of this machine's, of others those that date an outage. Raises StateUnreadable."""
        found = {(beat.sent_at, beat.component): beat for _, beats in self._elsewhere(runbook) for beat in beats if beat.sent_at >= since}
        found |= {(beat.sent_at, beat.component): beat for beat in self._own.beats(runbook, since)}
        return [found[key] for key in sorted(found)]

    def identities(self, runbook: str, component: str, not_from: str | None = None) -> IdentitySnapshot | None:
        """The newest snapshot (of another region than ``not_from``), whichever machine took it. Raises StateUnreadable: damaged."""
        own = self._own.identities(runbook, component, not_from)
        for _ in range(_TRIES):  # another machine may be writing a newer one
            heads = [(key.split(" "), row) for key, row in self._rows(_identities(runbook))]
            there = [(_taken(row), region, row) for (whose, region), row in heads if whose == component and region != not_from]
            taken, region, head = max(there, key=lambda item: item[0], default=(None, "", {}))
            if taken is None or (own is not None and own.taken_at >= taken):
                return own
            found = self._whole(runbook, component, region, head)
            if found is not None:
                return found
            self._read.pop(_identities(runbook), None)
        raise self._damaged(f"who {component} is")

    def history(self, runbook: str, since: datetime) -> Sequence[LagSample]:
        """This machine's own."""
        return self._own.history(runbook, since)

    def stretches(self, runbook: str, since: datetime, until: datetime) -> Iterator[Stretch]:
        """This machine's own."""
        return self._own.stretches(runbook, since, until)

    def runbooks(self) -> Sequence[str]:
        """This machine's own."""
        return self._own.runbooks()

    def close(self) -> None:
        """Writes what is left, and waits for it; safe to call twice."""
        for runbook in sorted(self._unwritten):
            self._later("what was watched last", partial(self._write_newest, runbook))
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.shutdown(wait=True)
        self._own.close()

    def _elsewhere(self, runbook: str) -> Iterator[tuple[list[LagSample], list[Beat]]]:
        for machine, row in self._rows(_watch(runbook)):
            try:
                said = json.loads(_unpacked(row))
                yield [LagSample.model_validate(item) for item in said["samples"]], [Beat.model_validate(item) for item in said["beats"]]
            except (zlib.error, ValueError, KeyError, TypeError):  # ValidationError is a ValueError
                raise self._damaged(f"what {machine} watched") from None

    def _rows(self, group: str) -> Sequence[tuple[str, Fields]]:
        """As they were a moment ago: views ask often. Where the table does not answer, this machine's own is what there is."""
        now, known = self._clock.monotonic(), self._read.get(group)
        if known is not None and now - known[0] < _FRESH:
            return known[1]
        try:
            rows = self._table.rows(group)
        except StateUnreadable as error:
            with self._lock:
                self._troubles.append(f"what other machines saw is not known: {error.message}")
            rows = ()
        self._read[group] = now, rows
        return rows

    def _whole(self, runbook: str, component: str, region: str, head: Fields) -> IdentitySnapshot | None:
        """None: it was written anew while it was read."""
        rows = self._table.rows(_body(runbook, component, region))[: int(head["parts"])]
        if len(rows) < int(head["parts"]) or any(row["taken_at"] != head["taken_at"] for _, row in rows):
            return None
        try:
            body = zlib.decompress(b"".join(row["body"] for _, row in rows if isinstance(row["body"], bytes)))
            return IdentitySnapshot.model_validate_json(body)
        except (zlib.error, ValidationError):
            raise self._damaged(f"who {component} is in {region}") from None

    def _damaged(self, what: str) -> StateUnreadable:
        hint = "use the same version of dr everywhere, or delete the row: the next dr monitor writes it anew"
        return StateUnreadable(f"{self._table.where}: {what} cannot be read", hint=hint)


def _watch(runbook: str) -> str:
    return f"watch {runbook}"


def _identities(runbook: str) -> str:
    return f"identities {runbook}"


def _body(runbook: str, component: str, region: str) -> str:
    return f"identities {runbook} {component} {region}"


def _taken(row: Fields) -> datetime:
    return datetime.fromisoformat(str(row["taken_at"]))


def _packed(samples: Sequence[LagSample], beats: Sequence[Beat]) -> bytes:
    said = {"samples": [item.model_dump(mode="json") for item in samples], "beats": [item.model_dump(mode="json") for item in beats]}
    return zlib.compress(json.dumps(said).encode())


def _unpacked(row: Fields) -> bytes:
    body = row["body"]
    return zlib.decompress(body if isinstance(body, bytes) else b"")


def _parts(runbook: str, component: str, region: str, snapshot: IdentitySnapshot) -> Sequence[Write]:
    """All rows of a snapshot, to be written at once. Raises StateLost: more than one write takes."""
    packed = zlib.compress(snapshot.model_dump_json().encode())
    parts = [packed[first : first + MOST_BYTES] for first in range(0, len(packed), MOST_BYTES)]
    if len(parts) > _MOST_PARTS:
        raise StateLost(f"it takes {len(packed)} bytes, and {_MOST_PARTS * MOST_BYTES} are the most")
    taken = snapshot.taken_at.isoformat()
    head = Write(_identities(runbook), f"{component} {region}", {"taken_at": taken, "parts": len(parts)}, {})
    group = _body(runbook, component, region)
    return [head, *(Write(group, f"{number:03d}", {"body": part, "taken_at": taken}, {}) for number, part in enumerate(parts))]
