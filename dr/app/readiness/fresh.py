"""How old what we know is: samples, drills, debt; and what is in flight."""

from __future__ import annotations

from datetime import timedelta

from dr.app import outlook, status
from dr.app.platform import Platform
from dr.app.readiness.group import Group, Name
from dr.app.runs import Runs
from dr.drill import record
from dr.errors import StateUnreadable
from dr.model.base import show_duration
from dr.model.lag import STALE_AFTER
from dr.model.report import DrillReport
from dr.model.words import Severity

NAMED: tuple[Name, str] = ("freshness", "lag samples, the last drill, open debt, runs in flight, the lease")
_DRILL_EVERY = timedelta(days=90)
_LOOK_BACK = 50


def look(runs: Runs, platform: Platform, seen: outlook.Outlook) -> Group:
    """What this machine's state says of the runbook."""
    group, name, path = Group(*NAMED), platform.runbook.name, platform.runbook.path
    _samples(group, runs, platform, seen)
    _drills(group, runs, platform, seen)
    owed = status.debt(runs, name)
    for debt in owed:
        group.found(debt.component, Severity.WARNING, f"left to be done, {debt.kind}: {debt.text}", debt.command)
    if not owed:
        group.passed()
    open_run = runs.unfinished(name)
    fact = f"run {open_run} is not ended: another one is refused until it is"
    group.expect(open_run is None, "", Severity.WARNING, fact, f"dr status {path}; dr resume {open_run}, or dr cancel {open_run}")
    fact = f"the lease is local: two machines with {name} are not kept apart, only processes of this one"
    fix = "move from one machine, and say which: the one with this state directory; or share the state: --state ADDRESS"
    group.expect(runs.state.shared is not None, "", Severity.INFO, fact, fix)
    return group


def _samples(group: Group, runs: Runs, platform: Platform, seen: outlook.Outlook) -> None:
    """Without a monitor nobody knows when an outage began, nor what a silent primary had."""
    latest, fix = runs.state.samples.latest(platform.runbook.name), f"keep it running: dr monitor {platform.runbook.path}"
    for view in seen.views:
        if view.lag is None:
            continue
        sample = latest.get(view.component)
        if sample is None:
            group.found(view.component, Severity.WARNING, f"the lag of {view.component} was never sampled", fix)
            continue
        age = seen.at - sample.at
        group.expect(age <= STALE_AFTER, view.component, Severity.WARNING, f"the newest sample is {show_duration(age)} old", fix)


def _drills(group: Group, runs: Runs, platform: Platform, seen: outlook.Outlook) -> None:
    """The newest drill of this runbook, and whether it passed."""
    last, name = None, platform.runbook.name
    for path in reversed(record.kept(runs.state.directory)[-_LOOK_BACK:]):
        try:
            report = record.read(path)
        except StateUnreadable as error:
            group.found("", Severity.WARNING, error.message, error.hint)
            continue
        if any(run.runbook == name for run in report.runs):
            last = report
            break
    _drill(group, platform, seen, last)


def _drill(group: Group, platform: Platform, seen: outlook.Outlook, last: DrillReport | None) -> None:
    fix = "dr drill SCENARIO, every night and after every change of the runbook"
    if last is None:
        group.found("", Severity.WARNING, f"no drill of {platform.runbook.name} is recorded on this machine", fix)
        return
    age = seen.at - last.finished_at
    failed = f"the last drill ({last.scenario}, {show_duration(age)} ago) failed: {last.error or 'see its expectations'}"
    group.expect(last.verdict == "passed", "", Severity.WARNING, failed, fix)
    old = f"the last drill ({last.scenario}) was {age.days} days ago"
    group.expect(age <= _DRILL_EVERY, "", Severity.WARNING, old, fix)
