"""Reads certificates: from PEM files, each parsed once as long as it is not changed, and from what an endpoint shows for a name.

Private keys are looked at only to see whether they belong to their certificate; nothing of one is kept.
``cryptography`` costs 70 ms to import, so it is imported with the first certificate.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from dr.errors import Permanent, Transient
from dr.providers.selfhosted.certificates.judge import Shown

if TYPE_CHECKING:
    from cryptography import x509

_BEGIN = b"-----BEGIN CERTIFICATE-----"
_KEY = b"PRIVATE KEY-----"
_LONGEST_CHAIN = 8

_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Place:
    """Where a hostname's certificate lies, and its key where that is in a file of its own."""

    certificate: Path
    key: Path | None = None


class Certificates:
    """PEM files and endpoints, judged against one authority. Safe to use from several threads.

    Args:
        authority: PEM file with the certificates that are trusted; None: whether a chain leads anywhere is not asked.
    """

    def __init__(self, authority: Path | None) -> None:
        self._authority = authority
        self._known: dict[Place, tuple[tuple[_Stamp | None, ...], Shown]] = {}
        self._trusted: tuple[_Stamp, tuple[x509.Certificate, ...]] | None = None
        self._lock = Lock()

    def read(self, place: Place) -> Shown:
        """What lies in a file. Cheap while the files are as they were.

        Raises:
            FileNotFoundError: there is no certificate.
            OSError: it cannot be read.
            ValueError: it holds no certificate, or a key that cannot be read; says so in words.
        """
        stamps = (_stamp(place.certificate), _stamp(place.key), _stamp(self._authority))
        known = self._known.get(place)
        if known is not None and known[0] == stamps:
            return known[1]
        data = place.certificate.read_bytes()
        key = data if place.key is None else place.key.read_bytes() if stamps[1] is not None else b""
        shown = self._judged(_certificates(data, place.certificate.name), key, place.certificate.name)
        with self._lock:
            self._known[place] = (stamps, shown)
        return shown

    def served(self, address: str, port: int, hostname: str, timeout: float) -> Shown | None:
        """What an endpoint shows when it is asked by address for a name; None where it shows nothing for that name.

        The chain is the system library's to verify; where it refuses, what was shown is judged without intermediates.

        Raises:
            Transient: not reachable. Permanent: the authority cannot be read.
        """
        from cryptography import x509

        shown, why = self._handshake(address, port, hostname, timeout)
        if shown is None:
            return None
        try:
            found = self._judged([x509.load_der_x509_certificate(shown)], b"", hostname)
        except ValueError:
            return None
        # an issuer that is between it and the authority is known to the handshake only
        return replace(found, untrusted=why, key=True)

    def _handshake(self, address: str, port: int, hostname: str, timeout: float) -> tuple[bytes | None, str]:
        """The certificate (DER) that was shown, and why it was refused (empty: it was not)."""
        context = self._context()
        try:
            return _shake(context, address, port, hostname, timeout), ""
        except ssl.SSLCertVerificationError as error:
            expired = error.verify_code in (9, 10)  # not yet valid, expired: the dates say that better
            named = error.verify_code in (62, 63, 64)  # another name: the names say that better
            why = "" if expired or named else error.verify_message
        except ssl.SSLError:
            return None, ""
        except OSError as error:
            raise Transient(f"{address}:{port}: not reachable: {error.strerror or type(error).__name__}") from error
        loose = ssl.create_default_context()  # to look at what was refused; nothing is said to it
        loose.check_hostname = False
        loose.verify_mode = ssl.CERT_NONE
        try:
            return _shake(loose, address, port, hostname, timeout), why
        except OSError as error:
            raise Transient(f"{address}:{port}: not reachable: {error.strerror or type(error).__name__}") from error

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=None if self._authority is None else str(self._authority))
        except (OSError, ssl.SSLError) as error:
            text = f"{self._authority} holds no certificate authority"
            raise Permanent(text, hint="check certificate_authority in the runbook") from error

    def _judged(self, chain: Sequence[x509.Certificate], key: bytes, name: str) -> Shown:
        leaf = chain[0]
        issuers, untrusted = self._issuers(leaf, chain[1:])
        first = min((leaf, *issuers), key=lambda item: item.not_valid_after_utc)
        return Shown(
            names=_names(leaf, name), since=max(item.not_valid_before_utc for item in (leaf, *issuers)), until=first.not_valid_after_utc,
            first="certificate" if first is leaf else f"its issuer's certificate ({_common_name(first)})", untrusted=untrusted,
            key=_belongs(key, leaf, name),
        )  # fmt: skip

    def _issuers(self, leaf: x509.Certificate, offered: Sequence[x509.Certificate]) -> tuple[list[x509.Certificate], str]:
        """The certificates between one and the authority, that included; and why they do not lead there (empty: they do)."""
        if self._authority is None:
            return [], ""
        trusted = self._trust()
        issuers: list[x509.Certificate] = []
        current = leaf
        for _ in range(_LONGEST_CHAIN):
            if current in trusted:
                return issuers, ""
            issuer = next((item for item in (*trusted, *offered) if _issued(item, current)), None)
            if issuer is None:
                return issuers, f"{_issuer_name(current)} is not of the authority {self._authority.name}"
            issuers.append(issuer)
            current = issuer
        return issuers, "its chain of issuers does not end"

    def _trust(self) -> tuple[x509.Certificate, ...]:
        assert self._authority is not None, "asked only where there is one"
        stamp = _stamp(self._authority)
        if stamp is None:
            raise ValueError(f"the authority {self._authority} is not there")
        with self._lock:
            if self._trusted is None or self._trusted[0] != stamp:
                self._trusted = stamp, tuple(_certificates(self._authority.read_bytes(), self._authority.name))
            return self._trusted[1]


def _shake(context: ssl.SSLContext, address: str, port: int, hostname: str, timeout: float) -> bytes | None:
    with (
        socket.create_connection((address, port), timeout) as plain,
        context.wrap_socket(plain, server_hostname=hostname) as secure,
    ):
        return secure.getpeercert(binary_form=True)


def _stamp(path: Path | None) -> _Stamp | None:
    """What tells whether a file was changed; None where there is none."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)


def _certificates(data: bytes, name: str) -> list[x509.Certificate]:
    from cryptography import x509

    start = data.find(_BEGIN)  # the file may begin with the key
    try:
        found = x509.load_pem_x509_certificates(data[max(start, 0) :])
    except ValueError as error:
        raise ValueError(f"{name} holds no certificate") from error
    return found


def _names(certificate: x509.Certificate, name: str) -> frozenset[str]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise ValueError(f"{name} holds no certificate with names") from error
    hosts = (host.lower() for host in found.get_values_for_type(x509.DNSName))
    return frozenset((*hosts, *(str(address) for address in found.get_values_for_type(x509.IPAddress))))


def _belongs(data: bytes, leaf: x509.Certificate, name: str) -> bool | None:
    """Whether the private key in ``data`` is the certificate's; None where there is no key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if _KEY not in data:
        return None
    try:
        # only its public half is compared: whether an RSA key is sound is not asked, and would take 100 times as long
        key = load_pem_private_key(data, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"the key with {name} cannot be read") from None  # the message of the library may quote it
    return key.public_key() == leaf.public_key()


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether one certificate was signed by another, which may sign."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    if certificate.issuer != issuer.subject:
        return False
    try:
        if not issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return True


def _common_name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "without a name"


def _issuer_name(certificate: x509.Certificate) -> str:
    return certificate.issuer.rfc4514_string() or "its issuer"
