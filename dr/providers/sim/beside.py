"""What stands beside the platform: checks, pools of connections, channels to people, programs of the user's own."""

from __future__ import annotations

from collections.abc import Sequence

from dr.errors import Transient
from dr.providers.sim.database import Database
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.names import Names
from dr.providers.sim.sort import Sort
from dr.providers.sim.world import World


class Check(Sort):
    """``Store`` of a check: what must be so for it to hold in a region.

    service: Deployments of the platform. databases: those that must answer. names: zones that must lead there. wrong: why it does not hold
    whatever the platform does; empty where it may hold. everywhere: every name server that answers counts, not the target's alone.
    successes, every: so many looks in a row, so many seconds apart.
    """

    def __init__(
        self, world: World, name: str, service: Sequence[Deployments] = (), databases: Sequence[Database] = (),
        names: Sequence[Names] = (), *, everywhere: bool = False, successes: int = 1, every: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__(world, name)
        self.service, self.databases, self.names = tuple(service), tuple(databases), tuple(names)
        self.everywhere, self.successes, self.every, self.wrong = everywhere, successes, every, ""

    def hold(self, region: str) -> str:
        """What was seen. Raises Transient: it does not hold."""
        if self.wrong:
            raise Transient(f"{self.name}: {self.wrong}")
        for deployments in self.service:
            if not deployments.serves(region):
                raise Transient(f"{self.name}: {deployments.name} takes no writes in {region}")
        for database in self.databases:
            copy = database.copies[region]
            if not copy.up or copy.frozen:
                raise Transient(f"{self.name}: {database.name} in {region} does not answer")
        for zone in self.names:
            self._led(zone, region)
        return f"as expected in {region}"

    def _led(self, zone: Names, region: str) -> None:
        """Those who are asked lead there: the target's server, another one where that is silent; or all."""
        servers = [server for server in sorted(zone.leads, key=lambda server: server != region) if zone.answers(server)]
        if not servers:
            raise Transient(f"{self.name}: no name server answers")
        for server in servers if self.everywhere else servers[:1]:
            for hostname, leads in zone.leads[server].items():
                if leads != region:
                    raise Transient(f"{self.name}: {server} leads {hostname} to {leads}, expected {region}")


class Soak(Sort):
    """``Store`` of a soak: the checks that must hold, for how long, looked at how often, in seconds."""

    def __init__(self, world: World, name: str, checks: Sequence[Check], duration: float, every: float) -> None:
        super().__init__(world, name)
        self.checks, self.duration, self.every = tuple(checks), duration, every


class Pools(Sort):
    """``Store`` of whoever keeps connections to a database. restarted: by region, how often they let go of old ones.

    A session is old where its server was promoted since.
    """

    def __init__(self, world: World, name: str, database: Database | None) -> None:
        super().__init__(world, name)
        self.database = database
        self.restarted: dict[str, int] = {}
        self._known: dict[str, int] = {}

    def old(self, region: str) -> bool | None:
        """Sessions from before the promotion are held there; None where nobody can count them."""
        if self.database is None:
            return None
        return self._promotions(region) > self._known.get(region, 0)

    def restart(self, region: str) -> None:
        """They let go."""
        self.restarted[region] = self.restarted.get(region, 0) + 1
        self._known[region] = self._promotions(region)

    def _promotions(self, region: str) -> int:
        return 0 if self.database is None else sum(where == region for _, where, _ in self.database.promotions)


class Channel(Sort):
    """``Store`` of the ways to people. broken: nothing arrives. sent: the messages, with the run and the stage."""

    def __init__(self, world: World, name: str, to: Sequence[str]) -> None:
        super().__init__(world, name)
        self.to, self.broken = tuple(to), False
        self.sent: list[tuple[str, str, str]] = []

    def send(self, run: str, stage: str, text: str) -> None:
        """Raises Transient where nothing arrives."""
        if self.broken:
            raise Transient(f"{', '.join(self.to)}: the message {stage} was not sent")
        self.sent.append((run, stage, text))


class Program(Sort):
    """``Store`` of a command. done: by region and key of the attempt's step, how often its effect was had. fails: it ends badly."""

    def __init__(self, world: World, name: str, program: str, *, checked: bool, repeatable: bool) -> None:
        super().__init__(world, name)
        self.program, self.checked, self.repeatable, self.fails = program, checked, repeatable, False
        self.done: set[tuple[str, str, str]] = set()
