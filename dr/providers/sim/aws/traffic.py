"""What leads people to a region and lies in none itself: routing controls, health checks, the record sets of a hosted zone.

Route 53's answers come from everywhere and always; what is changed there is seen by all its name servers some time later, and by caches
once their time is over. https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html (PENDING, INSYNC),
https://docs.aws.amazon.com/r53recovery/latest/dg/routing-control.html.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dr.errors import Permanent, Transient
from dr.model.lag import Finding, RegionView
from dr.model.words import Role, Severity
from dr.providers.sim.aws.capacity import Groups
from dr.providers.sim.database import Database
from dr.providers.sim.names import Names
from dr.providers.sim.sort import Answers, Sort, Told, answered, silent
from dr.providers.sim.world import World

EVERYWHERE = "everywhere"
"""The one server of a zone that is no region's."""
ALL, ENOUGH = 5, 3
"""Endpoints of a cluster; so many always answer."""


@dataclass
class Platform:
    """What stands behind public names: it serves where its databases take writes and each of its groups has something ready."""

    databases: list[Database] = field(default_factory=list)
    groups: list[Groups] = field(default_factory=list)

    def serves(self, region: str) -> bool:
        """It answers there, and takes writes."""
        return not self.lacks(region)

    def lacks(self, region: str) -> str:
        """Why it does not serve in a region; empty where it does."""
        for database in self.databases:
            if not database.writable(region):
                return f"{database.name} takes no writes in {region}"
        for groups in self.groups:
            if region in groups.regions and (idle := groups.idle(region)):
                return f"{groups.name}: nothing of {idle} is ready in {region}"
        return ""


class Everywhere(Names):
    """Base: one zone for all regions. sees: seconds until every name server has a change; drawn anew for each."""

    everywhere = True
    compared = False
    lagless = "nothing of it is replicated"

    def __init__(
        self, world: World, name: str, home: str, hostnames: Iterable[str], platform: Platform, *, ttl: float, sees: float
    ) -> None:
        super().__init__(world, name, home, hostnames, ttl=ttl)
        self.platform, self._sees = platform, sees
        self.leads = {EVERYWHERE: dict.fromkeys(self.hostnames, home)}
        self.ttls = {EVERYWHERE: ttl}

    def answers(self, server: str) -> bool:
        """Route 53 answers, whatever else is lost."""
        return True

    def there(self, region: str) -> None:
        """It always is."""

    def served(self, region: str) -> bool:
        """The platform behind the names."""
        return self.platform.serves(region)

    def lead(self, region: str) -> int:
        """All names lead to a region, once everybody has seen it. How many were changed."""
        seen = self.world.chance(f"{self.name}/seen/{self.world.now:.3f}").uniform(0.3, 1.0) * self._sees
        usual = self.ttls[EVERYWHERE]
        self.ttls[EVERYWHERE] = usual + seen
        changed = self.change(EVERYWHERE, self.hostnames, region)
        self.ttls[EVERYWHERE] = usual
        return changed

    @property
    def led_to(self) -> str | None:
        """The one region that all names lead to; None: there are several, or none."""
        found = set(self.leads[EVERYWHERE].values())
        return found.pop() if len(found) == 1 else None

    def led_now(self, region: str) -> str:
        """Why the outside world is not led to a region by all names yet; empty: it is."""
        for hostname in self.hostnames:
            found = self.answer(hostname)
            if found != region:
                return f"{hostname} leads to {found or 'nobody'}, not yet to {region} alone"
        return ""

    def look(self, region: str) -> Told:
        """Where people are led; the same wherever it is asked."""
        return Told(RegionView(role=Role.PRIMARY if self.led_to == region else Role.SECONDARY), self.led_to)

    def unequal(self, told: Answers, primary: str | None) -> str:
        """There is one of it."""
        return ""


class Controls(Everywhere):
    """``Store`` of two routing controls on a cluster. on: by region; silent: endpoints that do not work now. named: how many are in the
    runbook. rule: what a safety rule says that refuses every flip now; empty: none. overridden: the runbook names rules that may be."""

    def __init__(
        self, world: World, name: str, home: str, hostnames: Iterable[str], platform: Platform, *, ttl: float, sees: float,
        named: int = ALL, overridden: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(world, name, home, hostnames, platform, ttl=ttl, sees=sees)
        self.on = {region: region == home for region in world.regions}
        self.named, self.overridden = named, overridden
        self.silent: set[int] = set()
        self.rule = ""

    def flip(self, on: str, off: str, *, over_rules: bool = False) -> None:
        """Both in one call: all or nothing.

        Raises:
            Permanent: a safety rule refuses; nothing was changed.
        """
        wanted = {**self.on, on: True, off: False}
        refusal = self.rule if self.rule and not over_rules else "" if any(wanted.values()) else "at least one control must be On"
        if refusal:
            raise Permanent(f"{self.name}: ConflictException: {refusal}", hint="SafetyRulesToOverride")
        self.on = wanted
        self.lead(on)

    def findings(self, told: Answers) -> Sequence[Finding]:
        """Endpoints; and whether one control is On."""
        found = [self.finding(Severity.WARNING, error.message, "") for error in list(silent(told).values())[:1]]
        if self.named < ENOUGH:
            found.append(self.finding(Severity.ERROR, f"{self.named} of the cluster's five endpoints are named", "name all five"))
        if answered(told) and self.silent:
            found.append(self.finding(Severity.WARNING, f"{len(self.silent)} endpoints do not answer", ""))
        on = [region for region, state in self.on.items() if state]
        if answered(told) and len(on) != 1:
            found.append(self.finding(Severity.WARNING, f"{len(on)} routing controls are On", "flip them to the primary"))
        return found


class Checks(Everywhere):
    """``Store`` of the health checks of the regions. away: regions whose check leads people away. switches: by region that has a check,
    where its switch lies; empty: the check itself is edited, in us-east-1. edits: whether that control plane takes changes now."""

    def __init__(
        self, world: World, name: str, home: str, hostnames: Iterable[str], platform: Platform, switches: Mapping[str, str], *, ttl: float,
        sees: float, edits: Callable[[], bool],
    ) -> None:  # fmt: skip
        super().__init__(world, name, home, hostnames, platform, ttl=ttl, sees=sees)
        self.switches, self.edits = dict(switches), edits
        self.away = {region for region in switches if region != home}

    def reachable(self, region: str) -> None:
        """Raises Transient where what flips a region's check is not there."""
        lies_in = self.switches[region]
        if lies_in and not self.world.regions[lies_in].alive:
            raise Transient(f"{self.name}: the switch of {region} lies in {lies_in}, which does not answer")
        if not lies_in and not self.edits():
            raise Transient(f"{self.name}: the control plane of Route 53 in us-east-1 does not answer")

    def write(self, region: str, *, away: bool) -> None:
        """One check leads people away, or there; people go where exactly one leads. Never one of the two settings alone."""
        self.reachable(region)
        (self.away.add if away else self.away.discard)(region)
        self.settle_leads()

    def settle_leads(self) -> None:
        """People are led to where one check leads, and to whoever has none where no other does. A check whose switch is lost with its
        region is inverted, and leads back by itself."""
        here = [region for region in self.switches if region not in self.away or self.leads_back(region)]
        others = [region for region in self.world.regions if region not in self.switches]
        if here:
            self.lead(here[0])
        elif others:
            self.lead(others[0])

    def leads_back(self, region: str) -> bool:
        """The switch of a check is lost, and the check, being inverted, is healthy again then."""
        lies_in = self.switches[region]
        return bool(lies_in) and not self.world.regions[lies_in].alive and self.world.regions[region].alive

    def lost(self, region: str) -> None:
        """Where a lost switch leads back by itself."""
        if any(lies_in == region for lies_in in self.switches.values()):
            self.settle_leads()

    def back(self, region: str) -> None:
        """Where the switch is there again, it says where people are led."""
        self.lost(region)


class Zone(Everywhere):
    """``Store`` of simple record sets that are edited, in us-east-1. edits: whether that control plane takes changes now. insync: when all
    name servers have the newest change; until then it is PENDING."""

    def __init__(
        self, world: World, name: str, home: str, hostnames: Iterable[str], platform: Platform, *, ttl: float, low: float | None,
        edits: Callable[[], bool],
    ) -> None:  # fmt: skip
        super().__init__(world, name, home, hostnames, platform, ttl=ttl, sees=60.0)
        self.low, self.edits, self.insync = low, edits, 0.0

    def reachable(self) -> None:
        """Raises Transient: the control plane takes nothing now."""
        if not self.edits():
            raise Transient(f"{self.name}: the control plane of Route 53 in us-east-1 does not answer")

    def edit(self, region: str) -> int:
        """One atomic change. How many record sets."""
        self.reachable()
        before = self.cached_until
        changed = self.lead(region)
        if changed:
            self.insync = max(before, self.cached_until) - self.ttls[EVERYWHERE] - self.overstay
        return changed

    def retime(self, ttl: float) -> None:
        """Another TTL for all of them."""
        self.reachable()
        if self.ttls[EVERYWHERE] != ttl:
            self.ttls[EVERYWHERE] = ttl
            self.insync = self.world.now + self.world.chance(f"{self.name}/sync/{self.world.now:.3f}").uniform(5.0, 60.0)


class Prepared(Sort):
    """``Store`` of prepared record sets: they follow what flips them. flaw: what keeps health from leading people; empty: nothing."""

    placed = looked = True
    everywhere = True
    lagless = "nothing of it is replicated"

    def __init__(self, world: World, name: str, flipper: Everywhere | None) -> None:
        super().__init__(world, name)
        self.flipper, self.flaw = flipper, ""

    def look(self, region: str) -> Told:
        """Where name servers lead."""
        led = None if self.flipper is None else self.flipper.led_to
        return Told(RegionView(role=Role.PRIMARY if led == region else Role.SECONDARY), led)

    def findings(self, told: Answers) -> Sequence[Finding]:
        """Why health alone leads nobody over."""
        return [self.finding(Severity.ERROR, self.flaw, "give it the health check that flipped_by flips")] if self.flaw else []
