"""What a runbook says about a zone's names."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from dr.model.base import Duration, Frozen
from dr.model.runbook import KindConfig, SecretRef

_LABEL = re.compile(r"^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$")


def _zone_name(value: str) -> str:
    name = value.rstrip(".").lower()
    if len(name) > 253 or not all(_LABEL.match(label) for label in name.split(".")):
        raise ValueError("expected a domain name such as dr.example.com")
    return name


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("expected an IP address") from None


def _address6(value: str | None) -> str | None:
    if value is not None and ipaddress.ip_address(value).version != 6:
        raise ValueError("expected an IPv6 address")
    return value


Address = Annotated[str, AfterValidator(_address)]


class Tsig(Frozen):
    """The key that signs updates and transfers. ``key`` is base64, as name servers write it."""

    name: str
    algorithm: str = Field("hmac-sha256", pattern=r"^hmac-sha(1|224|256|384|512)$")
    key: SecretRef


class RegionNames(Frozen):
    """One region: its authoritative server, and where public names lead when the region is primary.

    address: what A records hold (AAAA, where it is IPv6). address6: for AAAA records beside it.
    """

    server: Address
    port: int = Field(53, ge=1, le=65535)
    address: Address
    address6: Annotated[Address | None, AfterValidator(_address6)] = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses of the region."""
        return (self.address,) if self.address6 is None else (self.address, self.address6)


class DnsConfig(KindConfig):
    """Settings of the kind ``dns-records``.

    names: patterns such as ``*.dr.example.com``; only A and AAAA records that match one and hold a region's address are ever touched.
    lower_ttl_to: a planned move lowers longer TTLs to this before it freezes anything, waits until the old ones have passed, and puts
        them back at the end; not set: it leaves them as they are, and its outage lasts as long as the longest of them.
    answer_timeout: for one exchange with a server. source_timeout: for the source's server, which may be lost: it is not waited for.
    """

    zone: Annotated[str, AfterValidator(_zone_name)]
    names: tuple[str, ...] = Field(min_length=1)
    tsig: Tsig
    regions: dict[str, RegionNames] = Field(min_length=2, max_length=2)
    lower_ttl_to: Duration | None = Field(None, ge=timedelta(seconds=1))
    answer_timeout: Duration = timedelta(seconds=3)
    source_timeout: Duration = timedelta(milliseconds=500)

    def other(self, region: str) -> str:
        """The region that is not this one."""
        return next(name for name in self.regions if name != region)
