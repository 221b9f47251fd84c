"""Simulated looks at what has to be there: the same claims, refusals and evidence as ``dr.providers.aws.readiness``, ``.kms_key``,
``.ecr``, ``.secrets``, ``.parameters`` and ``.capacity.lambda_function``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from dr.errors import Transient
from dr.model.evidence import NAMED, Accounted, Evidence, Following, Note, Preserved
from dr.model.words import Guard, Intent, Verb
from dr.ports import AttemptContext, Look, Seen
from dr.providers.sim.aws.ready import Ready, Values
from dr.providers.sim.images import Images
from dr.providers.sim.secrets import WRONG, Standing, compare, compare_kept
from dr.providers.sim.sort import some
from dr.providers.sim.steps import secrets
from dr.providers.sim.steps.base import SimStep

_CALL = 0.3


def _resume(context: AttemptContext) -> str:
    return f"(try: dr resume {context.run_id} --accept prerequisites --reason TEXT)"


class Check(SimStep[Ready]):
    """Looks anew; an error that concerns the target blocks. Changes nothing."""

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED names what is wrong; an acceptance of ``prerequisites`` goes on."""
        wrong = self.wrong(self.target)
        if not wrong:
            return Seen(Look.NEEDED)
        text = "; ".join(wrong)
        return Seen(Look.NEEDED, text) if context.accepted(Guard.PREREQUISITES) else Seen(Look.BLOCKED, f"{text} {_resume(context)}")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Says what was accepted."""
        return tuple(Note(text=fact) for fact in self.wrong(self.target))

    def wrong(self, region: str) -> list[str]:
        """What is wrong in a region."""

        def look() -> list[str]:
            self.store.there(region)
            return list(self.store.wrong.get(region, ()))

        return self.read(region, "look", look)


class MovePrimary(SimStep[Ready]):
    """The primary of a multi-Region key moves into the target, so that the key can be changed there."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it is there."""
        primary = self.read(self.target, "key", lambda: self.store.primary)
        return Seen(Look.DONE if primary == self.target else Look.NEEDED, f"the primary key is in {primary}")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """UpdatePrimaryRegion, asked in the primary's region."""

        def move() -> None:
            if not self.place.world.linked(self.source, self.target):
                raise Transient(f"{self.component}: both members must be Enabled")
            self.store.primary = self.target

        self.do(context, self.source, "release", move)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)


def check(name: str, verb: Verb, intent: Intent) -> type[SimStep[Any]]:
    """The operation of a step of readiness."""
    return Check if verb is Verb.PREPARE else MovePrimary


# --- images -------------------------------------------------------------------------------------------------------------


class CheckImages(SimStep[Images]):
    """Every image that is needed is in a region's registry. Pushes nothing: AWS replicates what is pushed."""

    strict = True

    @property
    def where(self) -> str:
        """The judged registry."""
        return self.target

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: what is needed is there. BLOCKED: it is not; ``prerequisites`` may be accepted."""
        store, where = self.store, self.where

        def look() -> list[str]:
            store.there(where)
            return sorted(store.missing[where] | store.broken[where])

        gone = self.read(where, "list", look)
        count = store.count
        account = Accounted(
            component=self.component, region=where, at=self.now, checked=count, equal=max(0, count - len(gone)),
            missing=tuple(gone[:NAMED]), missing_total=len(gone), complete=self.planned,
        )  # fmt: skip
        if gone and self.strict and not context.accepted(Guard.PREREQUISITES):
            return Seen(Look.BLOCKED, f"{len(gone)} images are not in {where}: {some(gone)} {_resume(context)}", (account,))
        return Seen(Look.DONE, f"{count - len(gone)} of {count} images are in {where}", (account, *self.more()))

    def more(self) -> tuple[Evidence, ...]:
        """Further evidence where it is done."""
        return ()


class CountImages(CheckImages):
    """After a move: what is not there is drift, and stops nobody."""

    strict = False


class FollowImages(CheckImages):
    """The old region's registry has what is needed, and gets what is pushed in the new one from now on."""

    @property
    def where(self) -> str:
        """The side that came back."""
        return self.source

    def more(self) -> tuple[Evidence, ...]:
        """It follows."""
        return (Following(component=self.component, region=self.source, upstream=self.target, how="repositories are replicated"),)


def images(name: str, verb: Verb, intent: Intent) -> type[CheckImages]:
    """The operation of a step of registries."""
    return {Verb.PREPARE: CheckImages, Verb.FINGERPRINT: CountImages, Verb.FOLLOW: FollowImages}[verb]


# --- secrets and parameters ---------------------------------------------------------------------------------------------


class Prepare(secrets.Prepare):
    """What is needed can be read in the target. A failover does not ask the source: what was kept of it counts."""

    def _source(self) -> Mapping[str, tuple[int, ...]] | None:
        return self.side(self.source) if self.planned else None

    def observe(self, context: AttemptContext) -> Seen:
        """As on one's own machines; of a lost region only what is missing is told for sure: a value that differs may be the newer one."""
        if self.planned:
            return super().observe(context)
        copy, kept = self.side(self.target), self.kept()
        if kept is None:
            return Seen(Look.DONE, f"{self.component}: no account of {self.source} was kept")
        compared = compare_kept(self.target, kept.items, copy, self.store.carried[self.target])
        gone, facts = compared.of(Standing.MISSING), (self.accounted(compared),)
        if gone and not context.accepted(Guard.PREREQUISITES):
            return Seen(Look.BLOCKED, f"{len(gone)} secrets missing in {self.target}: {some(gone)} {_resume(context)}", facts)
        return Seen(Look.DONE, evidence=facts)


class Release(SimStep[Values]):
    """Replicas of the source's secrets stand alone in the target. For good."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: none is a replica any more."""
        alone = self.read(self.target, "list", lambda: self.target in self.store.alone)
        return Seen(Look.DONE) if alone else Seen(Look.NEEDED, f"the secrets of {self.target} are replicas still")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Stops each."""
        self.do(context, self.target, "release", lambda: self.store.alone.add(self.target), seconds=_CALL)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)


class Follow(secrets.Follow):
    """The old side's secrets become replicas of those of the side that leads."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Replicates, over what was preserved."""
        found = super().act(context)
        if isinstance(self.store, Values):
            self.store.alone.discard(self.source)
        return found


class ListOld(SimStep[Values]):
    """Values that will give way are listed: they stay in each parameter's history."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE always."""
        both: list[dict[str, tuple[int, ...]]] = [
            self.read(region, "list", partial(dict, self.store.held[region])) for region in (self.target, self.source)
        ]
        names = compare(self.source, both[0], both[1]).of(*WRONG)
        old = [name for name in names if name in both[1]]
        if not old:
            text = f"{self.component}: no value of {self.source} will be written over"
            return Seen(Look.DONE, text, (Note(text=text),))
        kept = Preserved(
            component=self.component, region=self.source, at=self.now, path="the history of each parameter", manifest="listed",
            items=len(old),
        )  # fmt: skip
        return Seen(Look.DONE, f"{len(old)} values listed", (kept,))


def values(name: str, verb: Verb, intent: Intent) -> type[SimStep[Any]]:
    """The operation of a step of secrets."""
    return _SECRETS[verb]


def parameters(name: str, verb: Verb, intent: Intent) -> type[SimStep[Any]]:
    """The operation of a step of parameters."""
    return ListOld if verb is Verb.PRESERVE else _SECRETS[verb]


_SECRETS: Mapping[Verb, type[SimStep[Any]]] = {
    Verb.PREPARE: Prepare, Verb.RELEASE: Release, Verb.PRESERVE: secrets.Preserve, Verb.FOLLOW: Follow,
}  # fmt: skip
