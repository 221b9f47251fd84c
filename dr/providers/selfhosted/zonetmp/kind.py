"""The kind ``dns-records``: joins servers and operations to what the engine and the monitor ask for."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import ClassVar

from dr.errors import CredentialMissing, StepError, UsageError
from dr.model.lag import Beat, ComponentView, Finding, LagSample, RegionView
from dr.model.plan import StepSpec, Touch
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Known, Role, Severity, Verb
from dr.ports import Site, Step
from dr.providers.selfhosted.zonetmp.config import DnsConfig
from dr.providers.selfhosted.zonetmp.steps import Follow, Prepare, Propagate, Redirect, Zones
from dr.providers.selfhosted.zonetmp.zone import Records, ZoneServer

KIND = "dns-records"


class DnsRecords:
    """Public names in one zone that is served by one authoritative server in each region (RFC 2136 updates, RFC 5936 transfers).

    Protects the names: each moving name answers one address, the one of the region that is primary. Data of its own it has none,
    so it has no replication lag. Needs: a TSIG key that may transfer and update the zone on both servers.
    """

    kind: ClassVar[str] = KIND
    Config: ClassVar[type[KindConfig]] = DnsConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        if not isinstance(config, DnsConfig):
            raise UsageError(f"components.{name}: these are not settings of the kind {KIND}")
        unknown = sorted(config.regions.keys() - site.regions.keys())
        if unknown:
            raise UsageError(
                f"components.{name}.regions names {', '.join(unknown)}, which the runbook does not have",
                hint=f"its regions are {', '.join(sorted(site.regions))}",
            )
        self.name, self.config, self.needs = name, config, tuple(needs)
        self._clock = site.clock
        self._servers = {region: ZoneServer(name, region, config, site.secrets) for region in config.regions}

    def name_servers(self) -> Mapping[str, tuple[str, int]]:
        """Region → address and port of its authoritative server, for kinds that look public names up."""
        return {region: (str(item.server), item.port) for region, item in self.config.regions.items()}

    def view(self) -> ComponentView:
        """Where the names lead, asked at all servers at once. A region is primary where a server says that all names lead to it."""
        with ThreadPoolExecutor(len(self._servers), thread_name_prefix="dns") as pool:
            seen = dict(zip(self._servers, pool.map(self._read, self._servers.values()), strict=True))
        answers = {region: item for region, item in seen.items() if isinstance(item, Records)}
        leads = {self._leads_to(item) for item in answers.values()} - {None}
        return ComponentView(
            component=self.name, kind=KIND, at=self._clock.now(), findings=self._findings(answers, seen),
            regions={region: self._region(region, item, leads) for region, item in seen.items()},
        )  # fmt: skip

    def beat(self, region: str) -> Beat | None:
        """None: there is nothing to write to."""
        return None

    def sample(self, primary: str | None) -> LagSample:
        """No data, hence no lag: unknown, and said so; ``view().lag`` is None for the same reason."""
        return LagSample(component=self.name, at=self._clock.now(), state=Known.UNKNOWN, reason="names have no data that could lag")

    def warm(self, target: str) -> None:
        """Reads the zone once."""
        with contextlib.suppress(StepError):
            self._servers[target].records()

    def close(self) -> None:
        """Nothing is kept open."""

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain. For ``reprotect`` the target's server is the one that is right, the source's the one that came back."""
        zones = Zones(self.name, self.config, self._servers, source, target)
        if intent is Intent.REPROTECT:
            return (self._follow(zones),)
        return self._prepare(zones, planned=intent.planned), self._redirect(zones, planned=intent.planned), self._propagate(zones)

    def _prepare(self, zones: Zones, *, planned: bool) -> Step:
        zone = self.config.zone
        spec = self._spec(
            Verb.PREPARE, zones.target, f"{zones.target}'s server takes signed updates of {zone}", zones, estimate=timedelta(milliseconds=30),
            by_hand=self._dig(zones.target, zone, "SOA"), check_by_hand=self._dig(zones.target, zone, "AXFR", key=True),
            both=planned,
        )  # fmt: skip
        return Step(spec, Prepare(zones, planned=planned))

    def _redirect(self, zones: Zones, *, planned: bool) -> Step:
        spec = self._spec(
            Verb.REDIRECT, zones.target, f"public names lead to {zones.target}", zones, needs=("prepare",), undoable=True,
            estimate=timedelta(milliseconds=60),
            by_hand=self._nsupdate(zones.target, f"for each name: del NAME A; add NAME TTL A {zones.new}"),
            check_by_hand=self._dig(zones.target, self.config.zone, "AXFR", key=True) + f" | grep -c {zones.old}  # 0", both=True,
        )  # fmt: skip
        return Step(spec, Redirect(zones, planned=planned))

    def _propagate(self, zones: Zones) -> Step:
        spec = self._spec(
            Verb.PROPAGATE, zones.target, "caches have forgotten the old answers", zones, needs=("redirect",),
            estimate=timedelta(seconds=1), budget=timedelta(hours=1), by_hand="wait for the old TTL",
            check_by_hand=self._dig(zones.target, "NAME", "A"),
        )  # fmt: skip
        return Step(spec, Propagate(zones))

    def _follow(self, zones: Zones) -> Step:
        spec = self._spec(
            Verb.FOLLOW, zones.source, f"{zones.source}'s server gives the answers of {zones.target}'s", zones, max_attempts=50,
            estimate=timedelta(milliseconds=100), budget=timedelta(minutes=15),
            by_hand=self._nsupdate(zones.source, f"for each name: del NAME A; add NAME TTL A {zones.new}"),
            check_by_hand=self._dig(zones.source, self.config.zone, "AXFR", key=True) + f" | grep -c {zones.old}  # 0", both=True,
        )  # fmt: skip
        return Step(spec, Follow(zones))

    def _spec(
        self, verb: Verb, region: str, title: str, zones: Zones, *, estimate: timedelta, by_hand: str, check_by_hand: str,
        needs: tuple[str, ...] = (), budget: timedelta = timedelta(minutes=2), max_attempts: int = 10, undoable: bool = False,
        both: bool = False,
    ) -> StepSpec:  # fmt: skip
        regions = (zones.target, zones.source) if both else (region,)
        return StepSpec(
            id=f"{self.name}/{verb}", component=self.name, kind=KIND, verb=verb, region=region, title=title,
            needs=tuple(f"{self.name}/{need}" for need in needs), estimate=estimate, budget=budget, max_attempts=max_attempts,
            undoable=undoable, touches=tuple(Touch(service="dns", plane="data", region=name) for name in regions),
            permissions=(f"transfer and update of {self.config.zone} by key {self.config.tsig.name}",),
            by_hand=by_hand, check_by_hand=check_by_hand,
        )  # fmt: skip

    def _dig(self, region: str, name: str, kind: str, *, key: bool = False) -> str:
        server = self.config.regions[region]
        words = ["dig", f"@{server.server}", "-p", str(server.port), *(["-k", "KEYFILE"] if key else []), "+short", name, kind]
        return shlex.join(words)

    def _nsupdate(self, region: str, what: str) -> str:
        server = self.config.regions[region]
        return f"nsupdate -k KEYFILE  # server {server.server} {server.port}; zone {self.config.zone}; {what}; send"

    def _read(self, server: ZoneServer) -> Records | str:
        try:
            return server.records()
        except (StepError, CredentialMissing) as error:
            return error.message

    def _leads_to(self, records: Records) -> str | None:
        """The region to which all names lead; None where they are divided."""
        for region, item in self.config.regions.items():
            if records.values and len(records.leading_to(str(item.address))) == len(records.values):
                return region
        return None

    def _region(self, region: str, seen: Records | str, leads: set[str | None]) -> RegionView:
        if isinstance(seen, str):
            return RegionView(role=Role.UNREACHABLE, reason=seen)
        if region in leads:
            return RegionView(role=Role.PRIMARY)
        return RegionView(role=Role.SECONDARY, reason="" if leads else "the names are divided between the regions")

    def _findings(self, answers: Mapping[str, Records], seen: Mapping[str, Records | str]) -> tuple[Finding, ...]:
        found = [
            Finding(component=self.name, severity=Severity.WARNING, fact=item, fix=f"start the name server in {region}")
            for region, item in seen.items()
            if isinstance(item, str)
        ]
        if any(not item.values for item in answers.values()):
            found.append(Finding(
                component=self.name, severity=Severity.ERROR, fact=f"no name in {self.config.zone} matches {', '.join(self.config.names)}",
                fix="correct names in the runbook",
            ))  # fmt: skip
        if len({tuple(sorted(item.values.items())) for item in answers.values()}) > 1:
            found.append(Finding(
                component=self.name, severity=Severity.WARNING, fact="the servers of the regions give different answers",
                fix="dr reprotect copies the answers of the primary region",
            ))  # fmt: skip
        return tuple(found)
