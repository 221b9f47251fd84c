"""What was made faster says the same as what it stands for."""

from __future__ import annotations

import gc
import random
import weakref
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from pydantic import ValidationError

from dr.app.simulation import Studio, new_stage
from dr.engine import forecast
from dr.engine.machine import apply
from dr.engine.state import RunState
from dr.model.base import Duration, Frozen
from dr.providers.sim.loop import Loop
from dr.providers.sim.names import Names
from dr.providers.sim.process import Process
from dr.providers.sim.weather import Weather
from dr.providers.sim.world import World, names
from dr.simulate import checks, faults
from dr.simulate.disk import Disk
from dr.simulate.play import play
from dr.simulate.story import frame

ROOT = Path(__file__).parents[2]


class Spans(Frozen):
    """Some durations."""

    all: tuple[Duration, ...]


def played(seed: str, studio: Studio) -> tuple[Disk, World]:
    """What a story leaves behind."""
    story = faults.draw(frame(seed, 2), studio.runbook)
    stage = new_stage(studio, story)
    assert play(stage, story, faults.CATALOGUE, checks.ALL()).violations == ()
    return stage.disk, stage.world


def test_a_run_that_is_surely_in_time_is_never_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each event of 6 stories, then and at the end of the RTO: the quick answer is given only where the long one is no.

    Both answers must have been given often, else nothing was compared.
    """
    studio = Studio(ROOT / "runbooks/lab-tight.yaml")
    quick = forecast._surely_in_time
    monkeypatch.setattr(forecast, "_surely_in_time", lambda _state, _now: False)
    sure = late = 0
    for number in range(6):
        disk, _ = played(f"late-{number}", studio)
        for run in disk.runs.values():
            state = RunState(run.run_id)
            for record in run.records:
                at = datetime.fromisoformat(record.at)
                apply(state, record.event, at)
                for share in (0.0, 0.9):
                    now = at + share * state.current_plan.rto
                    is_late, is_sure = forecast.late(state, now) is not None, quick(state, now)
                    assert not (is_late and is_sure), f"story late-{number}, {record.run_id} {record.seq}, {share} of the RTO later"
                    sure, late = sure + is_sure, late + is_late
    studio.close()
    assert sure > 50 and late > 20, (sure, late)


def test_a_greenlet_does_one_job_after_the_other_and_keeps_no_world() -> None:
    """Killed or at its end, a job leaves nothing: the next one, of another world, begins anew, and the first can be forgotten."""

    def world(done: list[str], name: str) -> Loop:
        loop = Loop()
        process = Process(loop, name, name)

        def sleeps() -> None:
            done.append(f"{name} begins")
            process.clock.sleep(10.0)
            done.append(f"{name} ends")

        process.start(sleeps, "a")
        process.start(sleeps, "b")
        loop.at(5.0, process.jobs[1].end)
        loop.run(20.0)
        return loop

    done: list[str] = []
    first = world(done, "one")
    assert done == ["one begins", "one begins", "one ends"]
    gone = weakref.ref(first)
    del first
    world(done, "two")
    gc.collect()
    assert done[3:] == ["two begins", "two begins", "two ends"]
    assert gone() is None


def test_what_a_job_does_not_handle_comes_out_of_the_loop_and_spoils_no_other_world() -> None:
    """The greenlet of such a job is not used again."""
    for _ in range(3):
        loop, done = Loop(), list[str]()
        process = Process(loop, "p", "p")
        process.start(lambda: 1 // 0, "fails")
        with pytest.raises(ZeroDivisionError):
            loop.run(1.0)
        process.start(partial(done.append, "well"), "goes on")
        loop.run(2.0)
        assert done == ["well"]


def test_a_damaged_run_is_found_broken_each_time_and_whole_once_it_is_restored() -> None:
    """The verdict is remembered only as long as nothing has changed."""
    studio = Studio(ROOT / "runbooks/lab.yaml")
    disk, _ = played("damage", studio)
    studio.close()
    run = max(disk.runs.values(), key=lambda item: len(item.records))
    start = type(run.end)(0, "0" * 64)
    assert run.first_break(start, run.since(1)) is None
    for seq in (2, 1):  # the second damage lies before the first
        disk.flip(run.run_id, seq, 5)
        assert [broken.seq for _ in range(2) if (broken := run.first_break(start, run.since(1))) is not None] == [seq, seq]
    disk.restore(run.run_id)
    assert run.first_break(start, run.since(1)) is None


def test_durations_come_back_from_a_journal_to_the_microsecond() -> None:
    """They are read without Python: 20,000 drawn ones of every size, up to the ten years that a file may say."""
    chance = random.Random(7)
    drawn = tuple(timedelta(microseconds=chance.randrange(10 ** chance.randrange(1, 15))) for _ in range(20_000))
    spans = Spans(all=(*drawn, timedelta(0), timedelta(microseconds=1), timedelta(days=3650), timedelta(days=5000, microseconds=1)))
    assert Spans.model_validate_json(spans.model_dump_json()) == spans
    assert Spans(all=(timedelta(seconds=90),)).model_dump_json() == '{"all":[90.0]}'
    read = Spans.model_validate_json('{"all":[90, 0.25, "1h30m"]}')
    assert read.all == (timedelta(seconds=90), timedelta(seconds=0.25), timedelta(hours=1.5))


@pytest.mark.parametrize(("text", "told"), [
    ("-1", "not negative"), ("-0.5", "not negative"), ("true", "15m"), ("null", "15m"), ('"90"', "15m"), ('"PT90S"', "15m"), ("NaN", "NaN"),
    ("1e300", "fewer seconds"), ("[]", "15m"),
])  # fmt: skip
def test_what_is_no_duration_is_refused_in_a_journal_too(text: str, told: str) -> None:
    """As in files, with the same words."""
    with pytest.raises(ValidationError, match=told):
        Spans.model_validate_json(f'{{"all":[{text}]}}')


def test_names_are_believed_as_each_of_them_is_answered() -> None:
    """All regions at once are the regions one by one, whatever was changed where, is cached still, or does not answer."""
    chance, loop = random.Random(3), Loop()
    world = World(loop, "names", names(("east", "west")), Weather(random.Random(4)))
    zone = Names(world, "dns", "east", ("a", "b", "c"))
    seen = set[frozenset[str | None]]()
    for _ in range(2000):
        server, region = chance.choice(("east", "west")), chance.choice(("east", "west"))
        zone.overstay = chance.choice((0.0, 5.0))
        world.regions[server].alive = chance.random() < 0.8
        if zone.answers(server):
            zone.change(server, chance.sample(zone.hostnames, chance.randrange(4)), region)
        loop.run(loop.now + chance.choice((0.0, 0.5, 3.0, 10.0)))
        one_by_one = {zone.answer(hostname) for hostname in zone.hostnames}
        assert zone.believed() == one_by_one
        seen.add(frozenset(one_by_one))
    assert len(seen) > 4, seen  # home, away, some of both, nowhere, …


def test_the_chance_of_a_process_does_not_depend_on_when_it_is_first_asked() -> None:
    """It is made then: half of all processes never need any."""
    loop = Loop()
    early, late = Process(loop, "p", "seed"), Process(loop, "p", "seed")
    first = early.clock.uniform(0.0, 1.0)
    loop.at(5.0, lambda: None)
    loop.run(10.0)
    assert late.clock.uniform(0.0, 1.0) == first
