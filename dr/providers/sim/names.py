"""Public names: a server in each region, time to live, and caches that hold old answers for as long as they please."""

from __future__ import annotations

from collections.abc import Iterable

from dr.model.words import Role
from dr.providers.sim.sort import Answers, Sort, Told, answered, seen_as, silent
from dr.providers.sim.wire import NotListening
from dr.providers.sim.world import World


class Names(Sort):
    """``Store`` of one zone. ``leads``: by server's region and name, the region that the name leads to there.

    cached: what the outside world believes, by name: region and until when. ttl, overstay: seconds; some resolver keeps an answer for
    ``overstay`` longer than it may.
    """

    placed = looked = compared = True

    def __init__(self, world: World, name: str, home: str, hostnames: Iterable[str], *, ttl: float = 1.0) -> None:
        super().__init__(world, name)
        self.ttl = ttl
        self.hostnames = tuple(hostnames)
        self.overstay = 0.0
        self.leads = {server: dict.fromkeys(self.hostnames, home) for server in world.regions}
        self.ttls = dict.fromkeys(world.regions, ttl)
        self._old: dict[str, tuple[str, float]] = {}

    def answers(self, server: str) -> bool:
        """Whether a server is there."""
        return self.world.regions[server].alive and server not in self.down

    def there(self, region: str) -> None:
        """Raises Transient where the server of a region does not answer."""
        if not self.answers(region):
            raise NotListening(f"the name server of {region} does not answer")

    def look(self, region: str) -> Told:
        """Where the server of a region leads."""
        self.there(region)
        own = self.leads[region]
        leads = set(own.values())
        return Told(seen_as(Role.PRIMARY if leads == {region} else Role.SECONDARY), dict(own))

    def unequal(self, told: Answers, primary: str | None) -> str:
        """Servers that answer otherwise than others do."""
        quiet = [error.message for error in silent(told).values()]
        if quiet:
            return "; ".join(quiet)
        first, *others = (item.facts for item in answered(told).values())
        differ = max((sum(first[name] != other[name] for name in first) for other in others), default=0)
        return f"the servers differ in {differ} records" if differ else ""

    def served(self, region: str) -> bool:
        """Whether what stands behind the names takes writes in a region, where no Deployments say so."""
        return True

    def answer(self, hostname: str) -> str | None:
        """Where the outside world is led by a name now: an old answer as long as it is cached, else what the first server says that
        answers, the one that was changed last before the others. None: nobody answers."""
        old = self._old.get(hostname)
        if old is not None and self.world.now < old[1]:
            return old[0]
        changed = self._changed
        if changed and self.answers(changed):
            return self.leads[changed][hostname]
        for server, leads in self.leads.items():
            if self.answers(server):
                return leads[hostname]
        return None

    def believed(self) -> set[str | None]:
        """All regions that the outside world is led to by some name now, as ``answer`` has it."""
        if self.world.now < self.cached_until:
            return {self.answer(hostname) for hostname in self.hostnames}
        order = [self._changed, *self.leads] if self._changed else [*self.leads]
        server = next((server for server in order if self.answers(server)), None)
        return set(self.leads[server].values()) if server is not None else {None for _ in self.hostnames}

    _changed: str = ""

    def change(self, server: str, hostnames: Iterable[str], region: str) -> int:
        """Names lead to a region from now on, at one server; caches hold the old answer for its time. How many were changed.

        Raises:
            Transient: the server is not there.
        """
        self.there(server)
        own, now = self.leads[server], self.world.now
        changed = [name for name in hostnames if own[name] != region]
        for name in changed:
            self._old[name] = (self.answer(name) or own[name], now + self.ttls[server] + self.overstay)
        for name in changed:
            own[name] = region
        if changed:
            self._changed = server
        return len(changed)

    def copy(self, server: str, other: str) -> None:
        """One server answers as another one does."""
        self.leads[server] = dict(self.leads[other])
        self.ttls[server] = self.ttls[other]

    @property
    def cached_until(self) -> float:
        """When the last old answer is forgotten."""
        return max((until for _region, until in self._old.values()), default=0.0)
