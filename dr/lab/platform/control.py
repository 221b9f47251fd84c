"""The runtime's control API: status, lock, freeze, stop, and their opposites. Only for who has the token; answers when the effect holds."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from typing import TypeGuard

from dr.lab.platform.database import NotPerformed, Why
from dr.lab.platform.deployment import DeploymentRuntime, StillWriting, state_of
from dr.lab.platform.deploys import Deploys
from dr.lab.platform.http import Request, Response, answer
from dr.lab.platform.needs import DoesNotStart
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
        deploys: with the platform's database: what that says of recovery holds for all databases of the server.
    """

    def __init__(self, region: str, token: str, deployments: dict[str, DeploymentRuntime], deploys: Deploys) -> None:
        self._region, self._expected = region, f"Bearer {token}".encode()
        self._deployments, self._deploys = deployments, deploys
        self._routes: dict[tuple[str, str], Callable[[Sequence[DeploymentRuntime], Json], Awaitable[Response]]] = {
            ("GET", "/status"): self._status,
            ("POST", "/freeze"): self._freeze,
            ("POST", "/thaw"): self._thaw,
            ("POST", "/start"): self._start,
            ("POST", "/stop"): self._stop,
            ("POST", "/lock"): self._lock,
            ("POST", "/unlock"): self._unlock,
            ("POST", "/reconnect"): self._reconnect,
            ("POST", "/slow"): self._slow,
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
            [(recovering,)] = await self._deploys.platform.perform("SELECT pg_is_in_recovery()", seconds=1, repeatable=True)
        except NotPerformed:
            return None
        return bool(recovering)

    async def _status(self, named: Sequence[DeploymentRuntime], _body: Json) -> Response:
        recovering, locks = await self._deploys.look()
        deployments = {item.served.id: _view(item, recovering) for item in named}
        return answer(200, region=self._region, deployments=deployments, locks=[lock.view() for lock in locks])

    async def _lock(self, _named: Sequence[DeploymentRuntime], body: Json) -> Response:
        """Deploys of all Deployments are refused from now on. 202: by this runtime only, until its database takes writes."""
        owner, reason, seconds = body.get("owner"), body.get("reason"), body.get("expires_seconds")
        if not _text(owner) or not _text(reason) or isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds <= 0:
            raise ValueError("expected owner, reason: text, and expires_seconds: a number above 0")
        lock = await self._deploys.lock(owner, reason, float(seconds))
        return answer(200 if lock.written else 202, region=self._region, lock=lock.view())

    async def _unlock(self, _named: Sequence[DeploymentRuntime], body: Json) -> Response:
        """Takes the locks of ``owner`` and of ``owner/…`` away."""
        owner = body.get("owner")
        if not _text(owner):
            raise ValueError("expected owner: text")
        try:
            gone = await self._deploys.unlock(owner)
        except NotPerformed as error:
            return answer(409 if error.why is Why.READ_ONLY else 503, error=error.why.value, region=self._region, detail=str(error))
        return answer(200, region=self._region, unlocked=list[Json](gone))

    async def _reconnect(self, named: Sequence[DeploymentRuntime], _body: Json) -> Response:
        """Every connection to a database is given up and opened anew; how many that were."""
        databases = [self._deploys.platform, *(item.database for item in named)]
        dropped = await asyncio.gather(*(item.renew() for item in databases))
        return answer(200, region=self._region, dropped=sum(dropped))

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
        """Starts all that can. 422: some lack what they need, and the status says what; 409, 503: databases that take no writes."""
        _check_component(body)
        results = await asyncio.gather(*(_start_one(item) for item in named))
        refused = {item.served.id: result for item, result in zip(named, results, strict=True) if result is not None}
        jobs = {item.served.id: item.scheduler.job for item in named}
        if not refused:
            return answer(200, region=self._region, scheduler_job=jobs)
        whys = {error.why for error in refused.values() if isinstance(error, NotPerformed)}
        status, said = (
            (409, Why.READ_ONLY.value) if Why.READ_ONLY in whys
            else (503, Why.UNREACHABLE.value) if whys
            else (422, "does-not-start")
        )  # fmt: skip
        texts = {name: str(error) for name, error in refused.items()}
        return answer(status, error=said, region=self._region, scheduler_job=jobs, refused=texts)

    async def _stop(self, named: Sequence[DeploymentRuntime], body: Json) -> Response:
        _check_component(body)
        await asyncio.gather(*(item.stop() for item in named))
        return answer(200, region=self._region, stopped=len(named))


    async def _slow(self, named: Sequence[DeploymentRuntime], body: Json) -> Response:
        """Capacity that comes late, as where a cluster has to grow first."""
        seconds = body.get("seconds") if isinstance(body, dict) else None
        if not isinstance(seconds, int | float) or seconds < 0:
            raise ValueError("expected seconds: a number")
        for item in named:
            item.starts_late(seconds)
        return answer(200, region=self._region, slow=len(named))


async def _start_one(item: DeploymentRuntime) -> NotPerformed | DoesNotStart | None:
    try:
        await item.start()
    except (NotPerformed, DoesNotStart) as error:
        return error
    return None


def _check_component(body: Json) -> None:
    if body.get("component") not in _COMPONENTS:
        raise ValueError(f"expected component: {' or '.join(_COMPONENTS)}")


def _text(value: Json) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())


def _view(item: DeploymentRuntime, recovering: bool | None) -> dict[str, Json]:
    scheduler = item.scheduler
    return {
        "frozen": item.frozen,
        "components": {"api-server": "running", "scheduler": "running" if scheduler.running else "stopped"},
        "scheduler_job": scheduler.job,
        "scheduler_heartbeat": scheduler.heartbeat.astimezone(UTC).isoformat() if scheduler.running and scheduler.heartbeat else None,
        "database": state_of(item.database, recovering),
        "tasks_running": scheduler.tasks_running,
        "problem": {"text": str(item.problem), "lasting": item.problem.lasting} if item.problem is not None else None,
    }
