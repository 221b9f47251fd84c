"""What simulated operations share: a place to act in, and how long acts take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from dr.model.base import clock_behind
from dr.model.evidence import Evidence
from dr.ports import AttemptContext, Look, Seen, Site
from dr.providers.clock_ahead import ClockAhead
from dr.providers.one_way import OneWay
from dr.providers.sim.process import START, Process
from dr.providers.sim.wire import Wire
from dr.providers.sim.world import Asked, World

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Place(Generic[S]):
    """Where a step acts: one component's store, asked from one process. ``site``, ``clocks``: as the real kind has them."""

    world: World
    process: Process
    wire: Wire
    component: str
    store: S
    site: Site
    clocks: ClockAhead


class SimStep(OneWay, Generic[S]):
    """Base of simulated operations. ``region``: where its spec says that it acts."""

    def __init__(self, place: Place[S], source: str, target: str, region: str, *, planned: bool) -> None:
        self.place, self.source, self.target, self.region, self.planned = place, source, target, region, planned
        self.component, self.store = place.component, place.store

    def observe(self, context: AttemptContext) -> Seen:
        """NEEDED, where nothing can be seen before."""
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing but time."""
        self.rest(context, self.takes(context))
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE."""
        return Seen(Look.DONE)

    def read(self, region: str, what: str, fetch: Callable[[], T], *, first_page: Callable[[], T] | None = None) -> T:
        """Asks something of a region. ``first_page``: as of ``Wire.read``."""
        value = self.place.wire.read(region, f"{self.component}.{what}", fetch, first_page=first_page)
        self.place.world.reads[self.place.process.name, self.component] = self.place.world.now
        return value

    def do(
        self, context: AttemptContext, region: str, what: str, effect: Callable[[], T], *, seconds: float | None = None,
        half: Callable[[], T] | None = None, said: Callable[[], T] | None = None,
    ) -> T:  # fmt: skip
        """Has an effect in a region, told to everybody who watches; takes what the step's estimate says unless ``seconds`` does.

        half, said: as of ``Wire.act``. Raises Transient where the lease is not ours any more: real kinds ask after each look of an act.
        """
        world, name = self.place.world, f"{self.component}.{what}"

        def told(effect: Callable[[], T], text: str) -> T:
            value = effect()
            world.did(
                name, self.component, region, process=self.place.process.name, run_id=context.run_id, step=context.step.id,
                epoch=context.epoch, text=text,
            )  # fmt: skip
            return value

        self.place.process.point(f"before {name}")
        context.still_ours()
        process = self.place.process
        reached = world.reaches(process.machine, region, write=True)
        informed = world.reads.get((process.name, self.component), -1.0)
        world.asked.append(
            Asked(world.now, name, self.component, region, process.name, context.run_id, context.step.id, context.epoch, reached, informed)
        )
        value = self.place.wire.act(
            region, name, lambda: told(effect, ""), seconds=self.takes(context) if seconds is None else seconds,
            half=None if half is None else lambda: told(half, "a part of it"), said=said,
        )  # fmt: skip
        self.place.process.point(f"after {name}")
        return value

    def takes(self, context: AttemptContext) -> float:
        """How long this act takes here, in seconds."""
        return self.place.world.takes(context.step.id, context.step.estimate.total_seconds())

    def rest(self, context: AttemptContext, seconds: float) -> None:
        """Lets time pass, and notices a cancel within a moment."""
        until = context.clock.monotonic() + seconds
        while (left := until - context.clock.monotonic()) > 0 and not context.cancelled():
            context.clock.sleep(min(left, 1.0))

    def moment(self, at: float) -> datetime:
        """A moment of the world by the right clocks."""
        return START + timedelta(seconds=at)

    def shown(self, at: float) -> datetime:
        """What this process's clock showed at a moment of the world."""
        place = self.place
        return self.now - timedelta(seconds=(place.world.now - at) * place.process.rate)

    def behind(self, asked: datetime) -> timedelta | None:
        """How far this process's clock is behind the right ones, which the servers of every region have."""
        return clock_behind(self.moment(self.place.world.now), asked)

    @property
    def now(self) -> datetime:
        """What this process's clock shows."""
        return self.place.process.clock.now()


class Waits(SimStep[S]):
    """A step that does nothing itself: what it waits for comes by itself, and is observed. First among the bases."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing."""
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)
