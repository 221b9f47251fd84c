"""The component's bucket in both regions: markers, heartbeats, comparing and copying. What several steps share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from dr.errors import Permanent, StepError
from dr.ports import AttemptContext, Clock, Look, Seen
from dr.providers.one_way import OneWay
from dr.providers.selfhosted.s3 import control
from dr.providers.selfhosted.s3.config import S3Config
from dr.providers.selfhosted.s3.control import Keys, Marker
from dr.providers.selfhosted.s3.listing import list_all
from dr.providers.selfhosted.s3.objects import Difference, Item, compare, same
from dr.providers.selfhosted.s3.wire import NotServed, Store, Taken, Unsupported

KIND = "s3-bucket"
NEWEST_COPY = "newest-copy"
T = TypeVar("T")

_COPIES_AT_ONCE = 8
_LOOKED_AGAIN = 100
_YOUNG = timedelta(seconds=60)
"""What was changed so recently may have been on its way while one side was listed and the other one not yet: it is looked at again."""


@dataclass(frozen=True)
class Buckets:
    """The component in both regions."""

    component: str
    config: S3Config
    stores: Mapping[str, Store]
    clock: Clock
    artefacts: Path

    @property
    def keys(self) -> Keys:
        """The names of our own objects."""
        return Keys(self.config.control_prefix)

    def both(self, ask: Callable[[str], T], seconds: float) -> dict[str, T | StepError]:
        """The same of both regions at once, or why there is no answer; a silent region costs ``seconds`` and no more. Never raises."""
        pool = ThreadPoolExecutor(len(self.stores), thread_name_prefix="s3-both")
        try:
            asked = {region: pool.submit(ask, region) for region in self.stores}
            until, found = self.clock.monotonic() + seconds, dict[str, T | StepError]()
            for region, future in asked.items():
                try:
                    found[region] = future.result(timeout=max(0.0, until - self.clock.monotonic()))
                except StepError as error:
                    found[region] = error
                except FutureTimeout:
                    found[region] = NotServed(f"{self.component} in {region}: no answer within {seconds:g} s", refused=False, late=True)
            return found
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def markers(self, region: str, limit: timedelta | None = None) -> tuple[Marker, ...]:
        """Every marker that a region holds."""
        found: list[Marker] = []
        after: str | None = None
        while True:
            page = self.stores[region].page(self.keys.markers, after=after, limit=limit)
            found += (marker for item in page.items if (marker := control.read_marker(item)) is not None)
            if page.after is None:
                return tuple(found)
            after = page.after

    def newest(self, region: str, limit: timedelta | None = None) -> Marker | None:
        """Who is primary as a region knows it; None where it does not know. Raises Permanent where two regions have one epoch."""
        found = self.markers(region, limit)
        marker = control.newest(found)
        if marker is None and found:
            epoch = max(item.epoch for item in found)
            raise Permanent(
                f"{self.component} in {region}: two regions are primary as of epoch {epoch}",
                hint=f"delete the wrong one of {self.keys.marker(epoch, 'REGION')}",
            )
        return marker

    def mark(self, region: str, marker: Marker, run_id: str) -> None:
        """Leaves a marker in a region, once; one that is there is left as it is."""
        key = self.keys.marker(marker.epoch, marker.region)
        body = control.marker_body(self.component, marker.epoch, marker.region, marker.at, run_id)
        store = self.stores[region]
        try:
            store.put(key, body, new=True)
        except Taken:
            return
        except Unsupported:  # its name says everything: putting it again changes nothing
            store.put(key, body)

    def beat(self, region: str, at: datetime, limit: timedelta | None = None) -> None:
        """One heartbeat of a region into its own store."""
        self.stores[region].put(self.keys.heartbeat(region), control.heartbeat_body(self.component, region, at), limit=limit)

    def heartbeat(self, region: str, of: str, limit: timedelta | None = None) -> datetime | None:
        """When the newest heartbeat of ``of`` was sent that ``region`` holds; None where it holds none."""
        found = self.stores[region].get(self.keys.heartbeat(of), limit)
        return control.read_heartbeat(found.content) if found is not None else None

    def arrived(self, context: AttemptContext, since: datetime, source: str, target: str) -> bool:
        """Whether the target holds a heartbeat of the source that was sent at ``since`` or later."""
        found = self.heartbeat(target, source)
        context.say(f"waiting for the heartbeat of {source} to arrive in {target}")
        return found is not None and found >= since

    def difference(self, context: AttemptContext, source: str, target: str) -> Difference:
        """Everything of both sides compared, from listings; what is young is looked at a second time on both sides.

        Raises:
            StepError: as ``Store``; Transient where the deadline passed or the run was cancelled.
        """
        began = self.clock.now()

        def over() -> bool:
            return context.cancelled() or self.clock.monotonic() >= context.deadline

        with ThreadPoolExecutor(2, thread_name_prefix="s3-compare") as pool:
            ours, theirs = (pool.submit(list_all, self.stores[region], give_up=over) for region in (source, target))
            found = compare(ours.result(), theirs.result(), self.config.control_prefix)
        return self._looked_again(found, began - _YOUNG, source, target)

    def _looked_again(self, found: Difference, young_from: datetime, source: str, target: str) -> Difference:
        """Without what was only on its way."""
        doubtful = [item for item in (*found.only_source, *found.only_target, *(pair[0] for pair in found.differing))
                    if item.modified >= young_from]  # fmt: skip
        doubtful += [theirs for _, theirs in found.differing if theirs.modified >= young_from]
        keys = sorted({item.key for item in doubtful})
        if len(keys) > _LOOKED_AGAIN:
            return found  # so many are no accident, and who acts on them looks at each of them anyway
        now_equal = {key for key, equal in zip(keys, self.each(keys, lambda key: self._equal(key, source, target)), strict=True) if equal}
        return Difference(
            checked=found.checked,
            only_source=tuple(item for item in found.only_source if item.key not in now_equal),
            only_target=tuple(item for item in found.only_target if item.key not in now_equal),
            differing=tuple(pair for pair in found.differing if pair[0].key not in now_equal),
        )

    def _equal(self, key: str, source: str, target: str) -> bool:
        ours, theirs = self.stores[source].head(key), self.stores[target].head(key)
        return (ours is None and theirs is None) or (ours is not None and theirs is not None and same(ours, theirs))

    def unequal(self, keys: Iterable[str], source: str, target: str) -> list[str]:
        """Those of some keys that are not equal on both sides now."""
        keys = sorted(keys)
        return [key for key, equal in zip(keys, self.each(keys, lambda key: self._equal(key, source, target)), strict=True) if not equal]

    def copy(self, item: Item, replaces: Item | None, source: str, target: str) -> bool:
        """Brings one object over, only in the place of what was seen there: nothing newer is ever overwritten.

        Returns:
            Whether it did; False: it is gone, or the other side is not as it was seen any more. Look again.
        """
        body = self.stores[source].get(item.key)
        if body is None:
            return False
        store = self.stores[target]
        try:
            store.put(item.key, body.content, body.headers, new=replaces is None, instead_of=replaces.etag if replaces else None)
        except Taken:
            return False
        except Unsupported:
            there = store.head(item.key)
            if (there is None) != (replaces is None) or (there is not None and replaces is not None and there.etag != replaces.etag):
                return False
            store.put(item.key, body.content, body.headers)
        return True

    def each(self, items: Sequence[T], do: Callable[[T], bool]) -> list[bool]:
        """The same for many, several at once; the first error is raised after the others have come to an end."""
        with ThreadPoolExecutor(_COPIES_AT_ONCE, thread_name_prefix="s3-each") as pool:
            return list(pool.map(do, items))


class BucketStep(OneWay):
    """Base of the steps."""

    def __init__(self, buckets: Buckets, source: str, target: str) -> None:
        self.buckets, self.source, self.target = buckets, source, target

    def leads(self, region: str) -> Marker:
        """The newest marker of a region's store.

        Raises:
            Permanent: it has none.
        """
        marker = self.buckets.newest(region)
        if marker is None:
            raise Permanent(f"{self.buckets.component} in {region}: nothing says who is primary", hint="dr runbook check names the command")
        return marker

    def led_by(self) -> Marker:
        """The newest marker of both sides; the source may have none yet.

        Raises:
            Permanent: both sides have one of the same epoch, and they differ.
        """
        theirs, ours = self.leads(self.target), self.buckets.newest(self.source)
        marker = control.newest([theirs, ours] if ours is not None else [theirs])
        if marker is None:
            raise Permanent(
                f"{NEWEST_COPY}: {self.source} and {self.target} both became primary as of epoch {theirs.epoch}",
                hint=f"delete the wrong one of {self.buckets.keys.marker(theirs.epoch, 'REGION')}",
            )
        return marker

    def old_primary_leads(self) -> Seen | None:
        """BLOCKED where the target is not the newest copy; None where all is well."""
        marker = self.led_by()
        if marker.region == self.target:
            return None
        return Seen(Look.BLOCKED, f"{NEWEST_COPY}: {marker.region} is primary as of epoch {marker.epoch}, not {self.target}")
