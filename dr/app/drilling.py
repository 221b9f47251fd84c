"""Drills in virtual time, put together: the drill itself, its people and a monitor as simulated processes of one world."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, partial
from pathlib import Path

from dr.app.conduct import Conductor
from dr.app.facade import App
from dr.app.fencing import FenceRetry
from dr.app.platform import Platform
from dr.app.runs import Runs
from dr.app.simulation import Desk, SimState, Studio
from dr.config.runbook import load_runbook
from dr.config.scenario import load_scenario, refuse, runbook_path
from dr.errors import StateLost, StepError
from dr.lab.layout import deployments
from dr.lab.platform.config import Served, writes_per_second
from dr.lab.platform.images import images_of
from dr.lab.platform.reckon import reckon
from dr.lab.platform.record import Attempt, Poll
from dr.model.lag import LagSample
from dr.model.report import DrillReport
from dr.model.scenario import Workload
from dr.model.truth import Truth
from dr.monitor import watch
from dr.ports import Kind, Rhythm
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.images import Images
from dr.providers.sim.kinds import SimKind, stores
from dr.providers.sim.loop import Loop
from dr.providers.sim.process import START, Process, chance
from dr.providers.sim.weather import Weather
from dr.providers.sim.world import Store, World, names
from dr.simulate.client import ANSWERED
from dr.simulate.disk import Disk
from dr.simulate.drillworld import Ledger, SimDrillWorld
from dr.simulate.hits import beyond
from dr.simulate.keyboard import SimOperator
from dr.simulate.play import digest
from dr.simulate.samples import MemorySamples
from dr.simulate.stage import Stage

Obey = Callable[[App, Sequence[str]], tuple[int, str]]
"""A command line, obeyed: exit status, and what is printed on stdout. Handed in: how command lines are read is the keyboard's business."""
_BEAT = 0.25
"""Seconds between two rounds of the monitor."""
_TASKS_LAST = 3600.0
"""Seconds that every task runs at least: those that a scenario counts on are under way when its disaster comes."""
_FOREVER = 10 * 24 * 3600.0
"""Seconds after which a drill whose commands never end is given up; its own time limits come long before."""


class DrillState(SimState):
    """The state directory of a process of a drill; looked after as often as in real time."""

    @property
    def rhythm(self) -> Rhythm:
        """As outside of any simulation."""
        return Rhythm()


class SimApp(App):
    """``dr`` in one simulated process."""

    def __init__(self, state: SimState, studio: Studio) -> None:
        self.state, self._studio = state, studio
        self.runs = Runs(state)

    @cached_property
    def conductor(self) -> Conductor:
        """With the simulation's own runbooks."""
        return Conductor(self.state, self.runs, self._studio)

    def load(self, path: Path) -> Platform:
        """The one runbook, in this process."""
        return self._studio.build(self._studio.load(path), self.state)


class SimDrill:
    """One drill in a world of its own. ``run`` once.

    Args:
        path: the scenario.
        seed: of everything that is left to chance.
        obey: how command lines are read and obeyed.

    Raises:
        FileError: the scenario is wrong, or wants what a simulated world cannot have.
    """

    def __init__(self, path: Path, obey: Obey, *, seed: int = 0, say: Callable[[str], None] = lambda _text: None) -> None:
        self._path, self._obey, self.seed, self._say = path, obey, seed, say
        scenario = load_scenario(path, world="sim")
        self._runbook = runbook_path(path, scenario)
        refuse(path, beyond(scenario, {component.kind for component in load_runbook(self._runbook).components.values()}))

    def run(self) -> DrillReport:
        """Plays it to its end, in virtual time. Touches nothing outside."""
        studio = Studio(self._runbook)
        try:
            return self._play(studio)
        finally:
            studio.close()

    def _play(self, studio: Studio) -> DrillReport:
        loop, seed = Loop(), str(self.seed)
        world = World(loop, seed, names(tuple(studio.runbook.regions)), Weather(chance(seed, "weather")))
        self.stage = stage = Stage(loop, world, Disk(Path("in memory")), studio.runbook, Desk(studio), seed)
        own = stage.process("drill")
        app = SimApp(DrillState(stage.disk, own, world), studio)

        def furnish(workload: Workload) -> dict[str, Store]:
            return _furnished(world, studio, workload)

        def obey(process: Process, argv: Sequence[str]) -> tuple[int, str]:
            return self._obey(SimApp(DrillState(stage.disk, process, world), studio), argv)

        simulated = SimDrillWorld(stage, own.clock, own, furnish=furnish, rate=writes_per_second, reckon=_reckoned)
        reports: list[DrillReport] = []

        def main() -> None:
            reports.append(
                app.drill(
                    self._path, world=simulated, operators=lambda: SimOperator(loop, stage.process("keyboard"), obey),
                    monitor=lambda _path: _monitor(stage, studio), say=self._say, seed=self.seed,
                )
            )  # fmt: skip

        own.start(main)
        loop.run(_FOREVER, lambda: bool(reports))
        assert reports, "a drill ends within its time limits"
        return reports[0]

    def lag(self, report: DrillReport) -> Sequence[LagSample]:
        """What the monitor sampled while the drill was played."""
        return MemorySamples(self.stage.disk, self.stage.process("reader")).history(self.stage.runbook.name, report.started_at)

    @property
    def digest(self) -> str:
        """SHA-256 over all journals of the drill that was run."""
        return digest(self.stage)


def _furnished(world: World, studio: Studio, workload: Workload) -> dict[str, Store]:
    """The stores of a workload, with the names that everything has in the lab: a scenario says the same of both."""
    people = deployments(workload.deployments)
    hostnames = [hostname for item in people for hostname in item.hostnames]
    made = stores(world, studio.runbook, workload.deployments, workload.running_tasks, hostnames)
    for store in made.values():
        for task in store.tasks if isinstance(store, Deployments) else ():
            task.ends += _TASKS_LAST
        if isinstance(store, Images):
            store.called = {item.id: str(images_of(item.number, workload.deployments, workload.images)[0]) for item in people}
    return made


# --- the monitor ------------------------------------------------------------------------------------------------------


@contextmanager
def _monitor(stage: Stage, studio: Studio) -> Iterator[None]:
    """``dr monitor`` as a process of the world: it is there before anything strikes."""
    process = stage.process("monitor")
    process.start(lambda: _watch(stage, studio, process))
    try:
        yield
    finally:
        process.kill()


def _watch(stage: Stage, studio: Studio, process: Process) -> None:
    """Heartbeats and samples round by round; views and identities beside them, because a region that is gone answers late."""
    state = DrillState(stage.disk, process, stage.world)
    app = SimApp(state, studio)
    platform = studio.build(studio.runbook, state)
    fence = FenceRetry(app.conductor, platform, stage.world.tell)
    seen = _Seen()
    for name, kind in platform.kinds.items():
        process.start(partial(_look, platform, state, name, kind, seen), f"view-{name}")
    while True:
        beats, samples = [], []
        for name, kind in platform.kinds.items():
            region = seen.primaries.get(name)
            beat = None if region is None else kind.beat(region)
            if beat is not None:
                beats.append(beat)
                (seen.failing.discard if beat.acknowledged_at is not None else seen.failing.add)(name)
            if name in seen.replicating:
                samples.append(kind.sample(region))
        with suppress(StateLost):
            state.samples.add(platform.runbook.name, samples, beats)
        fence.saw()
        process.clock.sleep(_BEAT)


@dataclass
class _Seen:
    """What a monitor knows. failing: components whose last heartbeat nobody acknowledged; replicating: those that have a lag."""

    primaries: dict[str, str] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    replicating: set[str] = field(default_factory=set)


def _look(platform: Platform, state: SimState, name: str, kind: Kind, seen: _Seen) -> None:
    """Who is primary of a component, again and again; who the Deployments are, now and then."""
    pace, clock = watch.Pace(), state.clock
    identified: float | None = None
    while True:
        view = kind.view()
        primary = watch.next_primary(seen.primaries.get(name), view)
        if primary is not None:
            seen.primaries[name] = primary
        if view.lag is not None:
            seen.replicating.add(name)
        due = identified is None or clock.monotonic() - identified >= pace.identities.total_seconds()
        if primary is not None and due and isinstance(kind, SimKind):
            with suppress(StepError):
                state.samples.keep_identities(platform.runbook.name, name, kind.identities(primary))
                identified = clock.monotonic()
        clock.sleep((pace.hurry if name in seen.failing else pace.views).total_seconds())


# --- the judge --------------------------------------------------------------------------------------------------------


def _reckoned(ledger: Ledger) -> Truth:
    """What follows from a ledger, reckoned as it is in the lab, by the very same code."""
    written = [
        Attempt(
            write.id, write.hostname, _moment(write.sent), None if write.region is None else _moment(write.sent + ANSWERED), write.region,
            None if write.region is not None else "not acknowledged",
        )
        for write in ledger.writes
    ]  # fmt: skip
    served = [Served(id=item, database=item, hostnames=tuple(own)) for item, own in ledger.hostnames.items()]
    truth = reckon(
        written, [Poll(_moment(at), region) for at, region in ledger.polls], served, ledger.present, preserved=ledger.preserved,
        ledger_path="in memory", ledger_sha256=ledger.digest,
    )  # fmt: skip
    if ledger.objects is None:
        return truth
    acknowledged, lost = ledger.objects
    return truth.model_copy(update={"acknowledged_objects": acknowledged, "lost_objects": len(lost), "lost_object_names": lost})


def _moment(at: float) -> datetime:
    return START + timedelta(seconds=at)
