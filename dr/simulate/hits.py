"""What the faults of a scenario do to a simulated world, and which of them it cannot have. Each happens at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Protocol, TypeVar

from dr.errors import UsageError
from dr.model.scenario import Fault, LinkFault, Scenario, Slow, Spoil, Target
from dr.providers.sim.aws.traffic import Checks, Zone
from dr.providers.sim.certificates import Certificates
from dr.providers.sim.database import Database
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.images import Images
from dr.providers.sim.names import Names
from dr.providers.sim.objects import Objects
from dr.providers.sim.secrets import Secrets
from dr.providers.sim.sort import Sort
from dr.providers.sim.world import Effect, Way, World

S = TypeVar("S")
Place = tuple[str | int, ...]
_AGENT, _SYNC = "agent", "log-sync"
_NEEDED = (
    ("airflow-deployments", "aws.aurora-global-database", "aws.rds-read-replica"),
    ("dns-records", "aws.arc-routing-control", "aws.route53-health-check", "aws.route53-records"),
)
"""Of each one: what takes the outside client's writes, and what leads it there."""
_PLANES = "control-planes"
"""Those of AWS that live in us-east-1 only."""
_ALWAYS = ("postgres", "dns", "runtime")
_EXTRA: Mapping[str, str] = {"openbao": "vault-kv", "registry": "oci-registry"}
"""Servers of a region, with the kind that stands on them."""
_HERE = "here"
"""The machine at which the drill's people sit."""
_LONG_AGO = 86_400.0


class Agent(Protocol):
    """What of the outside can be killed: the customer's remote-execution agent."""

    def end_agent(self) -> None:
        """It is killed."""

    def begin_agent(self) -> None:
        """It runs again."""


def beyond(scenario: Scenario, kinds: Collection[str]) -> Iterator[tuple[Place, str]]:
    """Places of a scenario that a simulated world cannot have, and why; nothing where it can be played.

    Args:
        kinds: those of the runbook's components.
    """
    for any_of in _NEEDED:
        if not {*any_of} & {*kinds}:
            who = "the outside client of a simulated world would have nobody to write to"
            yield ("runbook",), f"it has no component of kind {any_of[0]}: {who}"
    inside = (*_ALWAYS, *(name for name, kind in _EXTRA.items() if kind in kinds))
    planes = (_PLANES,) if any(kind.startswith("aws.") for kind in kinds) else ()
    outside = (_AGENT, *((_SYNC,) if "s3-bucket" in kinds else ()), *planes)
    able = [what for what, (needed, _) in _SPOILS.items() if needed & set(kinds)]
    for index, fault in enumerate(scenario.timeline):
        place: Place = ("timeline", index, fault.kind)
        target = fault.kill or fault.freeze or fault.thaw or fault.cut or fault.bring_back
        if target is not None and target.server is not None:
            yield from _server(place, fault, target.server, outside if target.region is None else inside)
        if fault.link is not None and fault.link.bytes_per_second is not None:
            yield (*place, "bytes_per_second"), "the simulated link counts no bytes; it can have a delay, or be a blackhole"
        if fault.spoil is not None and fault.spoil.what not in able:
            yield (*place, "what"), f"the simulated world cannot spoil that; of this runbook it can spoil {', '.join(able) or 'nothing'}"


def _server(place: Place, fault: Fault, server: str, known: Collection[str]) -> Iterator[tuple[Place, str]]:
    held = fault.freeze is not None or fault.thaw is not None
    if server not in known:
        yield (*place, "server"), f"the simulated world has no such server; it has {', '.join(known)}"
    elif fault.cut is not None:
        yield (*place, "server"), "the simulated world cuts off whole regions only"
    elif held and server not in ("postgres", _SYNC):
        yield (*place, "server"), f"of single servers the simulated world freezes postgres and {_SYNC} only"


class Hits:
    """Strikes one world. ``agent``: who is outside of it."""

    def __init__(self, world: World, agent: Agent) -> None:
        self._world, self._agent = world, agent
        self._late_by: dict[str, float] = {}
        self._unsent: float | None = None
        self._lags = {store.name: store.lag for store in world.stores.values() if isinstance(store, Database)}
        world.watchers.insert(0, self._serves_late)  # before who looks how writes fare

    def strike(self, fault: Fault) -> None:
        """Makes it happen. Raises UsageError: there is no such part."""
        acts: Mapping[str, Callable[..., None]] = {
            "kill": self._kill, "freeze": self._freeze, "thaw": self._thaw, "cut": self._cut, "link": self._link,
            "bring_back": self._bring_back, "spoil": self._spoil, "slow": self._slow,
        }  # fmt: skip
        self._world.settle()
        acts[fault.kind](getattr(fault, fault.kind))
        self._world.did(f"drill.{fault.kind}", "", "")

    # --- regions and servers ------------------------------------------------------------------------------------------

    def _kill(self, target: Target) -> None:
        if target.region is None:
            if target.server == _AGENT:
                self._agent.end_agent()
            elif target.server == _PLANES:
                self._planes(answer=False)
            else:
                self._stop_sync(loses_its_place=True)
            return
        region = self._region(target.region)
        if target.server is None:
            self._world.regions[region].refuses = True  # its servers are killed, not its network
            self._world.lose(region)
            return
        self._stop_server(region, target.server)

    def _planes(self, *, answer: bool) -> None:
        """What only edits need: health and routing controls go on."""
        for store in self._world.stores.values():
            if isinstance(store, (Zone, Checks)):
                store.edits = lambda: answer

    def _stop_server(self, region: str, server: str) -> None:
        if server == "postgres":
            for database in self._stores(Database):
                database.copies[region].up = database.copies[region].frozen = False
        elif server == "runtime":
            for deployments in self._stores(Deployments):
                deployments.runtimes[region].up = False
                deployments.runtimes[region].schedulers.clear()
        else:
            for store in self._behind(server):
                store.down.add(region)

    def _bring_back(self, target: Target) -> None:
        if target.region is None:
            if target.server == _AGENT:
                self._agent.begin_agent()
            elif target.server == _PLANES:
                self._planes(answer=True)
            else:
                self._start_sync()
            return
        region = self._region(target.region)
        if target.server is None:
            self._world.bring_back(region)
            self._world.set_way(_HERE, region, Way.OPEN)
            self._world.regions[region].refuses = False
        for server in (*_ALWAYS, *_EXTRA) if target.server is None else (target.server,):
            self._start_server(region, server)

    def _start_server(self, region: str, server: str) -> None:
        if server == "postgres":
            for database in self._stores(Database):
                copy = database.copies[region]
                copy.up, copy.frozen, copy.fenced = True, False, False
        elif server == "runtime":
            for deployments in self._stores(Deployments):
                deployments.runtimes[region].up = True
                if deployments.database.copies[region].primary:  # as at a site whose power returns
                    deployments.schedule(region, deployments.ids)
        else:
            for store in self._behind(server):
                store.down.discard(region)

    def _freeze(self, target: Target) -> None:
        if target.region is None:
            self._stop_sync(loses_its_place=False)
        elif target.server is None:
            self._world.regions[self._region(target.region)].refuses = False
            self._world.lose(target.region)  # it holds everything and answers nothing
        else:
            for database in self._stores(Database):
                database.copies[self._region(target.region)].frozen = True

    def _thaw(self, target: Target) -> None:
        if target.region is None:
            self._start_sync()
        elif target.server is None:
            self._world.bring_back(self._region(target.region))
        else:
            for database in self._stores(Database):
                database.copies[self._region(target.region)].frozen = False

    def _behind(self, server: str) -> list[Sort]:
        """The stores that do not answer while a server is down."""
        sorts: Mapping[str, type[Sort]] = {"dns": Names, "openbao": Secrets, "registry": Images}
        if server not in sorts:
            raise UsageError(f"the simulated world has no server {server!r}", hint=f"expected one of {', '.join((*_ALWAYS, *_EXTRA))}")
        return [store for store in self._world.stores.values() if isinstance(store, sorts[server])]

    def _stop_sync(self, *, loses_its_place: bool) -> None:
        for objects in self._stores(Objects):
            objects.stalled = True
        self._unsent = self._world.now if loses_its_place else None

    def _start_sync(self) -> None:
        """The replication of objects; one that was killed goes on from now, and never sends what was written meanwhile."""
        for objects in self._stores(Objects):
            objects.stalled = False
            for (one, other), way in objects.ways.items() if self._unsent is not None else ():
                objects.fail(one, other, min(way.upto, self._world.now), self._world.now)
                way.upto = self._world.now
        self._unsent = None

    # --- ways and contents --------------------------------------------------------------------------------------------

    def _cut(self, target: Target) -> None:
        self._world.set_way(_HERE, self._region(target.region), Way.CUT)

    def _link(self, link: LinkFault) -> None:
        for one in self._world.regions:
            for other in self._world.regions:
                if one != other and ((one, other) in self._world.cut_links) != link.blackhole:
                    self._world.set_link(one, other, open_=not link.blackhole)
        for database in self._stores(Database):
            database.lag = self._lags[database.name] + (link.delay.total_seconds() if link.delay is not None else 0.0)

    def _spoil(self, spoil: Spoil) -> None:
        self._region(spoil.region)
        if spoil.what not in _SPOILS:
            raise UsageError(f"the simulated world cannot spoil {spoil.what!r}", hint=f"it can spoil {', '.join(_SPOILS)}")
        for store in self._world.stores.values():
            _SPOILS[spoil.what][1](store, spoil.region)

    def _slow(self, slow: Slow) -> None:
        self._late_by[self._region(slow.region)] = slow.by.total_seconds()

    def _serves_late(self, effect: Effect) -> None:
        """A region whose capacity comes late serves so long after its database could."""
        by = self._late_by.get(effect.region)
        for deployments in self._stores(Deployments) if by is not None else ():
            if by is not None and effect.what == f"{deployments.database.name}.promote":
                runtime = deployments.runtimes[effect.region]
                runtime.ready_at = max(runtime.ready_at, effect.at + by)

    def _stores(self, sort: type[S]) -> list[S]:
        return [store for store in self._world.stores.values() if isinstance(store, sort)]

    def _region(self, name: str | None) -> str:
        if name is None or name not in self._world.regions:
            raise UsageError(f"the simulated world has no region {name!r}", hint=f"expected one of {', '.join(self._world.regions)}")
        return name


# --- contents that are made wrong, each for the first Deployment --------------------------------------------------------


def _certificates(store: object) -> Certificates | None:
    if isinstance(store, Deployments):
        return store.certificates
    return store if isinstance(store, Certificates) else None


def _without_certificate(store: object, region: str) -> None:
    found = _certificates(store)
    if found is not None:
        found.absent[region].add(found.hostnames[1])


def _expired(store: object, region: str) -> None:
    found = _certificates(store)
    if found is not None:
        found.expires[region][found.hostnames[1]] = -_LONG_AGO


def _without_image(store: object, region: str) -> None:
    if isinstance(store, Images) and store.deployments is not None:
        store.missing[region].add(store.deployments.images[store.deployments.ids[0]])


def _other_image(store: object, region: str) -> None:
    """Somebody pushed a newer image under its tag, there alone."""
    if isinstance(store, Images) and store.deployments is not None:
        first = store.deployments.ids[0]
        base, _, number = store.deployments.images[first].rpartition("@")
        store.tags[region][first] = f"{base}@{int(number) + 1}"


def _without_secret(store: object, region: str) -> None:
    if isinstance(store, Secrets):
        first = next(iter(store.paths))
        store.forget(region, next(path for path in store.paths[first] if path != store.key_of(first)))


def _no_key(store: object, region: str) -> None:
    if isinstance(store, Secrets):
        store.no_keys.add(store.write(region, store.key_of(next(iter(store.paths)))))


def _other_key(store: object, region: str) -> None:
    if isinstance(store, Secrets):
        store.write(region, store.key_of(next(iter(store.paths))))


_SPOILS: Mapping[str, tuple[frozenset[str], Callable[[object, str], None]]] = {
    "certificate-missing": (frozenset({"tls-certificates", "airflow-deployments"}), _without_certificate),
    "certificate-expired": (frozenset({"tls-certificates", "airflow-deployments"}), _expired),
    "image-missing": (frozenset({"oci-registry"}), _without_image),
    "image-other-digest": (frozenset({"oci-registry"}), _other_image),
    "secret-missing": (frozenset({"vault-kv"}), _without_secret),
    "secret-undecryptable": (frozenset({"vault-kv"}), _no_key),
    "fernet-differs": (frozenset({"vault-kv"}), _other_key),
}
"""What contents can be made wrong: the kinds that have them, and how."""
