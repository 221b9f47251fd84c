"""Which way packets take, and which addresses they come from: what a region's route tables and gateways come to. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PRIVATE = {
    "TransitGatewayId": "transit gateway",
    "VpcPeeringConnectionId": "peering",
    "CoreNetworkArn": "core network",
    "GatewayId": "gateway",
}
"""Fields of a route that lead into a network of one's own; of gateways, only virtual private ones do (``vgw-``)."""
_ELSEWHERE = ("NatGatewayId", "NetworkInterfaceId", "InstanceId", "EgressOnlyInternetGatewayId", "LocalGatewayId", "CarrierGatewayId")


@dataclass(frozen=True)
class Route:
    """One route. to: where it leads; empty: to nothing of one's own. way: in words."""

    destination: Network
    active: bool
    to: str
    way: str


@dataclass(frozen=True)
class Table:
    """One route table. unread: it has more routes: to managed prefix lists, whose networks are not read, or more than one call gives."""

    name: str
    routes: tuple[Route, ...]
    unread: bool = False


def network(text: str) -> Network:
    """A CIDR, or an address alone. Raises ValueError."""
    return ipaddress.ip_network(text, strict=False)


def table(item: Mapping[str, Any]) -> Table:
    """A route table of a VPC as EC2 describes it."""
    routes = []
    for one in item.get("Routes", ()):
        destination = one.get("DestinationCidrBlock") or one.get("DestinationIpv6CidrBlock")
        if destination:
            to, way = _leads(one)
            routes.append(Route(network(destination), one.get("State") == "active", to, way))
    unread = any(
        one.get("DestinationPrefixListId") and not str(one.get("GatewayId", "")).startswith("vpce-") for one in item.get("Routes", ())
    )
    return Table(str(item["RouteTableId"]), tuple(routes), unread)


def transit(name: str, answer: Mapping[str, Any]) -> Table:
    """The routes of a transit gateway's route table as a search gives them."""
    routes = [
        Route(network(one["DestinationCidrBlock"]), one.get("State") == "active", _attached(one), f"{one.get('Type', '')} route".strip())
        for one in answer["Routes"] if one.get("DestinationCidrBlock")
    ]  # fmt: skip
    return Table(name, tuple(routes), bool(answer.get("AdditionalRoutesAvailable")))


def unreached(known: Table, wanted: Network) -> str:
    """Why a network is not reached by a route table; empty: it is. Of several routes that hold it the narrowest counts."""
    fits = [route for route in known.routes if _holds(route.destination, wanted)]
    narrower = [route for route in known.routes if route.destination != wanted and _holds(wanted, route.destination)]
    dead = next((route for route in narrower if not route.active), None)
    if dead is not None:
        return f"{known.name}: {dead.destination}, a part of {wanted}, is a blackhole: what {dead.to or dead.way} led to is gone"
    if not fits:
        parts = any(route.to not in ("", "local") for route in narrower)
        return "" if parts else f"{known.name}: no route to {wanted}"
    best = max(fits, key=lambda route: route.destination.prefixlen)
    if not best.active:
        return f"{known.name}: the route to {wanted} is a blackhole: what {best.to or best.way} led to is gone"
    if not best.to:
        return f"{known.name}: {wanted} is only reached by {best.destination} through {best.way}, not by a private way"
    return ""


def overlapping(named: Sequence[tuple[str, Network]]) -> Iterator[tuple[str, str]]:
    """Pairs of networks of different owners that share addresses, as ``owner network``."""
    for index, (owner, one) in enumerate(named):
        for other_owner, other in named[index + 1 :]:
            if owner != other_owner and one.version == other.version and one.overlaps(other):
                yield f"{owner} {one}", f"{other_owner} {other}"


def outside(addresses: Iterable[str], allowed: Iterable[str]) -> list[str]:
    """The addresses that no entry of an allow-list holds."""
    lists = [network(entry) for entry in allowed]
    return [address for address in addresses if not any(_holds(entry, network(address)) for entry in lists)]


def _holds(outer: Network, inner: Network) -> bool:
    if isinstance(outer, ipaddress.IPv4Network):
        return isinstance(inner, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, ipaddress.IPv6Network) and inner.subnet_of(outer)


def _leads(one: Mapping[str, Any]) -> tuple[str, str]:
    for field, way in PRIVATE.items():
        to = str(one.get(field) or "")
        if to and (field != "GatewayId" or to.startswith("vgw-") or to == "local"):
            return to, way
    return "", next((str(one[field]) for field in ("GatewayId", *_ELSEWHERE) if one.get(field)), "nothing")


def _attached(one: Mapping[str, Any]) -> str:
    return next((str(item["ResourceId"]) for item in one.get("TransitGatewayAttachments", ())), "")
