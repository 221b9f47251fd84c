"""The steps of protection: what the old writer alone had is kept, and it follows the new one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

from dr.errors import Transient
from dr.model.evidence import Evidence, Fenced, Following, Preserved
from dr.model.words import FenceState
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.aurora import look
from dr.providers.aws.aurora.calls import ADD_CLUSTER, COPY_SNAPSHOT, SNAPSHOTS
from dr.providers.aws.aurora.config import Promotion
from dr.providers.aws.aurora.steps import AuroraStep
from dr.providers.aws.rds_status import ready

LEFT_BY_FAILOVER = "rds:unplanned-global-failover-"
"""How Aurora names the snapshot of the old writer's volume. It expires with the automatic backups."""
KEPT = "dr-preserved-"
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9-]+")


def kept_name(snapshot: str) -> str:
    """The manual copy of a snapshot: the same name every time, so that a repetition finds it."""
    return KEPT + _NOT_IN_NAMES.sub("-", snapshot.removeprefix("rds:"))[-230:].strip("-")


class FenceReturned(AuroraStep):
    """The old writer came back: it must not write."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it is a reader of the global database. BLOCKED: it writes beside the new one; it is gone, and cannot be made anew."""
        whole = self.whole(self.source)
        member = whole.member(self.owner.places[self.source]) if whole is not None else None
        if member is not None and not member.writer:
            proof = f"{self.source} is a reader of {self.owner.config.global_cluster}"
            fenced = Fenced(component=self.owner.name, region=self.source, state=FenceState.FENCED, proof=proof)
            return Seen(Look.DONE, proof, (fenced,))
        name = self.owner.config.regions[self.source].cluster
        if look.cluster(self.owner.aws, self.owner.places[self.source], name) is None:
            # said before anything is done, and not at the end of it
            if why := self.owner.anew.lacks(self.source, self.described(self.target) or {}):
                return Seen(Look.BLOCKED, why)
            proof = f"there is no {name} in {self.source} any more"
            return Seen(Look.DONE, proof, (Fenced(component=self.owner.name, region=self.source, state=FenceState.FENCED, proof=proof),))
        if self.owner.config.promotion is Promotion.MANAGED and whole is not None and member is not None:
            return Seen(Look.NEEDED, f"Aurora has not made {self.source} a reader yet")
        way = f"aws rds modify-db-cluster --db-cluster-identifier {name} --new-db-cluster-identifier {name}-old: it keeps its data"
        return Seen(Look.BLOCKED, f"{name} in {self.source} writes by itself; take its clients away and rename it: {way}")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing: Aurora makes it a reader by itself, and this waits for that."""
        return ()


class Preserve(AuroraStep):
    """What only the old writer had: the snapshot that Aurora took of its volume is copied to one that does not expire."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: every such snapshot has its copy, or there is none. NEEDED: one has none yet, or Aurora has not come to taking one."""
        whole = self.whole(self.target)  # before the snapshots: Aurora takes them before it lets the old writer follow
        there = self._snapshots()
        left = [name for name in there if name.startswith(LEFT_BY_FAILOVER)]
        member = whole.member(self.owner.places[self.source]) if whole is not None else None
        if not left and member is not None and member.synchronization == "pending-resync":
            return Seen(Look.NEEDED, f"Aurora has not come to the old volume of {self._cluster} yet")
        missing = [name for name in left if kept_name(name) not in there]
        if missing:
            return Seen(Look.NEEDED, f"to be kept: {', '.join(missing)}")
        copying = [name for name in left if there[kept_name(name)] != "available"]
        if copying:
            return Seen(Look.NEEDED, f"being copied: {', '.join(copying)}")
        facts = tuple(
            Preserved(
                component=self.owner.name, region=self.source, at=context.clock.now(), path=self._arn(kept_name(name)), manifest="",
                items=None,
            )
            for name in left
        )  # fmt: skip
        return Seen(Look.DONE, "" if left else f"Aurora left no snapshot of {self._cluster} in {self.source}", facts)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Copies those that have no copy. Raises Transient: one is being taken still, or there is none yet."""
        there = self._snapshots()
        left = {name: status for name, status in there.items() if name.startswith(LEFT_BY_FAILOVER)}
        for name, status in left.items():
            if status == "available" and kept_name(name) not in there:
                self.call(
                    context, self.source, COPY_SNAPSHOT, already=("DBClusterSnapshotAlreadyExistsFault",),
                    SourceDBClusterSnapshotIdentifier=name, TargetDBClusterSnapshotIdentifier=kept_name(name), CopyTags=True,
                )  # fmt: skip
        coming = [f"{name} is {status}" for name, status in left.items() if status != "available" and kept_name(name) not in there]
        if coming or not left:
            raise Transient("; ".join(coming) or f"no snapshot of {self._cluster} yet", hint="Aurora takes it by itself; wait")
        return ()

    @cached_property
    def _cluster(self) -> str:
        return self.owner.config.regions[self.source].cluster

    def _snapshots(self) -> Mapping[str, str]:
        place = self.owner.places[self.source]
        pages = self.owner.aws.pages(place, SNAPSHOTS, DBClusterIdentifier=self._cluster)
        return {str(item["DBClusterSnapshotIdentifier"]): str(item["Status"]) for page in pages for item in page["DBClusterSnapshots"]}

    def _arn(self, name: str) -> str:
        place = self.owner.places[self.source]
        return f"arn:aws:rds:{place.code}:{self.owner.account(self.source)}:cluster-snapshot:{name}"


class Follow(AuroraStep):
    """The old writer is a reader of the new one. Where it is gone, a new one is made under its name; nothing is deleted."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it follows. BLOCKED: the target does not write, or a cluster of that name stands in the way."""
        whole = self.whole(self.target)
        if not self.writes(self.target, whole):
            return Seen(Look.BLOCKED, f"{self.target} does not write: which copy is newer is not known")
        if whole is None:
            return Seen(Look.BLOCKED, f"{self.cluster} was detached and is in no global database: {self.owner.rejoin_by_hand(self.target)}")
        member = whole.member(self.owner.places[self.source])
        described = look.cluster(self.owner.aws, self.owner.places[self.source], self._own)
        if member is None and described is not None:
            return Seen(Look.BLOCKED, f"{self._own} in {self.source} stands alone: rename it, it keeps what only it has")
        status = str(described.get("Status")) if described is not None else "not there yet"
        if described is None and (why := self.owner.anew.lacks(self.source, self.described(self.target) or {})):
            return Seen(Look.BLOCKED, why)
        if member is None or member.writer or ready(status) is not Look.DONE or member.synchronization == "pending-resync":
            known = "a writer still" if member is not None and member.writer else status
            return Seen(Look.NEEDED, f"{self._own} in {self.source} is {known} {member.synchronization if member else ''}".strip())
        upstream = next((item.arn for item in whole.members if item.writer), "")
        following = Following(component=self.owner.name, region=self.source, upstream=upstream, how="Aurora global database")
        return Seen(Look.DONE, evidence=(following,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """A new member where there is none, like the one that was there; else Aurora is at it."""
        whole = self.whole(self.target)
        if whole is not None and whole.member(self.owner.places[self.source]) is None:
            writer = self.described(self.target)
            if writer is None:
                raise Transient(f"{self.cluster} in {self.target} is not described just now", hint="wait")
            parameters = self.owner.anew.parameters(self.source, writer)
            self.call(context, self.source, ADD_CLUSTER, already=("DBClusterAlreadyExistsFault",), **parameters)
        return ()

    @cached_property
    def _own(self) -> str:
        return self.owner.config.regions[self.source].cluster
