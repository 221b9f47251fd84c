"""Every task in flight has exactly one fate, and what runs at most once never starts twice (I18)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.model.words import TaskFate
from dr.providers.airflow.config import Retryable, TaskPolicy
from dr.providers.airflow.tasks import IN_FLIGHT, STARTED, Change, Task, decide

R, F, U = TaskFate.REQUEUED, TaskFate.FAILED, TaskFate.UNTOUCHED
POLICY = TaskPolicy()


def task(state: str, try_number: int = 1, max_tries: int = 2, pool: str = "default_pool") -> Task:
    return Task("6f9619ff-8b86-d011-b42d-00cf4fc964ff", "billing", "manual__1", "charge", -1, state, try_number, max_tries, pool)


TABLE = [
    # state, tries, pool, everything is here → fate, change
    ("running", (1, 2), "default_pool", False, R, Change.RETRY),
    ("running", (2, 2), "default_pool", False, R, Change.RETRY),
    ("running", (3, 2), "default_pool", False, F, Change.FAIL),
    ("running", (1, 0), "default_pool", False, F, Change.FAIL),
    ("restarting", (1, 2), "default_pool", False, R, Change.RETRY),
    ("queued", (1, 0), "default_pool", False, R, Change.RESCHEDULE),
    ("scheduled", (1, 0), "default_pool", False, U, Change.NONE),
    ("up_for_retry", (1, 2), "default_pool", False, U, Change.NONE),
    ("deferred", (1, 0), "default_pool", False, U, Change.NONE),
    ("up_for_reschedule", (1, 0), "default_pool", False, U, Change.NONE),
    ("running", (1, 2), "at_most_once", True, F, Change.FAIL),
    ("queued", (1, 2), "at_most_once", True, F, Change.FAIL),
    ("up_for_retry", (1, 2), "at_most_once", True, F, Change.FAIL),
    ("scheduled", (1, 2), "at_most_once", False, F, Change.FAIL),
    ("scheduled", (1, 2), "at_most_once", True, U, Change.NONE),
    ("deferred", (1, 2), "at_most_once", False, U, Change.NONE),
]


@pytest.mark.parametrize(("state", "tries", "pool", "complete", "fate", "change"), TABLE)
def test_the_table(state: str, tries: tuple[int, int], pool: str, complete: bool, fate: TaskFate, change: Change) -> None:
    """Retries left: requeued; none left, or at most once: failed; queued: scheduled again; what waits by itself: untouched."""
    found = decide(task(state, *tries, pool=pool), POLICY, complete=complete)
    assert (found.fate, found.change) == (fate, change)
    assert found.reason


tasks = st.builds(
    task, state=st.sampled_from(IN_FLIGHT), try_number=st.integers(0, 5), max_tries=st.integers(0, 5),
    pool=st.sampled_from(["default_pool", "batch", "at_most_once"]),
)  # fmt: skip
policies = st.builds(TaskPolicy, retryable=st.sampled_from(Retryable))


@given(tasks, policies, st.booleans())
def test_exactly_one_fate_that_fits_its_change(row: Task, policy: TaskPolicy, complete: bool) -> None:
    """Whatever is in flight gets a fate, and the change is the one that brings it about."""
    found = decide(row, policy, complete=complete)
    assert found.fate in (R, F, U)
    assert (found.fate is U) == (found.change is Change.NONE)
    assert (found.fate is F) == (found.change is Change.FAIL)


@given(tasks, policies, st.booleans())
def test_at_most_once_is_never_requeued(row: Task, policy: TaskPolicy, complete: bool) -> None:
    """A task of the pool is never requeued, and one that a worker may be at is always failed."""
    row = row._replace(pool=policy.pool)
    found = decide(row, policy, complete=complete)
    assert found.fate is not R
    assert found.fate is F or row.state not in STARTED


@given(tasks, policies, st.booleans())
def test_a_started_task_never_stays_as_it_is(row: Task, policy: TaskPolicy, complete: bool) -> None:
    """A row that nobody works at any more is never left running, queued or restarting: no scheduler repairs it."""
    assert row.state not in STARTED or decide(row, policy, complete=complete).change is not Change.NONE


@pytest.mark.parametrize("state", ["success", "failed", "skipped", "removed"])
def test_what_is_over_has_no_fate(state: str) -> None:
    """A finished task is not in flight: asking is a bug, not a guess."""
    with pytest.raises(ValueError, match="not a state in flight"):
        decide(task(state), POLICY, complete=False)


def test_the_runbook_may_fail_what_could_be_retried() -> None:
    """``retryable: fail`` turns a requeue of a running task into a failure, and leaves queued ones alone."""
    policy = TaskPolicy(retryable=Retryable.FAIL)
    assert decide(task("running"), policy, complete=False).fate is F
    assert decide(task("queued"), policy, complete=False).fate is R
