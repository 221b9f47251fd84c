"""Roles, findings and lag of one look at both buckets: pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import cast

import pytest

from dr.errors import StepError
from dr.model.lag import ComponentView, LagSample
from dr.model.words import Known, Role, Severity
from dr.ports import Clock, Secrets
from dr.providers.selfhosted.s3.config import S3Config
from dr.providers.selfhosted.s3.control import Marker
from dr.providers.selfhosted.s3.lag import Copy, Pending, decide, leading
from dr.providers.selfhosted.s3.view import Look, Rights, judge
from dr.providers.selfhosted.s3.wire import Denied, NotServed, Store

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OLD, NEW = Marker(1, "east", NOON), Marker(2, "west", NOON)
CONFIG = S3Config.model_validate(
    {
        "regions": {
            name: {"endpoint_url": f"http://{name}.example:9000", "bucket": "logs", "access_key": {"env": "A"}, "secret_key": {"env": "B"}}
            for name in ("east", "west")
        },
        "stalled_after": timedelta(seconds=30),
    }
)


def ago(seconds: float) -> datetime:
    return NOON - timedelta(seconds=seconds)


def copy(marker: Marker | None = OLD, **beats: datetime) -> Copy:
    return Copy(beats, marker)


def seen(east: Look | StepError, west: Look | StepError, lag: LagSample | None = None) -> ComponentView:
    known = lag or LagSample(component="logs", at=NOON, state=Known.KNOWN, lag=timedelta(0), recovery_point=NOON)
    return judge("logs", NOON, CONFIG, {"east": east, "west": west}, known, "type this")


def errors(view: ComponentView) -> list[str]:
    return [item.fact for item in view.findings if item.severity is Severity.ERROR]


def test_an_old_primary_that_came_back_is_no_primary() -> None:
    """By its own word it is; the newer epoch counts."""
    view = seen(Look(copy(OLD)), Look(copy(NEW)))
    assert (view.regions["east"].role, view.regions["west"].role, view.primary) == (Role.PRIMARY, Role.PRIMARY, "west")


def test_two_primaries_of_one_epoch_are_nobodys() -> None:
    """An error, and no primary."""
    view = seen(Look(copy(Marker(2, "east", NOON))), Look(copy(NEW)))
    assert view.primary is None
    assert any("both became primary" in fact for fact in errors(view))


def test_a_marker_that_did_not_arrive_is_an_error_there() -> None:
    """The side without one could not be promoted by epoch."""
    view = seen(Look(copy(OLD)), Look(copy(None)))
    assert view.regions["west"].role is Role.UNKNOWN
    assert [item.region for item in view.findings if item.severity is Severity.ERROR] == ["west"]


def test_silence_is_told_apart_from_a_refusal() -> None:
    """Stopped, unreachable, and not for us."""
    view = seen(NotServed("gone", refused=True), NotServed("silent", refused=False))
    assert (view.regions["east"].role, view.regions["west"].role, errors(view)) == (Role.STOPPED, Role.UNREACHABLE, [])
    denied = seen(Denied("403"), Look(copy()))
    assert denied.regions["east"].role is Role.UNKNOWN
    assert errors(denied)


def test_a_write_that_would_be_refused_is_found_before() -> None:
    """An error of that region only; where nobody could ask, nothing is said."""
    view = seen(Look(copy(), Rights("", "403 AccessDenied")), Look(copy(), Rights("")))
    assert [(item.severity, item.region) for item in view.findings] == [(Severity.ERROR, "east")]
    assert seen(Look(copy()), Look(copy())).findings == ()


def test_versioning_that_differs_is_a_warning() -> None:
    """What is overwritten by mistake would be kept on one side only."""
    view = seen(Look(copy(), Rights("Enabled")), Look(copy(), Rights("")))
    assert [item.severity for item in view.findings] == [Severity.WARNING]


def test_replication_that_stands_is_said() -> None:
    """The primary's heartbeats go on, and the secondary's newest is older than allowed."""
    lag = LagSample(component="logs", at=NOON, state=Known.KNOWN, lag=timedelta(seconds=40), recovery_point=ago(40))
    view = seen(Look(copy(east=ago(1))), Look(copy(east=ago(40))), lag)
    assert any("does not run" in item.fact for item in view.findings)
    assert not any("does not run" in item.fact for item in seen(Look(copy(east=ago(41))), Look(copy(east=ago(40))), lag).findings)


def test_the_lag_is_never_smaller_than_what_is_known_to_be_missing() -> None:
    """Heartbeats overtake objects: the oldest that has not arrived counts; what was found about another primary does not."""
    pending = Pending("east", ago(1), 3, 300, ago(50))
    sample = decide("logs", NOON, "east", copy(east=ago(2)), copy(east=ago(1)), pending)
    assert (sample.state, sample.lag, sample.behind_items, sample.behind_bytes) == (Known.KNOWN, timedelta(seconds=50), 3, 300)
    other = decide("logs", NOON, "west", copy(NEW, west=ago(2)), copy(NEW, west=ago(1)), pending)
    assert (other.lag, other.behind_items) == (timedelta(seconds=2), None)


def test_what_failed_is_told_apart_from_what_is_pending() -> None:
    """Counted and named in the sample; it holds the recovery point back, and is a warning even where the primary is gone."""
    pending = Pending("east", ago(1), 2, 200, ago(900), failed=5, failed_named=("a/1", "a/2", "a/3"))
    sample = decide("logs", NOON, "east", copy(east=ago(2)), copy(east=ago(1)), pending)
    assert (sample.behind_items, sample.behind_bytes, sample.failed_items, sample.failed_named) == (2, 200, 5, ("a/1", "a/2", "a/3"))
    assert (sample.recovery_point, sample.reason) == (ago(900), "2 objects of east have not arrived; 5 objects of east failed to arrive")
    for east in (Look(copy(east=ago(1))), NotServed("gone", refused=True)):
        told = [item for item in seen(east, Look(copy(east=ago(2))), sample).findings if item.severity is Severity.WARNING]
        assert any("5 objects failed to replicate: a/1, a/2, a/3 and 2 more" in item.fact and item.fix for item in told)
    only_pending = decide("logs", NOON, "east", copy(east=ago(2)), copy(east=ago(1)), Pending("east", ago(1), 2, 200, ago(9)))
    assert only_pending.failed_items == 0
    assert not any("failed" in item.fact for item in seen(Look(copy()), Look(copy()), only_pending).findings)


def test_a_silent_primary_makes_a_bound_and_a_silent_secondary_nothing() -> None:
    """Unknown is never zero."""
    gone = NotServed("gone", refused=True)
    bound = decide("logs", NOON, "east", copy(east=ago(5)), gone, None)
    assert (bound.state, bound.lag) == (Known.BOUND, timedelta(seconds=5))
    unknown = decide("logs", NOON, "east", gone, copy(), None)
    assert (unknown.state, unknown.lag, unknown.recovery_point) == (Known.UNKNOWN, None, None)


def test_where_the_store_shows_a_later_moment_that_one_counts() -> None:
    """The machine that asks may have a slow clock: the lag is not smaller for that, and who reckons with the sample knows it."""
    slow = Copy({"east": ago(2)}, OLD, timedelta(seconds=28))
    sample = decide("logs", NOON, "east", slow, copy(east=ago(1)), None)
    assert (sample.lag, sample.clock_behind) == (timedelta(seconds=30), timedelta(seconds=28))


class _Noon:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOON


@pytest.mark.parametrize(
    ("date", "behind"),
    [
        ("Thu, 01 Jan 2026 12:00:28 GMT", timedelta(seconds=28)),
        ("Thu, 01 Jan 2026 11:59:00 GMT", timedelta(0)),
        ("Thu, 01 Jan 2026 12:00:28 -0000", timedelta(seconds=28)),
        ("at noon", None),
        ("", None),
    ],
)
def test_the_stores_clock_is_read_from_its_answers(date: str, behind: timedelta | None) -> None:
    """RFC 9110: ``Date``, in whole seconds. A store that does not say makes nothing of it; before its first answer nothing is known."""

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(404)
            if date:
                self.send_header("Date", date)
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    secrets = cast(Secrets, SimpleNamespace(get=lambda _ref: "key"))
    settings = CONFIG.regions["west"].model_copy(update={"endpoint_url": f"http://127.0.0.1:{server.server_port}"})
    store = Store("logs", "west", settings, secrets, cast(Clock, _Noon()), Path(), timedelta(seconds=5))
    try:
        assert store.clock_behind is None
        assert store.head("a") is None
        assert store.clock_behind == behind
    finally:
        store.close()
        server.shutdown()
        thread.join()
        server.server_close()


def test_before_the_first_heartbeat_the_marker_says_how_far() -> None:
    """It came the same way; a marker of the other region says nothing."""
    assert decide("logs", NOON, "east", copy(Marker(1, "east", ago(9))), copy(), None).recovery_point == ago(9)
    assert decide("logs", NOON, "west", copy(Marker(1, "east", ago(9))), copy(), None).state is Known.UNKNOWN


def test_who_leads_is_read_from_whoever_answers() -> None:
    """One store is enough; none is nobody."""
    gone = NotServed("gone", refused=True)
    assert leading({"east": gone, "west": copy(NEW)}) == "west"
    assert leading({"east": copy(OLD), "west": copy(NEW)}) == "west"
    assert leading({"east": gone, "west": gone}) is None
