"""Starts the schedulers in the target, and proves that they run tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dr.errors import Transient
from dr.model.evidence import Evidence, Fenced, Healthy, Held, Promoted, WriteAccepted
from dr.model.words import FenceState, Guard
from dr.ports import AttemptContext, Look, Seen
from dr.providers.airflow.deployments import Deployment
from dr.providers.airflow.step import FleetStep, some

_OTHERS = "SELECT count(*) FROM job WHERE job_type = 'SchedulerJob' AND state = 'running' AND id <= %(highest)s"

_CANARY = """
WITH dag AS (
    INSERT INTO dag (dag_id, is_paused) VALUES (%(dag)s, false) ON CONFLICT (dag_id) DO UPDATE SET is_paused = false WHERE dag.is_paused
)
INSERT INTO dag_run (dag_id, run_id, run_type, logical_date, run_after, queued_at, state)
    VALUES (%(dag)s, %(run)s, 'manual', now(), now(), now(), 'queued')
    ON CONFLICT (dag_id, run_id) DO NOTHING
"""

_CANARY_STATE = "SELECT state FROM dag_run WHERE dag_id = %(dag)s AND run_id = %(run)s"


class Start(FleetStep):
    """A new scheduler for each Deployment, after its API accepted a write (I3; the other order fails tasks without retries for good).

    New means: a job above the highest before, a heartbeat newer than the promotion, and none of the lost region's alive. Health
    endpoints prove nothing here: they are answered from replicated rows. A Deployment that lacks its image or its key does not start,
    accepted or not: the others do, the step fails, and what it lacks is the reason.
    """

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where all run. BLOCKED where something that runs there could run twice."""
        status = self.fleet.control.status(self.region).deployments
        closed = [key for key, item in status.items() if item.database != "writable"]
        if closed:
            return Seen(Look.BLOCKED, f"databases of {some(closed)} take no writes in {self.region}: nothing may schedule yet")
        if not _fenced(context, self.fleet.config.database) and not context.accepted(Guard.FENCE):
            return Seen(
                Look.BLOCKED,
                f"{context.source} is not known to be fenced: its schedulers may run"
                f" (try: dr resume {context.run_id} --accept-split --reason TEXT)",
            )
        if context.found(WriteAccepted, self.fleet.name) is None:
            context.say("no write was seen accepted in this run; the databases take writes")
        seen = self._running(context)
        return Seen(Look.NEEDED, seen.reason, seen.evidence) if seen.look is Look.BLOCKED else seen  # it may be mended by now

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Thaws what an earlier move froze, then starts."""
        frozen = any(item.frozen for item in self.fleet.control.status(self.region).deployments.values())
        context.still_ours()
        if frozen:
            self.fleet.control.thaw(self.region)
        self.fleet.control.start_schedulers(self.region)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """Every new scheduler lives and no old one does. Raises Transient where a Deployment was left for what may pass."""
        seen = self._running(context)
        if seen.look is Look.NEEDED and seen.evidence:
            raise Transient(seen.reason)  # looking again is not enough: it must be asked to start once more
        return seen if seen.look is not Look.DONE else self._alone(context)

    def _running(self, context: AttemptContext) -> Seen:
        """DONE: all run. BLOCKED: who does not, lacks what somebody has to mend. NEEDED: not yet; with evidence where some were left."""
        highest = _highest(context, self.fleet.name)
        promoted = context.found(Promoted, self.fleet.config.database)
        moment = promoted.promoted_at if promoted else None
        status = self.fleet.control.status(self.region).deployments
        expected = self.fleet.deployments(self.region)
        missing = [
            item.id for item in expected
            if item.id not in status or not status[item.id].scheduled_since(highest.get(item.id, 0), moment)
        ]  # fmt: skip
        if not missing:
            return Seen(Look.DONE, f"{len(expected)} schedulers run in {self.region}")
        problems = {key: problem for key in missing if key in status and (problem := status[key].problem) is not None}
        if not problems:
            return Seen(Look.NEEDED, f"{len(missing)} of {len(expected)} Deployments have no new scheduler: {some(missing)}")
        reasons = dict.fromkeys(missing, "no new scheduler") | {key: problem.text for key, problem in problems.items()}
        said = some([f"{key}: {problem.text}" for key, problem in problems.items()])
        text = f"{len(problems)} of {len(expected)} Deployments do not start in {self.region}: {said}"
        healthy = Healthy(component=self.fleet.name, total=len(expected), healthy=len(expected) - len(missing), unhealthy=reasons)
        if all(problem.lasting for problem in problems.values()):
            return Seen(Look.BLOCKED, f"{text} (try: mend that in {self.region}, then dr resume {context.run_id})", (healthy,))
        return Seen(Look.NEEDED, text, (healthy,))

    def _alone(self, context: AttemptContext) -> Seen:
        highest = _highest(context, self.fleet.name)

        def one(item: Deployment) -> int:
            with self.fleet.databases.use(self.region, item.database) as connection:
                row = connection.execute(_OTHERS, {"highest": highest.get(item.id, 0)}).fetchone()
                return int(row[0]) if row else 0

        expected = self.fleet.deployments(self.region)
        old = [item.id for item, number in zip(expected, self.fleet.sql.each(one, expected), strict=True) if number]
        return Seen(Look.BLOCKED, f"a job of the other region's scheduler is alive in {some(old)}") if old else Seen(Look.DONE)


class Canary(FleetStep):
    """One small DAG run for each Deployment, picked up by its new scheduler, that ends in success."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Queues the run; a repeated step finds it there."""
        values = self._values(context)

        def one(item: Deployment) -> None:
            with self.fleet.databases.use(self.region, item.database) as connection:
                connection.execute(_CANARY, values)

        self.fleet.sql.each(one, self.fleet.deployments(self.region))
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """Asked again until all are through; only a failed run is final."""
        deployments = self.fleet.deployments(self.region)
        states = self._states(context, deployments)
        failed = [key for key, state in states.items() if state == "failed"]
        waiting = [key for key, state in states.items() if state not in ("failed", "success")]
        healthy = len(deployments) - len(failed) - len(waiting)
        context.say(f"{healthy} of {len(deployments)} canaries back")
        reasons = {**dict.fromkeys(waiting, "canary not run"), **dict.fromkeys(failed, "canary failed")}
        if failed:
            return Seen(Look.BLOCKED, f"the canary failed in {some(failed)}", (self._health(len(deployments), reasons),))
        if waiting:
            return Seen(Look.NEEDED, f"the canary has not run in {some(waiting)}", (self._health(len(deployments), reasons),))
        return Seen(Look.DONE, f"{healthy} canaries back", (self._health(len(deployments), {}),))

    def _states(self, context: AttemptContext, deployments: Sequence[Deployment]) -> dict[str, str]:
        values = self._values(context)

        def one(item: Deployment) -> str:
            with self.fleet.databases.use(self.region, item.database) as connection:
                row = connection.execute(_CANARY_STATE, values).fetchone()
                return str(row[0]) if row else "missing"

        return dict(zip((item.id for item in deployments), self.fleet.sql.each(one, deployments), strict=True))

    def _health(self, total: int, reasons: Mapping[str, str]) -> Healthy:
        return Healthy(component=self.fleet.name, total=total, healthy=total - len(reasons), unhealthy=dict(reasons))

    def _values(self, context: AttemptContext) -> dict[str, str]:
        return {"dag": self.fleet.config.canary, "run": f"dr__{context.run_id}"}


def _highest(context: AttemptContext, component: str) -> Mapping[str, int]:
    held = context.found(Held, component)
    return held.highest_job if held else {}


def _fenced(context: AttemptContext, database: str) -> bool:
    fenced = context.found(Fenced, database)
    return fenced is not None and fenced.state in (FenceState.FENCED, FenceState.NOT_NEEDED, FenceState.SPLIT_ACCEPTED)
