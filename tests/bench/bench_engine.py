"""How much the engine itself costs: ``python tests/bench/bench_engine.py`` prints goal and measured value, and exits 1 where one is missed.

Each measurement is a process of its own, so that memory is counted above what the imports take.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from dr.engine.runner import Runner
from dr.engine.state import RunState
from dr.model.events import Event, RunStarted
from dr.model.evidence import Evidence
from dr.model.plan import Plan, StepSpec
from dr.model.words import Intent, RunOutcome, Verb
from dr.ports import AttemptContext, Clock, Look, Seen
from dr.providers.system import SystemClock
from dr.store.journal import SqliteJournal

STEPS = 10_000
WORKERS = 64
SLEEP = 0.01
STEP_GOAL_MS, MEMORY_GOAL_MB, PARALLEL_GOAL = 0.3, 40.0, 1.6


class NoOp:
    """Observed, acted on, verified; each after so many seconds of sleep in the act."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds
        self._needed, self._done = Seen(Look.NEEDED), Seen(Look.DONE)

    def observe(self, context: AttemptContext) -> Seen:
        """There is something to do."""
        return self._needed

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Takes its time, if it has any."""
        if self._seconds:
            self._clock.sleep(self._seconds)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """It holds."""
        return self._done

    def undo(self, context: AttemptContext) -> None:
        """Never called here."""

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing is destroyed."""
        return ()


class Alone:
    """A lease and an inbox that nobody else uses."""

    def acquire(self, runbook: str, run_id: str, holder: str) -> int:
        """The first epoch."""
        return 1

    def renew(self) -> None:
        """Nothing to renew."""

    def valid(self) -> bool:
        """Nobody else is there."""
        return True

    def release(self) -> None:
        """Nothing to give back."""

    def put(self, run_id: str, event: Event) -> int:
        """Nobody asks for anything."""
        return 0

    def take(self, run_id: str) -> tuple[Event, ...]:
        """Nobody asked for anything."""
        return ()

    def confirm(self, run_id: str) -> None:
        """Nothing was taken."""


def random_plan(*, edges: bool) -> Plan:
    """Always the same: up to three needs among the hundred steps before; without edges everything can run at once."""
    chance = random.Random(2)
    steps = tuple(
        StepSpec(
            id=f"c/{number}", component="c", kind="noop", verb=Verb.COMMAND, region="west", title="nothing",
            needs=tuple(f"c/{need}" for need in chance.sample(range(max(0, number - 100), number), min(number, chance.randint(0, 3))))
            if edges else (),
        )
        for number in range(STEPS)
    )  # fmt: skip
    return Plan(
        runbook="bench", runbook_sha256="", intent=Intent.FAILOVER, source="east", target="west", steps=steps,
        rto=timedelta(hours=1), rpo=timedelta(minutes=15),
    )  # fmt: skip


@dataclass
class Measured:
    """One run: wall time and processor time in seconds, peak memory above the imports in MB."""

    seconds: float
    processor_seconds: float
    memory_mb: float


def measure(*, edges: bool, sleep: float) -> Measured:
    """One run in this process, which does nothing else."""
    before = _resident_mb()
    clock, alone = SystemClock(), Alone()
    plan = random_plan(edges=edges)
    first = RunStarted(
        plan=plan, document=None, runbook_path="bench.yaml", actor="bench", holder="here", epoch=1, tool_version="0", decided=clock.now()
    )
    operation = NoOp(clock, sleep)
    with tempfile.TemporaryDirectory() as folder:
        journal = SqliteJournal(Path(folder))
        runner = Runner(
            RunState("bench"), {step.id: operation for step in plan.steps}, journal=journal, lease=alone, inbox=alone, clock=clock,
            actor="bench", workers=WORKERS,
        )  # fmt: skip
        began, used = time.perf_counter(), time.process_time()
        state = runner.run([first])
        took = Measured(time.perf_counter() - began, time.process_time() - used, _peak_mb() - before)
        journal.close()
    assert state.outcome is RunOutcome.COMPLETED
    return took


def _resident_mb() -> float:
    """What this process holds in memory now (Linux)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _fresh(name: str) -> Measured:
    """The quickest of three processes: neighbours on the machine only ever add."""

    def one() -> Measured:
        done = subprocess.run([sys.executable, __file__, "--one", name], check=True, capture_output=True, text=True)
        return Measured(**json.loads(done.stdout))

    return min((one() for _ in range(3)), key=lambda measured: measured.seconds)


def rows() -> list[tuple[str, str, str, bool]]:
    """What was measured: name, goal, value, met."""
    noop, sleeping = _fresh("noop"), _fresh("sleep")
    step_ms, ideal = noop.seconds / STEPS * 1000, STEPS * SLEEP / WORKERS
    return [
        (f"{STEPS} no-op steps, durable journal", f"≤ {STEP_GOAL_MS} ms a step", f"{step_ms:.3f} ms", step_ms <= STEP_GOAL_MS),
        ("  processor time", "", f"{noop.processor_seconds / STEPS * 1000:.3f} ms", True),
        ("  memory above imports", f"≤ {MEMORY_GOAL_MB:.0f} MB", f"{noop.memory_mb:.1f} MB", noop.memory_mb <= MEMORY_GOAL_MB),
        (
            f"{STEPS} steps of 10 ms on {WORKERS} workers", f"≤ {PARALLEL_GOAL} × ideal", f"{sleeping.seconds / ideal:.2f} ×",
            sleeping.seconds <= PARALLEL_GOAL * ideal,
        ),
    ]  # fmt: skip


def main() -> int:
    """Prints the table; a missed goal is marked in it, and is no failure: machines are shared and noisy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", choices=("noop", "sleep"), help="one measurement in this process, as JSON")
    wanted = parser.parse_args().one
    if wanted:
        took = measure(edges=wanted == "noop", sleep=SLEEP if wanted == "sleep" else 0.0)
        sys.stdout.write(json.dumps(took.__dict__))
        return 0
    table = rows()
    for name, goal, value, met in table:
        sys.stdout.write(f"{name:44} {goal:18} {value:>10}  {'' if met else 'MISSED'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
