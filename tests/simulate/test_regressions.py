"""Every bug that the simulator has found stays a story of its own: ``scenarios/regressions/``, told again in every test run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dr.app.simulation import Studio, new_stage
from dr.simulate import checks, faults
from dr.simulate.play import play
from dr.simulate.story import Struck, frame

FOLDER = Path(__file__).parents[2] / "scenarios" / "regressions"
CASES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_was_mended_stays_mended(path: Path) -> None:
    """The story with the faults that it was found with; its faults are written down, so that no other draw changes it."""
    case: dict[str, Any] = YAML(typ="safe").load(path)
    assert case["name"] == path.stem and case["fixed"]
    story = frame(case["seed"], case["deployments"], plot=case["plot"])
    struck = tuple(Struck(item["name"], item["at"], item["values"]) for item in case["faults"])
    studio = Studio((FOLDER / case["runbook"]).resolve())
    try:
        played = play(new_stage(studio, story), replace(story, faults=struck), faults.CATALOGUE, checks.ALL())
    finally:
        studio.close()
    assert [(item.rule, item.text) for item in played.violations] == []
    assert played.reports, "somebody was answered"


def test_there_are_some() -> None:
    """An empty folder would be no proof."""
    assert len(CASES) >= 6
