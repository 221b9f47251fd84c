"""The log shippers' ledger, and what follows from it: which acknowledged objects the region that is primary in the end can give back."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import Field

from dr.errors import StateUnreadable
from dr.lab.platform.config import Endpoint
from dr.lab.platform.names import NoName, Resolver
from dr.lab.platform.s3 import NoStore, StoreConnection
from dr.model.base import Frozen
from dr.providers.selfhosted.s3.sign import Keys

_AT_ONCE = 8
_ASK_SECONDS = 5.0
_LOOKS = 4
_BETWEEN_SECONDS = 1.0
"""A healthy replication needs a moment for what was written last: what is missing is looked for again, so often and so far apart."""


class LogWriterConfig(Frozen):
    """``python -m dr.lab.platform.log_writer``: stands for the log shippers of the Deployments.

    hostname: public name of a Deployment: where that leads is where logs go. namespaces: whose logs. store_port, bucket: of the store in
    whichever region that is. writes_per_second: objects in all.
    """

    account: str | None = None
    ledger: Path
    authority: Path
    dns: tuple[Endpoint, ...] = Field(min_length=1)
    port: int
    hostname: str
    namespaces: tuple[str, ...] = Field(min_length=1)
    store_port: int
    bucket: str
    access_key_file: Path
    secret_key_file: Path
    writes_per_second: float = Field(10.0, gt=0)
    answer_seconds: float = Field(0.5, gt=0)

    def keys(self) -> Keys:
        """The key pair; only the starter may read it."""
        files = (self.access_key_file, self.secret_key_file)
        access, secret = (path.read_text(encoding="utf-8").strip() for path in files)
        return Keys(access, secret)


@dataclass(frozen=True, slots=True)
class Shipped:
    """One object that a store acknowledged. ``md5`` of its content."""

    key: str
    md5: str
    acknowledged_at: datetime


def shipped(content: bytes) -> Iterator[Shipped]:
    """The acknowledged objects of a ledger; a last line without its end is left out. Raises StateUnreadable for a line that is not ours."""
    *lines, _unfinished = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            fields = json.loads(line)
            if fields["acknowledged_at"] is not None:
                yield Shipped(fields["key"], fields["md5"], datetime.fromisoformat(fields["acknowledged_at"]))
        except (ValueError, KeyError, TypeError) as error:
            raise StateUnreadable(f"line {number} of the logs' ledger is not one of ours", hint="dr lab down, then dr lab up") from error


@dataclass(frozen=True)
class LogTruth:
    """What the shippers know. lost: acknowledged, and cannot be read now, by key; None where the primary's store does not answer."""

    acknowledged: int
    lost: tuple[str, ...] | None


def truth(config: LogWriterConfig, ledgers: Sequence[Path]) -> LogTruth:
    """Reads every acknowledged object from the region to which the public name leads now. Call it when the writer has ended; blocks."""
    objects = [item for ledger in ledgers for item in shipped(ledger.read_bytes())]
    return LogTruth(len(objects), asyncio.run(_missing(config, objects)))


async def _missing(config: LogWriterConfig, objects: Sequence[Shipped]) -> tuple[str, ...] | None:
    resolver = Resolver(config.dns, _ASK_SECONDS)
    await resolver.open()
    try:
        address = await resolver.resolve(config.hostname)
    except NoName:
        return None
    finally:
        resolver.close()
        await asyncio.sleep(0)  # the transports close in the loop's next turn
    left = list(objects)
    for look in range(_LOOKS):
        if look:
            await asyncio.sleep(_BETWEEN_SECONDS)
        try:
            left = await _unreadable(config, address, left)
        except NoStore:
            return None
        if not left:
            break
    return tuple(item.key for item in left)


async def _unreadable(config: LogWriterConfig, address: str, objects: Sequence[Shipped]) -> list[Shipped]:
    keys, left = config.keys(), list(reversed(objects))
    missing: list[Shipped] = []

    async def read() -> None:
        connection = StoreConnection(address, config.store_port, config.bucket, keys, _ASK_SECONDS)
        try:
            while left:
                item = left.pop()
                status, body = await connection.request("GET", item.key)
                if status not in (200, 404):
                    raise NoStore(f"{address} answers {status}")
                if status == 404 or hashlib.md5(body, usedforsecurity=False).hexdigest() != item.md5:
                    missing.append(item)
        finally:
            await connection.close()

    results = await asyncio.gather(*(read() for _ in range(_AT_ONCE)), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return sorted(missing, key=lambda item: item.key)
