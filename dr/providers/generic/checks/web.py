"""One HTTP request: bounded in time and size, to an address under a name where that is wanted, no redirects, no proxy from the environment.

httpx costs 130 ms to import, so it is imported with the first request.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from dr.errors import EffectUnknown, Permanent, StepError, Transient
from dr.ports import Clock

if TYPE_CHECKING:
    import httpx

BODY_LIMIT = 1024 * 1024
"""Bytes read of an answer; what comes after is not looked at."""

_SHOWN = 160


@dataclass(frozen=True)
class Answer:
    """A whole answer, or its first ``BODY_LIMIT`` bytes."""

    status: int
    body: bytes
    took: timedelta


@dataclass(frozen=True)
class Request:
    """What is asked, and of whom.

    address: where the socket goes, with the name of the URL in TLS and Host; None: where the system's resolver leads.
    shown: what messages call it, where the URL itself is a secret.
    """

    url: str
    timeout: timedelta
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    address: str | None = None
    port: int | None = None
    shown: str | None = None

    def __str__(self) -> str:
        return (self.shown or self.url) + (f" at {self.address}" if self.address else "")

    def __repr__(self) -> str:
        return f"Request({self})"


class NotSent(Transient):
    """There was no connection, so nothing was sent."""


class Web:
    """Requests of one component; safe to use from several threads.

    Args:
        authority: PEM file to trust, and nothing else; None: what this machine trusts.
    """

    def __init__(self, authority: Path | None, clock: Clock) -> None:
        self._authority, self._clock = authority, clock
        self._context: ssl.SSLContext | None = None
        self._lock = Lock()

    def look(self, request: Request) -> Answer:
        """A request that changes nothing over there, so it may always be made again. Raises Transient, Permanent."""
        try:
            return self.send(request)
        except EffectUnknown as error:
            raise Transient(error.message) from None

    def send(self, request: Request) -> Answer:
        """One request, made once; the time-out counts for everything: connection, answer, body.

        Raises:
            NotSent: no connection, or its certificate was refused.
            EffectUnknown: no whole answer in time.
            Permanent: the request cannot be made as it is written.
        """
        import httpx

        limit = request.timeout.total_seconds()
        began = self._clock.monotonic()
        problem: StepError
        try:
            named = httpx.URL(request.url)
            asked, fields, extensions = named, dict(request.headers), {}
            if request.address is not None:
                asked = named.copy_with(host=request.address, port=request.port or named.port)
                fields = {"Host": named.netloc.decode(), **fields}
                extensions = {"sni_hostname": named.host}
            with (
                httpx.Client(verify=self._trust(), trust_env=False, timeout=limit) as client,
                client.stream(request.method, asked, headers=fields, content=request.content, extensions=extensions) as response,
            ):
                body = self._body(response, began + limit)
            return Answer(response.status_code, body, timedelta(seconds=self._clock.monotonic() - began))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            problem = NotSent(f"{request}: no connection: {_connect(error, limit)}")
        except (httpx.TimeoutException, TimeoutError):
            problem = EffectUnknown(f"{request}: no whole answer within {limit:g}s")
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL, ValueError):
            # the text of these may quote a header, and headers may be secrets
            problem = Permanent(f"{request}: the request cannot be made", hint="check the URL and the headers, values from files too")
        except httpx.HTTPError as error:
            problem = EffectUnknown(f"{request}: no whole answer: {type(error).__name__}")
        raise problem  # outside the handlers: the request, with its headers, is not its context

    def _body(self, response: httpx.Response, deadline: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) >= BODY_LIMIT:
                break
            if self._clock.monotonic() > deadline:
                raise TimeoutError
        return bytes(body[:BODY_LIMIT])

    def _trust(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                try:
                    self._context = ssl.create_default_context(cafile=None if self._authority is None else str(self._authority))
                except (OSError, ssl.SSLError) as error:
                    text = f"{self._authority} holds no certificate authority"
                    raise Permanent(text, hint="check certificate_authority in the runbook") from error
            return self._context


def _connect(error: httpx.TransportError, limit: float) -> str:
    """What the system said about a connection that was not made."""
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return f"none within {limit:g}s"
    return (" ".join(str(error).split()) or type(error).__name__)[:_SHOWN]
