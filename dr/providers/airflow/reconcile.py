"""Gives every task that was in flight its one fate, in the target, before a scheduler starts there (I18).

One transaction for each Deployment: retire the lost schedulers' job rows, decide, change, and record every decision in Airflow's own
audit table ``log`` (events ``dr.task`` and, last, ``dr.reconciled``). A crash leaves a Deployment either untouched or decided and
recorded; a repeated step reads the record and counts nothing twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dr.errors import Permanent
from dr.model.evidence import Evidence, Held, RecoveryPoint, TaskCount
from dr.model.words import TaskFate
from dr.ports import AttemptContext, Look, Seen
from dr.providers.airflow.deployments import Deployment
from dr.providers.airflow.step import FleetStep, some
from dr.providers.airflow.tasks import IN_FLIGHT, STARTED, Change, Decision, Task, decide

if TYPE_CHECKING:
    from dr.providers.airflow.config import TaskPolicy
    from dr.providers.airflow.databases import Connection


@dataclass(frozen=True)
class Item:
    """One task and its fate: a line of the items file. ``run_id`` is Airflow's."""

    deployment: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    was: str
    fate: TaskFate
    reason: str

    @classmethod
    def of(cls, deployment: str, task: Task, decision: Decision) -> Item:
        """The line of a decision."""
        return cls(
            deployment, task.dag_id, task.run_id, task.task_id, task.map_index, task.try_number, task.state, decision.fate, decision.reason
        )

    def line(self) -> str:
        """The line, without its end."""
        return json.dumps(vars(self), separators=(",", ":"))


_ANY_JOB = 2**31 - 1

_DECIDED = """
SELECT dag_id, run_id, task_id, map_index, try_number, event, split_part(extra, ' ', 2), split_part(extra, ' ', 3),
    substr(extra, length(split_part(extra, ' ', 1) || split_part(extra, ' ', 2) || split_part(extra, ' ', 3)) + 4)
FROM log WHERE event IN ('dr.task', 'dr.reconciled') AND split_part(extra, ' ', 1) = %(run)s ORDER BY id
"""

_RETIRE = "UPDATE job SET state = 'failed', end_date = now() WHERE state = 'running' AND id <= %(highest)s"

_IN_FLIGHT = """
SELECT id::text, dag_id, run_id, task_id, map_index, state, try_number, max_tries, pool FROM task_instance
WHERE state = ANY(%(states)s) ORDER BY dag_id, run_id, task_id, map_index FOR UPDATE
"""

# The columns that both tables have, whichever version of Airflow made them; what differs for an attempt that was cut off is set here.
_HISTORY_COLUMNS = """
SELECT a.attname FROM pg_attribute a JOIN pg_attribute b ON b.attname = a.attname AND b.attrelid = 'task_instance_history'::regclass
    AND b.attnum > 0 AND NOT b.attisdropped
WHERE a.attrelid = 'task_instance'::regclass AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attname NOT IN ('id', 'task_instance_id', 'state', 'end_date', 'duration', 'updated_at') ORDER BY 1
"""

_RETRY = """
WITH kept AS (
    INSERT INTO task_instance_history (task_instance_id, state, end_date, duration, {columns})
    SELECT id, 'failed', now(), extract(epoch FROM now() - start_date), {columns} FROM task_instance WHERE id = ANY(%(ids)s::uuid[])
    ON CONFLICT DO NOTHING
)
UPDATE task_instance SET id = gen_random_uuid(), state = NULL, start_date = NULL, end_date = NULL, duration = NULL, hostname = '',
    pid = NULL, queued_dttm = NULL, scheduled_dttm = NULL, queued_by_job_id = NULL, last_heartbeat_at = NULL, external_executor_id = NULL,
    updated_at = now()
WHERE id = ANY(%(ids)s::uuid[])
"""

_RESCHEDULE = """
UPDATE task_instance SET state = 'scheduled', queued_dttm = NULL, queued_by_job_id = NULL, external_executor_id = NULL, updated_at = now()
WHERE id = ANY(%(ids)s::uuid[])
"""

_FAIL = """
UPDATE task_instance SET state = 'failed', end_date = now(), duration = extract(epoch FROM now() - start_date), pid = NULL,
    queued_by_job_id = NULL, last_heartbeat_at = NULL, external_executor_id = NULL, updated_at = now()
WHERE id = ANY(%(ids)s::uuid[])
"""

_RECORD = """
INSERT INTO log (dttm, event, owner, dag_id, run_id, task_id, map_index, try_number, extra)
SELECT now(), 'dr.task', 'dr', * FROM unnest(%(dags)s::text[], %(runs)s::text[], %(tasks)s::text[], %(maps)s::int[], %(tries)s::int[],
    %(extras)s::text[])
"""

_DONE = "INSERT INTO log (dttm, event, owner, extra) VALUES (now(), 'dr.reconciled', 'dr', %(run)s)"

_LEFT = """
SELECT count(*) FROM task_instance WHERE state = ANY(%(states)s) AND (queued_by_job_id <= %(highest)s OR queued_by_job_id IS NULL)
"""


def decided(connection: Connection, deployment: str, run: str) -> list[Item] | None:
    """What this run decided for a Deployment, as recorded there; None where it has not."""
    rows = connection.execute(_DECIDED, {"run": run}).fetchall()
    if not any(row[5] == "dr.reconciled" for row in rows):
        return None
    return [
        Item(deployment, row[0], row[1], row[2], row[3], row[4], row[6], TaskFate(row[7]), row[8]) for row in rows if row[5] == "dr.task"
    ]


def reconcile(
    connection: Connection, deployment: str, run: str, policy: TaskPolicy, highest: int | None, *, complete: bool
) -> list[Item]:
    """Decides, changes and records all tasks in flight of one Deployment in one transaction; what this run decided before is returned.

    Args:
        highest: the highest job id at the hold; jobs up to it are the lost region's. None: every job, none was started here yet.
        complete: see ``tasks.decide``.
    """
    with connection.transaction():
        before = decided(connection, deployment, run)
        if before is not None:
            return before
        connection.execute(_RETIRE, {"highest": _ANY_JOB if highest is None else highest})
        tasks = [Task(*row) for row in connection.execute(_IN_FLIGHT, {"states": list(IN_FLIGHT)}).fetchall()]
        decisions = [(task, decide(task, policy, complete=complete)) for task in tasks]
        _change(connection, decisions)
        _record(connection, decisions, run)
    return [Item.of(deployment, task, decision) for task, decision in decisions]


def _change(connection: Connection, decisions: Sequence[tuple[Task, Decision]]) -> None:
    from psycopg import sql

    ids: dict[Change, list[str]] = {}
    for task, decision in decisions:
        ids.setdefault(decision.change, []).append(task.id)
    if Change.RETRY in ids:
        columns = sql.SQL(", ").join(sql.Identifier(row[0]) for row in connection.execute(_HISTORY_COLUMNS))
        connection.execute(sql.SQL(_RETRY).format(columns=columns), {"ids": ids[Change.RETRY]})
    if Change.RESCHEDULE in ids:
        connection.execute(_RESCHEDULE, {"ids": ids[Change.RESCHEDULE]})
    if Change.FAIL in ids:
        connection.execute(_FAIL, {"ids": ids[Change.FAIL]})


def _record(connection: Connection, decisions: Sequence[tuple[Task, Decision]], run: str) -> None:
    if decisions:
        connection.execute(
            _RECORD,
            {
                "dags": [task.dag_id for task, _ in decisions],
                "runs": [task.run_id for task, _ in decisions],
                "tasks": [task.task_id for task, _ in decisions],
                "maps": [task.map_index for task, _ in decisions],
                "tries": [task.try_number for task, _ in decisions],
                "extras": [f"{run} {task.state} {decision.fate} {decision.reason}" for task, decision in decisions],
            },
        )
    connection.execute(_DONE, {"run": run})


def write_items(path: Path, items: Iterable[Item]) -> None:
    """Replaces the file of one run, one line a task; readable by us only: ids of DAGs are somebody's business."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(item.line() + "\n" for item in items)
        file.flush()
        os.fsync(descriptor)
    new.replace(path)


def count(component: str, items: Sequence[Item], path: Path, drained: TaskCount | None) -> TaskCount:
    """The fates in numbers. What ended during a drain was in flight, too."""
    fates = dict.fromkeys(TaskFate, 0)
    for item in items:
        fates[item.fate] += 1
    finished = drained.fates.get(TaskFate.FINISHED, 0) if drained else 0
    fates[TaskFate.FINISHED] += finished
    return TaskCount(component=component, in_flight=len(items) + finished, fates=fates, items_path=str(path))


class Reconcile(FleetStep):
    """Every task in flight gets exactly one fate; counted, and listed one by one in a file outside the source region."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One transaction for each Deployment, a few at a time; then the list."""
        held = context.found(Held, self.fleet.name)
        point = context.found(RecoveryPoint, self.fleet.config.database)
        complete = point is not None and point.complete
        highest: Mapping[str, int] = held.highest_job if held else {}

        def one(item: Deployment) -> list[Item]:
            with self.fleet.databases.use(self.region, item.database) as connection:
                return reconcile(
                    connection, item.id, context.run_id, self.fleet.config.tasks, highest.get(item.id), complete=complete
                )

        items = [item for found in self.fleet.sql.each(one, self.fleet.deployments(self.region)) for item in found]
        path = self.fleet.site.artefacts / f"tasks-{context.run_id}.jsonl"
        try:
            write_items(path, items)
        except OSError as error:
            text = f"{path} cannot be written: {error.strerror}"
            raise Permanent(text, hint=f"make room, then dr resume {context.run_id}: nothing is decided twice") from error
        return (count(self.fleet.name, items, path, drained(context, self.fleet.name)),)

    def verify(self, context: AttemptContext) -> Seen:
        """No Deployment has a task of the lost region's left that nobody decided about."""
        held = context.found(Held, self.fleet.name)
        highest: Mapping[str, int] = held.highest_job if held else {}

        def one(item: Deployment) -> int:
            values = {"states": list(STARTED), "highest": highest.get(item.id, _ANY_JOB)}
            with self.fleet.databases.use(self.region, item.database) as connection:
                row = connection.execute(_LEFT, values).fetchone()
                return int(row[0]) if row else 0

        deployments = self.fleet.deployments(self.region)
        left = [item.id for item, number in zip(deployments, self.fleet.sql.each(one, deployments), strict=True) if number]
        return Seen(Look.BLOCKED, f"tasks without a fate in {some(left)}") if left else Seen(Look.DONE)


def drained(context: AttemptContext, component: str) -> TaskCount | None:
    """What the drain of this run counted: the one count that has no list."""
    counts = [item for item in context.evidence if isinstance(item, TaskCount) and item.component == component and item.items_path is None]
    return counts[-1] if counts else None
