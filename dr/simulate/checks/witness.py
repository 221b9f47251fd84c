"""Sees everything that happens in a world and everything that is journaled, once, for all rules.

The world is looked at directly, the journal record by record as it lies on the disk. Nothing is asked of the code under test.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from dr.model.events import (
    GENESIS,
    Accepted,
    Event,
    Observed,
    Resumed,
    RunEnded,
    RunStarted,
    SkipRequested,
    StepEnded,
    StepStarted,
    Turned,
    UndoEnded,
    UndoStarted,
    chain_hash,
)
from dr.model.evidence import Evidence, Fenced
from dr.model.plan import Acceptance, Plan, StepSpec
from dr.model.words import Guard, Outcome
from dr.providers.sim.database import Database
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.names import Names
from dr.providers.sim.process import START, Process
from dr.providers.sim.world import Asked, Effect
from dr.simulate.disk import StoredRecord, StoredRun
from dr.simulate.stage import Stage


class Lead(NamedTuple):
    """What one copy of a database was at the last look. ``capable``: nothing but its region's death keeps it from taking writes."""

    writable: bool
    capable: bool
    timeline: int


@dataclass(slots=True)
class Under:
    """One attempt or undo under way: since when (seconds of the world), as of which epoch, by which process."""

    at: float
    epoch: int
    process: str
    number: int


@dataclass
class Told:
    """One run, as its journal tells it so far.

    holder: the process that wrote last that it holds the run. under: attempts and undos whose end is not journaled. left: steps that an
    earlier attempt may have changed the world with, without having seen it hold. began: when the newest attempt of a step did, as
    journaled. fences: the newest, by component, with the begin of the attempt that found it. ended_by_others: steps whose end was
    journaled while none was under way. seen: so many records were read; last, head: seq and hash of the last one. torn: a fault of the
    disk took some of them before they were read, so what is not there says nothing.
    """

    run: StoredRun
    seen: int = 0
    last: int = 0
    head: str = GENESIS
    torn: bool = False
    started: RunStarted | None = None
    plan: Plan | None = None
    specs: dict[str, StepSpec] = field(default_factory=dict)
    holder: str = ""
    skew: float = 0.0
    rate: float = 1.0
    epoch: int = 0
    acceptances: list[Acceptance] = field(default_factory=list)
    under: dict[str, Under] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    began: dict[str, datetime] = field(default_factory=dict)
    resumes: int = 0
    skipped: set[str] = field(default_factory=set)
    ended_by_others: set[str] = field(default_factory=set)
    fences: dict[str, tuple[Fenced, float]] = field(default_factory=dict)
    evidence: list[tuple[datetime, str, Evidence]] = field(default_factory=list)
    events: list[tuple[datetime, Event]] = field(default_factory=list)
    ended: RunEnded | None = None

    @property
    def run_id(self) -> str:
        """Its id."""
        return self.run.run_id

    def accepted(self, guard: Guard) -> bool:
        """Somebody accepted what this guard refuses, as far as the journal says by now."""
        return any(item.guard is guard for item in self.acceptances)

    def moment(self, at: datetime) -> float:
        """What a moment by its holder's clock was, in seconds of the world."""
        return ((at - START).total_seconds() - self.skew) / self.rate


class Rule:
    """Base of rules. ``name``: I1 to I18, L1, L2; ``witness``: who sees for it; set before anything else is called."""

    name = ""
    witness: Witness

    def begun(self) -> None:
        """Everybody is in their places; nothing has happened."""

    def record(self, told: Told, record: StoredRecord, event: Event) -> None:
        """A new journal record. ``told`` has taken it in already."""

    def effect(self, effect: Effect) -> None:
        """Something changed in the world; new records were told before. ``witness.leads`` is as it was before the effect."""

    def over(self) -> None:
        """The story has ended."""

    def broken(self, text: str, name: str = "") -> None:
        """Something happened that must never happen."""
        self.witness.stage.broken(name or self.name, text)


class Witness:
    """``dr.simulate.play.Checker``: all rules of one story.

    leads: by database and region, at the last look. capable_until: by database and region, until when it was last seen to be unable to
    take writes. accepted: by component and region, the timeline on which it took a write that was read back from inside.
    """

    stage: Stage

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        # most rules look at the one or at the other: of 21 rules 7 hear of records, and a call that does nothing costs, too
        self._of_records = [rule for rule in rules if type(rule).record is not Rule.record]
        self._of_effects = [rule for rule in rules if type(rule).effect is not Rule.effect]
        self.told: dict[str, Told] = {}
        self.open: list[Told] = []
        self.leads: dict[tuple[str, str], Lead] = {}
        self.incapable_until: dict[tuple[str, str], float] = {}
        self.accepted: dict[tuple[str, str], int] = {}
        self._processes: dict[str, Process] = {}
        self._known_processes = 0

    # --- the life of a story ------------------------------------------------------------------------------------------

    def begin(self, stage: Stage) -> None:
        """Watches from now on."""
        self.stage, world = stage, stage.world
        stores = list(world.stores.values())
        self.databases = [store for store in stores if isinstance(store, Database)]
        self.deployments = [store for store in stores if isinstance(store, Deployments)]
        self.names = [store for store in stores if isinstance(store, Names)]
        home = stage.runbook.home
        for store in (*self.databases, *self.deployments):
            self.accepted[store.name, home] = 1  # it has served from there before the story
        self._look()
        for rule in self.rules:
            rule.witness = self
            rule.begun()
        world.watchers.append(self.happened)

    def happened(self, effect: Effect) -> None:
        """An effect: what was journaled before it first, then what it did."""
        if self.stage.violations:
            return
        self.read()
        self._accept(effect)
        for rule in self._of_effects:
            rule.effect(effect)
        self._look()

    def ended(self, stage: Stage) -> None:
        """The last look."""
        self.read()
        for rule in self.rules:
            if not stage.violations:
                rule.over()

    # --- the journal --------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Takes in what was journaled since the last look."""
        runs = self.stage.disk.runs
        if len(runs) > len(self.told):
            for run_id in list(runs)[len(self.told) :]:
                self.told[run_id] = told = Told(runs[run_id])
                self.open.append(told)
        quiet = False
        for told in self.open:
            for record in self._new(told):
                event = record.event
                self._take(told, record, event)
                for rule in self._of_records:
                    rule.record(told, record, event)
            quiet = quiet or told.ended is not None
        if quiet:
            self.open = [told for told in self.open if told.ended is None]

    def _new(self, told: Told) -> Iterator[StoredRecord]:
        """Records that were not read yet. Of a damaged disk those that follow from what was read; others are left out, and the run torn."""
        run = told.run
        if self.stage.disk.damages:
            for record in run.since(told.last + 1):
                whole = record.hash == chain_hash(told.head, record.run_id, record.seq, record.at, record.body)
                told.torn = told.torn or not whole
                told.last, told.head = record.seq, record.hash
                if whole:
                    yield record
            return
        records = run.records
        while told.seen < len(records):
            record = records[told.seen]
            told.seen += 1
            told.last, told.head = record.seq, record.hash
            yield record

    def _take(self, told: Told, record: StoredRecord, event: Event) -> None:
        at = datetime.fromisoformat(record.at)
        told.events.append((at, event))
        match event:
            case StepStarted() | StepEnded() | UndoStarted() | UndoEnded() | SkipRequested():
                self._step(told, event, at)
            case _:
                self._run(told, event, at)

    def _run(self, told: Told, event: Event, at: datetime) -> None:
        match event:
            case RunStarted():
                told.started = event
                told.acceptances += event.acceptances
                self._planned(told, event.plan)
                self._held(told, event.holder, event.epoch)
            case Resumed():
                for step in told.under:
                    told.left[step] = "its process ended in the middle of it"
                told.under.clear()
                told.resumes += 1
                self._held(told, event.holder, event.epoch)
            case Turned():
                self._planned(told, event.plan)
            case Accepted():
                told.acceptances.append(event.acceptance)
            case Observed():
                told.evidence.append((at, "", event.evidence))
            case RunEnded():
                told.ended = event

    def _step(self, told: Told, event: StepStarted | StepEnded | UndoStarted | UndoEnded | SkipRequested, at: datetime) -> None:
        match event:
            case StepStarted(step=step):
                told.attempts[step] = told.attempts.get(step, 0) + 1
                told.began[step] = at
                told.under[step] = Under(told.moment(at), told.epoch, told.holder, event.attempt)
            case UndoStarted(step=step):
                told.under[step] = Under(told.moment(at), told.epoch, told.holder, 0)
            case StepEnded():
                self._step_ended(told, event, at)
            case UndoEnded(step=step):
                if told.under.pop(step, None) is None:
                    told.ended_by_others.add(step)
            case SkipRequested(step=step):
                told.skipped.add(step)

    def _planned(self, told: Told, plan: Plan) -> None:
        told.plan = plan
        told.specs.update((spec.id, spec) for spec in plan.steps)

    def _held(self, told: Told, holder: str, epoch: int) -> None:
        told.holder, told.epoch = holder.partition("@")[0], epoch
        process = self.process(told.holder)
        if process is not None:
            told.skew, told.rate = process.skew, process.rate

    def _step_ended(self, told: Told, event: StepEnded, at: datetime) -> None:
        under = told.under.pop(event.step, None)
        if under is None:
            told.ended_by_others.add(event.step)
        told.evidence += ((at, event.step, item) for item in event.evidence)
        if event.outcome is Outcome.UNKNOWN:
            told.left[event.step] = "it is not known whether it took effect"
        elif event.outcome in (Outcome.DONE, Outcome.ALREADY):
            told.left.pop(event.step, None)
        for item in event.evidence:
            if isinstance(item, Fenced):
                told.fences[item.component] = item, under.at if under is not None else told.moment(at)

    # --- the world ----------------------------------------------------------------------------------------------------

    def process(self, name: str) -> Process | None:
        """A simulated process by its name."""
        processes = self.stage.processes
        if len(processes) > self._known_processes:
            self._processes.update((item.name, item) for item in processes[self._known_processes :])
            self._known_processes = len(processes)
        return self._processes.get(name)

    def asked(self, effect: Effect) -> Asked | None:
        """The newest call that can have had this effect; None where the world itself did."""
        of = effect.process, effect.run_id, effect.epoch, effect.step, effect.what, effect.region
        for item in reversed(self.stage.world.asked):
            if (item.process, item.run_id, item.epoch, item.step, item.what, item.region) == of:
                return item
        return None

    def others(self, database: Database, region: str) -> Iterator[str]:
        """The regions of a database beside one."""
        return (other for other in database.copies if other != region)

    def capable(self, database: Database, region: str) -> bool:
        """Nothing but the death of its region keeps this copy from taking writes."""
        copy = database.copies[region]
        return copy.primary and not (copy.fenced and not copy.up)

    def holds(self, component: str, region: str) -> bool:
        """It accepted a write there, seen from inside, since it became primary there the last time."""
        return self.accepted.get((component, region), 0) == self._timeline(component, region)

    def _timeline(self, component: str, region: str) -> int:
        store = self.stage.world.stores[component]
        database = store if isinstance(store, Database) else store.database if isinstance(store, Deployments) else None
        return database.copies[region].timeline if database is not None and database.copies[region].primary else -1

    def _accept(self, effect: Effect) -> None:
        """A write that was accepted from inside counts for the timeline that it was written on."""
        if effect.what in (f"{effect.component}.write", f"{effect.component}.write-inside"):
            self.accepted[effect.component, effect.region] = self._timeline(effect.component, effect.region)

    def _look(self) -> None:
        now = self.stage.world.now
        for database in self.databases:
            for region, copy in database.copies.items():
                key = database.name, region
                before = self.leads.get(key)
                capable = self.capable(database, region)
                if not capable or (before is not None and not before.capable):
                    self.incapable_until[key] = now
                self.leads[key] = Lead(database.writable(region), capable, copy.timeline)
