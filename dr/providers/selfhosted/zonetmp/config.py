"""What people write for a component of kind ``dns-records``."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from pydantic import Field

from dr.model.base import Duration, Frozen
from dr.model.runbook import KindConfig, SecretRef


class Tsig(Frozen):
    """The key that signs transfers and updates (RFC 8945)."""

    name: str
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"
    key: SecretRef


class DnsRegion(Frozen):
    """A region's authoritative server, and the address that public names have while the region is primary."""

    server: IPv4Address | IPv6Address
    port: int = Field(53, ge=1, le=65535)
    address: IPv4Address | IPv6Address


class DnsConfig(KindConfig):
    """One zone, one authoritative server in each region.

    names: patterns of the names that move; a name moves where it also answers the address of the region that is left.
    patience: how long the server of the region that is left may take to accept its change; it may be gone.
    """

    zone: str = Field(min_length=1)
    names: tuple[str, ...] = Field(("*",), min_length=1)
    tsig: Tsig
    regions: dict[str, DnsRegion] = Field(min_length=2)
    timeout: Duration = timedelta(seconds=3)
    patience: Duration = timedelta(milliseconds=500)
