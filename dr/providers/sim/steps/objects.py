"""Simulated operations on a replicated bucket: the same claims, refusals and evidence as ``selfhosted.s3``."""

from __future__ import annotations

from collections.abc import Mapping

from dr.errors import Permanent, StepError, Transient
from dr.model.evidence import NAMED, Accounted, Evidence, Fenced, Following, Note, Preserved, Promoted, RecoveryPoint, WriteAccepted
from dr.model.words import FenceState, Intent, Verb
from dr.ports import AttemptContext, Look, Seen
from dr.providers.sim.objects import Mark, Objects, Piece, called, count, newest
from dr.providers.sim.steps.base import SimStep

_STALLED = 30.0
_POLL = 0.5
_NEWEST_COPY = "newest-copy"


class _Step(SimStep[Objects]):
    """What they have in common."""

    def leads(self, region: str) -> Mark:
        """The newest marker of a region's store. Raises Transient, Permanent where it has none that counts."""

        def look() -> Mark | None:
            self.store.there(region)
            return self.store.newest(region)

        mark = self.read(region, "marker", look)
        if mark is None:
            text = f"{self.component} in {region}: nothing says who is primary"
            raise Permanent(text, hint="dr runbook check names the command")
        return mark

    def led_by(self) -> Mark:
        """The newest marker of both sides. Raises as ``leads``."""
        mark = newest((self.leads(self.target), self.leads(self.source)))
        if mark is None:
            raise Permanent(f"{_NEWEST_COPY}: {self.source} and {self.target} both became primary", hint="delete the wrong marker")
        return mark

    def old_primary_leads(self) -> Seen | None:
        """BLOCKED where the target is not the newest copy (I17)."""
        mark = self.led_by()
        if mark.region == self.target:
            return None
        return Seen(Look.BLOCKED, f"{_NEWEST_COPY}: {mark.region} is primary as of epoch {mark.epoch}, not {self.target}")

    def takes_writes(self, context: AttemptContext, what: str) -> None:
        """An object there and back."""
        self.do(context, self.target, what, lambda: self.store.there(self.target))

    def arrives(self, context: AttemptContext, one: str, other: str, within: float) -> bool:
        """Waits until everything of one region up to now is in the other; for so many seconds at most."""
        sent, until = self.place.world.now, context.clock.monotonic() + within
        while not self.read(other, "heartbeat", lambda: self.store.ways[one, other].upto >= sent):
            if context.cancelled() or context.clock.monotonic() >= min(until, context.deadline):
                return False
            context.clock.sleep(_POLL)
        return True

    def bring(self, context: AttemptContext, one: str, other: str, since: float | None = None) -> int:
        """What only one side has is in the other, too; nothing newer is written over, nor what the other wrote as the primary ``since``."""

        def effect() -> int:
            self.store.there(one)
            self.store.there(other)
            if not self.place.world.regions[one].alive:
                raise Transient(f"{self.component} in {one} does not answer")
            return self.store.bring(one, other, since)

        self.read(one, "list", lambda: self.store.there(one))
        return self.do(context, other, "bring", effect)

    def total(self) -> int:
        """How many objects there are."""
        keys = {key for held in self.store.versions.values() for key in held}
        return sum(count(pieces) for pieces in self.store.written.values()) + len(keys)

    def accounted(self, region: str, lacked: list[Piece], repaired: int, conflicts: list[str], *, complete: bool = True) -> Accounted:
        """What a region lacked of the other one, and what became of it."""
        checked, missing = self.total(), count(lacked)
        names = called(lacked, self.source if region == self.target else self.target)
        return Accounted(
            component=self.component, region=region, at=self.now, checked=checked, equal=max(0, checked - missing - len(conflicts)),
            missing=tuple(names[:NAMED]), missing_total=missing, conflicts=tuple(conflicts[:NAMED]), conflicts_total=len(conflicts),
            repaired=repaired, complete=complete,
        )  # fmt: skip


class Prepare(_Step):
    """The target takes a write; who writes is fenced elsewhere."""

    def observe(self, context: AttemptContext) -> Seen:
        """NEEDED always: what was writable a while ago says nothing about now."""
        self.leads(self.target)
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The check; of a planned move, something of the source has to arrive in time, too."""
        self.takes_writes(context, "check")
        if self.planned:
            leader = self.led_by().region
            if leader != self.source:
                raise Permanent(f"{_NEWEST_COPY}: {leader} is primary, not {self.source}", hint="dr status")
            if not self.arrives(context, self.source, self.target, _STALLED):
                text = f"{self.component}: a heartbeat of {self.source} did not arrive in {self.target} within {_STALLED:g} s"
                raise Permanent(text, hint="start the replication between the stores again; it is not dr's")
        proof = "a store takes writes in both regions; who writes is fenced, and what the old side takes later is carried over or kept"
        return (Fenced(component=self.component, region=self.source, state=FenceState.NOT_NEEDED, proof=proof),)


class Drain(_Step):
    """Everything that the frozen writers wrote is in the target."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: the target leads already."""
        if self.leads(self.target).region == self.target:
            return Seen(Look.DONE, f"{self.target} is primary already")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Waits for what is on its way, and brings over what a broken replication will never bring."""
        if not self.arrives(context, self.source, self.target, context.deadline - context.clock.monotonic()):
            raise Transient(f"{self.component}: the heartbeat of {self.source} has not arrived in {self.target}")
        lacked = self.read(self.source, "list", lambda: self.store.missing(self.source, self.target))
        repaired = max(self.bring(context, self.source, self.target), count(lacked))  # some may have arrived by themselves since
        return (self.accounted(self.target, lacked, repaired, self.store.conflicts(self.source, self.target)),)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: nothing is missing."""
        left = self.read(self.source, "list", lambda: count(self.store.missing(self.source, self.target)))
        if left:
            return Seen(Look.NEEDED, f"{left} objects of {self.source} are not in {self.target}")
        now = self.now
        point = RecoveryPoint(component=self.component, region=self.target, read_at=now, recovery_point=now, complete=True)
        return Seen(Look.DONE, evidence=(point,))


class Promote(_Step):
    """The target's store says that it leads, as of a new epoch. Conditional on the newest marker (I5)."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it leads. BLOCKED: of a planned move, not everything was seen in the target."""
        mark = self._newest()
        point = self._point(context)
        if mark.region == self.target:
            return Seen(Look.DONE, f"{self.target} is primary already", (point, self._promoted(mark)))
        if self.planned and not point.complete:
            why = f"not everything of {self.source} was seen in {self.target}"
            return Seen(Look.BLOCKED, f"{why} (try: dr failover --to {self.target})", (point,))
        return Seen(Look.NEEDED, evidence=(point,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The marker of the next epoch, where none newer has come meanwhile."""
        seen = self._newest()

        def promote() -> None:
            self.store.there(self.target)
            own = self.store.newest(self.target)
            if own is None or own.region != self.target:
                self.store.mark(self.target, self._next(context, seen if own is None else max(own, seen), self.target))

        self.do(context, self.target, "promote", promote)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: the newest marker names the target. BLOCKED: somebody else made a newer one."""
        mark = self.leads(self.target)
        if mark.region != self.target:
            return Seen(Look.BLOCKED, f"{mark.region} became primary as of epoch {mark.epoch} meanwhile")
        return Seen(Look.DONE, evidence=(self._promoted(mark),))

    def undo(self, context: AttemptContext) -> None:
        """The source leads again, as of a still newer epoch."""
        seen = self.leads(self.target)
        back = seen if seen.region == self.source else self._next(context, seen, self.source)
        self.do(context, self.target, "demote", lambda: self.store.mark(self.target, back), seconds=0.0)
        try:
            self.do(context, self.source, "demote", lambda: self.store.mark(self.source, back), seconds=0.0)
        except StepError:
            if self.planned:
                raise

    def _newest(self) -> Mark:
        """A failover asks nothing of the source; in a planned move a marker of the source may not have come over yet."""
        return self.led_by() if self.planned else self.leads(self.target)

    def _next(self, context: AttemptContext, seen: Mark, region: str) -> Mark:
        return Mark(max(seen.epoch + 1, context.epoch), region, self.place.world.now)

    def _point(self, context: AttemptContext) -> RecoveryPoint:
        found = context.found(RecoveryPoint, self.component)
        if found is not None and found.complete and found.region == self.target:
            return found
        asked = self.now
        at = self.read(self.target, "heartbeat", lambda: self.store.arrived(self.source, self.target))
        return RecoveryPoint(
            component=self.component, region=self.target, read_at=self.now, recovery_point=self.moment(at), clock_behind=self.behind(asked)
        )

    def _promoted(self, mark: Mark) -> Promoted:
        return Promoted(component=self.component, region=self.target, epoch=mark.epoch, promoted_at=self.now)


class VerifyInside(_Step):
    """After the promotion the target took a write and gave it back."""

    def observe(self, context: AttemptContext) -> Seen:
        """NEEDED: only a write shows that writes work. BLOCKED: the target does not lead."""
        mark = self.leads(self.target)
        return Seen(Look.NEEDED) if mark.region == self.target else Seen(Look.BLOCKED, f"{mark.region} is primary, not {self.target}")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """There and back."""
        began = self.now
        self.takes_writes(context, "write")
        return (
            WriteAccepted(
                component=self.component, region=self.target, route="inside", names=(self.component,), first_at=began, last_at=self.now
            ),
        )


class Account(_Step):
    """After a failover: what of the lost region is not in the target, by the newest list of it that the monitor kept."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: nobody ever listed the source."""
        if self.source not in self.store.listed:
            text = f"{self.component}: nobody listed {self.source} while it was there: what is lost cannot be named"
            return Seen(Look.DONE, text, (Note(text=text),))
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Lists the target and compares."""
        known = self.store.listed[self.source]

        def missing() -> list[Piece]:
            self.store.there(self.target)
            found = self.store.missing(self.source, self.target)
            return [Piece(piece.begin, min(piece.end, known)) for piece in found if piece.begin < known]

        self.rest(context, self.takes(context))
        lacked = self.read(self.target, "list", missing)
        text = f"{self.component}: {count(lacked)} objects of {self.source} are not in {self.target}"
        return self.accounted(self.target, lacked, 0, [], complete=False), Note(text=text)


class Preserve(_Step):
    """What only the old side has is kept outside both regions, before anything is repaired (I17)."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: there is nothing, or all is kept. BLOCKED: the old side is the newest copy."""
        blocked = self.old_primary_leads()
        if blocked is not None:
            return blocked
        left, had = self.read(self.source, "list", self._left)
        if left:
            return Seen(Look.NEEDED, f"{left} objects of {self.source} are not in {self.target} as they are there")
        text = f"{self.component} in {self.source} has nothing that {self.target} misses"
        return Seen(Look.DONE, "kept", self._evidence(had)) if had else Seen(Look.DONE, text, (Note(text=text),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Copies it out."""
        self.do(context, self.source, "preserve", lambda: self.store.preserve(self.source, self.target))
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)

    def _left(self) -> tuple[int, int]:
        store = self.store
        store.there(self.source)
        had = count(store.missing(self.source, self.target)) + len(store.only(self.source, self.target))
        return store.not_kept(self.source, self.target), had

    def _evidence(self, items: int) -> tuple[Evidence, ...]:
        folder = f"preserved/{self.component}"
        return (
            Preserved(component=self.component, region=self.source, at=self.now, path=folder, manifest=f"{folder}/manifest", items=items),
        )


class Follow(_Step):
    """Both sides are made equal, nothing newer is written over, and what the target writes arrives on the old side."""

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED: the source leads. Else NEEDED: only comparing shows that both are equal."""
        return self.old_primary_leads() or Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Marks the source, compares, brings over in both directions."""
        mark = self.leads(self.target)
        self.do(context, self.source, "follow", lambda: self.store.mark(self.source, mark), seconds=0.0)
        there = self.read(self.source, "list", lambda: self.store.missing(self.source, self.target))
        here = self.read(self.target, "list", lambda: self.store.missing(self.target, self.source))
        versions = self.store.versions[self.target]
        younger = [key for key in self.store.conflicts(self.target, self.source) if versions[key] > mark.at]
        brought = self.bring(context, self.source, self.target, mark.at)
        sent = self.bring(context, self.target, self.source)
        # what arrived by itself since it was listed is there, too
        there_now, here_now = max(brought, count(there)), max(sent, count(here))
        return self.accounted(self.target, there, there_now, younger), self.accounted(self.source, here, here_now, younger)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: equal, and a heartbeat of the target came to the source."""
        old = self.read(self.source, "list", lambda: count(self.store.missing(self.source, self.target)))
        if old:
            return Seen(Look.NEEDED, f"{old} objects differ still")
        if not self.arrives(context, self.target, self.source, 1.0):
            return Seen(Look.NEEDED, f"no heartbeat of {self.target} has arrived in {self.source}: does the replication run?")
        how = "compared, repaired, heartbeat seen"
        return Seen(Look.DONE, evidence=(Following(component=self.component, region=self.source, upstream=self.target, how=how),))


STEPS: Mapping[Verb, type[_Step]] = {
    Verb.PREPARE: Prepare, Verb.DRAIN: Drain, Verb.PROMOTE: Promote, Verb.VERIFY_INSIDE: VerifyInside, Verb.FINGERPRINT: Account,
    Verb.PRESERVE: Preserve, Verb.FOLLOW: Follow,
}  # fmt: skip
"""The operation of each verb."""


def operation(name: str, verb: Verb, intent: Intent) -> type[_Step]:
    """The operation of a step."""
    return STEPS[verb]
