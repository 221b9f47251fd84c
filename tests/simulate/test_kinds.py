"""Every simulated component keeps the contract of a kind. See ``contract``: it takes real kinds, too, where somebody hands them in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from enum import Enum
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest

from dr.app.simulation import SimState, Studio, new_stage
from dr.config.runbook import load_runbook
from dr.errors import EffectUnknown, Permanent, StepError, Transient
from dr.model.runbook import Runbook
from dr.model.words import Known, Role, Verb
from dr.ports import Clock, Kind, Look, Seen
from dr.providers.sim.deployments import Task
from dr.providers.sim.kinds import SimKind, stores
from dr.providers.sim.sort import Sort
from dr.providers.sim.world import World, names
from dr.simulate.story import frame
from tests.simulate.contract import PERSONS, ROUND_TRIP, Stand, Tried, Walk, same_specs

ROOT = Path(__file__).parents[2]
T = TypeVar("T")
RUNBOOKS = ("platform", "careful")
COMPONENTS = [(runbook, name) for runbook in RUNBOOKS for name in load_runbook(ROOT / f"runbooks/{runbook}.yaml").components]
MORE = """
  said-yes: {kind: approval, text: go on?}
  passed: {kind: wait, duration: 3s}
  called: {kind: command, run: [scripts/call, "{target}"], check: [scripts/called], undo: [scripts/take-back]}
  blind: {kind: command, run: [scripts/call]}
  inside: {kind: http-check, needs: [deployments], urls: ["http://a.test/"], route: inside, addresses: {east: 192.0.2.2, west: 192.0.2.3}}
  held: {kind: soak, needs: [dns], checks: [smoke, inside], duration: 10s}
  pools: {kind: restart, needs: [deployments], regions: {east: {run: [restart, pool]}, west: {run: [restart, pool]}}}
"""
"""Kinds that no runbook of ours uses: added to the whole platform."""
COMPONENTS += [("more", line.strip().partition(":")[0]) for line in MORE.strip().splitlines()]


class SimStand:
    """A fair simulated world, and one process in it."""

    def __init__(self, studio: Studio) -> None:
        self.stage = new_stage(studio, frame("contract", 4))
        self.world = self.stage.world
        state = SimState(self.stage.disk, self.stage.process("test"), self.world)
        self.runbook: Runbook = studio.runbook
        self.kinds: Mapping[str, Kind] = studio.build(studio.runbook, state).kinds
        self.clock: Clock = state.clock
        self.process = state.process
        self.pass_time(30.0)

    def run(self, work: Callable[[], T]) -> T:
        """In a job of the process."""
        results: list[T] = []
        errors: list[StepError] = []

        def main() -> None:
            try:
                results.append(work())
            except StepError as error:
                errors.append(error)

        self.process.start(main)
        assert self.stage.loop.run(self.stage.loop.now + 1e6, lambda: bool(results or errors)), "it comes to an end"
        if errors:
            raise errors[0]
        return results[0]

    def pass_time(self, seconds: float) -> None:
        """Virtual time."""
        self.stage.loop.run(self.stage.loop.now + seconds)
        self.world.settle()

    def alive(self, region: str) -> bool:
        """As the world says."""
        return self.world.regions[region].alive

    def lose(self, region: str) -> None:
        """As the world does."""
        self.world.lose(region)

    def bring_back(self, region: str) -> None:
        """As the world does."""
        self.world.bring_back(region)

    def facts(self) -> object:
        """All stores, without moments."""
        self.world.settle()
        return {name: plain(vars(store)) for name, store in self.world.stores.items()}


def plain(value: object) -> object:
    """A value as data that can be compared: what is a moment is left out, another store is its name."""
    if isinstance(value, Task):  # those that end by themselves end while nobody does anything
        return [value.id, [region for region, _ in value.runs], [str(fate) for _, fate in value.fates]]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items() if key not in ("_coming", "_due")}  # by when tasks end by themselves
    if isinstance(value, (set, frozenset)):
        return sorted(str(plain(item)) for item in value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value if not isinstance(item, float)]
    if dataclasses.is_dataclass(value) and not isinstance(value, (type, World)):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    known = isinstance(value, (bool, int, str, Enum))
    return value if known else value.name if isinstance(value, Sort) else None


@cache
def studio_of(runbook: str) -> Studio:
    """One for all tests."""
    path = ROOT / f"runbooks/{runbook}.yaml"
    if runbook != "more":
        return Studio(path)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "more.yaml"
        path.write_text((ROOT / "runbooks/platform.yaml").read_text() + MORE)
        return Studio(path)


@cache
def walked(runbook: str, *, deaf: bool) -> tuple[Tried, ...]:
    """Each runbook is walked through once each way; the tests look at what was found."""
    return tuple(Walk(SimStand(studio_of(runbook)), deaf=deaf).go())


@pytest.fixture(scope="module", autouse=True)
def _ends() -> Iterator[None]:
    yield
    for runbook in (*RUNBOOKS, "more"):
        studio_of(runbook).close()
    studio_of.cache_clear()
    walked.cache_clear()


@pytest.fixture
def stand(request: pytest.FixtureRequest) -> Stand:
    """A new world for the runbook of the test's component."""
    return SimStand(studio_of(request.getfixturevalue("runbook")))


def of(component: str, tried: tuple[Tried, ...]) -> list[Tried]:
    """One component's steps."""
    return [item for item in tried if item.step.spec.component == component]


@pytest.mark.parametrize(("runbook", "component"), COMPONENTS)
def test_steps_are_pure_and_those_of_the_real_kind(runbook: str, component: str, stand: Stand) -> None:
    """Whenever they are asked for, whatever has happened: the same specs."""
    kind, real = stand.kinds[component], studio_of(runbook).real.kinds[component]
    before = {move: kind.steps(*move) for move in ROUND_TRIP}
    stand.lose("east")
    for move in ROUND_TRIP:
        assert same_specs(kind.steps(*move), before[move])
        assert same_specs(kind.steps(*move), real.steps(*move))


@pytest.mark.parametrize(("runbook", "component"), COMPONENTS)
def test_a_view_of_a_healthy_platform_finds_nothing(runbook: str, component: str, stand: Stand) -> None:
    """Both regions answer, the east leads, and a sample is fresh."""
    kind = stand.kinds[component]
    view = stand.run(kind.view)
    assert not view.findings
    assert {region: seen.role for region, seen in view.regions.items()} in ({}, {"east": Role.PRIMARY, "west": Role.SECONDARY})
    sample = stand.run(lambda: kind.sample("east"))
    assert sample.state is Known.KNOWN
    assert sample.lag is None or sample.lag < timedelta(seconds=2)
    assert view.lag is None or view.lag.state is Known.KNOWN


@pytest.mark.parametrize("lost", ["east", "west"])
@pytest.mark.parametrize(("runbook", "component"), COMPONENTS)
def test_what_is_lost_is_unknown_and_never_fine(runbook: str, component: str, lost: str, stand: Stand) -> None:
    """View and sample do not raise; the lost region is unreachable, late; no lag of zero is told of data that nobody could see."""
    kind = stand.kinds[component]
    stand.lose(lost)
    stand.pass_time(30.0)
    view = stand.run(kind.view)
    assert not view.regions or (view.regions[lost].role is Role.UNREACHABLE and view.regions[lost].late)
    for sample in (view.lag, stand.run(lambda: kind.sample("east")), stand.run(lambda: kind.sample(None))):
        if sample is None or sample.lag is None:
            continue
        assert lost == "east", "what is read in a secondary that is lost is not known"
        ended = sample.lag >= timedelta(seconds=30)
        registry = kind.kind == "oci-registry"  # it was looked at where it has to be, and all is there
        assert ended or registry, sample
    beat = stand.run(lambda: kind.beat(lost))
    assert beat is None or beat.acknowledged_at is None


@pytest.mark.parametrize(("runbook", "component"), COMPONENTS)
def test_every_step_is_done_and_its_repetition_changes_nothing(runbook: str, component: str) -> None:
    """After its act, verify says DONE; a second attempt with the same key says so, too, and has no further effect."""
    for item in of(component, walked(runbook, deaf=False)):
        assert item.first.look is not Look.BLOCKED, (item.name, item.first)
        assert item.last.look is Look.DONE, (item.name, item.last)
        assert item.again.look is not Look.BLOCKED or item.step.spec.max_attempts == 1, (item.name, item.again)
        uncounted = item.step.spec.verb is Verb.RESTART and item.again.look is Look.NEEDED  # nobody can tell: it is safe to run twice
        assert item.same or uncounted, f"{item.name}: a second attempt had an effect"


@pytest.mark.parametrize(("runbook", "component"), COMPONENTS)
def test_an_undo_takes_the_effect_back(runbook: str, component: str) -> None:
    """It would have to be done again, and a second undo does nothing more."""
    for item in of(component, walked(runbook, deaf=False)):
        if item.intent.planned and item.step.spec.undoable and item.first.look is Look.NEEDED:
            assert item.undone is not None and item.undone.look is Look.NEEDED, (item.name, item.undone)
            assert item.taken_back, f"{item.name}: an undo changed nothing"
            assert item.undone_twice, f"{item.name}: a second undo had an effect"


@pytest.mark.parametrize(("runbook", "component"), COMPONENTS)
def test_a_lost_region_is_never_done(runbook: str, component: str) -> None:
    """Transient, unknown, refused or needed still; and when the region is back, the step is done as ever."""
    for item in of(component, walked(runbook, deaf=True)):
        if isinstance(item.silent, Seen):
            honest = item.silent.look is not Look.DONE or item.waits or item.unacknowledged
            assert honest, (item.name, item.silent)
        elif item.silent is not None:
            assert isinstance(item.silent, (Transient, EffectUnknown, Permanent)), item.silent
        assert item.last.look is Look.DONE, (item.name, item.last)


@pytest.mark.parametrize("runbook", RUNBOOKS)
def test_the_walk_tries_every_step_of_every_component(runbook: str) -> None:
    """Nothing of a plan is left out but what people say; the lost walk tries nearly all of them lost."""
    components = {name for name, item in studio_of(runbook).runbook.components.items() if item.kind not in PERSONS}
    tried = walked(runbook, deaf=False)
    assert {item.step.spec.component for item in tried} == components
    assert {item.intent for item in tried} == {intent for intent, _, _ in ROUND_TRIP}
    silent = [item for item in walked(runbook, deaf=True) if item.silent is not None]
    assert len(silent) > 0.9 * len(tried)
    assert sum(item.undone is not None for item in tried) >= 6


def test_a_third_region_breaks_nothing() -> None:
    """A world may have more regions than a component's settings name: it is looked at where it is."""
    studio = studio_of("platform")
    stand = SimStand(studio)
    world = World(stand.stage.loop, "three", names(("east", "west", "north")), stand.world.weather)
    world.stores.update(stores(world, studio.runbook, 4, 20))
    stand.pass_time(30.0)
    world.settle()
    site = next(kind.site for kind in stand.kinds.values() if isinstance(kind, SimKind))
    kinds = [
        SimKind(name, component.kind, world.stores[name], world, stand.process, site, studio.chain)
        for name, component in studio.runbook.components.items()
    ]
    for kind in kinds:
        view = stand.run(kind.view)
        assert view.primary in (None, "east") and not view.findings, (kind.name, view)
        assert stand.run(partial(kind.sample, "east")).state is Known.KNOWN, kind.name
    world.lose("north")
    for kind in kinds:
        assert stand.run(kind.view).primary in (None, "east")
    world.bring_back("north")
    world.lose("east")
    for kind in kinds:
        assert stand.run(kind.view).primary is None, kind.name
