"""After the move: are they still the same Deployments, and did any task run twice?"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dr.model.evidence import Evidence, Identities, RecoveryPoint, TaskCount
from dr.model.identity import IdentityDifference, IdentitySnapshot, compare
from dr.model.words import Guard
from dr.ports import AttemptContext, Look, Seen
from dr.providers.airflow.deployments import Deployment
from dr.providers.airflow.reconcile import drained
from dr.providers.airflow.step import FleetStep, some

if TYPE_CHECKING:
    from dr.providers.airflow.databases import Connection

# An attempt is there twice, or a task that this run gave up for good (failed) has begun again since.
_DUPLICATED = """
SELECT
    (SELECT count(*) FROM (
        SELECT FROM task_instance_history GROUP BY dag_id, run_id, task_id, map_index, try_number HAVING count(*) > 1) AS twice)
    + (SELECT count(*) FROM log l JOIN task_instance t USING (dag_id, run_id, task_id, map_index)
        WHERE l.event = 'dr.task' AND split_part(l.extra, ' ', 1) = %(run)s AND split_part(l.extra, ' ', 3) = 'failed'
        AND t.pool = %(pool)s AND (t.try_number > l.try_number OR t.start_date > l.dttm))
"""


class Fingerprint(FleetStep):
    """Compares who the Deployments are in the target with the newest snapshot kept outside of it (I7), and counts tasks that ran twice.

    Contents of their databases that differ, and history that is missing, are refused after a planned move, where nothing accounts for
    them; but variables that a task may have set while it was drained. After a failover they are said: tasks and people may have changed
    them between the snapshot and the disaster, and nothing tells that apart.
    """

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Reads, compares, and keeps what is there now as the next move's "before"."""
        site, name = self.fleet.site, self.fleet.name
        before = site.samples.identities(site.runbook, name, not_from=self.region)
        after = self.fleet.identities(self.region)
        difference = compare(before, after) if before else IdentityDifference(checked=0, changed=(), missing=(), created_later=())
        site.samples.keep_identities(site.runbook, name, after)
        facts: list[Evidence] = [
            Identities(
                component=name, checked=difference.checked, changed=difference.changed, missing=difference.missing,
                created_later=difference.created_later, before_taken_at=before.taken_at if before else None,
                before_sha256=before.sha256 if before else None, after_sha256=after.sha256,
                contents=difference.contents, rows=_rows(before) if before else {}, fewer=difference.fewer,
                fewer_explained=before is not None and bool(difference.fewer) and self._newer_than_arrived(context, before),
            )
        ]  # fmt: skip
        tasks = context.found(TaskCount, name)
        if tasks is not None:
            facts.append(tasks.model_copy(update={"duplicated": self._duplicated(context)}))
        return tuple(facts)

    def verify(self, context: AttemptContext) -> Seen:
        """BLOCKED where somebody must look: an identity is missing or another one, and nobody accepted it."""
        found = context.found(Identities, self.fleet.name)
        if found is None or found.before_taken_at is None:
            return Seen(Look.DONE, "no snapshot of before was kept, so nothing could be compared: run dr monitor")
        fewer = [f"{less} fewer rows in {table}" for table, less in found.fewer.items()]
        changed = (*found.changed, *found.contents)
        refused = [*found.missing, *found.changed]
        if context.intent.planned:
            ended = drained(context, self.fleet.name)
            written = ended is not None and ended.in_flight > 0
            refused += [name for name in found.contents if not (written and ".variable." in name)] + fewer
        if refused and not context.accepted(Guard.IDENTITIES):
            text = f"{len(found.missing)} Deployments missing, {len(changed)} facts changed, {sum(found.fewer.values())} rows fewer"
            return Seen(Look.BLOCKED, f"{text}: {some(refused)} (try: dr resume {context.run_id} --accept identities --reason TEXT)")
        different = (*found.missing, *changed, *fewer)
        return Seen(Look.DONE, f"{found.checked} Deployments compared, {len(different)} differences")

    def _newer_than_arrived(self, context: AttemptContext, before: IdentitySnapshot) -> bool:
        """What the snapshot saw may be newer than what the target holds: it was read after the recovery point."""
        point = context.found(RecoveryPoint, self.fleet.config.database)
        if point is None or point.complete or point.recovery_point is None:
            return False
        return point.recovery_point < (before.read_until or before.taken_at)

    def _duplicated(self, context: AttemptContext) -> int:
        values = {"run": context.run_id, "pool": self.fleet.config.tasks.pool}

        def one(item: Deployment) -> int:
            with self.fleet.databases.use(self.region, item.database) as connection:
                return duplicated(connection, values)

        return sum(self.fleet.sql.each(one, self.fleet.deployments(self.region)))


def _rows(snapshot: IdentitySnapshot) -> dict[str, int]:
    """How many rows of history all Deployments have, by table."""
    counts: Counter[str] = Counter()
    for item in snapshot.deployments:
        counts.update(item.contents.rows if item.contents else {})
    return dict(counts)


def duplicated(connection: Connection, values: dict[str, str]) -> int:
    """How many tasks of one Deployment ran twice, as far as its own tables tell."""
    row = connection.execute(_DUPLICATED, values).fetchone()
    return int(row[0]) if row else 0
