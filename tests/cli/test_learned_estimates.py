"""Estimates are declared, then learned from earlier runs in the journal: the median, once there are three."""

from __future__ import annotations

from pathlib import Path

import pytest

from dr.cli.main import run
from dr.model.report import RunReport
from dr.model.status import PlanReport
from dr.model.words import Role
from tests.cli import toy
from tests.cli.test_whole_commands import answered

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    from dr.providers import registry

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()


def test_the_third_run_teaches_the_fourth_plan(tmp_path: Path, capsys: Output) -> None:
    """The plan's hash stays: what was learned changes no step. Another intent learns nothing of it, refusals teach nothing."""
    runbook, took = str(toy.make(tmp_path)), []

    def planned(intent: str = "failover") -> PlanReport:
        (tmp_path / "db/east").write_text(Role.PRIMARY)
        (tmp_path / "db/west").write_text(Role.SECONDARY)
        return PlanReport.model_validate(answered(capsys, "plan", runbook, "--to", "west", "--intent", intent)[1])

    declared = planned()
    for _ in range(3):
        assert {step.estimate_seconds for step in planned().steps} == {0.02}
        assert run(["failover", runbook, "--to", "west", "--yes"]) == 3
        report = RunReport.model_validate(answered(capsys, "failover", runbook, "--to", "west", "--yes", "--reason", "x")[1])
        took.append({step.id: step.duration_seconds or 0.0 for step in report.steps})
    learned = planned()
    for step in learned.steps:
        if step.id == "db/look":
            assert step.estimate_seconds == 0.02, "found done already: nothing was measured"
        else:
            assert step.estimate_seconds == pytest.approx(sorted(run[step.id] for run in took)[1], abs=1e-6)
    assert learned.plan_hash == declared.plan_hash
    assert learned.predicted_rta_seconds != declared.predicted_rta_seconds
    assert {step.estimate_seconds for step in planned("switchover").steps} == {0.02}
