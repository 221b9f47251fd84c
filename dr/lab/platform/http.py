"""HTTP/1.1 as far as the runtime needs it: requests with a length, answers with a length, keep-alive. No framework, because 240 names
with a write a second each, beside 80 schedulers, must leave most of a core to what is being measured."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs

from dr.model.base import Json

_HEAD_LIMIT = 16 * 1024
_BODY_LIMIT = 1024 * 1024
_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Header names are lower case; ``host`` is without a port; ``query`` is as it was sent."""

    method: str
    path: str
    query: str
    host: str
    headers: dict[str, str]
    body: bytes

    def argument(self, name: str) -> str | None:
        """The first value of a query argument."""
        return parse_qs(self.query).get(name, [None])[0]

    def json(self) -> Json:
        """The body as JSON, ``{}`` where there is none. Raises ValueError where it is something else."""
        return json.loads(self.body) if self.body.strip() else {}


@dataclass(frozen=True, slots=True)
class Response:
    """One answer; the body is JSON."""

    status: int
    body: bytes = b""

    def encode(self, close: bool) -> bytes:
        """The bytes for the wire."""
        end = b"Connection: close\r\n\r\n" if close else b"\r\n"
        kind = b"Content-Type: application/json\r\n" if self.body else b""
        return b"%sContent-Length: %d\r\n%s%s%s" % (_LINES[self.status], len(self.body), kind, end, self.body)


def answer(status: int, **fields: Json) -> Response:
    """An answer with a JSON object."""
    return Response(status, json.dumps(fields, separators=(",", ":")).encode())


Handler = Callable[[Request], Awaitable[Response]]


class Malformed(Exception):
    """Bytes that are not a request; ``status`` is what the sender is told."""

    def __init__(self, status: int) -> None:
        super().__init__(HTTPStatus(status).phrase)
        self.status = status


def parse(buffer: bytearray) -> tuple[Request, int] | None:
    """The first request of a buffer and its length in bytes; None while it is not complete.

    Raises:
        Malformed: it never will be.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > _HEAD_LIMIT:
            raise Malformed(431)
        return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Malformed(400)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length_text = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not length_text.isascii() or not length_text.isdecimal():
        raise Malformed(501 if "transfer-encoding" in headers else 400)
    length = int(length_text)
    if length > _BODY_LIMIT:
        raise Malformed(413)
    total = end + 4 + length
    if len(buffer) < total:
        return None
    path, _, query = words[1].partition("?")
    host = headers.get("host", "").partition(":")[0].lower()
    return Request(words[0], path, query, host, headers, bytes(buffer[end + 4 : total])), total


class HttpConnection(asyncio.Protocol):
    """The server's side of one connection: requests are answered one after the other, in order."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[Response] | None = None
        self._close = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is over."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side went away; what was begun for it runs to its end, its answer goes nowhere."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._buffer += data
        if self._task is None:
            self._next()

    def _next(self) -> None:
        try:
            found = parse(self._buffer)
        except Malformed as error:
            self._send(answer(error.status, error=str(error)), close=True)
            return
        if found is None:
            return
        request, length = found
        del self._buffer[:length]
        self._close = request.headers.get("connection", "").lower() == "close"
        self._task = asyncio.ensure_future(self._handler(request))
        self._task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[Response]) -> None:
        self._task = None
        if task.cancelled() or task.exception() is not None:
            if self._transport is not None:
                self._transport.abort()
            if not task.cancelled():
                task.result()  # raises inside the loop, whose handler prints it: a bug of ours must be seen
            return
        self._send(task.result(), self._close)
        if self._buffer and not self._close:
            self._next()

    def _send(self, response: Response, close: bool) -> None:
        if self._transport is None:
            return
        self._transport.write(response.encode(close))
        if close:
            self._transport.close()
