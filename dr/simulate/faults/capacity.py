"""Faults of what has to be there for the platform to run: room, quotas, speed."""

from __future__ import annotations

from functools import partial

from dr.model.runbook import Runbook
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.process import Chance, chance
from dr.providers.sim.weather import Call, Mishap, Spell
from dr.simulate.faults.base import Fault, Values, after_effects, away, before, changed, for_a_while, has, number, seconds, stop, stores
from dr.simulate.stage import Stage
from dr.simulate.story import Group, Struck

_DEPLOYMENTS = has("airflow-deployments")
NEVER = 1e9
"""Seconds: later than any story ends."""


def _no_room(stage: Stage, struck: Struck) -> None:
    """The target has no room for the runtimes, for a while."""
    _ready_at(stage, struck, stage.loop.now + number(struck, "seconds"))


def _quota(stage: Stage, struck: Struck) -> None:
    """The target never has enough, until somebody raises its quota."""
    _ready_at(stage, struck, NEVER)


def _ready_at(stage: Stage, struck: Struck, moment: float) -> None:
    where = away(stage)
    for store in stores(stage, Deployments):
        stage.world.settle()
        store.runtimes[where].ready_at = moment
        changed(stage, struck, store.name, where)


def _room(stage: Stage, struck: Struck) -> None:
    if any(runtime.ready_at > stage.loop.now for store in stores(stage, Deployments) for runtime in store.runtimes.values()):
        _ready_at(stage, struck, stage.loop.now)


def _runtime_down(stage: Stage, struck: Struck) -> None:
    """The target's runtime is down for a while, in the middle of a run."""
    where, found = away(stage), list(stores(stage, Deployments))

    def turn(up: bool) -> None:
        stage.world.settle()
        for store in found:
            store.runtimes[where].up = up
            changed(stage, struck, store.name, where, "up" if up else "down")

    after_effects(
        stage, int(number(struck, "effects")), lambda _effect: for_a_while(stage, struck, lambda: turn(False), lambda: turn(True))
    )


def _herd(stage: Stage, struck: Struck) -> None:
    """As soon as the schedulers run, all that had failed is tried again at once: for a while the target is slow, and refuses calls."""
    where = away(stage)

    def starts() -> None:
        now, until = stage.loop.now, stage.loop.now + number(struck, "seconds")
        for mishap, share in ((Mishap.THROTTLED, number(struck, "share")), (Mishap.SLOW, 1.0)):
            drawn = chance(stage.seed, f"spell/{struck.name}/{struck.at}/{mishap}")
            stage.world.weather.spells.append(Spell(mishap, now, until, share, partial(_in, where), drawn))
        stage.world.tell(f"{number(struck, 'retries'):.0f} tasks are tried again at once")

    after_effects(stage, 1, lambda _effect: starts(), lambda effect: effect.what.endswith(".start"))


def _in(where: str, call: Call) -> bool:
    return call.region == where


def _drag(stage: Stage, struck: Struck) -> None:
    """Everything of the Deployments takes many times as long."""
    for store in stores(stage, Deployments):
        stage.world.drag[store.name] = number(struck, "factor")
    stage.world.tell(f"the runtime is {number(struck, 'factor'):.0f} times as slow")


def _drag_all(stage: Stage, struck: Struck) -> None:
    """Everything takes longer."""
    for name in stage.runbook.components:
        stage.world.drag[name] = number(struck, "factor")
    stage.world.tell(f"everything is {number(struck, 'factor'):.0f} times as slow")


def _quick(stage: Stage, _struck: Struck) -> None:
    stage.world.drag.clear()


def _herd_values(chance: Chance, runbook: Runbook) -> Values:
    return {**seconds(5.0, 200.0)(chance, runbook), "share": round(chance.uniform(0.1, 0.9), 3), "retries": 1250}


FAULTS = (
    Fault("capacity-none-for-a-while", Group.CAPACITY, "the target has no room for a while", _no_room, _room, seconds(20.0, 800.0), before,
          _DEPLOYMENTS),
    Fault("capacity-quota", Group.CAPACITY, "a quota keeps the target from being ready until somebody raises it", _quota, _room,
          when=before, fits=_DEPLOYMENTS),
    Fault("capacity-runtime-down", Group.CAPACITY, "the target's runtime is down for a while in the middle of a run", _runtime_down, stop,
          lambda chance, book: {**seconds(2.0, 120.0)(chance, book), "effects": chance.randrange(1, 14)}, before, _DEPLOYMENTS),
    Fault("capacity-thundering-herd", Group.CAPACITY, "1,250 retries at once make the target slow after the start", _herd,
          values=_herd_values, when=before, fits=_DEPLOYMENTS),
    Fault("capacity-slow-runtime", Group.CAPACITY, "the runtime is too slow for the objectives", _drag, _quick,
          lambda chance, _book: {"factor": round(10.0 * 60.0 ** chance.random(), 1)}, before, _DEPLOYMENTS),
    Fault("capacity-slow-platform", Group.CAPACITY, "everything takes several times as long", _drag_all, _quick,
          lambda chance, _book: {"factor": round(chance.uniform(2.0, 30.0), 2)}, before),
)  # fmt: skip
"""In the order in which people read them."""
