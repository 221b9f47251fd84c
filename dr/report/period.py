"""A period as ``dr.report/1``: runs from verified journals, drills from their kept records, debt until it is closed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dr.model.events import Record
from dr.model.period import DrillRun, OwedDebt, PeriodDrill, PeriodRun
from dr.model.report import Debt, DrillReport, RunReport
from dr.model.words import StepState
from dr.report.assess import report_of
from dr.report.debt import Book
from dr.report.history import History
from dr.report.replication import Objective


@dataclass(frozen=True)
class Kept:
    """A drill's record as it was read. ``journals``: what was found of the journal of each of its runs, by run id."""

    report: DrillReport
    path: str
    sha256: str
    journals: Mapping[str, Checked] = field(default_factory=dict)


@dataclass(frozen=True)
class Checked:
    """A run's journal, looked at again. ``head`` and ``records`` are None where the journal is not kept any more."""

    head: str | None
    records: int | None
    problem: str = ""


@dataclass
class Told:
    """The runs of one runbook, read in one by one, oldest first. ``objectives``: RPO of each component in the newest plan that has it."""

    runbook: str
    begin: datetime
    end: datetime
    journal_path: str
    runs: list[PeriodRun] = field(default_factory=list)
    objectives: dict[str, Objective] = field(default_factory=dict)
    _book: Book = field(default_factory=Book)
    _at_the_end: dict[tuple[str, str], Debt] = field(default_factory=dict)

    def read(self, records: Sequence[Record]) -> None:
        """One run. Those before the period count for debt; those after it, for whether the debt is closed by now.

        Raises:
            StateUnreadable, IllegalTransition: the records are no run.
        """
        history = History.read(records)
        self._book.read(history)
        owed = self._book.owed()
        started = history.events[0][0]
        if started >= self.end:
            return
        self._at_the_end = {_key(item): item for item in owed}
        rpo = history.started.plan.component_rpo
        self.objectives |= {name: Objective(value, f"run {history.run_id}") for name, value in rpo.items()}
        if started >= self.begin:
            report = report_of(history, self.journal_path, owed)
            own = tuple(item for item in owed if item.run_id == report.run_id)
            self.runs.append(_run(report, history, len(records), own))

    def owed(self) -> tuple[OwedDebt, ...]:
        """Debt that was open at the end of the period, and whether it still is."""
        now = {_key(item) for item in self._book.owed()}
        return tuple(
            OwedDebt(**item.model_dump(), runbook=self.runbook, open=_key(item) in now) for item in self._at_the_end.values()
        )


def _key(item: Debt) -> tuple[str, str]:
    """One debt: what was opened by one run about one component. Its text may change while it is open."""
    return f"{item.kind} {item.component}", f"{item.run_id} {item.since}"


def _run(report: RunReport, history: History, records: int, own: tuple[Debt, ...]) -> PeriodRun:
    states = [step.state for step in report.steps]
    shared = {name: getattr(report, name) for name in PeriodRun.model_fields if name in RunReport.model_fields and name != "steps"}
    return PeriodRun(
        **shared, started_at=history.events[0][0], ended_at=history.state.ended_at, debt_opened=own, steps=len(states),
        steps_failed=states.count(StepState.FAILED), steps_skipped=states.count(StepState.SKIPPED), records=records,
    )  # fmt: skip


def drill(kept: Kept) -> PeriodDrill:
    """One drill; unknown stays null."""
    report, truth = kept.report, kept.report.truth
    return PeriodDrill(
        scenario=report.scenario, world=report.world, runbook=report.runs[0].runbook if report.runs else "", started_at=report.started_at,
        finished_at=report.finished_at, verdict=report.verdict, error=report.error, intents=tuple(run.intent for run in report.runs),
        faults=tuple(f"{item.kind} {item.target}" for item in report.faults),
        components=tuple(dict.fromkeys(step.component for run in report.runs for step in run.steps)),
        deployments=max((run.deployments.total for run in report.runs), default=0), expectations=len(report.expectations),
        unmet=tuple(item.name for item in report.expectations if not item.met),
        outage_seconds=truth.outage_seconds if truth else None, acknowledged_writes=truth.acknowledged_writes if truth else None,
        lost_writes=truth.lost_writes if truth else None, unconfirmed_writes=truth.unconfirmed_writes if truth else None,
        cleaned_up=report.cleanup.ok, runs=tuple(_drill_run(run, kept.journals.get(run.run_id)) for run in report.runs),
        record=kept.path, sha256=kept.sha256,
    )  # fmt: skip


def _drill_run(run: RunReport, found: Checked | None) -> DrillRun:
    problem = found.problem if found is not None else ""
    if found is None or found.head is None:
        state = "broken" if problem else "gone"
    else:
        state = "verified" if not problem and found.head == run.journal_head else "broken"
        if state == "broken":
            problem = problem or f"the journal ends with {found.head}, the drill's record says {run.journal_head}"
    shared = {name: getattr(run, name) for name in DrillRun.model_fields if name in RunReport.model_fields}
    return DrillRun.model_validate({**shared, "journal": state, "records": found.records if found else None, "problem": problem})
