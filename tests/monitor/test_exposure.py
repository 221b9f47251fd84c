"""I6 in cases: what would be lost is never zero by accident, never negative, and unknown when nobody can know."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.model.lag import Beat, ComponentView, Exposure, Finding, LagSample
from dr.model.words import Known, Role, Severity
from dr.monitor.exposure import Answer, Outage, can_fail_over, exposure, late, outage, outages
from tests.monitor.fakes import NOW, before, view

STALE = timedelta(seconds=30)
RPO = {"db": timedelta(minutes=5)}


def sample(age: float = 1, point: float | None = 3, state: Known = Known.KNOWN, reason: str = "") -> LagSample:
    """A sample ``age`` seconds old with a recovery point ``point`` seconds before now."""
    return LagSample(
        component="db",
        at=before(age),
        state=state,
        lag=timedelta(seconds=1),
        recovery_point=None if point is None else before(point),
        reason=reason,
    )


def judge(item: LagSample | None, began: datetime | None = None, *, proven: bool = False) -> Exposure:
    return exposure(item, NOW, began, component="db", proven=proven, stale_after=STALE)


def test_without_proof_writes_count_until_now() -> None:
    """An outage that somebody claims does not make the loss smaller."""
    for began in (None, before(2)):
        found = judge(sample(point=3), began)
        assert (found.state, found.value, found.recovery_point) == (Known.BOUND, timedelta(seconds=3), before(3))


def test_a_proven_end_of_writes_counts() -> None:
    """Fenced at T-2, recovery point T-3: one second is lost, known; a sample that is only a bound stays one."""
    found = judge(sample(point=3), before(2), proven=True)
    assert (found.state, found.value) == (Known.KNOWN, timedelta(seconds=1))
    assert judge(sample(point=3, state=Known.BOUND), before(2), proven=True).state is Known.BOUND


@pytest.mark.parametrize("began", [before(3), before(5)])
def test_a_recovery_point_after_the_proven_end_is_never_zero_or_negative(began: datetime) -> None:
    """The last acknowledged heartbeat is older than what arrived after it: then that was not the end, and now counts."""
    found = judge(sample(point=3), began, proven=True)
    assert (found.state, found.value) == (Known.BOUND, timedelta(seconds=3))
    assert "newer than the end of writes" in found.reason


def test_a_slow_clock_here_does_not_make_the_exposure_smaller() -> None:
    """The secondary's own clock is 28 s ahead of this machine's: by that one the recovery point is so much older. So is a proven end."""
    slow = sample(point=3).model_copy(update={"clock_behind": timedelta(seconds=28)})
    found = judge(slow)
    assert (found.state, found.value) == (Known.BOUND, timedelta(seconds=31))
    assert "this machine's clock is 28.0s behind the other side's" in found.reason
    assert judge(slow, before(2), proven=True).value == timedelta(seconds=29)
    assert judge(sample(point=-20).model_copy(update={"clock_behind": timedelta(seconds=28)})).value == timedelta(seconds=8)


@pytest.mark.parametrize("point", [0, -0.001, -60])
def test_a_recovery_point_in_the_future_is_unknown(point: float) -> None:
    """A clock that runs ahead in the other region must not look like "nothing lost"."""
    found = judge(sample(point=point))
    assert (found.state, found.value) == (Known.UNKNOWN, None)
    assert "compare the clocks" in found.reason


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (None, "no sample"),
        (sample(age=31), "31.0s old, more than 30.0s"),
        (sample(age=-31), "ahead of this machine's clock"),
        (sample(point=None), "could not be read"),
        (sample(state=Known.UNKNOWN, reason="connection refused"), "connection refused"),
        (sample(age=3600, point=3600), "1h00m old"),
    ],
)
def test_missing_stale_and_unread_samples_are_unknown(item: LagSample | None, reason: str) -> None:
    """Whatever is claimed or proven about the outage: unknown, with the reason, and without a value."""
    for began, proven in ((None, False), (before(40), False), (before(40), True)):
        found = judge(item, began, proven=proven)
        assert (found.state, found.value) == (Known.UNKNOWN, None)
        assert reason in found.reason


@given(age=st.floats(-100, 100), point=st.floats(-100, 1e6), began=st.none() | st.floats(-100, 1e6), proven=st.booleans())
def test_a_value_is_always_above_zero(age: float, point: float, began: float | None, proven: bool) -> None:
    """For every sample, clock and claim: no value, or one above zero; a value with an unproven end reaches to now."""
    found = judge(sample(age, point), None if began is None else before(began), proven=proven)
    assert (found.value is None) == (found.state is Known.UNKNOWN)
    if found.value is not None:
        assert found.value > timedelta(0)
        if found.state is Known.BOUND:
            assert found.recovery_point is not None
            assert found.value == NOW - found.recovery_point


def beat(seconds_ago: float, ok: bool, component: str = "db", region: str = "east") -> Beat:
    return Beat(component=component, region=region, sent_at=before(seconds_ago), acknowledged_at=before(seconds_ago - 0.1) if ok else None)


@pytest.mark.parametrize(
    ("beats", "expected"),
    [
        ([], (None, None)),
        ([beat(3, True), beat(2, True)], (None, None)),
        ([beat(4, True), beat(3, True), beat(2, False), beat(1, False)], (2.9, 2)),
        ([beat(1, False), beat(4, True), beat(2, False), beat(3, True)], (2.9, 2)),
        ([beat(9, True), beat(8, False), beat(7, True), beat(6, False)], (6.9, 6)),
        ([beat(9, True), beat(8, False), beat(7, True, region="west")], (None, None)),
        ([beat(2, False), beat(1, False)], (None, 2)),
        ([beat(3, True), beat(2, False), beat(3, True, "logs"), beat(2.5, False, "logs"), beat(3, True, "dns")], (2.9, 2.5)),
        ([beat(9, True, "logs"), beat(8, False, "logs"), beat(3, True), beat(2, False)], (8.9, 8)),
    ],
)
def test_an_outage_is_the_failures_that_still_go_on(beats: list[Beat], expected: tuple[float | None, float | None]) -> None:
    """From the last acknowledged heartbeat before them; earlier failures that ended do not count; the first component counts."""
    began, detected = (None if item is None else before(item) for item in expected)
    assert outage(beats) == Outage(began, detected)


def test_failures_that_nobody_watched_to_the_end_are_not_an_outage() -> None:
    """A monitor that was ended during an outage an hour ago says nothing about now."""
    old = [beat(3700, True), beat(3600, False)]
    assert outage(old, watched_until=before(30)) == (None, None)
    assert outage([*old, beat(5, False)], watched_until=before(30)) == (before(3699.9), before(3600))
    assert outages(old) == {"db": Outage(before(3699.9), before(3600))}


@pytest.mark.parametrize(
    ("beats", "dating", "expected"),
    [
        ([beat(5, True), beat(4, True), beat(3, True), beat(2, False)], 2.9, False),
        ([beat(5, True), beat(4, True), beat(3, True), beat(1, False)], 2.9, False),
        ([beat(15, True), beat(14, True), beat(13, True), beat(2, False)], 12.9, True),  # the monitor stood still for 11 s
        ([beat(4, True), beat(3, True), beat(2, True)], 1.9, False),  # decided before the next one could fail
        ([beat(9, True), beat(8, True), beat(7, True)], 6.9, True),  # nothing came since
        ([beat(3, True), beat(2, False)], 2.9, True),  # nobody knows how often they come
        ([beat(15, True), beat(14, True), beat(13, True), beat(3, True, "logs"), beat(2, False)], 12.9, True),
        ([beat(3, True, "logs"), beat(2, True, "logs"), beat(1, True, "logs")], 0.5, True),
    ],
)
def test_a_heartbeat_that_nothing_followed_for_long_is_a_bound(beats: list[Beat], dating: float, expected: bool) -> None:
    """It dates an outage as exactly as heartbeats come; where the next one came late, the outage began anywhere in between."""
    assert late(beats, before(dating), NOW) is expected
    assert late(beats[::-1], before(dating), NOW) is expected


def exposed(seconds: float | None) -> dict[str, Exposure]:
    if seconds is None:
        return {"db": Exposure(component="db", state=Known.UNKNOWN, reason="no sample")}
    return {"db": Exposure(component="db", state=Known.BOUND, value=timedelta(seconds=seconds))}


HEALTHY = view("db", Role.PRIMARY, Role.SECONDARY, NOW)
DNS = view("dns", Role.PRIMARY, Role.SECONDARY, NOW)
BAD = HEALTHY.model_copy(update={"findings": (Finding(component="db", severity=Severity.ERROR, fact="a certificate is missing"),)})


@pytest.mark.parametrize(
    ("views", "seconds", "answer", "reason"),
    [
        ([HEALTHY, DNS], 1, Answer.YES, ""),
        ([view("db", Role.UNREACHABLE, Role.SECONDARY, NOW)], 1, Answer.YES, ""),
        ([HEALTHY], 301, Answer.WITH_ACCEPTANCE, "db would lose 5m01s, RPO 5m00s"),
        ([HEALTHY], None, Answer.WITH_ACCEPTANCE, "unknown amount: no sample"),
        ([BAD], 1, Answer.WITH_ACCEPTANCE, "a certificate is missing"),
        ([view("db", Role.PRIMARY, Role.UNREACHABLE, NOW)], 1, Answer.NO, "no secondary answers: db"),
        ([HEALTHY, view("dns", Role.SECONDARY, Role.PRIMARY, NOW)], 1, Answer.NO, "no region is the secondary of every component"),
        ([view("db", Role.PRIMARY, Role.PRIMARY, NOW)], 1, Answer.NO, "more than one primary: east, west"),
        ([], 1, Answer.NO, "nothing is seen yet"),
    ],
)
def test_can_we_fail_over(views: list[ComponentView], seconds: float | None, answer: Answer, reason: str) -> None:
    """Yes, with an acceptance, or no; and every reason against yes."""
    found = can_fail_over(views, exposed(seconds), RPO)
    assert found.answer is answer
    assert reason in "; ".join(found.reasons)
    assert bool(found.reasons) == (answer is not Answer.YES)
