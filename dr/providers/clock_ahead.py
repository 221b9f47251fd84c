"""How far a primary's clock is ahead, remembered for the day on which nobody can ask it any more."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from dr.errors import DrError
from dr.ports import Site


class ClockAhead:
    """Of one component. The primary's clock stamps commits: a recovery point that is read in the secondary looks newer by so much."""

    def __init__(self, site: Site, component: str) -> None:
        self._site, self._component = site, component
        self._seen: dict[str, timedelta] = {}

    def saw(self, primary: str, ahead: timedelta) -> timedelta:
        """Both clocks were asked just now; what is negative hides nothing and counts as zero. Returns what is remembered."""
        self._seen[primary] = max(ahead, timedelta(0))
        return self._seen[primary]

    def of(self, primary: str) -> timedelta | None:
        """When this process asked both last; else as the newest sample that somebody kept has it. None: nobody knows."""
        if primary in self._seen:
            return self._seen[primary]
        with contextlib.suppress(DrError):  # where the samples cannot be read, others say so
            sample = self._site.samples.latest(self._site.runbook).get(self._component)
            return None if sample is None else sample.clock_ahead
        return None
