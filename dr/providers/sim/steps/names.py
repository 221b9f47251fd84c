"""Simulated operations on public names: the same claims and evidence as ``selfhosted.dns``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from dr.errors import EffectUnknown, Transient
from dr.model.evidence import Evidence, Redirected, TtlLowered, Ttls
from dr.model.words import Intent, Verb
from dr.ports import AttemptContext, Look, Seen
from dr.providers.sim.names import Names
from dr.providers.sim.steps.base import SimStep
from dr.providers.sim.wire import NotListening


class Prepare(SimStep[Names]):
    """The target's server takes updates."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where it answers."""
        self.read(self.target, "server", lambda: self._there(self.target))
        return Seen(Look.DONE)

    def _there(self, region: str) -> None:
        if not self.store.answers(region):
            raise Transient(f"the name server of {region} does not answer")


class Redirect(SimStep[Names]):
    """All names lead to the target, at its own server; the source's is told beside it, as far as it can be reached."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: no name leads elsewhere, at the source's server neither, as far as that can be asked: who changed the target's may have
        died before the other one was told."""
        if self.read(self.target, "names", lambda: self._elsewhere(self.target)):
            return Seen(Look.NEEDED)
        not_reached: tuple[str, ...] = ()
        silent = False
        try:
            if self.read(self.source, "names", lambda: self._elsewhere(self.source)):
                return Seen(Look.NEEDED)
        except NotListening as error:
            not_reached = (error.message,)
        except Transient:
            not_reached, silent = (f"{self.component} in {self.source}: no answer in time",), True
        return Seen(Look.DONE, evidence=(self._evidence(len(self.store.hostnames), not_reached, silent=silent),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One update for all names."""
        some, count = self.store.hostnames[::2], len(self.store.hostnames)
        self.do(
            context, self.target, "redirect", lambda: self.store.change(self.target, self.store.hostnames, self.target),
            half=lambda: self.store.change(self.target, some, self.target), said=lambda: count,
        )  # fmt: skip
        not_reached: tuple[str, ...] = ()
        silent = False
        try:
            beside = self.source
            self.do(context, beside, "redirect", lambda: self.store.change(beside, self.store.hostnames, self.target), seconds=0.0)
        except NotListening as error:
            not_reached = (error.message,)
        except (Transient, EffectUnknown):
            not_reached, silent = (f"{self.component} in {self.source}: no answer in time",), True
        return (self._evidence(len(self.store.hostnames), not_reached, silent=silent),)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: no name leads elsewhere."""
        left = self.read(self.target, "names", lambda: self._elsewhere(self.target))
        return Seen(Look.NEEDED, f"{left} names still lead elsewhere") if left else Seen(Look.DONE)

    def undo(self, context: AttemptContext) -> None:
        """Names lead back."""
        self.do(context, self.target, "restore", lambda: self.store.change(self.target, self.store.hostnames, self.source))
        self.do(context, self.source, "restore", lambda: self.store.change(self.source, self.store.hostnames, self.source), seconds=0.0)

    def _elsewhere(self, server: str) -> int:
        self.store.there(server)
        return sum(region != self.target for region in self.store.leads[server].values())

    def _evidence(self, count: int, not_reached: tuple[str, ...] = (), *, silent: bool = False) -> Redirected:
        return Redirected(
            component=self.component, region=self.target, names=count, at=self.now, old_ttl=timedelta(seconds=self.store.ttls[self.target]),
            before={}, not_reached=not_reached, still_answers=silent,
        )  # fmt: skip


class Propagate(SimStep[Names]):
    """Old answers have left the caches that keep to their time."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Waits for the old TTL from the moment of the change."""
        done = context.found(Redirected, self.component)
        if done is not None:
            self.rest(context, max(0.0, (done.at + done.old_ttl - self.now).total_seconds()))
        return ()


class LowerTtl(SimStep[Names]):
    """A short TTL at both servers."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Lowers it."""
        old = dict(self.store.ttls)
        for region in (self.source, self.target):
            self.do(context, region, "lower-ttl", partial(self._set, region, 1.0))
        names = {name: round(old[self.source]) for name in self.store.hostnames}
        return (
            Ttls(component=self.component, region=self.source, before=names),
            TtlLowered(component=self.component, names=len(names), at=self.now, old_ttl=timedelta(seconds=max(old.values()))),
        )

    def undo(self, context: AttemptContext) -> None:
        """As it was."""
        for region in (self.source, self.target):
            self.do(context, region, "raise-ttl", partial(self._set, region, self.store.ttl))

    def _set(self, region: str, ttl: float) -> None:
        if not self.store.answers(region):
            raise Transient(f"the name server of {region} does not answer")
        self.store.ttls[region] = ttl


class WaitTtl(SimStep[Names]):
    """The old TTL has passed."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Waits."""
        lowered = context.found(TtlLowered, self.component)
        if lowered is not None:
            self.rest(context, max(0.0, (lowered.at + lowered.old_ttl - self.now).total_seconds()))
        return ()


class RaiseTtl(LowerTtl):
    """The TTL is what it was."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Raises it again."""
        self.undo(context)
        return ()


class Follow(SimStep[Names]):
    """The returned server answers as the other one does."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where it does."""
        same = self.read(self.source, "names", lambda: self.store.leads[self.source] == self.store.leads[self.target])
        return Seen(Look.DONE) if same else Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Copies."""
        self.do(context, self.source, "follow", lambda: self.store.copy(self.source, self.target), said=lambda: None)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)


STEPS: Mapping[str, type[SimStep[Names]]] = {
    Verb.PREPARE: Prepare, Verb.REDIRECT: Redirect, Verb.PROPAGATE: Propagate, Verb.LOWER_TTL: LowerTtl, "wait-ttl": WaitTtl,
    Verb.RAISE_TTL: RaiseTtl, Verb.FOLLOW: Follow,
}  # fmt: skip
"""The operation of each step's name."""


def operation(name: str, verb: Verb, intent: Intent) -> type[SimStep[Names]]:
    """The operation of a step."""
    return STEPS[name]
