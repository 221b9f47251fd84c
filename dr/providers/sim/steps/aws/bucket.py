"""Simulated operations on two buckets that replicate to each other: the same claims, refusals and evidence as ``dr.providers.aws.s3``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from dr.errors import Transient
from dr.model.evidence import Accounted, Evidence, Following, Note, Preserved, RecoveryPoint, Redirected
from dr.model.words import Intent, Verb
from dr.ports import AttemptContext, Look, Seen
from dr.providers.sim.aws.twoway import Buckets
from dr.providers.sim.objects import Piece, count
from dr.providers.sim.steps.aws.twoway import Prepare, TwoWayStep, VerifyInside
from dr.providers.sim.steps.base import SimStep

_ON_ITS_WAY = 900.0
"""Seconds: what is younger is on its way by itself, unless S3 gave it up."""
_HOLDS_AFTER = timedelta(minutes=2)


class BucketStep(TwoWayStep[Buckets]):
    """What sends by Batch Replication."""

    def gave_up(self, one: str, other: str, since: float, before: float) -> list[Piece]:
        """What of one region, written between two moments, S3 has given up sending."""
        return self.read(one, "heads", lambda: self.store.gave_up(one, other, since, before))

    def send(self, context: AttemptContext, one: str, other: str) -> int:
        """A job that sends all that is missing. How many objects. Raises Transient."""
        return self.do(context, one, "bring", partial(self._bring, one, other))

    def _bring(self, one: str, other: str) -> int:
        for region in (one, other):
            self.store.there(region)
        if not self.place.world.linked(one, other):
            raise Transient(f"{self.component}: {one} does not reach {other}")
        return self.store.bring(one, other)


class Bring(BucketStep):
    """What one side lacks is brought over by Batch Replication. ``source`` leads; what is younger is on its way, unless S3 gave it up."""

    younger = _ON_ITS_WAY
    both = False
    brought = 0
    until: float | None = None
    """The listing that was acted on, in seconds of the world: what is written later is on its way by the rule."""

    @property
    def leading(self) -> str:
        """Where it is brought from."""
        return self.source

    @property
    def old(self) -> str:
        """Where it is brought to."""
        return self.target

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: neither side lacks anything."""
        return self._seen(context, self._wanted(self.place.world.now))

    def _seen(self, context: AttemptContext, wanted: Mapping[str, list[Piece]]) -> Seen:
        left = sum(count(pieces) for pieces in wanted.values())
        if left and not self.store.batch:
            return Seen(Look.BLOCKED, f"{left} objects are missing, and there is no batch_role to bring them over")
        return Seen(Look.NEEDED, f"to be brought over: {left} objects") if left else self.settled(context, wanted)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One job out of each side that has something to send."""
        self.until = self.place.world.now
        wanted = self._wanted(self.until)
        for one, pieces in wanted.items():
            if count(pieces):
                other = self.old if one == self.leading else self.leading
                self.brought += self.send(context, one, other)
        return (Note(text=f"{self.component}: Batch Replication of {self.brought} objects"),)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: nothing of what was to be brought is missing."""
        return self._seen(context, self._wanted(self.place.world.now if self.until is None else self.until))

    def settled(self, context: AttemptContext, wanted: Mapping[str, list[Piece]]) -> Seen:
        """Nothing is missing."""
        return Seen(Look.DONE, f"{self.brought} brought over", self._accounts())

    def _wanted(self, before: float) -> dict[str, list[Piece]]:
        wanted = {self.leading: self.lacked(self.leading, self.old, before - self.younger)}
        if self.younger:
            wanted[self.leading] += self.gave_up(self.leading, self.old, before - self.younger, before)
        if self.both:
            wanted[self.old] = self.lacked(self.old, self.leading, before)
        return wanted

    def _accounts(self) -> tuple[Evidence, ...]:
        checked = sum(count(pieces) for pieces in self.store.written.values())
        return tuple(
            Accounted(
                component=self.component, region=region, at=self.now, checked=checked, equal=checked - repaired, missing_total=repaired,
                repaired=repaired,
            )
            for region, repaired in ((self.old, self.brought), (self.leading, 0))
        )  # fmt: skip


class Drain(BucketStep):
    """Everything that was written until the marker of the source has arrived is in the target. What S3 gave up is sent once more."""

    listed: float | None = None
    """The first listing after that, in seconds of the world."""
    stuck = False
    """The next attempt sends what is missing."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it was seen in this run."""
        before = context.found(RecoveryPoint, self.component)
        if before is not None and before.complete and before.region == self.target:
            return Seen(Look.DONE, f"everything of {self.source} was seen in {self.target}")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """A marker in the source; a job, where S3 gave something up."""
        self.mark(context, self.source, "mark")
        if not self.stuck:
            return ()
        sent = self.send(context, self.source, self.target)
        self.stuck = False
        return (Note(text=f"{self.component}: Batch Replication of {sent} objects"),)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: proven. BLOCKED: S3 gave something up, and there is no role to send it. Raises Transient: the next attempt sends it."""
        if not self.arrived(context, self.source, self.target):
            return Seen(Look.NEEDED, f"the last object of {self.source} is on its way")
        self.listed = self.place.world.now if self.listed is None else self.listed
        left = count(self.lacked(self.source, self.target, self.listed))
        if left and self.gave_up(self.source, self.target, 0.0, self.listed):
            told = f"S3 gave up replicating some of the {left} objects of {self.source} that are not in {self.target}"
            if not self.store.batch:
                return Seen(Look.BLOCKED, f"{told}: there is no batch_role to send them")
            self.stuck = True
            raise Transient(f"{told}: the next attempt sends them")
        if left:
            return Seen(Look.NEEDED, f"not in {self.target}: {left} objects")
        return Seen(Look.DONE, "both buckets list the same", (self.complete(),))


class Account(TwoWayStep[Buckets]):
    """After a failover: how much had not arrived when the source was seen last."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE in every case."""
        known = self.store.known
        text = f"{self.component}: nobody measured what was on its way: what is lost is not known until {self.source} is back"
        if known is not None:
            text = f"{self.component}: what came after {known:%H:%M:%S} UTC may be missing until {self.source} is back"
        return Seen(Look.DONE, text, (Note(text=text),))


class Preserve(TwoWayStep[Buckets]):
    """Versions that only the old side has stay where they are: a list of them is kept outside both regions."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: there are none, or they are listed."""

        def left() -> tuple[int, int]:
            self.store.there(self.source)
            return self.store.not_kept(self.source, self.target), count(self.store.missing(self.source, self.target))

        self.read(self.target, "list", lambda: self.store.there(self.target))
        unlisted, had = self.read(self.source, "list", left)
        if unlisted:
            return Seen(Look.NEEDED, f"{unlisted} versions are only in {self.source}")
        if not had:
            return Seen(Look.DONE, f"{self.source} has nothing that {self.target} has not")
        kept = Preserved(
            component=self.component, region=self.source, at=self.now, path=f"s3://{self.component}", manifest="listed", items=had
        )
        return Seen(Look.DONE, f"{had} versions stay in {self.source}, listed", (kept,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The list."""
        self.do(context, self.source, "preserve", lambda: self.store.preserve(self.source, self.target))
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)


class Follow(Bring):
    """The old side follows: what either lacks is brought over, and the leading one's marker arrives there."""

    younger = 0.0
    both = True

    @property
    def leading(self) -> str:
        """The target leads now."""
        return self.target

    @property
    def old(self) -> str:
        """The side that came back."""
        return self.source

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED: nothing is sent back. NEEDED: something is missing, or our marker has not arrived."""
        if self.read(self.target, "settings", lambda: self.store.stalled):
            return Seen(Look.BLOCKED, f"nothing is sent from {self.target} to {self.source}")
        return super().observe(context)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The jobs, and a marker to see arriving."""
        found = super().act(context)
        self.mark(context, self.target, "mark")
        return found

    def settled(self, context: AttemptContext, wanted: Mapping[str, list[Piece]]) -> Seen:
        """Nothing is missing: does the marker arrive?"""
        if not self.arrived(context, self.target, self.source):
            return Seen(Look.NEEDED, f"the marker of {self.target} has not arrived in {self.source}")
        how = f"{self.brought} brought over, a marker arrived"
        follows = Following(component=self.component, region=self.source, upstream=self.target, how=how)
        return Seen(Look.DONE, how, (*self._accounts(), follows))


class Beside(Follow):
    """After a planned move: both sides were equal a moment ago, so nothing is compared; the marker shows that the way back works."""

    def _wanted(self, before: float) -> dict[str, list[Piece]]:
        return {}

    def _accounts(self) -> tuple[Evidence, ...]:
        return ()


class Redirect(TwoWayStep[Buckets]):
    """All traffic of the access point to the target."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it gets all."""
        if self.read(self.target, "routes", lambda: self.store.routed) != self.target:
            return Seen(Look.NEEDED)
        ours = context.number > 1 and context.found(Redirected, self.component) is None
        return Seen(Look.DONE, f"{self.target} gets all traffic", (self._moved(),) if ours else ())

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Both routes in one call."""
        self.do(context, self.target, "route", lambda: self.store.route(self.target))
        return (self._moved(),)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: the routes say so."""
        routed = self.read(self.target, "routes", lambda: self.store.routed)
        return Seen(Look.DONE if routed == self.target else Look.NEEDED, f"{routed}")

    def undo(self, context: AttemptContext) -> None:
        """All traffic to the source again."""
        self.do(context, self.target, "route-back", lambda: self.store.route(self.source))

    def _moved(self) -> Redirected:
        return Redirected(component=self.component, region=self.target, names=1, at=self.now, old_ttl=_HOLDS_AFTER, before={})


class Propagate(TwoWayStep[Buckets]):
    """The routes hold everywhere."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Waits for two minutes from the moment of the change."""
        done = context.found(Redirected, self.component)
        if done is not None:
            self.rest(context, max(0.0, (done.at + done.old_ttl - self.now).total_seconds()))
        return ()


def bucket(name: str, verb: Verb, intent: Intent) -> type[SimStep[Any]]:
    """The operation of a bucket's step."""
    if verb is Verb.FOLLOW:
        return Follow if intent is Intent.REPROTECT else Beside
    return _BUCKET[name]


_BUCKET: Mapping[str, type[SimStep[Any]]] = {
    Verb.PREPARE: Prepare, "bring": Bring, Verb.DRAIN: Drain, Verb.VERIFY_INSIDE: VerifyInside, Verb.FINGERPRINT: Account,
    Verb.PRESERVE: Preserve, Verb.REDIRECT: Redirect, Verb.PROPAGATE: Propagate,
}  # fmt: skip
"""The operation of each step's name."""
