"""Simulated operations on a global database: the same claims, refusals and evidence as ``dr.providers.aws.aurora``."""

from __future__ import annotations

from collections.abc import Mapping

from dr.errors import StepError
from dr.model.evidence import Evidence, Following, Note, Preserved, RecoveryPoint, WriteAccepted
from dr.model.words import FenceState, Intent, Verb
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.rds_status import ready
from dr.providers.sim.aws.aurora import GlobalDatabase
from dr.providers.sim.database import seconds
from dr.providers.sim.steps.aws.moving import CALL, MovingStep
from dr.providers.sim.steps.base import Waits

_CREATED, _COPIED, _MEMBER = 300.0, 120.0, 600.0
"""Seconds until an instance is available, a snapshot is copied, a new member holds everything."""


class _Step(MovingStep[GlobalDatabase]):
    """What they have in common."""


class Prepare(Waits[GlobalDatabase], _Step):
    """The target is a healthy secondary; what it holds is read out of it."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it is, or writes already. NEEDED: something is done to it that passes. BLOCKED: no member, or it needs a person."""
        if self.read(self.target, "member", lambda: self.target in self.store.absent):
            return Seen(Look.BLOCKED, f"{self.component} is not there in {self.target}")
        if self.writes(self.target):
            return Seen(Look.DONE, f"{self.component} in {self.target} writes already")
        found, status = self.point(), self.status(self.target)
        return Seen(ready(status), "" if status == "available" else f"{self.component} in {self.target} is {status}", (found,))


class AddInstances(_Step):
    """A headless secondary gets what it needs to be a writer."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: as many as wanted work. NEEDED: not yet."""
        store, target = self.store, self.target
        works, wanted = self.read(target, "instances", lambda: (store.instances[target], store.wanted[target]))
        return Seen(Look.DONE if works >= wanted else Look.NEEDED, f"{works} of {wanted} work")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Creates those that are missing. Raises Permanent: AWS has none left."""
        pace = self.place.world.pace(context.step.id)
        self.do(context, self.target, "add-instances", lambda: self.store.create_instances(self.target, _CREATED * pace), seconds=CALL)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)


class Fence(_Step):
    """Nothing of its own: the promotion fences. What is known of it beforehand is said here."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE in every case; nothing is asked."""
        if self.planned:
            proof = f"SwitchoverGlobalCluster stops writes in {self.source} before {self.target} takes them"
            return Seen(Look.DONE, proof, (self.fenced(FenceState.NOT_NEEDED, proof),))
        proof = f"only the promotion itself fences {self.source}, as well as that goes (Aurora: best effort)"
        if self.store.detach:
            proof = f"detaching {self.target} leaves {self.source} as it is: it may be a writer when it comes back"
        return Seen(Look.DONE, proof, (self.fenced(FenceState.UNACKNOWLEDGED, proof),))


class Promote(_Step):
    """The target writes. A promotion that is under way is waited for, never asked for twice."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it writes. BLOCKED: another move is under way."""
        if self.writes(self.target):
            return Seen(Look.DONE, f"{self.target} writes", (self.promoted(context),))
        going = self._going()
        if going and going != self.target:
            return Seen(Look.BLOCKED, f"{self.component} is moving to {going}")
        return Seen(Look.NEEDED, "the promotion is under way" if going else "", (self._point(context),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One call, unless it is under way already."""
        if self.writes(self.target) or self._going() == self.target:
            return ()
        if self.planned:
            self.ask(context, self.source, "switchover", self.takes(context), stops=self.source)
        else:
            self.ask(context, self.target, "removal" if self.store.detach else "failover", self.takes(context))
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: it is the writer, and available."""
        if self._going():
            return Seen(Look.NEEDED, "under way")
        if not self.writes(self.target):
            return Seen(Look.NEEDED, f"{self.target} does not write yet")
        status = self.status(self.target)
        if status != "available":
            return Seen(Look.NEEDED, f"{self.component} is {status}")
        return Seen(Look.DONE, evidence=(self.promoted(context),))

    def _going(self) -> str:
        return self.read(self.target, "move", lambda: "" if self.store.move is None else self.store.move.target)

    def _point(self, context: AttemptContext) -> RecoveryPoint:
        now = self.now
        if self.planned:  # the API's promise: it waits until the target has everything, and refuses otherwise
            return RecoveryPoint(component=self.component, region=self.target, read_at=now, recovery_point=now, complete=True)
        try:
            return self.point()
        except StepError:  # what was read when it was prepared still holds: it only grows
            before = context.found(RecoveryPoint, self.component)
            known = before.recovery_point if before is not None else None
            return RecoveryPoint(component=self.component, region=self.target, read_at=now, recovery_point=known)


class VerifyInside(_Step):
    """The target took a write and gives it back. Without ``sql`` RDS's word is all there is; whoever writes there does so since."""

    def observe(self, context: AttemptContext) -> Seen:
        """NEEDED with ``sql``: only a write shows that writes work. Else DONE where it writes and serves; NEEDED: something passes.
        BLOCKED: it needs a person."""
        if self.store.sql:
            return Seen(Look.NEEDED)
        if not self.writes(self.target):
            return Seen(Look.BLOCKED, "no writer")
        status = self.status(self.target)
        if ready(status) is not Look.DONE:
            return Seen(ready(status), f"{self.component} in {self.target} is {status}")
        self.others_write(context)
        note = Note(text=f"{self.component}: no sql in the runbook: that {self.target} writes is RDS's word, no write was made")
        return Seen(Look.DONE, note.text, (note,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Writes. Without ``sql`` nothing: what passes is waited for."""
        if not self.store.sql:
            return ()
        self.do(context, self.target, "write", self._write)
        at = self.now
        return (
            WriteAccepted(
                component=self.component, region=self.target, route="inside", names=(self.component,), first_at=at, last_at=at
            ),
        )  # fmt: skip

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: what was written is there. Without ``sql`` as observed."""
        return Seen(Look.DONE) if self.store.sql else self.observe(context)

    def _write(self) -> None:
        self.store.beat(self.target)


class FenceReturned(Waits[GlobalDatabase], _Step):
    """The old writer came back: it must not write."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it is a reader, or gone. BLOCKED: it writes by itself."""
        gone = self.read(self.source, "member", lambda: self.source in self.store.absent)
        if gone or not self.writes(self.source):
            proof = f"there is none in {self.source} any more" if gone else f"{self.source} is a reader of {self.component}"
            return Seen(Look.DONE, proof, (self.fenced(FenceState.FENCED, proof),))
        if not self.store.detach:
            return Seen(Look.NEEDED, f"Aurora has not made {self.source} a reader yet")
        return Seen(Look.BLOCKED, f"{self.component} in {self.source} writes by itself; take its clients away and rename it")


class Preserve(_Step):
    """The snapshot that Aurora took of the old writer's volume is copied to one that does not expire."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it is, or there is none."""
        if self.read(self.source, "snapshots", lambda: bool(self.store.left.get(self.source))):
            return Seen(Look.NEEDED, "to be kept: the snapshot of the old volume")
        kept = [item for item in self.store.preserved if item.region == self.source]
        if not kept:
            return Seen(Look.DONE, f"Aurora left no snapshot of {self.component} in {self.source}")
        fact = Preserved(
            component=self.component, region=self.source, at=self.now, path=f"cluster-snapshot:dr-preserved-{self.component}",
            manifest="", items=None,
        )  # fmt: skip
        return Seen(Look.DONE, f"{seconds(kept[-1].spans):.1f} s of writes are kept", (fact,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Copies it."""
        self.do(context, self.source, "preserve", lambda: self.store.keep(self.source), seconds=min(_COPIED, self.takes(context)))
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)


class Follow(_Step):
    """The old writer is a reader of the new one. Where it is gone, a new one is made under its name."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it follows. BLOCKED: the target does not write, or the two stand alone."""
        store, source = self.store, self.source
        if not self.writes(self.target):
            return Seen(Look.BLOCKED, f"{self.target} does not write: which copy is newer is not known")
        if self.read(self.target, "whole", lambda: store.detached):
            return Seen(Look.BLOCKED, f"{self.component} in {self.target} was detached and is in no global database")
        absent, ready = self.read(source, "member", lambda: (source in store.absent, self._ready()))
        if absent or not ready:
            return Seen(Look.NEEDED, f"{self.component} in {source} is {'not there yet' if absent else 'no reader yet'}")
        following = Following(component=self.component, region=source, upstream=self.target, how="Aurora global database")
        return Seen(Look.DONE, evidence=(following,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """A new member where there is none; else Aurora is at it."""
        if self.read(self.source, "member", lambda: self.source in self.store.absent):
            pace = self.place.world.pace(context.step.id)
            self.do(context, self.source, "follow", lambda: self.store.make(self.source, _MEMBER * pace), seconds=CALL)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)

    def _ready(self) -> bool:
        copy = self.store.copies[self.source]
        return not copy.primary and copy.up and self.source not in self.store.resyncing and self.source not in self.store.making


FAILOVER: Mapping[str, type[_Step]] = {
    Verb.PREPARE: Prepare, "add-instances": AddInstances, Verb.FENCE: Fence, Verb.PROMOTE: Promote, Verb.VERIFY_INSIDE: VerifyInside,
    Verb.FOLLOW: Follow,
}  # fmt: skip
REPROTECT: Mapping[str, type[_Step]] = {Verb.FENCE: FenceReturned, Verb.PRESERVE: Preserve, Verb.FOLLOW: Follow}
"""The operation of each step's name, by intent."""


def operation(name: str, verb: Verb, intent: Intent) -> type[_Step]:
    """The operation of a step."""
    return (REPROTECT if intent is Intent.REPROTECT else FAILOVER)[name]
