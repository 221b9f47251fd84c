"""Which sort each kind of AWS is in a simulated world: how it begins, and what its steps do there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dr.model.runbook import Component, Runbook
from dr.providers.sim.aws.aurora import GlobalDatabase
from dr.providers.sim.aws.capacity import Groups, Mappings
from dr.providers.sim.aws.ready import Ready, Values
from dr.providers.sim.aws.replica import Replica
from dr.providers.sim.aws.traffic import Checks, Controls, Everywhere, Platform, Prepared, Zone
from dr.providers.sim.aws.twoway import Buckets, GlobalTable
from dr.providers.sim.beside import Program
from dr.providers.sim.certificates import Certificates
from dr.providers.sim.database import Database
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.furniture import Beginning, Furniture, regions_of, seconds_of, setting
from dr.providers.sim.images import Images
from dr.providers.sim.sort import Sort
from dr.providers.sim.steps import beside, certificates
from dr.providers.sim.steps.aws import aurora, bucket, capacity, ready, replica, table, traffic
from dr.providers.sim.world import World

_SIZE = 4
"""How many a group has in the region that leads, where nothing says how many it needs."""
_ROUTE_53 = "us-east-1"
"""Where its control plane lives."""


def _aurora(begin: Beginning, name: str, component: Component) -> Sort:
    wanted = {region: getattr(own, "instances", 1) for region, own in setting(component, "regions", {}).items()}
    detach = str(setting(component, "promotion", "managed")) == "detach"
    return GlobalDatabase(begin.world, name, begin.runbook.home, wanted, detach=detach, sql=setting(component, "sql") is not None)


def _replica(begin: Beginning, name: str, component: Component) -> Sort:
    return Replica(begin.world, name, begin.runbook.home)


def _where(begin: Beginning) -> Callable[[str], bool]:
    """Whether somebody writes in a region: Deployments that run there, else whoever writes to the databases; without any, home's own."""
    deployments, databases, home = begin.all(Deployments), begin.all(Database), begin.runbook.home
    if deployments:
        return lambda region: any(store.runs(region) for store in deployments)
    if databases:
        return lambda region: any(store.writable(region) for store in databases)
    return lambda region: region == home


def _bucket(begin: Beginning, name: str, component: Component) -> Sort:
    access = setting(component, "access_point") is not None
    batch = setting(component, "batch_role") is not None
    return Buckets(begin.world, name, begin.runbook.home, _where(begin), regions_of(component), access=access, batch=batch)


def _table(begin: Beginning, name: str, component: Component) -> Sort:
    return GlobalTable(begin.world, name, begin.runbook.home, _where(begin), regions_of(component))


def _images(begin: Beginning, name: str, component: Component) -> Sort:
    served = begin.named(Deployments, setting(component, "deployments"))
    whole = tuple(f"sha256:{image}@1" for image in setting(component, "images", ()))
    return Images(begin.world, name, served, setting(component, "rollback", 0) or 0, whole, regions_of(component))


def _values(begin: Beginning, name: str, component: Component) -> Sort:
    base = begin.named(Database, setting(component, "database"))
    below = [f"{prefix}{word}" for prefix in (*setting(component, "prefixes", ()), *setting(component, "paths", ())) for word in ("a", "b")]
    named = (*setting(component, "names", ()), *below)
    return Values(begin.world, name, begin.runbook.home, base, named, regions_of(component))


def _ready(begin: Beginning, name: str, component: Component) -> Sort:
    return Ready(begin.world, name, begin.runbook.home, regions_of(component))


def _certificates(begin: Beginning, name: str, component: Component) -> Sort:
    hostnames = (*(begin.hostnames if setting(component, "deployments") else ()), *setting(component, "hostnames", ()))
    return Certificates(begin.world, name, hostnames, seconds_of(component, "min_validity", 0.0), regions_of(component))


def _groups(begin: Beginning, name: str, component: Component) -> Sort:
    """Home has what the runbook wants of it; the other side stands by with what re-protect would leave it, or half."""
    config = component.config
    words = tuple(config.groups(begin.runbook.home)) if hasattr(config, "groups") else ()
    stand_by, size = setting(component, "stand_by"), setting(component, "size")
    has = size if isinstance(size, int) else setting(component, "if_unknown") or _SIZE
    rests = stand_by if isinstance(stand_by, int) else max(1, has // 2)
    each = {"aws.ecs-services": 30.0}.get(component.kind, 90.0)
    wanted: Callable[[str, int | None], int | None] = getattr(config, "wanted", lambda _word, primary: primary)
    return Groups(
        begin.world, name, begin.runbook.home, words, tuple(config.named_regions()) if hasattr(config, "named_regions") else (), size=has,
        resting=rests, each=each, wanted=wanted, zones=setting(component, "zones", 2),
        stand_by=stand_by if isinstance(stand_by, int) else None if stand_by is None else rests,
        writers=bool(setting(component, "writers", False)),
    )  # fmt: skip


def _mappings(begin: Beginning, name: str, component: Component) -> Sort:
    words = {region: tuple(own.mappings) for region, own in setting(component, "regions", {}).items()}
    return Mappings(begin.world, name, begin.runbook.home, words)


def _function(begin: Beginning, name: str, component: Component) -> Sort:
    checked = bool(setting(component, "check", False))
    return Program(begin.world, name, "function", checked=checked, repeatable=not checked)


# --- traffic ------------------------------------------------------------------------------------------------------------


def _platform(begin: Beginning) -> Platform:
    return Platform(begin.all(Database), begin.all(Groups))


def _names(begin: Beginning, component: Component) -> tuple[str, ...]:
    """The public names of one hosted zone; patterns stand for those of the platform."""
    named = tuple(setting(component, "names", ()))
    return tuple(name for name in named if "*" not in name) or begin.hostnames


def _followers(begin: Beginning, name: str) -> tuple[str, ...]:
    """The names that hang on a component."""
    led = [item for item in begin.runbook.components.values() if setting(item, "flipped_by") == name]
    return tuple(dict.fromkeys(hostname for item in led for hostname in _names(begin, item))) or begin.hostnames


def _edits(world: World, runbook: Runbook) -> Callable[[], bool]:
    """Whether the control plane of Route 53 takes changes: not where its region is one of the runbook's, and lost."""
    codes = {region: (item.aws.region if item.aws is not None else None) or region for region, item in runbook.regions.items()}
    lives_in = [region for region, code in codes.items() if code == _ROUTE_53]
    return lambda: all(world.regions[region].alive for region in lives_in)


def _controls(begin: Beginning, name: str, component: Component) -> Sort:
    return Controls(
        begin.world, name, begin.runbook.home, _followers(begin, name), _platform(begin), ttl=seconds_of(component, "ttl", 60.0),
        sees=seconds_of(component, "takes", 20.0), named=len(setting(component, "endpoints", ())),
        overridden=bool(setting(component, "override_safety_rules", ())),
    )  # fmt: skip


def _checks(begin: Beginning, name: str, component: Component) -> Sort:
    checked = {region: own for region, own in setting(component, "regions", {}).items() if own.health_check is not None}
    switches = {region: own.switch.in_region if own.switch is not None else "" for region, own in checked.items()}
    return Checks(
        begin.world, name, begin.runbook.home, _followers(begin, name), _platform(begin), switches, ttl=seconds_of(component, "ttl", 60.0),
        sees=seconds_of(component, "takes", 100.0), edits=_edits(begin.world, begin.runbook),
    )  # fmt: skip


def _records(begin: Beginning, name: str, component: Component) -> Sort:
    if setting(component, "mode") == "prepared":
        return Prepared(begin.world, name, begin.named(Everywhere, setting(component, "flipped_by")))
    low = setting(component, "lower_ttl_to")
    return Zone(
        begin.world, name, begin.runbook.home, _names(begin, component), _platform(begin), ttl=seconds_of(component, "ttl", 60.0),
        low=None if low is None else low.total_seconds(), edits=_edits(begin.world, begin.runbook),
    )  # fmt: skip


AWS: Mapping[str, Furniture] = {
    "aws.aurora-global-database": Furniture(_aurora, aurora.operation, 0),
    "aws.rds-read-replica": Furniture(_replica, replica.operation, 0),
    "aws.eks-nodegroups": Furniture(_groups, capacity.groups, 1),
    "aws.ecs-services": Furniture(_groups, capacity.groups, 1),
    "aws.autoscaling-groups": Furniture(_groups, capacity.groups, 1),
    "aws.lambda-event-source": Furniture(_mappings, capacity.mappings),
    "aws.lambda": Furniture(_function, beside.command),
    "aws.dynamodb-global-table": Furniture(_table, table.table),
    "aws.s3-bucket": Furniture(_bucket, bucket.bucket),
    "aws.ecr": Furniture(_images, ready.images),
    "aws.secretsmanager": Furniture(_values, ready.values),
    "aws.ssm-parameters": Furniture(_values, ready.parameters),
    "aws.kms-key": Furniture(_ready, ready.check),
    "aws.acm-certificates": Furniture(_certificates, certificates.operation),
    "aws.iam-trust": Furniture(_ready, ready.check),
    "aws.quota": Furniture(_ready, ready.check),
    "aws.network": Furniture(_ready, ready.check),
    "aws.arc-routing-control": Furniture(_controls, traffic.controls, 3),
    "aws.route53-health-check": Furniture(_checks, traffic.checks, 3),
    "aws.route53-records": Furniture(_records, traffic.records, 4),
}
"""What each kind is."""
