"""An Aurora global database: storage is replicated, a secondary may have no instance, the old writer is fenced as well as that goes.

https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-global-database-disaster-recovery.html. A switchover waits until the
target has everything, and loses nothing. A failover promotes what the target has; the old writer is made a reader as soon as AWS reaches
it, and of its volume a snapshot is left (``rds:unplanned-global-failover-…``) that ends with the automatic backups.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from dr.errors import Permanent
from dr.model.lag import Finding
from dr.model.words import Severity
from dr.providers.sim.aws.moving import Move, Moving, Sender
from dr.providers.sim.database import Copy, clip
from dr.providers.sim.sort import Answers, Told, answered
from dr.providers.sim.world import World

REACHES_EVERY = 10.0
"""Seconds between two tries of AWS to fence the old writer."""
RESYNC = 120.0
"""Seconds for which a fenced writer is ``pending-resync``."""
RENAMED_AFTER = 300.0
"""Seconds until a person has renamed the old cluster that a detached one has left writing."""


class GlobalDatabase(Moving):
    """``Store`` of one global database.

    instances: by region, how many work. coming: by region, when one that is being created is available. wanted: by region, how many it must
    have as the writer. alike: both sides run versions that a managed failover takes. detach: a failover takes the target out of it.
    resyncing: regions whose old writer is being made a reader. displaced: old writers that AWS has not reached yet.
    """

    def __init__(self, world: World, name: str, home: str, wanted: dict[str, int], *, detach: bool = False, sql: bool = False) -> None:
        super().__init__(world, name, home, sql=sql)
        self.detach, self.detached, self.alike = detach, False, True
        self.wanted = wanted
        self.instances = dict(wanted)
        self.coming: dict[str, float] = {}
        self.displaced: set[str] = set()
        self.resyncing: set[str] = set()
        self.room = True
        """AWS has instances left."""

    # --- instances ----------------------------------------------------------------------------------------------------

    def create_instances(self, region: str, seconds: float) -> int:
        """Those that are missing are being created: minutes. How many.

        Raises:
            Permanent: InsufficientDBInstanceCapacity.
        """
        lacks = self.wanted[region] - self.instances[region]
        if lacks <= 0 or region in self.coming:
            return 0
        if not self.room:
            raise Permanent(f"{self.name}: InsufficientDBInstanceCapacity in {region}", hint="another instance_class, or a zone with room")
        self.coming[region] = self.world.now + seconds
        self.world.loop.at(self.coming[region], lambda: self._there(region))
        return lacks

    def _there(self, region: str) -> None:
        if self.coming.pop(region, None) is not None:
            self.world.settle()
            self.instances[region] = self.wanted[region]
            self.world.did(f"{self.name}.instances", self.name, region, text="available")

    # --- moves --------------------------------------------------------------------------------------------------------

    def begin(self, how: str, target: str, seconds: float, by: Sender, *, stops: str = "") -> None:
        """As ``Moving``; refused, too, where the target has no instance, or versions that no managed failover takes."""
        if self.instances[target] == 0:
            raise Permanent(f"{self.name}: InvalidDBClusterStateFault: {target} has no instance", hint="regions.*.instance_class")
        if how == "failover" and not self.alike:
            raise Permanent(f"{self.name}: the engine versions are not compatible", hint="promotion: detach")
        super().begin(how, target, seconds, by, stops=stops)

    def unable(self, move: Move) -> str:
        """A switchover needs both sides, and everything in the target."""
        why = super().unable(move)
        if why or move.how != "switchover":
            return why
        source, copy = self.copies[move.stops], self.copies[move.target]
        if not self.streams(copy, source):
            return f"{move.target} does not receive what {move.stops} wrote"
        return "" if source.end - copy.end <= self.lag + 60.0 else f"{move.target} is too far behind"

    def take_over(self, move: Move) -> None:
        """A switchover hands everything over, and the roles are changed in one."""
        source = self.copies[move.stops] if move.how == "switchover" else None
        if source is not None:
            self.copies[move.target].log = clip(source.log, source.end)
        super().take_over(move)
        if source is not None:
            source.primary, source.upstream = False, move.target
        elif move.how == "failover":
            for region, copy in self.copies.items():
                if region != move.target and copy.primary and region not in self.absent:
                    self.displaced.add(region)
            self._reach()
        else:
            self.detached = True

    def came_to_pass(self, move: Move) -> None:
        """Whom AWS has not reached it tries again and again."""
        if self.displaced:
            self.world.loop.at(self.world.now + REACHES_EVERY, self._again)
        if self.detached:
            self.world.loop.at(self.world.now + RENAMED_AFTER, self._rename)

    def _again(self) -> None:
        if not self.displaced:
            return
        self.world.settle()
        for region in self._reach():
            self.world.did(f"{self.name}.fenced", self.name, region, text="AWS has made the old writer a reader")
        if self.displaced:
            self.world.loop.at(self.world.now + REACHES_EVERY, self._again)

    def _reach(self) -> list[str]:
        """Old writers that can be reached are readers from now on; what only they had is in a snapshot."""
        leads = max((copy for copy in self.copies.values() if copy.primary), key=lambda copy: copy.timeline)
        found = [region for region in sorted(self.displaced) if self.world.linked(leads.region, region)]
        for region in found:
            self.displaced.discard(region)
            self.left[region] = (*self.left.get(region, ()), *self.alone(region))
            copy = self.copies[region]
            copy.primary, copy.upstream = False, leads.region
            copy.log = clip(leads.log, leads.log[-1].begin)
            self.resyncing.add(region)
            self.world.loop.at(self.world.now + RESYNC, partial(self._resynced, region))
        return found

    def _resynced(self, region: str) -> None:
        if region in self.resyncing:
            self.world.settle()
            self.resyncing.discard(region)
            self.world.did(f"{self.name}.resynced", self.name, region)

    def streams(self, copy: Copy, source: Copy) -> bool:
        """Not while it is pending-resync; nor between two that stand alone."""
        return not self.detached and copy.region not in self.resyncing and super().streams(copy, source)

    def _rename(self) -> None:
        """A person takes the old cluster away that a detached one has left writing, once it can be reached; and joins the others."""
        for region in sorted(self.copies):
            copy = self.copies[region]
            if copy.primary and self.primary() is not copy and self.world.regions[region].alive:
                self.world.settle()
                self.keep_aside(region)
                self.detached = False
                self.world.did(f"{self.name}.renamed", self.name, region, text="a person renamed the old cluster: it keeps its data")
        if self.detached:
            self.world.loop.at(self.world.now + RENAMED_AFTER, self._rename)

    # --- what can be seen of it ---------------------------------------------------------------------------------------

    def look(self, region: str) -> Told:
        """Role and instances."""
        return Told(super().look(region).view, (self.instances[region], self.copies[region].primary))

    def findings(self, told: Answers) -> Sequence[Finding]:
        """A secondary without an instance; versions that are not alike."""
        found = []
        for region, item in answered(told).items():
            works, writes = item.facts
            if not works and not writes:
                fact = f"it is headless in {region}: creating an instance takes minutes of the RTO"
                found.append(self.finding(Severity.WARNING, fact, "keep one instance there", region))
        if not self.alike and not self.detach:
            fact = "engine versions differ: AWS refuses a managed failover where they are not compatible"
            found.append(self.finding(Severity.ERROR, fact, "upgrade the older side, or write promotion: detach"))
        return found
