"""After the move: are they still the same Deployments, and did any task run twice?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dr.model.evidence import Evidence, Identities, TaskCount
from dr.model.identity import IdentityDifference, compare
from dr.model.words import Guard
from dr.ports import AttemptContext, Look, Seen
from dr.providers.airflow.deployments import Deployment
from dr.providers.airflow.step import FleetStep, accepted, some

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
    """Compares who the Deployments are in the target with the newest snapshot kept outside of it (I7), and counts tasks that ran twice."""

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
        different = (*found.missing, *found.changed)
        if different and not accepted(context, Guard.IDENTITIES):
            text = f"{len(found.missing)} Deployments missing, {len(found.changed)} facts changed: {some(different)}"
            return Seen(Look.BLOCKED, f"{text} (try: dr resume {context.run_id} --accept identities --reason TEXT)")
        return Seen(Look.DONE, f"{found.checked} Deployments compared, {len(different)} differences")

    def _duplicated(self, context: AttemptContext) -> int:
        values = {"run": context.run_id, "pool": self.fleet.config.tasks.pool}

        def one(item: Deployment) -> int:
            with self.fleet.databases.use(self.region, item.database) as connection:
                return duplicated(connection, values)

        return sum(self.fleet.sql.each(one, self.fleet.deployments(self.region)))


def duplicated(connection: Connection, values: dict[str, str]) -> int:
    """How many tasks of one Deployment ran twice, as far as its own tables tell."""
    row = connection.execute(_DUPLICATED, values).fetchone()
    return int(row[0]) if row else 0
