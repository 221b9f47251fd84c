"""What the commands call. One instance per process; opens nothing until a method needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dr.app import outlook
from dr.app.platform import Platform, build
from dr.app.runs import Request, Runs
from dr.app.state import State
from dr.model.events import Event, Record
from dr.model.lag import ComponentView
from dr.model.plan import Acceptance, Plan
from dr.model.report import DrillReport, RunReport
from dr.model.words import Intent
from dr.ports import Operator, World

if TYPE_CHECKING:
    from dr.app.answers import Answers
    from dr.app.conduct import Conductor, Hooks
    from dr.model.period import PeriodReport
    from dr.model.status import CheckReport, LagReport, RunSummary, StatusReport


class App:
    """``dr`` on this machine.

    Args:
        directory: the state directory; created by the first command that writes.
        world: where this process acts: ``live``, or the world of a drill.
        shared: see ``State``.
    """

    def __init__(self, directory: Path, world: str = "live", shared: str | None = None) -> None:
        self.state = State(directory, world=world, shared=shared)
        self.runs = Runs(self.state)

    @cached_property
    def conductor(self) -> Conductor:
        """Begins runs and goes on with them; loads the runner when first used."""
        from dr.app.conduct import Conductor
        from dr.model.events import get_ready

        get_ready()
        return Conductor(self.state, self.runs)

    @cached_property
    def answers(self) -> Answers:
        """Requests to runs."""
        from dr.app.answers import Answers

        return Answers(self.state, self.runs, self.conductor)

    def load(self, path: Path) -> Platform:
        """A runbook and its kinds. Raises FileError, UsageError."""
        from dr.config.runbook import load_runbook

        return build(load_runbook(path), self.state)

    def views(self, platform: Platform) -> tuple[ComponentView, ...]:
        """All components as observed now."""
        return platform.views()

    def plan(self, platform: Platform, intent: Intent, to: str | None, *, only: Sequence[str] = ()) -> Plan:
        """What would be done; touches nothing. Without steps where the target is primary already. Raises UsageError, Refused."""
        seen = outlook.look(platform)
        request = self.runs.the_rest(platform, Request(intent, to, actor="", only=tuple(only)), seen)
        plan = self.runs.plan(platform, request, seen).plan
        if not self.runs.already(platform, request, seen, plan):
            return plan
        return plan.model_copy(update={"steps": (), "schedule": {}, "critical_path": (), "guards": (), "predicted_rta": timedelta(0)})

    def start(
        self,
        platform: Platform,
        intent: Intent,
        to: str | None,
        *,
        actor: str,
        reason: str = "",
        acceptances: Sequence[Acceptance] = (),
        outage_began: datetime | None = None,
        only: Sequence[str] = (),
        hooks: Hooks | None = None,
    ) -> RunReport:
        """Starts a run and blocks until it has ended or is paused. Raises UsageError, Refused, RunInFlight, StateLost, LeaseLost."""
        self.state.lay_out()
        request = Request(intent, to, actor, reason, tuple(acceptances), outage_began, tuple(only))
        return self.conductor.start(platform, request, hooks)

    def resume(self, run_id: str, *, actor: str, acceptances: Sequence[Acceptance] = (), hooks: Hooks | None = None) -> RunReport:
        """Goes on with a paused or abandoned run. Raises NotThere, Refused, RunInFlight."""
        return self.conductor.resume(run_id, actor=actor, acceptances=acceptances, hooks=hooks)

    def request(self, run_id: str, event: Event, *, actor: str, hooks: Hooks | None = None) -> RunReport | None:
        """Pause, cancel, approve or skip. None: a live process takes it up. Raises NotThere, Refused."""
        return self.answers.request(run_id, event, actor=actor, hooks=hooks)

    def status(self, platform: Platform | None) -> StatusReport:
        """``dr.status/1``."""
        from dr.app.status import status  # 15 ms, its models compiled: a run does without

        return status(self.runs, platform)

    def check(self, platform: Platform, *, offline: bool, lost: str | None = None) -> CheckReport:
        """``dr.check/1``: the readiness report; ``offline``: of the file alone. Raises UsageError: no region ``lost``."""
        from dr.app.readiness import check

        return check(self.runs, platform, offline=offline, lost=lost)

    def lag(self, platform: Platform) -> LagReport:
        """``dr.lag/1``: one sample of each component that replicates, taken now."""
        from dr.app.status import lag

        return lag(platform)

    def list_runs(self) -> tuple[RunSummary, ...]:
        """All runs of this state directory, newest first."""
        from dr.app.status import summaries

        return summaries(self.runs)

    def run_report(self, run_id: str) -> RunReport:
        """``dr.run/1`` of a run. Raises NotThere."""
        return self.runs.report(run_id)

    def report(self, begin: datetime, end: datetime, runbook: Path | None = None) -> PeriodReport:
        """``dr.report/1``: every run and drill of a period; of one runbook where named. Raises FileError, StateUnreadable."""
        from dr.app.period import period
        from dr.config.runbook import load_runbook

        return period(self.runs, begin, end, None if runbook is None else load_runbook(runbook))

    def follow(self, run_id: str, stop: threading.Event, every: timedelta = timedelta(milliseconds=50)) -> Iterator[Sequence[Record]]:
        """New records of a run as they are written, by whichever process; ends with ``stop``, or when the caller has seen enough."""
        after = 0
        while True:
            last = stop.is_set()
            records = self.state.journal.records(run_id, after)
            if records:
                after = records[-1].seq
                yield records
            if last:
                return
            stop.wait(every.total_seconds())

    def monitor(
        self, platform: Platform, *, interval: timedelta, port: int | None, stop: threading.Event, fence: bool = True,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:  # fmt: skip
        """Beats, samples and exports until ``stop``; ``fence``: retries the fences that are owed, and says so. Raises StateLost."""
        from dr.app.fencing import FenceRetry
        from dr.app.watch import watch

        self.state.make()
        retry = FenceRetry(self.conductor, platform, say) if fence else None
        try:
            watch(self.runs, platform, interval=interval, port=port, stop=stop, fence=retry)
        finally:
            if retry is not None:
                retry.close()

    def drill(
        self,
        path: Path,
        *,
        world: World,
        operators: Callable[[], Operator],
        monitor: Callable[[Path], AbstractContextManager[object]],
        say: Callable[[str], None],
        seed: int | None = None,
        runbook: Path | None = None,
    ) -> DrillReport:
        """Plays a scenario in a world that is ended always.

        Args:
            monitor: watches a runbook while it is open.
            seed: of a simulated world.
            runbook: with the names of this world; None: the one that the scenario names.

        Raises:
            FileError: the scenario is wrong.
        """
        from dr.config.scenario import load_scenario, runbook_path
        from dr.drill.run import Drill, run_drill

        self.state.make()
        scenario = load_scenario(path, world=world.name)
        runbook = runbook or runbook_path(path, scenario)
        return run_drill(
            Drill(
                scenario=scenario, runbook=str(runbook), world=world, operators=operators, journal=self.state.journal,
                assess=self.runs.report, clock=self.state.clock, monitor=monitor(runbook),
                threads=self.state.threads, say=say, seed=seed,
            )
        )  # fmt: skip

    def close(self) -> None:
        """Closes journal and samples."""
        self.state.close()
