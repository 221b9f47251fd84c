"""Faults of AWS itself: what its control planes give up, refuse, do not have, or say is wrong."""

from __future__ import annotations

from collections.abc import Callable

from dr.model.runbook import Runbook
from dr.providers.sim.aws.aurora import GlobalDatabase
from dr.providers.sim.aws.capacity import FAR, Groups, Mappings
from dr.providers.sim.aws.ready import Ready
from dr.providers.sim.aws.traffic import Checks, Controls, Zone
from dr.providers.sim.aws.twoway import Buckets
from dr.providers.sim.furniture import setting
from dr.providers.sim.images import Images
from dr.providers.sim.process import Chance
from dr.simulate.faults.base import Fault, Values, as_usual, away, before, changed, for_a_while, has, later, number, seconds, stop, stores
from dr.simulate.stage import Stage
from dr.simulate.story import Group, Struck

_GROUPS = has("aws.eks-nodegroups", "aws.ecs-services", "aws.autoscaling-groups")
_LOOKED_AT = has("aws.kms-key", "aws.iam-trust", "aws.quota", "aws.network")


def _edited(runbook: Runbook) -> bool:
    """A move of this platform edits something of Route 53."""
    for component in runbook.components.values():
        if component.kind == "aws.route53-records" and setting(component, "mode") == "edit":
            return True
        if component.kind == "aws.route53-health-check" and any(own.switch is None for own in setting(component, "regions").values()):
            return True
    return False


def _headless(stage: Stage, struck: Struck) -> None:
    """Somebody saved the instances of the secondary: creating one takes minutes."""
    where = away(stage)
    for store in stores(stage, GlobalDatabase):
        if not store.copies[where].primary:
            stage.world.settle()
            store.instances[where] = 0
            changed(stage, struck, store.name, where, "headless")


def _no_instances(stage: Stage, struck: Struck) -> None:
    """The secondary is headless, and AWS has no such instance left for a while."""
    _headless(stage, struck)
    for store in stores(stage, GlobalDatabase):
        store.room = False
        changed(stage, struck, store.name, away(stage), "InsufficientDBInstanceCapacity")
    later(stage, number(struck, "seconds"), lambda: _instances_again(stage, struck))


def _instances_again(stage: Stage, struck: Struck) -> None:
    for store in stores(stage, GlobalDatabase):
        if not store.room:
            store.room = True
            changed(stage, struck, store.name, away(stage), "AWS has some again")


def _no_room(stage: Stage, struck: Struck) -> None:
    """InsufficientInstanceCapacity in the target, for a while."""
    _room_from(stage, struck, stage.loop.now + number(struck, "seconds"))


def _never_room(stage: Stage, struck: Struck) -> None:
    """The quota of the target is used up, until somebody has it raised."""
    _room_from(stage, struck, FAR)


def _room_from(stage: Stage, struck: Struck, moment: float) -> None:
    for store in stores(stage, Groups):
        stage.world.settle()
        store.no_room[away(stage)] = moment
        changed(stage, struck, store.name, away(stage))


def _room(stage: Stage, struck: Struck) -> None:
    if any(moment > stage.loop.now for store in stores(stage, Groups) for moment in store.no_room.values()):
        _room_from(stage, struck, stage.loop.now)


def _zone(lost: bool, stage: Stage, struck: Struck) -> None:
    for store in stores(stage, Groups):
        if (store.zones[away(stage)] < store.least_zones) is not lost and store.least_zones > 1:
            stage.world.settle()
            store.zones[away(stage)] = 1 if lost else store.least_zones
            changed(stage, struck, store.name, away(stage), "one zone" if lost else "all zones")


def _one_zone(stage: Stage, struck: Struck) -> None:
    """The target starts everything in one zone, for a while."""
    for_a_while(stage, struck, lambda: _zone(True, stage, struck), lambda: _zone(False, stage, struck))


def _slow_mappings(stage: Stage, struck: Struck) -> None:
    """Event source mappings stay Enabling and Disabling for minutes."""
    for store in stores(stage, Mappings):
        store.slow = number(struck, "factor")
    stage.world.tell("event source mappings change slowly")


def _quick_mappings(stage: Stage, _struck: Struck) -> None:
    for store in stores(stage, Mappings):
        store.slow = 1.0


def _no_edits(stage: Stage, struck: Struck) -> None:
    """The control plane in us-east-1 takes no edits, for a while: record sets, health checks."""
    found = [store for store in stage.world.stores.values() if isinstance(store, (Zone, Checks))]
    usual = [as_usual(stage, f"{store.name}.edits", store.edits) for store in found]

    def never() -> bool:
        return False

    def turn(edits: list[Callable[[], bool]]) -> None:
        for store, one in zip(found, edits, strict=True):
            store.edits = one
            changed(stage, struck, store.name, note="no edits" if one is never else "edits")

    for_a_while(stage, struck, lambda: turn([never] * len(found)), lambda: turn(usual))


def _rule(stage: Stage, struck: Struck) -> None:
    """A safety rule refuses to flip, until somebody lifts it."""
    found = list(stores(stage, Controls))

    def turn(rule: str) -> None:
        for store in found:
            store.rule = rule
            changed(stage, struck, store.name, note=rule or "the rule is lifted")

    for_a_while(stage, struck, lambda: turn("a gating rule is off"), lambda: turn(""))


def _endpoints(stage: Stage, struck: Struck) -> None:
    """Two of the five endpoints of the cluster do not work, for a while."""
    found = list(stores(stage, Controls))

    def turn(silent: set[int]) -> None:
        for store in found:
            store.silent = silent
            changed(stage, struck, store.name, note=f"{len(silent)} endpoints are silent")

    for_a_while(stage, struck, lambda: turn({0, 1}), lambda: turn(set()))


def _wrong(stage: Stage, struck: Struck) -> None:
    """A key, a trust policy, a quota or a route is wrong in the target, until somebody corrects it."""
    found = list(stores(stage, Ready))
    chosen, where = found[int(number(struck, "which")) % len(found)], away(stage)

    def turn(wrong: list[str]) -> None:
        chosen.wrong[where] = wrong
        changed(stage, struck, chosen.name, where, "; ".join(wrong) or "corrected")

    for_a_while(stage, struck, lambda: turn([f"{chosen.name} is not as it must be in {where}"]), lambda: turn([]))


def _failed_objects(stage: Stage, struck: Struck) -> None:
    """S3 has given up on some objects, until somebody has them sent again."""
    home, where, now = stage.runbook.home, away(stage), stage.loop.now
    found = list(stores(stage, Buckets))

    def fail() -> None:
        stage.world.settle()
        for store in found:
            store.fail(home, where, max(0.0, now - number(struck, "of")), now)
            changed(stage, struck, store.name, where)

    def sent() -> None:
        stage.world.settle()
        for store in found:
            store.ways[home, where].gaps.clear()
            changed(stage, struck, store.name, where, "sent again")

    for_a_while(stage, struck, fail, sent)


def _no_image(stage: Stage, struck: Struck) -> None:
    """An image that is needed was pushed before it was replicated, until somebody pushes it again."""
    found, where = [store for store in stores(stage, Images) if store.whole], away(stage)

    def turn(gone: bool) -> None:
        for store in found:
            stage.world.settle()
            store.missing[where] = {store.whole[0]} if gone else set()
            changed(stage, struck, store.name, where, "gone" if gone else "pushed")

    for_a_while(stage, struck, lambda: turn(True), lambda: turn(False))


def _which(chance: Chance, runbook: Runbook) -> Values:
    return {**seconds(30.0, 500.0)(chance, runbook), "which": chance.randrange(1000)}


FAULTS = (
    Fault("capacity-headless-secondary", Group.CAPACITY, "the secondary of the global database has no instance", _headless,
          when=before, fits=has("aws.aurora-global-database")),
    Fault("capacity-no-database-instances", Group.CAPACITY, "a headless secondary, and AWS has no such instance left", _no_instances,
          _instances_again, seconds(30.0, 600.0), before, has("aws.aurora-global-database")),
    Fault("capacity-insufficient", Group.CAPACITY, "AWS has no instances left in the target for a while", _no_room, _room,
          seconds(20.0, 800.0), before, _GROUPS),
    Fault("capacity-account-quota", Group.CAPACITY, "a quota of the account keeps the target from growing until it is raised", _never_room,
          _room, when=before, fits=_GROUPS),
    Fault("capacity-one-zone", Group.CAPACITY, "the target starts everything in one availability zone", _one_zone, stop,
          seconds(30.0, 600.0), before, _GROUPS),
    Fault("capacity-slow-event-sources", Group.CAPACITY, "event source mappings stay Enabling for minutes", _slow_mappings, _quick_mappings,
          lambda chance, _book: {"factor": round(chance.uniform(4.0, 40.0), 2)}, before, has("aws.lambda-event-source")),
    Fault("network-control-plane-down", Group.NETWORK, "Route 53 takes no edits", _no_edits, stop, seconds(30.0, 900.0), before,
          _edited),
    Fault("network-endpoints-silent", Group.NETWORK, "two of the five endpoints of the routing controls do not work", _endpoints, stop,
          seconds(30.0, 900.0), before, has("aws.arc-routing-control")),
    Fault("people-safety-rule", Group.PEOPLE, "a safety rule refuses to flip the routing controls", _rule, stop, seconds(120.0, 900.0),
          before, has("aws.arc-routing-control")),
    Fault("data-not-ready", Group.DATA, "a key, a trust policy, a quota or a route is wrong in the target", _wrong, stop, _which, before,
          _LOOKED_AT),
    Fault("data-objects-failed", Group.DATA, "S3 has given up replicating some objects", _failed_objects, stop,
          lambda chance, book: {**seconds(60.0, 900.0)(chance, book), "of": round(chance.uniform(0.5, 10.0), 3)}, before,
          has("aws.s3-bucket")),
    Fault("data-image-not-replicated", Group.DATA, "an image that is needed was not replicated to the target", _no_image, stop,
          seconds(30.0, 600.0), before, has("aws.ecr")),
)  # fmt: skip
"""In the order in which people read them."""
