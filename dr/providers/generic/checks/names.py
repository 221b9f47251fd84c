"""Asks name servers: addresses and TTL of a name, from one server or from the platform's own authoritative ones.

dnspython costs 70 ms to import, so it is imported with the first question.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, NamedTuple, Protocol, runtime_checkable

from pydantic import AfterValidator

from dr.errors import Transient
from dr.ports import Kind


class Server(NamedTuple):
    """Address and port of a server."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Found(NamedTuple):
    """The addresses of a name, sorted, and the longest time that any record on the way to them may be cached."""

    addresses: tuple[str, ...]
    ttl: timedelta


@runtime_checkable
class NameServers(Protocol):
    """A component (kind ``dns-records``) that knows the authoritative servers of public names."""

    def name_servers(self) -> Mapping[str, tuple[str, int]]:
        """Region → address and port."""


def parsed(text: str, port: int) -> Server:
    """``192.0.2.1``, ``192.0.2.1:5353``, ``2001:db8::1`` or ``[2001:db8::1]:5353``; ``port`` where none is written.

    Raises:
        ValueError: anything else.
    """
    host, given = text, ""
    if text.startswith("["):
        host, _, given = text[1:].partition("]")
        given = given.removeprefix(":")
    elif text.count(":") == 1:
        host, _, given = text.partition(":")
    try:
        address = str(ipaddress.ip_address(host))
        number = int(given) if given else port
    except ValueError:
        raise ValueError("expected an address such as 192.0.2.1 or 192.0.2.1:5353") from None
    if not 0 < number < 65536:
        raise ValueError("expected a port from 1 to 65535")
    return Server(address, number)


def _checked(value: str) -> str:
    parsed(value, 53)
    return value


ServerText = Annotated[str, AfterValidator(_checked)]
"""Address of a server, with a port where it is not the usual one."""


def ask(name: str, kind: str, server: Server, timeout: timedelta) -> Found:
    """The records of a name at one server, A or AAAA; aliases are followed as far as its answer shows them.

    Raises:
        Transient: no answer in time, or none with an address.
    """
    import dns.exception
    import dns.message
    import dns.query
    import dns.rcode
    import dns.rdatatype

    try:
        query = dns.message.make_query(name, kind)
        answer, _ = dns.query.udp_with_fallback(query, server.address, timeout=timeout.total_seconds(), port=server.port)
    except dns.exception.Timeout:
        raise Transient(f"{server} gives no answer for {name}") from None
    except OSError as error:
        raise Transient(f"{server} gives no answer for {name}: {error.strerror or type(error).__name__}") from None
    except (dns.exception.DNSException, ValueError) as error:
        raise Transient(f"{server} gives no answer that can be read for {name}: {type(error).__name__}") from None
    wanted = dns.rdatatype.from_text(kind)
    addresses = tuple(sorted(item.address for records in answer.answer if records.rdtype == wanted for item in records))
    if not addresses:
        raise Transient(f"{server} has no address for {name}: {dns.rcode.to_text(answer.rcode())}")
    return Found(addresses, timedelta(seconds=max(records.ttl for records in answer.answer)))


def authoritative(peers: Iterable[Kind], first: str) -> list[Server]:
    """The servers of all components that have some; those of region ``first`` before the others, which may be gone."""
    found = [(region, Server(*server)) for peer in peers if isinstance(peer, NameServers) for region, server in peer.name_servers().items()]
    return [server for region, server in found if region == first] + [server for region, server in found if region != first]


def first_answer(name: str, servers: Sequence[Server], timeout: timedelta) -> Found:
    """What the first server that answers says of a name, as a client would ask. Raises Transient: none does."""
    reasons = []
    for server in servers:
        try:
            return ask(name, "A", server, timeout)
        except Transient as error:
            reasons.append(error.message)
    raise Transient("; ".join(reasons))
