"""A crash at every place where the process of a command can die, one play each: somebody goes on, and the end must be the same one.

Places are counted in a play without a crash: before and after each write of the journal, before and after each effect, while a call is
under way, and between an effect and its answer. What is equal in the end is everything that lasts, moments apart: of every store, of the
run, and of what the run found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum, StrEnum
from typing import NamedTuple

from dr.engine import machine
from dr.engine.state import RunState
from dr.model.evidence import Fenced, Identities, TaskCount
from dr.model.scenario import Act
from dr.model.words import Intent, RunOutcome
from dr.providers.sim.beside import Channel
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.loop import Loop
from dr.providers.sim.process import Process, chance
from dr.providers.sim.weather import Mishap, Spell
from dr.providers.sim.world import Effect, World
from dr.simulate.stage import Command, Stage
from dr.simulate.stores import MemoryJournal

DISASTER, DECIDES = 20.0, 2.0
"""Seconds of the world: when the region is lost, or the move is due; and from then until the command is typed."""
_ENDS, _SETTLES, _TYPES = 3600.0, 20.0, 1.0
"""Seconds: by then it is over or stuck; what is still under way after the last command gets so long; a person needs so long to type."""
_UNDER_WAY = 0.001
"""Seconds after a call was sent: no call travels faster than twice that."""
_NEVER = 1e6
"""Seconds by which tasks are made longer, so that none ends by itself earlier or later because a process was killed."""


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
        told = any(name.startswith(_TOLD) for name in self.lasts)
        names = [name for name in dict.fromkeys((*self.lasts, *other.lasts)) if told or not name.startswith(_TOLD)]
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
            died=tuple(died), lasts=_lasting(stage), places=tuple(map(self._places, self.processes)),
            repeated=self._repeated(), stuck="" if self.over else f"not over after {_ENDS:g} s: {self.waits_for}",
        )  # fmt: skip
        for process in stage.processes:
            process.kill()
        return ended

    def _plot(self) -> None:
        stage = self.stage
        stage.loop.sleep(DISASTER)
        if self.intent is Intent.FAILOVER:
            stage.world.lose(self.home)
        stage.loop.sleep(DECIDES)
        way: Way | None = None
        while True:
            command = self._type(way)
            self.waits_for = f"{command.process.name}, {command.act.command or command.act.intent}"
            stage.wait_for(command, _ENDS)
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

    def _type(self, way: Way | None) -> Command:
        """The next command, in a process that may have to die."""
        stage, begun = self.stage, list(self.stage.disk.runs)
        resumes = bool(begun) and way in (Way.RESUME, Way.RESUME_ELSEWHERE)  # one that died before its first record left nothing to resume
        process = stage.process("operator", machine="elsewhere" if way is Way.RESUME_ELSEWHERE else "here")
        self.processes.append(process)
        self.sent[process.name] = []
        number = len(self.processes)
        if number <= len(self.crashes):
            _dies(stage, process, self.crashes[number - 1])
        act = Act(
            at=timedelta(0), actor="on-call", reason="the region is lost", accept_data_loss="unknown", accept_split=True,
            intent=None if resumes else self.intent, to=self.away, command="resume" if resumes else None,
        )  # fmt: skip
        return stage.type(act, run_id=begun[-1] if begun else None, process=process)

    def _places(self, process: Process) -> tuple[Place, ...]:
        """Everywhere where a process can die."""
        points = [Place(When.AT, number, name) for number, name in enumerate(process.points, start=1)]
        sent = [Place(When.SENT, place.number, place.name) for place in points if place.name.startswith("before ")]
        own = [effect for effect in self.stage.world.effects if effect.process == process.name]
        return (*points, *sent, *(Place(When.UNHEARD, number, effect.what) for number, effect in enumerate(own, start=1)))

    def _repeated(self) -> tuple[str, ...]:
        """Effects of irreversible steps, and messages to people, that happened more than once."""
        once = {step.spec.id for state in _states(self.stage) for step in state.steps.values() if step.spec.irreversible}
        count = Counter(f"{effect.what} in {effect.region}" for effect in self.stage.world.effects if effect.step in once)
        for store in self.stage.world.stores.values():
            if isinstance(store, Channel):
                count.update(f"message {stage}" for _run, stage, _text in store.sent)
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


# --- what lasts -----------------------------------------------------------------------------------------------------------


_TOLD = "told"
_PASSING = {"before_sha256", "after_sha256", "proof", "final_position", "items_path"}
"""What evidence says about a moment: hashes that include one, positions, words."""
_MOMENTS = (
    (re.compile(r"\b\d{8}-\d{6}-[0-9a-f]{4}\b"), "RUN"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?"), "WHEN"),
    (re.compile(r"\b(\d+(\.\d+)? ?(ms|s|min|m|h) ?)+\b"), "SO LONG "),
)
"""What texts say that another moment changes."""


def _lasting(stage: Stage) -> dict[str, str]:
    """Everything that lasts, moments apart."""
    # a message is sent once at most, by design: where it may have been sent already, the run says that it is not sent again
    lasting = {name: store for name, store in stage.world.stores.items() if not isinstance(store, Channel)}
    found = dict(_leaves("store", lasting))
    found.update(_run(stage))
    found.update(_told(stage))
    return found


def _leaves(path: str, thing: object) -> Iterator[tuple[str, str]]:
    """What there is below a thing, as pairs of a path and a value: moments, durations and what belongs to the machinery left out."""
    match thing:
        case float() | date() | timedelta() | World() | Loop():
            return
        case str() | int() | Enum() | None:
            yield path, _plain(str(thing))
        case Set():
            yield path, " ".join(sorted(map(str, thing)))
        case _:
            for name, value in _inside(path, thing):
                yield from _leaves(f"{path}{name}", value)


def _inside(path: str, thing: object) -> Iterator[tuple[str, object]]:
    """The parts of a thing, and how many they are where that can differ."""
    if isinstance(thing, Mapping):
        yield from ((f".{_plain(str(key))}", value) for key, value in thing.items())
    elif isinstance(thing, tuple) and hasattr(thing, "_fields"):
        # epochs grow with each process that holds the lease
        yield from ((f".{name}", part) for name, part in zip(thing._fields, thing, strict=True) if name != "epoch")
    elif isinstance(thing, Sequence):
        yield "#", len(thing)
        yield from ((f"[{number}]", value) for number, value in enumerate(thing, start=1))
    else:
        names = [field.name for field in fields(thing)] if is_dataclass(thing) else vars(thing)
        parts = ((name, getattr(thing, name)) for name in names if not name.startswith("_"))
        yield from ((f".{name}", part) for name, part in parts if not callable(part) and not _is_store(path, part))


def _plain(text: str) -> str:
    """A text without its moments."""
    for pattern, word in _MOMENTS:
        text = pattern.sub(word, text)
    return text


def _is_store(path: str, thing: object) -> bool:
    """One store that stands on another one names it: it is looked at under its own name."""
    return path.count(".") >= 1 and hasattr(thing, "advance") and hasattr(thing, "lost")


def _told(stage: Stage) -> Iterator[tuple[str, str]]:
    """What the person was told in the end. Nothing where the command died after the last record: then there was no more to tell."""
    for report in [item.report for item in stage.commands if item.report and item.report.outcome is RunOutcome.COMPLETED][-1:]:
        aims = report.objectives
        yield f"{_TOLD} exit code", str(report.exit_code)
        yield f"{_TOLD} objectives", f"RTA {aims.rta_state} {aims.rto_met}, RPA {aims.rpa_state} {aims.rpo_met}"
        yield f"{_TOLD} fence", str(report.fence.state)
        yield f"{_TOLD} divergence", str(report.divergence.state)
        yield f"{_TOLD} debt", ", ".join(sorted(f"{item.kind} of {item.component}" for item in report.debt))


def _states(stage: Stage) -> list[RunState]:
    """The runs that did something, as a process that knows nothing reads them: verified."""
    journal = MemoryJournal(stage.disk, stage.process("reader"))
    runs = {run_id: [(datetime.fromisoformat(item.at), item.event) for item in journal.records(run_id)] for run_id in journal.runs()}
    folded = [machine.fold(events, run_id) for run_id, events in runs.items()]
    return [state for state in folded if state.outcome is not RunOutcome.ALREADY]


def _run(stage: Stage) -> Iterator[tuple[str, str]]:
    """What the journal says of the run."""
    moved = _states(stage)
    yield "runs", str(len(moved))
    for state in moved:
        yield "run", f"{state.status} {state.outcome}"
        for step in state.steps.values():
            yield f"step {step.spec.id}", "passed" if state.passes(step) else step.state
        for fact in (Identities, TaskCount, Fenced):
            last = {item.component: item for item in state.evidence if isinstance(item, fact)}
            for component, item in sorted(last.items()):
                yield from _leaves(f"{item.fact} of {component}", item.model_dump(exclude=_PASSING))
