"""``python -m dr.lab.platform.client --config FILE``: the independent client outside both regions.

Writes through every public name at a steady rate and records what was acknowledged. A write that was not acknowledged is never sent
again: the next one has a new id. It knows names, name servers and a certificate authority, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from dr.lab.account import drop_to
from dr.lab.platform.config import ClientConfig, read_config
from dr.lab.platform.names import Resolver
from dr.lab.platform.outside import NoAnswer, Outside
from dr.lab.platform.process import launch
from dr.lab.platform.record import LedgerFile, moment
from dr.lab.platform.tls import client_context

_REASON_LIMIT = 200


class Client:
    """All names, each with its own place in the interval, so that writes are spread over time."""

    def __init__(self, config: ClientConfig, ledger: LedgerFile) -> None:
        self._config, self._ledger = config, ledger
        self._interval = 1 / config.writes_per_second
        self._context = client_context(config.authority)
        self._resolver = Resolver(config.dns, config.answer_seconds, config.keep_seconds)
        self._prefix, self._count = secrets.token_hex(4), 0

    async def work(self, told: asyncio.Event) -> None:
        """Writes until it is told to end."""
        await self._resolver.open()
        names = [name for served in self._config.deployments for name in served.hostnames]
        begin = asyncio.get_running_loop().time()
        writers = [
            asyncio.ensure_future(self._write_through(name, begin + self._interval * number / len(names)))
            for number, name in enumerate(names)
        ]
        ended = asyncio.ensure_future(told.wait())
        await asyncio.wait((ended, *writers), return_when=asyncio.FIRST_COMPLETED)
        for writer in writers:
            writer.cancel()
        results = await asyncio.gather(*writers, return_exceptions=True)
        ended.cancel()
        self._resolver.close()
        self._ledger.close()
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result  # a writer that ended by itself is a bug of ours: never a quiet gap in the ledger

    async def _write_through(self, hostname: str, begin: float) -> None:
        outside = Outside(hostname, self._config.port, self._resolver, self._context, self._config.answer_seconds)
        time_now = asyncio.get_running_loop().time
        retry = min(self._interval, self._config.retry_seconds)
        due = begin
        try:
            while True:
                await asyncio.sleep(due - time_now())
                acknowledged = await self._write(outside)
                now = time_now()
                passed = int((now - begin) / self._interval) + 1
                due = begin + passed * self._interval if acknowledged else min(now + retry, begin + passed * self._interval)
        finally:
            outside.close()

    async def _write(self, outside: Outside) -> bool:
        self._count += 1
        identity = f"{self._prefix}-{self._count}"
        body = b'{"id":"%s","kind":"outside"}' % identity.encode()
        sent_at = time.time()
        acknowledged_at: str | None = None
        error: str | None = None
        region: str | None = None
        try:
            reply = await outside.request("POST", "/write", body)
        except NoAnswer as failure:
            error = str(failure)
        else:
            acknowledged_at = moment(time.time()) if reply.status == 201 else None
            region, reason = _said(reply.body)
            error = None if acknowledged_at else f"{reply.status} {reason}"[:_REASON_LIMIT]
        self._ledger.add(
            id=identity, hostname=outside.hostname, sent_at=moment(sent_at), acknowledged_at=acknowledged_at, region=region, error=error
        )
        return acknowledged_at is not None


def _said(body: bytes) -> tuple[str | None, str]:
    """Region and reason as the answer tells them; an answer of somebody else tells nothing."""
    try:
        fields = json.loads(body)
    except ValueError:
        return None, ""
    if not isinstance(fields, dict):
        return None, ""
    region = fields.get("region")
    return region if isinstance(region, str) else None, str(fields.get("error", ""))


def prepare(path: Path) -> Callable[[asyncio.Event], Awaitable[None]]:
    """Reads its configuration, opens the ledger, becomes the account."""
    config = read_config(path, ClientConfig)
    client = Client(config, LedgerFile(config.ledger))
    drop_to(config.account)
    return client.work


if __name__ == "__main__":
    raise SystemExit(launch(prepare, sys.argv[1:]))
