"""Simulated disasters, put together: the commands, the engine and the runbook's own plan, in a world and a time that are not real."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import cast

from dr.app.answers import Answers
from dr.app.conduct import Conductor, Hooks
from dr.app.fencing import FenceRetry
from dr.app.platform import Books, Platform, build
from dr.app.runs import Request, Runs
from dr.app.state import State
from dr.config.runbook import load_runbook
from dr.engine.planner import LaidOut, lay_out
from dr.errors import DrError, StateLost, StepError
from dr.model.base import Json, parse_duration
from dr.model.events import Approved, CancelRequested, Event, PauseRequested, SkipRequested
from dr.model.lag import LagSample
from dr.model.plan import Acceptance, StepSpec
from dr.model.report import RunReport
from dr.model.runbook import Runbook
from dr.model.scenario import Act
from dr.model.words import Guard, Intent
from dr.ports import Kind, Rhythm, Site, Step, Threads
from dr.providers.sim.kinds import SimKind, stores
from dr.providers.sim.loop import Loop
from dr.providers.sim.process import Process, chance
from dr.providers.sim.secrets import Secrets
from dr.providers.sim.weather import Weather
from dr.providers.sim.world import World, names
from dr.report.debt import Book
from dr.report.history import History
from dr.simulate.disk import Disk
from dr.simulate.samples import MemorySamples
from dr.simulate.stage import Command, Stage
from dr.simulate.stores import MemoryInbox, MemoryJournal, MemoryLease
from dr.simulate.story import Story

_NOWHERE = Path(os.devnull, "simulated")
"""The real kinds' state directory: their steps are looked at and never done, so nothing is read there, and nothing could be written."""
_LAYOUTS = 256
_NOT_TYPED = {"by_hand": "", "check_by_hand": ""}
RHYTHM = Rhythm(poll=2.0, renew=5.0)
"""Looked after less often than in real time: nothing is learned from a thousand looks at an empty inbox."""


class SimState(State):
    """The state directory of a simulated process."""

    def __init__(self, disk: Disk, process: Process, simulated: World) -> None:
        super().__init__(disk.directory, clock=process.clock, world="sim")
        self.disk, self.process, self.simulated = disk, process, simulated

    def make(self) -> None:
        """It is there."""

    def lay_out(self) -> None:
        """So are its files."""

    @property
    def threads(self) -> Threads:
        """Jobs in virtual time."""
        return self.process.threads

    @property
    def rhythm(self) -> Rhythm:
        """See ``RHYTHM``."""
        return RHYTHM

    @property
    def holder(self) -> str:
        """The simulated process."""
        return f"{self.process.name}@{self.process.machine}"

    @property
    def tool_version(self) -> str:
        """The simulated process's."""
        return self.process.version

    @cached_property
    def journal(self) -> MemoryJournal:
        """In memory."""
        return MemoryJournal(self.disk, self.process, self.process.point)

    @cached_property
    def inbox(self) -> MemoryInbox:
        """In memory."""
        return MemoryInbox(self.disk, self.process)

    @cached_property
    def samples(self) -> MemorySamples:
        """In memory."""
        return MemorySamples(self.disk, self.process)

    @property
    def derived(self) -> None:
        """No story has so many runs."""
        return None

    def lease(self) -> MemoryLease:
        """In memory."""
        return MemoryLease(self.disk, self.process)


class Studio(Books):
    """What all worlds of a runbook share: the runbook as it was read once, and its kinds' steps, which depend on nothing else."""

    def __init__(self, path: Path) -> None:
        self.runbook = load_runbook(path)
        self.path, self._base = Path(self.runbook.path), Path(self.runbook.base)
        self.real = build(self.runbook, State(_NOWHERE))
        self._document = super().document(self.runbook)
        self._chains: dict[tuple[str, Intent, str, str], Sequence[Step]] = {}
        self._layouts: dict[Hashable, tuple[Sequence[StepSpec], LaidOut]] = {}

    def close(self) -> None:
        """Forgets everything."""
        self.real.close()

    def chain(self, component: str, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The real steps of a component."""
        key = component, intent, source, target
        if key not in self._chains:
            steps = self.real.kinds[component].steps(intent, source, target)
            # nobody types in here: what a person would type is most of a plan's bytes, and each journal begins with a plan
            self._chains[key] = [Step(step.spec.model_copy(update=_NOT_TYPED), step.operation) for step in steps]
        return self._chains[key]

    def laid_out(self, specs: Sequence[StepSpec], runbook: Runbook, intent: Intent, learned: Mapping[str, timedelta]) -> LaidOut:
        """The same specs for the same intent lie the same way in every world."""
        key = intent, tuple(map(id, specs)), tuple(learned.items())
        if len(self._layouts) > _LAYOUTS:
            self._layouts.clear()
        if key not in self._layouts:
            self._layouts[key] = specs, lay_out(specs, runbook, intent, learned)  # the specs are kept, so that no other has their id
        return self._layouts[key][1]

    def load(self, path: Path) -> Runbook:
        """The one runbook."""
        return self.runbook

    def restore(self, document: Json) -> Runbook:
        """The one runbook."""
        return self.runbook

    def document(self, runbook: Runbook) -> Json:
        """Made once: every run of every world keeps the same."""
        return self._document if runbook is self.runbook else super().document(runbook)

    def build(self, runbook: Runbook, state: State) -> Platform:
        """Simulated kinds in the process whose state it is."""
        assert isinstance(state, SimState), "a simulation builds for its own processes"
        process, world = state.process, state.simulated
        peers: dict[str, Kind] = {}
        site = Site(
            runbook=runbook.name, regions=runbook.regions, hosts={}, clock=process.clock, secrets=self.real.site.secrets,
            samples=state.samples, artefacts=state.directory / "artefacts", base=self._base, peers=peers, world="sim",
        )  # fmt: skip
        for name, kind in self.real.kinds.items():
            simulated = SimKind(name, kind.kind, world.stores.get(name), world, process, site, self.chain)
            peers[name] = cast(Kind, simulated)  # a port's class attributes are this one's own: one class is all kinds
        return _SimPlatform(runbook, peers, site, process.threads)


class _SimPlatform(Platform):
    """Simulated kinds have nothing to open."""

    def warm(self, target: str) -> None:
        """A job for each kind that does nothing would cost as much as one that does something."""


class _Edited(Books):
    """Somebody has changed the runbook's file; what a run keeps is as it was."""

    def __init__(self, studio: Studio, stage: Stage) -> None:
        self.restore, self.build = studio.restore, studio.build  # type: ignore[method-assign]  # all else is the studio's
        self._runbook = studio.runbook.model_copy(update={"sha256": stage.edited})

    def load(self, path: Path) -> Runbook:
        """What the file says now."""
        return self._runbook


class Desk:
    """``dr.simulate.stage.Desk``: the commands themselves."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._read_back: dict[str, History] = {}
        """Runs of this world that some process has read back already."""
        self._reckoned: dict[str, Book] = {}

    def begin(self, stage: Stage, command: Command, run_id: str | None, on_end: Callable[[], None]) -> None:
        """One command, as its process runs it."""

        def main() -> None:
            state = SimState(stage.disk, command.process, stage.world)
            runs = Runs(state, laid_out=self._studio.laid_out, read_back=self._read_back, reckoned=self._reckoned)
            conductor = Conductor(state, runs, _Edited(self._studio, stage) if stage.edited else self._studio)
            try:
                command.report = self._obey(command.act, state, conductor, run_id)
            except DrError as error:
                command.error = error
            on_end()

        command.process.start(main)

    def _obey(self, act: Act, state: SimState, conductor: Conductor, run_id: str | None) -> RunReport | None:
        given = acceptances(act, state.clock.now())
        if act.intent is not None:
            platform = self._studio.build(conductor.books.load(self._studio.path), state)
            request = Request(act.intent, act.to, act.actor, act.reason, given)
            return conductor.start(platform, request, Hooks())
        assert run_id is not None, "an answer answers a run"
        if act.command == "resume":
            return conductor.resume(run_id, actor=act.actor, acceptances=given)
        return Answers(state, conductor.runs, conductor).request(run_id, _event(act), actor=act.actor)

    def report(self, stage: Stage, run_id: str) -> RunReport:
        """Of a run as it stands, read by a process that knows nothing of it."""
        return Runs(SimState(stage.disk, stage.process("reader"), stage.world)).report(run_id)

    def watch(self, stage: Stage, process: Process) -> None:
        """Heartbeats and samples every few seconds, identities now and then."""

        def main() -> None:
            state = SimState(stage.disk, process, stage.world)
            platform = self._studio.build(self._studio.runbook, state)
            number = 0
            rounds = _Rounds(platform, state)
            runs = Runs(state, laid_out=self._studio.laid_out, read_back=self._read_back, reckoned=self._reckoned)
            fence = FenceRetry(Conductor(state, runs, self._studio), platform, stage.world.tell)
            while True:
                rounds.next(identities=number % _IDENTITIES_EVERY == 0, views=number % _VIEWS_EVERY == 0)
                fence.saw()
                number += 1
                process.clock.sleep(_WATCHED_EVERY)

        process.start(main)


_WATCHED_EVERY, _IDENTITIES_EVERY, _VIEWS_EVERY = 10.0, 6, 3
"""Seconds between two rounds of the monitor; rounds between two snapshots of identities, and between two looks at who is primary."""


class _Rounds:
    """The rounds of a monitor, one component after the other.

    As ``dr.monitor.watch`` has it: who is primary is asked now and then, and at once when a heartbeat was not acknowledged; the primary
    that was known last gets the heartbeats while nobody, or more than one, leads.
    """

    def __init__(self, platform: Platform, state: SimState) -> None:
        self._state, self._name = state, platform.runbook.name
        # the others have nothing that a monitor keeps
        kinds = [kind for kind in platform.kinds.values() if isinstance(kind, SimKind)]
        self._kinds = [kind for kind in kinds if kind.store.placed or kind.store.watched]
        self._primaries: dict[str, str | None] = {}

    def next(self, *, identities: bool, views: bool) -> None:
        """Heartbeats and samples, and what else is due."""
        beats, samples = [], []
        for kind in self._kinds:
            if not kind.store.placed:
                samples += self._beside(kind, identities=identities, views=views)
                continue
            if not (kind.store.replicated or identities):
                continue
            seen = self._look(kind) if views or self._primaries.get(kind.name) is None else None
            primary = self._primaries[kind.name]
            if primary is None:
                continue
            beat = kind.beat(primary)
            if beat is not None:
                beats.append(beat)
                samples.append(kind.sample(primary))
                if beat.acknowledged_at is None and not views:
                    self._look(kind)
            if identities and seen is not None:  # who they are counts where somebody leads for sure
                with suppress(StepError, StateLost):
                    self._state.samples.keep_identities(self._name, kind.name, kind.identities(seen))
        with suppress(StateLost):
            self._state.samples.add(self._name, samples, beats)

    def _beside(self, kind: SimKind, *, identities: bool, views: bool) -> list[LagSample]:
        """What is kept of a component that is led by nobody: how far each side is behind, how many there were, what both sides held."""
        if kind.store.two_way:
            return [kind.sample(None)]
        if views:
            kind.view()
        if identities and isinstance(kind.store, Secrets):
            with suppress(StepError, StateLost):
                for found in [kind.identities(region) for region in kind.store.regions]:  # both, or neither
                    self._state.samples.keep_identities(self._name, kind.name, found)
        return []

    def _look(self, kind: SimKind) -> str | None:
        seen = kind.view().primary
        self._primaries[kind.name] = seen or self._primaries.get(kind.name)
        return seen


def acceptances(act: Act, at: datetime) -> tuple[Acceptance, ...]:
    """What a person accepts with a command."""
    given = []
    if act.accept_data_loss is not None:
        unbounded = act.accept_data_loss == "unknown"
        bound = None if unbounded else parse_duration(act.accept_data_loss)
        assert bound is None or isinstance(bound, timedelta)
        given.append(Acceptance(guard=Guard.EXPOSURE, actor=act.actor, reason=act.reason, at=at, bound=bound, unbounded=unbounded))
    guards = ((Guard.FENCE,) if act.accept_split else ()) + tuple(Guard(name) for name in act.accept)
    return (*given, *(Acceptance(guard=guard, actor=act.actor, reason=act.reason, at=at) for guard in guards))


def _event(act: Act) -> Event:
    """An answer to a run."""
    if act.approve is not None:
        return Approved(step=act.approve, actor=act.actor, text=act.reason)
    if act.skip is not None:
        return SkipRequested(step=act.skip, actor=act.actor, reason=act.reason)
    if act.command == "pause":
        return PauseRequested(actor=act.actor, reason=act.reason)
    return CancelRequested(actor=act.actor, reason=act.reason)


def new_stage(studio: Studio, story: Story) -> Stage:
    """A world for one story, at its beginning."""
    loop = Loop()
    world = World(loop, story.seed, names(tuple(studio.runbook.regions)), Weather(chance(story.seed, "weather")))
    world.stores.update(stores(world, studio.runbook, story.deployments, story.tasks))
    return Stage(loop, world, Disk(Path("/simulated")), studio.runbook, Desk(studio), story.seed)
