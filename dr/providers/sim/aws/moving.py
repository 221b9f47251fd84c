"""Databases of RDS: what is asked for is accepted at once, takes effect minutes later, and may be given up meanwhile.

https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-global-database-disaster-recovery.html: a global database is
``switching-over`` or ``failing-over`` for so long, and takes no other such request; what cannot be done is rolled back.
"""

from __future__ import annotations

from typing import NamedTuple

from dr.errors import Permanent, Transient
from dr.model.lag import RegionView
from dr.model.words import Role
from dr.providers.sim.database import Copy, Database, Preserved, Span, clip, missing
from dr.providers.sim.sort import Told
from dr.providers.sim.world import World

GIVEN_UP_AFTER = 900.0
"""Seconds after which AWS rolls a move back that has not come to its end."""
METRIC_EVERY = 60.0
"""CloudWatch has one value a minute of the lag."""


class Sender(NamedTuple):
    """Who asked for something that takes effect later: as of ``Effect``."""

    process: str
    run_id: str
    step: str
    epoch: int


class Move(NamedTuple):
    """A promotion that is under way. how: the call. asked: when, in seconds of the world. stops: where nothing is written meanwhile."""

    how: str
    target: str
    asked: float
    ends: float
    by: Sender
    stops: str = ""


class Moving(Database):
    """``Store`` of what all databases of RDS have in common.

    move: what is under way. absent: regions in which there is no such database (any more, or yet). sql: it is asked by SQL, too.
    making: by region, when a member of it that is being made is available. left: by region, what the old writer alone had, in what AWS
    left of it, until that is kept for good.
    """

    stamps = False  # Amazon keeps the clocks of its servers; nobody asks for them

    def __init__(self, world: World, name: str, home: str, *, sql: bool = False) -> None:
        super().__init__(world, name, home)
        self.sql = sql
        self.move: Move | None = None
        self.absent: set[str] = set()
        self.making: dict[str, float] = {}
        self.left: dict[str, tuple[Span, ...]] = {}
        self._metric: dict[str, tuple[int, float]] = {}
        self._asked: dict[str, float] = {}

    # --- time ---------------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """As a database; CloudWatch notes the lag of each copy once a minute."""
        super().advance(now)
        minute = int(now // METRIC_EVERY)
        for region in self.copies:
            if self._metric.get(region, (-1, 0.0))[0] < minute and self.world.regions[region].alive and not self.stalled:
                self._metric[region] = minute, self.recovery_point(region)

    def writable(self, region: str) -> bool:
        """It takes writes now; while it hands over it does not."""
        stopped = self.move is not None and self.move.stops == region
        return region not in self.absent and not stopped and super().writable(region)

    def streams(self, copy: Copy, source: Copy) -> bool:
        """Changes arrive; not at what is not there, or is being made."""
        away = {copy.region, source.region} & self.absent or copy.region in self.making
        return not away and super().streams(copy, source)

    def told_point(self, region: str) -> float | None:
        """What a region says of its recovery point: by SQL as it is, else as of the newest minute of CloudWatch; None: nothing is said."""
        noted = self._metric.get(region)
        known = self.recovery_point(region) if self.sql else None if noted is None else noted[1]
        return None if known is None else known if self.shown is None else self.shown(known)


    # --- what can be asked for ----------------------------------------------------------------------------------------

    def begin(self, how: str, target: str, seconds: float, by: Sender, *, stops: str = "") -> None:
        """A promotion is accepted, and ends later: done, or rolled back.

        Raises:
            Permanent: another one is under way, or the target cannot be promoted; nothing happens.
        """
        if self.move is not None:
            raise Permanent(f"{self.name}: InvalidGlobalClusterStateFault: it is moving to {self.move.target}", hint="wait for it")
        copy = self.copies[target]
        if copy.primary or target in self.absent or target in self.making:
            raise Permanent(f"{self.name}: InvalidGlobalClusterStateFault: {target} is no secondary", hint="dr status RUNBOOK")
        now = self._asked[target] = self.world.now
        self.move = move = Move(how, target, now, now + min(seconds, GIVEN_UP_AFTER), by, stops)
        self.world.loop.at(move.ends, lambda: self._end(move, late=seconds > GIVEN_UP_AFTER))

    def _end(self, move: Move, *, late: bool) -> None:
        """It takes effect, or is rolled back: what cannot be done any more, and what a fault has chosen."""
        if self.move is not move:
            return
        self.world.settle()
        left, promoted = self.breaks.get(move.target, (0, False))
        if left > 0:
            self.breaks[move.target] = left - 1, promoted
        why = "it took too long" if late else "by chance" if left > 0 and not promoted else self.unable(move)
        self.move = None
        if why or not self.world.regions[move.target].alive:
            self.world.did(f"{self.name}.rolled-back", self.name, move.target, text=f"AWS gave the {move.how} up: {why or 'it is lost'}")
            return
        self.take_over(move)
        by = move.by
        self.world.did(
            f"{self.name}.promote", self.name, move.target, process=by.process, run_id=by.run_id, step=by.step, epoch=by.epoch,
            text=f"the {move.how} is through",
        )  # fmt: skip
        self.came_to_pass(move)

    def unable(self, move: Move) -> str:
        """Why a move cannot come to its end now; empty: it can."""
        copy = self.copies[move.target]
        return "" if copy.up and not copy.frozen else f"{move.target} does not run"

    def take_over(self, move: Move) -> None:
        """The target takes writes."""
        breaks, self.breaks = self.breaks, {}
        self.promote(move.target)
        self.breaks = breaks

    def came_to_pass(self, move: Move) -> None:
        """What AWS does on its own afterwards."""

    def asked_for(self, region: str) -> float | None:
        """When the newest promotion there was asked for: what is lost afterwards was lost by then or is the price of its time."""
        return self._asked.get(region)

    def make(self, region: str, seconds: float) -> None:
        """A new member is being made, which follows the one that writes; nothing happens where there is one.

        Raises:
            Permanent: nobody writes, or not within reach.
        """
        source = self.primary(besides=region)
        if region not in self.absent or region in self.making:
            return
        if source is None or not self.world.linked(source.region, region):
            raise Permanent(f"{self.name}: InvalidGlobalClusterStateFault: nobody writes whom {region} could follow", hint="wait")
        self.making[region] = self.world.now + seconds
        self.world.loop.at(self.making[region], lambda: self._made(region))

    def _made(self, region: str) -> None:
        source = self.primary(besides=region)
        if self.making.pop(region, None) is None or source is None:
            return
        self.world.settle()
        copy = self.copies[region]
        self.absent.discard(region)
        copy.log = clip(source.log, source.end)
        copy.up, copy.frozen, copy.fenced, copy.primary, copy.upstream = True, False, False, False, source.region
        self.world.did(f"{self.name}.made", self.name, region, text="a new member is available")

    # --- what AWS leaves ----------------------------------------------------------------------------------------------

    def alone(self, region: str) -> tuple[Span, ...]:
        """What a region's copy holds that the one that writes has not."""
        source = self.primary(besides=region)
        return () if source is None else tuple(missing(self.copies[region].log, source.log))

    def keep(self, region: str) -> None:
        """What AWS left of the old writer is kept for good."""
        spans = self.left.pop(region, ())
        if spans:
            self.preserved.append(Preserved(self.world.now, region, spans))

    def keep_aside(self, region: str) -> None:
        """The old database has another name, with all that only it has; under its own there is none."""
        self.left[region] = (*self.left.get(region, ()), *self.alone(region))
        self.keep(region)
        copy = self.copies[region]
        copy.primary, copy.upstream = False, None
        self.absent.add(region)

    # --- what can be seen of it ---------------------------------------------------------------------------------------

    def look(self, region: str) -> Told:
        """As RDS says it: whether it is there and writes. No epoch is told."""
        copy = self.copies[region]
        if region in self.absent or region in self.making:
            return Told(RegionView(role=Role.STOPPED, reason="there is none, or it is being made"))
        return Told(RegionView(role=Role.PRIMARY if copy.primary else Role.SECONDARY, reason=self.status(region, plain="")))

    def status(self, region: str, plain: str = "available") -> str:
        """In a word, as RDS says it. What is down or hangs RDS starts again by itself; what was stopped on purpose stays so."""
        copy = self.copies[region]
        if self.move is not None and region in (self.move.target, self.move.stops):
            return {"switchover": "switching-over", "failover": "failing-over"}.get(self.move.how, "modifying")
        if copy.up and not copy.frozen:
            return plain
        return "stopped" if copy.fenced else "rebooting"

    def there(self, region: str) -> None:
        """Raises Transient where its server does not answer: SQL only; RDS itself always does."""
        if not self.copies[region].up or self.copies[region].frozen:
            raise Transient(f"{self.name} in {region} does not answer")
