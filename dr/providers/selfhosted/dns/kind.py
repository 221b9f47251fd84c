"""The kind ``dns-records``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar

from dr.errors import StepError, UsageError
from dr.model.by_hand import Question
from dr.model.lag import Beat, ComponentView, LagSample
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Known
from dr.ports import Site, Step
from dr.providers.regions import same_regions
from dr.providers.selfhosted.dns import view
from dr.providers.selfhosted.dns.by_hand import ByHand
from dr.providers.selfhosted.dns.chains import Chains
from dr.providers.selfhosted.dns.config import DnsConfig
from dr.providers.selfhosted.dns.records import ZoneCopy
from dr.providers.selfhosted.dns.view import KIND
from dr.providers.selfhosted.dns.wire import NameServers
from dr.providers.selfhosted.dns.zone import Zone


class DnsRecords:
    """Public names of one zone; each region has its own authoritative server, which dies with the region, and clients ask both.

    Protects where the names lead. Needs: servers that take signed updates and transfers (RFC 2136, AXFR, TSIG) of one key in both
    regions; a TTL no longer than clients may wait.

    Names are no stream of data: they have no replication lag, and no recovery point counts against an objective. ``view`` carries no
    lag; ``sample`` says 0 where both servers were just seen to answer alike, else that it is not known.
    """

    kind: ClassVar[str] = KIND
    Config: ClassVar[type[KindConfig]] = DnsConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, DnsConfig), "the registry gives each kind its own Config"
        same_regions(name, config.regions, site)
        one, other = (set(region.addresses) for region in config.regions.values())
        if one & other:
            raise UsageError(f"{name}: regions: both lead to {', '.join(sorted(one & other))}", hint="each needs its own address")
        self.name, self.config, self.needs = name, config, tuple(needs)
        self._clock = site.clock
        self._zone = Zone(name, config, NameServers(name, config, site.secrets), site.clock)
        self._by_hand = ByHand(name, config, site.base)
        self._chains = Chains(self._zone, self._by_hand, site.base)

    def view(self) -> ComponentView:
        """Where the names lead according to each region's own server. Bounded by ``answer_timeout``, never raises."""
        limit = min(self.config.answer_timeout, timedelta(seconds=2))
        return view.judge(self.name, self._clock.now(), self.config, self._zone.everywhere(limit))

    def beat(self, region: str) -> Beat | None:
        """None: a zone has no heartbeat."""
        return None

    def sample(self, primary: str | None) -> LagSample:
        """Lag 0 and a recovery point of now where both servers answer alike; else unknown, with the reason. Never raises."""
        copies = self._zone.everywhere(timedelta(seconds=1))
        at = self._clock.now()
        reasons = [copy.message for copy in copies.values() if not isinstance(copy, ZoneCopy)]
        answers = [self._zone.matching(copy) for copy in copies.values() if isinstance(copy, ZoneCopy)]
        if not reasons and answers[0] != answers[1]:
            differ = len([key for key in answers[0].keys() | answers[1].keys() if answers[0].get(key) != answers[1].get(key)])
            reasons = [f"the servers differ in {differ} records"]
        if reasons:
            return LagSample(component=self.name, at=at, state=Known.UNKNOWN, reason="; ".join(reasons))
        return LagSample(component=self.name, at=at, state=Known.KNOWN, lag=timedelta(0), recovery_point=at)

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain for an intent. ``reprotect``: the server of ``source`` came back and gets the records of ``target``'s."""
        return self._chains.steps(intent, source, target)

    def name_servers(self) -> Mapping[str, tuple[str, int]]:
        """Region → address and port of its authoritative server, for kinds that look public names up."""
        return {region: (server.server, server.port) for region, server in self.config.regions.items()}

    def question(self, region: str) -> Question:
        """How a person asks where the region's own server leads the names."""
        return self._by_hand.question(region)

    def warm(self, target: str) -> None:
        """Transfers the zone once: what that imports and caches is needed again."""
        with contextlib.suppress(StepError):
            self._zone.read(target)

    def close(self) -> None:
        """Nothing is kept open."""
