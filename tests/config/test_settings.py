"""Options win over the environment, the environment over defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from dr.config.settings import actor, state_directory, world
from dr.errors import StateUnreadable, UsageError


def test_the_state_directory() -> None:
    """--state, DR_STATE, XDG_STATE_HOME (absolute only), ~/.local/state, in that order."""
    assert state_directory("/x", {"DR_STATE": "/y"}) == Path("/x")
    assert state_directory(None, {"DR_STATE": "/y", "XDG_STATE_HOME": "/z"}) == Path("/y")
    assert state_directory(None, {"XDG_STATE_HOME": "/z"}) == Path("/z/dr")
    assert state_directory(None, {"XDG_STATE_HOME": "z"}) == Path.home() / ".local/state/dr"
    assert state_directory("here", {}) == Path.cwd() / "here"


def test_a_state_directory_that_cannot_be_told_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """"No run in flight" is never said of a place that nobody could look at; a place that was never used is fine."""
    (tmp_path / "plain").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "link").symlink_to(tmp_path / "unmounted")
    wrong = ["plain", "plain/x", "loop", "loop/x", "link", "x" * 300, "\udcff"]
    for chosen in [*(str(tmp_path / name) for name in wrong), "~nosuchuser/x"]:
        with pytest.raises(StateUnreadable) as caught:
            state_directory(chosen, {})
        assert "DR_STATE" in caught.value.hint
    assert state_directory(str(tmp_path / "a/b/c"), {}) == tmp_path / "a/b/c"

    def denied(path: Path, **_how: bool) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", denied)
    with pytest.raises(StateUnreadable, match="Permission denied"):
        state_directory(str(tmp_path), {})


def test_the_actor() -> None:
    """--actor, DR_ACTOR, the account's name; never empty."""
    assert actor("ann", {"DR_ACTOR": "bob"}) == "ann"
    assert actor(None, {"DR_ACTOR": "bob"}) == "bob"
    assert actor(" ", {})
    with pytest.raises(UsageError, match="not UTF-8"):
        actor(None, {"DR_ACTOR": "a\udcff"})


def test_the_world_is_live_unless_a_drill_says_otherwise() -> None:
    """I12: commands declare their worlds; what is misspelt is refused, not taken for live."""
    assert world({}) == "live"
    assert world({"DR_WORLD": "lab"}) == "lab"
    with pytest.raises(UsageError) as caught:
        world({"DR_WORLD": "lap"})
    assert "live, lab, sim" in caught.value.hint
