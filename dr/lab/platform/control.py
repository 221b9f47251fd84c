"""The runtime's control API: status, freeze, thaw, start, stop. Only for who has the token; answers when the effect holds."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC

from dr.lab.platform.database import Database, NotPerformed, Why
from dr.lab.platform.deployment import DeploymentRuntime, StillWriting, state_of
from dr.lab.platform.http import Request, Response, answer
from dr.model.base import Json

_COMPONENTS = ("scheduler",)


class NoSuchDeployment(Exception):
    """An id that this region does not serve."""


class Control:
    """All Deployments of a region under one hand.

    Args:
        region: its name.
        token: what the bearer must show.
        deployments: by id.
        server: a connection to the platform's database: what it says of recovery holds for all databases of the server.
    """

    def __init__(self, region: str, token: str, deployments: dict[str, DeploymentRuntime], server: Database) -> None:
        self._region, self._expected = region, f"Bearer {token}".encode()
        self._deployments, self._server = deployments, server
        self._routes: dict[tuple[str, str], Callable[[Sequence[DeploymentRuntime], Json], Awaitable[Response]]] = {
            ("GET", "/status"): self._status,
            ("POST", "/freeze"): self._freeze,
            ("POST", "/thaw"): self._thaw,
            ("POST", "/start"): self._start,
            ("POST", "/stop"): self._stop,
        }

    async def handle(self, request: Request) -> Response:
        """Answers one request."""
        if not hmac.compare_digest(request.headers.get("authorization", "").encode("latin-1"), self._expected):
            return answer(401, error="the control token is missing or wrong")
        route = self._routes.get((request.method, request.path))
        if route is None:
            return answer(404, error=f"{request.method} {request.path} is not here")
        try:
            body = request.json()
            if not isinstance(body, dict):
                raise ValueError("expected a JSON object")
            return await route(self._named(request, body), body)
        except NoSuchDeployment as error:
            return answer(404, error=f"no Deployment {error} in {self._region}")
        except ValueError as error:
            return answer(400, error=str(error))

    def _named(self, request: Request, body: dict[str, Json]) -> Sequence[DeploymentRuntime]:
        listed = request.argument("deployments")
        named = body.get("deployments", listed.split(",") if listed else None)
        if named is None:
            return tuple(self._deployments.values())
        if not isinstance(named, list):
            raise ValueError("expected deployments: a list of ids")
        missing = [name for name in named if name not in self._deployments]
        if missing:
            raise NoSuchDeployment(missing[0])
        return tuple(self._deployments[name] for name in named)

    async def recovering(self) -> bool | None:
        """Whether the region's server is a standby; None when it does not answer."""
        try:
            [(recovering,)] = await self._server.perform("SELECT pg_is_in_recovery()", seconds=1, repeatable=True)
        except NotPerformed:
            return None
        return bool(recovering)

    async def _status(self, named: Sequence[DeploymentRuntime], _body: Json) -> Response:
        recovering = await self.recovering()
        return answer(200, region=self._region, deployments={item.served.id: _view(item, recovering) for item in named})

    async def _freeze(self, named: Sequence[DeploymentRuntime], _body: Json) -> Response:
        try:
            await asyncio.gather(*(item.freeze() for item in named))
        except StillWriting as error:
            return answer(503, error=str(error), region=self._region)
        return answer(200, region=self._region, frozen=len(named))

    async def _thaw(self, named: Sequence[DeploymentRuntime], _body: Json) -> Response:
        await asyncio.gather(*(item.thaw() for item in named))
        return answer(200, region=self._region, thawed=len(named))

    async def _start(self, named: Sequence[DeploymentRuntime], body: Json) -> Response:
        _check_component(body)
        results = await asyncio.gather(*(_start_one(item) for item in named))
        refused = {item.served.id: result for item, result in zip(named, results, strict=True) if result is not None}
        jobs = {item.served.id: item.scheduler.job for item in named}
        if not refused:
            return answer(200, region=self._region, scheduler_job=jobs)
        why = Why.READ_ONLY if any(error.why is Why.READ_ONLY for error in refused.values()) else Why.UNREACHABLE
        return answer(
            409 if why is Why.READ_ONLY else 503,
            error=why.value, region=self._region, scheduler_job=jobs, refused={name: str(error) for name, error in refused.items()},
        )  # fmt: skip

    async def _stop(self, named: Sequence[DeploymentRuntime], body: Json) -> Response:
        _check_component(body)
        await asyncio.gather(*(item.scheduler.stop() for item in named))
        return answer(200, region=self._region, stopped=len(named))


async def _start_one(item: DeploymentRuntime) -> NotPerformed | None:
    try:
        await item.scheduler.start()
    except NotPerformed as error:
        return error
    return None


def _check_component(body: Json) -> None:
    if body.get("component") not in _COMPONENTS:
        raise ValueError(f"expected component: {' or '.join(_COMPONENTS)}")


def _view(item: DeploymentRuntime, recovering: bool | None) -> dict[str, Json]:
    scheduler = item.scheduler
    return {
        "frozen": item.frozen,
        "components": {"api-server": "running", "scheduler": "running" if scheduler.running else "stopped"},
        "scheduler_job": scheduler.job,
        "scheduler_heartbeat": scheduler.heartbeat.astimezone(UTC).isoformat() if scheduler.running and scheduler.heartbeat else None,
        "database": state_of(item.database, recovering),
        "tasks_running": scheduler.tasks_running,
    }
