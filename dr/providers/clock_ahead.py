"""How far a primary's clock is ahead, remembered for the day on which nobody can ask it any more."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import NamedTuple, TypedDict

from dr.errors import DrError
from dr.ports import Site

_BELIEVED_SECONDS = 300.0
"""So long the look that took the shortest time counts; clocks drift apart slowly, and answers are slow right before something dies."""


class Told(TypedDict):
    """Fields of a lag sample."""

    clock_ahead: timedelta | None
    clock_of: str


class _Seen(NamedTuple):
    ahead: timedelta
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
        if best is None or within <= best.within or now - best.at > _BELIEVED_SECONDS:
            self._seen[primary] = _Seen(max(ahead, timedelta(0)), within, now)

    def of(self, primary: str) -> timedelta | None:
        """As this process saw it; else as the newest sample that somebody kept has it of this region. None: nobody knows."""
        seen = self._seen.get(primary)
        if seen is not None:
            return seen.ahead
        kept = self._kept()
        return kept["clock_ahead"] if kept["clock_of"] == primary else None

    def told(self, primary: str | None) -> Told:
        """What a sample says of it, also one that says nothing else; where no primary is known, of the one that was seen last."""
        if primary is None:
            primary = max(self._seen, key=lambda region: self._seen[region].at, default=None)
        if primary is None:
            return self._kept()
        ahead = self.of(primary)
        return {"clock_ahead": ahead, "clock_of": "" if ahead is None else primary}

    def _kept(self) -> Told:
        with contextlib.suppress(DrError):  # where the samples cannot be read, others say so
            sample = self._site.samples.latest(self._site.runbook).get(self._component)
            if sample is not None:
                return {"clock_ahead": sample.clock_ahead, "clock_of": sample.clock_of}
        return {"clock_ahead": None, "clock_of": ""}
