"""Is a certificate good for a name, and for how long? Decides from what was read. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.model.base import show_duration


@dataclass(frozen=True)
class Flaw:
    """What is wrong with one hostname's certificate. ``usable``: it still works, but not for long. ``absent``: there is none at all."""

    hostname: str
    region: str
    fact: str
    usable: bool
    absent: bool = False

    @property
    def fix(self) -> str:
        """What to do."""
        return f"install a new certificate for {self.hostname} in {self.region}"

    def __str__(self) -> str:
        return f"{self.hostname}: {self.fact} in {self.region}"


@dataclass(frozen=True)
class Shown:
    """What a certificate, with what came with it, says of itself.

    names: those it is for, wildcards included. since, until: when it and every certificate between it and the authority are valid.
    first: which of them ends first ("certificate", or its issuer's). untrusted: why it does not lead to the authority; empty where it does.
    key: None where no key came with it, else whether it is the certificate's own.
    """

    names: frozenset[str]
    since: datetime
    until: datetime
    first: str = "certificate"
    untrusted: str = ""
    key: bool | None = None


def judge(hostname: str, region: str, until: datetime | None, now: datetime, margin: timedelta, first: str = "certificate") -> Flaw | None:
    """None for a certificate that is there and good for longer than the margin. ``until`` None: there is none."""
    if until is None:
        return Flaw(hostname, region, "no certificate", usable=False, absent=True)
    if until <= now:
        return Flaw(hostname, region, f"{first} expired on {until:%Y-%m-%d %H:%M} UTC", usable=False)
    if until - now < margin:
        return Flaw(hostname, region, f"{first} expires in {show_duration(until - now)}", usable=True)
    return None


def flaw(
    hostname: str, region: str, shown: Shown | None, now: datetime, margin: timedelta, *, key_wanted: bool = False
) -> Flaw | None:  # fmt: skip
    """The worst that is wrong with a certificate, None where nothing is. ``shown`` None: there is none."""
    if shown is None:
        return judge(hostname, region, None, now, margin)
    fact = ""
    if not covers(shown.names, hostname):
        fact = "the certificate there is for other names"
    elif shown.key is False:
        fact = "certificate and key do not belong together"
    elif shown.key is None and key_wanted:
        fact = "the certificate has no key"
    elif shown.untrusted:
        fact = f"the certificate is not trusted: {shown.untrusted}"
    elif shown.since > now:
        fact = f"the certificate is not valid before {shown.since:%Y-%m-%d %H:%M} UTC"
    if fact and shown.until > now:
        return Flaw(hostname, region, fact, usable=False)
    dated = judge(hostname, region, shown.until, now, margin, shown.first)
    if fact and dated is not None:
        return Flaw(hostname, region, f"{fact}; {dated.fact}", usable=False)
    return dated


def covers(names: frozenset[str], hostname: str) -> bool:
    """Whether a certificate for ``names`` is good for a hostname; a wildcard stands for one label (RFC 6125), never for an address."""
    name = hostname.lower().rstrip(".")
    if name in names:
        return True
    try:
        return str(ipaddress.ip_address(name)) in names
    except ValueError:
        _, dot, rest = name.partition(".")
        return bool(dot) and f"*.{rest}" in names
