"""Faults of the processes that people start: they die, stop for a while, die again, or are another version when they come back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dr.errors import Refused
from dr.model.runbook import Runbook
from dr.providers.sim.process import Chance
from dr.simulate.faults.base import (
    Fault,
    Values,
    after_effects,
    around,
    at_point,
    before,
    changed,
    for_a_while,
    has,
    later,
    live,
    number,
    seconds,
    stop,
    text,
)
from dr.simulate.play import MONITOR
from dr.simulate.stage import Command, Stage
from dr.simulate.story import Group, Struck

NEWER = "99.0.0"
"""The version that somebody upgrades to in the middle of a run."""
_UPGRADED = "dr is upgraded"
JOURNAL = ("journal:before", "journal:after")
"""The places at which a journal is written."""


def _nth(most: int) -> Callable[[Chance, Runbook], Values]:
    return lambda chance, _runbook: {"nth": 1 + int(most * chance.random() ** 1.5)}


def _crash(meant: Callable[[str], bool], stage: Stage, struck: Struck) -> None:
    """At the n-th place of a sort."""
    at_point(stage, int(number(struck, "nth")), meant, partial(_kill, stage))


def _kill(stage: Stage, command: Command, where: str) -> None:
    stage.world.tell(f"{command.process.name} is killed at {where}")
    command.process.kill()


def _crash_any_moment(stage: Stage, struck: Struck) -> None:
    """A while after the next command began, wherever it is then: a call may be under way."""
    after = number(struck, "seconds")

    def arrives(command: Command) -> None:
        stage.arrivals.remove(arrives)
        later(stage, after, lambda: _kill(stage, command, "some moment") if command.running else None)

    stage.arrivals = [*stage.arrivals, arrives]


def _kill_during_write(stage: Stage, struck: Struck) -> None:
    """A write hangs, everything else goes on, and then the process is gone: nothing of the batch may be there."""

    def hangs(command: Command, _point: str) -> None:
        stage.world.tell(f"{command.process.name} writes, and the disk takes its time")
        later(stage, number(struck, "seconds"), lambda: _kill(stage, command, "a write") if command.running else None)
        stage.loop.sleep(number(struck, "seconds") + 0.001)

    at_point(stage, int(number(struck, "nth")), "journal:before".__eq__, hangs)


def _interrupted_twice(stage: Stage, struck: Struck) -> None:
    """Killed, and killed again in the command that goes on."""

    def again(command: Command, where: str) -> None:
        at_point(stage, int(number(struck, "again")), _any, partial(_kill, stage))
        _kill(stage, command, where)

    at_point(stage, int(number(struck, "nth")), _any, again)


def _any(_point: str) -> bool:
    return True


def _freeze(stage: Stage, struck: Struck) -> None:
    """After some effects of a command: its process stops, and goes on as if nothing had been."""

    def freezes() -> None:
        command = live(stage)
        if command is not None:
            stage.world.tell(f"{command.process.name} stops for {number(struck, 'seconds'):.0f} s")
            command.process.freeze(number(struck, "seconds"))

    after_effects(stage, int(number(struck, "effects")), lambda _effect: freezes())


def _freeze_values(least: float, most: float) -> Callable[[Chance, Runbook], Values]:
    return lambda chance, _runbook: {"seconds": round(chance.uniform(least, most), 3), "effects": chance.randrange(1, 14)}


def _upgrade(stage: Stage, struck: Struck) -> None:
    """A crash; who goes on has a newer version, to which some steps may be unknown. Told so, people take the one that started the run.
    There is one newer version: where it is here already, only the crash is left."""
    renamed = text(struck, "component")
    newer, here = False, False

    def arrives(command: Command) -> None:
        nonlocal newer
        if not here:
            return
        before = next((item for item in reversed(stage.commands[:-1]) if item.ended is not None), None)
        if before is not None and isinstance(before.error, Refused) and "does not know the steps" in before.error.message:
            newer = not newer
            stage.world.tell(f"{command.process.name} is {'the newer' if newer else 'the older'} version of dr")
        if newer:
            command.process.version, command.process.renamed = NEWER, renamed

    def upgraded(command: Command, where: str) -> None:
        nonlocal newer, here
        if not any(line.text == _UPGRADED for line in stage.world.told):
            newer = here = True
            stage.world.tell(_UPGRADED)
        _kill(stage, command, where)

    stage.arrivals.append(arrives)
    at_point(stage, int(number(struck, "nth")), _any, upgraded)


def _component(chance: Chance, runbook: Runbook) -> Values:
    """The component whose steps are called otherwise then; none: the newer version knows the run's steps, and goes on."""
    names = [name for name, component in runbook.components.items() if component.kind in ("postgres", "airflow-deployments", "dns-records")]
    return {"component": chance.choice([*names, ""]), "nth": chance.randrange(3, 40)}


def _slow_journal(stage: Stage, struck: Struck) -> None:
    """Each write takes a while."""
    slow = [number(struck, "each")]

    def takes(point: str) -> None:
        if point == "journal:before" and slow and stage.loop.maybe_current is not None:
            stage.loop.sleep(slow[0])

    def arrives(command: Command) -> None:
        earlier = command.process.at_point

        def reached(point: str) -> None:
            earlier(point)
            takes(point)

        command.process.at_point = reached

    for_a_while(stage, struck, lambda: stage.arrivals.append(arrives), slow.clear)
    for command in stage.commands:
        if command.running:
            arrives(command)


def _monitor_dies(stage: Stage, struck: Struck) -> None:
    """Nobody samples any more."""
    for process in stage.processes:
        if process.machine == MONITOR and process.alive:
            process.kill()
            changed(stage, struck, note=process.name)


def _monitor_again(stage: Stage, _struck: Struck) -> None:
    """Somebody starts it again."""
    if not any(process.machine == MONITOR and process.alive for process in stage.processes):
        stage.desk.watch(stage, stage.process("monitor", machine=MONITOR))


FAULTS = (
    Fault("process-crash-before-write", Group.PROCESS, "the process is killed before a write of its journal",
          partial(_crash, JOURNAL[0].__eq__), values=_nth(30), when=before),
    Fault("process-crash-after-write", Group.PROCESS, "the process is killed as soon as a write of its journal is durable",
          partial(_crash, JOURNAL[1].__eq__), values=_nth(30), when=before),
    Fault("process-crash-before-effect", Group.PROCESS, "the process is killed before it has an effect",
          partial(_crash, lambda point: point.startswith("before ")), values=_nth(16), when=before),
    Fault("process-crash-after-effect", Group.PROCESS, "the process is killed after an effect, before it is journaled",
          partial(_crash, lambda point: point.startswith("after ")), values=_nth(16), when=before),
    Fault("process-crash-any-moment", Group.PROCESS, "the process is killed at some moment, with calls under way",
          _crash_any_moment, values=seconds(0.01, 10.0), when=around),
    Fault("process-kill-during-write", Group.PROCESS, "the process is killed while a write hangs: nothing of it may be there",
          _kill_during_write, values=lambda chance, book: {**_nth(20)(chance, book), **seconds(0.01, 2.0)(chance, book)}, when=before),
    Fault("process-freeze-longer-than-lease", Group.PROCESS, "the process stops for longer than its lease lasts, and goes on",
          _freeze, values=_freeze_values(31.0, 120.0), when=around),
    Fault("process-freeze-shorter-than-lease", Group.PROCESS, "the process stops for a while, its lease lasts",
          _freeze, values=_freeze_values(3.0, 25.0), when=around),
    Fault("process-interrupted-twice", Group.PROCESS, "the process is killed, and so is the one that goes on",
          _interrupted_twice, values=lambda chance, book: {**_nth(50)(chance, book), "again": chance.randrange(1, 20)}, when=before),
    Fault("process-upgraded", Group.PROCESS, "between a crash and the next command dr becomes a newer version, which may have other steps",
          _upgrade, values=_component, when=before, fits=has("postgres", "airflow-deployments", "dns-records")),
    Fault("process-slow-journal", Group.PROCESS, "each write of the journal takes long",
          _slow_journal, stop, when=around,
          values=lambda chance, book: {**seconds(20.0, 200.0)(chance, book), "each": round(chance.uniform(0.05, 1.5), 3)}),
    Fault("process-monitor-dies", Group.PROCESS, "the monitor is killed: nothing is sampled any more",
          _monitor_dies, _monitor_again, when=before),
)  # fmt: skip
"""In the order in which people read them."""
