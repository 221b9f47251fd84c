"""The documented shapes of what commands print (design, section 5): a key that is promised is there."""

from __future__ import annotations

import json

import pytest

from dr.model.report import DrillReport
from dr.model.truth import CleanUp
from tests.drill.test_record import REPORT

RUN = """
schema run_id runbook intent from_region to_region epoch actors approvals acceptances tool_version outcome exit_code plan_hash journal_path
journal_head objectives stamps rta_breakdown_seconds steps critical_path overhead_seconds point_of_no_return_at guards deviations debt
components fence divergence identities deployments tasks
"""
PARTS = {
    "ObjectiveReport": "rto_seconds rta_seconds rta_state rto_met rpo_seconds rpa_seconds rpa_state rpo_met",
    "Stamps": "outage_began detected decided first_effect promoted redirected propagated verified",
    "RtaBreakdown": "detect decide execute propagate verify",
    "StepReport": "id component kind verb needs state outcome attempts started_at finished_at duration_seconds clock estimate_seconds"
    " budget_seconds latest_finish_seconds slack_seconds over_budget irreversible reason",
    "CriticalPath": "steps seconds",
    "GuardReport": "name verdict reason overridden_by",
    "ComponentReport": "id kind rpa_seconds rpa_state recovery_point lag_seconds lag_age_seconds",
    "FenceReport": "state evidence",
    "DivergenceReport": "state items preserved_at",
    "IdentityReport": "checked changed missing before_taken_at before_sha256 after_sha256",
    "DeploymentReport": "total healthy",
    "TaskReport": "in_flight requeued failed lost duplicated items_path",
    "RunReport": RUN,
    "ExpectationReport": "name expected actual met",
    "FaultReport": "kind target at observed_at",
    "HostnameReport": "last_ok first_fail first_ok_after",
    "TruthReport": "outage_seconds acknowledged_writes lost_writes loss_window_seconds ledger_path ledger_sha256",
    "CleanUp": "ok leftovers",
}
DRILL = "schema scenario world seed verdict expectations runs faults cleanup truth"


@pytest.mark.parametrize("part", PARTS)
def test_every_promised_key_is_in_the_published_schema(part: str) -> None:
    """Renaming or dropping one needs another version of the schema."""
    published = DrillReport.model_json_schema(mode="serialization")
    assert set(PARTS[part].split()) <= set(published["$defs"][part]["properties"])


def test_every_promised_key_of_a_drill_is_printed() -> None:
    """Not only declared: written, and read back equal."""
    text = REPORT.model_copy(update={"cleanup": CleanUp(leftovers=("pid 7",))}).model_dump_json(by_alias=True)
    body = json.loads(text)
    assert set(DRILL.split()) <= set(body)
    assert body["cleanup"] == {"leftovers": ["pid 7"], "ok": False}
    assert DrillReport.model_validate_json(text).cleanup == CleanUp(leftovers=("pid 7",))
