"""The steps of an Aurora global database for each intent: what they need of each other, call, and how to do them by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from dr.model.by_hand import Typed
from dr.model.words import Intent, Verb
from dr.ports import Step
from dr.providers.aws.aurora.calls import (
    ADD_INSTANCE,
    CLUSTERS,
    COPY_SNAPSHOT,
    EVENTS,
    FAILOVER,
    GLOBAL,
    INSTANCES,
    REMOVE,
    SNAPSHOTS,
    SWITCHOVER,
)
from dr.providers.aws.aurora.config import Promotion
from dr.providers.aws.aurora.protect import KEPT, LEFT_BY_FAILOVER, FenceReturned, Follow, Preserve
from dr.providers.aws.aurora.steps import AddInstances, Fence, Prepare, Promote, VerifyInside
from dr.providers.aws.calls import Use
from dr.providers.aws.everywhere import also
from dr.providers.aws.metrics import GET
from dr.providers.aws.rds_status import COUNTS, SERVES

if TYPE_CHECKING:
    from dr.providers.aws.aurora.kind import AuroraGlobalDatabase

_SETTLES = timedelta(minutes=5)
"""RDS may give a move up and go back by itself: so long after it was asked it is looked at afresh. One under way is waited for."""


class Chains:
    """Builds the chains of one component. Pure: the same arguments give the same steps."""

    def __init__(self, owner: AuroraGlobalDatabase) -> None:
        self._owner = owner

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain."""
        if intent is Intent.REPROTECT:
            return self._returned(source, target), self._preserve(source, target), self._follow(source, target, ("preserve",))
        planned = intent.planned
        added = () if self._owner.config.regions[target].instance_class is None else (self._instances(source, target),)
        promote = self._promote(source, target, planned=planned, after=tuple(step.spec.id.rpartition("/")[2] for step in added))
        chain = (
            self._asking(self._prepare(source, target)), *added, self._fence(source, target, planned=planned),
            promote if planned else self._asking(promote), self._asking(self._verify(source, target)),
        )  # fmt: skip
        return (*chain, self._follow(source, target, ("verify-inside",))) if planned else chain

    def _looks(self, region: str) -> tuple[Use, ...]:
        return Use(GLOBAL, region, (self._owner.global_arn(),)), Use(CLUSTERS, region, (self._owner.cluster_arn(region),))

    def _asking(self, step: Step) -> Step:
        """The step also asks the database in its region, where ``sql`` says how."""
        sql = self._owner.config.sql
        if sql is None:
            return step
        region = step.spec.region
        rights = f"LOGIN of {sql.user} at {sql.endpoints[region]}:{sql.port}, owner of schema dr, or CREATE on the database"
        return also(step, region, ("database", rights))

    def _sees(self, region: str, wanted: str) -> str:
        """Exit status 0 where the region's own cluster is the writer, or is not."""
        owner = self._owner
        arn = owner.cluster_arn(region)
        query = f"GlobalClusters[0].GlobalClusterMembers[?ends_with(DBClusterArn, ':{arn.rpartition(':')[2]}')] | [0].IsWriter"
        told = owner.typed(
            owner.places[region], GLOBAL, {"GlobalClusterIdentifier": owner.config.global_cluster}, query=query, text=True
        )  # fmt: skip
        return f"{told} | grep -qi {wanted}"

    def _status(self, region: str) -> str:
        """Prints the status of the region's cluster."""
        named = {"DBClusterIdentifier": self._owner.config.regions[region].cluster}
        return self._owner.typed(self._owner.places[region], CLUSTERS, named, query="DBClusters[0].Status", text=True)

    def _serves(self, region: str, writer: str) -> str:
        """Exit status 0 where the region's cluster is the writer, or is not, and serves."""
        return f"{self._sees(region, writer)} && {self._status(region)} | {SERVES}"

    def _prepare(self, source: str, target: str) -> Step:
        owner = self._owner
        described = self._status(target)
        return owner.step(
            Verb.PREPARE, target, f"{target} is a healthy secondary", Prepare(owner, source, target),
            uses=(*self._looks(target), Use(GET, target)), typed=Typed(described, f"{described} | {SERVES}"),
            estimate=timedelta(milliseconds=500), budget=timedelta(minutes=5),
        )  # fmt: skip

    def _instances(self, source: str, target: str) -> Step:
        owner, settings = self._owner, self._owner.config.regions[target]
        place, name = owner.places[target], f"{settings.cluster}-dr-1"
        filters = {"Filters": [{"Name": "db-cluster-id", "Values": [settings.cluster]}]}
        check = owner.typed(place, INSTANCES, filters, query="DBInstances[].[DBInstanceStatus]", text=True)  # one a line
        instances = f"arn:aws:rds:{place.code}:{owner.account(target)}:db:{settings.cluster}-dr-*"
        return owner.step(
            Verb.PREPARE, target, f"{target} has {settings.instances} instances that can write", AddInstances(owner, source, target),
            name="add-instances", uses=(
                Use(INSTANCES, target), Use(CLUSTERS, target, (owner.cluster_arn(target),)),
                Use(ADD_INSTANCE, target, (instances, owner.cluster_arn(target))),
            ),
            typed=Typed(
                owner.typed(place, ADD_INSTANCE, owner.instance(target, name)), f'[ "$({check} | {COUNTS})" -ge {settings.instances} ]'
            ),
            estimate=timedelta(seconds=1), budget=timedelta(minutes=30), needs=("prepare",), max_attempts=20,
        )  # fmt: skip

    def _fence(self, source: str, target: str, *, planned: bool) -> Step:
        owner = self._owner
        text = "nothing to type: the promotion stops the old writer itself" + ("" if planned else ", as well as that goes")
        return owner.step(
            Verb.FENCE, source, f"{source} stops writing" + (" in the promotion" if planned else ", as far as Aurora reaches it"),
            Fence(owner, source, target, planned=planned), uses=(), typed=Typed(f"echo '{text}'", "true"),
            estimate=timedelta(milliseconds=50), budget=timedelta(minutes=1), max_attempts=1,
        )  # fmt: skip

    def _promote(self, source: str, target: str, *, planned: bool, after: tuple[str, ...]) -> Step:
        owner, place = self._owner, self._owner.places[source if planned else target]
        arn, whole = owner.cluster_arn(target), owner.global_arn()
        call, parameters = (FAILOVER, owner.failover(arn)) if not planned else (SWITCHOVER, owner.switchover(arn))
        if not planned and owner.config.promotion is Promotion.DETACH:
            call, parameters = REMOVE, owner.removal(arn)
        sent = Use(call, source if planned else target, (whole, owner.cluster_arn(source), arn))
        told = (Use(CLUSTERS, source, (owner.cluster_arn(source),)),) if planned else (Use(EVENTS, target), Use(GET, target))
        return owner.step(
            Verb.PROMOTE, target, f"{target} takes writes", Promote(owner, source, target, planned=planned),
            uses=(*self._looks(target), sent, *told), typed=Typed(owner.typed(place, call, parameters), self._serves(target, "true")),
            estimate=timedelta(seconds=60), budget=timedelta(minutes=30), settles=_SETTLES, needs=("prepare", "fence", *after),
            irreversible=True,
            max_attempts=10 if planned else 1_000,  # what passes is waited for, but not while everybody is frozen for a planned move
        )  # fmt: skip

    def _verify(self, source: str, target: str) -> Step:
        owner, sql = self._owner, self._owner.config.sql
        do = "echo 'no sql in the runbook: nothing to write'"
        if sql is not None:
            do = f'{owner.psql(target)} -c "CREATE TEMPORARY TABLE dr_write(n int)"'
        return owner.step(
            Verb.VERIFY_INSIDE, target, f"{target} accepted a write and gives it back", VerifyInside(owner, source, target),
            uses=(*self._looks(target), *(() if sql is not None else (Use(INSTANCES, target),))),
            typed=Typed(do, self._serves(target, "true") if sql is None else do),
            estimate=timedelta(milliseconds=300), budget=timedelta(minutes=10), needs=("promote",), max_attempts=60,
        )  # fmt: skip

    def _returned(self, source: str, target: str) -> Step:
        owner = self._owner
        return owner.step(
            Verb.FENCE, source, f"{source} must not write any more", FenceReturned(owner, source, target),
            uses=(*self._looks(source), *self._looks(target)),
            typed=Typed("echo 'Aurora makes the old writer a reader by itself, once it is there again'", self._sees(source, "false")),
            estimate=timedelta(minutes=1), budget=timedelta(hours=12), max_attempts=200,
        )  # fmt: skip

    def _preserve(self, source: str, target: str) -> Step:
        owner, place = self._owner, self._owner.places[source]
        cluster = owner.config.regions[source].cluster
        snapshots = f"arn:aws:rds:{place.code}:{owner.account(source)}:cluster-snapshot:*"
        kept = f"arn:aws:rds:{place.code}:{owner.account(source)}:cluster-snapshot:{KEPT}*"
        named = {"SourceDBClusterSnapshotIdentifier": f"{LEFT_BY_FAILOVER}NAME", "TargetDBClusterSnapshotIdentifier": f"{KEPT}NAME"}
        check = owner.typed(
            place, SNAPSHOTS, {"DBClusterIdentifier": cluster}, text=True,
            query=f"DBClusterSnapshots[?starts_with(DBClusterSnapshotIdentifier, '{KEPT}')].Status",
        )  # fmt: skip
        return owner.step(
            Verb.PRESERVE, source, f"keep what only {source} had", Preserve(owner, source, target),
            uses=(*self._looks(target), Use(SNAPSHOTS, source), Use(COPY_SNAPSHOT, source, (snapshots, kept))),
            typed=Typed(owner.typed(place, COPY_SNAPSHOT, named), f"{check} | grep -qw available"),
            estimate=timedelta(minutes=2), budget=timedelta(hours=12), needs=("fence",), max_attempts=5_000,
        )  # fmt: skip

    def _follow(self, source: str, target: str, needs: tuple[str, ...]) -> Step:
        owner = self._owner
        return owner.step(
            Verb.FOLLOW, source, f"{source} follows {target}", Follow(owner, source, target),
            uses=(*self._looks(target), *self._looks(source), *owner.anew.uses(source)),
            typed=Typed(owner.anew.by_hand(source), self._serves(source, "false")),
            estimate=timedelta(minutes=1), budget=timedelta(hours=14), needs=needs, max_attempts=50,
        )  # fmt: skip
