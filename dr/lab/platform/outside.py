"""How the outside speaks to a public name: its address from the name servers, TLS verified, one connection kept alive for each name.

Nothing here knows a region. What is not answered in a short time counts as not answered.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

from dr.lab.platform.names import NoName, Resolver

_HEAD_END = b"\r\n\r\n"


class NoAnswer(Exception):
    """A request had no answer; whether it took effect is unknown. The text says where it ended."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiting: asyncio.Future[Reply] | None = None
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._fail("connection lost" if exc is None else f"connection lost: {exc}")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(_HEAD_END)
        if end < 0:
            return
        head = self._buffer[:end].decode("latin-1").lower()
        _, found, rest = head.partition("\r\ncontent-length:")
        start, length = end + len(_HEAD_END), int(rest.partition("\r\n")[0]) if found else 0
        if len(self._buffer) < start + length:
            return
        waiting, self._waiting = self._waiting, None
        reply = Reply(int(head[9:12]), bytes(self._buffer[start : start + length]))
        del self._buffer[: start + length]
        if "\r\nconnection: close" in head and self.transport is not None:
            self.transport.close()
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)

    def send(self, data: bytes) -> asyncio.Future[Reply]:
        """Sends one request; the future is its answer."""
        waiting: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if self.transport is None or self.transport.is_closing():
            waiting.set_exception(NoAnswer("connection lost"))
        else:
            self._waiting = waiting
            self.transport.write(data)
        return waiting

    def give_up(self, seconds: float) -> None:
        """The answer did not come in time: the connection cannot be used any more."""
        self._fail(f"no answer within {seconds:g} s")
        if self.transport is not None:
            self.transport.abort()

    def _fail(self, why: str) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(NoAnswer(why))


class Outside:
    """One public name, as somebody outside both regions uses it. One request at a time.

    Args:
        hostname: the name.
        port: of its HTTPS.
        resolver: finds its address.
        context: verifies its certificate.
        answer_seconds: how long to wait for a connection, and for an answer.
    """

    def __init__(self, hostname: str, port: int, resolver: Resolver, context: ssl.SSLContext, answer_seconds: float) -> None:
        self.hostname = hostname
        self._port, self._resolver, self._context, self._answer_seconds = port, resolver, context, answer_seconds
        self._connection: _Connection | None = None
        self._address = ""

    async def request(self, method: str, path: str, body: bytes = b"", *, answer_seconds: float | None = None) -> Reply:
        """Sends one request to wherever the name leads now; ``answer_seconds`` where the answer may take longer than usual.

        Raises:
            NoAnswer: no address, no connection, or no answer in time.
        """
        try:
            address = await self._resolver.resolve(self.hostname)
        except NoName as error:
            raise NoAnswer(f"no address: {error}") from error
        connection = self._connection
        if connection is None or connection.transport is None or connection.transport.is_closing() or address != self._address:
            self.close()
            connection = self._connection = await self._connect(address)
            self._address = address
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.hostname}\r\nContent-Length: {len(body)}\r\n\r\n"
        seconds = answer_seconds or self._answer_seconds
        timer = asyncio.get_running_loop().call_later(seconds, connection.give_up, seconds)
        try:
            return await connection.send(head.encode("ascii") + body)
        finally:
            timer.cancel()

    async def _connect(self, address: str) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._answer_seconds):
                _, connection = await loop.create_connection(
                    _Connection, address, self._port, ssl=self._context, server_hostname=self.hostname, ssl_shutdown_timeout=0.1
                )
        except TimeoutError as error:
            raise NoAnswer(f"no connection to {address} within {self._answer_seconds:g} s") from error
        except ssl.SSLCertVerificationError as error:
            raise NoAnswer(f"certificate of {address}: {error.verify_message}") from error
        except (ssl.SSLError, OSError) as error:
            raise NoAnswer(f"no connection to {address}: {error.strerror or error}") from error
        return connection

    def close(self) -> None:
        """Ends the connection."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.transport is not None:
            connection.transport.abort()
