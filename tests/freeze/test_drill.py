"""Whole moves in the lab with everything around the freeze: alerts silenced, a TTL of seconds waited out, deploys locked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dr.model.report import DrillReport, RunReport
from dr.model.words import DebtKind, StepState, Verb

ROOT = Path(__file__).parents[2]
TTL = "15s"  # a new process of dr has to start within it, which takes seconds on a busy machine
pytestmark = [pytest.mark.scenario, pytest.mark.usefixtures("no_lab")]
ALERTS = """
  alerts:
    kind: alert-silence
    matchers: ['platform="airflow-platform"']
    regions:
      east: {url: "http://127.0.10.1:18650"}
      west: {url: "http://127.0.20.1:18650"}
"""
KILLED = """
  - {at: 2s, intent: switchover, to: west, reason: maintenance, actor: on-call}
  - {on: orchestrator.killed, after: 500ms, command: resume, actor: on-call}
timeline:
  - {on: dns/wait-ttl.started, after: 500ms, kill: {process: orchestrator}}
expect: {outcome: completed, lost_writes: 0, identities: preserved, primary: west}
"""
CANCELLED = """
  - {at: 2s, intent: switchover, to: west, reason: maintenance, actor: on-call}
  - {on: dns/wait-ttl.started, after: 500ms, command: cancel, reason: not today, actor: on-call}
expect: {outcome: rolled_back, lost_writes: 0, primary: east}
"""
OUTAGE = """
  - {at: 2s, intent: failover, to: west, accept_data_loss: 15m, accept_split: true, reason: east is lost, actor: on-call}
timeline:
  - {at: 2s, kill: {region: east}}
expect: {outcome: completed, identities: preserved, primary: west}
"""


def drilled(tmp_path: Path, story: str, ttl: str) -> RunReport:
    """The last run of a drill on the lab's runbook with alerts."""
    lab = (ROOT / "runbooks" / "lab.yaml").read_text().replace("../lab-state", str(ROOT / "lab-state"))
    (tmp_path / "runbook.yaml").write_text(lab + ALERTS)
    workload = f"{{deployments: 2, running_tasks: 10, ttl: {ttl}, parts: [alerts]}}"
    head = f"name: around\nrunbook: {tmp_path / 'runbook.yaml'}\nworld: lab\nworkload: {workload}\nacts:"
    (tmp_path / "scenario.yaml").write_text(head + story)
    argv = [str(Path(sys.executable).with_name("dr")), "drill", str(tmp_path / "scenario.yaml"), "--json"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return DrillReport.model_validate_json(done.stdout).runs[-1]


def first_and_last(run: RunReport) -> None:
    """Nothing but warm-up begins before the lock holds; nothing ends after the unlock has begun; nothing temporary is left."""
    steps = {step.id: step for step in run.steps}
    lock, unlock = steps["deployments/lock"], steps["deployments/unlock"]
    assert lock.finished_at is not None and unlock.started_at is not None
    for step in run.steps:
        assert step.started_at is not None and step.finished_at is not None, step.id
        if step not in (lock, unlock):
            assert step.finished_at <= unlock.started_at, step.id
            assert not run.intent.planned or step.verb is Verb.PREPARE or step.started_at >= lock.finished_at, step.id
    assert not [item for item in run.debt if item.kind is DebtKind.CLEAN_UP]
    assert not [step.id for step in run.steps if step.state not in (StepState.DONE, StepState.ALREADY)]


def test_a_run_killed_while_it_waits_for_the_old_ttl_goes_on(tmp_path: Path) -> None:
    """Resumed, it waits out what is left, freezes after it, silences once and puts everything back."""
    run = drilled(tmp_path, KILLED, TTL)
    steps = {step.id: step for step in run.steps}
    first_and_last(run)
    waited, freeze = steps["dns/wait-ttl"], steps["deployments/freeze"]
    assert waited.finished_at is not None and freeze.started_at is not None
    assert waited.finished_at <= freeze.started_at
    assert waited.attempts == 2, "it was killed in the middle of it"
    assert steps["alerts/silence"].attempts == 1


def test_a_move_that_is_cancelled_before_its_freeze_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """Lock and TTL are taken back; nothing was frozen, and nothing is owed."""
    run = drilled(tmp_path, CANCELLED, TTL)
    states = {step.id: step.state for step in run.steps}
    assert states["deployments/lock"] == states["dns/lower-ttl"] == StepState.UNDONE
    assert states["deployments/freeze"] == StepState.CANCELLED
    assert run.debt == ()


def test_a_failover_is_locked_and_silent_beside_everything_else(tmp_path: Path) -> None:
    """East is dead with its Alertmanager: west's is silenced, its runtime locks deploys, and neither is before the promotion."""
    run = drilled(tmp_path, OUTAGE, "1s")
    steps = {step.id: step for step in run.steps}
    first_and_last(run)
    assert steps["alerts/silence"].started_at == steps["metadata-db/fence"].started_at == steps["deployments/lock"].started_at
    assert {"alerts/silence", "deployments/lock"}.isdisjoint(run.critical_path.steps)
