"""Certificates: which one a region's runtime shows for which name, and what the outside accepts."""

from __future__ import annotations

import ssl
from pathlib import Path


class Certificates:
    """The server side of TLS: one certificate for each public name, chosen by SNI.

    Certificates are loaded ahead, because a failover makes every client shake hands at once; one that is missing is looked for again
    when its name is asked for. For a name without one the certificate of the control address is shown, as an ingress shows its own:
    every client that verifies refuses it, and says why.
    """

    def __init__(self, folder: Path, names: frozenset[str], default: str) -> None:
        self._folder = folder
        self._names = names
        self._contexts: dict[str, ssl.SSLContext] = {}
        self.default = _server_context(folder / f"{default}.pem")
        self.default.sni_callback = self._choose
        for name in names:
            self._load(name)

    def _load(self, name: str) -> ssl.SSLContext | None:
        path = self._folder / f"{name}.pem"
        if name in self._names and path.is_file():
            try:
                self._contexts[name] = _server_context(path)
            except (ssl.SSLError, OSError):
                return None  # as good as missing: the client is refused, and the guard that checks certificates says why
        return self._contexts.get(name)

    def _choose(self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _initial: ssl.SSLContext) -> None:
        context = (self._contexts.get(name) or self._load(name)) if name is not None else None
        if context is not None:
            connection.context = context


def _server_context(pem: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.num_tickets = 0  # clients of the lab do not resume sessions: two tickets less to make and send for each handshake
    return context


def client_context(authority: Path) -> ssl.SSLContext:
    """The client side: certificate and hostname are verified against the lab's own authority and nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority)
    return context
