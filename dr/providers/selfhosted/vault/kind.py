"""The kind ``vault-kv``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar

from dr.errors import Permanent, StepError, UsageError
from dr.model.identity import IdentitySnapshot
from dr.model.lag import Beat, ComponentView, LagSample
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Known
from dr.ports import Site, Step
from dr.providers.regions import same_regions
from dr.providers.selfhosted.vault.accounts import Side, many
from dr.providers.selfhosted.vault.by_hand import ByHand
from dr.providers.selfhosted.vault.chains import KIND, Chains
from dr.providers.selfhosted.vault.config import VaultConfig
from dr.providers.selfhosted.vault.deployments import Databases
from dr.providers.selfhosted.vault.vaults import RECENT, Vaults
from dr.providers.selfhosted.vault.view import Looking
from dr.providers.selfhosted.vault.wire import NotAnswering


class VaultKv:
    """Secrets of one key/value engine (version 2) of OpenBao or Vault; each region has a server of its own, which dies with the region.

    Protects that what Deployments need is in the other region, equal, and usable there. Needs: in each region a token whose policy may
    ``read``, ``list``, ``create`` and ``update`` ``MOUNT/data/*`` and ``MOUNT/metadata/*``, and (OpenBao) ``list`` and ``scan``
    ``MOUNT/detailed-metadata/*``; a component ``database`` for knowing the Deployments and which region is primary.

    Secrets are no stream of data: they have no replication lag, and no recovery point counts against an objective. What is missing, older
    or changed is a finding, found while both sides are there, or by the newest account of the other side that the monitor kept.
    """

    kind: ClassVar[str] = KIND
    Config: ClassVar[type[KindConfig]] = VaultConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, VaultConfig), "the registry gives each kind its own Config"
        same_regions(name, config.regions, site)
        if config.database is not None and config.database not in needs:
            raise UsageError(f"{name}: database: {config.database} is not in needs", hint=f"write needs: [{config.database}]")
        one, other = (server.url for server in config.regions.values())
        if one == other:
            raise UsageError(f"{name}: regions: both name the server {one}", hint="each region needs its own server")
        self.name, self.config, self.needs = name, config, tuple(needs)
        self._clock = site.clock
        self._vaults = Vaults(name, config, site)
        databases = Databases(name, config.database, site) if config.database is not None else None
        self._looking = Looking(self._vaults, databases)
        self._seen: Mapping[str, Side | StepError] = {}
        self._chains = Chains(self._vaults, databases, self._answered, ByHand(config, site.base))

    def view(self) -> ComponentView:
        """Both regions now, with what keeps each of them from being moved to. Bounded to about 2 s, never raises."""
        view, self._seen = self._looking.look()
        return view

    def beat(self, region: str) -> Beat | None:
        """None: secrets have no heartbeat."""
        return None

    def sample(self, primary: str | None) -> LagSample:
        """Lag 0 and a recovery point of now where every secret was just seen to be equal; else unknown, with the reason. Never raises."""
        sides = {region: self._side(region) for region in self.config.regions}
        at = self._clock.now()
        there = [side for side in sides.values() if isinstance(side, Side)]
        reasons = [side.message for side in sides.values() if isinstance(side, StepError)]
        if not reasons and there[0].account != there[1].account:
            one, other = there[0].account, there[1].account
            unequal = [path for path in one.keys() | other.keys() if one.get(path) != other.get(path)]
            reasons = [f"{many(len(unequal), 'secret')} not equal"]
        if reasons:
            return LagSample(component=self.name, at=at, state=Known.UNKNOWN, reason="; ".join(reasons))
        return LagSample(component=self.name, at=at, state=Known.KNOWN, lag=timedelta(0), recovery_point=at)

    def identities(self, region: str) -> IdentitySnapshot:
        """Every secret of a region with its keyed digest: what the monitor keeps outside of it (I7). Raises StepError."""
        return self._vaults.snapshot(self._vaults.side(region, RECENT))

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain for an intent. ``reprotect``: the server of ``source`` came back and gets what ``target``'s has."""
        return self._chains.steps(intent, source, target)

    def warm(self, target: str) -> None:
        """Opens connections to the target and reads its secrets once."""
        with contextlib.suppress(StepError):
            self._vaults.side(target, RECENT)

    def copy(self, source: str, target: str) -> int:
        """Brings over to ``target`` what the policy allows, outside of any run (the start of a platform); how many secrets that were.

        Raises StepError.
        """
        from dr.providers.selfhosted.vault.carry import allowed, carry

        original, there = self._vaults.side(source), self._vaults.side(target)
        items = allowed(self._vaults.compared(original, there), self.config.copies)
        return len(carry(self._vaults, original, there, items).done)

    def secret(self, region: str, name: str) -> Mapping[str, str]:
        """The texts of a secret's newest version in a region, for kinds that log in with it. Bounded. Raises StepError, Permanent where it
        is not there."""
        value = self._vaults.stores[region].read(name)
        if value is None:
            raise Permanent(f"{self.name} in {region}: {name} is not there, or its newest version is deleted", hint="write it there")
        return {key: text for key in value.data if (text := value.text(key)) is not None}

    def close(self) -> None:
        """Closes connections; safe to call twice."""
        self._vaults.close()

    def _answered(self, region: str) -> bool:
        """Whether the last look of this process found the region's server; True where nobody has looked."""
        return not isinstance(self._seen.get(region), NotAnswering)

    def _side(self, region: str) -> Side | StepError:
        try:
            return self._vaults.side(region, RECENT, timedelta(seconds=1))
        except StepError as error:
            return error
