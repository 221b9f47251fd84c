"""Every bug that the simulator has found stays a story of its own: ``scenarios/regressions/``, told again in every test run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dr.app.simulation import Studio, new_stage
from dr.providers.clock_ahead import ClockAhead
from dr.simulate import checks, faults
from dr.simulate.play import Played, play
from dr.simulate.story import Struck, frame

FOLDER = Path(__file__).parents[2] / "scenarios" / "regressions"
CASES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_was_mended_stays_mended(path: Path) -> None:
    """The story with the faults that it was found with; its faults are written down, so that no other draw changes it."""
    played = told_again(path)
    assert [(item.rule, item.text) for item in played.violations] == []
    assert played.reports, "somebody was answered"


def told_again(path: Path) -> Played:
    """One of them."""
    case: dict[str, Any] = YAML(typ="safe").load(path)
    assert case["name"] == path.stem and case["fixed"]
    story = frame(case["seed"], case["deployments"], plot=case["plot"])
    struck = tuple(Struck(item["name"], item["at"], item["values"]) for item in case["faults"])
    studio = Studio((FOLDER / case["runbook"]).resolve())
    try:
        return play(new_stage(studio, story), replace(story, faults=struck), faults.CATALOGUE, checks.ALL())
    finally:
        studio.close()


@pytest.mark.parametrize("name", ["stamped-by-a-fast-primary", "went-ahead-unseen"])
def test_a_clock_that_nobody_compares_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the checker allows for hides no orchestrator that never looks."""
    monkeypatch.setattr(ClockAhead, "told", lambda *_: {"clock_ahead": None, "clock_of": ""})
    assert {item.rule for item in told_again(FOLDER / f"{name}.yaml").violations} == {"I16"}


def test_there_are_some() -> None:
    """An empty folder would be no proof."""
    assert len(CASES) >= 6
