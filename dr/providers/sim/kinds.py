"""Real steps on simulated operations: a runbook's own plan, with all its needs, budgets and estimates, in another world.

A kind is wrapped: it still says which steps there are (that is pure), and the wrapper says what they do, by what the component is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from dr.errors import StepError, Transient
from dr.model.base import clock_behind
from dr.model.identity import IdentitySnapshot
from dr.model.lag import Beat, ComponentView, LagSample, RegionView, leading
from dr.model.plan import StepSpec
from dr.model.words import Intent, Known, Role
from dr.ports import Operation, Site, Step
from dr.providers.clock_ahead import ClockAhead, why_wrong
from dr.providers.clock_ahead import Told as Clock
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.process import START, Process
from dr.providers.sim.secrets import Secrets, account
from dr.providers.sim.sort import Sort, Told, seen_as
from dr.providers.sim.sorts import KINDS, UNKNOWN
from dr.providers.sim.sorts import stores as stores
from dr.providers.sim.steps import deployments
from dr.providers.sim.steps.base import Place
from dr.providers.sim.wire import NoAnswer, NotListening, Wire
from dr.providers.sim.world import Store, World

NO_CLOCK: Clock = {"clock_ahead": None, "clock_of": ""}
_PERSON = ("approval", "gate", "wait")
"""Kinds whose own operations ask nobody: they are used as they are."""


class SimKind:
    """``dr.ports.Kind`` of one component in one simulated process.

    Args:
        kind: the name of the real kind.
        store: what the component is in this world; None for what is nowhere.
        chain: the real steps of a component for an intent; handed in, because they are the same for all processes of all worlds.
    """

    def __init__(
        self, name: str, kind: str, store: Store | None, world: World, process: Process, site: Site,
        chain: Callable[[str, Intent, str, str], Sequence[Step]],
    ) -> None:  # fmt: skip
        self.name, self.kind, self.world, self.process, self.site = name, kind, world, process, site
        self.store = store if isinstance(store, Sort) else Sort(world, name)
        self._chain = chain
        self._wire = Wire(world, process)
        self._clocks = ClockAhead(site, name)
        self._place: Place[Any] = Place(world, process, self._wire, name, self.store, site, self._clocks)

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The real kind's specs, with operations of this world."""
        steps = self._chain(self.name, intent, source, target)
        if self.process.renamed == self.name:
            return tuple(Step(_renamed(step.spec), self._operation(step, intent, source, target)) for step in steps)
        return tuple(Step(step.spec, self._operation(step, intent, source, target)) for step in steps)

    def _operation(self, step: Step, intent: Intent, source: str, target: str) -> Operation:
        if self.kind in _PERSON:
            return step.operation
        # what a plan has learned of a slow world must not make that world slower once more
        self.world.estimates.setdefault(step.spec.id, step.spec.estimate.total_seconds())
        make = KINDS.get(self.kind, UNKNOWN).operation(step.spec.id.partition("/")[2], step.spec.verb, intent)
        return make(self._place, source, target, step.spec.region, planned=intent.planned)

    def view(self) -> ComponentView:
        """Each region asked at once; one that does not answer is late."""
        told = self._told("view")
        views = {region: _role(item) for region, item in told.items()}
        regions = {region: seen for region, seen in views.items() if seen is not None} if self.store.placed else {}
        at, findings = self.site.clock.now(), tuple(self.store.findings(told))
        lag = self.sample(leading(regions)) if self.store.replicated else None
        return ComponentView(component=self.name, kind=self.kind, at=at, regions=regions, lag=lag, findings=findings)

    def _told(self, what: str) -> dict[str, Told | StepError]:
        if not self.store.looked:
            return {}
        if self.store.everywhere:
            return self._everywhere(what)
        looks = [partial(self._look, region, what) for region in self.store.regions]
        # one after the other takes no longer where all answer, and costs this machine half as much
        fair = all(self.world.reaches(self.process.machine, region, write=False) for region in self.store.regions)
        answers = [look() for look in looks] if fair else self.process.threads.gather(looks, what)
        return dict(zip(self.store.regions, answers, strict=True))

    def _everywhere(self, what: str) -> dict[str, Told | StepError]:
        """Of what lies in no region: who answers first answers for all."""
        store, problem = self.store, StepError("there are no regions")
        for region in store.regions:
            try:
                return self._wire.read(region, f"{self.name}.{what}", lambda: {name: store.look(name) for name in store.regions})
            except StepError as error:
                problem = error
        return dict.fromkeys(store.regions, problem)

    def _look(self, region: str, what: str) -> Told | StepError:
        try:
            return self._wire.read(region, f"{self.name}.{what}", lambda: self.store.look(region))
        except StepError as error:
            return error.with_traceback(None)  # an answer is kept: not with all that lay under it

    def beat(self, region: str) -> Beat | None:
        """One heartbeat on the primary of what is replicated."""
        store, sent = self.store, self.site.clock.now()
        if not store.replicated or region not in store.regions:
            return None
        try:
            self._wire.read(region, f"{self.name}.beat", lambda: store.beat(region), timeout=1.0)
        except StepError as error:
            return Beat(component=self.name, region=region, sent_at=sent, acknowledged_at=None, reason=error.message)
        return Beat(component=self.name, region=region, sent_at=sent, acknowledged_at=self.site.clock.now())

    def sample(self, primary: str | None) -> LagSample:
        """The recovery point, read in the secondary; of what is not replicated, whether both sides are alike."""
        store, now = self.store, self.site.clock.now
        if store.two_way:
            told = self._told("sample")
            return store.joined(told, now())
        if not store.replicated:
            return self._alike(primary)
        secondary = next((region for region in store.regions if region != primary), None)
        if primary is None or secondary is None:
            clock = self._clocks.told(None) if store.stamps else NO_CLOCK
            return LagSample(component=self.name, at=now(), state=Known.UNKNOWN, reason="no primary is known", **clock)
        asked = now()
        try:
            point, shown = self._wire.read(secondary, f"{self.name}.sample", lambda: (store.point(secondary, primary), self.world.now))
        except StepError as error:
            return LagSample(component=self.name, at=now(), state=Known.UNKNOWN, reason=error.message, **self._clock(primary))
        at, clock = now(), self._clock(primary, point - shown)
        moment = START + timedelta(seconds=point) - (clock["clock_ahead"] or timedelta(0))
        slow = clock_behind(START + timedelta(seconds=shown), asked) or timedelta(0)
        wrong = why_wrong(clock)
        if wrong or moment > at + slow:
            reason, known = wrong or "ahead of this machine's clock", None if wrong else moment
            return LagSample(component=self.name, at=at, state=Known.UNKNOWN, recovery_point=known, reason=reason, **clock)
        return LagSample(
            component=self.name, at=at, state=Known.KNOWN, lag=at + slow - moment, recovery_point=moment, clock_behind=slow,
            **clock, **store.behind(secondary, primary),
        )  # fmt: skip

    def _clock(self, primary: str, stamped: float | None = None) -> Clock:
        """Asked in the same breath as the recovery point, where the primary answers. stamped: how far that lay ahead, in seconds."""
        if not self.store.stamps:
            return NO_CLOCK
        shown = self.store.ahead(primary) if self.world.reaches(self.process.machine, primary, write=False) else None
        if shown is not None:
            self._clocks.saw(primary, timedelta(seconds=shown))
        elif stamped is not None:
            self._clocks.stamped(primary, timedelta(seconds=stamped))
        return self._clocks.told(primary)

    def _alike(self, primary: str | None) -> LagSample:
        """Of what is not replicated."""
        store, now = self.store, self.site.clock.now
        reason = store.unequal(self._told("sample"), primary) if store.compared else store.lagless
        if store.compared and reason:
            return LagSample(component=self.name, at=now(), state=Known.UNKNOWN, reason=reason)
        at = now()
        lag = {"lag": timedelta(0), "recovery_point": at} if store.compared else {"reason": reason}
        return LagSample.model_validate({"component": self.name, "at": at, "state": Known.KNOWN, **lag})

    def identities(self, region: str) -> IdentitySnapshot:
        """Who the Deployments are, or which secrets there are; only where the component is one of these."""
        store = self.store
        if isinstance(store, Secrets):
            items = self._wire.read(region, f"{self.name}.identities", lambda: account(store.look(region).facts))
            at = self.site.clock.now()
            return IdentitySnapshot(taken_at=at, read_until=at, region=region, deployments=(), items=items)
        if not isinstance(store, Deployments):
            raise Transient(f"{self.name} knows no Deployments")
        # one transaction of a database, which has no pages that could be lost: half a snapshot kept as "before" is nothing that happens
        return self._wire.read(region, f"{self.name}.identities", lambda: deployments.snapshot(store, region, self.site.clock.now()))

    def warm(self, target: str) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to close."""


def _renamed(spec: StepSpec) -> StepSpec:
    """A step as another version of ``dr`` calls it, which refers to its own component's steps by their new names."""
    own = f"{spec.component}/"
    needs = tuple(f"{need}-anew" if need.startswith(own) else need for need in spec.needs)
    return spec.model_copy(update={"id": f"{spec.id}-anew", "needs": needs})


def _role(told: Told | StepError) -> RegionView | None:
    if isinstance(told, Told):
        return told.view
    role = Role.STOPPED if isinstance(told, NotListening) else Role.UNREACHABLE
    return seen_as(role, None, told.message, late=isinstance(told, NoAnswer))
