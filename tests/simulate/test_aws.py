"""The kinds of AWS in the simulated world: the contract of every simulated kind, behaviour over time, stories, and planted mistakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest

from dr.app.by_hand import unseen
from dr.app.drilling import SimDrill
from dr.app.simulating import Setting, Theatre
from dr.app.simulation import Studio, new_stage
from dr.cli.typed import obey
from dr.config.runbook import load_runbook
from dr.engine.attempt import Attempted, attempt, take_back
from dr.errors import EffectUnknown, Permanent, Transient
from dr.model.evidence import Evidence
from dr.model.scenario import Act
from dr.model.words import FenceState, Intent, Known, Outcome, Role, RunOutcome, Severity, StepState, Verb
from dr.ports import AttemptContext, Look, Operation, Seen, Step
from dr.providers.registry import BUILT_IN as REAL
from dr.providers.sim.aws.aurora import GlobalDatabase
from dr.providers.sim.aws.capacity import Groups, Mappings
from dr.providers.sim.aws.moving import Sender
from dr.providers.sim.aws.replica import Replica
from dr.providers.sim.aws.traffic import EVERYWHERE, Checks, Controls, Platform, Zone
from dr.providers.sim.aws.twoway import Buckets, GlobalTable
from dr.providers.sim.loop import Loop
from dr.providers.sim.process import chance
from dr.providers.sim.sorts import KINDS
from dr.providers.sim.steps.aws import aurora
from dr.providers.sim.weather import Weather
from dr.providers.sim.world import Store, World, names
from dr.simulate import checks
from dr.simulate.faults import CATALOGUE
from dr.simulate.faults import aws as aws_faults
from dr.simulate.play import Played, play
from dr.simulate.stage import Stage
from dr.simulate.story import Story, frame
from tests.simulate.contract import ROUND_TRIP, Tried, Walk, same_specs
from tests.simulate.test_kinds import SimStand

ROOT = Path(__file__).parents[2]
WHOLE, AIRFLOW = ROOT / "tests/simulate/aws.yaml", ROOT / "runbooks/airflow-aws.yaml"
COMPONENTS = list(load_runbook(WHOLE).components)
EVERYWHERE_KINDS = ("controls", "checks", "names", "checked", "edited")
ASKS_NOBODY = ("metadata-db/fence", "files/fingerprint")
"""Steps that end with what is known, wherever anything is."""
BUSY = ("being changed", "not yet to")
"""What passes by itself."""
BY = Sender("test", "run", "metadata-db/promote", 2)
S = TypeVar("S", bound=Store)


@cache
def studio(path: Path) -> Studio:
    return Studio(path)


@pytest.fixture
def stand() -> SimStand:
    """A new world with every kind of AWS."""
    return SimStand(studio(WHOLE))


# --- the contract of simulated kinds ------------------------------------------------------------------------------------


class Patient(Walk):
    """Leaves out what a failover tries in the lost region and waits for nobody there; tries again, as the engine does, what is busy."""

    def _try(self, step: Step, context: AttemptContext) -> tuple[Evidence, ...]:
        if step.spec.optional and not self._stand.alive(step.spec.region):
            return ()
        return super()._try(step, context)

    def _attempt(self, act: Operation, context: AttemptContext) -> tuple[Seen, Seen, tuple[Evidence, ...]]:
        while True:
            try:
                return super()._attempt(act, context)
            except Transient as error:
                if not any(text in error.message for text in BUSY) or self._stand.clock.monotonic() > context.deadline:
                    raise
                self._stand.pass_time(5.0)


@cache
def walked(*, deaf: bool) -> tuple[Tried, ...]:
    return tuple(Patient(SimStand(studio(WHOLE)), deaf=deaf).go())


def of(component: str, *, deaf: bool) -> list[Tried]:
    return [item for item in walked(deaf=deaf) if item.step.spec.component == component]


def test_every_kind_of_aws_has_a_picture() -> None:
    ours = {name for name in REAL if name.startswith("aws.")}
    assert ours <= KINDS.keys()
    assert {component.kind for component in load_runbook(WHOLE).components.values()} == ours


@pytest.mark.parametrize("component", COMPONENTS)
def test_steps_are_pure_and_those_of_the_real_kind(component: str, stand: SimStand) -> None:
    """Whenever they are asked for, whatever has happened: the same specs, and the real kind calls nothing for them."""
    kind, real = stand.kinds[component], studio(WHOLE).real.kinds[component]
    before = {move: kind.steps(*move) for move in ROUND_TRIP}
    stand.lose("east")
    for move in ROUND_TRIP:
        assert same_specs(kind.steps(*move), before[move])
        assert same_specs(kind.steps(*move), real.steps(*move))


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_view_of_a_healthy_platform_finds_nothing(component: str, stand: SimStand) -> None:
    kind = stand.kinds[component]
    view = stand.run(kind.view)
    assert not view.findings
    assert {region: seen.role for region, seen in view.regions.items()} in ({}, {"east": Role.PRIMARY, "west": Role.SECONDARY})
    sample = stand.run(lambda: kind.sample("east"))
    assert sample.state is not Known.UNKNOWN
    assert sample.lag is None or sample.lag < timedelta(seconds=61), "CloudWatch has one value a minute"


@pytest.mark.parametrize("lost", ["east", "west"])
@pytest.mark.parametrize("component", COMPONENTS)
def test_what_is_lost_is_unknown_and_never_fine(component: str, lost: str, stand: SimStand) -> None:
    """Neither view nor sample raises; no lag of zero is told of data that nobody could see. What lies nowhere is still known."""
    kind = stand.kinds[component]
    stand.run(lambda: kind.sample("east"))
    stand.lose(lost)
    stand.pass_time(90.0)
    view = stand.run(kind.view)
    if component in EVERYWHERE_KINDS:
        assert view.regions["east"].role in (Role.PRIMARY, Role.SECONDARY) and not view.regions[lost].late
    else:
        assert not view.regions or (view.regions[lost].role is Role.UNREACHABLE and view.regions[lost].late)
    for sample in (view.lag, stand.run(lambda: kind.sample("east"))):
        alike = component == "images" and lost == "east"  # it was looked at where they have to be, and all are there
        assert alike or sample is None or sample.lag is None or sample.lag >= timedelta(seconds=90), sample
    beat = stand.run(lambda: kind.beat(lost))
    assert beat is None or beat.acknowledged_at is None


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_step_is_done_and_its_repetition_changes_nothing(component: str) -> None:
    tried = of(component, deaf=False)
    assert tried or component in ("trust",)
    for item in tried:
        assert item.first.look is not Look.BLOCKED, (item.name, item.first)
        assert item.last.look is Look.DONE, (item.name, item.last)
        assert item.again.look is not Look.BLOCKED, (item.name, item.again)
        busy = item.step.spec.id == "files/follow"  # something is always on its way: it is sent once more, which does no harm
        assert item.same or busy, f"{item.name}: a second attempt had an effect"


@pytest.mark.parametrize("component", COMPONENTS)
def test_an_undo_takes_the_effect_back(component: str) -> None:
    for item in of(component, deaf=False):
        if item.intent.planned and item.step.spec.undoable and item.first.look is Look.NEEDED:
            assert item.undone is not None and item.undone.look is Look.NEEDED, (item.name, item.undone)
            assert item.taken_back, f"{item.name}: an undo changed nothing"
            assert item.undone_twice, f"{item.name}: a second undo had an effect"


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_lost_region_is_never_done(component: str) -> None:
    """Transient, unknown, refused or needed still; and when the region is back, the step is done as ever."""
    for item in of(component, deaf=True):
        if isinstance(item.silent, Seen):
            honest = item.silent.look is not Look.DONE or item.waits or item.unacknowledged or item.step.spec.id in ASKS_NOBODY
            assert honest, (item.name, item.silent)
        elif item.silent is not None:
            assert isinstance(item.silent, (Transient, EffectUnknown, Permanent)), item.silent
        assert item.last.look is Look.DONE, (item.name, item.last)


def test_what_is_drained_of_the_shipped_runbook_is_written_to_by_no_function_any_more() -> None:
    """A drain says "complete": of a planned move the events are off before it, and who writes there is taken down."""
    runbook = studio(AIRFLOW).runbook
    home, away = runbook.home, next(name for name in runbook.regions if name != runbook.home)
    plan = unseen(studio(AIRFLOW).real, Intent.SWITCHOVER, home, away)
    drains = {step.component: step.needs for step in plan.steps if step.verb is Verb.DRAIN}
    assert drains.keys() == {"sessions", "task-logs", "dags"}
    assert all("events/freeze" in needs for needs in drains.values()), drains
    assert {name for name, needs in drains.items() if "webservers/freeze" in needs} == {"sessions", "task-logs"}
    assert {name for name, needs in drains.items() if "agents/freeze" in needs} == {"task-logs"}


# --- behaviour over time ------------------------------------------------------------------------------------------------


def new_world() -> World:
    """Two regions, nothing in them."""
    return World(Loop(), "aws", names(("east", "west")), Weather(chance("aws", "weather")))


def put(world: World, make: Callable[[World], S]) -> S:
    """Something in a world that has run for a minute and a half."""
    store = make(world)
    world.stores[store.name] = store
    run(world, 90.0)
    return store


def run(world: World, seconds: float) -> None:
    """Time passes."""
    world.loop.run(world.now + seconds)
    world.settle()


def database(world: World) -> GlobalDatabase:
    return GlobalDatabase(world, "db", "east", {"east": 1, "west": 1})


def test_a_switchover_takes_its_time_and_loses_nothing() -> None:
    world = new_world()
    db = put(world, database)
    db.begin("switchover", "west", 60.0, BY, stops="east")
    with pytest.raises(Permanent, match="InvalidGlobalClusterStateFault"):
        db.begin("failover", "west", 60.0, BY)
    run(world, 30.0)
    assert not db.writable("east") and not db.writable("west"), "nobody writes while it hands over"
    assert db.status("west") == "switching-over"
    run(world, 40.0)
    assert db.writable("west") and not db.copies["east"].primary and db.status("west") == "available"
    assert not db.divergence("east") and db.streams(db.copies["east"], db.copies["west"])


def test_a_failover_fences_the_old_writer_once_it_can_be_reached_and_leaves_a_snapshot() -> None:
    world = new_world()
    db = put(world, database)
    world.set_link("east", "west", open_=False)
    world.set_link("west", "east", open_=False)
    run(world, 10.0)
    db.begin("failover", "west", 60.0, BY)
    run(world, 70.0)
    assert db.writable("west") and db.writable("east"), "best effort: nobody reaches the old writer"
    world.set_link("east", "west", open_=True)
    world.set_link("west", "east", open_=True)
    run(world, 15.0)
    assert not db.writable("east") and db.left["east"], "a reader now; what only it had is in the snapshot"
    assert not db.streams(db.copies["east"], db.copies["west"]), "pending-resync"
    run(world, 130.0)
    assert db.streams(db.copies["east"], db.copies["west"])
    kept = db.left["east"]
    db.keep("east")
    assert db.preserved[-1].spans == kept and "east" not in db.left


def test_a_move_that_cannot_end_is_rolled_back() -> None:
    """Too slow, or with its source gone: then the source writes again, and the failover is taken."""
    world = new_world()
    db = put(world, database)
    db.begin("switchover", "west", 5000.0, BY, stops="east")
    run(world, 905.0)
    assert db.move is None and db.writable("east") and not db.copies["west"].primary
    db.begin("switchover", "west", 60.0, BY, stops="east")
    world.lose("east")
    run(world, 70.0)
    assert db.move is None and not db.copies["west"].primary
    db.begin("failover", "west", 60.0, BY)
    run(world, 70.0)
    assert db.writable("west")
    assert [effect.what for effect in world.effects].count("db.rolled-back") == 2


def test_a_headless_secondary_is_refused_until_it_has_an_instance() -> None:
    world = new_world()
    db = put(world, database)
    db.instances["west"] = 0
    with pytest.raises(Permanent, match="no instance"):
        db.begin("failover", "west", 60.0, BY)
    db.room = False
    with pytest.raises(Permanent, match="InsufficientDBInstanceCapacity"):
        db.create_instances("west", 300.0)
    db.room = True
    assert db.create_instances("west", 300.0) == 1 and db.create_instances("west", 300.0) == 0
    run(world, 200.0)
    assert db.instances["west"] == 0
    run(world, 101.0)
    assert db.instances["west"] == 1


def test_the_recovery_point_is_a_minute_old_at_most_and_does_not_grow_once_the_source_is_gone() -> None:
    world = new_world()
    db = put(world, database)
    told = db.told_point("west")
    assert told is not None and told <= db.recovery_point("west") and world.now - told < 61.0
    world.lose("east")
    run(world, 200.0)
    later = db.told_point("west")
    assert later is not None and later <= 90.0


def test_an_edit_is_pending_before_it_is_insync_and_then_caches_forget() -> None:
    world = new_world()
    edits = True
    zone = put(world, lambda made: Zone(made, "zone", "east", ["a.test"], Platform(), ttl=60.0, low=None, edits=lambda: edits))
    assert zone.edit("west") == 1 and zone.insync > world.now
    assert zone.answer("a.test") == "east", "what was cached"
    run(world, zone.insync - world.now + 61.0)
    assert zone.answer("a.test") == "west"
    edits = False
    with pytest.raises(Transient, match="us-east-1"):
        zone.edit("east")


def test_routing_controls_flip_both_or_none() -> None:
    world = new_world()
    controls = put(world, lambda made: Controls(made, "rc", "east", ["a.test"], Platform(), ttl=10.0, sees=5.0))
    controls.rule = "a gating rule is off"
    with pytest.raises(Permanent, match="ConflictException"):
        controls.flip("west", "east")
    assert controls.on == {"east": True, "west": False} and controls.led_to == "east"
    controls.flip("west", "east", over_rules=True)
    assert controls.on == {"east": False, "west": True} and controls.leads[EVERYWHERE] == {"a.test": "west"}
    assert controls.answer("a.test") == "east"
    run(world, 16.0)
    assert controls.answer("a.test") == "west"


def test_a_check_whose_switch_is_lost_leads_back_by_itself() -> None:
    world = new_world()
    made = put(
        world, lambda made: Checks(made, "hc", "east", ["a.test"], Platform(), {"east": "west"}, ttl=1.0, sees=1.0, edits=lambda: True)
    )
    made.write("east", away=True)
    assert made.led_to == "west"
    world.lose("west")
    assert made.led_to == "east"
    with pytest.raises(Transient, match="lies in west"):
        made.write("east", away=True)
    world.bring_back("west")
    assert made.led_to == "west"


def test_capacity_comes_one_after_the_other_and_not_while_there_is_none() -> None:
    world = new_world()
    groups = put(world, lambda made: Groups(
        made, "g", "east", ["web"], ("east", "west"), size=6, resting=1, each=60.0, wanted=lambda _word, primary: primary
    ))  # fmt: skip
    groups.no_room["west"] = world.now + 300.0
    groups.resize("west", {"web": 6})
    run(world, 290.0)
    assert groups.ready("west", "web") == 1, "InsufficientInstanceCapacity"
    counts = []
    for _ in range(30):
        run(world, 10.0)
        counts.append(groups.ready("west", "web"))
    assert counts == sorted(counts) and len(set(counts)) > 1 and counts[-1] == 6
    groups.resize("west", {"web": 2})
    assert groups.ready("west", "web") == 2


def test_what_is_taken_down_runs_on_for_a_while_and_is_not_forgotten() -> None:
    world = new_world()
    groups = put(world, lambda made: Groups(
        made, "g", "east", ["web"], ("east", "west"), size=6, resting=1, each=60.0, wanted=lambda _word, primary: primary, writers=True
    ))  # fmt: skip
    groups.look("east")
    groups.resize("east", {"web": 0})
    assert (groups.ready("east", "web"), groups.running("east", "web"), groups.frozen("east")) == (0, 6, False), "it has got its signal"
    run(world, 60.0)
    assert groups.frozen("east")
    groups.look("east")
    assert groups.seen["east"] == {"web": 6}
    groups.resize("east", {"web": 2})
    groups.look("east")
    assert groups.seen["east"] == {"web": 2}


def test_event_sources_are_on_their_way_before_they_are_there() -> None:
    world = new_world()
    events = put(world, lambda made: Mappings(made, "e", "east", {"east": ("hooks",), "west": ("hooks",)}))
    events.switch("west", enabled=True)
    assert events.state("west") == {"hooks": "Enabling"}
    with pytest.raises(Transient, match="ResourceInUse"):
        events.switch("west", enabled=False)
    run(world, 31.0)
    assert events.state("west") == {"hooks": "Enabled"}


@pytest.mark.parametrize("sort", ["bucket", "table"])
def test_both_sides_take_writes_and_a_lost_one_sends_what_it_had_not_sent_once_it_is_back(sort: str) -> None:
    world = new_world()

    def make(made: World) -> Buckets | GlobalTable:
        if sort == "table":
            return GlobalTable(made, "t", "east", lambda _region: True, ("east", "west"))
        return Buckets(made, "t", "east", lambda _region: True, ("east", "west"), access=False)

    store = put(world, make)
    world.set_link("east", "west", open_=False)
    run(world, 20.0)
    world.lose("east")
    world.set_link("east", "west", open_=True)
    run(world, 60.0)
    assert store.missing("east", "west"), "nobody can know it here"
    world.bring_back("east")
    run(world, 60.0)
    assert store.arrived("east", "west") > world.now - 5.0 and store.arrived("west", "east") > world.now - 5.0


# --- single steps -------------------------------------------------------------------------------------------------------


def step_of(stand: SimStand, component: str, name: str, intent: Intent) -> tuple[Step, AttemptContext]:
    """A step from east to west, and an attempt of it."""
    steps = {step.spec.id: step for step in stand.kinds[component].steps(intent, "east", "west")}
    step = steps[f"{component}/{name}"]
    return step, Walk(stand)._context(step, intent, "east", "west", ())


def test_a_writer_that_does_not_serve_is_waited_for_or_told(stand: SimStand) -> None:
    """RDS says that it is the writer in any case; a server that is down is started again, one that was stopped is not."""
    store = stand.world.stores["metadata-db"]
    assert isinstance(store, GlobalDatabase) and not store.sql
    store.begin("failover", "west", 30.0, BY)
    stand.pass_time(40.0)
    step, context = step_of(stand, "metadata-db", "verify-inside", Intent.FAILOVER)
    west = store.copies["west"]
    for up, stopped, look in ((True, False, Look.DONE), (False, False, Look.NEEDED), (False, True, Look.BLOCKED)):
        west.up, west.fenced = up, stopped
        seen = stand.run(lambda: step.operation.observe(context))
        assert seen.look is look and bool(seen.evidence) is up, seen
    west.fenced = False
    assert stand.run(lambda: step.operation.act(context)) == ()
    assert stand.run(lambda: step.operation.verify(context)).look is Look.NEEDED
    west.up = True
    assert stand.run(lambda: step.operation.verify(context)).look is Look.DONE


@pytest.mark.parametrize("component", ["metadata-db", "orders"])
def test_a_secondary_that_is_busy_is_waited_for(component: str, stand: SimStand) -> None:
    """As the real kinds do: only what needs a person blocks."""
    store = stand.world.stores[component]
    assert isinstance(store, (GlobalDatabase, Replica))
    step, context = step_of(stand, component, "prepare", Intent.FAILOVER)
    west = store.copies["west"]
    for up, stopped, look in ((True, False, Look.DONE), (False, False, Look.NEEDED)):
        west.up, west.fenced = up, stopped
        assert stand.run(lambda: step.operation.observe(context)).look is look
    assert stand.run(lambda: step.operation.act(context)) == ()
    assert stand.run(lambda: step.operation.verify(context)).look is Look.NEEDED


def failed_files(stand: SimStand) -> Buckets:
    """S3 gave up a few objects of east a moment ago."""
    store = stand.world.stores["files"]
    assert isinstance(store, Buckets)
    stand.pass_time(60.0)
    now = stand.world.now
    store.fail("east", "west", now - 20.0, now - 10.0)
    stand.pass_time(5.0)
    return store


def test_what_failed_a_moment_ago_is_brought_over_before_the_freeze(stand: SimStand) -> None:
    """It never arrives by itself, however lately it was written; what is only late is left to the rule."""
    step, context = step_of(stand, "files", "bring", Intent.SWITCHOVER)
    assert stand.run(lambda: step.operation.observe(context)).look is Look.DONE
    store = failed_files(stand)
    assert store.lacks("east", "west", stand.world.now - 11.0)
    assert stand.run(lambda: step.operation.observe(context)).look is Look.NEEDED
    stand.run(lambda: step.operation.act(context))
    assert stand.run(lambda: step.operation.verify(context)).look is Look.DONE
    assert not store.lacks("east", "west", stand.world.now - 11.0)


@pytest.mark.parametrize("batch", [True, False], ids=["role", "no-role"])
def test_a_drain_sends_what_failed_or_says_that_it_must_not(stand: SimStand, batch: bool) -> None:
    """At once, and not after waiting in vain for its time to pass."""
    store = failed_files(stand)
    store.batch = batch
    step, context = step_of(stand, "files", "drain", Intent.SWITCHOVER)
    stand.run(lambda: step.operation.act(context))
    stand.pass_time(2.0)
    if not batch:
        seen = stand.run(lambda: step.operation.verify(context))
        assert seen.look is Look.BLOCKED and "batch_role" in seen.reason
        return
    with pytest.raises(Transient, match="gave up"):
        stand.run(lambda: step.operation.verify(context))
    stand.run(lambda: step.operation.act(context))
    stand.pass_time(2.0)
    seen = stand.run(lambda: step.operation.verify(context))
    assert seen.look is Look.DONE and seen.evidence and not store.gave_up("east", "west", 0.0, stand.world.now)


# --- writers --------------------------------------------------------------------------------------------------------------


def attempted(
    stand: SimStand, component: str, verb: Verb, intent: Intent, evidence: list[Evidence]
) -> tuple[Step, AttemptContext, Attempted]:
    """One attempt of a step from east to west, with what was found before; what it found is added to that. One that ends before it acts,
    so that what it found is journaled, is followed by the next."""
    steps = {step.spec.verb: step for step in stand.kinds[component].steps(intent, "east", "west")}
    clock = stand.clock
    context = AttemptContext(
        run_id="run", step=steps[verb].spec, intent=intent, source="east", target="west", number=1, key="run/key", epoch=2,
        actor="somebody", clock=clock, deadline=clock.monotonic() + 3600.0, evidence=tuple(evidence),
    )  # fmt: skip
    result = stand.run(lambda: attempt(steps[verb].operation, context))
    evidence += result.evidence
    context = replace(context, evidence=tuple(evidence))
    if result.outcome is Outcome.RETRY and not result.acted:
        result = stand.run(lambda: attempt(steps[verb].operation, context))
        evidence += result.evidence
    return steps[verb], replace(context, evidence=tuple(evidence)), result


def agents(stand: SimStand) -> Groups:
    store = stand.world.stores["agents"]
    assert isinstance(store, Groups)
    return store


def test_writers_are_taken_down_and_given_back(stand: SimStand) -> None:
    evidence: list[Evidence] = []
    step, context, frozen = attempted(stand, "agents", Verb.FREEZE, Intent.SWITCHOVER, evidence)
    assert frozen.outcome is Outcome.DONE and agents(stand).frozen("east")
    assert stand.run(lambda: take_back(step.operation, context)) is None
    assert agents(stand).desired("east") == {"agents": 4}
    agents(stand).resize("east", {"agents": 3})
    assert stand.run(lambda: take_back(step.operation, context)) is None
    assert agents(stand).desired("east") == {"agents": 3}, "somebody gave it three"


def test_the_target_gets_what_the_source_had_before_it_was_taken_down(stand: SimStand) -> None:
    """By the journal of the run, or by what was seen: half of four, in a planned move and in a failover after it."""
    evidence: list[Evidence] = []
    attempted(stand, "agents", Verb.FREEZE, Intent.SWITCHOVER, evidence)
    agents(stand).resize("west", {"agents": 1})
    stand.run(stand.kinds["agents"].view)
    seen = agents(stand).seen
    for intent, known, journal in (
        (Intent.SWITCHOVER, {}, evidence), (Intent.SWITCHOVER, seen, []), (Intent.FAILOVER, {"east": {"agents": 0}}, evidence),
        (Intent.FAILOVER, seen, []),
    ):  # fmt: skip
        agents(stand).seen = dict(known)
        agents(stand).resize("west", {"agents": 1})
        assert attempted(stand, "agents", Verb.SCALE, intent, list(journal))[2].outcome is Outcome.DONE
        assert agents(stand).desired("west") == {"agents": 2}, (intent, known)


def test_a_minimum_keeps_writers_there(stand: SimStand) -> None:
    sizes = agents(stand).sizes["east"]
    sizes["agents"] = sizes["agents"]._replace(least=1)
    [finding] = stand.run(stand.kinds["agents"].view).findings
    assert (finding.severity, finding.region, finding.fix) == (Severity.ERROR, "west", "lower its minimum to 0")
    _, _, refused = attempted(stand, "agents", Verb.FREEZE, Intent.SWITCHOVER, [])
    assert refused.outcome is Outcome.FAILED and not refused.acted and "keeps at least 1" in refused.reason


def test_reprotect_gives_writers_that_have_none_what_stands_by(stand: SimStand) -> None:
    store = stand.world.stores["nodes"]
    assert isinstance(store, Groups) and store.stand_by == 1
    store.resize("east", {"workers": 0})
    assert attempted(stand, "nodes", Verb.STAND_BY, Intent.REPROTECT, [])[2].outcome is Outcome.ALREADY
    store.writers = True
    assert attempted(stand, "nodes", Verb.STAND_BY, Intent.REPROTECT, [])[2].outcome is Outcome.DONE
    assert store.desired("east") == {"workers": 1}


@pytest.mark.parametrize("dies", ["after", "journal"])
@pytest.mark.parametrize(
    ("component", "verb"), [("agents", "freeze"), ("webservers", "freeze"), ("agents", "scale"), ("events", "freeze")]
)
def test_a_move_that_died_while_it_waited_gives_back_what_was_there(component: str, verb: str, dies: str) -> None:
    """Killed right after the effect, or before what came of it is written down; somebody goes on, and then gives the move up."""
    stage = new_stage(studio(AIRFLOW), frame("died", 4))
    away = next(name for name in stage.runbook.regions if name != stage.runbook.home)
    store, ended = stage.world.stores[component], list[RunOutcome | None]()
    before = has(store)
    process, acted = stage.process("operator"), False

    def point(name: str) -> None:
        nonlocal acted
        acted = acted or name == f"after {component}.{verb}"
        if acted and (dies == "after" or name == "journal:before"):
            process.kill()

    def plot() -> None:
        stage.loop.sleep(60.0)
        process.at_point = point
        first = stage.type(Act(at=timedelta(0), intent=Intent.SWITCHOVER, to=away), process=process)
        stage.wait_for(first, 3600.0)
        run_id = next(reversed(stage.disk.runs))
        second = stage.type(Act(at=timedelta(0), command="resume"), run_id=run_id)
        stage.loop.sleep(1.0)
        stage.type(Act(at=timedelta(0), command="cancel", reason="not today"), run_id=run_id)
        stage.wait_for(second, 3600.0)
        stage.loop.sleep(60.0)
        ended.append(None if second.report is None else second.report.outcome)

    stage.loop.spawn(None, plot, "plot")
    stage.loop.run(7200.0, lambda: bool(ended))
    stage.close()
    assert process.dead and ended == [RunOutcome.ROLLED_BACK]
    assert has(store) == before


def has(store: Store) -> dict[str, object]:
    """By region: how many there are to be, or what takes events."""
    if isinstance(store, Groups):
        return {region: store.desired(region) for region in store.regions}
    assert isinstance(store, Mappings)
    return {region: dict(polls) for region, polls in store.polls.items()}


# --- an undo while Lambda is busy -----------------------------------------------------------------------------------------

GIVEN_UP = """
name: given-up
runbook: {runbook}
world: aws-emulated
workload: {{deployments: 3, running_tasks: 0, warm_up: 30s}}
acts:
  - {{at: 1s, intent: switchover, to: eu-west-1, reason: maintenance, actor: lead}}
  - {{on: events/freeze.started, after: 1s, at_once: true, command: cancel, reason: not today, actor: lead}}
expect: {{outcome: rolled_back, runs: 1, primary: us-west-2}}
time_limit: 30m
"""


@pytest.mark.parametrize("seed", range(4))
def test_a_move_that_is_given_up_waits_until_lambda_can_be_asked_again(tmp_path: Path, seed: int) -> None:
    """Disabling takes half a minute, in which enabling is refused: the move goes back all the same, and nobody is asked."""
    path = tmp_path / "given-up.yaml"
    path.write_text(GIVEN_UP.format(runbook=AIRFLOW))
    report = SimDrill(path, obey, seed=seed).run()
    [run] = report.runs
    assert report.verdict == "passed", (run.exit_code, [(item.id, item.state, item.reason) for item in run.steps if item.reason])
    states = {item.id: item.state for item in run.steps}
    assert states["events/freeze"] is StepState.UNDONE, states


# --- stories ------------------------------------------------------------------------------------------------------------


@cache
def theatre(path: Path) -> Theatre:
    return Theatre(Setting(path, "1", 5, {}))


def told(story: Story, path: Path) -> tuple[Stage, Played]:
    stage = new_stage(studio(path), story)
    return stage, play(stage, story, CATALOGUE, checks.ALL())


@pytest.mark.parametrize("path", [AIRFLOW, WHOLE], ids=["airflow-aws", "whole"])
@pytest.mark.parametrize("first", [1, 11, 21])
def test_stories_end_without_a_violation(path: Path, first: int) -> None:
    """With faults of all sorts, and the same journals when they are played again."""
    digests = []
    for number in range(first, first + (10 if path is AIRFLOW else 3)):
        story = theatre(path).story(number - 1)
        _, played = told(story, path)
        assert not played.violations, (story.seed, story.plot, [struck.name for struck in story.faults], played.violations)
        digests.append(played.digest)
    again = told(theatre(path).story(first - 1), path)[1]
    assert again.digest == digests[0] and len(set(digests)) == len(digests)


@pytest.mark.parametrize("name", [name for name, fault in CATALOGUE.items() if fault in aws_faults.FAULTS])
def test_a_fault_of_aws_bites_and_heals(name: str) -> None:
    """In a story of its own something is another way than without it; the story ends without a violation all the same."""
    fault, bitten = CATALOGUE[name], False
    book = AIRFLOW if fault.fits(studio(AIRFLOW).runbook) else WHOLE
    for number, plot in enumerate(("lost", "planned", "round-trip", "partition")):
        story = frame(f"bite-{number}", 4, plot=plot, ends_after=theatre(book)._ends_after)
        story = replace(story, person=replace(story.person, bold=True))
        struck = fault.draw(chance(story.seed, name), story, studio(book).runbook)
        _, played = told(replace(story, faults=(struck,)), book)
        assert not played.violations, (plot, played.violations)
        bitten = bitten or played.digest != told(story, book)[1].digest
        if bitten:
            break
    assert bitten


def fenced_for_sure(self: Any, context: AttemptContext) -> Seen:
    """A planted mistake: the old writer counts as fenced, because its region does not answer."""
    return Seen(Look.DONE, "", (self.fenced(FenceState.FENCED, "its region does not answer"),))


def nothing_asked(self: Any, context: AttemptContext) -> Seen:
    """A planted mistake: nobody looks."""
    return Seen(Look.DONE)


@pytest.mark.parametrize(
    ("where", "mistake", "rules"),
    [
        (aurora.VerifyInside, nothing_asked, {"I2"}),
        (aurora.Fence, fenced_for_sure, {"I4", "I1"}),
        (aurora.Preserve, nothing_asked, {"I17"}),
    ],
    ids=["flipped-before-a-write", "silence-as-a-fence", "snapshot-left-to-expire"],
)
def test_a_planted_mistake_is_found(
    monkeypatch: pytest.MonkeyPatch, where: type[Any], mistake: Callable[..., Any], rules: set[str]
) -> None:
    """Within a few stories, and by the rule that is there for it."""
    monkeypatch.setattr(where, "observe", mistake)
    found: set[str] = set()
    for number in range(12):
        story = frame(f"planted-{number}", 4, plot=("lost", "partition", "planned", "round-trip")[number % 4])
        story = replace(story, person=replace(story.person, bold=True))
        _, played = told(story, AIRFLOW)
        found |= {item.rule for item in played.violations}
        if found & rules:
            break
    assert found & rules, found


# --- drills -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["aws-region-outage", "aws-control-planes-down", "aws-round-trip"])
def test_the_scenarios_of_aws_are_played_in_virtual_time(name: str) -> None:
    """All their expectations hold, and the outside client saw service go away and come back."""
    report = SimDrill(ROOT / f"scenarios/{name}.yaml", obey).run()
    assert report.verdict == "passed", [item for item in report.expectations if not item.met]
    assert report.expectations and report.truth is not None
    assert report.truth.acknowledged_writes > 1000 and report.truth.outage_seconds is not None and report.truth.outage_seconds > 30
