"""``python -m dr.lab.platform.log_writer --config FILE``: stands for the log shippers of the Deployments, outside both regions.

Ships an object at a steady rate to the store of the region that their public name leads to, while the Deployments there take writes (frozen
ones run no tasks, so they log nothing), and records what was acknowledged. An object that was not is never sent again: the next
one has a new name.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from dr.lab.account import drop_to
from dr.lab.platform.config import read_config
from dr.lab.platform.logs import LogWriterConfig
from dr.lab.platform.names import NoName, Resolver
from dr.lab.platform.outside import NoAnswer, Outside
from dr.lab.platform.process import launch
from dr.lab.platform.record import LedgerFile, moment
from dr.lab.platform.s3 import NoStore, StoreConnection
from dr.lab.platform.tls import client_context
from dr.providers.selfhosted.s3.sign import Keys

_HEALTH = "/api/v2/monitor/health"
_LINES = 5


class LogWriter:
    """One shipper for all namespaces in turn."""

    def __init__(self, config: LogWriterConfig, keys: Keys, ledger: LedgerFile) -> None:
        self._config, self._keys, self._ledger = config, keys, ledger
        self._resolver = Resolver(config.dns, config.answer_seconds)
        self._outside = Outside(
            config.hostname, config.port, self._resolver, client_context(config.authority), config.answer_seconds
        )
        self._store: StoreConnection | None = None
        self._run, self._count = secrets.token_hex(4), 0

    async def work(self, told: asyncio.Event) -> None:
        """Ships until it is told to end."""
        await self._resolver.open()
        time_now, every = asyncio.get_running_loop().time, 1 / self._config.writes_per_second
        due = time_now()
        while not told.is_set():
            await self._turn()
            due = max(due + every, time_now())
            try:
                async with asyncio.timeout_at(due):
                    await told.wait()
            except TimeoutError:
                continue
        self._outside.close()
        if self._store is not None:
            await self._store.close()
        self._resolver.close()
        self._ledger.close()

    async def _turn(self) -> None:
        """One object, if logs are written at all now."""
        try:
            health = await self._outside.request("GET", _HEALTH)
            address = await self._resolver.resolve(self._config.hostname)
            running = json.loads(health.body).get("writable") is True
        except (NoAnswer, NoName, ValueError, AttributeError):
            return
        if running:
            await self._ship(address)

    async def _ship(self, address: str) -> None:
        if self._store is None or self._store.address != address:
            if self._store is not None:
                await self._store.close()
            config = self._config
            self._store = StoreConnection(address, config.store_port, config.bucket, self._keys, config.answer_seconds)
        self._count += 1
        namespace = self._config.namespaces[self._count % len(self._config.namespaces)]
        key = log_key(namespace, "live", f"{self._run}-{self._count // 10:05d}", f"task-{self._count % 10}")
        body = log_body(key)
        sent_at, acknowledged_at, error = time.time(), None, None
        try:
            status, _ = await self._store.request("PUT", key, body)
        except NoStore as failure:
            error = str(failure)
        else:
            acknowledged_at = moment(time.time()) if status == 200 else None
            error = None if acknowledged_at else f"status {status}"
        self._ledger.add(
            key=key, md5=hashlib.md5(body, usedforsecurity=False).hexdigest(), bytes=len(body), address=address, sent_at=moment(sent_at),
            acknowledged_at=acknowledged_at, error=error,
        )  # fmt: skip


def log_key(namespace: str, dag: str, run: str, task: str) -> str:
    """Where Airflow's remote logging puts the first attempt of a task, below the Deployment's namespace."""
    return f"{namespace}/dag_id={dag}/run_id={run}/task_id={task}/attempt=1.log"


def log_body(key: str) -> bytes:
    """A short task log. The same key always has the same content."""
    return "".join(f"[{number:02d}] INFO - {key}: line {number}\n" for number in range(_LINES)).encode()


def prepare(path: Path) -> Callable[[asyncio.Event], Awaitable[None]]:
    """Reads its configuration and keys, opens the ledger, becomes the account."""
    config = read_config(path, LogWriterConfig)
    keys = config.keys()
    writer = LogWriter(config, keys, LedgerFile(config.ledger))
    drop_to(config.account)
    return writer.work


if __name__ == "__main__":
    raise SystemExit(launch(prepare, sys.argv[1:]))
