"""Simulated operations on an instance and its replica: the same claims, refusals and evidence as ``dr.providers.aws.rds_replica``."""

from __future__ import annotations

from collections.abc import Mapping

from dr.errors import EffectUnknown, StepError
from dr.model.evidence import Evidence, Fenced, Following, Preserved, RecoveryPoint
from dr.model.words import FenceState, Intent, Verb
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.rds_status import ready
from dr.providers.sim.aws.moving import METRIC_EVERY
from dr.providers.sim.aws.replica import Replica
from dr.providers.sim.steps.aws.moving import CALL, MovingStep
from dr.providers.sim.steps.base import Waits

_MADE = 900.0
"""Seconds until a new replica holds everything."""


class _Step(MovingStep[Replica]):
    """What they have in common."""

    def there(self, region: str) -> bool:
        """There is an instance of that name."""
        return self.read(region, "instance", lambda: region not in self.store.absent or region in self.store.making)


class Prepare(Waits[Replica], _Step):
    """The target's instance is a replica of the source's, and serves."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it is, or writes already. NEEDED: something is done to it that passes. BLOCKED: it is not there, or needs a person."""
        if not self.there(self.target):
            return Seen(Look.BLOCKED, f"{self.component} is not there in {self.target}")
        if self.writes(self.target):
            return Seen(Look.DONE, "it writes already")
        status = "creating" if self.target in self.store.making else self.status(self.target)
        return Seen(ready(status), "" if status == "available" else f"{self.component} in {self.target} is {status}", (self.point(),))


class FenceLost(_Step):
    """Failover: the quarantine, where its region answers. Always ends with evidence."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it is in quarantine, follows somebody, is gone, or nobody can tell."""
        copy = self.store.copies[self.source]
        try:
            there, primary, closed = self.read(
                self.source, "instance", lambda: (self.source not in self.store.absent, copy.primary, copy.fenced and not copy.up)
            )
        except StepError as error:
            return self.unknown(error.message)
        if not there or not primary:
            proof = f"{self.component} in {self.source} " + ("follows another instance" if there else "is not there")
            return Seen(Look.DONE, proof, (self.fenced(FenceState.FENCED, proof),))
        if closed:
            proof = f"{self.component} in {self.source} is in quarantine: nobody reaches it"
            return Seen(Look.DONE, proof, (self.fenced(FenceState.FENCED, proof),))
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Into quarantine."""
        try:
            self.do(context, self.source, "fence", lambda: self.store.quarantine(self.source, planned=self.planned))
        except (EffectUnknown, StepError) as error:
            if self.planned:
                raise
            return (self.fenced(FenceState.UNACKNOWLEDGED, f"it could not be put into quarantine: {error.message}"),)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: fenced, or known not to be."""
        tried = context.found(Fenced, self.component)
        if tried is not None and tried.state is FenceState.UNACKNOWLEDGED:
            return Seen(Look.DONE, tried.proof)
        seen = self.observe(context)
        if seen.look is not Look.DONE:
            return seen
        ended = tuple(
            item.model_copy(update={"writes_ended_at": self.now})
            if isinstance(item, Fenced) and item.state is FenceState.FENCED else item
            for item in seen.evidence
        )  # fmt: skip
        return Seen(Look.DONE, seen.reason, ended)

    def unknown(self, why: str) -> Seen:
        """Nobody can tell."""
        return Seen(Look.DONE, why, (self.fenced(FenceState.UNACKNOWLEDGED, why),))


class FencePlanned(FenceLost):
    """A planned move: in quarantine, or nothing moves."""

    def unknown(self, why: str) -> Seen:
        """Then it does not begin."""
        return Seen(Look.BLOCKED, f"{why}: a planned move does not begin")

    def undo(self, context: AttemptContext) -> None:
        """Its clients are let in again."""
        self.do(context, self.source, "start", lambda: self.store.start(self.source))


class CatchUp(Waits[Replica], _Step):
    """The target has everything that the fenced source wrote: CloudWatch says so of a minute after the fence."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: so it was."""
        if self.writes(self.target):
            return Seen(Look.DONE, f"{self.target} writes already")
        fence, now = context.found(Fenced, self.component), self.place.world.now
        minute = self.moment(now // METRIC_EVERY * METRIC_EVERY)
        behind = self.read(self.target, "lag", lambda: self.store.copies[self.source].end - self.store.copies[self.target].end)
        ended = None if fence is None else fence.writes_ended_at
        if fence is None or behind > 0 or (ended is not None and minute < ended):
            return Seen(Look.NEEDED, f"{behind:g} s behind, or no value of after the fence yet")
        point = RecoveryPoint(
            component=self.component, region=self.target, read_at=self.now, recovery_point=self.now, complete=True
        )  # fmt: skip
        return Seen(Look.DONE, evidence=(point,))


class Promote(_Step):
    """The replica stands alone. One that is nobody's replica any more is never promoted again."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it writes."""
        if not self.there(self.target):
            return Seen(Look.BLOCKED, f"{self.component} is not there in {self.target}")
        if self.writes(self.target):
            return self._written(context)
        before = context.found(RecoveryPoint, self.component)
        if before is not None and before.complete:
            return Seen(Look.NEEDED, evidence=(before,))
        return Seen(Look.NEEDED, evidence=(self.point(),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One call, unless it is under way."""
        if not self.writes(self.target) and self.status(self.target) == "available":
            self.ask(context, self.target, "promotion", self.takes(context))
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: nobody's replica, and available."""
        return self._written(context) if self.writes(self.target) else Seen(Look.NEEDED, "a replica still")

    def _written(self, context: AttemptContext) -> Seen:
        status = self.status(self.target)
        if status != "available":
            return Seen(Look.NEEDED, f"{self.component} in {self.target} is {status}")
        self.others_write(context)
        return Seen(Look.DONE, f"{self.target} writes", (self.promoted(context),))


class SetAside(_Step):
    """The old instance keeps what only it has, under another name. Nothing is deleted."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it has the other name, or is a replica. BLOCKED: the target does not write."""
        if not self.writes(self.target):
            return Seen(Look.BLOCKED, f"{self.target} does not write: which copy is newer is not known")
        gone, primary = self.read(
            self.source, "instance", lambda: (self.source in self.store.absent, self.store.copies[self.source].primary)
        )
        if not gone:
            return Seen(Look.NEEDED) if primary else Seen(Look.DONE, f"{self.component} in {self.source} is a replica")
        proof = f"{self.component} in {self.source} has another name now: its address is gone"
        kept = Preserved(
            component=self.component, region=self.source, at=self.now, path=f"{self.component}-aside", manifest="", items=None
        )
        return Seen(Look.DONE, "", (kept, self.fenced(FenceState.FENCED, proof)))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The other name."""
        self.do(context, self.source, "preserve", lambda: self.store.set_aside(self.source))
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)


class Follow(_Step):
    """A new replica in the source's region, under the old name."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it follows the target. NEEDED: there is none, or it is being made."""
        store, source = self.store, self.source
        absent, making, primary = self.read(
            source, "instance", lambda: (source in store.absent, source in store.making, store.copies[source].primary)
        )
        if absent or making:
            return Seen(Look.NEEDED, f"the replica of {source} is being made" if making else f"{source} has no replica")
        if primary:
            return Seen(Look.BLOCKED, f"{self.component} in {source} stands alone: it was not set aside")
        following = Following(component=self.component, region=source, upstream=self.target, how="a new read replica")
        return Seen(Look.DONE, evidence=(following,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Makes it, unless it is there."""
        if self.read(self.source, "instance", lambda: self.source in self.store.absent and self.source not in self.store.making):
            pace = self.place.world.pace(context.step.id)
            self.do(context, self.source, "follow", lambda: self.store.make(self.source, _MADE * pace), seconds=CALL)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)


STEPS: Mapping[Verb, type[_Step]] = {
    Verb.PREPARE: Prepare, Verb.DRAIN: CatchUp, Verb.PROMOTE: Promote, Verb.PRESERVE: SetAside, Verb.FOLLOW: Follow,
}  # fmt: skip
"""The operation of each verb but the fence."""


def operation(name: str, verb: Verb, intent: Intent) -> type[_Step]:
    """The operation of a step."""
    if verb is Verb.FENCE:
        return FencePlanned if intent.planned else FenceLost
    return STEPS[verb]
