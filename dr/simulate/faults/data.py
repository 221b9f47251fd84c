"""Faults of what is replicated, and of what is told about it: lag, backlog, images, secrets, certificates."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dr.model.runbook import Runbook
from dr.providers.sim.certificates import Certificates
from dr.providers.sim.database import Database
from dr.providers.sim.images import Images
from dr.providers.sim.objects import Objects
from dr.providers.sim.process import Chance
from dr.providers.sim.secrets import Secrets
from dr.simulate.faults.base import (
    Fault,
    Values,
    after_effects,
    asked,
    away,
    before,
    changed,
    for_a_while,
    has,
    later,
    number,
    seconds,
    stop,
    stores,
)
from dr.simulate.stage import Stage
from dr.simulate.story import Group, Story, Struck

_DATABASE = has("postgres", "aws.aurora-global-database", "aws.rds-read-replica")
_CLOCKED = has("postgres")
"""Who stamps its writes itself; RDS tells its lag as CloudWatch measures it."""


def _stalled(sort: type[Database] | type[Objects], stage: Stage, struck: Struck) -> None:
    """Nothing is replicated, for a while."""
    found = list(stores(stage, sort))

    def turn(stalled: bool) -> None:
        stage.world.settle()
        for store in found:
            store.stalled = stalled
            changed(stage, struck, store.name, note="stalled" if stalled else "goes on")

    for_a_while(stage, struck, lambda: turn(True), lambda: turn(False))


def _lag_jumps(stage: Stage, struck: Struck) -> None:
    """Replication breaks right after the checks: with the first effects of a run."""
    after_effects(stage, int(number(struck, "effects")), lambda _effect: _stalled(Database, stage, struck))


def _behind(sort: type[Database] | type[Objects], stage: Stage, struck: Struck) -> None:
    """What is replicated comes late by so much more, for a while: a backlog. Two of them may overlap, and end in any order."""
    found = list(stores(stage, sort))

    def turn(more: float) -> None:
        stage.world.settle()
        for store in found:
            store.lag = round(store.lag + more, 6)
            changed(stage, struck, store.name, note=f"{store.lag:.0f} s behind")

    for_a_while(stage, struck, lambda: turn(number(struck, "lag")), lambda: turn(-number(struck, "lag")))


def _shown(show: Callable[[Stage], Callable[[float], float | None]], stage: Stage, struck: Struck) -> None:
    """What a secondary tells of its recovery point is not what is so, for a while."""
    found = list(stores(stage, Database))

    def turn(shown: Callable[[float], float | None] | None) -> None:
        stage.world.settle()
        for store in found:
            store.shown = shown
            changed(stage, struck, store.name, note="shown otherwise" if shown is not None else "shown as it is")

    for_a_while(stage, struck, lambda: turn(show(stage)), lambda: turn(None))


def _as_it_was(stage: Stage) -> Callable[[float], float | None]:
    then = stage.loop.now
    return lambda point: min(point, then)


def _not_at_all(_stage: Stage) -> Callable[[float], float | None]:
    return lambda _point: None


def _skewed(stage: Stage, struck: Struck) -> None:
    """The clock that stamps every write is off."""
    for store in stores(stage, Database):
        stage.world.settle()
        store.skew += number(struck, "skew")
        changed(stage, struck, store.name, note=f"its clock is off by {store.skew:.0f} s")


def _right_again(stage: Stage, struck: Struck) -> None:
    for store in stores(stage, Database):
        if store.skew:
            stage.world.settle()
            store.skew = 0.0
            changed(stage, struck, store.name, note="its clock is right again")


def _deployment(chance: Chance, runbook: Runbook) -> Values:
    return {"deployment": chance.randrange(1000), "seconds": round(chance.uniform(30.0, 500.0), 3)}


def _image(digests: Callable[[Images], dict[str, set[str]]], stage: Stage, struck: Struck) -> None:
    """One image that runs is not in the target, or not whole, until somebody brings it."""
    where = away(stage)
    for store in stores(stage, Images):
        if store.deployments is not None:
            stage.world.settle()
            images = list(store.deployments.images.values())
            digests(store)[where].add(images[int(number(struck, "deployment")) % len(images)])
            changed(stage, struck, store.name, where)
    later(stage, number(struck, "seconds"), lambda: _images_whole(stage, struck))


def _other_digest(stage: Stage, struck: Struck) -> None:
    """A tag in the target names an older image, and the one that runs is not there."""
    where = away(stage)
    for store in stores(stage, Images):
        if store.deployments is not None:
            stage.world.settle()
            items = list(store.deployments.images)
            item = items[int(number(struck, "deployment")) % len(items)]
            digest = store.deployments.images[item]
            base, _, version = digest.rpartition("@")
            store.tags[where][item] = f"{base}@{int(version) - 1}"
            store.missing[where].add(digest)
            changed(stage, struck, store.name, where)
    later(stage, number(struck, "seconds"), lambda: _images_whole(stage, struck))


def _images_whole(stage: Stage, struck: Struck) -> None:
    where = away(stage)
    for store in stores(stage, Images):
        if store.missing[where] or store.broken[where] or store.tags[where]:
            stage.world.settle()
            store.missing[where].clear()
            store.broken[where].clear()
            store.tags[where].clear()
            changed(stage, struck, store.name, where, "somebody brought it")


def _secret(what: str, stage: Stage, struck: Struck) -> None:
    """What one Deployment cannot start without is not there, or is of no use, in the target until somebody writes it."""
    where, home = away(stage), stage.runbook.home
    for store in stores(stage, Secrets):
        items = sorted(store.paths)
        if not items:
            continue
        item = items[int(number(struck, "deployment")) % len(items)]
        stage.world.settle()
        if what == "fernet":
            if store.fernet is not None:
                store.rotate(home, item)
        elif what == "undecryptable":
            store.write(where, store.paths[item][0])
        else:
            store.forget(where, store.paths[item][-1])
        changed(stage, struck, store.name, where, what)
    later(stage, number(struck, "seconds"), lambda: _secrets_right(stage, struck))


def _secrets_right(stage: Stage, struck: Struck) -> None:
    """What the Deployments' databases are encrypted with is everywhere again."""
    home, where = stage.runbook.home, away(stage)
    for store in stores(stage, Secrets):
        if any(store.held[where].get(path) != store.held[home].get(path) for paths in store.paths.values() for path in paths):
            stage.world.settle()
            for paths in store.paths.values():
                for path in paths:
                    store.held[where][path] = store.held[home][path] = max(store.held[home].get(path, ()), store.held[where].get(path, ()))
            if store.fernet is not None:
                for item in store.keys:
                    path = store.fernet.replace("{id}", item)
                    store.held[where][path] = store.held[home][path] = (*store.held[home][path], store.keys[item])
            changed(stage, struck, store.name, where, "somebody wrote it")


def _expired(stage: Stage, struck: Struck) -> None:
    """A certificate in the target ends before anybody renews it."""
    where = away(stage)
    for store in stores(stage, Certificates):
        stage.world.settle()
        hostname = store.hostnames[int(number(struck, "deployment")) % len(store.hostnames)]
        store.expires[where][hostname] = stage.loop.now
        changed(stage, struck, store.name, where, hostname)
    later(stage, number(struck, "seconds"), lambda: _renewed(stage, struck))


def _renewed(stage: Stage, struck: Struck) -> None:
    where = away(stage)
    for store in stores(stage, Certificates):
        if store.expires[where]:
            stage.world.settle()
            store.expires[where].clear()
            changed(stage, struck, store.name, where, "renewed")


def _skew(least: float, most: float) -> Callable[[Chance, Runbook], Values]:
    return lambda chance, _runbook: {"skew": round(chance.uniform(least, most), 3)}


def _lagging(chance: Chance, runbook: Runbook) -> Values:
    return {"seconds": round(chance.uniform(30.0, 400.0), 3), "lag": round(chance.uniform(10.0, 1500.0), 1)}


def _right_before(chance: Chance, story: Story) -> float:
    """From a moment before the first command on."""
    return max(1.0, asked(story) - chance.uniform(0.5, 40.0))


FAULTS = (
    Fault("data-replication-stalled", Group.DATA, "nothing is replicated between the databases", partial(_stalled, Database), stop,
          seconds(10.0, 600.0), before, _DATABASE),
    Fault("data-lag-frozen", Group.DATA, "the recovery point is told as it was some time ago", partial(_shown, _as_it_was), stop,
          seconds(20.0, 500.0), before, _DATABASE),
    Fault("data-lag-missing", Group.DATA, "the secondary cannot tell its recovery point", partial(_shown, _not_at_all),
          stop, seconds(10.0, 400.0), before, _DATABASE),
    Fault("data-lag-negative", Group.DATA, "the recovery point lies in the future: the primary's clock is ahead", _skewed, _right_again,
          _skew(1.0, 60.0), before, _CLOCKED),
    Fault("data-lag-skewed", Group.DATA, "the clock that stamps the writes is far off", _skewed, _right_again,
          _skew(-900.0, -5.0), before, _CLOCKED),
    Fault("data-lag-jumps", Group.DATA, "replication breaks right after the checks", _lag_jumps, stop,
          lambda chance, book: {**seconds(5.0, 400.0)(chance, book), "effects": chance.randrange(1, 5)}, before, _DATABASE),
    Fault("data-database-backlog", Group.DATA, "the databases' replication is minutes behind", partial(_behind, Database), stop,
          _lagging, before, _DATABASE),
    Fault("data-log-backlog", Group.DATA, "the replication of logs is minutes behind", partial(_behind, Objects), stop,
          _lagging, before, has("s3-bucket", "aws.s3-bucket", "aws.dynamodb-global-table")),
    Fault("data-log-stalled", Group.DATA, "no log is replicated", partial(_stalled, Objects), stop, seconds(30.0, 600.0), before,
          has("s3-bucket", "aws.s3-bucket", "aws.dynamodb-global-table")),
    Fault("data-image-absent", Group.DATA, "an image that runs is not in the target", partial(_image, lambda store: store.missing),
          _images_whole, _deployment, before, has("oci-registry")),
    Fault("data-image-broken", Group.DATA, "an image in the target lacks a part", partial(_image, lambda store: store.broken),
          _images_whole, _deployment, before, has("oci-registry")),
    Fault("data-image-other-digest", Group.DATA, "a tag in the target names another image", _other_digest, _images_whole, _deployment,
          before, has("oci-registry")),
    Fault("data-secret-missing", Group.DATA, "a secret is not in the target", partial(_secret, "missing"), _secrets_right, _deployment,
          before, has("vault-kv")),
    Fault("data-secret-undecryptable", Group.DATA, "a secret in the target has another content", partial(_secret, "undecryptable"),
          _secrets_right, _deployment, before, has("vault-kv")),
    Fault("data-fernet-key-differs", Group.DATA, "a database is encrypted with a key that the target does not have",
          partial(_secret, "fernet"), _secrets_right, _deployment, before, has("vault-kv")),
    Fault("data-certificate-expired", Group.DATA, "a certificate in the target has expired", _expired, _renewed, _deployment,
          _right_before, has("tls-certificates", "aws.acm-certificates")),
)  # fmt: skip
"""In the order in which people read them."""
