"""The steps for secrets for each intent: what they need of each other, touch and may take, and how to do them by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from dr.model.by_hand import Typed
from dr.model.plan import Backoff, StepSpec, Touch
from dr.model.words import Intent, Verb
from dr.ports import Step
from dr.providers.selfhosted.vault.by_hand import ByHand
from dr.providers.selfhosted.vault.deployments import Databases
from dr.providers.selfhosted.vault.fingerprint import Fingerprint, Snapshot
from dr.providers.selfhosted.vault.follow import Follow
from dr.providers.selfhosted.vault.prepare import Prepare
from dr.providers.selfhosted.vault.preserve import Preserve
from dr.providers.selfhosted.vault.vaults import Vaults

KIND = "vault-kv"

_PATIENT = Backoff(base=timedelta(milliseconds=500))
"""For a region that is just coming back."""


class Chains:
    """Builds the chains of one component. Pure: the same arguments give the same steps.

    Args:
        answered: whether the last look found a region's server answering.
    """

    def __init__(self, vaults: Vaults, databases: Databases | None, answered: Callable[[str], bool], by_hand: ByHand) -> None:
        self._vaults, self._databases, self._answered, self._by_hand = vaults, databases, answered, by_hand

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain. ``reprotect``: ``target`` leads now, the store of ``source`` came back and follows it."""
        if intent is Intent.REPROTECT:
            return self._preserve(source, target), self._follow(source, target)
        prepare = self._prepare(source, target, planned=intent.planned)
        snapshot = (self._snapshot(source, target),) if intent.planned else ()
        return (prepare, *snapshot, self._fingerprint(source, target))

    def _prepare(self, source: str, target: str, *, planned: bool) -> Step:
        spec = self._spec(
            Verb.PREPARE, target, f"what Deployments need is in the store of {target} and usable", estimate=timedelta(milliseconds=200),
            budget=timedelta(minutes=5), touched=(target, source) if planned else (target,), rights=("read", "list", "create", "update"),
            typed=self._by_hand.prepare(source, target),
        )  # fmt: skip
        operation = Prepare(
            self._vaults, self._databases, source, target, planned=planned, source_answered=lambda: self._answered(source)
        )
        return Step(spec, operation)

    def _snapshot(self, source: str, target: str) -> Step:
        spec = self._spec(
            Verb.SNAPSHOT, source, f"keep which secrets {source} has", needs=("prepare",), estimate=timedelta(milliseconds=300),
            budget=timedelta(minutes=2), touched=(source,), rights=("read", "list"), typed=self._by_hand.snapshot(source),
        )  # fmt: skip
        return Step(spec, Snapshot(self._vaults, self._databases, source, target))

    def _fingerprint(self, source: str, target: str) -> Step:
        spec = self._spec(
            Verb.FINGERPRINT, target, "the same secrets as before", needs=("prepare",), estimate=timedelta(milliseconds=500),
            budget=timedelta(minutes=5), touched=(target,), rights=("read", "list"),
            typed=self._by_hand.fingerprint(target),
        )  # fmt: skip
        return Step(spec, Fingerprint(self._vaults, self._databases, source, target))

    def _preserve(self, source: str, target: str) -> Step:
        spec = self._spec(
            Verb.PRESERVE, source, f"keep the versions that only {source} has", estimate=timedelta(seconds=1), budget=timedelta(hours=1),
            touched=(source, target), rights=("read", "list", "create", "update"), max_attempts=200, backoff=_PATIENT,
            typed=self._by_hand.preserve(source, target),
        )  # fmt: skip
        return Step(spec, Preserve(self._vaults, self._databases, source, target))

    def _follow(self, source: str, target: str) -> Step:
        spec = self._spec(
            Verb.FOLLOW, source, f"the store of {source} has what {target}'s has", needs=("preserve",), estimate=timedelta(seconds=1),
            budget=timedelta(hours=1), touched=(source, target), rights=("read", "list", "create", "update"), max_attempts=200,
            backoff=_PATIENT, typed=self._by_hand.follow(source, target),
        )  # fmt: skip
        return Step(spec, Follow(self._vaults, self._databases, source, target))

    def _spec(
        self, verb: Verb, region: str, title: str, *, estimate: timedelta, budget: timedelta, touched: tuple[str, ...],
        rights: tuple[str, ...], typed: Typed, needs: tuple[str, ...] = (), max_attempts: int = 10,
        backoff: Backoff | None = None,
    ) -> StepSpec:  # fmt: skip
        name, mount = self._vaults.component, self._vaults.config.mount
        permissions = (f"policy of the token: {', '.join(rights)} on {mount}/data/*, {mount}/metadata/*, {mount}/detailed-metadata/*",)
        return StepSpec(
            id=f"{name}/{verb}", component=name, kind=KIND, verb=verb, region=region, title=title,
            needs=tuple(f"{name}/{need}" for need in needs), estimate=estimate, budget=budget, max_attempts=max_attempts,
            backoff=backoff or Backoff(), permissions=permissions, by_hand=typed.do, check_by_hand=typed.check,
            touches=tuple(Touch(service="vault", plane="data", region=touch) for touch in touched),
        )  # fmt: skip
