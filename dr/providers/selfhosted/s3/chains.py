"""The steps of a bucket for each intent: what they need of each other, touch and may take, and how to do them by hand.

What counts the objects comes after service is back (``account``, ``follow``); on the way to it there are a check, a marker and a check.
Only a planned move compares everything before it hands over, because it loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from dr.model.by_hand import Typed
from dr.model.plan import Backoff, StepSpec, Touch
from dr.model.words import Intent, Verb
from dr.ports import Step
from dr.providers.selfhosted.s3.account import Account
from dr.providers.selfhosted.s3.buckets import KIND, Buckets
from dr.providers.selfhosted.s3.by_hand import ByHand
from dr.providers.selfhosted.s3.drain import Drain
from dr.providers.selfhosted.s3.follow import Follow
from dr.providers.selfhosted.s3.prepare import Prepare, PreparePlanned
from dr.providers.selfhosted.s3.preserve import Preserve
from dr.providers.selfhosted.s3.promote import Promote
from dr.providers.selfhosted.s3.verify_inside import VerifyInside

_READ, _WRITE = ("s3:GetObject", "s3:ListBucket"), ("s3:PutObject", "s3:DeleteObject")
_PATIENT = Backoff(base=timedelta(milliseconds=500), cap=timedelta(seconds=5))


class Chains:
    """Builds the chains of one component. Pure: the same arguments give the same steps."""

    def __init__(self, buckets: Buckets, by_hand: ByHand) -> None:
        self._buckets, self._by_hand = buckets, by_hand

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain. For ``reprotect`` the target is the region that is primary now, the source the old primary."""
        if intent is Intent.REPROTECT:
            return self._preserve(source, target), self._follow(source, target, ("preserve",))
        if intent.planned:
            return (
                self._prepare(source, target, planned=True), self._drain(source, target),
                self._promote(source, target, planned=True), self._verify(source, target),
                _beside(self._follow(source, target, ("verify-inside",))),
            )  # fmt: skip
        return (
            self._prepare(source, target, planned=False), self._promote(source, target, planned=False),
            self._verify(source, target), self._account(source, target),
        )  # fmt: skip

    def _prepare(self, source: str, target: str, *, planned: bool) -> Step:
        spec = self._spec(
            Verb.PREPARE, target, f"the bucket of {target} is read and written", estimate=timedelta(milliseconds=60),
            budget=timedelta(minutes=2), touched=(target, source) if planned else (target,), permissions=(*_READ, *_WRITE),
            typed=self._by_hand.check_writes(target),
        )  # fmt: skip
        return Step(spec, (PreparePlanned if planned else Prepare)(self._buckets, source, target))

    def _drain(self, source: str, target: str) -> Step:
        spec = self._spec(
            Verb.DRAIN, source, f"everything of {source} is in {target}", needs=("prepare",), estimate=timedelta(milliseconds=500),
            budget=timedelta(minutes=15), max_attempts=20, touched=(source, target), permissions=(*_READ, *_WRITE),
            typed=self._by_hand.bring_over(source, target),
        )  # fmt: skip
        return Step(spec, Drain(self._buckets, source, target))

    def _promote(self, source: str, target: str, *, planned: bool) -> Step:
        spec = self._spec(
            Verb.PROMOTE, target, f"{target} is primary as of a new epoch", needs=("prepare", "drain") if planned else ("prepare",),
            estimate=timedelta(milliseconds=40), budget=timedelta(minutes=2), undoable=True, touched=(target,),
            permissions=(*_READ, *_WRITE), typed=self._by_hand.mark(target),
        )  # fmt: skip
        return Step(spec, Promote(self._buckets, source, target, planned=planned))

    def _verify(self, source: str, target: str) -> Step:
        spec = self._spec(
            Verb.VERIFY_INSIDE, target, f"{target} accepted a write and gives it back", needs=("promote",),
            estimate=timedelta(milliseconds=40), budget=timedelta(minutes=1), touched=(target,), permissions=(*_READ, *_WRITE),
            typed=self._by_hand.check_writes(target),
        )  # fmt: skip
        return Step(spec, VerifyInside(self._buckets, source, target))

    def _account(self, source: str, target: str) -> Step:
        spec = self._spec(
            Verb.FINGERPRINT, target, f"which objects of {source} are not in {target}", needs=("verify-inside",), optional=True,
            estimate=timedelta(seconds=1), budget=timedelta(minutes=30), touched=(target,), permissions=_READ,
            typed=self._by_hand.account(target),
        )  # fmt: skip
        return Step(spec, Account(self._buckets, source, target))

    def _preserve(self, source: str, target: str) -> Step:
        spec = self._spec(
            Verb.PRESERVE, source, f"keep what only {source} has", max_attempts=20, backoff=_PATIENT, estimate=timedelta(seconds=1),
            budget=timedelta(hours=12), touched=(source, target), permissions=_READ, typed=self._by_hand.preserve(source, target),
        )  # fmt: skip
        return Step(spec, Preserve(self._buckets, source, target))

    def _follow(self, source: str, target: str, needs: tuple[str, ...]) -> Step:
        spec = self._spec(
            Verb.FOLLOW, source, f"{source} and {target} hold the same, heartbeats of {target} arrive", needs=needs, max_attempts=20,
            backoff=_PATIENT, estimate=timedelta(seconds=2), budget=timedelta(hours=14), touched=(source, target),
            permissions=(*_READ, *_WRITE), typed=self._by_hand.follow(source, target),
        )  # fmt: skip
        return Step(spec, Follow(self._buckets, source, target))

    def _spec(
        self, verb: Verb, region: str, title: str, *, estimate: timedelta, budget: timedelta, touched: tuple[str, ...],
        permissions: tuple[str, ...], typed: Typed, needs: tuple[str, ...] = (), undoable: bool = False, optional: bool = False,
        max_attempts: int = 10, backoff: Backoff | None = None,
    ) -> StepSpec:  # fmt: skip
        name = self._buckets.component
        return StepSpec(
            id=f"{name}/{verb}", component=name, kind=KIND, verb=verb, region=region, title=title,
            needs=tuple(f"{name}/{need}" for need in needs), estimate=estimate, budget=budget, max_attempts=max_attempts,
            backoff=backoff or Backoff(), undoable=undoable, optional=optional, permissions=permissions, by_hand=typed.do,
            check_by_hand=typed.check, touches=tuple(Touch(service="s3", plane="data", region=touch) for touch in touched),
        )  # fmt: skip


def _beside(step: Step) -> Step:
    """After a planned move: the move is done without it, and where the old side is gone meanwhile, that is debt."""
    return Step(step.spec.model_copy(update={"optional": True, "max_attempts": 5, "budget": timedelta(minutes=15)}), step.operation)
