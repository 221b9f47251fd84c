"""What has to be there before a move and moves nothing itself: keys, roles' trust, quotas, networks; and secrets that AWS replicates.

Each can be wrong in a region, and says so. A replica of a secret is read-only until it stands alone
(https://docs.aws.amazon.com/secretsmanager/latest/userguide/replicate-secrets.html); parameters are replicated by nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

from dr.model.lag import Finding
from dr.model.words import Severity
from dr.providers.sim.database import Database
from dr.providers.sim.secrets import Secrets
from dr.providers.sim.sort import Answers, Sort, Told, answered, silent
from dr.providers.sim.world import World


class Ready(Sort):
    """``Store`` of one component that is only looked at. wrong: by region, what a move there would fail on. primary: of a key, the region
    in which it can be changed."""

    looked = True
    lagless = "nothing of it is replicated"

    def __init__(self, world: World, name: str, home: str, regions: Sequence[str] = ()) -> None:
        super().__init__(world, name, regions)
        self.wrong: dict[str, list[str]] = {}
        self.primary = home

    def look(self, region: str) -> Told:
        """What is wrong there."""
        self.there(region)
        return Told(None, tuple(self.wrong.get(region, ())))

    def findings(self, told: Answers) -> Sequence[Finding]:
        """Each matters for moves to its own region."""
        found = [self.finding(Severity.WARNING, error.message, "", region) for region, error in silent(told).items()]
        for region, item in answered(told).items():
            found += [self.finding(Severity.ERROR, fact, "dr runbook check names the fix", region) for fact in item.facts]
        return found


class Values(Secrets):
    """``Store`` of secrets or parameters. alone: regions whose secrets are replicas of nobody's."""

    watched = True

    def __init__(self, world: World, name: str, home: str, database: Database | None, named: Sequence[str], regions: Sequence[str]) -> None:
        super().__init__(world, name, database, None, (), None, regions)
        self.placed = False
        self.held = {region: dict.fromkeys(named, (1,)) for region in self.regions}
        self.alone = {home}

    def look(self, region: str) -> Told:
        """In no region: they take no writes of their own."""
        self.there(region)
        return Told(None, dict(self.held[region]))
