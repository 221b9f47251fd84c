"""The steps of a bucket for each intent: what they need of each other, call, and how to do them by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from dr.model.by_hand import Typed
from dr.model.words import Intent, Verb
from dr.ports import Step
from dr.providers.aws.calls import Use
from dr.providers.aws.metrics import GET
from dr.providers.aws.s3.calls import (
    BY_KEY,
    CREATE_JOB,
    DESCRIBE_JOB,
    ENCRYPTION,
    GET_OBJECT,
    HEAD,
    KEY,
    LIST_JOBS,
    PASS_ROLE,
    PUT,
    REPLICATION,
    VERSIONING,
    VERSIONS,
)
from dr.providers.aws.s3.protect import Beside, Bring, Follow, Preserve
from dr.providers.aws.s3.redirect import HOLDS_AFTER, Propagate, Redirect
from dr.providers.aws.s3.steps import Account, Drain, Prepare, VerifyInside

if TYPE_CHECKING:
    from dr.providers.aws.s3.kind import S3Bucket

ON_ITS_WAY = timedelta(minutes=15)
"""What is younger is on its way by itself, unless S3 gave it up: the time within which Replication Time Control promises it."""
_LONG = timedelta(hours=14)


class Chains:
    """Builds the chains of one component. Pure: the same arguments give the same steps."""

    def __init__(self, owner: S3Bucket) -> None:
        self._owner = owner

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain. For ``reprotect`` the target is the region that leads now, the source the old one."""
        if intent is Intent.REPROTECT:
            return self._preserve(source, target), self._follow(source, target)
        moved = () if self._owner.routes is None else (self._redirect(source, target), self._propagate(source, target))
        if intent.planned:
            return (
                self._prepare(source, target, planned=True), self._bring(source, target), self._drain(source, target),
                self._verify(source, target, ("prepare", "drain")), *moved, self._beside(source, target),
            )  # fmt: skip
        return (
            self._prepare(source, target, planned=False),
            self._verify(source, target, ("prepare",)),
            *moved,
            self._account(source, target),
        )

    # --- what they call ---

    def settings(self, region: str) -> tuple[Use, ...]:
        """How a bucket is set up."""
        owner, arn = self._owner, (self._owner.arn(region),)
        routes = owner.routes.uses(region, submit=False) if owner.routes is not None else ()
        return (
            Use(VERSIONING, region, arn), Use(REPLICATION, region, arn), Use(ENCRYPTION, region, arn),
            Use(KEY, region, (owner.key_arn(region),)), *routes,
        )  # fmt: skip

    def _reads(self, region: str) -> Use:
        owner = self._owner
        return Use(GET_OBJECT, region, (owner.arn(region), f"{owner.arn(region)}/{owner.config.prefix}*"))

    def _writes(self, region: str) -> tuple[Use, ...]:
        owner, key = self._owner, self._owner.config.regions[region].kms_key
        put = Use(PUT, region, (f"{owner.arn(region)}/{owner.config.prefix}*",))
        return (self._reads(region), put) if key is None else (self._reads(region), put, Use(BY_KEY, region, (key,)))

    def _lists(self, *regions: str) -> tuple[Use, ...]:
        return tuple(Use(VERSIONS, region, (self._owner.arn(region),)) for region in regions)

    def _heads(self, region: str) -> Use:
        return Use(HEAD, region, (f"{self._owner.arn(region)}/*",))

    def _jobs(self, region: str) -> tuple[Use, ...]:
        owner = self._owner
        if owner.config.batch_role is None:
            return ()
        jobs = f"arn:aws:s3:{owner.places[region].code}:{owner.places[region].account or '*'}:job/*"
        return (
            Use(LIST_JOBS, region), Use(CREATE_JOB, region), Use(PASS_ROLE, region, (owner.config.batch_role,)),
            Use(DESCRIBE_JOB, region, (jobs,)), *self._writes(region),
        )  # fmt: skip

    # --- the steps ---

    def _prepare(self, source: str, target: str, *, planned: bool) -> Step:
        owner = self._owner
        return owner.step(
            Verb.PREPARE, target, f"the bucket of {target} is there", Prepare(owner, source, target),
            uses=(*self.settings(target), *(self.settings(source) if planned else ())), typed=owner.by_hand.looks(target),
            estimate=timedelta(milliseconds=500), budget=timedelta(minutes=5),
        )  # fmt: skip

    def _bring(self, source: str, target: str) -> Step:
        owner = self._owner
        bring = Bring(owner, source, target, old=target, leading=source, both=False, younger=ON_ITS_WAY)
        return owner.step(
            Verb.PREPARE, target, f"nothing of {source} was left out of {target}", bring, name="bring",
            uses=(*self._lists(source, target), self._heads(source), *self._jobs(source)), typed=owner.by_hand.brought(source, target),
            estimate=timedelta(seconds=5), budget=_LONG, needs=("prepare",), max_attempts=20,
        )  # fmt: skip

    def _drain(self, source: str, target: str) -> Step:
        owner = self._owner
        return owner.step(
            Verb.DRAIN, source, f"everything of {source} is in {target}", Drain(owner, source, target),
            uses=(
                *self.settings(source), *self._writes(source), *self._lists(source, target), Use(GET, source), self._heads(source),
                *self._jobs(source),
            ),
            typed=owner.by_hand.drained(source, target), estimate=timedelta(seconds=30), budget=timedelta(minutes=30), needs=("bring",),
            max_attempts=20,
        )  # fmt: skip

    def _verify(self, source: str, target: str, needs: Sequence[str]) -> Step:
        owner = self._owner
        return owner.step(
            Verb.VERIFY_INSIDE, target, f"{target} accepted a write and gives it back", VerifyInside(owner, source, target),
            uses=self._writes(target), typed=owner.by_hand.writes(target), estimate=timedelta(milliseconds=300),
            budget=timedelta(minutes=5), needs=needs, max_attempts=20,
        )  # fmt: skip

    def _redirect(self, source: str, target: str) -> Step:
        owner = self._owner
        assert owner.routes is not None
        return owner.step(
            Verb.REDIRECT, target, f"the access point leads to {target}", Redirect(owner, source, target),
            uses=owner.routes.uses(target), typed=owner.by_hand.redirected(target), estimate=timedelta(seconds=1),
            budget=timedelta(minutes=10), needs=("verify-inside",), max_attempts=50, undoable=True,
        )  # fmt: skip

    def _propagate(self, source: str, target: str) -> Step:
        owner = self._owner
        check = owner.by_hand.redirected(target).check
        return owner.step(
            Verb.PROPAGATE, target, "the routes hold everywhere", Propagate(owner, source, target), uses=(),
            typed=Typed(f"sleep {HOLDS_AFTER.seconds}", check), estimate=HOLDS_AFTER, budget=timedelta(minutes=10), needs=("redirect",),
        )  # fmt: skip

    def _account(self, source: str, target: str) -> Step:
        owner = self._owner
        return owner.step(
            Verb.FINGERPRINT, target, f"what of {source} had not arrived in {target}", Account(owner, source, target), uses=(),
            typed=Typed(f"echo 'what {source} had not sent is known once it is back: dr reprotect'", "true"),
            estimate=timedelta(milliseconds=50), budget=timedelta(minutes=1), needs=("verify-inside",), optional=True,
        )  # fmt: skip

    def _preserve(self, source: str, target: str) -> Step:
        owner = self._owner
        return owner.step(
            Verb.PRESERVE, source, f"a list of what only {source} has", Preserve(owner, source, target),
            uses=(*self.settings(source), *self.settings(target), *self._lists(source, target)),
            typed=owner.by_hand.preserved(source, target), estimate=timedelta(seconds=5), budget=timedelta(hours=12), max_attempts=50,
        )  # fmt: skip

    def _follow(self, source: str, target: str) -> Step:
        owner = self._owner
        follow = Follow(owner, source, target, old=source, leading=target, both=True, younger=None)
        return owner.step(
            Verb.FOLLOW, source, f"{source} and {target} hold the same, and {target} sends to {source}", follow,
            uses=(
                *self.settings(target), *self._lists(source, target), *self._jobs(source), *self._jobs(target), *self._writes(target),
                self._reads(source),
            ),
            typed=owner.by_hand.brought(target, source), estimate=timedelta(minutes=1), budget=_LONG, needs=("preserve",), max_attempts=50,
        )  # fmt: skip

    def _beside(self, source: str, target: str) -> Step:
        owner = self._owner
        beside = Beside(owner, source, target, old=source, leading=target, both=False, younger=None)
        return owner.step(
            Verb.FOLLOW, source, f"{target} sends to {source}", beside,
            uses=(*self.settings(target), *self._writes(target), self._reads(source)), typed=owner.by_hand.writes(target, source),
            estimate=timedelta(seconds=20), budget=timedelta(minutes=30), needs=("verify-inside",), optional=True,
        )  # fmt: skip
