"""Talks to name servers: signed transfers (AXFR) and signed updates (RFC 2136), over TCP.

An update is all or nothing, and conditional on the zone's start-of-authority record as it was read: if anything in the zone changed in
between, the server refuses (NXRRSET), nothing has happened, and the zone is read again.
"""

from __future__ import annotations

import binascii
import socket
from collections.abc import Sequence
from datetime import timedelta

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update
import dns.xfr
import dns.zone

from dr.errors import CredentialMissing, EffectUnknown, Permanent, StepError, Transient
from dr.ports import Secrets
from dr.providers.selfhosted.dns.config import DnsConfig
from dr.providers.selfhosted.dns.records import Change, Key, RecordSet, ZoneCopy

LARGEST_MESSAGE = 65_000
"""Bytes of a message over TCP, less what the signature takes; about 1,500 names fit into one."""

_ADDRESS_TYPES = (dns.rdatatype.A, dns.rdatatype.AAAA)
_TRANSIENT = (dns.rcode.SERVFAIL,)


class NotAnswering(Transient):
    """A name server could not be asked, and nothing was done there. ``refused``: its host is up, the server is not."""

    def __init__(self, message: str, *, refused: bool = False, late: bool = False) -> None:
        super().__init__(message, late=late)
        self.refused = refused


class ZoneChanged(Transient):
    """Somebody else changed the zone in between: nothing was done."""


class NameServers:
    """The regions' servers of one zone. Opens a connection for each exchange; safe to use from several threads."""

    def __init__(self, component: str, config: DnsConfig, secrets: Secrets) -> None:
        self._component, self._config, self._secrets = component, config, secrets
        self._zone = dns.name.from_text(config.zone)

    def read(self, region: str, timeout: timedelta | None = None) -> ZoneCopy:
        """The zone as a region's server has it, by signed transfer.

        Raises:
            NotAnswering: no server, or no answer in time. Permanent: it does not let us.
        """
        where, key = self._where(region), self._key()
        limit = (timeout or self._config.answer_timeout).total_seconds()
        server = self._config.regions[region]
        zone = dns.zone.Zone(self._zone, relativize=False)
        query, _ = dns.xfr.make_query(zone, serial=None, keyring=key)
        problem: StepError
        try:
            dns.query.inbound_xfr(server.server, zone, query, port=server.port, timeout=limit, lifetime=limit)
            return _copy(zone, self._zone)
        except ConnectionRefusedError:
            problem = NotAnswering(f"{where}: connection refused", refused=True)
        except (dns.exception.Timeout, TimeoutError):
            problem = NotAnswering(f"{where}: no answer within {limit:g} s", late=True)
        except (EOFError, OSError) as error:
            problem = NotAnswering(f"{where}: {_short(error)}")
        except dns.exception.DNSException as error:
            problem = Permanent(f"{where} refuses the transfer of {self._config.zone}: {_short(error)}", hint=self._hint())
        raise problem

    def update(self, region: str, copy: ZoneCopy, changes: Sequence[Change], timeout: timedelta | None = None) -> int:
        """Sends as many of the changes as one message holds, on condition that the zone is as in ``copy``; how many that were.

        No changes at all is an update that only checks condition and signature.

        Raises:
            ZoneChanged, NotAnswering: nothing was done. EffectUnknown: it may have been. Permanent: the server does not let us.
        """
        key, count = self._key(), fitting(self._config.zone, copy, changes)
        message = build(self._config.zone, copy, changes[:count])
        message.use_tsig(key)
        self._accepted(region, self._exchange(region, message, (timeout or self._config.answer_timeout).total_seconds()))
        return count

    def _exchange(self, region: str, message: dns.update.UpdateMessage, limit: float) -> dns.message.Message:
        server, where = self._config.regions[region], self._where(region)
        try:
            connection = socket.create_connection((server.server, server.port), limit)
        except ConnectionRefusedError:
            raise NotAnswering(f"{where}: connection refused", refused=True) from None
        except OSError as error:
            raise NotAnswering(f"{where}: {_short(error)}") from None
        problem: StepError
        with connection:
            connection.setblocking(False)
            try:
                return dns.query.tcp(message, server.server, timeout=limit, sock=connection)
            except dns.tsig.PeerError as error:
                problem = Permanent(f"{where} does not accept the signature: {_short(error)}", hint=self._hint())
            except (dns.exception.DNSException, EOFError, OSError) as error:
                problem = EffectUnknown(f"{where}: an update was sent and not acknowledged: {_short(error)}")
        raise problem

    def _accepted(self, region: str, answer: dns.message.Message) -> None:
        code, where = answer.rcode(), self._where(region)
        if code == dns.rcode.NOERROR:
            return
        if code in (dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN):
            raise ZoneChanged(f"{where}: {self._config.zone} was changed by somebody else in between")
        text = f"{where} answers an update of {self._config.zone} with {dns.rcode.to_text(code)}"
        if code in _TRANSIENT:
            raise Transient(text, hint="see that server's log")
        raise Permanent(text, hint=self._hint())

    def _key(self) -> dns.tsig.Key:
        tsig = self._config.tsig
        try:
            return dns.tsig.Key(tsig.name, self._secrets.get(tsig.key), f"{tsig.algorithm}.")
        except CredentialMissing as error:
            problem = Permanent(error.message, hint=error.hint)
        except (binascii.Error, ValueError):
            problem = Permanent(f"{self._component}: the TSIG key {tsig.name} is not base64", hint="write it as the name server does")
        raise problem

    def _hint(self) -> str:
        return f"the server must let the key {self._config.tsig.name} transfer and update {self._config.zone}"

    def _where(self, region: str) -> str:
        server = self._config.regions[region]
        return f"{self._component} in {region} ({server.server}:{server.port})"


def fitting(zone: str, copy: ZoneCopy, changes: Sequence[Change]) -> int:
    """How many of the changes go into one message: all of them up to the limit, else as many as halving finds."""
    count = len(changes)
    # without compression a record takes its name and at most 30 bytes; only what may be too large is worth writing out to see
    while sum((len(item.name) + 30) * (len(item.remove) + len(item.add)) for item in changes[:count]) > LARGEST_MESSAGE:
        try:
            build(zone, copy, changes[:count]).to_wire(max_size=LARGEST_MESSAGE)
            break
        except dns.exception.TooBig:
            count = (count + 1) // 2
    return count


def build(zone: str, copy: ZoneCopy, changes: Sequence[Change]) -> dns.update.UpdateMessage:
    """One update with all changes, on condition that the zone's start of authority is the one of ``copy``. Not signed yet."""
    message = dns.update.UpdateMessage(zone, rdclass=dns.rdataclass.IN)
    message.present(dns.name.from_text(zone), dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.SOA, copy.soa))
    addresses = {(change.type, address) for change in changes for address in (*change.remove, *change.add)}
    # the library's own add() and delete() parse each address and search the message each time: 27 ms instead of 7 for 240 names
    data = {key: dns.rdata.from_text(dns.rdataclass.IN, key[0], key[1]) for key in addresses}
    for change in changes:
        name, kind = dns.name.from_text(change.name), dns.rdatatype.from_text(change.type)
        if change.remove:
            gone = dns.rrset.RRset(name, dns.rdataclass.IN, kind, deleting=dns.rdataclass.NONE)
            message.update.append(_filled(gone, [data[(change.type, address)] for address in sorted(change.remove)], 0))
        if change.add:
            new = dns.rrset.RRset(name, dns.rdataclass.IN, kind)
            message.update.append(_filled(new, [data[(change.type, address)] for address in sorted(change.add)], change.ttl))
    return message


def _filled(records: dns.rrset.RRset, data: Sequence[dns.rdata.Rdata], ttl: int) -> dns.rrset.RRset:
    for item in data:
        records.add(item, ttl)
    return records


def _copy(zone: dns.zone.Zone, origin: dns.name.Name) -> ZoneCopy:
    sets: dict[Key, RecordSet] = {}
    servers: set[str] = set()
    for name, kept in zone.iterate_rdatasets():
        text = name.to_text(omit_final_dot=True).lower()
        if kept.rdtype in _ADDRESS_TYPES:
            kind = dns.rdatatype.to_text(kept.rdtype)
            sets[(text, kind)] = RecordSet(text, kind, kept.ttl, frozenset(data.address for data in kept))
        elif kept.rdtype == dns.rdatatype.NS:
            servers.update(data.target.to_text(omit_final_dot=True).lower() for data in kept)
    soa = zone.find_rdataset(origin, dns.rdatatype.SOA)
    return ZoneCopy(soa[0].to_text(), soa.ttl, sets, frozenset(servers))


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:200]
