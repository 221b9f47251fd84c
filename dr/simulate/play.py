"""Plays one story in one world: everybody to their places, faults in their time, everything heals, everybody must come to an end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from dr.model.events import RunEnded, RunStarted
from dr.model.plan import Plan
from dr.model.report import RunReport
from dr.model.scenario import Act
from dr.model.words import Intent, RunOutcome
from dr.providers.sim.database import Database
from dr.providers.sim.names import Names
from dr.providers.sim.sort import Sort
from dr.providers.sim.world import Way
from dr.simulate.colleagues import Colleagues, asked
from dr.simulate.people import DONE, OnCall
from dr.simulate.stage import Stage, Violation
from dr.simulate.story import Story, Struck

MONITOR = "watch"
MACHINES = ("here", "elsewhere", MONITOR)
"""Where processes run: the engineer's own machine, another one, the monitor's."""
_LOOK_EVERY = 1.0
"""Seconds between two looks whether somebody is still at a run."""


class FaultSort(Protocol):
    """One named fault: what it does to a world, and how that is undone when everything heals."""

    name: str

    def strike(self, stage: Stage, struck: Struck) -> None:
        """It happens now."""

    def heal(self, stage: Stage, struck: Struck) -> None:
        """What of it lasts is over now. Called for every fault of a story, once; harmless where nothing lasts."""


class Checker(Protocol):
    """Looks for what must never be, outside the code under test. Says so with ``Stage.broken``."""

    def begin(self, stage: Stage) -> None:
        """Before anything happens: to watch the world's effects, to remember what there was."""

    def ended(self, stage: Stage) -> None:
        """Everything is over."""


@dataclass(frozen=True)
class Played:
    """What came of a story.

    reports: of all commands that answered with one, in order. digest: SHA-256 over all journals, byte for byte. seconds: from the
    beginning disaster until everything was over. decisions: what a person had to decide.
    """

    story: Story
    reports: tuple[RunReport, ...]
    violations: tuple[Violation, ...]
    digest: str
    decisions: tuple[str, ...]
    effects: int
    seconds: float


def play(
    stage: Stage, story: Story, faults: Mapping[str, FaultSort], checkers: Sequence[Checker], stop: Callable[[], bool] | None = None
) -> Played:
    """One story from its beginning to its end, or to the first violation. ``stop``: asked often; true ends it where it is, and nothing is
    said of what is not over."""
    loop = stage.loop
    for store in stage.world.stores.values():
        if isinstance(store, Database):
            store.lag = story.lag
    for checker in checkers:
        checker.begin(stage)
    stage.desk.watch(stage, stage.process("monitor", machine=MONITOR))
    for struck in story.faults:
        loop.at(struck.at, _call(faults[struck.name].strike, stage, struck))
    person = OnCall(stage, story)
    plot = _Plot(stage, story, person, faults)
    loop.spawn(None, plot.run, "plot")
    if asked(stage.runbook):
        loop.spawn(None, Colleagues(stage, story).run, "colleagues")

    def over() -> bool:
        return plot.over or bool(stage.violations) or stage.left_waiting is not None

    loop.run(story.ends, over if stop is None else lambda: over() or stop())
    stopped = not over() and stop is not None and stop()
    if not over() and not stopped:
        stage.broken("L1", f"not over {story.ends - story.heals:.0f} s after everything had healed: {plot.waits_for}")
    for checker in checkers:
        if not stage.violations and not stopped:
            checker.ended(stage)
    reports = tuple(command.report for command in stage.commands if command.report is not None)
    found = digest(stage)
    stage.close()
    return Played(story, reports, tuple(stage.violations), found, tuple(person.decisions), len(stage.world.effects), loop.now)


def digest(stage: Stage) -> str:
    """SHA-256 over the hashes of all records of all runs: equal exactly where every journal is equal, byte for byte."""
    total = hashlib.sha256()
    for run in stage.disk.runs.values():
        for record in run.records:
            total.update(record.hash.encode())
    return total.hexdigest()


def _call(strike: Callable[[Stage, Struck], None], stage: Stage, struck: Struck) -> Callable[[], None]:
    def happens() -> None:
        if not stage.healed:  # what comes after the healing would never end
            stage.world.tell(f"fault {struck.name}")
            strike(stage, struck)

    return happens


@dataclass
class _Plot:
    """What the story is about, as one job."""

    stage: Stage
    story: Story
    person: OnCall
    faults: Mapping[str, FaultSort]
    over: bool = False
    waits_for: str = "the disaster"

    def run(self) -> None:
        """The disaster, the people, the healing, the repetition."""
        stage, story, person = self.stage, self.story, self.person
        home = stage.runbook.home
        away = next(name for name in stage.runbook.regions if name != home)
        stage.loop.sleep(story.disaster)
        self._disaster(home)
        stage.loop.sleep(story.person.decides if story.intent is Intent.FAILOVER else 0.0)
        self.waits_for = f"the {story.intent}"
        done = person.brings_about(story.intent, away, until=story.heals)
        if stage.loop.now < story.heals:
            stage.loop.sleep(story.heals - stage.loop.now if not done else min(60.0, story.heals - stage.loop.now))
        self._heal(home)
        if not done:
            done = person.brings_about(story.intent, away, until=story.ends)
        if done and story.plot == "round-trip" and self._placed:
            if self._only_names:
                self._repeat()  # until the name server that was lost has heard of it, nobody can say where the way back begins
            for intent in (Intent.REPROTECT, Intent.FAILBACK):
                self.waits_for = f"the {intent}"
                done = done and person.brings_about(intent, None, until=story.ends)
        left = self._left_behind if done else None
        if left is not None:
            self.waits_for = "the end of a run that somebody else left behind"
            done = person.brings_about(left.intent, left.target if left.intent.moves else None, until=story.ends)
        if done:
            self.waits_for = "the same command once more"
            self._repeat()
            self.waits_for = "the end of a run that is under way"
            while self._under_way:
                stage.loop.sleep(_LOOK_EVERY)
        self.over = done

    def _disaster(self, home: str) -> None:
        world = self.stage.world
        if self.story.plot in ("lost", "round-trip"):
            world.lose(home)
        elif self.story.plot == "partition":
            for machine in MACHINES:
                world.set_way(machine, home, Way.CUT)
            for other in world.regions:
                if other != home:
                    world.set_link(home, other, open_=False)

    def _heal(self, home: str) -> None:
        """All faults are over, and the region is back."""
        world = self.stage.world
        self.stage.healed = True
        for struck in self.story.faults:
            self.faults[struck.name].heal(self.stage, struck)
        world.weather.spells.clear()
        world.ways.clear()
        world.settle()
        world.cut_links.clear()
        for region in world.regions:
            world.bring_back(region)
        world.tell("everything has healed")

    @property
    def _placed(self) -> list[Sort]:
        """What says itself in which region it is: without any of it, nobody can be asked where the platform is."""
        return [store for store in self.stage.world.stores.values() if isinstance(store, Sort) and store.placed]

    @property
    def _only_names(self) -> bool:
        return bool(self._placed) and all(isinstance(store, Names) for store in self._placed)

    @property
    def _left_behind(self) -> Plan | None:
        """What somebody else began after the engineer's move had come to its end, and what has not: it was refused something half-way, or
        its process died. Nobody goes home then: it is brought to its end."""
        runs = [run.records for run in self.stage.disk.runs.values() if run.records]
        left = [records[0].event for records in runs if not any(isinstance(record.event, RunEnded) for record in records)]
        return next((event.plan for event in reversed(left) if isinstance(event, RunStarted)), None)

    @property
    def _under_way(self) -> bool:
        """Somebody is at a run: the monitor may try a fence that is owed in the very moment in which everybody else is done. A story that
        ended in the middle of it would say that it never ends."""
        disk = self.stage.disk
        lease = disk.leases.get(self.stage.runbook.name)
        if lease is None or lease.released or not lease.process.alive or lease.run_id not in disk.runs:
            return False
        return not any(isinstance(record.event, RunEnded) for record in disk.runs[lease.run_id].records)

    @property
    def _last(self) -> Act:
        """The command that brought the platform where it is."""
        done = [item for item in self.stage.commands if item.ended is not None and item.report is not None and item.report.outcome in DONE]
        moves = [item for item in done if item.act.intent is not None and item.act.intent.moves]
        return max(moves, key=lambda item: item.ended or 0.0).act

    def _repeat(self) -> None:
        """L2: the same command again, the last one that brought the platform where it is, touches nothing.

        A runbook of nothing but checks, programs and messages has nothing that could say where it is: it comes to its end once more. Of
        one that moves only names each name server speaks for itself, and one that was lost has not heard of it: the same command tells it,
        and given once more touches nothing.
        """
        stage, last = self.stage, self._last
        act = Act(at=timedelta(0), intent=last.intent, to=last.to, actor="on-call", reason="once more")
        for _ in range(2 if self._only_names else 1):
            before = len(stage.world.effects)
            command = stage.type(act)
            stage.wait_for(command, self.story.ends)
            own = [effect for effect in stage.world.effects[before:] if effect.process == command.process.name]
            outcome = None if command.report is None else command.report.outcome
            if (outcome is RunOutcome.ALREADY and not own) or (outcome in DONE and not self._placed):
                return
        what = ", ".join(effect.what for effect in own[:5]) or f"{outcome or command.error}"
        stage.broken("L2", f"the same command once more: {what}")
