"""How far a primary's clock is ahead, remembered for the day on which nobody can ask it any more."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import NamedTuple, TypedDict

from dr.errors import DrError
from dr.model.evidence import RecoveryPoint
from dr.ports import Site

_BELIEVED_SECONDS = 300.0
"""So long the look that took the shortest time counts; clocks drift apart slowly, and answers are slow right before something dies."""
_TOLERATED = timedelta(seconds=1)
"""A stamp may lie that far ahead of what is known before its clock is not believed any more: one that was never compared is a bit off."""


class Told(TypedDict):
    """Fields of a lag sample. A region without a duration: its clock is known to be wrong, and nobody knows by how much."""

    clock_ahead: timedelta | None
    clock_of: str


class _Seen(NamedTuple):
    ahead: timedelta | None
    within: timedelta
    at: float


class ClockAhead:
    """Of one component. The primary's clock stamps commits: a recovery point that is read in the secondary looks newer by so much."""

    def __init__(self, site: Site, component: str) -> None:
        self._site, self._component = site, component
        self._seen: dict[str, _Seen] = {}

    def saw(self, primary: str, ahead: timedelta, within: timedelta = timedelta(0)) -> None:
        """Both clocks were asked just now.

        Args:
            ahead: at most so much; what is negative hides nothing and counts as zero.
            within: how long the looks took, which is in it.
        """
        now, best = self._site.clock.monotonic(), self._seen.get(primary)
        if best is None or best.ahead is None or within <= best.within or ahead - within > best.ahead or now - best.at > _BELIEVED_SECONDS:
            self._seen[primary] = _Seen(max(ahead, timedelta(0)), within, now)

    def stamped(self, primary: str, ahead: timedelta) -> None:
        """A stamp of the primary's clock lay that far ahead of what the secondary's own showed: where that is more than is known, its
        clock was set since both were asked, and no stamp tells anything until they are asked again."""
        told = self.told(primary)
        if not wrong(told) and ahead > (told["clock_ahead"] or timedelta(0)) + _TOLERATED:
            self._seen[primary] = _Seen(None, timedelta.max, self._site.clock.monotonic())

    def told(self, primary: str | None) -> Told:
        """What a sample says of it, also one that says nothing else: as this process saw it, else as the newest sample that somebody kept
        has it of this region. Where no primary is known, of the one that was seen last."""
        if primary is None:
            primary = max(self._seen, key=lambda region: self._seen[region].at, default=None)
        if primary is None:
            return self._kept()
        seen = self._seen.get(primary)
        if seen is not None:
            return {"clock_ahead": seen.ahead, "clock_of": primary}
        kept = self._kept()
        return kept if kept["clock_of"] == primary else {"clock_ahead": None, "clock_of": ""}

    def of(self, primary: str, before: RecoveryPoint | None, *, leads: bool) -> Told:
        """Of the clock that stamped what a target holds: as ``told``, or as it was when the recovery point was read before, in this run.

        Args:
            leads: the target does already: samples tell of its own clock since, or as it was long ago, and its stamps are not compared any
                more. What is worse counts.
        """
        told = self.told(primary)
        if before is None or (before.clock_ahead is None and not before.reason):
            return told
        then: Told = {"clock_ahead": before.clock_ahead, "clock_of": primary}
        if not told["clock_of"] or (leads and wrong(then)):
            return then
        if not leads or wrong(told) or wrong(then):
            return told
        return {"clock_ahead": max(told["clock_ahead"] or timedelta(0), before.clock_ahead or timedelta(0)), "clock_of": primary}

    def _kept(self) -> Told:
        with contextlib.suppress(DrError):  # where the samples cannot be read, others say so
            sample = self._site.samples.latest(self._site.runbook).get(self._component)
            if sample is not None:
                return {"clock_ahead": sample.clock_ahead, "clock_of": sample.clock_of}
        return {"clock_ahead": None, "clock_of": ""}


def wrong(told: Told) -> bool:
    """The clock that stamps is ahead, and nobody knows by how much: what it stamped may be older by any time."""
    return bool(told["clock_of"]) and told["clock_ahead"] is None


def why_wrong(told: Told) -> str:
    """What a person reads; empty where the clock is not known to be wrong."""
    if not wrong(told):
        return ""
    return f"the clock of {told['clock_of']}, which stamps the commits, went ahead when nobody could compare it: its stamps tell nothing"
