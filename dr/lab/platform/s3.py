"""How the outside speaks to a region's log store: one request at a time over a kept connection. Shares only the signature with ``dr``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime

from dr.providers.selfhosted.s3 import sign

_REGION = "us-east-1"
_HEAD_END = b"\r\n\r\n"


class NoStore(Exception):
    """A request had no answer; whether it took effect is unknown."""


class StoreConnection:
    """One connection to one store's bucket. One request at a time.

    Args:
        answer_seconds: how long to wait for a connection, and for an answer.
    """

    def __init__(self, address: str, port: int, bucket: str, keys: sign.Keys, answer_seconds: float) -> None:
        self.address = address
        self._port, self._bucket, self._keys, self._answer_seconds = port, bucket, keys, answer_seconds
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(
        self, method: str, key: str = "", body: bytes = b"", query: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises:
            NoStore: no connection, or no answer in time.
        """
        path, text = sign.target(self._bucket, key, query or {})
        host = f"{self.address}:{self._port}"
        headers = sign.headers(self._keys, _REGION, datetime.now(UTC), method, host, path, text, body, {})
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {path}{'?' + text if text else ''} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n"
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await self._exchange(head.encode("ascii") + body)
        except (TimeoutError, OSError, EOFError, asyncio.IncompleteReadError) as error:
            await self.close()
            raise NoStore(f"{host}: {type(error).__name__}") from error

    async def _exchange(self, data: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.address, self._port)
        reader, writer = self._streams
        writer.write(data)
        head = (await reader.readuntil(_HEAD_END)).decode("latin-1").lower()
        status = int(head[9:12])
        body = b"" if status == 204 else await _body(reader, head)
        if "\r\nconnection: close" in head:
            await self.close()
        return status, body

    async def close(self) -> None:
        """Ends the connection."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with contextlib.suppress(OSError):
                await streams[1].wait_closed()


async def _body(reader: asyncio.StreamReader, head: str) -> bytes:
    if "\r\ntransfer-encoding: chunked" in head:
        content = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            content += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return content
    _, found, rest = head.partition("\r\ncontent-length:")
    return await reader.readexactly(int(rest.partition("\r\n")[0])) if found else b""
