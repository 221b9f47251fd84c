"""Comparing two listings, and which version counts: pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.providers.selfhosted.s3 import control
from dr.providers.selfhosted.s3.control import Keys, Marker
from dr.providers.selfhosted.s3.objects import Difference, Item, Way, compare, overtaken, repair, same, way
from dr.providers.selfhosted.s3.preserve import path_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def item(key: str = "a", etag: str = "1", size: int = 3, seconds: int = 0) -> Item:
    return Item(key, etag, size, NOON + timedelta(seconds=seconds))


def test_every_key_is_accounted_for_once() -> None:
    """Missing on either side, differing, equal; what is ours does not count."""
    ours = {"a": item("a"), "b": item("b"), "c": item("c"), ".dr/heartbeat/east": item(".dr/heartbeat/east")}
    theirs = {"b": item("b"), "c": item("c", etag="2"), "d": item("d"), ".dr/heartbeat/west": item(".dr/heartbeat/west")}
    found = compare(ours, theirs, ".dr/")
    assert (found.checked, found.equal, found.keys) == (4, 1, frozenset("acd"))
    assert ([one.key for one in found.only_source], [one.key for one in found.only_target]) == (["a"], ["d"])


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (item(), item(seconds=9), True),
        (item(), item(etag="2"), False),
        (item(size=3), item(size=4), False),
        (item(etag="1-2"), item(etag="9-4"), True),
        (item(etag="1-2", size=3), item(etag="9-4", size=4), False),
    ],
    ids=["another time only", "another content", "another size", "put in other parts", "parts of another size"],
)
def test_what_a_listing_tells_of_the_content(one: Item, other: Item, equal: bool) -> None:
    """Times say nothing of the content; ETags of parts say nothing of the whole, their sizes do."""
    assert same(one, other) is equal


@pytest.mark.parametrize(
    ("source", "target", "promoted", "course"),
    [
        (5, 20, 10, Way.TO_SOURCE),
        (15, 20, 10, Way.TO_SOURCE),
        (25, 20, 10, Way.CONFLICT),
        (8, 5, 10, Way.TO_TARGET),
        (15, 5, 10, Way.TO_TARGET),
        (3, 5, 10, Way.TO_SOURCE),
        (5, 5, 10, Way.CONFLICT),
        (9, 5, None, Way.CONFLICT),
        (3, 5, None, Way.TO_SOURCE),
    ],
    ids=[
        "written again on the new side", "written on both, the new side last", "written on both, the old side last", "never arrived",
        "the old side wrote on, the new side did not", "the old side was set back", "same moment", "primary all the time, other is younger",
        "primary all the time",
    ],
)  # fmt: skip
def test_which_version_counts(source: int, target: int, promoted: int | None, course: Way) -> None:
    """The new side's version from after the promotion is never overwritten; nor is a younger one of the old side that met one."""
    at = None if promoted is None else NOON + timedelta(seconds=promoted)
    assert way(item(seconds=source), item(etag="2", seconds=target), at) is course


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.sampled_from("123"), st.integers(0, 30))),
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.sampled_from("123"), st.integers(0, 30))),
    st.integers(0, 30),
)
def test_repair_makes_equal_and_overwrites_nothing_newer(
    ours: dict[str, tuple[str, int]], theirs: dict[str, tuple[str, int]], promoted: int
) -> None:
    """Carried out on both sides, only conflicts are left, and no copy replaced a younger version."""
    source = {key: item(key, etag, seconds=at) for key, (etag, at) in ours.items()}
    target = {key: item(key, etag, seconds=at) for key, (etag, at) in theirs.items()}
    plan = repair(compare(source, target, ".dr/"), NOON + timedelta(seconds=promoted))
    for copied, replaced in (*plan.to_source, *plan.to_target):
        assert replaced is None or replaced.modified < copied.modified
    target |= {copied.key: copied for copied, _ in plan.to_target}
    source |= {copied.key: copied for copied, _ in plan.to_source}
    left = compare(source, target, ".dr/")
    assert left.keys == {pair[0].key for pair in plan.conflicts}


def test_the_newest_epoch_counts_in_whatever_order_markers_come() -> None:
    """A late marker changes nothing; two regions of one epoch are nobody's."""
    keys = Keys(".dr/")
    names = [keys.marker(1, "east"), keys.marker(7, "west"), keys.marker(2, "east"), ".dr/primary/nonsense"]
    markers = [found for name in names if (found := control.read_marker(item(name))) is not None]
    assert control.newest(markers) == Marker(7, "west", NOON)
    assert control.newest([*markers, Marker(7, "east", NOON)]) is None
    assert control.newest([]) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"at": 3}', b'{"at": "yesterday"}', b'{"at": "2026-01-01T00:00:00"}'])
def test_what_is_no_heartbeat_is_none(body: bytes) -> None:
    """Somebody else's object, a torn one, a moment without a zone."""
    assert control.read_heartbeat(body) is None
    assert control.read_heartbeat(control.heartbeat_body("logs", "east", NOON)) == NOON


@pytest.mark.parametrize("key", ["../../etc/passwd", "/root", "a//b", "a/./b", "x" * 300, "plain/run_id=1/attempt=1.log", "ü ?#%.log"])
def test_no_key_leads_out_of_the_folder(key: str) -> None:
    """Objects are kept below one folder whatever they are called, and two versions of one key apart."""
    parts = path_of(item(key)).split("/")
    assert parts[0] == "objects"
    assert not {"", ".", ".."} & set(parts)
    assert path_of(item(key)) != path_of(item(key, etag="2"))


def test_nothing_compared_is_nothing_unequal() -> None:
    """Two empty buckets."""
    assert compare({}, {}, ".dr/") == Difference(checked=0)


@pytest.mark.parametrize(
    ("arrived", "failed"),
    [(None, ""), (100, ""), (160, ""), (161, "a"), (221, "ab")],
    ids=["nothing arrives", "it stands still", "not long enough", "one overtaken", "both"],
)
def test_failed_is_what_was_overtaken_for_long(arrived: int | None, failed: str) -> None:
    """A minute here. Age alone says nothing: a replication that stands still has failed at none of what waits."""
    behind = [item("b", seconds=160), item("a", seconds=100), item("c", seconds=400)]
    found = overtaken(behind, None if arrived is None else NOON + timedelta(seconds=arrived), timedelta(minutes=1))
    assert [one.key for one in found] == list(failed)
