"""Each checker speaks when what it watches for is done to a world or a journal by hand, and none does in a fair story."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from dr.app.simulation import Studio, new_stage
from dr.model.words import RunOutcome, TaskFate
from dr.providers.sim.database import Database, Span
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.names import Names
from dr.providers.sim.world import Asked, Effect
from dr.simulate.checks import ALL
from dr.simulate.play import Played, _Plot, play
from dr.simulate.shrink import shrink
from dr.simulate.stage import Stage
from dr.simulate.story import Person, Story, Struck, frame
from dr.simulate.tell import told

ROOT = Path(__file__).parents[2]
BOLD = Person(decides=10.0, bold=True, elsewhere=False, patience=5.0)


@pytest.fixture(scope="module")
def studio() -> Iterator[Studio]:
    """The runbook of the lab."""
    made = Studio(ROOT / "runbooks" / "lab.yaml")
    yield made
    made.close()


class World:
    """A world's parts by name, for breaking them."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.world = stage, stage.world
        stores = stage.world.stores
        self.database = next(store for store in stores.values() if isinstance(store, Database))
        self.deployments = next(store for store in stores.values() if isinstance(store, Deployments))
        self.names = next(store for store in stores.values() if isinstance(store, Names))

    def as_if(self, effect: Effect, what: str, region: str, step: str = "") -> None:
        """Something is told to have been done by who had an effect."""
        component = what.partition(".")[0]
        self.world.did(what, component, region, process=effect.process or "rogue-1", run_id=effect.run_id, step=step, epoch=effect.epoch)


Deed = Callable[[World, Effect], None]


@dataclass
class Breaker:
    """Before the checkers look at the first effect of a name, something is done to the world; or in the end, before they look."""

    at: str = ""
    deed: Deed | None = None
    in_the_end: Callable[[World], None] | None = None
    done: bool = False

    def begin(self, stage: Stage) -> None:
        """Watches first."""
        parts = World(stage)

        def happened(effect: Effect) -> None:
            if self.deed is not None and not self.done and effect.what == self.at:
                self.done = True
                self.deed(parts, effect)

        stage.world.watchers.append(happened)

    def ended(self, stage: Stage) -> None:
        """The end."""
        if self.in_the_end is not None:
            self.in_the_end(World(stage))


def story(plot: str, seed: str = "7") -> Story:
    """One without faults, of somebody who accepts what has to be."""
    return replace(frame(seed, 3, plot=plot), person=BOLD, tasks=20)


def broken(studio: Studio, plot: str, breaker: Breaker) -> list[str]:
    """The rules that speak, in order."""
    told_story = story(plot)
    played = play(new_stage(studio, told_story), told_story, {}, [breaker, *ALL()])
    return [item.rule for item in played.violations]


# --- by hand ----------------------------------------------------------------------------------------------------------------


def second_primary(parts: World, effect: Effect) -> None:
    parts.database.copies["east"].up, parts.database.copies["east"].fenced = True, False


def lead_away(parts: World, effect: Effect) -> None:
    parts.names.change("west", parts.names.hostnames, "west")
    parts.as_if(effect, "dns.redirect", "west", "dns/redirect")


def start_early(parts: World, effect: Effect) -> None:
    parts.deployments.schedule("west", parts.deployments.ids)
    parts.as_if(effect, "deployments.start", "west", "deployments/start")


def promote_by_hand(parts: World, effect: Effect) -> None:
    parts.database.promote("west")
    parts.as_if(effect, "metadata-db.promote", "west", "metadata-db/promote")


def promote_twice(parts: World, effect: Effect) -> None:
    copy = parts.database.copies["west"]
    copy.log.append(Span(copy.timeline + 1, copy.end, copy.end))


def lose_more(parts: World, effect: Effect) -> None:
    log = parts.database.copies["east"].log
    log[-1] = log[-1]._replace(end=log[-1].end + 10.0)


def change_who_they_are(parts: World, effect: Effect) -> None:
    parts.deployments.configuration["d-001"] = "somebody else's"


def change_a_record(parts: World, effect: Effect) -> None:
    run = next(iter(parts.stage.disk.runs.values()))
    run.records[1] = run.records[1]._replace(at=run.records[-1].at)


def act_unannounced(parts: World, effect: Effect) -> None:
    parts.as_if(effect, "deployments.canary", "west", "deployments/canary")


def older_epoch(parts: World, effect: Effect) -> None:
    leases = parts.stage.disk.leases
    for name, row in leases.items():
        leases[name] = row._replace(epoch=row.epoch - 1)


def ask_the_dead(parts: World, effect: Effect) -> None:
    asked = Asked(
        parts.world.now, "deployments.hold", "deployments", "east", effect.process, effect.run_id, "deployments/hold", 1, False, -1.0
    )
    parts.world.asked.append(asked)


def write_outside(_parts: World, _effect: Effect) -> None:
    with Path("/dev/null").open("w") as outside:
        outside.write("a drill was here")


class Nothing:
    """A store that lacks what the first Deployment needs."""

    def lacks(self, region: str) -> dict[str, str]:
        """Always."""
        return {"d-001": f"its image is not in {region}"}


def take_away(parts: World, effect: Effect) -> None:
    parts.deployments.prerequisites.append(Nothing())


def follow_nobody(parts: World, effect: Effect) -> None:
    parts.database.copies["west"].upstream = None


def tell_a_secret(parts: World, effect: Effect) -> None:
    parts.world.secrets.append(parts.stage.runbook.name)


def forget_what_was_kept(parts: World, effect: Effect) -> None:
    parts.database.preserved.clear()


def second_fate(parts: World, effect: Effect) -> None:
    parts.deployments.tasks[0].fates += [(effect.run_id, TaskFate.FAILED)] * 2


BY_HAND: Mapping[str, tuple[str, str, Deed]] = {
    "I1": ("planned", "metadata-db.promote", second_primary),
    "I2": ("planned", "deployments.freeze", lead_away),
    "I3": ("planned", "deployments.freeze", start_early),
    "I4": ("lost", "region.lost", promote_by_hand),
    "I5": ("planned", "metadata-db.promote", promote_twice),
    "I6": ("planned", "metadata-db.promote", lose_more),
    "I7": ("planned", "deployments.hold", change_who_they_are),
    "I8": ("planned", "deployments.unlock", change_a_record),
    "I9": ("planned", "deployments.freeze", act_unannounced),
    "I10": ("planned", "deployments.freeze", older_epoch),
    "I11": ("lost", "metadata-db.promote", ask_the_dead),
    "I12": ("planned", "deployments.freeze", write_outside),
    "I13": ("planned", "deployments.start", take_away),
    "I14": ("planned", "deployments.lock", follow_nobody),
    "I15": ("planned", "deployments.unlock", tell_a_secret),
    "I17": ("round-trip", "metadata-db.follow", forget_what_was_kept),
    "I18": ("planned", "deployments.reconcile", second_fate),
}


@pytest.mark.parametrize("rule", BY_HAND)
def test_a_break_by_hand_makes_its_rule_speak(studio: Studio, rule: str) -> None:
    plot, at, deed = BY_HAND[rule]
    breaker = Breaker(at, deed)
    found = broken(studio, plot, breaker)
    assert breaker.done, f"nothing was called {at}"
    assert found[:1] == [rule]


# --- in the end -------------------------------------------------------------------------------------------------------------


def better_than_true(parts: World) -> None:
    command = next(item for item in parts.stage.commands if item.report is not None and item.report.outcome is RunOutcome.COMPLETED)
    assert command.report is not None
    objectives = command.report.objectives.model_copy(update={"rta_seconds": 0.1})
    command.report = command.report.model_copy(update={"objectives": objectives})


def no_debt(parts: World) -> None:
    for command in parts.stage.commands:
        if command.report is not None:
            command.report = command.report.model_copy(update={"debt": ()})


def no_reason(parts: World) -> None:
    command = next(item for item in parts.stage.commands if item.report is not None and item.report.outcome is RunOutcome.PAUSED)
    assert command.report is not None
    command.report = command.report.model_copy(update={"reason": ""})


def half_there(parts: World) -> None:
    parts.deployments.runtimes["west"].schedulers.pop()


@pytest.mark.parametrize(
    ("rule", "plot", "deed"),
    [("I16", "planned", better_than_true), ("I1", "lost", no_debt), ("L1", "lost", no_reason), ("L2", "planned", half_there)],
)  # fmt: skip
def test_what_is_said_in_the_end_is_compared(studio: Studio, rule: str, plot: str, deed: Callable[[World], None]) -> None:
    assert broken(studio, plot, Breaker(in_the_end=deed))[:1] == [rule]


def test_a_report_whose_loss_is_below_the_truth(studio: Studio) -> None:
    def lose(parts: World, effect: Effect) -> None:
        log = parts.database.copies["east"].log
        log[-1] = log[-1]._replace(end=log[-1].end + 200.0)  # within the RPO, and in nobody's books

    careful = replace(story("lost"), person=replace(BOLD, bold=False))  # waits until the fence is acknowledged: then the loss is known
    played = play(new_stage(studio, careful), careful, {}, [Breaker("metadata-db.promote", lose), *ALL()])
    assert [item.rule for item in played.violations] == ["I16"]
    assert "truly lost were" in played.violations[0].text


# --- fair -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plot", ["lost", "partition", "planned", "round-trip"])
def test_nobody_speaks_in_a_fair_story(studio: Studio, plot: str) -> None:
    for seed in range(4):
        fair = replace(frame(str(seed), 4, plot=plot), faults=())
        played = play(new_stage(studio, fair), fair, {}, ALL())
        assert not played.violations, f"seed {seed}: {played.violations}"
        assert any(report.outcome is RunOutcome.COMPLETED for report in played.reports)


def test_a_run_that_somebody_is_at_for_ever_is_no_end(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """A story waits for the monitor's own tries, and not for longer than for anything else."""
    fair = replace(frame("1", 4, plot="planned"), faults=())
    monkeypatch.setattr(_Plot, "_under_way", property(lambda _self: True))
    played = play(new_stage(studio, fair), fair, {}, ALL())
    assert [item.rule for item in played.violations] == ["L1"]
    assert played.violations[0].text.endswith("the end of a run that is under way")


# --- shorter stories --------------------------------------------------------------------------------------------------------


@dataclass
class Harm:
    """A fault that breaks I7 where it is big enough; harmless otherwise."""

    name: str

    def strike(self, stage: Stage, struck: Struck) -> None:
        """Whoever has the next effect on the Deployments seems to have changed them."""
        size = struck.values.get("size", 0.0)
        if isinstance(size, float) and size > 10.0:
            stage.world.watchers.insert(0, lambda effect: World(stage).deployments.configuration.update({"d-001": f"{effect.number}"}))

    def heal(self, stage: Stage, struck: Struck) -> None:
        """Nothing."""


def _hurts(studio: Studio) -> tuple[Story, Callable[[Story], Played]]:
    sorts: dict[str, Any] = {name: Harm(name) for name in ("harmless", "harmful")}
    faults = [Struck("harmless", 2.0 + number, {"size": float(number % 5)}) for number in range(15)]
    faults.insert(9, Struck("harmful", 12.345, {"size": 700.0, "how": "badly"}))
    long = replace(story("planned"), faults=tuple(faults))
    return long, lambda shorter: play(new_stage(studio, shorter), shorter, sorts, ALL())


def test_the_one_fault_that_matters_is_left(studio: Studio) -> None:
    long, again = _hurts(studio)
    short = shrink(again, long, "I7")
    assert [item.name for item in short.story.faults] == ["harmful"]
    size = short.story.faults[0].values["size"]
    assert isinstance(size, float)
    assert 10.0 < size <= 20.0 < 700.0
    assert short.played.violations[0].rule == "I7"
    assert short.story.tasks == 0
    assert short.plays <= 60


def test_shrinking_is_bounded_and_says_what_it_cannot(studio: Studio) -> None:
    long, again = _hurts(studio)
    assert shrink(again, long, "I7", most=3).plays <= 3
    with pytest.raises(ValueError, match="does not violate I12"):
        shrink(again, long, "I12")


def test_shrinking_ends_with_what_was_found_when_it_is_enough(studio: Studio) -> None:
    """Told so; the first play is made all the same, since without it nothing is known."""
    long, again = _hurts(studio)
    played: list[Story] = []

    def counted(shorter: Story) -> Played:
        played.append(shorter)
        return again(shorter)

    short = shrink(counted, long, "I7", enough=lambda: len(played) >= 4)
    assert (short.plays, len(played), short.whole) == (4, 4, False)
    assert "harmful" in {item.name for item in short.story.faults} and len(short.story.faults) < len(long.faults)
    assert short.played.violations[0].rule == "I7"
    none = shrink(again, long, "I7", enough=lambda: True)
    assert (none.plays, none.whole, none.story) == (1, False, long)
    assert shrink(again, long, "I7").whole


def test_a_violation_is_told_with_all_that_repeats_it(studio: Studio) -> None:
    long, _ = _hurts(studio)
    stage = new_stage(studio, long)
    sorts: dict[str, Any] = {name: Harm(name) for name in ("harmless", "harmful")}
    played = play(stage, long, sorts, ALL())
    text = told(stage, long, played.violations[0])
    assert text.startswith("violation of I7 at ")
    assert "harmful (size 700, how badly)" in text
    assert f"dr simulate {studio.runbook.path} --seed 7 --explain" in text
    assert "step-started deployments/" in text
    assert " in east by on-call-" in text


def test_new_checkers_for_each_story() -> None:
    one, other = ALL(), ALL()
    assert {id(item) for item in one}.isdisjoint({id(item) for item in other})
