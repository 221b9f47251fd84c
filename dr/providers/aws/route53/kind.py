"""The kind ``aws.route53-records``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from threading import Lock
from typing import Any, ClassVar, Protocol, runtime_checkable

from dr.errors import Permanent, StepError, Transient, UsageError
from dr.model.lag import Finding
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Severity
from dr.ports import Site, Step
from dr.providers.aws.calls import Use
from dr.providers.aws.everywhere import EverywhereKind, led_to
from dr.providers.aws.kind import Judged
from dr.providers.aws.pace import CHANGES
from dr.providers.aws.place import Place
from dr.providers.aws.route53 import chains, prepared
from dr.providers.aws.route53.calls import CHECK, RECORDS, ZONE, check_arn, zone_arn
from dr.providers.aws.route53.config import RecordsConfig
from dr.providers.aws.route53.lookup import Lookup
from dr.providers.aws.route53.sets import Leading, RecordSet, Wire, batches, leading, leads, listed, moved, ours, parsed, sorted_by_region
from dr.providers.generic.checks.names import parsed as server
from dr.providers.regions import same_regions

API_SECONDS = 1.6
"""So long a view waits for the API; a large zone is there for the next one."""
ASKED = 20
"""Names that a view asks by DNS: the first, the last, and evenly between. A check from outside asks all."""
_FRESH_SECONDS, _SECONDS_A_PAGE = 10.0, 2.0
"""A view's copy of the zone serves so long; of a large zone longer, so that watching takes less than a tenth of the account's budget."""


@runtime_checkable
class Hostnames(Protocol):
    """What this kind asks of ``deployments``."""

    def hostnames(self, region: str) -> tuple[str, ...]:
        """All public names, as a region knows them. Raises StepError."""


@dataclass(frozen=True)
class ZoneLook:
    """What the API says.

    records: ours. checks: settings of the health checks that they name. accelerated: AcceleratedRecoveryStatus.
    refused: by region whose credentials may not ask, why.
    """

    name: str
    private: bool
    accelerated: str
    records: tuple[RecordSet, ...]
    checks: Mapping[str, Wire | StepError]
    refused: Mapping[str, StepError]


@dataclass(frozen=True)
class Look:
    """Both ways to see where names lead. ``names``: by DNS, the regions of those that were asked."""

    zone: ZoneLook | StepError
    names: Mapping[str, list[str] | StepError]

    @property
    def answered(self) -> dict[str, list[str]]:
        """The names for which DNS had an answer."""
        return {name: found for name, found in self.names.items() if not isinstance(found, StepError)}


class Route53Records(EverywhereKind[RecordsConfig, Look]):
    """Public names in a hosted zone of Route 53.

    Protects where people are led. Best prepared: failover or weighted record sets that another component flips
    (``aws.arc-routing-control``, ``aws.route53-health-check``) without any edit. ``mode: edit`` replaces what record sets hold, which needs
    the control plane in us-east-1. Where names lead is asked of the API, and by DNS where that is away, or where health decides.
    """

    kind: ClassVar[str] = "aws.route53-records"
    Config: ClassVar[type[KindConfig]] = RecordsConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        super().__init__(name, config, needs, site)
        for field, peer in (("flipped_by", self.config.flipped_by), ("deployments", self.config.deployments)):
            if peer is not None and peer not in needs:
                raise UsageError(f"{name}: {field}: {peer} is not in needs", hint=f"write needs: [{peer}, …]")
        one, other = self.config.regions.values()
        same = one.all & other.all
        if same:
            raise UsageError(f"{name}: regions: both lead to {', '.join(sorted(same))}", hint="each needs its own")
        self.lookup = Lookup(self.aws, self.config.name_servers, self.config.regions)
        self.sent: dict[str, list[str]] = {}
        """By run: ids of its changes that were not seen INSYNC yet. Only this process knows them."""
        self._copy: tuple[float, float, ZoneLook] | None = None
        self._copying = Lock()

    def regions(self) -> Sequence[str]:
        """Both."""
        same_regions(self.name, self.config.regions, self.site)
        return tuple(self.config.regions)

    @property
    def ttl(self) -> int:
        """The longest TTL that is good, in seconds."""
        return round(self.config.ttl.total_seconds())

    def look(self, place: Place) -> Look:
        """The API and DNS at the same time."""
        names = _some(self.known())
        with_zone = ThreadPoolExecutor(1, thread_name_prefix=f"{self.name}-zone")
        try:
            zone = with_zone.submit(self.through, self._zone, place.region)
            found = self.lookup.regions(names)
            try:
                return Look(zone.result(API_SECONDS), found)
            except FutureTimeout:
                return Look(Transient(f"{self.name}: Route 53's API gave no whole answer in time", late=True), found)
            except StepError as error:
                return Look(error, found)
        finally:
            with_zone.shutdown(wait=False)

    def judge(self, looks: Mapping[str, Look | StepError]) -> Judged:
        """Roles by where names lead; none at all where nobody can tell: that must not keep anybody from moving."""
        look = next(iter(looks.values()))
        if isinstance(look, StepError):
            return Judged({}, tuple(self.silent({next(iter(looks)): look})))
        found = self._leading(look)
        known = bool(found.regions or found.mixed)
        return Judged(led_to(tuple(self.places), found.only) if known else {}, tuple(self._findings(look, found)))

    def watches(self) -> Sequence[Use]:
        """What the monitor calls."""
        zone = (zone_arn(self.config.zone),)
        checks = [Use(CHECK, region, (check_arn("*"),)) for region in self.places] if self.config.mode == "prepared" else []
        return [*(Use(call, region, zone) for region in self.places for call in (ZONE, RECORDS)), *checks]

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain for an intent; nothing for a re-protect: a hosted zone lies in no region."""
        return chains.steps(self, intent, source, target)

    def name_servers(self) -> Mapping[str, tuple[str, int]]:
        """Region → a name server of the zone, for kinds that look public names up; nothing where the runbook names none."""
        servers = [server(text, 53) for text in self.config.name_servers]
        return {region: servers[number % len(servers)] for number, region in enumerate(self.places)} if servers else {}

    def items(self, region: str) -> list[RecordSet]:
        """Our record sets as they are now, through a region's credentials. Raises StepError."""
        return self._records(self.places[region], self.names(region))

    def names(self, first: str) -> list[str]:
        """Names and patterns of the runbook, and what ``deployments`` knows; ``first``: the region asked first. Raises StepError."""
        peer, problem = self.site.peers.get(self.config.deployments or ""), None
        if self.config.deployments is None:
            return list(self.config.names)
        if not isinstance(peer, Hostnames):
            raise Permanent(f"{self.name}: deployments: {self.config.deployments} knows no host names", hint="airflow-deployments does")
        for region in sorted(self.places, key=lambda region: region != first):
            try:
                return list(dict.fromkeys((*self.config.names, *peer.hostnames(region))))
            except StepError as error:
                problem = problem or error
        assert problem is not None, "there are two regions"
        raise problem

    def checks(self, place: Place, records: Sequence[RecordSet]) -> dict[str, Wire | StepError]:
        """Settings of the health checks that record sets name, by id; a call for each. Never raises."""
        ids = prepared.checks_of(records)
        answers = self.aws.many([partial(self.aws.read, place, CHECK, HealthCheckId=check) for check in ids])
        found = zip(ids, answers, strict=True)
        return {check: answer if isinstance(answer, StepError) else answer["HealthCheck"]["HealthCheckConfig"] for check, answer in found}

    def hosts(self, region: str) -> list[str]:
        """Every host name that can be looked up; where the runbook has patterns, of the zone as it was last seen. Raises StepError."""
        names = self.names(region)
        found = listed(names)
        if len(found) < len(names):
            found += [item.name for item in (self._copy[2].records if self._copy is not None else self.items(region))]
        return list(dict.fromkeys(name.replace("*", "dr-check") for name in found))

    def led_by(self) -> str | None:
        """The component that flips what is prepared; None: record sets are edited."""
        return self.config.flipped_by

    def leads_to(self, region: str) -> str:
        """Empty where every name that a look asks leads there and nowhere else by DNS; else what was seen instead. Never asks the API.

        Raises:
            Transient: nobody answers, or no name is known.
        """
        names = _some(self.known())
        if not names:
            raise Transient(f"{self.name}: only patterns are named", hint="list the names, or write deployments: COMPONENT")
        for name, found in self.lookup.regions(names).items():
            if isinstance(found, StepError):
                raise found
            if found != [region]:
                return f"{name} leads to {' and '.join(found) or 'no region of the runbook'}, not yet to {region} alone"
        return ""

    def editing(self) -> timedelta:
        """How long an edit waits for Route 53, by what the last look saw; zero before there was one."""
        return editing(len(self._copy[2].records)) if self._copy is not None else timedelta(0)

    def known(self) -> list[str]:
        """Host names that can be looked up without asking the API: of the runbook, of ``deployments``, or as the last look saw them."""
        if self._copy is not None and self.config.deployments is None:
            known = [item.name for item in self._copy[2].records]
        else:
            try:
                known = listed(self.names(next(iter(self.places))))
            except StepError:
                known = listed(self.config.names)
        return list(dict.fromkeys(name.replace("*", "dr-check") for name in known))

    def _zone(self, place: Place) -> ZoneLook:
        """Through credentials; kept for a while."""
        with self._copying:
            now = self.site.clock.monotonic()
            if self._copy is not None and now - self._copy[0] < self._copy[1]:
                return self._copy[2]
            zone = self.aws.read(place, ZONE, Id=self.config.zone)
            records = self._records(place, self.names(place.region))
            checks = self.checks(place, records) if self.config.mode == "prepared" else {}
            refused: dict[str, StepError] = {}
            if self.config.mode == "edit":
                refused = self.refused(lambda other: self.aws.read(other, ZONE, Id=self.config.zone), place.region)
            features: Mapping[str, Any] = zone["HostedZone"].get("Features", {})
            is_private = bool(zone["HostedZone"].get("Config", {}).get("PrivateZone"))
            status = str(features.get("AcceleratedRecoveryStatus", "DISABLED"))
            found = ZoneLook(str(zone["HostedZone"]["Name"]).rstrip("."), is_private, status, tuple(records), checks, refused)
            count = int(zone["HostedZone"].get("ResourceRecordSetCount", len(records)))
            self._copy = (self.site.clock.monotonic(), max(_FRESH_SECONDS, _SECONDS_A_PAGE * count / 300), found)
            return found

    def _records(self, place: Place, names: Sequence[str]) -> list[RecordSet]:
        pages = self.aws.pages(place, RECORDS, HostedZoneId=self.config.zone, MaxItems="300")
        return ours((parsed(wire) for page in pages for wire in page["ResourceRecordSets"]), names)

    def _leading(self, look: Look) -> Leading:
        if self.config.mode == "edit" and isinstance(look.zone, ZoneLook):
            return leading((item for item in look.zone.records if not item.identifier), self.config.regions)
        return sorted_by_region(look.answered)

    def _findings(self, look: Look, found: Leading) -> Iterator[Finding]:
        if isinstance(look.zone, StepError):
            yield from self._without_api(look, look.zone)
        if found.mixed or len(found.regions) > 1:
            named = [*found.mixed, *(names[0] for names in found.regions.values())]
            yield self.finding(
                Severity.WARNING, f"names lead to several regions: {', '.join(named[:5])}", "finish or undo what led them: dr status"
            )
        silent = [error for error in look.names.values() if isinstance(error, StepError)]
        if silent and self.config.mode == "prepared":
            text = f"{len(silent)} of {len(look.names)} names have no answer by DNS: {silent[0].message}"
            yield self.finding(Severity.WARNING, text, "correct names and name_servers; where names lead is not known without")
        if isinstance(look.zone, ZoneLook):
            yield from self._prepared(look.zone) if self.config.mode == "prepared" else self._edited(look.zone)
            yield self._accelerated(look.zone)
            yield from self.silent(look.zone.refused)
        if not listed(self.config.names) and self.config.deployments is None:
            text = "only patterns are named: where names lead cannot be seen by DNS while Route 53's API is away"
            yield self.finding(Severity.WARNING, text, "list the names, or write deployments: COMPONENT")
        if self.config.probe is not None:
            text = f"service is proven from outside by {self.config.probe.url}: an answer, no write; the RTA ends with it"
            yield self.finding(Severity.INFO, text, "")

    def _without_api(self, look: Look, error: StepError) -> Iterator[Finding]:
        """What could not be asked, and what is known all the same."""
        answered = len(look.answered)
        by_dns = f"where names lead was asked by DNS ({answered} names, {self.lookup.who})" if answered else "where names lead is not known"
        able = "" if self.config.mode == "prepared" else "; record sets cannot be edited now"
        severity = Severity.WARNING if isinstance(error, Transient) else Severity.ERROR
        yield self.finding(severity, f"{error.message}; {by_dns}{able}", error.hint)

    def _prepared(self, zone: ZoneLook) -> Iterator[Finding]:
        if not zone.records:
            yield self._nothing(zone)
        for flaw in prepared.told(prepared.flaws(zone.records, self.config.regions, zone.checks, self.ttl)):
            yield self.finding(flaw.severity, flaw.fact, flaw.fix, flaw.region)
        for check, config in zone.checks.items():
            if isinstance(config, StepError):
                yield self.finding(Severity.WARNING, f"health check {check} could not be looked at: {config.message}", config.hint)

    def _edited(self, zone: ZoneLook) -> Iterator[Finding]:
        if not any(leads(item, self.config.regions) for item in zone.records):
            yield self._nothing(zone)
            return
        routed = sorted({item.name for item in zone.records if item.identifier})
        if routed:
            text = f"{len(routed)} names have weighted, failover or other routed record sets, which mode: edit leaves alone: {routed[0]}"
            yield self.finding(Severity.ERROR, text, "write mode: prepared and flipped_by: COMPONENT")
        for source, target in ((one, other) for one in self.places for other in self.places if one != other):
            changes, stuck = moved(zone.records, self.config.regions[source], self.config.regions[target], self.ttl)
            if stuck:
                text = f"{len(stuck)} record sets would have nothing to lead to in {target}: {stuck[0].key}"
                yield self.finding(Severity.ERROR, text, f"regions.{target}.values: an address for {stuck[0].type} records", target)
            calls = sum(1 for _ in batches(changes))
            if changes:
                text = f"a move to {target} edits {len(changes)} record sets in {calls} calls of the control plane in us-east-1"
                more = "" if calls == 1 else "; each call is all or nothing, the calls together are not"
                seconds = editing(len(changes)).total_seconds()
                more += f"; Route 53 takes about {seconds:.0f} s for so many" if seconds else ""
                fix = "prepare failover record sets on a routing control, or on a check of an object in the other region: mode: prepared"
                yield self.finding(Severity.WARNING, text + more, fix, target)
        longest = max(zone.records, key=lambda item: item.ttl)
        if longest.ttl > self.ttl and self.config.lower_ttl_to is None:
            text = f"{longest.key} has a TTL of {longest.ttl} s: so long caches hold the old answer"
            yield self.finding(Severity.WARNING, text, f"a TTL of {self.ttl} s or less; lower_ttl_to, for planned moves")

    def _nothing(self, zone: ZoneLook) -> Finding:
        named = ", ".join(self.config.names) or f"those of {self.config.deployments}"
        return self.finding(Severity.ERROR, f"no record set of {zone.name} leads to a region: {named}", "correct zone, names and regions")

    def _accelerated(self, zone: ZoneLook) -> Finding:
        if zone.private:
            return self.finding(Severity.INFO, f"{zone.name} is a private zone: nobody outside its networks sees it", "")
        if zone.accelerated == "ENABLED":
            text = f"accelerated recovery of {zone.name} is on: edits work again about 60 minutes after us-east-1 is lost"
            return self.finding(Severity.INFO, text, "")
        command = (
            f"aws route53 update-hosted-zone-features --hosted-zone-id {self.config.zone} --enable-accelerated-recovery --region us-east-1"
        )
        text = f"accelerated recovery of {zone.name} is {zone.accelerated}: no edit works for as long as us-east-1 is lost"
        return self.finding(Severity.WARNING if self.config.mode == "edit" else Severity.INFO, text, command)

    def arn(self) -> str:
        """The zone for policies."""
        return zone_arn(self.config.zone)


def editing(count: int) -> timedelta:
    """How long Route 53 makes people wait who edit so many record sets."""
    rate, at_once = CHANGES
    return timedelta(seconds=max(0.0, (2 * count - at_once) / rate))


def _some(names: Sequence[str]) -> list[str]:
    """At most ``ASKED`` of them, evenly chosen."""
    if len(names) <= ASKED:
        return list(names)
    return [names[round(number * (len(names) - 1) / (ASKED - 1))] for number in range(ASKED)]
