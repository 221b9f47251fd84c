"""One authoritative server: transfer the zone, change records in one signed message. The only file here that talks to a network."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.update
import dns.xfr
import dns.zone

from dr.errors import EffectUnknown, Permanent, Transient
from dr.ports import Secrets
from dr.providers.selfhosted.zonetmp.config import DnsConfig

MOST_NAMES = 500
"""Names in one message: each takes about 60 bytes of the 65,535 that DNS over TCP carries (RFC 1035, 4.2.2)."""

_REFUSED = (dns.rcode.REFUSED, dns.rcode.NOTAUTH, dns.rcode.NOTZONE, dns.rcode.BADSIG, dns.rcode.BADKEY)


@dataclass(frozen=True)
class Records:
    """The address records of a zone that the component moves: values by name, and each name's TTL in seconds."""

    values: Mapping[str, tuple[str, ...]]
    ttls: Mapping[str, int]

    def leading_to(self, address: str) -> tuple[str, ...]:
        """Names that answer this address and nothing else."""
        return tuple(name for name, values in self.values.items() if values == (address,))

    @property
    def longest_ttl(self) -> timedelta:
        """How long a cache may keep an answer of now."""
        return timedelta(seconds=max(self.ttls.values(), default=0))


class ZoneServer:
    """The server of one region. Methods may be called from several threads."""

    def __init__(self, component: str, region: str, config: DnsConfig, secrets: Secrets) -> None:
        self._component, self._region, self._config, self._secrets = component, region, config, secrets
        self._server = config.regions[region]

    @property
    def where(self) -> str:
        """For messages: ``dns in west (127.0.20.1:53)``."""
        return f"{self._component} in {self._region} ({self._server.server}:{self._server.port})"

    def records(self) -> Records:
        """All address records that the component moves, from one zone transfer.

        Raises:
            Transient: the server does not answer. Permanent: it refuses the key or the transfer.
        """
        zone = dns.zone.Zone(self._config.zone, relativize=False)
        timeout = self._config.timeout.total_seconds()
        try:
            query, _serial = dns.xfr.make_query(zone, **self._signed())  # type: ignore[arg-type]  # its own keyword arguments
            dns.query.inbound_xfr(str(self._server.server), zone, query, self._server.port, timeout, timeout)
        except dns.xfr.TransferError as error:
            raise self._refused(f"the transfer of {self._config.zone}", error.rcode) from None
        except dns.tsig.PeerError as error:
            raise Permanent(f"{self.where}: the key is refused: {error}", hint=self._key_hint()) from None
        except (OSError, EOFError, dns.exception.DNSException) as error:
            raise Transient(f"{self.where}: {_why(error)}") from None
        values: dict[str, tuple[str, ...]] = {}
        ttls: dict[str, int] = {}
        for name, rdataset in zone.iterate_rdatasets():
            text = name.to_text(omit_final_dot=True)
            if rdataset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA) and any(fnmatchcase(text, glob) for glob in self._config.names):
                values[text] = tuple(sorted((*values.get(text, ()), *(item.to_text() for item in rdataset))))
                ttls[text] = int(rdataset.ttl)
        return Records(values, ttls)

    def may_change(self) -> None:
        """Asks with a signed update that requires the zone to be there and changes nothing (RFC 2136, 3.2).

        Raises:
            Transient: the server does not answer. Permanent: it refuses the key or updates.
        """
        update = self._update()
        update.present(dns.name.from_text(self._config.zone), dns.rdatatype.SOA)
        try:
            self._send(update, self._config.timeout)
        except EffectUnknown as error:
            raise Transient(error.message) from None

    def change(self, records: Mapping[str, tuple[str, ...]], ttls: Mapping[str, int], *, within: timedelta | None = None) -> None:
        """Makes each name answer exactly these addresses. One message, hence one transaction, for up to ``MOST_NAMES`` names.

        Raises:
            Transient: nothing was sent. EffectUnknown: sent, no answer. Permanent: refused.
        """
        names = list(records)
        for start in range(0, len(names), MOST_NAMES):
            update = self._update()
            for text in names[start : start + MOST_NAMES]:
                name = dns.name.from_text(text)
                for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
                    values = [value for value in records[text] if (":" in value) == (kind == dns.rdatatype.AAAA)]
                    if values:
                        update.replace(name, ttls.get(text, 60), kind, *values)
                    elif kind == dns.rdatatype.A or any(":" in value for value in records[text]):
                        update.delete(name, kind)
            self._send(update, within or self._config.timeout)

    def _send(self, update: dns.update.UpdateMessage, within: timedelta) -> None:
        try:
            answer = dns.query.tcp(update, str(self._server.server), within.total_seconds(), self._server.port)
        except dns.tsig.PeerError as error:
            raise Permanent(f"{self.where}: the key is refused: {error}", hint=self._key_hint()) from None
        except OSError as error:
            if error.errno in (errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH):
                raise Transient(f"{self.where}: {_why(error)}") from None
            raise EffectUnknown(f"{self.where}: {_why(error)}") from None
        except (EOFError, dns.exception.DNSException) as error:
            raise EffectUnknown(f"{self.where}: no answer to the update: {_why(error)}") from None
        if answer.rcode() != dns.rcode.NOERROR:
            raise self._refused(f"the update of {self._config.zone}", answer.rcode())

    def _update(self) -> dns.update.UpdateMessage:
        return dns.update.UpdateMessage(self._config.zone, **self._signed())  # type: ignore[arg-type]  # its own keyword arguments

    def _signed(self) -> dict[str, object]:
        tsig = self._config.tsig
        keyring = dns.tsigkeyring.from_text({tsig.name: self._secrets.get(tsig.key)})
        return {"keyring": keyring, "keyname": dns.name.from_text(tsig.name), "keyalgorithm": dns.name.from_text(tsig.algorithm)}

    def _refused(self, what: str, rcode: dns.rcode.Rcode | None) -> Permanent | Transient:
        text = "no reason given" if rcode is None else dns.rcode.to_text(rcode)
        if rcode in _REFUSED:
            return Permanent(f"{self.where}: {what} is refused: {text}", hint=self._key_hint())
        return Transient(f"{self.where}: {what} failed: {text}")

    def _key_hint(self) -> str:
        return f"allow the key {self._config.tsig.name} to transfer and update {self._config.zone} there"


def _why(error: BaseException) -> str:
    if isinstance(error, dns.exception.Timeout | TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return type(error).__name__
