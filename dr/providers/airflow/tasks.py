"""Which fate a task gets that was in flight when its region was left. Pure: a table, no I/O.

Sources: Airflow 3 counts a try when it schedules (``try_number`` rises, ``max_tries`` does not), so a retry is left while
``try_number <= max_tries`` (``TaskInstance.is_eligible_to_retry``); a failover therefore uses up one retry of each running task.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from dr.model.words import TaskFate
from dr.providers.airflow.config import Retryable, TaskPolicy

IN_FLIGHT = ("running", "queued", "restarting", "scheduled", "deferred", "up_for_retry", "up_for_reschedule")
"""States of ``task_instance`` that are neither finished nor untouched by a scheduler."""

STARTED = ("running", "queued", "restarting")
"""States in which a worker may be at it; a drain waits for these, a deferred task may stay."""


class Task(NamedTuple):
    """One row of ``task_instance``. ``run_id`` is Airflow's (the DAG run), not ours."""

    id: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str
    try_number: int
    max_tries: int
    pool: str


class Change(Enum):
    """What is done to the row."""

    NONE = "left as it is"
    RETRY = "try kept in task_instance_history, state cleared"
    RESCHEDULE = "state scheduled"
    FAIL = "state failed"


class Decision(NamedTuple):
    """A fate, the change that brings it about, and why, for the list of items."""

    fate: TaskFate
    change: Change
    reason: str


def decide(task: Task, policy: TaskPolicy, *, complete: bool) -> Decision:
    """The one fate of a task in flight.

    Args:
        complete: everything that the fenced primary ever wrote is here (a planned move), so a task that is ``scheduled`` here
            did not start there. After a lost region it may have started in the part of the history that was lost.

    Raises:
        ValueError: the task is not in flight.
    """
    if task.state not in IN_FLIGHT:
        raise ValueError(f"{task.state!r} is not a state in flight")
    if task.state in ("deferred", "up_for_reschedule"):
        return Decision(TaskFate.UNTOUCHED, Change.NONE, f"{task.state}: goes on at its time")
    if task.pool == policy.pool:
        return _at_most_once(task, complete)
    if task.state in ("scheduled", "up_for_retry"):
        return Decision(TaskFate.UNTOUCHED, Change.NONE, f"{task.state}: had not started")
    if task.state == "queued":
        return Decision(TaskFate.REQUEUED, Change.RESCHEDULE, "queued: had not started")
    return _started(task, policy)


def _at_most_once(task: Task, complete: bool) -> Decision:
    if task.state == "scheduled" and complete:
        return Decision(TaskFate.UNTOUCHED, Change.NONE, "scheduled: had not started")
    return Decision(TaskFate.FAILED, Change.FAIL, "at most once, and it may have started")


def _started(task: Task, policy: TaskPolicy) -> Decision:
    if task.try_number > task.max_tries:
        return Decision(TaskFate.FAILED, Change.FAIL, "no retry left")
    if policy.retryable is Retryable.FAIL:
        return Decision(TaskFate.FAILED, Change.FAIL, "the runbook says fail")
    return Decision(TaskFate.REQUEUED, Change.RETRY, f"retry {task.try_number} of {task.max_tries}")
