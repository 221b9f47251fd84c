"""Simulated operations on traffic: the same claims, refusals and evidence as ``dr.providers.aws.routing_control``, ``.health_check`` and
``.route53``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from dr.errors import Permanent, Transient
from dr.model.base import show_duration
from dr.model.evidence import Evidence, Healthy, Note, PutBack, Redirected, Temporary, TtlLowered, Ttls
from dr.model.words import Guard, Intent, Verb
from dr.ports import AttemptContext, Look, Seen
from dr.providers.sim.aws.traffic import EVERYWHERE, Checks, Controls, Everywhere, Prepared, Zone
from dr.providers.sim.steps.base import SimStep, Waits

E = TypeVar("E", bound=Everywhere)
_CALL = 0.3


class _Step(SimStep[E]):
    """What they have in common."""

    def redirected(self, before: Mapping[str, tuple[str, ...]] | None = None) -> Redirected:
        """The evidence that people are led to the target."""
        return Redirected(
            component=self.component, region=self.target, names=len(self.store.hostnames), at=self.now,
            old_ttl=timedelta(seconds=self.store.ttls[EVERYWHERE]), before=dict(before or {}),
        )  # fmt: skip


class Propagate(Waits[Everywhere], _Step[Everywhere]):
    """The names lead to the target for everybody who asks, then the old TTL has passed."""

    _since: float | None = None

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: the time is over."""
        now = context.clock.monotonic()
        if self._since is None:
            elsewhere = self.read(self.target, "answers", lambda: self.store.led_to != self.target)
            if elsewhere:
                return Seen(Look.NEEDED, f"names do not lead to {self.target} yet")
            self._since = now
        done = context.found(Redirected, self.component)
        ttl = self.store.ttl if done is None else done.old_ttl.total_seconds()
        rest = timedelta(seconds=self._since + ttl + 20.0 - now)  # and as long as name servers take to see a flip
        if rest > timedelta(0):
            context.say(f"{show_duration(rest)} until caches have forgotten the old answers")
            return Seen(Look.NEEDED, f"caches may hold the old answer for {show_duration(rest)}")
        return Seen(Look.DONE)


# --- routing controls ---------------------------------------------------------------------------------------------------


class FlipControls(_Step[Controls]):
    """The target's control is On and the source's Off: both in one call."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: they are."""
        on = self._on()
        if on == {self.target}:
            return Seen(Look.DONE, f"people are led to {self.target} already", (self.redirected(),))
        return Seen(Look.NEEDED, f"{' and '.join(sorted(on)) or 'none'} is On")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """What a safety rule refuses is refused, unless the runbook names the rule and a person accepted it."""
        over = self.store.overridden and context.accepted(Guard.PREREQUISITES)

        def flip(over_rules: bool) -> None:
            self._endpoint()
            self.store.flip(self.target, self.source, over_rules=over_rules)

        try:
            self.do(context, self.target, "redirect", lambda: flip(False), seconds=_CALL)
        except Permanent as error:
            if not over:
                raise Permanent(error.message, hint=f"dr resume {context.run_id} --accept prerequisites --reason TEXT") from error
            self.do(context, self.target, "redirect", lambda: flip(True), seconds=_CALL)
            return (self.redirected(), Note(text=f"{self.component}: flipped over the safety rules: {error.message}"))
        return (self.redirected(), Note(text=f"{self.component}: flipped"))

    def verify(self, context: AttemptContext) -> Seen:
        """Read back: both."""
        return Seen(Look.DONE if self._on() == {self.target} else Look.NEEDED)

    def undo(self, context: AttemptContext) -> None:
        """The other way, in one call."""
        if self._on() != {self.source}:
            self.do(context, self.target, "restore", lambda: self.store.flip(self.source, self.target), seconds=_CALL)

    def _on(self) -> set[str]:
        def states() -> set[str]:
            self._endpoint()
            return {region for region, state in self.store.on.items() if state}

        return self.read(self.target, "states", states)

    def _endpoint(self) -> None:
        if len(self.store.silent) >= self.store.named:
            raise Transient(f"none of the {self.store.named} endpoints of the cluster works")


# --- health checks ------------------------------------------------------------------------------------------------------


class FlipChecks(_Step[Checks]):
    """The target's check leads people there, then the source's leads them away; each is written once."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: all stand as they must. BLOCKED: an edited check cannot be reached is no such case: that is tried."""
        if not self._flips():
            return Seen(Look.DONE, f"nothing to flip: the check of {self.target} leads people back by itself", (self.redirected(),))
        left = self._not_so()
        if left:
            return Seen(Look.NEEDED, ", ".join(f"health check of {region}" for region, _ in left))
        return Seen(Look.DONE, f"people are led to {self.target} already", (self.redirected(),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Writes those that do not stand so."""
        for region, away in self._not_so():
            self.do(context, self.target, "redirect", partial(self.store.write, region, away=away), seconds=_CALL)
        return (self.redirected(), Note(text=f"{self.component}: flipped"))

    def verify(self, context: AttemptContext) -> Seen:
        """All read back as written."""
        return Seen(Look.NEEDED if self._not_so() else Look.DONE)

    def undo(self, context: AttemptContext) -> None:
        """The other way, in the other order."""
        for region, away in reversed(self._flips()):
            if self.read(self.target, "switches", partial(self.store.away.__contains__, region)) is away:
                self.do(context, self.target, "restore", partial(self.store.write, region, away=not away), seconds=_CALL)

    def _flips(self) -> list[tuple[str, bool]]:
        """A failover leaves alone what lies in the lost region."""
        found = [(region, away) for region, away in ((self.target, False), (self.source, True)) if region in self.store.switches]
        return [(region, away) for region, away in found if self.planned or self.store.switches[region] != self.source]

    def _not_so(self) -> list[tuple[str, bool]]:
        def states() -> list[tuple[str, bool]]:
            for region, _ in self._flips():
                self.store.reachable(region)
            return [(region, away) for region, away in self._flips() if (region in self.store.away) is not away]

        return self.read(self.target, "switches", states)


# --- record sets --------------------------------------------------------------------------------------------------------


class Prepare(_Step[Zone]):
    """What is prepared can lead people by health alone. What is edited leads to the source, and its TTLs are kept in the journal."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: all names lead to the target already, or are prepared. BLOCKED: a health check keeps people where they are."""
        prepared: object = self.store
        if isinstance(prepared, Prepared):
            flaw = self.read(self.target, "records", lambda: prepared.flaw)
            return Seen(Look.BLOCKED, flaw) if flaw else Seen(Look.DONE, "record sets are prepared")
        led = self.read(self.target, "records", self._led)
        return Seen(Look.DONE, f"all names lead to {self.target} already") if led == self.target else Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Keeps them."""
        ttl = round(self.read(self.target, "records", lambda: self.store.ttls[EVERYWHERE]))
        names = self.store.hostnames
        return (
            Note(text=f"{self.component}: {len(names)} record sets to redirect"),
            Ttls(component=self.component, region=self.source, before={f"{name} A": ttl for name in names}),
        )

    def _led(self) -> str | None:
        self.store.reachable()
        return self.store.led_to


class Edit(_Step[Zone]):
    """Every record set that leads to the source leads to the target: one atomic change."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: nothing leads to the source any more."""
        if self._led() == self.target:
            return Seen(Look.DONE, f"all names lead to {self.target} already", (self.redirected(),))
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Sends it."""
        count = self.do(context, self.target, "redirect", lambda: self.store.edit(self.target), seconds=_CALL)
        before = {f"{name} A": (self.source,) for name in self.store.hostnames}
        return (self.redirected(before), Note(text=f"{self.component}: {count} record sets edited"))

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: the API knows the change."""
        return Seen(Look.DONE if self._led() == self.target else Look.NEEDED)

    def undo(self, context: AttemptContext) -> None:
        """Puts the old answers back."""
        self.do(context, self.target, "restore", lambda: self.store.edit(self.source), seconds=_CALL)

    def _led(self) -> str | None:
        def led() -> str | None:
            self.store.reachable()
            return self.store.led_to

        return self.read(self.target, "records", led)


class PropagateEdit(Waits[Zone], _Step[Zone]):
    """The change is INSYNC, then the old TTL has passed."""

    _since: float | None = None

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: both. Where nobody says whether it is INSYNC, what usually takes a minute is waited out."""
        now, done = context.clock.monotonic(), context.found(Redirected, self.component)
        if self._since is None:
            try:
                synced = self.read(self.target, "change", self._synced)
            except Transient as error:
                context.say(f"whether it is INSYNC cannot be asked: {error.message}")
                synced = done is None or self.now >= done.at + timedelta(seconds=60)
            if not synced:
                return Seen(Look.NEEDED, "PENDING: not all name servers have the change")
            self._since = now
        ttl = 0.0 if done is None else done.old_ttl.total_seconds()
        left = self._since + ttl - now
        return Seen(Look.NEEDED, f"caches may hold the old answer for {left:.0f} s") if left > 0 else Seen(Look.DONE)

    def _synced(self) -> bool:
        self.store.reachable()
        return self.place.world.now >= self.store.insync


class LowerTtl(_Step[Zone]):
    """What leads to the source has the short TTL, and all name servers know."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: no TTL is longer. Where this run lowered it, the moment counts from now."""
        known = self._kept(context)
        if self.store.low is None or known <= self.store.low:
            return Seen(Look.DONE)
        ttl, synced = self.read(self.source, "records", self._now)
        if ttl > self.store.low or not synced:
            return Seen(Look.NEEDED, "not all name servers have the short TTL yet")
        text = f"the TTL is lowered from {known:g} s to {self.store.low:g} s"
        return Seen(Look.DONE, evidence=(
            TtlLowered(component=self.component, names=len(self.store.hostnames), at=self.now, old_ttl=timedelta(seconds=known)),
            Temporary(component=self.component, region=self.source, what="ttl", text=text, by_hand="aws route53 …"),
        ))  # fmt: skip

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One change."""
        low = self.store.low
        assert low is not None, "observed before"
        self.do(context, self.region, "lower-ttl", lambda: self.store.retime(low), seconds=_CALL)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)

    def undo(self, context: AttemptContext) -> None:
        """As it was."""
        before = self._kept(context)
        self.do(context, self.region, "raise-ttl", lambda: self.store.retime(before), seconds=_CALL)

    def _kept(self, context: AttemptContext) -> float:
        found = context.found(Ttls, self.component)
        return max(found.before.values(), default=0) if found is not None else self.store.ttl

    def _now(self) -> tuple[float, bool]:
        self.store.reachable()
        return self.store.ttls[EVERYWHERE], self.place.world.now >= self.store.insync


class WaitTtl(Waits[Zone], _Step[Zone]):
    """Before the freeze: the old, longer TTL has passed since all name servers have the short one."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: nothing was lowered, or its time is over."""
        done = context.found(TtlLowered, self.component)
        rest = timedelta(0) if done is None else done.at + done.old_ttl - self.now
        return Seen(Look.NEEDED, f"caches may hold the old TTL for {show_duration(rest)}") if rest > timedelta(0) else Seen(Look.DONE)


class RaiseTtl(LowerTtl):
    """Every record set has its old TTL."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: they have it."""
        if self.read(self.target, "records", self._now)[0] != self._kept(context):
            return Seen(Look.NEEDED)
        return Seen(Look.DONE, evidence=(PutBack(component=self.component, region=self.target, what="ttl", text="the old TTL is back"),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One change."""
        self.undo(context)
        return ()


class VerifyOutside(SimStep[Prepared | Zone]):
    """Each name is looked up as anybody would, leads to the target alone, and answers there. It reads."""

    def observe(self, context: AttemptContext) -> Seen:
        """NEEDED: what held a while ago says nothing about now."""
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Raises Transient: some do not answer as they should."""
        zone = self.store.flipper if isinstance(self.store, Prepared) else self.store
        if zone is None:
            raise Transient(f"{self.component}: nobody flips these names")
        world, total = self.place.world, len(zone.hostnames)
        wrong = self.read(self.target, "outside", lambda: zone.led_now(self.target) or zone.platform.lacks(self.target))
        if wrong:
            raise Transient(wrong)
        world.did(
            f"{self.component}.seen-outside", self.component, self.target, process=self.place.process.name, run_id=context.run_id,
            step=context.step.id, epoch=context.epoch,
        )  # fmt: skip
        text = f"{self.component}: {total} names lead to {self.target} and answer there; nothing was written"
        return (Healthy(component=self.component, total=total, healthy=total), Note(text=text))


def controls(name: str, verb: Verb, intent: Intent) -> type[SimStep[Any]]:
    """The operation of a step of routing controls."""
    return {Verb.REDIRECT: FlipControls, Verb.PROPAGATE: Propagate}[verb]


def checks(name: str, verb: Verb, intent: Intent) -> type[SimStep[Any]]:
    """The operation of a step of health checks."""
    return {Verb.REDIRECT: FlipChecks, Verb.PROPAGATE: Propagate}[verb]


_RECORDS: Mapping[str, type[SimStep[Any]]] = {
    Verb.PREPARE: Prepare, Verb.REDIRECT: Edit, Verb.PROPAGATE: PropagateEdit, Verb.LOWER_TTL: LowerTtl, "wait-ttl": WaitTtl,
    Verb.RAISE_TTL: RaiseTtl, Verb.VERIFY_OUTSIDE: VerifyOutside,
}  # fmt: skip
"""The operation of each step's name."""


def records(name: str, verb: Verb, intent: Intent) -> type[SimStep[Any]]:
    """The operation of a step of record sets: those that are prepared are only looked at and asked."""
    return _RECORDS[name]
