"""Certificates of the public names in each region: all good, unless a region's table says what is wrong with one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from dr.model.lag import Finding
from dr.model.words import Severity
from dr.providers.sim.process import START
from dr.providers.sim.sort import Answers, Sort, Told, answered, silent
from dr.providers.sim.world import World


class Flaw(NamedTuple):
    """What is wrong with one. usable: clients still accept it. absent: there is none."""

    hostname: str
    fact: str
    usable: bool = False
    absent: bool = False


class Certificates(Sort):
    """``Store`` of one component of certificates.

    absent, foreign: by region, names without a certificate, and names whose certificate is for others. expires: by region and name, when,
    in seconds of the world; never, where none is given. margin: seconds; one that ends sooner is a warning.
    """

    looked = True

    def __init__(self, world: World, name: str, hostnames: Sequence[str], margin: float, regions: Sequence[str] = ()) -> None:
        super().__init__(world, name, regions)
        self.hostnames, self.margin = tuple(hostnames), margin
        self.absent: dict[str, set[str]] = {region: set() for region in self.regions}
        self.foreign: dict[str, set[str]] = {region: set() for region in self.regions}
        self.expires: dict[str, dict[str, float]] = {region: {} for region in self.regions}

    def flaws(self, region: str) -> tuple[Flaw, ...]:
        """What is wrong in a region now, the worst of each name."""
        found = {}
        for hostname, at in self.expires[region].items():
            if at <= self.world.now:
                found[hostname] = Flaw(hostname, f"certificate expired on {START + timedelta(seconds=at):%Y-%m-%d %H:%M} UTC")
            elif at - self.world.now < self.margin:
                found[hostname] = Flaw(hostname, "the certificate expires soon", usable=True)
        found |= {name: Flaw(name, "the certificate there is for other names") for name in self.foreign[region]}
        found |= {name: Flaw(name, "no certificate", absent=True) for name in self.absent[region]}
        return tuple(found[name] for name in sorted(found))

    def look(self, region: str) -> Told:
        """In no region: certificates take no writes."""
        self.there(region)
        return Told(None, self.flaws(region))

    def findings(self, told: Answers) -> Sequence[Finding]:
        """Each matters for moves to its own region only."""
        found = []
        for region, error in silent(told).items():
            found.append(self.finding(Severity.WARNING, error.message, "", region))
        for region, item in answered(told).items():
            for flaw in sorted(item.facts, key=lambda flaw: flaw.usable):
                severity = Severity.WARNING if flaw.usable else Severity.ERROR
                found.append(self.finding(severity, f"{flaw.hostname}: {flaw.fact} in {region}", "renew it", region))
        return found
