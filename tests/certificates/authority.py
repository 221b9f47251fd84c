"""An authority, an intermediate and certificates of every sort, made for one test."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG = timedelta(days=90)


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def private(key: Key) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def public(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@dataclass
class Signer:
    """Signs certificates: a root of its own, or an intermediate of another."""

    name: str
    issuer: Signer | None = None
    until: datetime = NOW + 10 * LONG
    may_sign: bool = True
    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        above = self.issuer or self
        self.certificate = (
            x509.CertificateBuilder().subject_name(_named(self.name)).issuer_name(_named(above.name)).public_key(self.key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(NOW - LONG).not_valid_after(self.until)
            .add_extension(x509.BasicConstraints(ca=self.may_sign, path_length=None), critical=True)
            .sign(above.key, hashes.SHA256())
        )  # fmt: skip

    def leaf(self, *names: str, since: datetime = NOW - LONG, until: datetime = NOW + LONG, key: Key | None = None) -> tuple[bytes, Key]:
        """A certificate for some names as PEM, and its key."""
        own = key or ec.generate_private_key(ec.SECP256R1())
        general = [x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names]
        certificate = (
            x509.CertificateBuilder().subject_name(_named("leaf")).issuer_name(_named(self.name)).public_key(own.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(since).not_valid_after(until)
            .add_extension(x509.SubjectAlternativeName(general), critical=False).sign(self.key, hashes.SHA256())
        )  # fmt: skip
        return public(certificate), own

    def write(self, path: Path, *names: str, since: datetime = NOW - LONG, until: datetime = NOW + LONG) -> None:
        """Key and certificate in one file, as the lab has them."""
        path.parent.mkdir(parents=True, exist_ok=True)
        pem, key = self.leaf(*(names or (path.stem,)), since=since, until=until)
        path.write_bytes(private(key) + pem)
