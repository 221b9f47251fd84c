"""Simulated operations on a replicated database: the same claims, refusals and evidence as ``selfhosted.postgres``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from dr.errors import EffectUnknown, Permanent, Transient
from dr.model.evidence import Evidence, Fenced, Following, Preserved, Promoted, RecoveryPoint, WriteAccepted
from dr.model.words import FenceState, Intent, Verb
from dr.ports import AttemptContext, Look, Seen
from dr.providers.clock_ahead import why_wrong
from dr.providers.sim.database import Database, Span, seconds
from dr.providers.sim.steps.base import SimStep


class _Step(SimStep[Database]):
    """What they have in common."""

    def fenced(self, state: FenceState, proof: str, ended: float | None = None, final: float | None = None) -> Fenced:
        """What is known of the old primary."""
        return Fenced(
            component=self.component, region=self.source, state=state, proof=proof,
            writes_ended_at=None if ended is None else self.shown(ended),
            final_position="" if final is None else f"{final:.6f}",
        )  # fmt: skip

    def recovery_point(self, context: AttemptContext, asked: datetime, *, complete: bool = False) -> RecoveryPoint:
        """What the target holds; read there, now. ``asked``: this process's clock before the target was asked what it is."""
        point, clocks = self.store.told_point(self.target), self.place.clocks
        leads = self.store.copies[self.target].primary
        if point is not None and not leads and not complete:
            clocks.stamped(self.source, timedelta(seconds=point - self.place.world.now))
        clock = clocks.of(self.source, context.found(RecoveryPoint, self.component), leads=leads)
        if complete and why_wrong(clock):
            clock = {"clock_ahead": None, "clock_of": ""}  # nothing is missing, whatever the clock shows
        wrong, ahead = why_wrong(clock), clock["clock_ahead"] or timedelta(0)
        point = None if point is None or wrong else point - ahead.total_seconds()
        return RecoveryPoint(
            component=self.component, region=self.target, read_at=self.now, recovery_point=None if point is None else self.moment(point),
            position=f"{self.store.copies[self.target].end:.6f}", complete=complete, clock_behind=self.behind(asked),
            clock_ahead=clock["clock_ahead"], reason=wrong,
        )  # fmt: skip

    def promoted(self) -> Promoted:
        """The target is primary."""
        return Promoted(
            component=self.component, region=self.target, epoch=self.store.copies[self.target].timeline, promoted_at=self.now,
            fork_position=f"{self.store.recovery_point(self.target):.6f}",
        )  # fmt: skip


class Prepare(_Step):
    """The target runs, and can be promoted."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where it answers."""
        up = self.read(self.target, "state", lambda: self.store.copies[self.target].up)
        if not up:
            raise Transient(f"{self.component} in {self.target} does not run")
        if self.planned:
            copies = self.store.copies
            if not self.read(self.target, "receiver", lambda: self.store.streams(copies[self.target], copies[self.source])):
                raise Transient(f"{self.component} in {self.target} does not stream from {self.source}")
        return Seen(Look.DONE)


class Drain(_Step):
    """The target catches up with the source."""

    def verify(self, context: AttemptContext) -> Seen:
        """DONE when it is behind by no more than usual."""
        written = self.read(self.source, "position", lambda: self.store.copies[self.source].end)
        held = self.read(self.target, "position", lambda: self.store.copies[self.target].end)
        behind = written - held
        return Seen(Look.DONE) if behind <= self.store.lag + 1.0 else Seen(Look.NEEDED, f"{behind:.1f} s behind")


class FenceLost(_Step):
    """Failover: stops the source where its host can be reached. Always ends with evidence."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it is stopped, or no primary."""
        try:
            copy = self.store.copies[self.source]
            fenced, primary = self.read(self.source, "process", lambda: (copy.fenced and not copy.up, copy.primary))
        except Transient:
            return Seen(Look.NEEDED, f"the host of {self.source} does not answer")
        if fenced:
            return Seen(Look.DONE, evidence=(self.fenced(FenceState.FENCED, "its process is gone, its port refuses"),))
        if not primary:
            return Seen(Look.DONE, evidence=(self.fenced(FenceState.NOT_NEEDED, f"{self.source} is a secondary"),))
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Stops it; where nobody answers, says so."""

        def stop() -> float | None:
            """Of a server that was dead already nobody can say when its last write was."""
            died = not self.store.copies[self.source].up
            ended = self.store.stop(self.source)
            return None if died else ended

        try:
            ended = self.do(context, self.source, "fence", stop)
        except (Transient, EffectUnknown) as error:
            return (self.fenced(FenceState.UNACKNOWLEDGED, error.message),)
        return (self.fenced(FenceState.FENCED, "its process is gone, its port refuses", ended),)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE in every case."""
        return Seen(Look.DONE)


class FencePlanned(_Step):
    """Switchover: an orderly stop; its final position proves that nothing was lost."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: stopped already."""
        copy = self.store.copies[self.source]
        fenced, primary, end = self.read(self.source, "process", lambda: (copy.fenced and not copy.up, copy.primary, copy.end))
        if fenced:
            return Seen(Look.DONE, evidence=(self.fenced(FenceState.FENCED, "stopped in order", end, end),))
        if not primary:
            return Seen(Look.BLOCKED, f"{self.source} is a secondary: there is nothing to hand over")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Stops it in order."""
        self.do(context, self.source, "fence", lambda: self.store.hand_over(self.source))
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)

    def undo(self, context: AttemptContext) -> None:
        """Starts it again."""
        self.do(context, self.source, "start", lambda: self.store.start(self.source))


class FenceReturned(_Step):
    """Re-protect: the old primary is back; it is stopped before anything else."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it is stopped, or follows. Raises Permanent where stopping it would stop the newest copy."""
        copy = self.store.copies[self.source]
        fenced, primary, own = self.read(self.source, "process", lambda: (copy.fenced and not copy.up, copy.primary, copy.timeline))
        if fenced:
            return Seen(Look.DONE, evidence=(self.fenced(FenceState.FENCED, "its process is gone"),))
        if not primary:
            return Seen(Look.DONE, evidence=(self.fenced(FenceState.NOT_NEEDED, f"{self.source} is a secondary"),))
        leads, its = self.read(self.target, "process", lambda: (self.store.writable(self.target), self.store.copies[self.target].timeline))
        if not leads:
            return Seen(Look.BLOCKED, f"{self.target} takes no writes: {self.source} may hold the newest copy")
        if own >= its:
            raise Permanent(f"newest-copy: {self.source} takes writes on timeline {own}, {self.target} on {its}")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Stops it."""
        ended = self.do(context, self.source, "fence", lambda: self.store.stop(self.source))
        return (self.fenced(FenceState.FENCED, "its process is gone", ended),)


class Promote(_Step):
    """The target takes writes. Conditional on what it reads."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: primary already. BLOCKED: of a planned move, something is missing."""
        copy, asked = self.store.copies[self.target], self.now
        primary, up = self.read(self.target, "state", lambda: (copy.primary, copy.up))
        if not up:
            raise Transient(f"{self.component} in {self.target} does not run")
        fenced = context.found(Fenced, self.component)
        if primary:
            final = fenced.final_position if self.planned and fenced is not None and fenced.state is FenceState.FENCED else ""
            whole = bool(final) and len(copy.log) > 1 and copy.log[-2].end >= float(final) - 1e-6
            point = self.recovery_point(context, asked, complete=whole)
            return Seen(Look.DONE, f"{self.target} takes writes already", (point, self.promoted()))
        if not self.planned:
            return Seen(Look.NEEDED, evidence=(self.recovery_point(context, asked),))
        if fenced is None or fenced.state is not FenceState.FENCED or not fenced.final_position:
            return Seen(Look.BLOCKED, f"the final position of {self.source} is not known")
        if copy.end < float(fenced.final_position) - 1e-6:
            text = f"{self.target} is at {copy.end:.3f}, {self.source} wrote until {fenced.final_position}"
            return Seen(Look.BLOCKED, text, (self.recovery_point(context, asked),))
        return Seen(Look.NEEDED, evidence=(self.recovery_point(context, asked, complete=True),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Asks for it."""
        self.do(context, self.target, "promote", lambda: self.store.promote(self.target), said=lambda: 0)
        return (self.promoted(),)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: primary."""
        asked = self.now
        primary = self.read(self.target, "state", lambda: self.store.copies[self.target].primary)
        if not primary:
            return Seen(Look.NEEDED, "in recovery still")
        before = context.found(RecoveryPoint, self.component)
        return Seen(Look.DONE, evidence=(self.recovery_point(context, asked, complete=before is not None and before.complete),))


class VerifyInside(_Step):
    """A committed write is accepted and read back."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Writes."""

        def write() -> None:
            if not self.store.writable(self.target):
                raise Transient(f"{self.component} in {self.target} takes no writes")

        self.do(context, self.target, "write", write)
        return (
            WriteAccepted(
                component=self.component, region=self.target, route="inside", names=(self.component,), first_at=self.now, last_at=self.now
            ),
        )


class Preserve(_Step):
    """Keeps what only the old primary has, before anything overwrites it."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: there is nothing that only it has, or it is kept already. BLOCKED: the other one is no newer copy."""
        spans = self.read(self.source, "divergence", lambda: tuple(self.store.divergence(self.source)))
        if set(spans) - self.store.kept(self.source):
            return Seen(Look.NEEDED)
        return Seen(Look.DONE, evidence=(self._preserved(spans),) if spans else ())

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Dumps it."""
        spans = self.do(context, self.source, "preserve", lambda: self.store.preserve(self.source))
        return (self._preserved(spans),)

    def _preserved(self, spans: tuple[Span, ...]) -> Preserved:
        return Preserved(
            component=self.component, region=self.source, at=self.now, path=f"preserved/{self.component}", manifest="manifest",
            items=round(seconds(spans) * 1000), fork_position=f"{spans[0].begin:.6f}" if spans else "",
        )


class Follow(_Step):
    """The old primary follows the new one."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it does. BLOCKED: what only it has was not preserved."""
        copy = self.store.copies[self.source]
        follows = self.read(self.source, "state", lambda: copy.up and not copy.primary and copy.upstream == self.target)
        if follows:
            return Seen(Look.DONE, evidence=(self._following("as found"),))
        spans, kept = set(self.store.divergence(self.source)), self.store.kept(self.source)
        if spans - kept:
            return Seen(Look.BLOCKED, f"{seconds(tuple(spans - kept)):.1f} s of writes in {self.source} are not preserved (I17)")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Rewinds and starts it as a secondary. Refuses over there, too, where something would be lost."""

        def follow() -> None:
            if self.store.writable(self.target) and set(self.store.divergence(self.source)) - self.store.kept(self.source):
                raise Transient(f"{self.source} has writes that are not preserved")
            self.store.follow(self.source, self.target)

        self.do(context, self.source, "follow", follow, said=lambda: None)
        return (self._following("rewound"),)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: it streams."""
        copy = self.store.copies[self.source]
        streams = self.read(self.source, "state", lambda: not copy.primary and self.store.streams(copy, self.store.copies[self.target]))
        return Seen(Look.DONE) if streams else Seen(Look.NEEDED, "not streaming yet")

    def _following(self, how: str) -> Following:
        return Following(component=self.component, region=self.source, upstream=self.target, how=how)


FAILOVER: Mapping[Verb, type[_Step]] = {
    Verb.PREPARE: Prepare, Verb.FENCE: FenceLost, Verb.PROMOTE: Promote, Verb.VERIFY_INSIDE: VerifyInside,
}  # fmt: skip
PLANNED: Mapping[Verb, type[_Step]] = {
    Verb.PREPARE: Prepare, Verb.DRAIN: Drain, Verb.FENCE: FencePlanned, Verb.PROMOTE: Promote, Verb.VERIFY_INSIDE: VerifyInside,
    Verb.FOLLOW: Follow,
}  # fmt: skip
REPROTECT: Mapping[Verb, type[_Step]] = {Verb.FENCE: FenceReturned, Verb.PRESERVE: Preserve, Verb.FOLLOW: Follow}
"""The operation of each verb of a database's chain, by intent."""


def operation(name: str, verb: Verb, intent: Intent) -> type[_Step]:
    """The operation of a step."""
    return (REPROTECT if intent is Intent.REPROTECT else PLANNED if intent.planned else FAILOVER)[verb]
