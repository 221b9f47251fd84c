"""Faults of the state directory: its disk, what is stored on it, and who writes there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dr.model.runbook import Runbook
from dr.providers.sim.process import Chance
from dr.providers.sim.world import Effect
from dr.simulate.faults.base import Fault, Values, after_effects, around, before, for_a_while, holder, number, seconds, stop
from dr.simulate.stage import Stage
from dr.simulate.story import Group, Struck


def _disk(field: str, stage: Stage, struck: Struck) -> None:
    """Nothing can be written, for a while; what is there stays readable."""

    def turn(value: bool) -> None:
        setattr(stage.disk, field, value)
        stage.world.tell(f"the disk is {field if value else 'well again'}")

    for_a_while(stage, struck, lambda: turn(True), lambda: turn(False))


def _disk_in_run(field: str, stage: Stage, struck: Struck) -> None:
    """With the n-th effect of a run."""
    after_effects(stage, int(number(struck, "effects")), lambda _effect: _disk(field, stage, struck))


def _damage(harm: Callable[[Stage, Struck, str], None], stage: Stage, struck: Struck) -> None:
    """The journal of a run is damaged, and stays so until somebody puts it back from a copy, as the refusals say."""

    def strike(effect: Effect) -> None:
        run = stage.disk.runs.get(effect.run_id)
        if run is None or not run.records:
            return

        def back() -> None:
            stage.disk.restore(run.run_id)
            stage.world.tell(f"somebody restores run {run.run_id} from a copy")

        for_a_while(stage, struck, lambda: harm(stage, struck, run.run_id), back)

    after_effects(stage, int(number(struck, "effects")), strike)


def _flip(stage: Stage, struck: Struck, run_id: str) -> None:
    records = stage.disk.runs[run_id].records
    record = records[int(number(struck, "record") * len(records))]
    stage.disk.flip(run_id, record.seq, int(number(struck, "position") * len(record.body)))
    stage.world.tell(f"a bit of record {record.seq} of {run_id} is another one")


def _cut_tail(stage: Stage, struck: Struck, run_id: str) -> None:
    lost = min(int(number(struck, "records")), len(stage.disk.runs[run_id].records))
    stage.disk.cut(run_id, lost)
    stage.world.tell(f"the last {lost} records of {run_id} are lost")


def _two_processes(stage: Stage, struck: Struck) -> None:
    """A process hangs for longer than its lease; somebody goes on elsewhere; then the first one wakes up and writes, too."""

    def strike(_effect: Effect) -> None:
        held = holder(stage)
        command = next((item for item in reversed(stage.commands) if held is not None and item.process is held[0]), None)
        if held is None or command is None:
            return
        held[0].freeze(number(struck, "seconds"))
        stage.world.tell(f"{held[0].name} hangs for {number(struck, 'seconds'):.0f} s")
        act = command.act.model_copy(update={"actor": "stand-in"})
        stage.type(act, machine="elsewhere", run_id=held[1] if act.intent is None else None)

    after_effects(stage, int(number(struck, "effects")), strike)


def _effects(most: int, least: float, longest: float) -> Callable[[Chance, Runbook], Values]:
    return lambda chance, book: {**seconds(least, longest)(chance, book), "effects": chance.randrange(1, most)}


def _flip_values(chance: Chance, runbook: Runbook) -> Values:
    place = {"record": round(chance.random() * 0.999, 4), "position": round(chance.random() * 0.999, 4)}
    return {**_effects(14, 20.0, 600.0)(chance, runbook), **place}


FAULTS = (
    Fault("local-disk-full", Group.LOCAL, "the disk is full until somebody makes room", partial(_disk, "full"), stop,
          seconds(60.0, 900.0), around),
    Fault("local-disk-full-in-mid-run", Group.LOCAL, "the disk is full in the middle of a run, and gets room again",
          partial(_disk_in_run, "full"), stop, _effects(14, 0.05, 60.0), before),
    Fault("local-fsync-error", Group.LOCAL, "what is written does not arrive on the disk (EIO)", partial(_disk_in_run, "broken"), stop,
          _effects(14, 0.05, 120.0), before),
    Fault("local-read-only", Group.LOCAL, "the file system is read only", partial(_disk, "read_only"), stop, seconds(5.0, 400.0), around),
    Fault("local-read-only-in-mid-run", Group.LOCAL, "the file system becomes read only in the middle of a run",
          partial(_disk_in_run, "read_only"), stop, _effects(14, 0.5, 200.0), before),
    Fault("local-bit-flip", Group.LOCAL, "a bit of a record is another one", partial(_damage, _flip), stop, _flip_values, before),
    Fault("local-cut-tail", Group.LOCAL, "the last records of a run are lost", partial(_damage, _cut_tail), stop,
          lambda chance, book: {**_effects(14, 20.0, 600.0)(chance, book), "records": chance.randrange(1, 6)}, before),
    Fault("local-two-processes", Group.LOCAL, "two processes go on with one run: the first one hung, and wakes up", _two_processes,
          values=_effects(12, 31.0, 90.0), when=before),
)  # fmt: skip
"""In the order in which people read them."""
