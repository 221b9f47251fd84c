"""An Alertmanager in each region: silences with an end of their own."""

from __future__ import annotations

from collections.abc import Sequence

from dr.model.lag import Finding
from dr.model.words import Severity
from dr.providers.sim.sort import Answers, Sort, Told, answered, silent
from dr.providers.sim.world import World


class Silences(Sort):
    """``Store`` of one component of silences. made: by region and run, until when it is silent. expires: seconds that one lasts."""

    looked = True

    def __init__(self, world: World, name: str, expires: float, regions: Sequence[str] = ()) -> None:
        super().__init__(world, name, regions)
        self.expires = expires
        self.made: dict[str, dict[str, float]] = {region: {} for region in self.regions}

    def active(self, region: str) -> dict[str, float]:
        """Silences of this runbook that have not ended: by run, until when."""
        return {run: until for run, until in self.made[region].items() if until > self.world.now}

    def silence(self, region: str, run: str) -> None:
        """One for a run; nothing where it has one."""
        self.there(region)
        if run not in self.active(region):
            self.made[region][run] = self.world.now + self.expires

    def end(self, region: str) -> int:
        """Ends all. How many there were."""
        self.there(region)
        ended = len(self.active(region))
        self.made[region].clear()
        return ended

    def look(self, region: str) -> Told:
        """In no region, so that none keeps a move from happening."""
        self.there(region)
        return Told(None, self.active(region))

    def findings(self, told: Answers) -> Sequence[Finding]:
        """Who does not answer, and what is silent."""
        found = []
        for region, error in silent(told).items():
            found.append(self.finding(Severity.WARNING, error.message, f"start the Alertmanager of {region}"))
        for region, item in answered(told).items():
            for run in item.facts:
                found.append(self.finding(Severity.INFO, f"alerts are silenced in {region} by run {run}", "it ends by itself"))
        return found
