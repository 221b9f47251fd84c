"""A crash at every place where the process of a command can die: whoever goes on, and however often that dies, the end is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dr.app.simulation import Studio, new_stage
from dr.model.words import Intent
from dr.ports import AttemptContext, Look, Seen
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.steps.base import SimStep
from dr.providers.sim.steps.database import Promote
from dr.simulate.stage import Stage
from dr.simulate.story import frame
from dr.simulate.sweep import Crashed, Place, Sweep, Way, When

ROOT = Path(__file__).parents[2]
MOVES = (Intent.FAILOVER, Intent.SWITCHOVER)
ALL = (*MOVES, Intent.REPROTECT, Intent.FAILBACK)
EXHAUSTIVE = (*MOVES, Intent.REPROTECT, pytest.param(Intent.FAILBACK, marks=pytest.mark.long))
"""All plays of a failback begin with a failover and a re-protect: half of the time of all four."""
SEED = "1"


@pytest.fixture(scope="module")
def spine() -> Iterator[Studio]:
    """Database, names and Deployments."""
    studio = Studio(ROOT / "runbooks/lab.yaml")
    yield studio
    studio.close()


@pytest.fixture(scope="module")
def platform() -> Iterator[Studio]:
    """Everything."""
    studio = Studio(ROOT / "runbooks/platform.yaml")
    yield studio
    studio.close()


def worlds(studio: Studio, deployments: int = 5) -> Callable[[], Stage]:
    """The same world again and again."""
    story = frame(SEED, deployments)
    return lambda: new_stage(studio, story)


def unlike(crashed: Iterable[Crashed]) -> list[str]:
    """What did not end as without a crash."""
    return [str(item) for item in crashed if item.unlike]


@pytest.mark.parametrize("intent", EXHAUSTIVE)
def test_every_single_crash_and_pairs_of_them(spine: Studio, intent: Intent) -> None:
    """5 Deployments: at each place, gone on with in each way; then 100 times the one that goes on dies, too. The same stores, run,
    findings and report in the end, and nothing irreversible twice."""
    sweep = Sweep(worlds(spine), intent)
    singles = list(sweep.each())
    assert len(singles) == len(sweep.places) * len(Way)
    assert unlike(singles) == []
    assert unlike(sweep.pairs(singles, SEED, 100)) == []


def test_a_crash_at_every_place_of_a_failback(spine: Studio) -> None:
    """5 Deployments: at each place, gone on with in each way in its turn; then 20 times the one that goes on dies, too."""
    sweep = Sweep(worlds(spine), Intent.FAILBACK)
    singles = list(sweep.in_turn())
    assert len(singles) == len(sweep.places) > 100
    assert unlike(singles) == []
    assert unlike(sweep.pairs(singles, SEED, 20)) == []


def test_a_divergence_that_was_kept_is_reported_whoever_goes_on(spine: Studio) -> None:
    """The copy is there, and its process died before it could write that down: the report of the run names it all the same."""
    sweep = Sweep(worlds(spine), Intent.REPROTECT)
    assert sweep.whole.lasts["told divergence"] == "preserved"
    place = next(item for item in sweep.places if item.when is When.AT and item.name == "after metadata-db.preserve")
    for way in Way:
        crashed = sweep.crash((place,), (way,))
        assert crashed.unlike == () and crashed.ended.lasts["told divergence"] == "preserved"


@pytest.mark.long
@pytest.mark.parametrize("intent", ALL)
def test_the_whole_platform(platform: Studio, intent: Intent) -> None:
    """Logs, images, secrets, checks and messages beside the spine: a crash at each place, gone on with in each way in its turn."""
    sweep = Sweep(worlds(platform), intent)
    singles = list(sweep.in_turn())
    assert unlike(singles) == []
    assert unlike(sweep.pairs(singles, SEED, 20)) == []


@pytest.mark.parametrize("intent", MOVES)
def test_eighty_deployments_have_the_same_places(spine: Studio, intent: Intent) -> None:
    """Chains do not grow with Deployments, so the shared steps are all steps. A crash at each, in the middle of batches, too: there,
    one half of the Deployments stands for those that were reached, the other one for those that were not."""
    many, few = Sweep(worlds(spine, 80), intent), Sweep(worlds(spine), intent)
    assert sorted((place.when, place.name) for place in many.places) == sorted((place.when, place.name) for place in few.places)
    assert unlike(many.in_turn()) == []


@pytest.mark.parametrize("intent", ALL)
def test_both_sides_of_every_effect_and_of_every_record_are_places(spine: Studio, intent: Intent) -> None:
    """And, for each effect, the two moments in which nobody knows: the call is under way, the answer is; of batches, their middle."""
    sweep = Sweep(worlds(spine), intent)
    at = [place.name for place in sweep.places if place.when is When.AT]
    effects = sorted(place.name for place in sweep.places if place.when is When.UNHEARD)
    before = sorted(name.removeprefix("before ") for name in at if name.startswith("before "))
    after = sorted(name.removeprefix("after ") for name in at if name.startswith("after "))
    sent = sorted(place.name.removeprefix("before ") for place in sweep.places if place.when is When.SENT)
    halves = {place.name for place in sweep.places if place.when is When.HALF}
    if intent.moves:
        assert "metadata-db.promote" in effects and "dns.redirect" in effects
        assert "before deployments.start" in halves and "before metadata-db.promote" not in halves
    else:
        assert "metadata-db.preserve" in effects and "metadata-db.follow" in effects
    assert effects == after
    assert sent == before
    lost = set(before) - set(after)
    assert not lost or intent is Intent.FAILOVER, f"nothing is lost in a planned move, and these calls came to nothing: {lost}"
    assert at.count("journal:before") == at.count("journal:after") > (10 if intent.moves else 5)
    assert set(effects) <= set(before)


def found(studio: Studio, name: str) -> tuple[str, ...]:
    """What a crash right after an effect changes, in words."""
    sweep = Sweep(worlds(studio), Intent.FAILOVER)
    place = next(item for item in sweep.places if item.when is When.AT and item.name == f"after {name}")
    return sweep.crash((place,), (Way.RESUME,)).unlike


def test_the_sweep_sees_what_happens_twice(spine: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a fate is recorded once more by whoever goes on. A sound one changes nothing."""
    assert found(spine, "deployments.reconcile") == ()
    usual = SimStep.do

    def careless(self: SimStep[Any], context: Any, region: str, what: str, effect: Any, **how: Any) -> Any:
        if what == "reconcile":
            assert isinstance(self.store, Deployments)
            for task in self.store.tasks:
                task.fates = [(f"forgotten {run}", fate) for run, fate in task.fates]
        return usual(self, context, region, what, effect, **how)

    monkeypatch.setattr(SimStep, "do", careless)
    assert any("fates#: 2, was 1" in text for text in found(spine, "deployments.reconcile"))


def test_the_sweep_sees_a_second_promotion(spine: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the step promotes without looking."""
    assert found(spine, "metadata-db.promote") == ()
    usual = Promote.observe

    def blind(self: Promote, context: AttemptContext) -> Seen:
        seen = usual(self, context)
        return Seen(Look.NEEDED, evidence=seen.evidence)

    monkeypatch.setattr(Promote, "observe", blind)
    assert "metadata-db.promote in west took effect twice" in found(spine, "metadata-db.promote")


def test_a_place_that_never_comes_is_told(spine: Studio) -> None:
    """A crash that did not happen proves nothing."""
    sweep = Sweep(worlds(spine), Intent.FAILOVER)
    assert sweep.crash((Place(When.AT, 10_000, "journal:before"),), (Way.RESUME,)).unlike == ("nothing died journal:before, at (10000)",)
