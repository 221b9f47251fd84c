"""What came of one story, seen from outside: how long service was really away, what was really lost. One small record for the survey."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from dr.model.report import RunReport
from dr.model.runbook import Runbook
from dr.model.words import Known, RunOutcome, Verdict
from dr.providers.sim.database import Database, missing
from dr.providers.sim.world import Effect
from dr.simulate.play import Played
from dr.simulate.stage import Stage
from dr.simulate.story import Story

PEOPLE = ("approval", "gate")
"""Kinds of steps that wait for somebody's word."""


class Broken(NamedTuple):
    """A violation. ``at``: seconds from the disaster."""

    rule: str
    text: str
    at: float


class Record(NamedTuple):
    """One story, small enough to be sent between processes by the thousand.

    number: its place in the survey, from 0. rta, rpa: milliseconds, None where unknown. rto_met, rpo_met: false where unknown.
    over_rpo: components that lost more than their RPO; over_by_lag: those of them that were behind by more than that when the disaster
    came, whatever an old primary that lived on took afterwards. path: the steps on the critical path. guards: how often each refused.
    waited: milliseconds for people's words, by step, None where nobody said one before the morning. told_unknown: its report could not
    tell RTA or RPA.
    """

    number: int
    seed: str
    plot: str
    faults: tuple[tuple[str, str], ...]
    completed: bool
    rta: int | None
    rpa: int | None
    rto_met: bool
    rpo_met: bool
    told_unknown: bool
    over_rpo: tuple[str, ...]
    path: tuple[str, ...]
    guards: tuple[tuple[str, int], ...]
    decisions: tuple[str, ...]
    waited: tuple[tuple[str, int | None], ...]
    violation: Broken | None
    over_by_lag: tuple[str, ...] = ()


class Outside:
    """Watches one world. A ``dr.simulate.play.Checker`` that finds nothing wrong; it must be new for each story.

    away: when service went away; back: when it was verified again through public names (else names led there, else the data took
    writes), by component; None until then. lost: seconds of acknowledged writes, by database.
    """

    def __init__(self, story: Story) -> None:
        self.away: float | None = None if story.plot == "planned" else story.disaster
        self.ends: dict[str, dict[str, float]] = {"write-outside": {}, "seen-outside": {}, "redirect": {}, "promote": {}}
        self._begin, self._planned = story.disaster, story.plot == "planned"
        self._stage: Stage | None = None
        self._home = ""
        self._targets: dict[str, str] = {}
        self._lost: dict[str, float] = {}
        self._behind: dict[str, float] = {}
        self._writes: dict[str, list[tuple[float, float]]] = {}
        self._looked = 0.0
        self._writing: set[str] = set()

    def begin(self, stage: Stage) -> None:
        """Watches every effect."""
        self._stage, self._home = stage, stage.runbook.home
        self._note_writes(stage.loop.now)
        stage.world.watchers.append(self._look)

    def ended(self, stage: Stage) -> None:
        """What was seen is there already."""

    def _look(self, effect: Effect) -> None:
        self._note_writes(effect.at)
        what = effect.what.rpartition(".")[2]
        if self._stage is None or effect.at < self._begin or not effect.process or (effect.region == self._home and what in self.ends):
            return  # towards home: the way back is not what was asked for first
        if self._planned and self.away is None and what in ("freeze", "fence", "promote"):
            self.away = effect.at
        if what in self.ends:
            self.ends[what].setdefault(effect.component, effect.at)
        new = self._promoted()
        for component in self._targets if what == "write-outside" else new:
            self._lost[component], self._behind[component] = self._missing(component)

    def _promoted(self) -> list[str]:
        """Databases that lead elsewhere since the last look; by a command, or by a server that comes up again after it was half-way."""
        assert self._stage is not None, "it watches"
        new = []
        for name, store in self._stage.world.stores.items():
            if isinstance(store, Database) and name not in self._targets:
                away = next((region for at, region, _line in store.promotions if at >= self._begin and region != self._home), None)
                if away is not None:
                    self._targets[name] = away
                    new.append(name)
        return new

    def _note_writes(self, now: float) -> None:
        """When home took writes: in a log time that was slept through cannot be told from time in which something was written."""
        assert self._stage is not None, "it watches"
        for name in self._writing:
            self._writes.setdefault(name, []).append((self._looked, now))
        stores = self._stage.world.stores.items()
        self._looked = now
        self._writing = {name for name, store in stores if isinstance(store, Database) and store.writable(self._home)}

    def _missing(self, component: str) -> tuple[float, float]:
        """Seconds of what the old primary had acknowledged and the new one has not: until now, and until the disaster came."""
        assert self._stage is not None, "it watches"
        store = self._stage.world.stores[component]
        assert isinstance(store, Database), "only databases are promoted here"
        lost = missing(store.copies[self._home].log, store.copies[self._targets[component]].log)
        pairs = [(max(span.begin, begin), min(span.end, end)) for span in lost for begin, end in self._writes.get(component, ())]
        return sum(max(0.0, end - begin) for begin, end in pairs), sum(max(0.0, min(end, self._begin) - begin) for begin, end in pairs)

    @property
    def back(self) -> float | None:
        """When service was back."""
        for moments in self.ends.values():
            if moments:
                return max(moments.values())
        return None

    @property
    def rta(self) -> float | None:
        """Seconds; None where service did not come back."""
        return None if self.back is None or self.away is None else max(0.0, self.back - self.away)

    @property
    def lost(self) -> Mapping[str, float]:
        """Seconds of acknowledged writes that were lost, by database."""
        return self._lost

    @property
    def behind(self) -> Mapping[str, float]:
        """Those of them that had been acknowledged before the disaster: what replication was behind by."""
        return self._behind


def record(number: int, played: Played, stage: Stage, outside: Outside, groups: Mapping[str, str]) -> Record:
    """What the survey keeps of a story. ``groups``: of each fault by its name."""
    story, runbook = played.story, stage.runbook
    final = last_of_each(played.reports)
    moves = [report for report in final if report.intent.moves and report.outcome is RunOutcome.COMPLETED]
    first = next((report for report in moves if report.intent is story.intent), None)
    completed = first is not None and (story.plot != "round-trip" or len(moves) > 1)
    rta = outside.rta if completed else None
    over, rpa = _lost(outside, runbook, first if completed else None)
    violation = played.violations[0] if played.violations else None
    later = [report for report in moves if report is not first]
    ok = violation is None and completed
    return Record(
        number=number, seed=story.seed, plot=story.plot, completed=completed,
        faults=tuple(sorted({(fault.name, groups.get(fault.name, "")) for fault in story.faults})),
        rta=None if rta is None else round(rta * 1000), rpa=None if rpa is None else round(rpa * 1000),
        rto_met=ok and rta is not None and rta <= runbook.objectives.rto.total_seconds()
        and all(report.objectives.rto_met is not False for report in later),
        rpo_met=ok and rpa is not None and not over and all(report.objectives.rpo_met is not False for report in later),
        told_unknown=first is not None and Known.UNKNOWN in (first.objectives.rta_state, first.objectives.rpa_state),
        over_rpo=tuple(over), path=first.critical_path.steps if first is not None else (),
        guards=tuple(sorted(_refusals(final).items())), decisions=(*played.decisions, *_answers(stage)),
        waited=tuple(sorted(_waited(final, stage).items())),
        violation=None if violation is None else Broken(violation.rule, violation.text, round(violation.at - story.disaster, 3)),
        over_by_lag=tuple(name for name in over if timedelta(seconds=outside.behind[name]) > runbook.rpo(name)),
    )  # fmt: skip


def last_of_each(reports: Sequence[RunReport]) -> list[RunReport]:
    """The last report of each run, in the order of the runs."""
    return list({report.run_id: report for report in reports}.values())


def _lost(outside: Outside, runbook: Runbook, report: RunReport | None) -> tuple[list[str], float | None]:
    """Components that lost more than they may, and the worst loss in seconds; without databases what the report says."""
    if report is None:
        return [], None
    if not outside.lost:
        goal = report.objectives
        return [], goal.rpa_seconds if goal.rpa_state is not Known.UNKNOWN else None
    over = [name for name, lost in outside.lost.items() if timedelta(seconds=lost) > runbook.rpo(name)]
    return over, max(outside.lost.values())


def _refusals(reports: Sequence[RunReport]) -> Counter[str]:
    return Counter(
        guard.name.value for report in reports for guard in report.guards if guard.verdict in (Verdict.REFUSED, Verdict.OVERRIDDEN)
    )


def _answers(stage: Stage) -> list[str]:
    """Words that people gave."""
    given = [command.act for command in stage.commands if command.act.intent is None and command.error is None]
    return ["approved" if act.approve else "skipped a step" for act in given if act.approve or act.skip]


def _waited(reports: Sequence[RunReport], stage: Stage) -> dict[str, int | None]:
    """How long runs waited for people's words."""
    found: dict[str, int] = {}
    for report in reports:
        for step in report.steps:
            if step.kind in PEOPLE and step.started_at is not None and report.stamps.decided is not None:
                wait = step.started_at - report.stamps.decided
                found[step.id] = found.get(step.id, 0) + max(0, round(wait.total_seconds() * 1000))
    unanswered = () if stage.left_waiting is None else stage.left_waiting[1]
    return {**found, **dict.fromkeys(unanswered)}
