"""``python -m dr.lab.platform.runtime --config FILE``: one region's stand-in for its Airflow Deployments.

Serves their public names over TLS, runs their schedulers and tasks on the region's own database server, and obeys a control API.
It is pre-warmed on a hot standby: API up, connections open, schedulers stopped until somebody starts them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from dr.lab.account import drop_to
from dr.lab.platform.config import RuntimeConfig, read_config
from dr.lab.platform.connections import Secrets
from dr.lab.platform.control import Control
from dr.lab.platform.database import Database, NotPerformed, Why
from dr.lab.platform.deployment import WARM_UP, DeploymentRuntime
from dr.lab.platform.deploys import Deploys
from dr.lab.platform.http import Handler, HttpConnection, Request, Response, answer
from dr.lab.platform.needs import DoesNotStart, Needs
from dr.lab.platform.process import launch
from dr.lab.platform.registry import Registry
from dr.lab.platform.scheduler import Scheduler
from dr.lab.platform.tls import Certificates

_WATCH_SECONDS = 1.0
_BACKLOG = 1024  # after a failover every client of every name connects at once
_BOOT_WAIT_SECONDS, _LONGEST_BOOT_WAIT_SECONDS = 0.2, 2.0
_OPEN_SECONDS = 5.0


class Runtime:
    """All Deployments of a region, in one process and one thread.

    Args:
        config: what to serve.
        password: of the database role.
        token: of the control API.
        certificates: of the public names and of the control address.
        secrets: where the Deployments' Fernet keys and pull secrets are; None where the lab has no secret stores.
        registry: where their images are; None where the lab has no registries.
    """

    def __init__(
        self, config: RuntimeConfig, password: str, token: str, certificates: Certificates, secrets: Secrets | None = None,
        registry: Registry | None = None,
    ) -> None:  # fmt: skip
        self._config, self._certificates = config, certificates

        def database(name: str, warm_up: str | None = None) -> Database:
            return Database(config.postgres, name, config.postgres_user, password, f"runtime-{config.region}", warm_up)

        self._server = database(config.platform_database)
        self._deploys = Deploys(self._server)
        needs = Needs(self._server, secrets, registry) if secrets is not None else None
        self._deployments = {}
        self._by_hostname: dict[str, DeploymentRuntime] = {}
        for served in config.deployments:
            own = database(served.database, WARM_UP)
            scheduler = Scheduler(own, config.region, served.id, config.tick_seconds, config.task_heartbeat_seconds)
            deployment = DeploymentRuntime(served, config.region, own, scheduler, self._deploys, secrets, needs)
            self._deployments[served.id] = deployment
            self._by_hostname |= dict.fromkeys(served.hostnames, deployment)
        self._control = Control(config.region, token, self._deployments, self._deploys)

    async def serve(self, told: asyncio.Event) -> None:
        """Serves until it is told to end."""
        loop = asyncio.get_running_loop()
        for database in self._databases():
            database.open()
        await self._opened()

        async def listen(port: int, handler: Handler) -> asyncio.Server:
            return await loop.create_server(
                lambda: HttpConnection(handler), self._config.address, port, ssl=self._certificates.default, backlog=_BACKLOG,
                ssl_handshake_timeout=10, ssl_shutdown_timeout=1, reuse_address=True,
            )  # fmt: skip

        servers = [await listen(self._config.public_port, self._public), await listen(self._config.control_port, self._control.handle)]
        chores = [asyncio.ensure_future(self._watch())]
        if self._config.schedulers:
            chores += [asyncio.ensure_future(_boot(item)) for item in self._deployments.values()]
        sys.stdout.write(f"serving {len(self._deployments)} Deployments in {self._config.region}\n")
        sys.stdout.flush()
        await told.wait()
        for server in servers:
            server.close()
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*(database.close() for database in self._databases()))

    async def _opened(self) -> None:
        """Listens with open connections where the databases are there; where they are not, it says so itself after a while."""
        opened = [asyncio.ensure_future(database.opened.wait()) for database in self._databases()]
        _, waiting = await asyncio.wait(opened, timeout=_OPEN_SECONDS)
        for item in waiting:
            item.cancel()

    def _databases(self) -> list[Database]:
        return [self._server, *(item.database for item in self._deployments.values())]

    async def _public(self, request: Request) -> Response:
        deployment = self._by_hostname.get(request.host)
        if deployment is None:
            return answer(404, error=f"no Deployment is called {request.host!r}")
        return await deployment.handle(request)

    async def _watch(self) -> None:
        """Connections that the server closed are found and opened again before somebody needs them: one question a second for all."""
        away = True
        while True:
            recovering = await self._control.recovering()
            if recovering is None:
                away = True
            elif away:
                away = False
                await asyncio.gather(*(_ping(item.database) for item in self._deployments.values()))
            if recovering is False:
                await self._deploys.write_waiting()
            await asyncio.sleep(_WATCH_SECONDS)


async def _ping(database: Database) -> None:
    try:
        await database.perform("SELECT 1", repeatable=True)
    except NotPerformed:
        return  # it opens itself again in the background


async def _boot(deployment: DeploymentRuntime) -> None:
    """Starts it where the database turns out to be writable; a standby ends the attempt: it is started by whoever promotes.

    What it needs may come up later than itself, as where the power of a whole region returns: it is tried again, ever more seldom.
    """
    wait = _BOOT_WAIT_SECONDS
    while not deployment.told_to_stop:
        await deployment.database.opened.wait()
        try:
            await deployment.start()
        except NotPerformed as error:
            if error.why is Why.READ_ONLY:
                return
            await asyncio.sleep(_BOOT_WAIT_SECONDS)
        except DoesNotStart:
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_BOOT_WAIT_SECONDS)
        else:
            return


def prepare(path: Path) -> Callable[[asyncio.Event], Awaitable[None]]:
    """Reads what only the starter may read, becomes the account."""
    config = read_config(path, RuntimeConfig)
    password = config.postgres_password_file.read_text(encoding="utf-8").strip()
    token = config.control_token_file.read_text(encoding="utf-8").strip()
    secrets = Secrets.open(config.region, config.secrets) if config.secrets is not None else None
    registry = Registry(config.region, config.registry) if config.registry is not None else None
    names = frozenset(name for served in config.deployments for name in served.hostnames)
    certificates = Certificates(config.tls, names, config.address)
    drop_to(config.account)

    async def work(told: asyncio.Event) -> None:
        await Runtime(config, password, token, certificates, secrets, registry).serve(told)  # made here: it belongs to the loop

    return work


if __name__ == "__main__":
    raise SystemExit(launch(prepare, sys.argv[1:]))
