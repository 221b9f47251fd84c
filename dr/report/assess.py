"""One run as ``dr.run/1``: a pure fold over its journal records. No number in it comes from anywhere else (I16)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dr.engine.state import StepRun
from dr.model.base import between, seconds
from dr.model.events import Record
from dr.model.evidence import Accounted, Healthy, Identities, Promoted, RecoveryPoint, TaskCount
from dr.model.plan import Slack
from dr.model.report import (
    AccountedReport,
    Debt,
    DeploymentReport,
    IdentityReport,
    ReadinessReport,
    RunReport,
    StepReport,
    TaskReport,
)
from dr.model.words import Known, TaskFate
from dr.report import conclude, recovery, timing
from dr.report.debt import debt_after, unequal
from dr.report.history import History


def run_report(records: Sequence[Record], journal_path: Path | str, earlier: Sequence[Sequence[Record]] = ()) -> RunReport:
    """What a run did, as far as it got.

    Args:
        records: the journal records of the run, in order.
        journal_path: where the journal lies; printed only.
        earlier: the records of the runbook's earlier runs, oldest first: their open debt counts here too.

    Raises:
        StateUnreadable: the records do not begin with the start of a run.
    """
    history = History.read(records)
    return report_of(history, journal_path, debt_after([*(History.read(run) for run in earlier), history]))


def report_of(history: History, journal_path: Path | str, debt: tuple[Debt, ...]) -> RunReport:
    """The same for a run that was read already, with the debt that is open after it."""
    state, started, plan = history.state, history.started, history.state.current_plan
    ended, reason = conclude.outcome(history)
    moments = timing.stamps(history)
    path = timing.critical_path(history)
    losses = recovery.losses(history)
    found = conclude.objectives(history, timing.rta(moments), losses, ended)
    steps = tuple(_step(step, plan.schedule.get(step.spec.id), history) for step in state.steps.values())
    no_return = history.no_return()
    said = conclude.guards(history)
    return RunReport(
        run_id=history.run_id,
        runbook=plan.runbook,
        intent=plan.intent,
        from_region=plan.source,
        to_region=plan.target,
        epoch=state.epoch,
        actors=tuple(state.actors),
        approvals=tuple(state.approvals),
        acceptances=tuple(state.acceptances),
        tool_version=started.tool_version,
        outcome=ended,
        exit_code=conclude.exit_code(ended, found),
        reason=reason,
        hint=conclude.hint(history, ended, debt, said),
        plan_hash=plan.plan_hash,
        journal_path=str(journal_path),
        journal_head=history.head,
        objectives=found,
        stamps=moments,
        rta_breakdown_seconds=timing.breakdown(moments),
        steps=steps,
        critical_path=path,
        overhead_seconds=timing.overhead(moments, path),
        point_of_no_return_at=no_return.started_at if no_return is not None else None,
        point_of_no_return_step=no_return.spec.id if no_return is not None else None,
        guards=said,
        deviations=conclude.deviations(history, steps),
        debt=debt,
        components=recovery.components(history, losses),
        fence=recovery.fence(history),
        divergence=recovery.divergence(history),
        identities=_identities(history),
        deployments=_deployments(history),
        tasks=_tasks(history),
        accounted=_accounted(history),
        readiness=_readiness(history),
    )


def _accounted(history: History) -> tuple[AccountedReport, ...]:
    """One for each step that compared contents, the newest of its attempts, in the order of the journal."""
    kinds = {step.component: step.kind for step in history.state.current_plan.steps}
    newest: dict[tuple[str, str, str], AccountedReport] = {}
    for item in history.facts:
        fact = item.evidence
        if isinstance(fact, Accounted):
            values = fact.model_dump(exclude={"fact"})
            own = {"step": item.step, "kind": kinds.get(fact.component, ""), "unequal": unequal(fact)}
            newest[fact.component, fact.region, item.step] = AccountedReport.model_validate({**values, **own})
    return tuple(newest.values())


def _readiness(history: History) -> tuple[ReadinessReport, ...]:
    """The components as the plan's observations have them."""
    plan, decided = history.started.plan, history.started.decided
    result = []
    for view in plan.views:
        sample = view.lag if view.lag is not None and view.lag.state is not Known.UNKNOWN else None
        point = sample.recovery_point if sample is not None else None
        exposed = between(point, decided)
        result.append(
            ReadinessReport(
                id=view.component, kind=view.kind, regions=view.regions, lag_seconds=seconds(sample.lag) if sample is not None else None,
                recovery_point=point, exposure_seconds=None if exposed is None else max(0.0, seconds(exposed) or 0.0),
                rpo_seconds=plan.component_rpo.get(view.component, plan.rpo).total_seconds(), findings=view.findings,
            )
        )  # fmt: skip
    return tuple(result)


def _step(step: StepRun, slack: Slack | None, history: History) -> StepReport:
    spec = step.spec
    finished = step.ended_at if not step.state.active else None
    span = between(step.started_at, finished)
    latest = slack.latest_finish if slack is not None else None
    since_start = between(history.events[0][0], finished)
    return StepReport(
        id=spec.id,
        component=spec.component,
        kind=spec.kind,
        verb=spec.verb,
        title=spec.title,
        region=spec.region,
        needs=spec.needs,
        state=step.state,
        outcome=step.outcome,
        attempts=step.attempts,
        started_at=step.started_at,
        finished_at=finished,
        duration_seconds=seconds(step.duration),
        clock=step.clock,
        estimate_seconds=spec.estimate.total_seconds(),
        budget_seconds=spec.budget.total_seconds(),
        latest_finish_seconds=seconds(latest),
        slack_seconds=seconds(latest - since_start) if latest is not None and since_start is not None else None,
        over_budget=span is not None and span > spec.budget,
        irreversible=spec.irreversible,
        reason=step.reason,
    )


def _identities(history: History) -> IdentityReport:
    found = history.newest_each(Identities)
    if not found:
        return IdentityReport()
    last = found[-1]
    return IdentityReport(
        checked=sum(item.checked for item in found),
        changed=tuple(name for item in found for name in item.changed),
        missing=tuple(name for item in found for name in item.missing),
        created_later=tuple(name for item in found for name in item.created_later),
        contents=tuple(name for item in found for name in item.contents),
        rows=_summed(item.rows for item in found),
        fewer=_summed(item.fewer for item in found),
        fewer_explained=all(item.fewer_explained for item in found if item.fewer) if any(item.fewer for item in found) else None,
        before_taken_at=last.before_taken_at,
        before_sha256=last.before_sha256,
        after_sha256=last.after_sha256,
    )


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for item in counts:
        total.update(item)
    return dict(total)


def _deployments(history: History) -> DeploymentReport:
    found = history.newest_each(Healthy)
    return DeploymentReport(total=sum(item.total for item in found), healthy=sum(item.healthy for item in found))


def _tasks(history: History) -> TaskReport:
    found = history.newest_each(TaskCount)
    if not found:
        return TaskReport()

    def fate(which: TaskFate) -> int:
        return sum(item.fates.get(which, 0) for item in found)

    return TaskReport(
        in_flight=sum(item.in_flight for item in found),
        requeued=fate(TaskFate.REQUEUED),
        failed=fate(TaskFate.FAILED),
        lost=fate(TaskFate.LOST) if _all_arrived(history) else None,
        duplicated=sum(item.duplicated for item in found),
        untouched=fate(TaskFate.UNTOUCHED),
        finished=fate(TaskFate.FINISHED),
        items_path=next((item.items_path for item in reversed(found) if item.items_path), None),
    )


def _all_arrived(history: History) -> bool:
    """Everything that was promoted is known to hold all that its old primary wrote, tasks included."""
    complete = {fact.component for fact in history.all(RecoveryPoint) if fact.complete}
    promoted = {fact.component for fact in history.all(Promoted)}
    return bool(promoted) and promoted <= complete
