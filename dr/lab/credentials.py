"""What the lab makes up afresh at every start: passwords, tokens, keys, its own authority and a certificate for every public name."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dr.errors import LabError
from dr.lab.account import own
from dr.lab.layout import Deployment, Layout

POSTGRES_ADMIN = "postgres-admin"
POSTGRES_DR = "postgres"
POSTGRES_RUNTIME = "postgres-runtime"
CONTROL = "control"
TSIG = "tsig"
LINK = "link"
REGISTRY = "registry"
REGISTRY_USER = "dr"
REGISTRY_NAME = "registry.dr.test"
MARKER = "marker"
FERNET = "fernet"
OPENBAO = "openbao"
OPENBAO_RUNTIME = "openbao-runtime"
AUTHORITY_KEY = "ca.key"
_VALID = timedelta(days=30)
_BACKDATED = timedelta(hours=1)


def write_private(path: Path, content: str | bytes) -> None:
    """A file that only its owner may read, from its first moment on; replaced as a whole."""
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content.encode() if isinstance(content, str) else content)
    new.replace(path)


def make_secrets(layout: Layout) -> None:
    """New random secrets for a new lab, 0600 in a 0700 directory."""
    own(layout.secrets, None)
    for name in (POSTGRES_ADMIN, POSTGRES_DR, POSTGRES_RUNTIME, CONTROL, LINK, REGISTRY):
        write_private(layout.secret(name), secrets.token_urlsafe(24) + "\n")
    write_private(layout.secret(TSIG), base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
    for name in (FERNET, *(f"{role}-{region.name}" for role in (OPENBAO, OPENBAO_RUNTIME) for region in layout.regions)):
        write_private(layout.secret(name), secrets.token_urlsafe(24) + "\n")


def make_pull_secrets(layout: Layout, deployments: Iterable[Deployment]) -> None:
    """A user of the registries for each Deployment, in a file each: ``username``, ``password`` and ``registry`` as JSON.

    The registry's name is the same in both regions: each resolves it to its own.
    """
    for old in layout.secrets.glob("pull-*.json"):
        old.unlink()
    for item in deployments:
        fields = {"username": item.id, "password": secrets.token_urlsafe(24), "registry": REGISTRY_NAME}
        write_private(layout.secret(f"{item.pull_secret.replace('/', '-')}.json"), json.dumps(fields) + "\n")


def read_pull_secrets(layout: Layout) -> dict[str, dict[str, str]]:
    """The fields of each pull secret, by its name."""
    found = sorted(layout.secrets.glob("pull-*.json"))
    return {path.stem.replace("-", "/", 1): json.loads(path.read_text(encoding="utf-8")) for path in found}


def fernet_key(layout: Layout, deployment: Deployment) -> str:
    """A Deployment's own Fernet key: each part of the lab that needs it derives the same one, whoever comes first."""
    key = hmac.new(read_secret(layout, FERNET).encode(), deployment.id.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(key).decode()


def read_secret(layout: Layout, name: str) -> str:
    """The value of one of the lab's own secrets."""
    return layout.secret(name).read_text(encoding="utf-8").strip()


@dataclass(frozen=True)
class Authority:
    """The lab's certificate authority; lives as long as the lab."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    now: datetime

    @classmethod
    def create(cls, layout: Layout, now: datetime) -> Authority:
        """Makes a new one and writes ``ca.pem`` and ``ca.key``."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dr lab authority")])
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
            key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        certificate = (
            _builder(name, name, key, now)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        layout.authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        write_private(layout.secret(AUTHORITY_KEY), _private(key))
        return cls(key, certificate, now)

    @classmethod
    def load(cls, layout: Layout, now: datetime) -> Authority:
        """The lab's own, as it was written; what it issues now begins at ``now``, which may be long ago.

        Raises:
            LabError: it is not there.
        """
        try:
            key = serialization.load_pem_private_key(layout.secret(AUTHORITY_KEY).read_bytes(), None)
            certificate = x509.load_pem_x509_certificate(layout.authority.read_bytes())
        except OSError as error:
            raise LabError(f"the lab's authority cannot be read: {error.strerror}", hint="dr lab up makes it") from error
        assert isinstance(key, ec.EllipticCurvePrivateKey), "the lab makes no other"
        return cls(key, certificate, now)

    def issue(self, folder: Path, names: Iterable[str], also: Mapping[str, str] | None = None) -> None:
        """Writes ``<name>.pem`` (key, certificate) for host names and IP addresses; one key serves all of a folder.

        Args:
            also: a second name that the certificate of a name is good for.
        """
        own(folder, None)
        for old in folder.glob("*.pem"):
            old.unlink()
        self.replace(folder, names, also)

    def replace(self, folder: Path, names: Iterable[str], also: Mapping[str, str] | None = None) -> None:
        """The same for some names, with a new key; what the folder has for others stays."""
        key = ec.generate_private_key(ec.SECP256R1())
        private = _private(key)
        for name in names:
            served = [name, *([also[name]] if also and name in also else [])]
            write_private(folder / f"{name}.pem", private + self._certificate(served, key).public_bytes(serialization.Encoding.PEM))

    def _certificate(self, names: Sequence[str], key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        """For some names; the first one is its subject."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        return (
            _builder(subject, self.certificate.subject, key, self.now)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _VALID)
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
