"""Which sort of component each kind is in a simulated world: how it begins, and what its steps do there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import PurePath
from typing import Any, NamedTuple, TypeVar

from dr.model.runbook import Component, Runbook
from dr.model.words import Intent, Verb
from dr.providers.sim.beside import Channel, Check, Pools, Program, Soak
from dr.providers.sim.certificates import Certificates
from dr.providers.sim.database import Database
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.images import Images
from dr.providers.sim.names import Names
from dr.providers.sim.objects import Objects
from dr.providers.sim.secrets import Secrets
from dr.providers.sim.silences import Silences
from dr.providers.sim.sort import Sort
from dr.providers.sim.steps import beside, certificates, database, deployments, images, names, objects, secrets, silences
from dr.providers.sim.steps.base import SimStep
from dr.providers.sim.world import Store, World

S = TypeVar("S", bound=Sort)

PARTS = ("ui", "api", "remote")
"""The public names of a Deployment."""


@dataclass(frozen=True)
class Beginning:
    """A world that is being furnished. deployments, tasks: how many there are of each. found: what is there already, by component.

    called: the public names of all Deployments, equally many of each; none: made up.
    """

    world: World
    runbook: Runbook
    deployments: int
    tasks: int
    called: tuple[str, ...] = ()
    found: dict[str, Sort] = field(default_factory=dict)

    def named(self, sort: type[S], name: str | None) -> S | None:
        """The component of a sort that a setting names; None where it names none, or something else."""
        store = self.found.get(name or "")
        return store if isinstance(store, sort) else None

    def all(self, sort: type[S]) -> list[S]:
        """All components of a sort."""
        return [store for store in self.found.values() if isinstance(store, sort)]

    @property
    def hostnames(self) -> tuple[str, ...]:
        """All public names of the platform."""
        return self.called or tuple(f"d-{number:03d}.{part}" for number in range(1, self.deployments + 1) for part in PARTS)


def _regions(component: Component) -> tuple[str, ...]:
    """The regions that a component's settings name; none: those of the runbook."""
    return tuple(getattr(component.config, "regions", ()))


def _setting(component: Component, name: str, default: Any = None) -> Any:
    return getattr(component.config, name, default)


def _seconds(component: Component, name: str, default: float) -> float:
    value = _setting(component, name)
    return value.total_seconds() if isinstance(value, timedelta) else default


def _database(begin: Beginning, name: str, component: Component) -> Sort:
    return Database(begin.world, name, begin.runbook.home)


def _deployments(begin: Beginning, name: str, component: Component) -> Sort:
    base = begin.named(Database, _setting(component, "database"))
    assert base is not None, "Deployments stand on a database"
    made = Deployments(begin.world, name, begin.runbook.home, base, begin.deployments, begin.tasks)
    if isinstance(_setting(component, "certificates"), Mapping):  # it looks after them itself
        made.certificates = Certificates(begin.world, name, begin.hostnames, 0.0, tuple(_setting(component, "certificates")))
    return made


def _names(begin: Beginning, name: str, component: Component) -> Sort:
    return Names(begin.world, name, begin.runbook.home, begin.hostnames)


def _objects(begin: Beginning, name: str, component: Component) -> Sort:
    """Who writes there: the Deployments that need the bucket; where none does, whoever follows its marker."""
    writers = (store for store in begin.all(Deployments) if name in begin.runbook.components[store.name].needs)
    return Objects(begin.world, name, begin.runbook.home, next(writers, None), _regions(component))


def _images(begin: Beginning, name: str, component: Component) -> Sort:
    served = begin.named(Deployments, _setting(component, "deployments"))
    whole = tuple(f"sha256:{repository}@1" for repository in _setting(component, "repositories", ()))
    made = Images(begin.world, name, served, _setting(component, "rollback", 0), whole, _regions(component))
    made.repository = _setting(component, "repository") or "images"
    return made


def _secrets(begin: Beginning, name: str, component: Component) -> Sort:
    base = begin.named(Database, _setting(component, "database"))
    served = next((store for store in begin.all(Deployments) if store.database is base), None)
    fernet = _setting(component, "fernet")
    return Secrets(
        begin.world, name, base, served, _setting(component, "needed", ()), None if fernet is None else fernet.path, _regions(component)
    )


def _certificates(begin: Beginning, name: str, component: Component) -> Sort:
    hostnames = (*(begin.hostnames if _setting(component, "deployments") else ()), *_setting(component, "hostnames", ()))
    return Certificates(begin.world, name, hostnames, _seconds(component, "min_validity", 0.0), _regions(component))


def _silences(begin: Beginning, name: str, component: Component) -> Sort:
    return Silences(begin.world, name, _seconds(component, "expires", 3600.0), _regions(component))


def _check(begin: Beginning, name: str, component: Component) -> Sort:
    """What must be so: the platform serves, or a database answers; names lead there, for what asks through them."""
    asked = begin.named(Database, _setting(component, "database"))
    zones = [zone for zone in begin.all(Names) if zone.name in component.needs]
    by_name, everywhere = _setting(component, "route", "outside") == "outside", component.kind == "dns-check"
    return Check(
        begin.world, name, () if asked is not None or everywhere else begin.all(Deployments),
        () if asked is None else (asked,), (begin.all(Names) if everywhere else zones) if by_name else (), everywhere=everywhere,
        successes=_setting(component, "successes", 1), every=_seconds(component, "every", 1.0),
    )  # fmt: skip


def _soak(begin: Beginning, name: str, component: Component) -> Sort:
    checks = [store for store in begin.all(Check) if store.name in _setting(component, "checks", ())]
    return Soak(begin.world, name, checks, _seconds(component, "duration", 1.0), _seconds(component, "every", 1.0))


def _pools(begin: Beginning, name: str, component: Component) -> Sort:
    return Pools(begin.world, name, begin.named(Database, _setting(component, "database")))


def _channel(begin: Beginning, name: str, component: Component) -> Sort:
    return Channel(begin.world, name, tuple(channel.name for channel in _setting(component, "to", ())))


def _program(begin: Beginning, name: str, component: Component) -> Sort:
    run = _setting(component, "run", ("program",))
    argv = next(iter(run.values())) if isinstance(run, dict) else run
    checked = _setting(component, "check") is not None
    return Program(
        begin.world, name, PurePath(argv[0]).name, checked=checked, repeatable=_setting(component, "repeatable", False)
    )


def _unknown(begin: Beginning, name: str, component: Component) -> Sort:
    return Sort(begin.world, name)


def _takes_time(name: str, verb: Verb, intent: Intent) -> type[SimStep[Any]]:
    return SimStep


Operations = Callable[[str, Verb, Intent], type[SimStep[Any]]]
"""The operation of a step, by its name, its verb, and the intent."""


class Furniture(NamedTuple):
    """One kind in a world. ``turn``: what is made on others is made after them."""

    make: Callable[[Beginning, str, Component], Sort]
    operation: Operations
    turn: int = 2


KINDS: Mapping[str, Furniture] = {
    "postgres": Furniture(_database, database.operation, 0),
    "airflow-deployments": Furniture(_deployments, deployments.operation, 1),
    "dns-records": Furniture(_names, names.operation),
    "s3-bucket": Furniture(_objects, objects.operation),
    "oci-registry": Furniture(_images, images.operation),
    "vault-kv": Furniture(_secrets, secrets.operation),
    "tls-certificates": Furniture(_certificates, certificates.operation),
    "alert-silence": Furniture(_silences, silences.operation),
    "http-check": Furniture(_check, beside.check, 3),
    "dns-check": Furniture(_check, beside.check, 3),
    "sql-check": Furniture(_check, beside.check, 3),
    "metric-check": Furniture(_check, beside.check, 3),
    "soak": Furniture(_soak, beside.soak, 4),
    "restart": Furniture(_pools, beside.restart),
    "notify": Furniture(_channel, beside.notify),
    "command": Furniture(_program, beside.command),
}
"""What each kind is. One that is not here takes its time and succeeds."""

UNKNOWN = Furniture(_unknown, _takes_time)


def stores(world: World, runbook: Runbook, deployments: int, tasks: int, called: Sequence[str] = ()) -> dict[str, Store]:
    """What the components of a runbook are in a new world, by name, in the order of the runbook. ``called``: see ``Beginning``."""
    begin = Beginning(world, runbook, deployments, tasks, tuple(called))
    for name, component in sorted(runbook.components.items(), key=lambda item: KINDS.get(item[1].kind, UNKNOWN).turn):
        begin.found[name] = KINDS.get(component.kind, UNKNOWN).make(begin, name, component)
    return {name: begin.found[name] for name in runbook.components}
