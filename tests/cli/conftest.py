"""Models as the application hands them over, and an application that does nothing but remember."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from dr.app.conduct import Hooks
from dr.engine.state import RunState
from dr.errors import DrError
from dr.model.events import Event, Record, RunStarted
from dr.model.plan import Acceptance, GuardResult, Plan, Slack, StepSpec
from dr.model.report import (
    CriticalPath,
    Debt,
    DeploymentReport,
    DivergenceReport,
    FenceReport,
    IdentityReport,
    ObjectiveReport,
    RtaBreakdown,
    RunReport,
    Stamps,
    TaskReport,
)  # fmt: skip
from dr.model.words import DebtKind, FenceState, Guard, Intent, Known, RunOutcome, Verb, Verdict

T0 = datetime(2026, 3, 1, 2, 40, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def spec(step_id: str, verb: Verb, *needs: str, **fields: object) -> StepSpec:
    component = step_id.partition("/")[0]
    return StepSpec.model_validate(
        {"id": step_id, "component": component, "kind": "store", "verb": verb, "region": "west", "title": f"{verb} it", "needs": needs}
        | fields
    )


def a_plan(**fields: object) -> Plan:
    steps = (
        spec("db/fence", Verb.FENCE),
        spec("db/promote", Verb.PROMOTE, "db/fence", irreversible=True, estimate=2 * SECOND),
        spec("db/verify", Verb.VERIFY_INSIDE, "db/promote"),
        spec("app/approve", Verb.APPROVAL, approval=True),
        spec("app/start", Verb.START, "db/promote", "app/approve"),
        spec("dns/redirect", Verb.REDIRECT, "db/verify"),
    )
    slack = Slack(earliest_start=0 * SECOND, earliest_finish=SECOND, latest_finish=SECOND, slack=0 * SECOND, critical=True)
    return Plan.model_validate(
        {
            "runbook": "small", "runbook_sha256": "0" * 64, "intent": Intent.FAILOVER, "source": "east", "target": "west", "steps": steps,
            "critical_path": ("db/fence", "db/promote", "db/verify", "dns/redirect"), "schedule": {"db/fence": slack},
            "predicted_rta": 5 * SECOND, "rto": timedelta(hours=1), "rpo": timedelta(minutes=15),
            "guards": (GuardResult(name=Guard.EXPOSURE, verdict=Verdict.OVERRIDDEN, reason="unknown", overridden_by="ann"),),
        } | fields
    )  # fmt: skip


def started(plan: Plan | None = None) -> RunStarted:
    return RunStarted(
        plan=plan or a_plan(), document={}, runbook_path="small.yaml", actor="ann", holder="here", epoch=1, tool_version="0", decided=T0
    )  # fmt: skip


def a_report(outcome: RunOutcome = RunOutcome.COMPLETED, exit_code: int = 0, **fields: object) -> RunReport:
    goal = ObjectiveReport(
        rto_seconds=3600, rta_seconds=1.83, rta_state=Known.KNOWN, rto_met=True, rpo_seconds=900, rpa_seconds=0.4, rpa_state=Known.BOUND,
        rpo_met=True,
    )  # fmt: skip
    debt = Debt(kind=DebtKind.REPROTECT, component="db", text="nothing follows west", command="dr reprotect small.yaml")
    return RunReport.model_validate(
        {
            "run_id": "r-1", "runbook": "small", "intent": Intent.FAILOVER, "from_region": "east", "to_region": "west", "epoch": 1,
            "actors": ("ann",), "approvals": (), "acceptances": (), "tool_version": "0", "outcome": outcome, "exit_code": exit_code,
            "reason": "", "hint": "dr reprotect small.yaml", "plan_hash": "0", "journal_path": "j", "journal_head": "0", "objectives": goal,
            "stamps": Stamps(), "rta_breakdown_seconds": RtaBreakdown(detect=0.3, decide=0.1, execute=0.5, propagate=0.9, verify=0.03),
            "steps": (), "critical_path": CriticalPath(steps=(), seconds=0), "overhead_seconds": None, "point_of_no_return_at": None,
            "guards": (), "deviations": (), "debt": (debt,), "components": (),
            "fence": FenceReport(state=FenceState.FENCED, evidence="gone"), "divergence": DivergenceReport(state="none"),
            "identities": IdentityReport(), "deployments": DeploymentReport(), "tasks": TaskReport(),
        } | fields
    )  # fmt: skip


class FakeApp:
    """Remembers what it was asked; answers what a test put into the class."""

    asked: ClassVar[list[tuple[str, object]]] = []
    answer: ClassVar[RunReport | DrError | None] = None
    plan_made: ClassVar[Plan] = a_plan()
    troubles: ClassVar[Sequence[str]] = ()

    def __init__(self, directory: Path, world: str = "live", shared: str | None = None) -> None:
        self.state = SimpleNamespace(clock=SimpleNamespace(now=lambda: T0), directory=directory)

    def load(self, path: Path) -> object:
        regions = {"east": None, "west": None}
        site = SimpleNamespace(samples=SimpleNamespace(troubles=lambda: self.troubles))
        return SimpleNamespace(runbook=SimpleNamespace(regions=regions, name="small"), site=site, close=lambda: None)

    def plan(self, platform: object, intent: Intent, to: str | None, *, only: Sequence[str] = ()) -> Plan:
        self.asked.append(("plan", (intent, to, tuple(only))))
        return self.plan_made

    def start(self, platform: object, intent: Intent, to: str | None, *, hooks: Hooks, **asked: object) -> RunReport:
        if not hooks.confirm(self.plan_made, None):
            self.asked.append(("not confirmed", None))
            return a_report(RunOutcome.REFUSED, 3)
        self.asked.append(("start", {"intent": intent, "to": to, **asked}))
        hooks.on_start("r-1")
        return self._answer()

    def resume(self, run_id: str, *, actor: str, acceptances: Sequence[Acceptance], hooks: Hooks) -> RunReport:
        self.asked.append(("resume", (run_id, actor, tuple(acceptances))))
        return self._answer()

    def request(self, run_id: str, event: Event, *, actor: str, hooks: Hooks) -> RunReport | None:
        self.asked.append(("request", event))
        return None if self.answer is None else self._answer()

    def follow(self, run_id: str, stop: threading.Event) -> Iterator[Sequence[Record]]:
        yield ()

    def close(self) -> None:
        """Nothing is open."""

    def _answer(self) -> RunReport:
        if isinstance(self.answer, DrError):
            raise self.answer
        return self.answer or a_report()


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test looks into the state of the person who runs it."""
    monkeypatch.setenv("DR_STATE", str(tmp_path / "state"))


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> type[FakeApp]:
    """Stands in for ``dr.app.App``."""
    monkeypatch.setattr("dr.app.App", FakeApp)
    monkeypatch.setattr(FakeApp, "asked", [])
    monkeypatch.setattr(FakeApp, "answer", None)
    monkeypatch.setenv("DR_ACTOR", "ann")
    return FakeApp


@pytest.fixture
def state() -> RunState:
    """A run that has just started."""
    from dr.engine.machine import apply

    return apply(RunState("r-1"), started(), T0)[0]
