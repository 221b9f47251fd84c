"""The steps of a PostgreSQL component for each intent: what they need of each other, touch and may take, and how to do them by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from dr.model.by_hand import Typed
from dr.model.plan import Backoff, StepSpec, Touch
from dr.model.words import Intent, Verb
from dr.ports import Operation, Step
from dr.providers.selfhosted.postgres.by_hand import ByHand
from dr.providers.selfhosted.postgres.cluster import Cluster
from dr.providers.selfhosted.postgres.drain import Drain
from dr.providers.selfhosted.postgres.fence import FenceLost, FencePlanned, FenceReturned
from dr.providers.selfhosted.postgres.follow import Follow
from dr.providers.selfhosted.postgres.prepare import Prepare, PreparePlanned
from dr.providers.selfhosted.postgres.preserve import Preserve
from dr.providers.selfhosted.postgres.promote import Promote
from dr.providers.selfhosted.postgres.verify_inside import VerifyInside

KIND = "postgres"
_PATIENT = Backoff(base=timedelta(milliseconds=500), cap=timedelta(seconds=5))
_SETTLES = timedelta(hours=1)
"""A server that was rewound and started replays what it has before it streams; one that does not by then was not left as it should be."""


class Chains:
    """Builds the chains of one component. Pure: the same arguments give the same steps."""

    def __init__(self, cluster: Cluster, by_hand: ByHand) -> None:
        self._cluster, self._by_hand = cluster, by_hand

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain. For ``reprotect`` the target is the region that is primary now, the source the old primary that shall follow it."""
        if intent is Intent.FAILOVER:
            return (
                self._prepare(source, target, planned=False), self._fence_lost(source, target),
                self._promote(source, target, planned=False), self._verify(source, target),
            )  # fmt: skip
        if intent is Intent.REPROTECT:
            return (
                self._fence_returned(source, target), self._preserve(source, target), self._follow(source, target, ("preserve",)),
            )  # fmt: skip
        return (
            self._prepare(source, target, planned=True), self._drain(source, target), self._fence_planned(source, target),
            self._promote(source, target, planned=True), self._verify(source, target),
            _beside(self._follow(source, target, ("verify-inside",))),
        )  # fmt: skip

    def _prepare(self, source: str, target: str, *, planned: bool) -> Step:
        touches = (self._sql(target), self._host(source), self._sql(source)) if planned else (self._sql(target),)
        spec = self._spec(
            Verb.PREPARE, target, f"{target} can be promoted; connections and first write are warm",
            estimate=timedelta(milliseconds=100), budget=timedelta(minutes=2), touches=touches,
            permissions=("LOGIN", "pg_monitor", "EXECUTE ON FUNCTION pg_promote") + (("pg_checkpoint",) if planned else ()),
            typed=self._by_hand.prepare(target),
        )  # fmt: skip
        operation = PreparePlanned if planned else Prepare
        return Step(spec, operation(self._cluster, source, target))

    def _drain(self, source: str, target: str) -> Step:
        spec = self._spec(
            Verb.DRAIN, source, f"{target} catches up with what {source} has written", needs=("prepare",),
            estimate=timedelta(milliseconds=60), budget=timedelta(minutes=5), touches=(self._sql(source), self._sql(target)),
            permissions=("pg_checkpoint", "pg_monitor"), typed=self._by_hand.drain(source, target),
        )  # fmt: skip
        return Step(spec, Drain(self._cluster, source, target))

    def _fence_lost(self, source: str, target: str) -> Step:
        limit = self._cluster.config.fence_timeout
        spec = self._spec(
            Verb.FENCE, source, f"stop {source} if it can be reached", max_attempts=1,
            estimate=timedelta(milliseconds=50), budget=4 * limit + timedelta(seconds=4), touches=(self._host(source),),
            permissions=(f"commands on the host of {source} as the server's account",),
            typed=self._by_hand.fence(source, "immediate"),
        )  # fmt: skip
        return Step(spec, FenceLost(self._cluster, source, target))

    def _fence_planned(self, source: str, target: str) -> Step:
        spec = self._spec(
            Verb.FENCE, source, f"stop {source} in order", needs=("drain",), undoable=True,
            estimate=timedelta(milliseconds=250), budget=timedelta(minutes=3), touches=(self._host(source),),
            permissions=(f"commands on the host of {source} as the server's account",),
            typed=self._by_hand.fence(source, "fast", in_order=True),
        )  # fmt: skip
        return Step(spec, FencePlanned(self._cluster, source, target))

    def _fence_returned(self, source: str, target: str) -> Step:
        spec = self._spec(
            Verb.FENCE, source, f"{source} must not write any more", max_attempts=200, backoff=_PATIENT,
            estimate=timedelta(seconds=1), budget=timedelta(minutes=15), touches=(self._host(source), self._sql(source), self._sql(target)),
            permissions=(f"commands on the host of {source} as the server's account",),
            typed=self._by_hand.fence(source, "fast"),
        )  # fmt: skip
        return Step(spec, FenceReturned(self._cluster, source, target))

    def _promote(self, source: str, target: str, *, planned: bool) -> Step:
        spec = self._spec(
            Verb.PROMOTE, target, f"{target} takes writes", needs=("prepare", "fence"), irreversible=True,
            estimate=timedelta(milliseconds=150), budget=timedelta(minutes=2), touches=(self._sql(target),),
            permissions=("EXECUTE ON FUNCTION pg_promote", "REPLICATION", "pg_monitor"),
            typed=self._by_hand.promote(source, target, planned=planned),
        )  # fmt: skip
        return Step(spec, Promote(self._cluster, source, target, planned=planned))

    def _verify(self, source: str, target: str) -> Step:
        spec = self._spec(
            Verb.VERIFY_INSIDE, target, f"{target} accepted a write and gives it back", needs=("promote",),
            estimate=timedelta(milliseconds=30), budget=timedelta(minutes=1), touches=(self._sql(target),),
            permissions=("owner of schema dr, or CREATE on the database",),
            typed=self._by_hand.verify(target),
        )  # fmt: skip
        return Step(spec, VerifyInside(self._cluster, source, target))

    def _preserve(self, source: str, target: str) -> Step:
        spec = self._spec(
            Verb.PRESERVE, source, f"keep what only {source} has", needs=("fence",), max_attempts=20, backoff=_PATIENT,
            estimate=timedelta(seconds=5), budget=timedelta(hours=12), touches=(self._host(source), self._sql(target)),
            permissions=(f"commands on the host of {source} as the server's account", "EXECUTE ON FUNCTION pg_read_binary_file"),
            typed=self._by_hand.preserve(source),
        )  # fmt: skip
        return Step(spec, Preserve(self._cluster, source, target))

    def _follow(self, source: str, target: str, needs: tuple[str, ...]) -> Step:
        spec = self._spec(
            Verb.FOLLOW, source, f"{source} follows {target}", needs=needs, max_attempts=20, backoff=_PATIENT,
            estimate=timedelta(seconds=3), budget=timedelta(hours=14), settles=_SETTLES,
            touches=(self._host(source), self._sql(target), self._sql(source)),
            permissions=(
                "REPLICATION", "pg_checkpoint", "EXECUTE ON FUNCTION pg_ls_dir, pg_stat_file, pg_read_binary_file",
                f"commands on the host of {source} as the server's account",
            ),
            typed=self._by_hand.follow(source, target),
        )  # fmt: skip
        return Step(spec, Follow(self._cluster, source, target))

    def _spec(
        self, verb: Verb, region: str, title: str, *, estimate: timedelta, budget: timedelta, touches: tuple[Touch, ...],
        permissions: tuple[str, ...], typed: Typed, needs: tuple[str, ...] = (), max_attempts: int = 5,
        backoff: Backoff | None = None, irreversible: bool = False, undoable: bool = False, settles: timedelta | None = None,
    ) -> StepSpec:  # fmt: skip
        name = self._cluster.component
        return StepSpec(
            id=f"{name}/{verb}", component=name, kind=KIND, verb=verb, region=region, title=title,
            needs=tuple(f"{name}/{need}" for need in needs), estimate=estimate, budget=budget, max_attempts=max_attempts,
            backoff=backoff or Backoff(), irreversible=irreversible, undoable=undoable, touches=touches, permissions=permissions,
            by_hand=typed.do, check_by_hand=typed.check, settles=settles,
        )  # fmt: skip

    def _sql(self, region: str) -> Touch:
        return Touch(service="postgres", plane="data", region=region)

    def _host(self, region: str) -> Touch:
        return Touch(service="host", plane="control", region=region)


OPERATIONS: tuple[type[Operation], ...] = (
    Prepare, PreparePlanned, Drain, FenceLost, FencePlanned, FenceReturned, Promote, VerifyInside, Preserve, Follow,
)  # fmt: skip
"""Every operation of the kind: mypy checks here that each one keeps the port."""


def _beside(step: Step) -> Step:
    """A planned move is done without it: where the old side is gone meanwhile, following it is debt, not a reason to pause."""
    return Step(step.spec.model_copy(update={"optional": True, "max_attempts": 5}), step.operation)
