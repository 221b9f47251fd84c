"""``dr report``: gathers a period from journal, samples and kept drills of this state directory. What is told of it is ``dr.report``'s."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from dr import __version__
from dr.app.runs import Runs
from dr.drill.record import kept, read
from dr.errors import ExitCode, IllegalTransition, StateUnreadable
from dr.model.lease import Listed
from dr.model.period import BrokenRun, JournalReport, PeriodReport, PeriodRun, ReplicationReport
from dr.model.report import DrillReport, RunReport
from dr.model.runbook import Runbook
from dr.report.period import Checked, Kept, Told, drill
from dr.report.replication import Objective, replication
from dr.store.journal import SqliteJournal
from dr.store.presence import is_there


@dataclass
class _Journal:
    """What was read of the journal, and what could not be."""

    told: list[Told] = field(default_factory=list)
    broken: list[BrokenRun] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    runs: int = 0
    records: int = 0


def period(runs: Runs, begin: datetime, end: datetime, runbook: Runbook | None) -> PeriodReport:
    """``dr.report/1`` of the time from ``begin`` to before ``end``; of one runbook where given.

    A run or a drill belongs to the period in which it started. What cannot be trusted is named and not told, and the exit code says so.

    Raises:
        StateUnreadable: samples cannot be read.
    """
    now = runs.state.clock.now()
    journal = _read(runs, begin, end, runbook)
    records, unreadable = _drills(runs.state.directory, begin, end)
    drills = [drill(item) for item in records if runbook is None or _about(item.report, runbook.name)]
    forged = [f"drill {item.scenario}, run {run.run_id}: {run.problem}" for item in drills for run in item.runs if run.journal == "broken"]
    problems = [*journal.problems, *forged]
    return PeriodReport(
        tool_version=__version__, written_at=now, state_directory=str(runs.state.directory), from_at=begin, to_at=end,
        runbook=runbook.name if runbook else None,
        journal=JournalReport(
            path=str(runs.state.journal.path), runs=journal.runs, records=journal.records, verified=not problems, problems=tuple(problems)
        ),
        replication=tuple(_replication(runs, journal.told, begin, min(end, now), runbook)), runs=_in_order(journal.told),
        broken=tuple(journal.broken), drills=tuple(drills), unreadable=tuple(unreadable),
        debt=tuple(item for told in journal.told for item in told.owed()),
        exit_code=ExitCode.REFUSED if problems or unreadable else ExitCode.DONE,
    )  # fmt: skip


def _in_order(told: Iterable[Told]) -> tuple[PeriodRun, ...]:
    return tuple(sorted((run for item in told for run in item.runs), key=lambda run: run.started_at))


def _read(runs: Runs, begin: datetime, end: datetime, runbook: Runbook | None) -> _Journal:
    """All runs of the runbooks concerned, one at a time: those before the period may have left debt that is open in it."""
    found = _Journal()
    try:
        listing = runs.state.journal.listing(runbook.name if runbook else None)
    except StateUnreadable as error:
        found.problems.append(error.message)
        return found
    told: dict[str, Told] = {}
    for item in listing:
        own = told.setdefault(item.runbook, Told(item.runbook, begin, end, str(runs.state.journal.path)))
        try:
            records = runs.state.journal.records(item.run_id)
            own.read(records)
        except (StateUnreadable, IllegalTransition) as error:
            _broken(found, item, error.message, begin, end)
        else:
            found.runs += 1
            found.records += len(records)
    found.told = list(told.values())
    return found


def _broken(found: _Journal, item: Listed, problem: str, begin: datetime, end: datetime) -> None:
    """A run outside of the period is a problem too: what it left to be done is missing from the debt."""
    found.problems.append(problem)
    if begin <= datetime.fromisoformat(item.started_at) < end:
        found.broken.append(BrokenRun(run_id=item.run_id, runbook=item.runbook, started_at=item.started_at, problem=problem))


def _replication(runs: Runs, told: Iterable[Told], begin: datetime, end: datetime, runbook: Runbook | None) -> Iterable[ReplicationReport]:
    samples = runs.state.samples
    by_name = {item.runbook: item for item in told}
    for name in [runbook.name] if runbook else sorted({*by_name, *samples.runbooks()}):
        own = by_name.get(name)
        data = {*samples.latest(name), *(item.id for run in (own.runs if own else ()) for item in run.components)}
        objectives = _objectives(own, sorted(data), runbook)
        yield from replication(name, samples.stretches(name, begin, end) if begin < end else (), begin, end, objectives)


def _objectives(told: Told | None, components: Iterable[str], runbook: Runbook | None) -> Mapping[str, Objective]:
    """The RPO of each component that has data of its own: as the runbook says, else as the newest run had it."""
    found = dict(told.objectives) if told else {}
    if runbook is not None:
        found |= {name: Objective(runbook.rpo(name), f"runbook {runbook.path}") for name in runbook.components}
    return {name: found[name] for name in components if name in found}


def _drills(state: Path, begin: datetime, end: datetime) -> tuple[list[Kept], list[str]]:
    """Kept records of drills that started in the period, and those that cannot be read."""
    found, unreadable = [], []
    try:
        paths = kept(state)
    except StateUnreadable as error:
        return [], [error.message]
    for path in paths:
        try:
            report = read(path)
        except StateUnreadable as error:
            unreadable.append(error.message)
            continue
        if begin <= report.started_at < end:
            journals = {run.run_id: _check(run) for run in report.runs}
            found.append(Kept(report, str(path), hashlib.sha256(path.read_bytes()).hexdigest(), journals))
    return found, unreadable


def _check(run: RunReport) -> Checked:
    """Looks at the journal of a drill's run again, where it is still there."""
    path = Path(run.journal_path)
    try:
        if not is_there(path):
            return Checked(None, None)
        records = SqliteJournal(path.parent).records(run.run_id)
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        return Checked(None, None, f"{path} cannot be looked at: {error}")
    except StateUnreadable as error:
        return Checked(None, None, error.message)
    return Checked(records[-1].hash, len(records)) if records else Checked(None, None, f"{path} has no such run")


def _about(report: DrillReport, runbook: str) -> bool:
    """A drill without any run may have been about it: a world that did not start is told, too."""
    return not report.runs or any(run.runbook == runbook for run in report.runs)
