"""What is known right before a decision: who is primary, what would be lost, since when writes fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.app.platform import Platform, primary_of
from dr.model.lag import ComponentView, Exposure
from dr.model.words import Known, Role
from dr.monitor import exposure as lag

_LOOK_BACK = timedelta(hours=6)


@dataclass(frozen=True)
class Outlook:
    """One look at everything.

    outage_began: the last acknowledged heartbeat before the failures that still go on; None while writes are accepted or
        where nobody watched. detected: the first failure. last_beat: the newest heartbeat that every component acknowledged, whether
        or not one has failed since; None where nobody watches now. late_beat: the heartbeat that dates the outage, or would, was followed
        by nothing for longer than usual: it is a bound.
    """

    at: datetime
    views: tuple[ComponentView, ...]
    exposures: Mapping[str, Exposure]
    outage_began: datetime | None
    detected: datetime | None
    last_beat: datetime | None = None
    late_beat: bool = False

    @property
    def primary(self) -> str | None:
        """The region that is primary of every component that has one."""
        return primary_of(self.views)

    @property
    def late(self) -> bool:
        """Something did not answer within the time of one look, or could not say what it is: it is lost, or only slow, as on a machine
        that is short of everything. So is what is not being replicated to just now: a receiver comes back by itself."""
        if any(item.follows is False for item in self.exposures.values()):
            return True
        return any(seen.late or seen.role is Role.UNKNOWN for view in self.views for seen in view.regions.values())


def look(platform: Platform) -> Outlook:
    """Asks all components at once, and the monitor's samples for what happened before."""
    views = platform.views()
    now = platform.site.clock.now()
    beats = platform.site.samples.beats(platform.runbook.name, now - _LOOK_BACK)
    began, detected = lag.outage(beats, watched_until=now - lag.STALE_AFTER)
    last = lag.last_beat(beats, watched_until=now - lag.STALE_AFTER)
    dating = began or last
    late = dating is not None and lag.late(beats, dating, now)
    return Outlook(now, views, exposures(platform, views, now), began, detected, last, late)


def exposures(platform: Platform, views: Sequence[ComponentView], now: datetime) -> dict[str, Exposure]:
    """What would be lost of each component that replicates; from what its secondary says now, else from the newest sample.

    Nothing is proven yet, so an outage that somebody claims does not make it smaller (I6).
    """
    samples = platform.site.samples.latest(platform.runbook.name)
    result = {}
    for view in views:
        sample = view.lag if view.lag is not None and view.lag.state is not Known.UNKNOWN else samples.get(view.component, view.lag)
        if view.lag is None and sample is None:
            continue  # a kind without data of its own
        found = lag.exposure(sample, now, component=view.component)
        result[view.component] = found.model_copy(update={"follows": sample.follows}) if sample is not None else found
    return result
