"""HTTPS to an address with another name: TLS and Host say the public hostname, the socket goes where it is told. Connections are kept.

``http.client`` and not httpx: it takes a socket for an address under a name without a transport of our own, and imports in 30 ms, not 130.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from dr.errors import EffectUnknown, Permanent, StepError, Transient
from dr.model.base import Json
from dr.providers.airflow.databases import readable


@dataclass(frozen=True)
class Peer:
    """Where a request goes: the socket to ``address:port``, TLS and Host with ``hostname``."""

    address: str
    port: int
    hostname: str

    def __str__(self) -> str:
        return f"https://{self.hostname}:{self.port}" + (f" at {self.address}" if self.hostname != self.address else "")


@dataclass(frozen=True)
class Answer:
    """A whole HTTP response. ``body`` is the parsed JSON, None where there was none."""

    status: int
    body: Json


class _Line(http.client.HTTPSConnection):
    """One connection to a peer."""

    def __init__(self, peer: Peer, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(peer.hostname, peer.port, context=context, timeout=timeout)
        self._peer, self._tls = peer, context

    def connect(self) -> None:
        """Opens the socket to the address and shakes hands under the hostname."""
        plain = socket.create_connection((self._peer.address, self._peer.port), self.timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock = self._tls.wrap_socket(plain, server_hostname=self._peer.hostname)
        except BaseException:
            plain.close()
            raise

    @property
    def hung_up(self) -> bool:
        """The other side closed it, or sent what nobody asked for. Session tickets (TLS 1.3 sends them unasked) are read here."""
        if self.sock is None:
            return True
        if not readable(self.sock.fileno()):
            return False
        try:
            self.sock.setblocking(False)
            self.sock.recv(1)
        except ssl.SSLWantReadError:
            self.sock.settimeout(self.timeout)
            return False
        except OSError:
            return True
        return True


class Https:
    """Requests and kept connections, for many threads.

    Args:
        authority: PEM file; nothing else is trusted.
        timeout: seconds for a connection, and for each answer.
    """

    def __init__(self, authority: Path, timeout: float = 5.0) -> None:
        self._authority, self._timeout = authority, timeout
        self._context: ssl.SSLContext | None = None
        self._idle: dict[Peer, list[_Line]] = defaultdict(list)
        self._lock = Lock()

    def request(self, peer: Peer, method: str, path: str, body: Json = None, headers: dict[str, str] | None = None) -> Answer:
        """One request. A kept connection that the other side has closed is replaced before anything is sent.

        Raises:
            Transient: no connection; nothing was sent.
            EffectUnknown: sent, and no whole answer came.
            Permanent: the certificate is not valid for the hostname.
        """
        line = self._take(peer) or self._open(peer)
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        wanted = {"Accept": "application/json", **({"Content-Type": "application/json"} if data is not None else {}), **(headers or {})}
        try:
            line.request(method, path, data, wanted)
            response = line.getresponse()
            text = response.read()
            answer = Answer(response.status, json.loads(text) if text.strip() else None)
        except (OSError, http.client.HTTPException, ValueError) as error:
            line.close()
            late = isinstance(error, TimeoutError)
            raise EffectUnknown(f"{peer}: {method} {path}: no answer: {_name(error)}", late=late) from error
        if response.will_close:
            line.close()
        else:
            with self._lock:
                self._idle[peer].append(line)
        return answer

    def warm(self, peer: Peer) -> None:
        """Opens a connection to keep, where there is none. Raises Transient or Permanent as ``request``."""
        line = self._take(peer) or self._open(peer)
        with self._lock:
            self._idle[peer].append(line)

    def close(self) -> None:
        """Closes what is kept."""
        with self._lock:
            lines = [line for lines in self._idle.values() for line in lines]
            self._idle.clear()
        for line in lines:
            line.close()

    def _take(self, peer: Peer) -> _Line | None:
        while True:
            with self._lock:
                lines = self._idle[peer]
                if not lines:
                    return None
                line = lines.pop()
            if not line.hung_up:
                return line
            line.close()

    def _open(self, peer: Peer) -> _Line:
        line = _Line(peer, self._trust(), self._timeout)
        try:
            line.connect()
        except ssl.SSLCertVerificationError as error:
            raise Permanent(
                f"{peer}: certificate refused: {error.verify_message}", hint=f"install a valid certificate for {peer.hostname} there"
            ) from error
        except OSError as error:
            raise Transient(f"{peer}: not reachable: {_name(error)}", late=isinstance(error, TimeoutError)) from error
        return line

    def _trust(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                try:
                    context = ssl.create_default_context(cafile=str(self._authority))
                except (OSError, ssl.SSLError) as error:
                    text = f"certificate authority {self._authority} cannot be read: {_name(error)}"
                    raise Permanent(text, hint="set certificate_authority in the runbook") from error
                self._context = context
            return self._context


def _name(error: Exception) -> str:
    """What went wrong, short: the system's words for an OSError, the class for others (their text may quote a body)."""
    return error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__


def reason(answer: Answer) -> str:
    """Why a request was not accepted, in the server's word where it gave one."""
    said = answer.body.get("reason") or answer.body.get("error") if isinstance(answer.body, dict) else None
    return f"HTTP {answer.status}" + (f" {said}" if isinstance(said, str) else "")


def failure(peer: Peer, answer: Answer) -> StepError:
    """The error for an answer that is no success: 4xx but 408, 409, 425, 429 is permanent, the rest may pass."""
    text = f"{peer}: {reason(answer)}"
    if 400 <= answer.status < 500 and answer.status not in (408, 409, 425, 429):
        return Permanent(text, hint="check the token and the version of the runtime" if answer.status in (401, 403, 404) else "")
    return Transient(text)
