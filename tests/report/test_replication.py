"""Time inside the RPO, above it and unknown: three figures that add up to the period, from samples and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.model.lag import LagSample
from dr.model.period import ReplicationReport
from dr.model.words import Known
from dr.report.replication import SLOTS, Objective, replication
from dr.store.history import stretches

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIVE = {"db": Objective(timedelta(seconds=5), "runbook")}


def at(second: float) -> datetime:
    return BEGIN + timedelta(seconds=second)


def row(second: float, exposure: float | None, lag: float | None = None) -> tuple[str, int, str]:
    """One sample as the store has it; no exposure: it could not be read."""
    moment = at(second)
    sample = LagSample(
        component="db", at=moment, state=Known.UNKNOWN if exposure is None else Known.KNOWN,
        lag=None if lag is None else timedelta(seconds=lag),
        recovery_point=None if exposure is None else moment - timedelta(seconds=exposure),
    )  # fmt: skip
    return "db", (moment - _EPOCH) // timedelta(microseconds=1), sample.model_dump_json()


def told(rows: Sequence[tuple[str, int, str]], seconds: float, objectives: dict[str, Objective] = FIVE) -> ReplicationReport:
    (line,) = replication("r", stretches(rows), at(0), at(seconds), objectives)
    return line


def test_the_time_of_a_sample_lasts_until_the_next_one() -> None:
    """0–10 s inside, 10–30 s above, 30–40 s inside: weighted by time, not by samples; the worst says when."""
    line = told([row(0, 1, 0.5), row(10, 7, 6), row(30, 2, 1), row(35, 1, 0.1)], 40)
    assert (line.inside_seconds, line.above_seconds, line.unknown_seconds) == (20, 20, 0)
    assert (line.inside_share, line.above_share, line.unknown_share) == (0.5, 0.5, 0)
    assert (line.worst_exposure_seconds, line.worst_exposure_at, line.worst_lag_seconds, line.worst_lag_at) == (7, at(10), 6, at(10))
    assert (line.samples, line.rpo_from) == (4, "runbook")


def test_time_without_a_fresh_sample_is_unknown_and_never_inside() -> None:
    """Before the first sample, more than 30 s after the last one, and while a sample could not be read."""
    line = told([row(100, 1), row(110, None), row(120, 1)], 1000)
    assert (line.inside_seconds, line.above_seconds) == (10 + 30, 0)
    assert line.unknown_seconds == 1000 - 40
    assert told([row(0, 1), row(10, None)], 20).worst_exposure_seconds == 1


def test_a_component_without_samples_is_unknown_all_the_time() -> None:
    """Not inside, not missing from the report; without an RPO nothing is judged."""
    line = told([], 100)
    assert (line.inside_seconds, line.unknown_seconds, line.unknown_share, line.samples, line.worst_exposure_at) == (0, 100, 1, 0, None)
    unjudged = told([row(0, 1)], 20, {})
    assert (unjudged.rpo_seconds, unjudged.inside_seconds, unjudged.above_share, unjudged.unknown_seconds) == (None, None, None, 0)


def test_only_the_period_counts() -> None:
    """A sample from before it still speaks for its first seconds, but is none of its samples and not its worst."""
    line = told([row(-5, 9), row(5, 1), row(20, 4)], 20)
    assert (line.above_seconds, line.inside_seconds, line.samples) == (5, 15, 1)
    assert line.worst_exposure_seconds == 1


def test_the_slots_tell_the_same_time_again() -> None:
    """What is unknown in all slots is what is unknown at all, and so are the samples."""
    rows = [row(second, 1) for second in range(0, 600, 7)] + [row(700, 6)]
    line = told(rows, 1200)
    assert len(line.slots) == SLOTS
    assert sum(slot.unknown_seconds for slot in line.slots) == pytest.approx(line.unknown_seconds)
    assert sum(slot.samples for slot in line.slots) == line.samples == len(rows)
    assert max(slot.worst_exposure_seconds or 0 for slot in line.slots) == 6


@given(st.lists(st.tuples(st.integers(-60, 400), st.one_of(st.none(), st.floats(0, 12))), max_size=30))
def test_the_three_figures_always_add_up(found: list[tuple[int, float | None]]) -> None:
    """Whatever the samples are, no second counts twice and none is forgotten."""
    rows = [row(second, exposure) for second, exposure in sorted(dict(found).items())]
    line = told(rows, 300)
    assert line.inside_seconds is not None and line.above_seconds is not None
    assert min(line.inside_seconds, line.above_seconds, line.unknown_seconds) >= 0
    assert line.inside_seconds + line.above_seconds + line.unknown_seconds == pytest.approx(300)
    assert sum(slot.unknown_seconds for slot in line.slots) == pytest.approx(line.unknown_seconds, abs=1e-3)
