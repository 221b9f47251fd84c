"""The steps of a component for each intent: what they need of each other, touch and may take, and how to do them by hand. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from dr.model.plan import Backoff, StepSpec, Touch
from dr.model.words import Intent, Verb
from dr.ports import Step
from dr.providers.selfhosted.oci.by_hand import ByHand
from dr.providers.selfhosted.oci.look import Looker
from dr.providers.selfhosted.oci.registries import Registries
from dr.providers.selfhosted.oci.steps import WHOLE, Bring, Depth, Fingerprint
from dr.providers.selfhosted.oci.view import KIND

_READ, _WRITE = "registry: pull from {region}", "registry: push to {region}"
_RECENT = timedelta(seconds=10)
"""The look that a run begins with counts for its first step."""


class _Sort(NamedTuple):
    """What no plan changes about a step. ``seconds``: estimate at 200 images that are there already, on 2 cores."""

    verb: Verb
    title: str
    seconds: float
    minutes: int
    attempts: int = 10
    optional: bool = False


_PREPARE = _Sort(Verb.PREPARE, "images are in {region} and can be pulled there", 1.5, 30)
_FINGERPRINT = _Sort(Verb.FINGERPRINT, "every image of before and now is in {region}", 2.0, 10, 3, optional=True)
_FOLLOW = _Sort(Verb.FOLLOW, "the registry of {region} gets what came meanwhile", 2.0, 60, 200)


class Chains:
    """Builds the chains of one component. The same arguments give the same steps."""

    def __init__(self, registries: Registries, looker: Looker, by_hand: ByHand) -> None:
        self._registries, self._looker, self._by_hand = registries, looker, by_hand

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """Moves: prepare, and account for everything when service is back. ``reprotect``: the registry of ``source`` is filled up."""
        if intent is Intent.REPROTECT:
            bring = Bring(self._registries, self._looker, target, source, primary_only=True)
            return (Step(self._spec(_FOLLOW, target, source, ()), bring),)
        before = after = WHOLE
        if intent is Intent.FAILOVER:  # others have more urgent work: what was just seen is not asked again, the rest after service
            trust = self._registries.config.check_every
            before, after = Depth(2 * trust, min(trust, _RECENT), everything=False), Depth(trust)
        prepare = Bring(self._registries, self._looker, source, target, depth=before)
        fingerprint = Fingerprint(self._registries, self._looker, source, target, depth=after)
        return (
            Step(self._spec(_PREPARE, source, target, ()), prepare),
            Step(self._spec(_FINGERPRINT, source, target, ("prepare",)), fingerprint),
        )

    def _spec(self, sort: _Sort, source: str, target: str, needs: tuple[str, ...]) -> StepSpec:
        """``source``: where images are copied from; ``target``: which registry is judged."""
        # a registry that came back is filled up by what the region says that leads now; its own database may not even run
        name, typed = self._registries.name, self._by_hand.bring(source, target, source if sort is _FOLLOW else target)
        permissions = tuple(text.format(region=region) for text, region in ((_READ, source), (_READ, target), (_WRITE, target)))
        other = Touch(service="registry", plane="data", region=source, tried=sort is not _FOLLOW)
        return StepSpec(
            id=f"{name}/{sort.verb}", component=name, kind=KIND, verb=sort.verb, region=target, title=sort.title.format(region=target),
            needs=tuple(f"{name}/{need}" for need in needs), estimate=timedelta(seconds=sort.seconds),
            budget=timedelta(minutes=sort.minutes), max_attempts=sort.attempts, backoff=Backoff(base=timedelta(milliseconds=500)),
            optional=sort.optional, touches=(Touch(service="registry", plane="data", region=target), other),
            permissions=permissions, by_hand=typed.do, check_by_hand=typed.check,
        )  # fmt: skip
