"""One Deployment as its public names show it in one region: writes, reads, health, and the work of the remote-execution agent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from dr.lab.platform import connections, scheduling
from dr.lab.platform.config import Served
from dr.lab.platform.database import Database, NotPerformed, Row, Why
from dr.lab.platform.deploys import Deploys, Locked
from dr.lab.platform.http import Request, Response, answer
from dr.lab.platform.needs import DoesNotStart, Needs
from dr.lab.platform.scheduler import Scheduler

T = TypeVar("T")

KINDS = ("outside", "check")
_ID_LIMIT = 200
_HEARTBEAT_LIMIT = timedelta(seconds=30)  # Airflow's [scheduler] scheduler_health_check_threshold
_FREEZE_SECONDS = 5.0

_WRITE = """
WITH written AS (
    INSERT INTO log (dttm, event, owner, extra) VALUES (clock_timestamp(), %(kind)s, %(region)s, %(id)s)
    ON CONFLICT (extra) WHERE event IN ('outside', 'check') DO NOTHING RETURNING dttm
)
SELECT dttm FROM written
"""
WARM_UP = "EXPLAIN INSERT INTO log (dttm, event, owner, extra) VALUES (now(), 'check', 'nobody', 'nothing')"
"""Performed once on each new connection, on a standby too: reads the catalogue that the first write will need."""

_WRITES = "SELECT coalesce(json_agg(extra ORDER BY id), '[]')::text FROM log WHERE event = %(kind)s"
_HEALTH = """
SELECT pg_is_in_recovery(), (SELECT max(latest_heartbeat) FROM job WHERE job_type = 'SchedulerJob' AND state = 'running'), now()
"""


class Frozen(Exception):
    """The Deployment takes no writes. ``said``: what the answer gives as the reason."""

    said = "frozen"


class Starting(Frozen):
    """It has a writable database and no capacity yet."""

    said = "starting"


class StillWriting(Exception):
    """Writes that were begun before the freeze have not ended in time."""


class DeploymentRuntime:
    """Serves one Deployment. Public writes are committed before they are acknowledged; what is refused was not written.

    Args:
        secrets: the region's store; None where the lab has none.
        needs: what fetches image and key when it starts; None where the lab has neither.
    """

    def __init__(
        self, served: Served, region: str, database: Database, scheduler: Scheduler, deploys: Deploys,
        secrets: connections.Secrets | None = None, needs: Needs | None = None,
    ) -> None:  # fmt: skip
        self.served, self.region = served, region
        self.database, self.scheduler, self.deploys = database, scheduler, deploys
        self._secrets, self._needs = secrets, needs
        self._starting: asyncio.Task[None] | None = None
        self._stops = 0
        self.problem: DoesNotStart | None = None
        self.frozen = False
        self._late = 0.0
        self._starts_at: float | None = None
        self._writing = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._routes = {
            ("POST", "/write"): self._write,
            ("GET", "/writes"): self._writes,
            ("GET", "/api/v2/monitor/health"): self._health,
            ("PATCH", "/api/v2/deployment"): self._change,
            ("GET", "/connections/check"): self._check_connections,
            ("GET", "/remote/poll"): self._poll,
            ("POST", "/remote/result"): self._result,
        }

    @property
    def told_to_stop(self) -> bool:
        """Somebody has stopped it since this process began: it does not start by itself any more."""
        return self._stops > 0

    async def start(self) -> None:
        """Fetches what it needs, as a pod does, then starts its scheduler; nothing to do where that runs. What is under way is joined.

        Raises:
            DoesNotStart: something that it needs is not there; ``problem`` keeps it. NotPerformed: as ``Scheduler.start``.
        """
        if self._starting is None or self._starting.done():
            self._starting = asyncio.ensure_future(self._start())
        await asyncio.shield(self._starting)

    async def stop(self) -> None:
        """As ``Scheduler.stop``; a start that is under way comes to nothing."""
        self._stops += 1
        await self.scheduler.stop()

    async def _start(self) -> None:
        stops = self._stops
        if self._needs is not None and not self.scheduler.running:
            try:
                await self._needs.fetch(self.served.id, self.database)
            except DoesNotStart as error:
                self.problem = error
                raise
        self.problem = None
        if self._stops == stops:
            await self.scheduler.start()

    async def freeze(self) -> None:
        """Refuses public writes and holds the scheduler; when it returns, nothing that was begun before is under way any more.

        Raises:
            StillWriting: the database has not answered; it is frozen for everything new.
        """
        self.frozen = True
        await self.scheduler.hold(True)
        try:
            async with asyncio.timeout(_FREEZE_SECONDS):
                await self._quiet.wait()
        except TimeoutError:
            raise StillWriting(f"{self._writing} writes of {self.served.id} are under way for {_FREEZE_SECONDS:g} s") from None

    def starts_late(self, seconds: float) -> None:
        """From now on it takes no writes before so much time has passed since its database was first found writable."""
        self._late, self._starts_at = seconds, None

    async def _started(self) -> None:
        """Raises Starting while its capacity is on the way; nothing to wait for on a standby, which refuses by itself."""
        if not self._late:
            return
        now = asyncio.get_running_loop().time()
        if self._starts_at is None:
            [(recovering,)] = await self.database.perform("SELECT pg_is_in_recovery()", repeatable=True)
            if recovering:
                return
            self._starts_at = now + self._late
        if now < self._starts_at:
            raise Starting

    async def thaw(self) -> None:
        """Takes the freeze back."""
        self.frozen = False
        await self.scheduler.hold(False)

    async def handle(self, request: Request) -> Response:
        """Answers one public request."""
        route = self._routes.get((request.method, request.path))
        if route is None:
            return answer(404, error=f"{request.method} {request.path} is not here")
        try:
            return await route(request)
        except Frozen as error:
            return answer(503, error=error.said, region=self.region)
        except Locked as error:
            return answer(423, error="locked", region=self.region, detail=str(error), lock=error.lock.view())
        except NotPerformed as error:
            return answer(503, error=error.why.value, region=self.region, detail=str(error))
        except ValueError as error:
            return answer(400, error=str(error))

    async def _write(self, request: Request) -> Response:
        body = request.json()
        if not isinstance(body, dict):
            raise ValueError("expected a JSON object with id and kind")
        identity, kind = body.get("id"), body.get("kind", "outside")
        if not isinstance(identity, str) or not 0 < len(identity) <= _ID_LIMIT or kind not in KINDS:
            raise ValueError(f"expected id: a string of 1 to {_ID_LIMIT} characters, and kind: {' or '.join(KINDS)}")
        rows = await self._changing(_WRITE, {"kind": kind, "region": self.region, "id": identity}, repeatable=True)
        written = rows[0][0] if rows else datetime.now(UTC)  # no row: this id is there already
        assert isinstance(written, datetime)
        return answer(201, id=identity, region=self.region, at=written.astimezone(UTC).isoformat())

    async def _change(self, request: Request) -> Response:
        """A deploy or a change of configuration: ``environment`` (null removes a variable) and ``image_digest``."""
        body = request.json()
        variables, image = (body.get("environment", {}), body.get("image_digest")) if isinstance(body, dict) else (None, None)
        if not isinstance(variables, dict) or not all(value is None or isinstance(value, str) for value in variables.values()):
            raise ValueError("expected a JSON object with environment: an object of strings, and image_digest")
        if image is not None and not (isinstance(image, str) and image.startswith("sha256:")):
            raise ValueError("expected image_digest: sha256:…")
        digest = await self._counted(self.deploys.change(self.served.id, variables, image))
        return answer(200, id=self.served.id, region=self.region, image_digest=digest)

    async def _changing(self, statement: str, values: dict[str, str | int | float | None], *, repeatable: bool = False) -> list[Row]:
        await self._started()
        return await self._counted(self.database.perform(statement, values, repeatable=repeatable))

    async def _counted(self, work: Coroutine[None, None, T]) -> T:
        """Writes that a freeze refuses, or waits for."""
        if self.frozen:
            work.close()
            raise Frozen
        self._writing += 1
        self._quiet.clear()
        try:
            return await work
        finally:
            self._writing -= 1
            if not self._writing:
                self._quiet.set()

    async def _writes(self, request: Request) -> Response:
        kind = request.argument("kind") or "outside"
        if kind not in KINDS:
            raise ValueError(f"expected kind: {' or '.join(KINDS)}")
        [(ids,)] = await self.database.perform(_WRITES, {"kind": kind}, seconds=10, repeatable=True)
        assert isinstance(ids, str)
        return Response(200, ids.encode())

    async def _health(self, _request: Request) -> Response:
        """As Airflow 3 answers, with region and ``writable`` beside it."""
        try:
            [(recovering, beat, now)] = await self.database.perform(_HEALTH, repeatable=True)
        except NotPerformed:
            down = {"status": "unhealthy"}
            return answer(200, metadatabase=down, scheduler=down | {"latest_scheduler_heartbeat": None}, region=self.region, writable=False)
        assert isinstance(now, datetime)
        alive = isinstance(beat, datetime) and now - beat < _HEARTBEAT_LIMIT
        return answer(
            200,
            metadatabase={"status": "healthy"},
            scheduler={
                "status": "healthy" if alive else "unhealthy",
                "latest_scheduler_heartbeat": beat.astimezone(UTC).isoformat() if isinstance(beat, datetime) else None,
            },
            region=self.region,
            writable=not recovering and not self.frozen,
        )

    async def _check_connections(self, _request: Request) -> Response:
        """Whether the Deployment could use its connections and variables here."""
        return await connections.check(self._secrets, self.served.id, self.region, self.database)

    async def _poll(self, request: Request) -> Response:
        """The agent is seen (a write: an agent cannot live on a read-only database) and given what the scheduler here has queued."""
        agent = request.argument("agent") or "agent"
        await self._changing(scheduling.AGENT_SEEN, {"agent": agent[:_ID_LIMIT]}, repeatable=True)
        job = self.scheduler.job
        if job is None:
            return Response(204)
        rows = await self._changing(scheduling.CLAIM_REMOTE, {"agent": agent[:_ID_LIMIT], "job": job})
        if not rows:
            return Response(204)
        item, dag, task, run, attempt = rows[0]
        return answer(200, id=item, dag_id=dag, task_id=task, run_id=run, try_number=attempt, region=self.region)

    async def _result(self, request: Request) -> Response:
        body = json.loads(request.body)
        if not isinstance(body, dict) or body.get("state") not in ("success", "failed"):
            raise ValueError("expected a JSON object with id and state: success or failed")
        item = str(UUID(str(body.get("id"))))
        [(ended, told)] = await self._changing(scheduling.END_REMOTE, {"item": item, "state": body["state"]}, repeatable=True)
        if ended or told:
            return answer(200, id=item, region=self.region)
        return answer(409, error="not running", id=item, region=self.region)


def state_of(database: Database, recovering: bool | None) -> str:
    """``writable``, ``read-only`` or ``unreachable``; ``recovering`` is what the region's server said, None where it said nothing."""
    if recovering is None or not database.connected:
        return Why.UNREACHABLE.value
    return Why.READ_ONLY.value if recovering else "writable"
