"""wait and soak: time passes, checks hold meanwhile, and a person who wants to pause or cancel is heard at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from dr.engine.attempt import attempt
from dr.errors import Transient
from dr.model.evidence import WaitsUntil
from dr.model.words import Intent, Outcome, Verb
from dr.ports import AttemptContext, Kind
from dr.providers.generic.checks.waiting import Soak, SoakConfig, Wait, WaitConfig
from tests.generic.served import World, context, step_of


class Hand:
    """A clock that is turned by whoever sleeps on it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def uniform(self, low: float, high: float) -> float:
        return low


@dataclass
class Looks:
    """A check that holds as long as it is told to."""

    hand: Hand
    fails_at: Sequence[float] = ()
    times: list[float] = field(default_factory=list)

    def look(self, context: AttemptContext) -> str:
        now = self.hand.monotonic()
        if any(now <= at < now + 5 for at in self.fails_at):
            self.fails_at = [at for at in self.fails_at if not now <= at < now + 5]
            raise Transient("status 503")
        self.times.append(now)
        return "200"


@pytest.fixture
def hand() -> Hand:
    return Hand()


def wait(tmp_path: Path, duration: str) -> Wait:
    return Wait("settle", WaitConfig.model_validate({"duration": duration}), [], World(tmp_path).site)


def test_it_waits_as_long_as_it_says_and_tells_what_is_left(hand: Hand, tmp_path: Path) -> None:
    """Not shorter, hardly longer."""
    said: list[str] = []
    step = step_of(wait(tmp_path, "10m"))
    result = attempt(step.operation, context(step, clock=hand, deadline=1e9, say=said.append))
    assert result.outcome is Outcome.DONE
    assert hand.seconds == pytest.approx(600, abs=0.2)
    assert said[0] == "10m00s left" and "1m00s left" in said
    assert step.spec.verb is Verb.WAIT
    assert step.spec.by_hand == "sleep 600"
    assert step.spec.budget > timedelta(minutes=10)


def test_after_a_pause_only_what_was_left_is_waited_for(hand: Hand, tmp_path: Path) -> None:
    """The end stands in the journal: a pause of a minute shortens what is left by a minute."""
    step = step_of(wait(tmp_path, "10m"))
    first = attempt(step.operation, context(step, clock=hand, deadline=1e9, pausing=lambda: hand.seconds >= 240))
    assert first.outcome is Outcome.RETRY
    assert "paused" in first.reason and "left" in first.reason
    assert hand.seconds == pytest.approx(240, abs=0.2)
    [fact] = first.evidence
    assert isinstance(fact, WaitsUntil)
    hand.sleep(60)
    second = attempt(step.operation, context(step, number=2, clock=hand, deadline=1e9, evidence=(fact,)))
    assert second.outcome is Outcome.DONE
    assert hand.seconds == pytest.approx(600, abs=0.3)
    third = attempt(step.operation, context(step, number=3, clock=hand, evidence=(fact,)))
    assert third.outcome is Outcome.ALREADY


def test_another_steps_wait_is_not_this_ones(hand: Hand, tmp_path: Path) -> None:
    """Two waits in one run."""
    step = step_of(wait(tmp_path, "1s"))
    other = WaitsUntil(step="other/wait", until=hand.now())
    assert attempt(step.operation, context(step, clock=hand, deadline=1e9, evidence=(other,))).outcome is Outcome.DONE
    assert hand.seconds == pytest.approx(1, abs=0.2)


def test_a_wait_can_be_cancelled(hand: Hand, tmp_path: Path) -> None:
    """Within a moment."""
    step = step_of(wait(tmp_path, "24h"))
    result = attempt(step.operation, context(step, clock=hand, deadline=1e9, cancelled=lambda: hand.seconds >= 5))
    assert result.outcome is Outcome.CANCELLED
    assert hand.seconds < 6


def soak(tmp_path: Path, peers: dict[str, Looks], **settings: object) -> Soak:
    world = World(tmp_path, peers=cast("dict[str, Kind]", peers))
    given = {"checks": list(peers), "duration": "1m", "every": "5s", **settings}
    return Soak("burn-in", SoakConfig.model_validate(given), [], world.site)


def test_all_checks_hold_for_the_whole_time(hand: Hand, tmp_path: Path) -> None:
    """Every five seconds for a minute, both of them, the end included."""
    one, other = Looks(hand), Looks(hand)
    step = step_of(soak(tmp_path, {"one": one, "other": other}))
    result = attempt(step.operation, context(step, clock=hand, deadline=1e9))
    assert result.outcome is Outcome.DONE
    assert one.times == other.times
    assert len(one.times) == 13
    assert one.times[-1] == pytest.approx(60, abs=0.3)
    assert "one, other held 13 times in 1m00s" in result.evidence[0].model_dump_json()


def test_one_that_fails_in_between_starts_it_anew(hand: Hand, tmp_path: Path) -> None:
    """It says which one, when and why; the next try has to hold for the whole time again."""
    one, other = Looks(hand), Looks(hand, fails_at=[41])
    step = step_of(soak(tmp_path, {"one": one, "other": other}))
    first = attempt(step.operation, context(step, clock=hand, deadline=1e9))
    assert first.outcome is Outcome.RETRY
    assert "other did not hold after 40" in first.reason and "status 503" in first.reason
    failed_at = hand.seconds
    second = attempt(step.operation, context(step, number=2, clock=hand, deadline=1e9))
    assert second.outcome is Outcome.DONE
    assert hand.seconds - failed_at == pytest.approx(60, abs=0.3)


def test_a_soak_can_be_paused_and_cancelled(hand: Hand, tmp_path: Path) -> None:
    """What nobody looked at is not proven: after a pause it starts anew."""
    step = step_of(soak(tmp_path, {"one": Looks(hand)}, duration="10h"))
    paused = attempt(step.operation, context(step, clock=hand, deadline=1e9, pausing=lambda: hand.seconds >= 7))
    assert paused.outcome is Outcome.RETRY
    assert hand.seconds < 8
    late = replace(context(step, clock=hand, deadline=1e9), cancelled=lambda: hand.seconds >= 20)
    assert attempt(step.operation, late).outcome is Outcome.CANCELLED


def test_only_checks_can_be_soaked(hand: Hand, tmp_path: Path) -> None:
    """A name that is no check is said, and not tried again."""
    for peers in ({"one": cast("Looks", wait(tmp_path, "1s"))}, {"burn-in": Looks(hand)}):
        kind = soak(tmp_path, peers, checks=["one"])
        step = step_of(kind)
        result = attempt(step.operation, context(step, clock=hand, deadline=1e9))
        assert result.outcome is Outcome.FAILED
        assert "one is no component that checks" in result.reason


@pytest.mark.parametrize(
    ("config", "settings"), [(WaitConfig, {}), (WaitConfig, {"duration": 5}), (SoakConfig, {"duration": "1m", "checks": []})]
)
def test_settings_that_are_refused(config: type[WaitConfig] | type[SoakConfig], settings: dict[str, object]) -> None:
    """A duration with its unit, and something to look at."""
    with pytest.raises(ValueError):
        config.model_validate(settings, context={"written": True})


def test_intents(tmp_path: Path) -> None:
    """All moves unless the runbook says otherwise."""
    assert [bool(wait(tmp_path, "1s").steps(intent, "east", "west")) for intent in Intent] == [True, True, True, False]
