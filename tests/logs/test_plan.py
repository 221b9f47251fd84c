"""Where the steps of task logs stand in the plan of the whole platform: what counts objects delays nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dr.app.platform import Platform, build
from dr.app.state import State
from dr.config.runbook import load_runbook
from dr.engine import graph
from dr.engine.planner import make_plan
from dr.model.plan import Plan
from dr.model.words import Intent, Verb

ROOT = Path(__file__).parents[2]
LOGS = "task-logs"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """The lab's whole platform; nothing is connected."""
    made = build(load_runbook(ROOT / "runbooks" / "platform.yaml"), State(tmp_path, world="lab"))
    yield made
    made.close()


def planned(platform: Platform, intent: Intent, source: str = "east", target: str = "west") -> Plan:
    return make_plan(platform.runbook, platform.chains(intent, source, target), intent, source, target).plan


def before(plan: Plan, step_id: str) -> frozenset[str]:
    """Everything that a step waits for."""
    return graph.needed_by(graph.build({spec.id: spec.needs for spec in plan.steps}), step_id)


def test_a_failover_counts_objects_after_service_is_back(platform: Platform) -> None:
    """Neither the promotion of the database, nor the names, nor the proof from outside waits for a comparison."""
    plan = planned(platform, Intent.FAILOVER)
    for spec in plan.steps:
        if spec.verb in (Verb.PROMOTE, Verb.REDIRECT, Verb.VERIFY_OUTSIDE, Verb.START):
            assert f"{LOGS}/fingerprint" not in before(plan, spec.id), spec.id
    assert "deployments/verify-outside" in before(plan, f"{LOGS}/fingerprint")
    assert plan.schedule[f"{LOGS}/fingerprint"].slack is None, "after service is back"


def test_the_database_does_not_wait_for_logs(platform: Platform) -> None:
    """Nothing of the log store stands before the database's fence or promotion in a failover; Deployments wait until it takes a write."""
    plan = planned(platform, Intent.FAILOVER)
    for name in ("metadata-db/fence", "metadata-db/promote"):
        assert not [other for other in before(plan, name) if other.startswith(LOGS)], name
    for name in ("deployments/start", "deployments/verify-inside"):
        assert {f"{LOGS}/prepare", f"{LOGS}/promote"} <= before(plan, name)


def test_a_failover_touches_nothing_of_the_lost_region(platform: Platform) -> None:
    """I11: no step of the log store calls the source."""
    plan = planned(platform, Intent.FAILOVER)
    assert {touch.region for spec in plan.steps if spec.component == LOGS for touch in spec.touches} == {"west"}


def test_a_planned_move_drains_after_the_freeze_and_before_the_promotion(platform: Platform) -> None:
    """Nothing is lost: writers are frozen, everything is in the target, then the target leads."""
    plan = planned(platform, Intent.SWITCHOVER)
    assert {"deployments/freeze", "deployments/drain"} <= before(plan, f"{LOGS}/drain")
    assert f"{LOGS}/drain" in before(plan, f"{LOGS}/promote")
    assert "deployments/verify-outside" in before(plan, f"{LOGS}/follow")


def test_re_protect_keeps_before_it_repairs(platform: Platform) -> None:
    """I17: nobody writes to the old side, what only it has is kept, then both are made equal."""
    plan = planned(platform, Intent.REPROTECT)
    assert "deployments/quiesce" in before(plan, f"{LOGS}/preserve")
    assert f"{LOGS}/preserve" in before(plan, f"{LOGS}/follow")
    assert f"{LOGS}/follow" in before(plan, "deployments/stand-by")
