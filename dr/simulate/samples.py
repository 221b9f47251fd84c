"""The monitor's memory of a simulated process, on the ``Disk`` that it shares with the others.

No simulated world lasts for a day, so here nothing grows old: nothing is summed up by the minute, and no sample or heartbeat is dropped.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from dr.model.identity import IdentitySnapshot
from dr.model.lag import STALE_AFTER, Beat, LagSample, Stretch
from dr.providers.sim.process import Process
from dr.simulate.disk import Disk, Watched
from dr.store import database
from dr.store.history import stretches
from dr.store.samples import SCHEMA, SNAPSHOTS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class MemorySamples:
    """``dr.ports.SampleStore`` of one process. Raises StateLost where it cannot be written."""

    def __init__(self, disk: Disk, process: Process) -> None:
        self.path = disk.samples
        self._disk, self._process = disk, process

    def add(self, runbook: str, samples: Iterable[LagSample], beats: Iterable[Beat] = ()) -> None:
        """Stores one round, all or nothing."""
        self._process.check()
        rows, pulses = list(samples), list(beats)
        if not rows and not pulses:
            return
        self._change()
        watched = self._disk.watched.setdefault(runbook, Watched())
        for sample in rows:
            watched.samples.add(sample)
            known = watched.latest.get(sample.component)
            if known is None or known.at <= sample.at:
                watched.latest[sample.component] = sample
        for beat in pulses:
            watched.beats.add(beat)

    def latest(self, runbook: str) -> Mapping[str, LagSample]:
        """The newest sample of each component, whatever its age."""
        return dict(sorted(self._watched(runbook).latest.items()))

    def history(self, runbook: str, since: datetime) -> Sequence[LagSample]:
        """All samples since then, oldest first."""
        return self._watched(runbook).samples.since(since)

    def stretches(self, runbook: str, since: datetime, until: datetime) -> Iterator[Stretch]:
        """What the samples from ``since`` to before ``until`` speak for, in no order. The first one may begin a little before ``since``."""
        found = self._watched(runbook).samples.since(since - STALE_AFTER)
        yield from stretches((sample.component, _micros(sample.at), sample.model_dump_json()) for sample in found if sample.at < until)

    def runbooks(self) -> Sequence[str]:
        """All runbooks that there are samples of."""
        self._process.check()
        return sorted(runbook for runbook, watched in self._disk.watched.items() if watched.latest)

    def beats(self, runbook: str, since: datetime) -> Sequence[Beat]:
        """All heartbeats sent since then, oldest first."""
        return self._watched(runbook).beats.since(since)

    def keep_identities(self, runbook: str, component: str, snapshot: IdentitySnapshot) -> None:
        """Stores a snapshot; one that equals the newest of its region takes its place, so that only changes add up."""
        self._process.check()
        self._change()
        kept, region = self._disk.snapshots_of(runbook, component), snapshot.region
        newest = next((item for item in kept.newest_first() if item.region == region), None)
        if newest is not None and _alike(newest, snapshot):
            kept.remove(newest)
        kept.add(snapshot)
        for older in [item for item in kept.newest_first() if item.region == region][SNAPSHOTS:]:
            kept.remove(older)

    def identities(self, runbook: str, component: str, not_from: str | None = None) -> IdentitySnapshot | None:
        """The newest snapshot (taken in another region than ``not_from``, when given)."""
        self._process.check()
        return next((item for item in self._disk.snapshots_of(runbook, component).newest_first() if item.region != not_from), None)

    def troubles(self) -> Sequence[str]:
        """Nothing: it is this machine's own."""
        self._process.check()
        return ()

    def close(self) -> None:
        """Nothing is kept that would have to be let go."""
        self._process.check()

    def _watched(self, runbook: str) -> Watched:
        self._process.check()
        return self._disk.watched.get(runbook) or Watched()

    def _change(self) -> None:
        try:
            self._disk.begin()
            self._disk.write()
        except sqlite3.Error as error:
            raise database.lost(self.path, SCHEMA, error) from error


def _alike(one: IdentitySnapshot, other: IdentitySnapshot) -> bool:
    """They have one digest. Those of the same things need not be dumped and hashed for that: it takes a millisecond."""
    return (one.deployments, one.items) == (other.deployments, other.items) or one.sha256 == other.sha256


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
