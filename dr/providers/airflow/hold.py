"""Pauses DAGs, remembers which were active, and puts back exactly those.

What was active is recorded in Airflow's own audit table ``log``, in the same transaction as the change (event ``dr.hold``, extra = our
run): so it survives a crash of ``dr`` between the change and its journal, replicates with the data, and can be read by a person.
"""

from __future__ import annotations

from collections.abc import Sequence

from dr.errors import Transient
from dr.model.evidence import Evidence, Held, TaskCount
from dr.model.words import TaskFate
from dr.ports import AttemptContext, Look, Seen
from dr.providers.airflow.deployments import Deployment
from dr.providers.airflow.fleet import Fleet
from dr.providers.airflow.lock import take
from dr.providers.airflow.step import FleetStep, some

_HOLD = """
WITH held AS (
    UPDATE dag SET is_paused = true WHERE NOT is_paused AND dag_id <> %(canary)s RETURNING dag_id
), kept AS (
    INSERT INTO log (dttm, event, owner, dag_id, extra) SELECT now(), 'dr.hold', 'dr', dag_id, %(run)s FROM held RETURNING dag_id
)
SELECT
    (SELECT coalesce(array_agg(dag_id ORDER BY dag_id), '{}') FROM (
        SELECT dag_id FROM kept UNION SELECT dag_id FROM log WHERE event = 'dr.hold' AND extra = %(run)s) AS active),
    (SELECT coalesce(max(id), 0) FROM job)
"""

_OWED = """
    SELECT dag_id FROM log WHERE event = 'dr.hold' AND extra = %(run)s
    EXCEPT SELECT dag_id FROM log WHERE event = 'dr.release' AND extra = %(run)s
"""

_RELEASE = f"""
WITH owed AS ({_OWED}), freed AS (
    UPDATE dag SET is_paused = false WHERE dag_id IN (SELECT dag_id FROM owed)
)
INSERT INTO log (dttm, event, owner, dag_id, extra) SELECT now(), 'dr.release', 'dr', dag_id, %(run)s FROM owed RETURNING dag_id
"""  # noqa: S608  # made of constants


def hold(fleet: Fleet, region: str, run: str, deployments: Sequence[Deployment]) -> Held:
    """Pauses every active DAG in a region, the canary's left out. Repeatable: what this run held before is named again.

    Returns:
        The DAGs that this run holds and the highest job id, for each Deployment.
    """

    def one(item: Deployment) -> tuple[tuple[str, ...], int]:
        with fleet.databases.use(region, item.database) as connection:
            row = connection.execute(_HOLD, {"run": run, "canary": fleet.config.canary}).fetchone()
            assert row is not None, "an aggregate without GROUP BY gives one row"
            return tuple(row[0]), int(row[1])

    found = dict(zip((item.id for item in deployments), fleet.sql.each(one, deployments), strict=True))
    return Held(
        component=fleet.name, region=region, active={key: dags for key, (dags, _) in found.items()},
        highest_job={key: job for key, (_, job) in found.items()},
    )  # fmt: skip


def release(fleet: Fleet, region: str, run: str, deployments: Sequence[Deployment]) -> int:
    """Puts back what this run holds and has not put back yet; returns how many DAGs."""

    def one(item: Deployment) -> int:
        with fleet.databases.use(region, item.database) as connection:
            return len(connection.execute(_RELEASE, {"run": run}).fetchall())

    return sum(fleet.sql.each(one, deployments))


def owed(fleet: Fleet, region: str, run: str, deployments: Sequence[Deployment]) -> dict[str, int]:
    """How many DAGs this run still holds, by Deployment; those with none are left out."""

    def one(item: Deployment) -> int:
        with fleet.databases.use(region, item.database) as connection:
            return len(connection.execute(_OWED, {"run": run}).fetchall())

    counts = fleet.sql.each(one, deployments)
    return {item.id: count for item, count in zip(deployments, counts, strict=True) if count}


class Hold(FleetStep):
    """No DAG schedules in the target until it is released; remembers what was active and the highest job id."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One statement for each Deployment."""
        deployments = self.fleet.deployments(self.region)
        context.still_ours()
        return (hold(self.fleet, self.region, context.run_id, deployments),)

    def verify(self, context: AttemptContext) -> Seen:
        """The transaction that paused them said which; nothing else pauses or unpauses while no scheduler runs."""
        held = context.found(Held, self.fleet.name)
        count = sum(len(dags) for dags in held.active.values()) if held else 0
        return Seen(Look.DONE, f"{count} DAGs held")


class Freeze(FleetStep):
    """The source of a planned move accepts no write and starts no task; its DAGs are paused. Undone: put back, thawed."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Pauses first: that is not seen outside, so the write pause begins with the freeze and not 80 statements earlier.

        The lock of deploys may have expired while an old TTL was waited out: it is taken again.
        """
        take(self.fleet, self.region, context)
        held = hold(self.fleet, self.region, context.run_id, self.fleet.deployments(self.region))
        context.still_ours()
        self.fleet.control.freeze(self.region)
        return (held,)

    def verify(self, context: AttemptContext) -> Seen:
        """Every Deployment says that it is frozen."""
        return frozen(self.fleet, self.region)

    def undo(self, context: AttemptContext) -> None:
        """Thaws, then puts the DAGs back that this run paused."""
        self.fleet.control.thaw(self.region)
        release(self.fleet, self.region, context.run_id, self.fleet.deployments(self.region))


class Drain(FleetStep):
    """Waits for running tasks to end, as long as the runbook allows, then stops the schedulers.

    What still runs then is reconciled in the target.
    """

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Frozen schedulers start nothing, so the number only falls; queued tasks stay queued and are not waited for."""
        until = min(context.clock.monotonic() + self.fleet.config.drain.total_seconds(), context.deadline)
        first = left = self._running()
        while left and context.clock.monotonic() < until and not context.cancelled():
            context.say(f"{left} of {first} tasks still run")
            context.clock.sleep(0.1)
            left = self._running()
        context.still_ours()  # a lost lease ends the wait, too
        self.fleet.control.stop_schedulers(self.region)
        fates = {TaskFate.FINISHED: first - left, TaskFate.UNTOUCHED: left}
        return (TaskCount(component=self.fleet.name, in_flight=first, fates=fates),)

    def verify(self, context: AttemptContext) -> Seen:
        """No scheduler runs."""
        return unscheduled(self.fleet, self.region)

    def undo(self, context: AttemptContext) -> None:
        """Starts the schedulers again; frozen ones start no task."""
        self.fleet.control.start_schedulers(self.region)

    def _running(self) -> int:
        return sum(item.tasks_running for item in self.fleet.control.status(self.region).deployments.values())


class Quiesce(FleetStep):
    """The old side's runtime does nothing any more: frozen, schedulers stopped; whatever its database becomes next."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where it does nothing already."""
        return self.verify(context)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Freezes first, so that nothing starts while schedulers stop."""
        self.fleet.control.freeze(self.region)
        self.fleet.control.stop_schedulers(self.region)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """Both hold."""
        seen = frozen(self.fleet, self.region)
        return seen if seen.look is not Look.DONE else unscheduled(self.fleet, self.region)


class StandBy(FleetStep):
    """The old side's runtime has found its databases again, which follow now: it can be moved to at once."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where every Deployment's database answers and is read-only."""
        return self.verify(context)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing but waiting: the runtime reconnects by itself."""
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        states = self.fleet.control.status(self.region).deployments
        other = [name for name, state in states.items() if state.database != "read-only"]
        return Seen(Look.NEEDED, f"the databases of {some(other)} do not follow yet") if other or not states else Seen(Look.DONE)


class Release(FleetStep):
    """Puts back exactly the DAGs that were active, so many Deployments at a time that their schedulers keep up."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """A wave, a look whether every scheduler still runs, the next wave."""
        deployments = self.fleet.deployments(self.region)
        wave = self.fleet.config.wave
        for start in range(0, len(deployments), wave):
            if context.cancelled():
                raise Transient(f"cancelled after {start} of {len(deployments)} Deployments")
            context.still_ours()
            release(self.fleet, self.region, context.run_id, deployments[start : start + wave])
            context.say(f"{min(start + wave, len(deployments))} of {len(deployments)} Deployments released")
            status = self.fleet.control.status(self.region)
            stopped = [item.id for item in deployments if item.id in status.deployments and not status.deployments[item.id].scheduling]
            if stopped:
                raise Transient(f"no scheduler runs for {some(stopped)} in {self.region}: no further DAG is put back")
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """Nothing that this run paused is still owed."""
        left = owed(self.fleet, self.region, context.run_id, self.fleet.deployments(self.region))
        return Seen(Look.NEEDED, f"DAGs of {some(left)} are still held") if left else Seen(Look.DONE)


def frozen(fleet: Fleet, region: str) -> Seen:
    """DONE where every Deployment of a region is frozen."""
    open_ = [key for key, item in fleet.control.status(region).deployments.items() if not item.frozen]
    return Seen(Look.NEEDED, f"not frozen in {region}: {some(open_)}") if open_ else Seen(Look.DONE)


def unscheduled(fleet: Fleet, region: str) -> Seen:
    """DONE where no scheduler of a region runs."""
    running = [key for key, item in fleet.control.status(region).deployments.items() if item.scheduling]
    return Seen(Look.NEEDED, f"schedulers still run in {region}: {some(running)}") if running else Seen(Look.DONE)
