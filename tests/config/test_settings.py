"""Options win over the environment, the environment over defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from dr.config.settings import actor, state_directory, world
from dr.errors import UsageError


def test_the_state_directory() -> None:
    """--state, DR_STATE, XDG_STATE_HOME (absolute only), ~/.local/state, in that order."""
    assert state_directory("/x", {"DR_STATE": "/y"}) == Path("/x")
    assert state_directory(None, {"DR_STATE": "/y", "XDG_STATE_HOME": "/z"}) == Path("/y")
    assert state_directory(None, {"XDG_STATE_HOME": "/z"}) == Path("/z/dr")
    assert state_directory(None, {"XDG_STATE_HOME": "z"}) == Path.home() / ".local/state/dr"
    assert state_directory("here", {}) == Path.cwd() / "here"


def test_the_actor() -> None:
    """--actor, DR_ACTOR, the account's name; never empty."""
    assert actor("ann", {"DR_ACTOR": "bob"}) == "ann"
    assert actor(None, {"DR_ACTOR": "bob"}) == "bob"
    assert actor(" ", {})


def test_the_world_is_live_unless_a_drill_says_otherwise() -> None:
    """I12: commands declare their worlds; what is misspelt is refused, not taken for live."""
    assert world({}) == "live"
    assert world({"DR_WORLD": "lab"}) == "lab"
    with pytest.raises(UsageError) as caught:
        world({"DR_WORLD": "lap"})
    assert "live, lab, sim" in caught.value.hint
