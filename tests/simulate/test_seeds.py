"""Simulated disasters by the hundred: nothing that must never happen happens, and the same seed is the same history, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from dr.app.simulating import Setting, Simulating, Theatre, Wanted
from dr.app.simulation import Studio, new_stage
from dr.app.state import State
from dr.simulate import checks, faults
from dr.simulate.play import play
from dr.simulate.story import frame

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("runbook", "seeds", "deployments"), [("lab", 1400, 8), ("platform", 200, 5), ("careful", 60, 5), ("lab", 40, 80)])
def test_no_story_violates_an_invariant(runbook: str, seeds: int, deployments: int, tmp_path: Path) -> None:
    """All checkers, all faults, from seed 1 on; a violation prints its seed and the command that repeats it."""
    wanted = Wanted(ROOT / f"runbooks/{runbook}.yaml", "1", seeds, None, 2, deployments)
    report = Simulating(State(tmp_path), wanted).many()
    assert report.seeds == seeds
    assert [(item.rule, item.text, item.command) for item in report.violations] == []
    assert report.checkers >= 20 and report.faults_known >= 60


@pytest.mark.parametrize("runbook", ["lab", "platform"])
def test_the_same_seed_is_the_same_history(runbook: str) -> None:
    """Each seed is played twice, the second time by another studio: all journals are equal, byte for byte, and no two seeds are alike."""

    def digests() -> list[str]:
        studio, found = Studio(ROOT / f"runbooks/{runbook}.yaml"), []
        for number in range(30):
            story = faults.draw(frame(f"twice-{number}", 5), studio.runbook)
            found.append(play(new_stage(studio, story), story, faults.CATALOGUE, checks.ALL()).digest)
        studio.close()
        return found

    first = digests()
    assert digests() == first
    assert len(set(first)) == len(first)


def test_a_survey_of_many_is_the_sum_of_its_stories() -> None:
    """Who plays which story does not matter: a chunk of two is the same as one and one."""
    theatre = Theatre(Setting(ROOT / "runbooks/lab.yaml", "1", 5, {}))
    both = theatre.chunk([0, 1])
    one = theatre.chunk([0])
    one.merge(theatre.chunk([1]))
    theatre.close()
    assert (both.counts, both.values) == (one.counts, one.values)
