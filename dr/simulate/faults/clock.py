"""Faults of wall clocks. A process reads its machine's clock when it starts; what the clock does then is seen by the next process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dr.model.runbook import Runbook
from dr.providers.sim.process import Chance
from dr.simulate.faults.base import Fault, Values, around, before, changed, during, number
from dr.simulate.play import MONITOR
from dr.simulate.stage import Command, Stage
from dr.simulate.story import Group, Struck

_DESKS = ("here", "elsewhere")


def _set(stage: Stage, struck: Struck) -> None:
    """The engineer's machine is off by so much, and goes so fast."""
    stage.clocks["here"] = number(struck, "skew"), 1.0
    stage.world.tell(f"the clock of here is off by {number(struck, 'skew'):.0f} s")


def _right(stage: Stage, _struck: Struck) -> None:
    for machine in _DESKS:
        stage.clocks.pop(machine, None)


def _backwards(stage: Stage, struck: Struck) -> None:
    """From each command to the next the clock is set back."""
    stage.arrivals.append(partial(_set_back, stage, number(struck, "skew")))


def _set_back(stage: Stage, by: float, _command: Command) -> None:
    if not stage.healed:
        skew, rate = stage.clocks.get("here", (0.0, 1.0))
        stage.clocks["here"] = skew - by, rate


def _drift(stage: Stage, struck: Struck) -> None:
    """The machines' clocks go too fast or too slow."""
    for machine in _DESKS:
        stage.clocks[machine] = 0.0, number(struck, "rate")


def _monitor(stage: Stage, struck: Struck) -> None:
    """The monitor runs where the clock is off."""
    stage.clocks[MONITOR] = number(struck, "skew"), 1.0
    _start_anew(stage, struck)


def _monitor_right(stage: Stage, struck: Struck) -> None:
    if stage.clocks.pop(MONITOR, None) is not None:
        _start_anew(stage, struck)


def _start_anew(stage: Stage, struck: Struck) -> None:
    for process in stage.processes:
        if process.machine == MONITOR and process.alive:
            process.kill()
    stage.desk.watch(stage, stage.process("monitor", machine=MONITOR))
    changed(stage, struck)


def _skew(*choices: tuple[float, float]) -> Callable[[Chance, Runbook], Values]:
    def values(chance: Chance, _runbook: Runbook) -> Values:
        least, most = chance.choice(choices)
        return {"skew": round(chance.uniform(least, most), 3)}

    return values


FAULTS = (
    Fault("clock-hour-ahead", Group.CLOCK, "the engineer's clock is an hour ahead", _set, _right, _skew((3590.0, 3610.0)), before),
    Fault("clock-hour-behind", Group.CLOCK, "the engineer's clock is an hour behind", _set, _right, _skew((-3610.0, -3590.0)), before),
    Fault("clock-a-little-off", Group.CLOCK, "the engineer's clock is off by some seconds", _set, _right,
          _skew((-45.0, -1.0), (1.0, 45.0)), before),
    Fault("clock-backwards", Group.CLOCK, "the engineer's clock is set back between commands", _backwards, _right,
          _skew((0.5, 600.0)), before),
    Fault("clock-drift", Group.CLOCK, "the engineers' clocks go too fast or too slow", _drift, _right,
          lambda chance, _book: {"rate": round(chance.uniform(0.9, 1.1), 4)}, before),
    Fault("clock-summer-time", Group.CLOCK, "the engineer's clock jumps by an hour between two commands", _set, _right,
          _skew((3600.0, 3600.0), (-3600.0, -3600.0)), during),
    Fault("clock-monitor-off", Group.CLOCK, "the monitor's clock is off", _monitor, _monitor_right,
          _skew((-3600.0, -5.0), (5.0, 3600.0)), around),
)  # fmt: skip
"""In the order in which people read them."""
