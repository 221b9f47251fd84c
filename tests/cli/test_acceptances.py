"""Acceptances are explicit and bounded; what cannot be accepted says so."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dr.cli.acceptances import acceptances, moment
from dr.errors import UsageError
from dr.model.words import Guard
from tests.cli.conftest import T0


def accept(*, data_loss: str | None = None, guards: tuple[str, ...] = (), reason: str = "") -> object:
    return acceptances(data_loss=data_loss, split=False, guards=guards, reason=reason, actor="ann", at=T0)


@pytest.mark.parametrize("loss", ["much", "", "-5m", "15"])
def test_a_bound_is_a_duration(loss: str) -> None:
    """Nothing but a duration with a unit, or unknown."""
    with pytest.raises(UsageError):
        accept(data_loss=loss, reason="x")


def test_an_unknown_loss_needs_a_reason() -> None:
    """A bound may stand alone, unknown may not."""
    assert accept(data_loss="15m")
    with pytest.raises(UsageError, match="needs --reason"):
        accept(data_loss="unknown")


@pytest.mark.parametrize("guard", [guard for guard in Guard if not guard.acceptable])
def test_what_nobody_can_override(guard: Guard) -> None:
    """The other guards are named as such."""
    with pytest.raises(UsageError, match="nobody can override"):
        accept(guards=(guard.value,), reason="x")


@pytest.mark.parametrize(("guard", "flag"), [("exposure", "--accept-data-loss"), ("fence", "--accept-split")])
def test_guards_with_a_flag_of_their_own(guard: str, flag: str) -> None:
    """Data loss and splits are never accepted by the general flag."""
    with pytest.raises(UsageError) as caught:
        accept(guards=(guard,), reason="x")
    assert flag in caught.value.hint


def test_a_mistyped_guard_and_a_missing_reason() -> None:
    """Suggestion for the one, demand for the other."""
    with pytest.raises(UsageError, match='did you mean "prerequisites"'):
        accept(guards=("prerequisite",), reason="x")
    with pytest.raises(UsageError, match="needs --reason"):
        accept(guards=("prerequisites",))


@pytest.mark.parametrize(
    ("text", "ago"),
    [("02:30", timedelta(minutes=10)), ("02:39:50", timedelta(seconds=10)), ("23:40", timedelta(hours=3)), ("5m", timedelta(minutes=5)),
     ("2026-03-01T03:30:00+01:00", timedelta(minutes=10))],
)  # fmt: skip
def test_when_the_outage_began(text: str, ago: timedelta) -> None:
    """Clock time in UTC (the latest before now), a span, or ISO 8601 with a zone."""
    assert T0 - moment(text, T0) == ago


@pytest.mark.parametrize(
    "text",
    ["soon", "2026-03-01T02:30:00", "2027-01-01T00:00:00Z", "25:00", "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "99999999h"],
)
def test_moments_that_are_none(text: str) -> None:
    """No zone, the future, nonsense, before the first year, before anybody could have measured it: refused."""
    with pytest.raises(UsageError, match="--outage-began"):
        moment(text, T0)
