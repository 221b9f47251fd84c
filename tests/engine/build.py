"""Small plans and events for the tests of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dr.model.events import RunStarted, StepEnded
from dr.model.evidence import Evidence
from dr.model.plan import Acceptance, Backoff, Plan, StepSpec
from dr.model.words import Intent, Outcome, Verb

START = datetime(2026, 3, 1, 2, 40, tzinfo=UTC)
RUN = "run-1"


def spec(step_id: str, needs: str = "", **more: Any) -> StepSpec:
    """A step; ``needs`` is a list of ids in one string. Ids without a component belong to ``db``."""
    component = step_id.partition("/")[0] if "/" in step_id else "db"
    values = {"component": component, "kind": "fake", "verb": Verb.COMMAND, "region": "west", "title": step_id, "max_attempts": 3}
    return StepSpec(id=step_id, needs=tuple(needs.split()), **{**values, "backoff": Backoff(), **more})


def plan(*steps: StepSpec, intent: Intent = Intent.FAILOVER, **more: Any) -> Plan:
    """A plan of these steps; planned intents roll back on failure."""
    values = {"rto": timedelta(hours=1), "rpo": timedelta(minutes=15), "rollback_on_failure": intent.planned}
    return Plan(runbook="lab", runbook_sha256="", intent=intent, source="east", target="west", steps=steps, **{**values, **more})


def started(of: Plan, *, actor: str = "on-call", acceptances: Sequence[Acceptance] = ()) -> RunStarted:
    """The first event of a run of that plan."""
    return RunStarted(
        plan=of, document=None, runbook_path="runbooks/lab.yaml", actor=actor, holder="here", epoch=1, tool_version="0",
        acceptances=tuple(acceptances), decided=START,
    )  # fmt: skip


def ended(
    step: str, outcome: Outcome = Outcome.DONE, *, acted: bool | None = None, reason: str = "", evidence: Sequence[Evidence] = ()
) -> StepEnded:
    """The end of an attempt; it acted where its outcome says so, unless told otherwise."""
    did = outcome in (Outcome.DONE, Outcome.UNKNOWN) if acted is None else acted
    return StepEnded(
        step=step, attempt=1, outcome=outcome, acted=did, reason=reason, evidence=tuple(evidence), duration=timedelta(seconds=1)
    )
