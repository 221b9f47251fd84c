"""What did not answer in time is looked at once more where somebody can wait, and never taken for reachable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dr.app import App
from dr.model.lag import ComponentView, RegionView
from dr.model.words import Intent, Role, RunOutcome, Verdict
from tests.cli import toy

LATE = RegionView(role=Role.UNREACHABLE, reason="no answer within 1.8 s", late=True)
DAZED = RegionView(role=Role.UNKNOWN, reason="the runtime has no database")
GONE = RegionView(role=Role.UNREACHABLE, reason="no route to host")

Script = Callable[[str, RegionView, int], list[str]]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """A toy whose region is seen as said in its first looks, and as it is in the later ones; gives the looks as they come."""
    from dr.providers import registry

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()
    usual = toy.Toy.view

    def set_up(region: str, seen: RegionView, times: int) -> list[str]:
        looks: list[str] = []

        def view(self: toy.Toy) -> ComponentView:
            found = usual(self)
            looks.append("veiled" if len(looks) < times else "clear")
            return found.model_copy(update={"regions": {**found.regions, region: seen}}) if looks[-1] == "veiled" else found

        monkeypatch.setattr(toy.Toy, "view", view)
        return looks

    return set_up


def _start(
    folder: Path, intent: Intent, to: str | None, east: Role = Role.PRIMARY, west: Role = Role.SECONDARY
) -> tuple[RunOutcome | None, str]:
    app = App(folder / "state")
    platform = app.load(toy.make(folder, east, west))
    try:
        done = app.start(platform, intent, to, actor="ann", reason="because")
    finally:
        platform.close()
    refused = "; ".join(item.reason for item in done.guards if item.verdict is Verdict.REFUSED)
    return done.outcome, f"{refused} → {done.hint}" if refused else ""


@pytest.mark.parametrize("region", ["east", "west"])
@pytest.mark.parametrize("seen", [LATE, DAZED])
def test_a_planned_move_asks_once_more(seen: RegionView, region: str, script: Script, tmp_path: Path) -> None:
    """A region that was only slow, or could not say what it is, is no reason to refuse: the second look counts."""
    looks = script(region, seen, 1)
    assert _start(tmp_path, Intent.SWITCHOVER, "west") == (RunOutcome.COMPLETED, "")
    assert looks == ["veiled", "clear"]


def test_a_reprotect_asks_once_more(script: Script, tmp_path: Path) -> None:
    """It can wait, too."""
    looks = script("west", LATE, 1)
    assert _start(tmp_path, Intent.REPROTECT, None, Role.STOPPED, Role.PRIMARY) == (RunOutcome.COMPLETED, "")
    assert looks == ["veiled", "clear"]


def test_what_does_not_answer_twice_is_refused(script: Script, tmp_path: Path) -> None:
    """Once more and no more; nothing is touched, and the refusal says what it may be and what to do."""
    looks = script("west", LATE, 9)
    outcome, said = _start(tmp_path, Intent.SWITCHOVER, "west")
    assert (outcome, looks) == (RunOutcome.REFUSED, ["veiled", "veiled"])
    assert "no answer within 1.8 s (it did not answer in time, which may be slowness and no loss)" in said
    assert "look at the load there and on this machine, then give the same command again" in said
    assert (tmp_path / "db" / "east").read_text() == Role.PRIMARY


def test_a_failover_asks_once_more_only_where_it_would_be_refused(script: Script, tmp_path: Path) -> None:
    """Service is away: a source that is slow is not waited for. A target that was slow is looked at again, for a no costs more."""
    looks = script("east", LATE, 9)
    assert _start(tmp_path, Intent.FAILOVER, "west", Role.STOPPED)[0] is not RunOutcome.REFUSED
    assert looks == ["veiled"]


def test_a_failover_to_a_target_that_was_slow_goes_on(script: Script, tmp_path: Path) -> None:
    """The second look counts; and no third one, where that is slow, too: it is refused with the same words."""
    looks = script("west", LATE, 1)
    assert _start(tmp_path, Intent.FAILOVER, "west", Role.STOPPED)[0] is not RunOutcome.REFUSED
    assert looks == ["veiled", "clear"]


def test_a_failover_to_a_target_that_stays_silent_is_refused(script: Script, tmp_path: Path) -> None:
    """It did not answer twice: nothing is touched."""
    looks = script("west", LATE, 9)
    outcome, said = _start(tmp_path, Intent.FAILOVER, "west", Role.STOPPED)
    assert (outcome, looks) == (RunOutcome.REFUSED, ["veiled", "veiled"])
    assert "which may be slowness and no loss" in said


def test_what_is_known_to_be_gone_is_not_asked_again(script: Script, tmp_path: Path) -> None:
    """An answer that says no is an answer."""
    looks = script("west", GONE, 1)
    outcome, said = _start(tmp_path, Intent.SWITCHOVER, "west")
    assert (outcome, looks) == (RunOutcome.REFUSED, ["veiled"])
    assert "slowness" not in said
