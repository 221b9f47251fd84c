"""What every step of the component is given, and the one way in which a zone is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from dr.errors import StepError, Transient
from dr.ports import Clock
from dr.providers.one_way import OneWay
from dr.providers.selfhosted.dns.config import DnsConfig
from dr.providers.selfhosted.dns.records import Change, Key, RecordSet, ZoneCopy
from dr.providers.selfhosted.dns.wire import NameServers, ZoneChanged

_CONFLICTS = 5

Wanted = Callable[[Mapping[Key, RecordSet]], Sequence[Change]]
"""Given the matching records as they are, what has to change; no change means that it holds."""


@dataclass(frozen=True)
class Zone:
    """The component's zone in both regions."""

    component: str
    config: DnsConfig
    servers: NameServers
    clock: Clock

    def addresses(self, region: str) -> tuple[str, ...]:
        """Where names lead when the region is primary."""
        return self.config.regions[region].addresses

    def all_addresses(self) -> dict[str, tuple[str, ...]]:
        """Where names lead, by region."""
        return {region: server.addresses for region, server in self.config.regions.items()}

    def matching(self, copy: ZoneCopy) -> dict[Key, RecordSet]:
        """The records that the runbook names."""
        return copy.matching(self.config.names)

    def read(self, region: str, timeout: timedelta | None = None) -> dict[Key, RecordSet]:
        """The records that the runbook names, as a region's server has them. Raises as ``NameServers.read``."""
        return self.matching(self.servers.read(region, timeout))

    def try_read(self, region: str, timeout: timedelta | None = None) -> ZoneCopy | StepError:
        """A region's zone, or why it cannot be read. Never raises."""
        try:
            return self.servers.read(region, timeout)
        except StepError as error:
            return error

    def everywhere(self, timeout: timedelta | None = None) -> dict[str, ZoneCopy | StepError]:
        """All regions' zones at once: a dead server must not delay the others. Never raises."""
        with ThreadPoolExecutor(len(self.config.regions)) as pool:
            return dict(zip(self.config.regions, pool.map(lambda region: self.try_read(region, timeout), self.config.regions), strict=True))

    def change(
        self,
        region: str,
        wanted: Wanted,
        known: ZoneCopy | None = None,
        *,
        timeout: timedelta | None = None,
        may_act: Callable[[], bool] = lambda: True,
    ) -> list[Change]:
        """Makes a region's zone as ``wanted`` says, in as few messages as hold the changes; what was changed.

        Args:
            wanted: asked again after each message and each conflict.
            known: the zone as it was read a moment ago; the update is refused where it is not so any more.
            may_act: asked right before each message.

        Raises:
            NotAnswering, EffectUnknown, Permanent: as ``NameServers``. Transient: the zone changed under our hands too often.
        """
        done: list[Change] = []
        copy = known
        for _ in range(_CONFLICTS):
            copy = copy or self.servers.read(region, timeout)
            changes = wanted(self.matching(copy))
            if not changes:
                return done
            if not may_act():
                raise Transient("the lease is not ours any more")
            try:
                count = self.servers.update(region, copy, changes, timeout)
            except ZoneChanged:
                copy = None
                continue
            done += changes[:count]
            if count == len(changes):
                return done
            copy = None
        raise Transient(f"{self.component}: the zone {self.config.zone} in {region} is being changed by somebody else")


class ZoneStep(OneWay):
    """Base of the steps. What changes answers keeps the old ones in its evidence."""

    def __init__(self, zone: Zone, source: str, target: str) -> None:
        self.zone, self.source, self.target = zone, source, target
