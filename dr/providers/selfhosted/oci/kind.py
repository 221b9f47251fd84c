"""The kind ``oci-registry``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

from dr.errors import StepError, UsageError
from dr.model.lag import Beat, ComponentView, LagSample
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Known
from dr.ports import Site, Step
from dr.providers.regions import same_regions
from dr.providers.selfhosted.oci import judge
from dr.providers.selfhosted.oci.by_hand import ByHand
from dr.providers.selfhosted.oci.chains import Chains
from dr.providers.selfhosted.oci.config import OciConfig
from dr.providers.selfhosted.oci.look import Looker
from dr.providers.selfhosted.oci.registries import Registries
from dr.providers.selfhosted.oci.view import KIND, Viewer


class OciRegistry:
    """The container images that Deployments run and may go back to, in one registry for each region (any that speaks OCI/Docker v2).

    Protects that what starts in the target finds its image there, byte for byte, and may pull it. Needs: registries of both regions that
    take content under its digest; credentials that read both, and write where it copies to; the Deployments' own pull secrets where pulls
    are to be tried.

    Images are no stream of data: they have no replication lag, and no recovery point counts against an objective. ``view`` carries no
    lag; what is missing is a finding. ``sample`` says 0 where both registries were just seen to hold all that is needed, else that it is
    not known. A registry takes pushes in every region; the primary is where the database of the Deployments takes writes.
    """

    kind: ClassVar[str] = KIND
    Config: ClassVar[type[KindConfig]] = OciConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, OciConfig), "the registry gives each kind its own Config"
        same_regions(name, config.regions, site)
        if len({region.url for region in config.regions.values()}) < len(config.regions):
            raise UsageError(f"{name}: regions: both have the same url", hint="each region needs its own registry")
        self.name, self.config, self.needs = name, config, tuple(needs)
        self._clock = site.clock
        self._registries = Registries(name, config, site)
        looker = Looker(self._registries)
        self._viewer = Viewer(self._registries, looker)
        self._chains = Chains(self._registries, looker, ByHand(config, site))

    def view(self) -> ComponentView:
        """Where the Deployments are, and what is not as it should be in either registry. Bounded by about 2 s, never raises."""
        return self._viewer.view()

    def beat(self, region: str) -> Beat | None:
        """None: a registry has no heartbeat."""
        return None

    def sample(self, primary: str | None) -> LagSample:
        """Lag 0 and a recovery point of now where all that is needed was seen in the secondary; else unknown, with the reason."""
        seen = self._viewer.sides()
        at = self._clock.now()
        shelves = [shelf for shelf in seen.shelves if shelf.region != primary]
        reasons = [shelf.silent.message for shelf in shelves if shelf.silent is not None]
        for shelf in shelves:
            left = judge.lacking(seen.needed, shelf) if shelf.silent is None else ()
            if left:
                text = f"{len(left)} of {len(seen.needed)} images were not seen whole in {shelf.region}: "
                reasons.append(text + judge.named([str(item.image) for item in left]))
        if not seen.needed:
            reasons.append("nobody says which images are needed")
        if reasons:
            return LagSample(component=self.name, at=at, state=Known.UNKNOWN, reason="; ".join(reasons))
        return LagSample(component=self.name, at=at, state=Known.KNOWN, lag=timedelta(0), recovery_point=at)

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain for an intent. ``reprotect``: the registry of ``source`` gets what ``target``'s has and it has not."""
        return self._chains.steps(intent, source, target)

    def warm(self, target: str) -> None:
        """Imports what talks to registries, and opens a connection."""
        with contextlib.suppress(StepError):
            self._registries.registry(target).ping(self.config.source_timeout.total_seconds())

    def close(self) -> None:
        """Closes all connections."""
        self._registries.close()
