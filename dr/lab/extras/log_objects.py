"""What the log stores of a new lab hold: made once, then copied from the cache, because 10,000 objects take SeaweedFS half a minute.

Each region has its own copy: a store's identity is in its data, and two stores with one identity do not replicate.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from dr.errors import LabError
from dr.lab import fetch
from dr.lab.account import Account, give
from dr.lab.extras import weed
from dr.lab.extras.weed import WeedServer
from dr.lab.parts import cache
from dr.lab.platform.log_writer import log_body, log_key
from dr.lab.platform.s3 import NoStore, StoreConnection
from dr.model.scenario import Workload
from dr.ports import Clock
from dr.providers.selfhosted.s3.sign import Keys

_FORMAT = 3
"""Of what is seeded: another number makes a new copy in the cache."""
_AT_ONCE = 8
_ANSWER_SECONDS = 10.0
_READY_SECONDS = 30.0
_POLL_SECONDS = 0.05
_TASKS, _RUNS = 20, 10
_OF_ONE_START = ("log", "*.toml", "LOCK", f"m{weed.MASTER_PORT}")
"""What is not copied: the last is the state of a master, which knows its ports."""


def seeded_keys(workload: Workload) -> Iterator[str]:
    """The keys of ``log_objects`` task logs, spread over the Deployments."""
    for number in range(workload.log_objects):
        namespace = f"quiet-comet-{number % workload.deployments + 1:03d}"
        task, rest = number // workload.deployments % _TASKS, number // workload.deployments // _TASKS
        yield log_key(namespace, f"dag-{rest // _RUNS:02d}", f"run-{rest % _RUNS:02d}", f"task-{task:02d}")


def kept(workload: Workload) -> Path:
    """Where the cache has the stores with this workload's objects, one folder for each region."""
    return cache() / f"task-logs-{weed.VERSION}-{_FORMAT}-{workload.deployments}-{workload.log_objects}"


def put_in(workload: Workload, servers: Sequence[WeedServer], account: Account | None) -> bool:
    """Copies the stores from the cache, before they start. False where they are not there."""
    place = kept(workload)
    if not place.is_dir():
        return False
    for server in servers:
        shutil.copytree(place / server.region.name, server.data, dirs_exist_ok=True)
        for path in server.data.rglob("*"):
            give(path, account)
    return True


def keep(workload: Workload, servers: Sequence[WeedServer]) -> None:
    """Copies the stores, which do not run, into the cache."""
    place = kept(workload)
    fetch.make_cache(place.parent)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".task-logs-") as work:
        for server in servers:
            shutil.copytree(server.data, Path(work) / "new" / server.region.name, ignore=shutil.ignore_patterns(*_OF_ONE_START))
        if not place.exists():
            (Path(work) / "new").rename(place)


def wait_ready(server: WeedServer, keys: Keys, clock: Clock) -> None:
    """Until it takes and gives back an object of the bucket, which is made where it is missing. Raises LabError."""
    asyncio.run(_wait_ready(server, keys, clock))


def seed(workload: Workload, servers: Sequence[WeedServer], keys: Keys) -> None:
    """Puts the same objects into all stores. Raises LabError."""
    try:
        asyncio.run(_seed(list(seeded_keys(workload)), servers, keys))
    except NoStore as error:
        raise LabError(f"the log store did not take its objects: {error}", hint="dr lab up again") from error


def put(server: WeedServer, keys: Keys, key: str, body: bytes) -> None:
    """Puts one object. Raises LabError."""

    async def go() -> None:
        connection = _connection(server, keys)
        try:
            status, _ = await connection.request("PUT", key, body)
        except NoStore as error:
            raise LabError(f"the log store of {server.region.name} does not answer: {error}") from error
        finally:
            await connection.close()
        if status != 200:
            raise LabError(f"the log store of {server.region.name} refused {key}: {status}")

    asyncio.run(go())


def wait_for(server: WeedServer, keys: Keys, key: str, clock: Clock) -> None:
    """Until an object has arrived. Raises LabError."""

    async def go() -> None:
        connection, deadline = _connection(server, keys), clock.monotonic() + _READY_SECONDS
        try:
            while (await connection.request("GET", key))[0] != 200:
                if clock.monotonic() > deadline:
                    raise LabError(f"{key} is not in the log store of {server.region.name}", hint="see the logs of log-sync and log-store")
                await asyncio.sleep(_POLL_SECONDS)
        except NoStore as error:
            raise LabError(f"the log store of {server.region.name} does not answer: {error}") from error
        finally:
            await connection.close()

    asyncio.run(go())


async def _wait_ready(server: WeedServer, keys: Keys, clock: Clock) -> None:
    connection, deadline, said = _connection(server, keys), clock.monotonic() + _READY_SECONDS, "no answer"
    try:
        while clock.monotonic() < deadline:
            try:
                bucket, _ = await connection.request("PUT")
                status, _ = await connection.request("PUT", ".dr/check/lab", b"ready\n")
            except NoStore as error:
                said = str(error)
            else:
                said = f"bucket {bucket}, object {status}"
                if bucket in (200, 409) and status == 200:
                    return
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        await connection.close()
    raise LabError(f"the log store of {server.region.name} is not ready: {said}", hint=f"see {server.data / 'log'}")


async def _seed(wanted: Sequence[str], servers: Sequence[WeedServer], keys: Keys) -> None:
    left = [(server, key) for key in reversed(wanted) for server in servers]

    async def work() -> None:
        connections = {server.region.name: _connection(server, keys) for server in servers}
        while left:
            server, key = left.pop()
            status, answer = await connections[server.region.name].request("PUT", key, log_body(key))
            if status != 200:
                raise LabError(f"the log store of {server.region.name} refused {key}: {status} {answer[:200]!r}")
        for connection in connections.values():
            await connection.close()

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))


def _connection(server: WeedServer, keys: Keys) -> StoreConnection:
    return StoreConnection(server.region.address, weed.S3_PORT, weed.BUCKET, keys, _ANSWER_SECONDS)
