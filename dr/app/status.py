"""``dr status``: who is primary, how far behind, what is in flight, what is owed, and whether we can fail over now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from dr import __version__
from dr.app import outlook
from dr.app.platform import Platform, primary_of
from dr.app.runs import Request, Runs
from dr.engine import guards
from dr.errors import DrError
from dr.model.base import seconds
from dr.model.lag import ComponentView, Exposure, LagSample
from dr.model.lease import Life
from dr.model.report import Debt, GuardReport
from dr.model.status import ComponentStatus, LagLine, LagReport, LeaseStatus, Readiness, RunSummary, StatusReport
from dr.model.words import Guard, Intent, Known, Role, RunStatus, Severity
from dr.report.conclude import accepted_by
from dr.report.conclude import guards as said
from dr.report.history import History


def summary(runs: Runs, run_id: str) -> RunSummary:
    """One run in one line, with what can be typed about it now."""
    state = runs.fold(run_id)
    plan = state.current_plan
    alive = None
    commands: tuple[str, ...] = ()
    if state.status is not RunStatus.ENDED:
        live = runs.state.lease().look(plan.runbook)
        held = live is not None and live.alive and live.run_id == run_id
        alive = None if held and live is not None and live.life is Life.UNKNOWN else held
        resume = () if alive else (f"dr resume {run_id}{accepted_by(said(History.read(runs.records(run_id))))}",)
        pause = () if alive is False else (f"dr pause {run_id}",)
        commands = (*resume, *pause, f"dr cancel {run_id}")
    assert state.started_at is not None, "a folded run has its first event"
    return RunSummary(
        run_id=run_id, runbook=plan.runbook, intent=plan.intent, from_region=plan.source, to_region=plan.target, status=state.status,
        outcome=state.outcome, reason=state.reason, started_at=state.started_at, ended_at=state.ended_at, actors=tuple(state.actors),
        holder=state.holder, holder_alive=alive, commands=commands,
    )  # fmt: skip


def summaries(runs: Runs, runbook: str | None = None) -> tuple[RunSummary, ...]:
    """All runs, newest first."""
    return tuple(summary(runs, run_id) for run_id in reversed(runs.state.journal.runs(runbook)))


def debt(runs: Runs, runbook: str) -> tuple[Debt, ...]:
    """What the runs of a runbook have left to be done."""
    return runs.book(runbook).owed()


def status(runs: Runs, platform: Platform | None) -> StatusReport:
    """``dr.status/1``; without a platform: what this state directory knows, without asking anything of the network."""
    now = runs.state.clock.now()
    if platform is None:
        names = dict.fromkeys(item.runbook for item in runs.state.journal.listing())
        open_runs = [runs.unfinished(name) for name in names]
        return StatusReport(
            tool_version=__version__, state_directory=str(runs.state.directory), at=now,
            in_flight=tuple(summary(runs, run_id) for run_id in open_runs if run_id is not None),
            debt=tuple(item for name in names for item in debt(runs, name)),
        )  # fmt: skip
    seen = outlook.look(platform)
    name = platform.runbook.name
    live = runs.state.lease().look(name)
    open_run = runs.unfinished(name)
    return StatusReport(
        tool_version=__version__, state_directory=str(runs.state.directory), at=seen.at, runbook=name, home=platform.runbook.home,
        primary=primary_of(seen.views), components=tuple(_component(platform, view, seen) for view in seen.views),
        lease=LeaseStatus(
            scope="local" if runs.state.shared is None else "shared", epoch=live.epoch if live else None,
            run_id=live.run_id if live and live.alive else None, holder=live.holder if live and live.alive else None,
        ),
        readiness=_readiness(runs, platform, seen), in_flight=(summary(runs, open_run),) if open_run else (), debt=debt(runs, name),
        troubles=tuple(platform.site.samples.troubles()),
    )  # fmt: skip


def lag(platform: Platform) -> LagReport:
    """``dr.lag/1``: one sample of each component that replicates, taken now."""
    views = platform.views()
    now = platform.site.clock.now()
    exposed = outlook.exposures(platform, views, now)
    lines = [_line(platform, view.lag, exposed[view.component], now) for view in views if view.lag is not None]
    return LagReport(runbook=platform.runbook.name, at=now, components=tuple(lines))


def _line(platform: Platform, sample: LagSample, exposed: Exposure, now: datetime) -> LagLine:
    rpo = platform.runbook.rpo(sample.component)
    return LagLine(
        component=sample.component, state=sample.state, sampled_at=sample.at, age_seconds=(now - sample.at).total_seconds(),
        lag_seconds=seconds(sample.lag), recovery_point=sample.recovery_point, exposure_seconds=seconds(exposed.value),
        rpo_seconds=rpo.total_seconds(), rpo_met=_met(exposed, rpo), behind_bytes=sample.behind_bytes,
        behind_items=sample.behind_items, failed_items=sample.failed_items, failed_named=sample.failed_named,
        retained_bytes=sample.retained_bytes, reason=sample.reason or exposed.reason,
    )  # fmt: skip


def _met(exposed: Exposure | None, rpo: timedelta) -> bool | None:
    """Whether what would be lost is inside the RPO; None where that is unknown, which is not met."""
    if exposed is None or exposed.state is Known.UNKNOWN or exposed.value is None:
        return None
    return exposed.value <= rpo


def _component(platform: Platform, view: ComponentView, seen: outlook.Outlook) -> ComponentStatus:
    exposed = seen.exposures.get(view.component)
    rpo = platform.runbook.rpo(view.component)
    return ComponentStatus(
        id=view.component, kind=view.kind, primary=view.primary, regions=view.regions, rpo_seconds=rpo.total_seconds(),
        lag_seconds=seconds(view.lag.lag) if view.lag else None, lag_state=view.lag.state if view.lag else Known.UNKNOWN,
        lag_age_seconds=seconds(seen.at - view.lag.at) if view.lag else None,
        recovery_point=view.lag.recovery_point if view.lag else None, exposure_seconds=seconds(exposed.value) if exposed else None,
        exposure_state=exposed.state if exposed else Known.UNKNOWN, exposure_reason=exposed.reason if exposed else "no data of its own",
        rpo_met=_met(exposed, rpo), behind_items=view.lag.behind_items if view.lag else None,
        failed_items=view.lag.failed_items if view.lag else None, findings=view.findings, readiness=_ready(platform, view, seen),
    )  # fmt: skip


def _ready(platform: Platform, view: ComponentView, seen: outlook.Outlook) -> Literal["ready", "warnings", "not-ready"] | None:
    """Whether one component could be moved to the other side; None where there is no one other side."""
    others = [name for name in platform.runbook.regions if name != (seen.primary or platform.runbook.home)]
    if len(others) != 1:
        return None
    there = view.regions.get(others[0])
    severities = {item.severity for item in view.findings}
    if Severity.ERROR in severities or (there is not None and there.role not in (Role.PRIMARY, Role.SECONDARY)):
        return "not-ready"
    return "warnings" if Severity.WARNING in severities else "ready"


def _readiness(runs: Runs, platform: Platform, seen: outlook.Outlook) -> Readiness | None:
    """The guards of a failover to the other side, as they stand now. None where no target follows from what is seen."""
    source = seen.primary or platform.runbook.home
    try:
        target = platform.other(source)
        plan = runs.plan(platform, Request(Intent.FAILOVER, target, actor="status"), seen).plan
    except DrError:
        return None  # more than two regions: a target must be named, there is nothing to say about all of them
    no = tuple(item for item in guards.refused(plan.guards) if item.name is not Guard.PRIMARY_HEALTHY)
    values = [seen.exposures[name] for name in seen.exposures]
    unknown = any(item.state is Known.UNKNOWN for item in values)
    worst = None if unknown else max((item.value for item in values if item.value is not None), default=None)
    flags = guards.way_out(plan.guards)
    verdict = "no" if any(not item.name.acceptable for item in no) else "with-acceptance" if no else "yes"
    return Readiness.model_validate({
        "target": target, "verdict": verdict,
        "guards": [GuardReport.model_validate(item.model_dump()) for item in plan.guards],
        "would_lose_seconds": seconds(worst), "would_lose_state": Known.UNKNOWN if unknown else Known.BOUND,
        "predicted_rta_seconds": plan.predicted_rta.total_seconds(), "rto_seconds": plan.rto.total_seconds(),
        "command": f"dr failover {platform.runbook.path} --to {target} {flags}".strip(),
    })  # fmt: skip
