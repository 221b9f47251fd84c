"""The kind ``s3-bucket``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import ClassVar

from dr.errors import StepError, UsageError
from dr.model.by_hand import Question
from dr.model.lag import Beat, ComponentView, LagSample
from dr.model.runbook import KindConfig
from dr.model.words import Intent
from dr.ports import Site, Step
from dr.providers.regions import same_regions
from dr.providers.selfhosted.s3 import view
from dr.providers.selfhosted.s3.buckets import KIND, Buckets
from dr.providers.selfhosted.s3.by_hand import ByHand
from dr.providers.selfhosted.s3.chains import Chains
from dr.providers.selfhosted.s3.config import S3Config
from dr.providers.selfhosted.s3.lag import Copy, Probe, decide, newest_marker
from dr.providers.selfhosted.s3.view import Look, Rights
from dr.providers.selfhosted.s3.wire import Denied, Store, Taken, Unsupported

_VIEW_SECONDS = 1.8
_BELIEVED = timedelta(seconds=30)


class S3Bucket:
    """One bucket in each of two regions on any S3-compatible store, replicated in both directions by the stores themselves.

    Protects every object of the bucket. Needs: a key pair that may read, list, write and delete in both regions; a replication that both
    sides' writes go through (SeaweedFS ``filer.sync``, MinIO site replication, AWS two-way rules); clocks of both stores within a second.

    Who is primary stands in the buckets (see ``control``); the first marker is put by a person, a finding names the command. Limits: an
    object that was deleted on the new side after a failover is brought back by re-protect from the old one; old versions of a versioned
    bucket are not compared; objects are copied through memory.
    """

    kind: ClassVar[str] = KIND
    Config: ClassVar[type[KindConfig]] = S3Config

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, S3Config), "the registry gives each kind its own Config"
        same_regions(name, config.regions, site)
        one, other = ((settings.endpoint_url, settings.bucket) for settings in config.regions.values())
        if one == other:
            raise UsageError(f"{name}: regions: both are the bucket {one[1]} of {one[0]}", hint="each needs its own")
        self.name, self.config, self.needs = name, config, tuple(needs)
        self._site = site
        stores = {
            region: Store(name, region, settings, site.secrets, site.clock, site.base, config.answer_timeout)
            for region, settings in config.regions.items()
        }
        self._buckets = Buckets(name, config, stores, site.clock, site.artefacts)
        self._probe = Probe(self._buckets)
        self._by_hand = ByHand(name, config, site.base)
        self._chains = Chains(self._buckets, self._by_hand)

    def view(self) -> ComponentView:
        """Both regions now, at once. Bounded, never raises. Leaves one empty object in each bucket: putting it again is refused harmlessly
        where a write would be taken, and otherwise says why it would not."""
        with ThreadPoolExecutor(1, thread_name_prefix="s3-view") as pool:
            beside = pool.submit(self._buckets.both, self._rights, _VIEW_SECONDS)
            copies = self._buckets.both(self._probe.copy, _VIEW_SECONDS)
            rights = beside.result()
        looks = {region: _look(copy, rights[region]) for region, copy in copies.items()}
        marker = newest_marker(copies)
        now = self._site.clock.now()
        if marker is None:
            lag = decide(self.name, now, "", Copy({}, None), Copy({}, None), None)
            lag = lag.model_copy(update={"reason": "; ".join(look.message for look in looks.values() if isinstance(look, StepError)) or
                                         "nothing says who is primary"})  # fmt: skip
        else:
            primary = marker.region
            lag = decide(self.name, now, primary, copies[self.config.other(primary)], copies[primary], None)
            lag = self._with_known_missing(lag, marker.at)
        first = self._by_hand.mark(next(iter(self.config.regions))).do
        return view.judge(self.name, now, self.config, looks, lag, f"for the one that takes the writes: {first}")

    def beat(self, region: str) -> Beat | None:
        """One heartbeat object in the region's bucket."""
        return self._probe.beat(region)

    def sample(self, primary: str | None) -> LagSample:
        """Lag and recovery point, read in the region that is not ``primary``, and what is known not to have arrived there."""
        return self._probe.sample(primary)

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain for an intent. ``reprotect``: ``target`` is primary now, ``source`` the old primary."""
        return self._chains.steps(intent, source, target)

    def question(self, region: str) -> Question:
        """How a person asks a region's bucket who is primary."""
        return self._by_hand.question(region)

    def warm(self, target: str) -> None:
        """Opens a connection to the target."""
        with contextlib.suppress(StepError):
            self._buckets.stores[target].warm()

    def close(self) -> None:
        """Closes connections; safe to call twice."""
        self._probe.close()
        for store in self._buckets.stores.values():
            store.close()

    def _rights(self, region: str) -> Rights:
        """What is only for findings: a slow answer to it makes no region unreachable."""
        store, limit = self._buckets.stores[region], self.config.source_timeout
        versioning, refused = store.versioning(limit), ""  # first: some stores make a bucket for a write into none
        try:
            store.put(f"{self._buckets.keys.check(region)}-may-write", b"", new=True, limit=limit)
        except Denied as error:
            refused = error.message
        except (Taken, Unsupported):
            pass  # it is there: a write would have been taken; or only a real one can tell
        return Rights(versioning, refused)

    def _with_known_missing(self, sample: LagSample, since: datetime) -> LagSample:
        """With what the monitor counted a moment ago; the recovery point is no younger than the oldest object that has not arrived.

        Args:
            since: when the primary became it: what was counted before that was about the other way.
        """
        known = self._site.samples.latest(self._site.runbook).get(self.name)
        if known is None or sample.recovery_point is None or known.at < since or sample.at - known.at > _BELIEVED:
            return sample
        counted = sample.model_copy(
            update={"behind_items": known.behind_items, "behind_bytes": known.behind_bytes, "failed_items": known.failed_items,
                    "failed_named": known.failed_named}
        )  # fmt: skip
        missing = bool(known.behind_items or known.failed_items)
        if not missing or known.recovery_point is None or known.recovery_point >= sample.recovery_point:
            return counted
        return counted.model_copy(
            update={"recovery_point": known.recovery_point, "lag": sample.at - known.recovery_point, "reason": known.reason}
        )


def _look(copy: Copy | StepError, rights: Rights | StepError) -> Look | StepError:
    if isinstance(copy, StepError):
        return copy
    return Look(copy, None if isinstance(rights, StepError) else rights)
