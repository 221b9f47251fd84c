"""A world, an operator and a clock for the drill's own loop: everything happens at once, and says what was asked of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import ClassVar

from dr.drill.run import Drill
from dr.engine.threads import OsThreads
from dr.errors import LabError
from dr.model.events import Record
from dr.model.report import RunReport
from dr.model.scenario import Fault, Scenario, Workload
from dr.model.truth import CleanUp, Truth
from dr.report.assess import run_report
from tests.report.build import ZERO, Story

TRUTH = Truth(
    outage=timedelta(seconds=2.6), acknowledged_writes=1000, lost_writes=0, loss_window=timedelta(0), hostnames=(), agent_polls_after=7,
    served_by={"a.ui.dr.test": "west"}, ledger_path="ledger.jsonl", ledger_sha256="ab" * 32,
)  # fmt: skip


class FakeClock:
    """Virtual time: a sleep is over at once."""

    def __init__(self) -> None:
        self.second = 0.0

    def now(self) -> datetime:
        return ZERO + timedelta(seconds=self.second)

    def monotonic(self) -> float:
        return self.second

    def sleep(self, seconds: float) -> None:
        self.second += seconds
        os.sched_yield()  # lets the threads that wait for an operator have their turn

    def uniform(self, low: float, high: float) -> float:
        return low


class FakeJournal:
    """Runs as stories, in the order in which they began."""

    def __init__(self) -> None:
        self.stories: dict[str, Story] = {}

    def runs(self, runbook: str | None = None) -> Sequence[str]:
        return list(self.stories)

    def records(self, run_id: str, after: int = 0) -> Sequence[Record]:
        return self.stories[run_id].records()[after:]

    def append(self, run_id: str, events: object) -> Sequence[Record]:
        raise AssertionError("a drill only reads")

    def head(self, run_id: str) -> str:
        return self.stories[run_id].records()[-1].hash


class FakeWorld:
    """Notes what is asked of it."""

    name: ClassVar[str] = "lab"

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.log: list[str] = []
        self.leftovers: tuple[str, ...] = ()
        self.fails: dict[str, BaseException] = {}

    def _did(self, what: str) -> None:
        self.log.append(what)
        if what in self.fails:
            raise self.fails[what]

    def up(self, workload: Workload) -> None:
        self._did("up")

    def inject(self, fault: Fault) -> datetime:
        self._did(f"inject {fault.kind} at {self.clock.second:.1f}")
        return self.clock.now()

    def settle(self, timeout: timedelta) -> None:
        self._did("settle")

    def truth(self) -> Truth:
        self._did("truth")
        return TRUTH

    def down(self) -> CleanUp:
        self._did("down")
        return CleanUp(leftovers=self.leftovers)


Answer = Callable[["FakeOperator"], tuple[int, str]]


class FakeOperator:
    """Answers by the script; a script may block until the operator is killed."""

    def __init__(self, script: dict[str, Answer], typed: list[list[str]]) -> None:
        self.script, self.typed = script, typed
        self.killed = threading.Event()
        self.argv: Sequence[str] = ()

    def type(self, argv: Sequence[str]) -> None:
        self.argv = argv
        self.typed.append(list(argv))

    def kill(self) -> None:
        self.killed.set()

    def wait(self, timeout: timedelta) -> tuple[int, str]:
        answer = self.script.get(self.argv[0])
        if answer is None:
            raise LabError(f"nobody expected dr {self.argv[0]}")
        return answer(self)


class Stage:
    """A drill with fakes, ready to run."""

    def __init__(self, scenario: dict[str, object]) -> None:
        self.clock = FakeClock()
        self.world = FakeWorld(self.clock)
        self.journal = FakeJournal()
        self.script: dict[str, Answer] = {}
        self.typed: list[list[str]] = []
        self.operators: list[FakeOperator] = []
        self.said: list[str] = []
        self.monitor: AbstractContextManager[object] = nullcontext()
        base: dict[str, object] = {"name": "fake", "runbook": "../runbooks/lab.yaml", "world": "lab", "expect": {}}
        self.scenario = Scenario.model_validate(base | scenario)

    def _operator(self) -> FakeOperator:
        self.operators.append(FakeOperator(self.script, self.typed))
        return self.operators[-1]

    def _assess(self, run_id: str) -> RunReport:
        return run_report(self.journal.records(run_id), "journal.db")

    def drill(self) -> Drill:
        """What ``run_drill`` takes."""
        return Drill(
            scenario=self.scenario, runbook="runbooks/lab.yaml", world=self.world, operators=self._operator, journal=self.journal,
            assess=self._assess, clock=self.clock, monitor=self.monitor, threads=OsThreads(), say=self.said.append,
        )  # fmt: skip
