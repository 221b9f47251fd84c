"""Replication lag and recovery point of a bucket. The decision is pure; the probe reads and writes.

The recovery point is the time inside the newest heartbeat of the primary that the secondary holds. A replication need not keep the order of
writes, so what is known to be missing there counts, too: the recovery point is never younger than the oldest object that has not arrived.
Which objects those are is found in the background by comparing listings, as often as a tenth of the time allows. An S3-compatible store
need not say what became of an object's replication, so what failed is found the same way: it is missing although a heartbeat has arrived
that was sent well after it was written (``failed_after``).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.errors import StepError
from dr.model.lag import Beat, LagSample
from dr.model.words import Known
from dr.providers.selfhosted.s3 import control, inventory
from dr.providers.selfhosted.s3.buckets import Buckets
from dr.providers.selfhosted.s3.control import Marker
from dr.providers.selfhosted.s3.inventory import Inventory
from dr.providers.selfhosted.s3.listing import list_all
from dr.providers.selfhosted.s3.objects import Item, compare, oldest, overtaken

_BEAT_LIMIT = timedelta(seconds=1)
_ASK_SECONDS = 1.5
_SHARE = 4
"""Comparing rests for so many times as long as it took."""
_REST_SECONDS = 1.0
_LOOKED_AGAIN = 100
_NAMED = 3
_ON_ITS_WAY_SECONDS = 0.3
_LISTING_SECONDS = 60.0


@dataclass(frozen=True)
class Pending:
    """What the secondary did not have when both sides were compared: objects of ``primary`` that are missing or other there.

    objects, size: of those on their way. failed: how many never came although later ones did; failed_named: the first of them.
    oldest: when the oldest of all of these was written.
    """

    primary: str
    at: datetime
    objects: int
    size: int
    oldest: datetime | None
    failed: int = 0
    failed_named: tuple[str, ...] = ()


@dataclass(frozen=True)
class Copy:
    """What one region's store says: the newest heartbeat of each region that it holds, its newest marker, and how far this machine's clock
    is behind its own (None: it does not say)."""

    heartbeats: Mapping[str, datetime]
    marker: Marker | None
    clock_behind: timedelta | None = None


def decide(
    component: str, now: datetime, primary: str, secondary: Copy | StepError, source: Copy | StepError, pending: Pending | None
) -> LagSample:
    """One sample out of what was read. What cannot be read is unknown, never zero (I6)."""
    if isinstance(secondary, StepError):
        return LagSample(component=component, at=now, state=Known.UNKNOWN, reason=secondary.message)
    beat, slow = secondary.heartbeats.get(primary), secondary.clock_behind
    marker = secondary.marker
    # before the first heartbeat: the marker came the same way
    point = beat or (marker.at if marker is not None and marker.region == primary else None)
    if point is None:
        reason = f"no heartbeat of {primary} has arrived yet: is dr monitor running, and the replication?"
        return LagSample(component=component, at=now, state=Known.UNKNOWN, reason=reason)
    said = []
    counts = pending is not None and pending.primary == primary
    if counts and pending is not None and pending.oldest is not None:
        said += [f"{pending.objects} objects of {primary} have not arrived"] if pending.objects else []
        said += [f"{pending.failed} objects of {primary} failed to arrive"] if pending.failed else []
        point = min(point, pending.oldest)
    if isinstance(source, StepError):
        said.append(source.message)
    elif beat is None:
        said.append("no heartbeats were written yet: start dr monitor")
    return LagSample(
        component=component, at=now, state=Known.BOUND if isinstance(source, StepError) or beat is None else Known.KNOWN,
        lag=max(now + (slow or timedelta(0)) - point, timedelta(0)), clock_behind=slow, recovery_point=point, reason="; ".join(said),
        behind_items=pending.objects if counts and pending is not None else None,
        behind_bytes=pending.size if counts and pending is not None else None,
        failed_items=pending.failed if counts and pending is not None else None,
        failed_named=pending.failed_named if counts and pending is not None else (),
    )  # fmt: skip


class Probe:
    """What the monitor asks. Every method is bounded and never raises."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._pool: ThreadPoolExecutor | None = None
        self._comparing: Future[Pending | None] | None = None
        self._pending: Pending | None = None
        self._due = 0.0
        self._closed = False
        self._lock = threading.Lock()

    def beat(self, region: str) -> Beat:
        """One heartbeat in a region. ``sent_at`` is what is stored."""
        name, at = self._buckets.component, self._buckets.clock.now()
        try:
            self._buckets.beat(region, at, _BEAT_LIMIT)
        except StepError as error:
            return Beat(component=name, region=region, sent_at=at, acknowledged_at=None, reason=error.message)
        return Beat(component=name, region=region, sent_at=at, acknowledged_at=self._buckets.clock.now())

    def sample(self, primary: str | None) -> LagSample:
        """One measurement; compares both sides in the background where that is due. ``None``: the newest marker says who is primary."""
        copies = self._buckets.both(self.copy, _ASK_SECONDS)
        primary = primary or leading(copies)
        now, name = self._buckets.clock.now(), self._buckets.component
        if primary is None:
            reasons = "; ".join(copy.message for copy in copies.values() if isinstance(copy, StepError))
            return LagSample(component=name, at=now, state=Known.UNKNOWN, reason=reasons or "nothing says who is primary")
        secondary = self._buckets.config.other(primary)
        if not any(isinstance(copy, StepError) for copy in copies.values()):
            self._compare(primary, secondary)
        return decide(name, now, primary, copies[secondary], copies[primary], self._pending)

    def copy(self, region: str) -> Copy:
        """What a region's store says. Raises StepError."""
        limit = self._buckets.config.source_timeout
        # at once: on a busy machine three questions one after the other take longer than a view may
        with ThreadPoolExecutor(3, thread_name_prefix="s3-copy") as pool:
            asked = {of: pool.submit(self._buckets.heartbeat, region, of, limit) for of in self._buckets.stores}
            marker = control.newest(pool.submit(self._buckets.markers, region, limit).result())
            beats = {of: beat.result() for of, beat in asked.items()}
        found = {of: at for of, at in beats.items() if at is not None}
        return Copy(found, marker, self._buckets.stores[region].clock_behind)

    def close(self) -> None:
        """Ends comparing."""
        with self._lock:
            self._closed, pool = True, self._pool
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def _compare(self, primary: str, secondary: str) -> None:
        """Takes the result of a comparison that has ended, and begins the next one where it is due."""
        now = self._buckets.clock.monotonic()
        with self._lock:
            if self._comparing is not None and self._comparing.done():
                self._pending, self._comparing = self._comparing.result(), None
            if self._comparing is None and now >= self._due and not self._closed and self._buckets.config.inventory_objects:
                self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="s3-pending")
                self._comparing = self._pool.submit(self._look, primary, secondary)

    def _look(self, primary: str, secondary: str) -> Pending | None:
        """What the secondary lacks now, and the primary's inventory kept. None where it could not be found out."""
        clock, began = self._buckets.clock, self._buckets.clock.monotonic()
        most = self._buckets.config.inventory_objects

        def over() -> bool:
            return self._closed or clock.monotonic() - began > _LISTING_SECONDS

        try:
            at = clock.now()
            # before the secondary is listed: what arrives meanwhile is in the listing
            arrived = self._buckets.heartbeat(secondary, primary)
            # the primary first: what is written meanwhile is then at most in the secondary's listing, never missing there
            ours = list_all(self._buckets.stores[primary], most=most, give_up=over)
            theirs = list_all(self._buckets.stores[secondary], most=most, give_up=over)
            self._keep(primary, at, ours)
        except (StepError, OSError):
            return None  # the sample says that the number is not known; the next comparison may
        finally:
            took = clock.monotonic() - began
            self._due = clock.monotonic() + max(_REST_SECONDS, _SHARE * took)
        found = compare(ours, theirs, self._buckets.config.control_prefix)
        # a younger version in the secondary is one of an object that was written again since the primary was listed
        behind = [*found.only_source, *(source for source, target in found.differing if target.modified <= source.modified)]
        behind = self._not_arrived(behind, primary, secondary)
        failed = overtaken(behind, arrived, self._buckets.config.failed_after)
        given_up = {item.key for item in failed}
        pending = [item for item in behind if item.key not in given_up]
        return Pending(
            primary, at, len(pending), sum(item.size for item in pending), oldest(behind), len(failed),
            tuple(item.key for item in failed[:_NAMED]),
        )  # fmt: skip

    def _not_arrived(self, behind: list[Item], primary: str, secondary: str) -> list[Item]:
        """Those that were not just on their way. Many are no accident: they are not looked at one by one."""
        if not 0 < len(behind) <= _LOOKED_AGAIN:
            return behind
        self._buckets.clock.sleep(_ON_ITS_WAY_SECONDS)
        try:
            late = set(self._buckets.unequal((item.key for item in behind), primary, secondary))
        except StepError:
            return behind
        return [item for item in behind if item.key in late]

    def _keep(self, region: str, at: datetime, objects: Mapping[str, Item]) -> None:
        prefix = self._buckets.config.control_prefix
        items = tuple(objects[key] for key in sorted(objects) if not key.startswith(prefix))
        inventory.keep(inventory.place(self._buckets.artefacts, self._buckets.component), Inventory(region, at, items))


def leading(copies: Mapping[str, Copy | StepError]) -> str | None:
    """The region of the newest marker of all regions that answer."""
    marker = newest_marker(copies)
    return marker.region if marker is not None else None


def newest_marker(copies: Mapping[str, Copy | StepError]) -> Marker | None:
    """The newest marker of all regions that answer."""
    return control.newest([copy.marker for copy in copies.values() if isinstance(copy, Copy) and copy.marker is not None])
