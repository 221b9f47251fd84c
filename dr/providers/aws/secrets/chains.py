"""The steps for secrets for each intent: what they need of each other, call, and how to do them by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from dr.model.words import Intent, Verb
from dr.ports import Step
from dr.providers.aws.calls import Use
from dr.providers.aws.secrets.by_hand import ByHand
from dr.providers.aws.secrets.calls import CREATE, DECRYPT, DESCRIBE, ENCRYPT, GET, LIST, REPLICATE, STOP, VERSIONS
from dr.providers.aws.secrets.config import Keep
from dr.providers.aws.secrets.steps import Prepare, Release
from dr.providers.aws.secrets.way_back import Follow, Preserve

if TYPE_CHECKING:
    from dr.providers.aws.secrets.kind import SecretsManager


class Chains:
    """Builds the chains of one component. Pure: the same arguments give the same steps."""

    def __init__(self, owner: SecretsManager) -> None:
        self._owner, self._by_hand = owner, ByHand(owner)

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain. A planned move with ``promote`` goes on to the way back at once: both sides are there."""
        promote = self._owner.config.promote
        release = (self._release(source, target, ("prepare",) if intent.moves else ()),) if promote else ()
        back = (self._preserve(source, target, ("release",) if promote else ()), self._follow(source, target))
        if not intent.moves:
            return (*release, *back)
        prepare = self._prepare(source, target, planned=intent.planned)
        return (prepare, *release, *(back if promote and intent.planned else ()))

    def _prepare(self, source: str, target: str, *, planned: bool) -> Step:
        owner = self._owner
        both = (*owner.reads(source), Use(DESCRIBE, source, owner.arns(source)), *self._replicating(source, target)) if planned else ()
        return owner.step(
            Verb.PREPARE, target, f"secrets can be read in {target}", Prepare(owner, source, target, planned=planned),
            uses=(*owner.reads(target), *both), typed=self._by_hand.prepare(source, target, planned=planned),
            estimate=timedelta(milliseconds=300), budget=timedelta(minutes=5),
        )  # fmt: skip

    def _release(self, source: str, target: str, needs: tuple[str, ...]) -> Step:
        owner = self._owner
        return owner.step(
            Verb.RELEASE, target, f"secrets stand alone in {target}", Release(owner, source, target),
            uses=(Use(LIST, target), Use(STOP, target, owner.arns(target))), typed=self._by_hand.release(source, target),
            estimate=timedelta(seconds=2), budget=timedelta(minutes=10), needs=needs, irreversible=True,
        )  # fmt: skip

    def _preserve(self, source: str, target: str, needs: tuple[str, ...]) -> Step:
        owner, kept = self._owner, self._owner.preserved_arn(target)
        copying = (Use(CREATE, target, (kept,)), *owner.key(ENCRYPT, target)) if owner.config.preserve is Keep.COPY else ()
        return owner.step(
            Verb.PRESERVE, source, f"keep the versions that only {source} has", Preserve(owner, source, target),
            uses=(*self._comparing(source, target), *copying), typed=self._by_hand.preserve(source, target),
            estimate=timedelta(seconds=2), budget=timedelta(hours=1), needs=needs, max_attempts=100,
        )  # fmt: skip

    def _follow(self, source: str, target: str) -> Step:
        owner = self._owner
        return owner.step(
            Verb.FOLLOW, source, f"secrets of {source} are replicas of {target}'s", Follow(owner, source, target),
            uses=(
                *self._comparing(source, target), Use(DESCRIBE, target, owner.arns(target)), *self._replicating(target, source),
            ),
            typed=self._by_hand.follow(source, target), estimate=timedelta(seconds=5), budget=timedelta(hours=1), needs=("preserve",),
            max_attempts=100, irreversible=True,
        )  # fmt: skip

    def _comparing(self, source: str, target: str) -> tuple[Use, ...]:
        """Listing, values and versions of both sides, and what was kept of the old one."""
        owner = self._owner
        return (
            *owner.reads(target), *owner.reads(source), Use(VERSIONS, target, owner.arns(target)),
            Use(VERSIONS, source, owner.arns(source)), Use(GET, target, (owner.preserved_arn(target),)), *owner.authority(),
        )  # fmt: skip

    def _replicating(self, region: str, to: str) -> tuple[Use, ...]:
        """Asked in one region, done with the rights of who asks: its key decrypts, the other one's encrypts."""
        owner = self._owner
        return (Use(REPLICATE, region, owner.arns(region)), *owner.key(DECRYPT, region), *owner.key(ENCRYPT, to))
