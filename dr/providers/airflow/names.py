"""Where a public name leads now, as an outside client sees it: asked at the authoritative servers where the runbook has some."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from dr.errors import Transient

ANSWER_SECONDS = 1.0


@runtime_checkable
class NameServers(Protocol):
    """What this package asks of a component of kind ``dns-records``."""

    def name_servers(self) -> Mapping[str, tuple[str, int]]:
        """Region → address and port of its authoritative server."""


def ask(hostname: str, servers: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """The A records of a name from the first server that answers; from the system's resolver when no server is given.

    Raises:
        Transient: no server answers, or the name is not there.
    """
    if not servers:
        try:
            found = socket.getaddrinfo(hostname, None, socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            raise Transient(f"{hostname}: not resolved: {error.strerror or type(error).__name__}") from error
        return tuple(sorted({str(item[4][0]) for item in found}))
    reasons = []
    for address, port in servers:
        answer = _query(hostname, address, port)
        if isinstance(answer, tuple):
            return answer
        reasons.append(f"{address}:{port} {answer}")
    raise Transient(f"{hostname}: not resolved: {', '.join(reasons)}")


def _query(hostname: str, address: str, port: int) -> tuple[str, ...] | str:
    """The addresses, or why this server is of no use."""
    import dns.exception  # 70 ms: only where names are looked up
    import dns.message
    import dns.query
    import dns.rcode
    import dns.rdatatype

    try:
        query = dns.message.make_query(hostname, dns.rdatatype.A)
        answer = dns.query.udp(query, address, timeout=ANSWER_SECONDS, port=port)
    except (OSError, dns.exception.DNSException) as error:
        return type(error).__name__
    addresses = tuple(sorted(str(item) for rrset in answer.answer if rrset.rdtype == dns.rdatatype.A for item in rrset))
    return addresses or dns.rcode.to_text(answer.rcode())


def servers_first(region: str, peers: Callable[[], Sequence[NameServers]]) -> list[tuple[str, int]]:
    """All authoritative servers, the region's own first: the other region's may be gone."""
    own: list[tuple[str, int]] = []
    others: list[tuple[str, int]] = []
    for peer in peers():
        for name, server in peer.name_servers().items():
            (own if name == region else others).append(server)
    return own + others
