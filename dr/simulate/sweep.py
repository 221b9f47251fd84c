"""A crash at every place where the process of a command can die, one play each: somebody goes on, and the end must be the same one.

Places are counted in a play without a crash: before and after each write of the journal, before and after each effect, while a call is
under way, and between an effect and its answer. What is equal in the end is everything that lasts, moments apart: of every store, of the
run, and of what the run found. The way back (reprotect, failback) begins where a failover has ended and the lost region is there again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from dr.model.events import RunEnded
from dr.model.scenario import Act
from dr.model.words import Intent, RunOutcome
from dr.providers.sim.beside import Channel
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.process import Process, chance
from dr.providers.sim.weather import Mishap, Spell
from dr.providers.sim.world import Effect
from dr.simulate.lasting import TOLD, lasting, states
from dr.simulate.stage import Command, Stage

DISASTER, DECIDES = 20.0, 2.0
"""Seconds of the world: when the region is lost, or the move is due; and from then until the command is typed."""
_ENDS, _SETTLES, _TYPES = 3600.0, 20.0, 1.0
"""Seconds: by then it is over or stuck; what is still under way after the last command gets so long; a person needs so long to type."""
_UNDER_WAY = 0.001
"""Seconds after a call was sent: no call travels faster than twice that."""
_NEVER = 1e6
"""Seconds by which tasks are made longer, so that none ends by itself earlier or later because a process was killed."""


_BEFORE: Mapping[Intent, tuple[Intent, ...]] = {
    Intent.REPROTECT: (Intent.FAILOVER,), Intent.FAILBACK: (Intent.FAILOVER, Intent.REPROTECT),
}  # fmt: skip
"""What was done, without a crash, before the command that is tried."""


class When(StrEnum):
    """What the process was doing when it died."""

    AT = "at"
    SENT = "call under way"
    UNHEARD = "effect happened, answer under way"
    HALF = "a part of it happened"


class Place(NamedTuple):
    """Where a process dies. number: of its points, or of its effects (UNHEARD), counted from 1."""

    when: When
    number: int
    name: str

    def __str__(self) -> str:
        return f"{self.name}, {self.when} ({self.number})"


class Way(StrEnum):
    """How somebody goes on after a crash."""

    RESUME = "dr resume, same machine"
    RESUME_ELSEWHERE = "dr resume, another machine"
    AGAIN = "the same command again"


@dataclass(frozen=True)
class Ended:
    """How one play ended.

    died: where its processes did, as far as it came to that. lasts: all that lasts, as pairs of a path and a value. places: of each process
    that acted, in order. repeated: irreversible effects that happened more than once. stuck: what it was waiting for when time was over;
    empty where it ended.
    """

    died: tuple[Place, ...]
    lasts: Mapping[str, str]
    places: tuple[tuple[Place, ...], ...]
    repeated: tuple[str, ...]
    stuck: str = ""

    def differs(self, other: Ended) -> tuple[str, ...]:
        """What is not as in another play, or never may be, in words."""
        told = any(name.startswith(TOLD) for name in self.lasts)
        names = [name for name in dict.fromkeys((*self.lasts, *other.lasts)) if told or not name.startswith(TOLD)]
        found = [(name, self.lasts.get(name), other.lasts.get(name)) for name in names]
        bad = [self.stuck] * bool(self.stuck) + [f"{what} took effect twice" for what in self.repeated]
        return (*bad, *(f"{name}: {here}, was {there}" for name, here, there in found if here != there))


@dataclass(frozen=True)
class Crashed:
    """A play with crashes. unlike: what was not as without them; empty where all was."""

    crashes: tuple[Place, ...]
    ways: tuple[Way, ...]
    ended: Ended
    unlike: tuple[str, ...]

    def __str__(self) -> str:
        died = ", then ".join(f"{place}, {way}" for place, way in zip(self.crashes, self.ways, strict=True))
        return f"{died}: {'; '.join(self.unlike[:5]) or 'as without a crash'}"


class Sweep:
    """All crashes of one command in one world.

    Args:
        stages: makes that world, at its beginning, and the very same each time.
    """

    def __init__(self, stages: Callable[[], Stage], intent: Intent) -> None:
        self._stages, self._intent = stages, intent
        self.whole = play(stages(), intent)
        """The play without a crash."""
        self.places = (*self.whole.places[0], *self._halves())
        """Everywhere where the command's process can die."""

    def each(self, ways: Sequence[Way] = tuple(Way)) -> Iterator[Crashed]:
        """One crash at every place, gone on in every way."""
        for place in self.places:
            for way in ways:
                yield self.crash((place,), (way,))

    def in_turn(self) -> Iterator[Crashed]:
        """One crash at every place, gone on in each way in its turn."""
        ways = tuple(Way)
        for number, place in enumerate(self.places):
            yield self.crash((place,), (ways[number % len(ways)],))

    def pairs(self, singles: Sequence[Crashed], seed: str, count: int) -> Iterator[Crashed]:
        """Two crashes: who goes on after the first one dies, too. So many are drawn. ``singles``: played before."""
        draw = chance(seed, "pairs of crashes")
        went_on = [single for single in singles if any(single.ended.places[1:2])]
        for _ in range(count):
            first = draw.choice(went_on)
            again = draw.choice(first.ended.places[1])
            yield self.crash((*first.crashes, again), (*first.ways, draw.choice(tuple(Way))))

    def _halves(self) -> Iterator[Place]:
        """In the middle of effects that are many: which those are shows when it is tried."""
        for place in self.whole.places[0]:
            if place.when is When.SENT:
                half, stage = place._replace(when=When.HALF), self._stages()
                play(stage, self._intent, (half,), (Way.RESUME,))
                if any(effect.text for effect in stage.world.effects if effect.process):
                    yield half

    def crash(self, crashes: tuple[Place, ...], ways: tuple[Way, ...]) -> Crashed:
        """One play with crashes, compared."""
        ended = play(self._stages(), self._intent, crashes, ways)
        missed = [f"nothing died {place}" for place in crashes[len(ended.died) :]]
        return Crashed(crashes, ways, ended, (*missed, *ended.differs(self.whole)))


def play(stage: Stage, intent: Intent, crashes: Sequence[Place] = (), ways: Sequence[Way] = ()) -> Ended:
    """One move, whose first process dies at the first place, the one that goes on at the second one, and so on."""
    return _Play(stage, intent, list(crashes), list(ways)).run()


class _Play:
    """One play."""

    def __init__(self, stage: Stage, intent: Intent, crashes: list[Place], ways: list[Way]) -> None:
        self.stage, self.intent, self.crashes, self.ways = stage, intent, crashes, ways
        self.waits_for = "the disaster"
        self.over = False
        self.begins, self.runs, self.typed = 0, 0, 0  # so many effects, runs and commands were there before the one that is tried
        self.processes: list[Process] = []
        self.sent: dict[str, list[int]] = {}
        self.home = stage.runbook.home
        self.away = next(name for name in stage.runbook.regions if name != self.home)

    def run(self) -> Ended:
        """Plays it, and looks at what there is in the end."""
        stage = self.stage
        for store in stage.world.stores.values():
            for task in store.tasks if isinstance(store, Deployments) else ():
                task.ends += _NEVER
        stage.desk.watch(stage, stage.process("monitor"))
        stage.loop.spawn(None, self._plot, "plot")
        stage.loop.run(_ENDS, lambda: self.over)
        died = [place for place, process in zip(self.crashes, self.processes, strict=False) if process.dead]
        ended = Ended(
            died=tuple(died), lasts=lasting(stage, stage.commands[self.typed :]), places=tuple(map(self._places, self.processes)),
            repeated=self._repeated(), stuck="" if self.over else f"not over after {_ENDS:g} s: {self.waits_for}",
        )  # fmt: skip
        for process in stage.processes:
            process.kill()
        return ended

    def _plot(self) -> None:
        stage = self.stage
        stage.loop.sleep(DISASTER)
        before = _BEFORE.get(self.intent, ())
        if self.intent is Intent.FAILOVER or before:
            stage.world.lose(self.home)
        stage.loop.sleep(DECIDES)
        for intent in before:
            self.waits_for = f"{intent}, before"
            command = stage.type(self._act(intent))
            stage.wait_for(command, _ENDS)
            if command.report is None or command.report.outcome is not RunOutcome.COMPLETED:
                return
            stage.world.bring_back(self.home)
            stage.loop.sleep(_SETTLES)
        self.begins, self.runs, self.typed = len(stage.world.effects), len(stage.disk.runs), len(stage.commands)
        way: Way | None = None
        while True:
            command = self._type(way)
            self.waits_for = f"{command.process.name}, {command.act.command or command.act.intent}"
            stage.wait_for(command, _ENDS)
            if command.process.dead and self.intent is Intent.REPROTECT and self._ended():
                break  # who types it once more protects once more
            if command.process.dead:
                way = self.ways[min(len(self.processes), len(self.ways)) - 1]
            elif command.report is not None and command.report.outcome in (RunOutcome.COMPLETED, RunOutcome.ALREADY):
                break
            else:
                self.waits_for = f"{command.process.name} answered {command.error or (command.report and command.report.outcome)}"
                if command.act.command is None:
                    return  # stuck: nothing was killed, and the command itself says no
                way = Way.AGAIN  # the run had ended already when it was to be resumed
            stage.loop.sleep(_TYPES)
        stage.loop.sleep(_SETTLES)
        self.over = True

    def _ended(self) -> bool:
        """The newest run had come to its end before its process died."""
        run = next(reversed(list(self.stage.disk.runs.values())[self.runs :]), None)
        return run is not None and isinstance(run.records[-1].event, RunEnded)

    def _type(self, way: Way | None) -> Command:
        """The next command, in a process that may have to die."""
        stage, begun = self.stage, list(self.stage.disk.runs)[self.runs :]
        resumes = bool(begun) and way in (Way.RESUME, Way.RESUME_ELSEWHERE)  # one that died before its first record left nothing to resume
        process = stage.process("operator", machine="elsewhere" if way is Way.RESUME_ELSEWHERE else "here")
        self.processes.append(process)
        self.sent[process.name] = []
        number = len(self.processes)
        if number <= len(self.crashes):
            _dies(stage, process, self.crashes[number - 1])
        return stage.type(self._act(None if resumes else self.intent), run_id=begun[-1] if begun else None, process=process)

    def _act(self, intent: Intent | None) -> Act:
        """A command of the person's, None: to go on with the run. The way back needs no target, and nothing is accepted there."""
        lost = (intent or self.intent) not in _BEFORE
        return Act(
            at=timedelta(0), actor="on-call", reason="the region is lost" if lost else "it is back", intent=intent,
            accept_data_loss="unknown" if lost else None, accept_split=lost, to=self.away if lost else None,
            command="resume" if intent is None else None,
        )  # fmt: skip

    def _places(self, process: Process) -> tuple[Place, ...]:
        """Everywhere where a process can die."""
        points = [Place(When.AT, number, name) for number, name in enumerate(process.points, start=1)]
        sent = [Place(When.SENT, place.number, place.name) for place in points if place.name.startswith("before ")]
        own = [effect for effect in self.stage.world.effects if effect.process == process.name]
        return (*points, *sent, *(Place(When.UNHEARD, number, effect.what) for number, effect in enumerate(own, start=1)))

    def _repeated(self) -> tuple[str, ...]:
        """Effects of irreversible steps, and messages to people, that happened more than once."""
        once = {step.spec.id for state in states(self.stage) for step in state.steps.values() if step.spec.irreversible}
        own = self.stage.world.effects[self.begins :]
        count = Counter(f"{effect.what} in {effect.region}" for effect in own if effect.step in once)
        before = list(self.stage.disk.runs)[: self.runs]
        for store in self.stage.world.stores.values():
            if isinstance(store, Channel):
                count.update(f"message {stage}" for run, stage, _text in store.sent if run not in before)
        return tuple(what for what, times in count.items() if times > 1)


def _dies(stage: Stage, process: Process, place: Place) -> None:
    """The process will die there."""
    loop, weather, effects = stage.loop, stage.world.weather, 0
    armed = place.when is When.UNHEARD

    def point(name: str) -> None:
        nonlocal armed
        if len(process.points) != place.number:
            return
        match place.when:
            case When.AT:
                process.kill()
            case When.SENT:
                loop.at(loop.now + _UNDER_WAY, process.kill)
            case When.HALF:
                armed, what = True, name.removeprefix("before ")
                weather.spells.append(Spell(Mishap.HALF, loop.now, loop.now + _UNDER_WAY, 1.0, lambda call: call.what == what))

    def watch(effect: Effect) -> None:
        nonlocal effects
        effects += effect.process == process.name
        if armed and effect.process == process.name and (place.when is When.HALF or effects == place.number):
            process.kill()

    process.at_point = point
    if place.when in (When.UNHEARD, When.HALF):
        stage.world.watchers.append(watch)
