"""What looking prints: ``dr.status/1``, ``dr.lag/1``, ``dr.runs/1``, ``dr.check/1``, ``dr.plan/1``. Unknown is ``null`` plus a state."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dr.model.base import Frozen, Moment, seconds
from dr.model.lag import Finding, RegionView
from dr.model.plan import Plan, Touch
from dr.model.report import Debt, GuardReport
from dr.model.words import Intent, Known, RunOutcome, RunStatus, Verb


class RunSummary(Frozen):
    """One run in one line.

    holder_alive: the process that holds the run still renews its lease; None where that cannot be known from here.
    commands: what can be typed about it now.
    """

    run_id: str
    runbook: str
    intent: Intent
    from_region: str
    to_region: str
    status: RunStatus
    outcome: RunOutcome | None
    reason: str
    started_at: Moment
    ended_at: Moment | None
    actors: tuple[str, ...]
    holder: str
    holder_alive: bool | None
    commands: tuple[str, ...] = ()


class ComponentStatus(Frozen):
    """One component now: who is primary, how far behind the secondary is, what would be lost.

    lag_age_seconds: how old the newest sample is. rpo_met: null where the exposure is unknown (which is not met).
    behind_items: objects on their way to the secondary. failed_items: those that will not arrive by themselves. Null: unknown or none such.
    readiness: whether this component could be moved to the other side now: not-ready where it does not answer there or a finding is an
        error, warnings where there are some; null where it is not clear which side that is.
    """

    id: str
    kind: str
    primary: str | None
    regions: dict[str, RegionView]
    rpo_seconds: float
    lag_seconds: float | None
    lag_state: Known
    lag_age_seconds: float | None
    recovery_point: Moment | None
    exposure_seconds: float | None
    exposure_state: Known
    exposure_reason: str = ""
    rpo_met: bool | None
    behind_items: int | None = None
    failed_items: int | None = None
    findings: tuple[Finding, ...] = ()
    readiness: Literal["ready", "warnings", "not-ready"] | None = None


class LeaseStatus(Frozen):
    """Who may act on the runbook. ``scope`` local: only processes of this machine are kept apart."""

    scope: Literal["local", "shared"]
    epoch: int | None
    run_id: str | None
    holder: str | None


class Readiness(Frozen):
    """Can we fail over now, and what would be lost.

    verdict: ``yes``; ``with-acceptance``: guards refuse that a person may override; ``no``: guards that nobody may override.
    command: what to type.
    """

    target: str
    verdict: Literal["yes", "with-acceptance", "no"]
    guards: tuple[GuardReport, ...]
    would_lose_seconds: float | None
    would_lose_state: Known
    predicted_rta_seconds: float | None
    rto_seconds: float
    command: str


class StatusReport(Frozen):
    """``dr.status/1``. Without a runbook: runs and debt of this state directory only; ``runbook`` and what is observed is null or empty.

    troubles: what of the monitors' memory could not be read in shared state, or written there; what could not be read is left out.
    """

    schema_: Literal["dr.status/1"] = Field("dr.status/1", alias="schema", serialization_alias="schema")
    tool_version: str
    state_directory: str
    at: Moment
    runbook: str | None = None
    home: str | None = None
    primary: str | None = Field(None, description="the region that is primary of every component that has one; null when they differ")
    components: tuple[ComponentStatus, ...] = ()
    lease: LeaseStatus | None = None
    readiness: Readiness | None = None
    in_flight: tuple[RunSummary, ...] = ()
    debt: tuple[Debt, ...] = ()
    troubles: tuple[str, ...] = ()


class LagLine(Frozen):
    """The newest sample of one component, with what it means against the RPO at the moment of the report.

    behind_items, behind_bytes: what is on its way. failed_items: what will not arrive by itself, counted apart; the first ones are named.
    """

    component: str
    state: Known
    sampled_at: Moment
    age_seconds: float
    lag_seconds: float | None
    recovery_point: Moment | None
    exposure_seconds: float | None
    rpo_seconds: float
    rpo_met: bool | None
    behind_bytes: int | None
    behind_items: int | None = None
    failed_items: int | None = None
    failed_named: tuple[str, ...] = ()
    retained_bytes: int | None
    reason: str = ""


class LagReport(Frozen):
    """``dr.lag/1``."""

    schema_: Literal["dr.lag/1"] = Field("dr.lag/1", alias="schema", serialization_alias="schema")
    runbook: str
    at: Moment
    components: tuple[LagLine, ...]


class CheckFinding(Finding):
    """One finding of ``dr runbook check``. ``group``: what was looked at. ``region``: where it is; null where it is in none."""

    group: Literal["runbook", "dependencies", "credentials", "world", "freshness"]


class CheckGroup(Frozen):
    """What was looked at: how many checks there were and how many found nothing. ``about``: what they ask.

    reason: why nothing was asked (``checked`` is 0 then); else empty.
    """

    name: Literal["runbook", "dependencies", "credentials", "world", "freshness"]
    about: str
    checked: int
    passed: int
    reason: str = ""


class CheckReport(Frozen):
    """``dr.check/1``: the findings of ``dr runbook check``, errors first, and what was checked.

    from_region, to_region: the move that was judged: away from the observed primary, from home where none is.
    """

    schema_: Literal["dr.check/1"] = Field("dr.check/1", alias="schema", serialization_alias="schema")
    runbook: str
    sha256: str
    findings: tuple[CheckFinding, ...]
    groups: tuple[CheckGroup, ...] = ()
    from_region: str | None = None
    to_region: str | None = None
    exit_code: int


class RunList(Frozen):
    """``dr.runs/1``: newest first."""

    schema_: Literal["dr.runs/1"] = Field("dr.runs/1", alias="schema", serialization_alias="schema")
    runs: tuple[RunSummary, ...]


class PlannedStep(Frozen):
    """One step of ``dr.plan/1``. Starts and finishes are from the start of the run."""

    id: str
    component: str
    kind: str
    verb: Verb
    title: str
    region: str
    needs: tuple[str, ...]
    estimate_seconds: float
    budget_seconds: float
    max_attempts: int
    earliest_start_seconds: float | None
    earliest_finish_seconds: float | None
    latest_finish_seconds: float | None
    slack_seconds: float | None
    critical: bool
    irreversible: bool
    undoable: bool
    optional: bool
    approval: bool
    touches: tuple[Touch, ...]
    permissions: tuple[str, ...]
    by_hand: str
    check_by_hand: str


class PlanReport(Frozen):
    """``dr.plan/1``."""

    schema_: Literal["dr.plan/1"] = Field("dr.plan/1", alias="schema", serialization_alias="schema")
    runbook: str
    runbook_sha256: str
    intent: Intent
    from_region: str
    to_region: str
    plan_hash: str
    steps: tuple[PlannedStep, ...]
    critical_path: tuple[str, ...]
    predicted_rta_seconds: float
    rto_seconds: float
    rpo_seconds: float
    predicted_rto_met: bool
    guards: tuple[GuardReport, ...]
    rollback_on_failure: bool


def plan_report(plan: Plan) -> PlanReport:
    """A plan for the wire."""
    steps = []
    for spec in plan.steps:
        when = plan.schedule.get(spec.id)
        steps.append(
            PlannedStep(
                **{field: getattr(spec, field) for field in PlannedStep.model_fields if field in type(spec).model_fields},
                estimate_seconds=spec.estimate.total_seconds(),
                budget_seconds=spec.budget.total_seconds(),
                earliest_start_seconds=seconds(when.earliest_start) if when else None,
                earliest_finish_seconds=seconds(when.earliest_finish) if when else None,
                latest_finish_seconds=seconds(when.latest_finish) if when else None,
                slack_seconds=seconds(when.slack) if when else None,
                critical=bool(when and when.critical),
            )
        )
    return PlanReport(
        runbook=plan.runbook,
        runbook_sha256=plan.runbook_sha256,
        intent=plan.intent,
        from_region=plan.source,
        to_region=plan.target,
        plan_hash=plan.plan_hash,
        steps=tuple(steps),
        critical_path=plan.critical_path,
        predicted_rta_seconds=plan.predicted_rta.total_seconds(),
        rto_seconds=plan.rto.total_seconds(),
        rpo_seconds=plan.rpo.total_seconds(),
        predicted_rto_met=plan.predicted_rta <= plan.rto,
        guards=tuple(GuardReport.model_validate(guard.model_dump()) for guard in plan.guards),
        rollback_on_failure=plan.rollback_on_failure,
    )
