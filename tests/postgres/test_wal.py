"""Positions, timelines and the verdict on who may be overwritten: pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.providers.selfhosted.postgres.wal import (
    Beyond,
    ControlData,
    Course,
    behind,
    judge,
    newest_history,
    parse_control,
    parse_history,
    parse_lsn,
    parse_statistics,
    show_lsn,
)  # fmt: skip

CONTROL = """pg_control version number:            1800
Database system identifier:           7710737096175669770
Database cluster state:               {state}
Latest checkpoint location:           0/16EF458
Latest checkpoint's TimeLineID:       1
Min recovery ending loc's timeline:   {ending}
"""
STATISTICS = """WAL statistics between 0/1713000 and 0/1713138:
Type                                           N      (%)          Record size      (%)
----                                           -      ---          -----------      ---
Transaction/COMMIT                             3 ( 50.00)                  102 ( 36.56)
Transaction/ABORT                              9 ( 50.00)                  102 ( 36.56)
Transaction/COMMIT_PREPARED                    2 ( 50.00)                  102 ( 36.56)
Heap/INSERT                                    3 ( 50.00)                  177 ( 63.44)
Total                                          6                           279 [100.00%]
"""


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_a_position_is_read_as_it_is_shown(position: int) -> None:
    """Every position survives being written and read."""
    assert parse_lsn(show_lsn(position)) == position


@pytest.mark.parametrize("text", ["", "0", "0/G", "1/2/3", "0/123456789", "-1/0"])
def test_what_is_no_position_is_refused(text: str) -> None:
    """Half a position is never taken for a number."""
    with pytest.raises(ValueError, match="is not a WAL position"):
        parse_lsn(text)


def test_unknown_positions_are_not_zero_bytes_apart() -> None:
    """A position that could not be read gives None, never 0; a secondary that is ahead is not a negative distance behind."""
    assert behind("0/10", "0/4") == 12
    assert behind("0/4", "0/10") == 0
    assert behind("1/0", "0/FFFFFFFF") == 1
    assert behind(None, "0/4") is None
    assert behind("0/4", "") is None


def test_history_names_each_ancestor_and_where_it_was_left() -> None:
    """As the server writes it, comments and empty lines apart."""
    text = "1\t0/303ED28\tno recovery target specified\n\n2\t1/0\tat restore point\n# comment\n"
    assert parse_history(text) == {1: 0x303ED28, 2: 1 << 32}
    assert newest_history("000000010000000000000003\n00000002.history\n0000000A.history\narchive_status\n") == 10
    assert newest_history("000000010000000000000003\n") is None


def test_control_data_knows_an_orderly_stop() -> None:
    """Only ``shut down`` means that nothing comes after the checkpoint; the newest timeline counts."""
    stopped = parse_control(CONTROL.format(state="shut down", ending=0))
    assert (stopped.clean, stopped.standby, stopped.timeline, stopped.checkpoint) == (True, False, 1, "0/16EF458")
    crashed = parse_control(CONTROL.format(state="in production", ending=0))
    assert (crashed.clean, crashed.standby) == (False, False)
    standby = parse_control(CONTROL.format(state="shut down in recovery", ending=4))
    assert (standby.clean, standby.standby, standby.timeline) == (False, True, 4)
    with pytest.raises(ValueError, match="did not print"):
        parse_control("nothing of that sort")


def test_commits_after_the_fork_are_counted() -> None:
    """Commits and committed prepared transactions count, aborts do not; the end of the log is no failure."""
    assert parse_statistics(STATISTICS, "pg_waldump: error: error in WAL record at 0/1713110: invalid record length", 0x1713000) == Beyond(
        0x1713138, 5
    )
    nothing = parse_statistics("", "pg_waldump: error: could not find a valid record after 0/1713000", 0x1713000)
    assert (nothing, nothing.nothing) == (Beyond(0x1713000, 0), True)
    unreadable = parse_statistics("", 'could not find file "000000010000000000000009": No such file or directory', 0)
    assert (unreadable, unreadable.nothing) == (Beyond(None, None), False), "unreadable is not nothing"


def control(timeline: int = 1, state: str = "in production", system: str = "s") -> ControlData:
    return ControlData(system, state, "0/100", timeline)


def test_who_wrote_nothing_after_the_fork_only_restarts() -> None:
    """The source's log ends where the target's timeline began."""
    assert judge("s", 2, {1: 0x200}, control(), 1, 0x200).course is Course.RESTART
    assert judge("s", 2, {1: 0x200}, control(), 1, 0x201).course is Course.REWIND


def test_an_unknown_end_counts_as_diverged() -> None:
    """Where the source's log could not be read, it is treated as if it held something."""
    assert judge("s", 2, {1: 0x200}, control(), 1, None).course is Course.REWIND


@pytest.mark.parametrize(
    ("source", "newest", "said"),
    [
        (control(3), 3, "newer"),
        (control(1), 3, "newer"),
        (control(2), 2, "neither"),
        (control(1, system="other"), 1, "different"),
    ],
)
def test_what_may_be_newest_is_never_overwritten(source: ControlData, newest: int, said: str) -> None:
    """A newer timeline (known only from a history file, too), the same one with two primaries, another database."""
    verdict = judge("s", 2, {1: 0x200}, source, newest, 0x100)
    assert verdict.course is Course.REFUSE
    assert said in verdict.reason


def test_a_timeline_that_is_no_ancestor_is_refused() -> None:
    """Both were promoted apart from a common ancestor: a person decides."""
    assert judge("s", 4, {1: 0x200, 3: 0x300}, control(2), 2, 0x100).course is Course.REFUSE


def test_a_secondary_of_the_same_timeline_restarts() -> None:
    """It was following already when it stopped."""
    assert judge("s", 2, {1: 0x200}, control(2, "in archive recovery"), 2, None).course is Course.RESTART


@given(
    target=st.integers(1, 6), source=st.integers(1, 6), newest=st.integers(1, 6), end=st.none() | st.integers(0, 600),
    state=st.sampled_from(["shut down", "in production", "shut down in recovery", "in archive recovery"]),
)  # fmt: skip
def test_nothing_newer_is_ever_overwritten(target: int, source: int, newest: int, end: int | None, state: str) -> None:
    """Whatever the files say: a source that knows of a timeline beyond the target's, or is an equal primary, is refused."""
    history = {timeline: timeline * 100 for timeline in range(1, target)}
    seen = control(source, state)
    verdict = judge("s", target, history, seen, max(source, newest), end)
    if max(source, newest) > target or (max(source, newest) == target and not seen.standby):
        assert verdict.course is Course.REFUSE
