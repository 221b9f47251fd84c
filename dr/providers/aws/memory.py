"""What a region had when it was last seen, kept outside of it: where the monitor keeps who the Deployments are."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from dr.errors import DrError
from dr.model.identity import IdentitySnapshot
from dr.ports import Site

_AGAIN_SECONDS = 60.0
"""What has not changed is written again only so often: its age is told by the minute."""


class Memory:
    """Words by name, for each region of a component."""

    def __init__(self, site: Site, component: str) -> None:
        self._site, self._component = site, component
        self._kept: dict[str, tuple[float, Mapping[str, str]]] = {}

    def keep(self, region: str, items: Mapping[str, str]) -> None:
        """Keeps what a region has now. A head start for the day it is gone: where it cannot be kept, nothing else fails."""
        now, known = self._site.clock.monotonic(), self._kept.get(region)
        if known is not None and known[1] == items and now - known[0] < _AGAIN_SECONDS:
            return
        snapshot = IdentitySnapshot(taken_at=self._site.clock.now(), region=region, deployments=(), items=dict(items))
        with contextlib.suppress(DrError):
            self._site.samples.keep_identities(self._site.runbook, self._component, snapshot)
            self._kept[region] = now, dict(items)

    def last(self, region: str) -> IdentitySnapshot | None:
        """The newest that is known of a region; None: nothing."""
        with contextlib.suppress(DrError):
            for other in self._site.regions:
                found = None if other == region else self._site.samples.identities(self._site.runbook, self._component, not_from=other)
                if found is not None and found.region == region:
                    return found
        return None
