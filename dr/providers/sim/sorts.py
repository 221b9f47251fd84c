"""Which sort of component each kind is in a simulated world: how it begins, and what its steps do there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from dr.model.runbook import Component, Runbook
from dr.model.words import Intent, Verb
from dr.providers.sim.aws.kinds import AWS
from dr.providers.sim.beside import Channel, Check, Pools, Program, Soak
from dr.providers.sim.certificates import Certificates
from dr.providers.sim.database import Database
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.furniture import Beginning, Furniture, regions_of, seconds_of, setting
from dr.providers.sim.images import Images
from dr.providers.sim.names import Names
from dr.providers.sim.objects import Objects
from dr.providers.sim.secrets import Secrets
from dr.providers.sim.silences import Silences
from dr.providers.sim.sort import Sort
from dr.providers.sim.steps import beside, certificates, database, deployments, images, names, objects, secrets, silences
from dr.providers.sim.steps.base import SimStep
from dr.providers.sim.world import Store, World


def _database(begin: Beginning, name: str, component: Component) -> Sort:
    return Database(begin.world, name, begin.runbook.home)


def _deployments(begin: Beginning, name: str, component: Component) -> Sort:
    base = begin.named(Database, setting(component, "database"))
    assert base is not None, "Deployments stand on a database"
    made = Deployments(begin.world, name, begin.runbook.home, base, begin.deployments, begin.tasks)
    if isinstance(setting(component, "certificates"), Mapping):  # it looks after them itself
        made.certificates = Certificates(begin.world, name, begin.hostnames, 0.0, tuple(setting(component, "certificates")))
    return made


def _names(begin: Beginning, name: str, component: Component) -> Sort:
    return Names(begin.world, name, begin.runbook.home, begin.hostnames)


def _objects(begin: Beginning, name: str, component: Component) -> Sort:
    """Who writes there: the Deployments that need the bucket; where none does, whoever follows its marker."""
    writers = (store for store in begin.all(Deployments) if name in begin.runbook.components[store.name].needs)
    return Objects(begin.world, name, begin.runbook.home, next(writers, None), regions_of(component))


def _images(begin: Beginning, name: str, component: Component) -> Sort:
    served = begin.named(Deployments, setting(component, "deployments"))
    whole = tuple(f"sha256:{repository}@1" for repository in setting(component, "repositories", ()))
    made = Images(begin.world, name, served, setting(component, "rollback", 0), whole, regions_of(component))
    made.repository = setting(component, "repository") or "images"
    return made


def _secrets(begin: Beginning, name: str, component: Component) -> Sort:
    base = begin.named(Database, setting(component, "database"))
    served = next((store for store in begin.all(Deployments) if store.database is base), None)
    fernet = setting(component, "fernet")
    return Secrets(
        begin.world, name, base, served, setting(component, "needed", ()), None if fernet is None else fernet.path, regions_of(component)
    )


def _certificates(begin: Beginning, name: str, component: Component) -> Sort:
    hostnames = (*(begin.hostnames if setting(component, "deployments") else ()), *setting(component, "hostnames", ()))
    return Certificates(begin.world, name, hostnames, seconds_of(component, "min_validity", 0.0), regions_of(component))


def _silences(begin: Beginning, name: str, component: Component) -> Sort:
    return Silences(begin.world, name, seconds_of(component, "expires", 3600.0), regions_of(component))


def _check(begin: Beginning, name: str, component: Component) -> Sort:
    """What must be so: the platform serves, or a database answers; names lead there, for what asks through them."""
    asked = begin.named(Database, setting(component, "database"))
    zones = [zone for zone in begin.all(Names) if zone.name in component.needs]
    by_name, everywhere = setting(component, "route", "outside") == "outside", component.kind == "dns-check"
    return Check(
        begin.world, name, () if asked is not None or everywhere else begin.all(Deployments),
        () if asked is None else (asked,), (begin.all(Names) if everywhere else zones) if by_name else (), everywhere=everywhere,
        successes=setting(component, "successes", 1), every=seconds_of(component, "every", 1.0),
    )  # fmt: skip


def _soak(begin: Beginning, name: str, component: Component) -> Sort:
    checks = [store for store in begin.all(Check) if store.name in setting(component, "checks", ())]
    return Soak(begin.world, name, checks, seconds_of(component, "duration", 1.0), seconds_of(component, "every", 1.0))


def _pools(begin: Beginning, name: str, component: Component) -> Sort:
    return Pools(begin.world, name, begin.named(Database, setting(component, "database")))


def _channel(begin: Beginning, name: str, component: Component) -> Sort:
    return Channel(begin.world, name, tuple(channel.name for channel in setting(component, "to", ())))


def _program(begin: Beginning, name: str, component: Component) -> Sort:
    run = setting(component, "run", ("program",))
    argv = next(iter(run.values())) if isinstance(run, dict) else run
    checked = setting(component, "check") is not None
    return Program(
        begin.world, name, PurePath(argv[0]).name, checked=checked, repeatable=setting(component, "repeatable", False)
    )


def _unknown(begin: Beginning, name: str, component: Component) -> Sort:
    return Sort(begin.world, name)


def _takes_time(name: str, verb: Verb, intent: Intent) -> type[SimStep[Any]]:
    return SimStep


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
    **AWS,
}
"""What each kind is. One that is not here takes its time and succeeds."""

UNKNOWN = Furniture(_unknown, _takes_time)


def stores(world: World, runbook: Runbook, deployments: int, tasks: int, called: Sequence[str] = ()) -> dict[str, Store]:
    """What the components of a runbook are in a new world, by name, in the order of the runbook. ``called``: see ``Beginning``."""
    begin = Beginning(world, runbook, deployments, tasks, tuple(called))
    for name, component in sorted(runbook.components.items(), key=lambda item: KINDS.get(item[1].kind, UNKNOWN).turn):
        begin.found[name] = KINDS.get(component.kind, UNKNOWN).make(begin, name, component)
    return {name: begin.found[name] for name in runbook.components}
