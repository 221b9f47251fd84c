"""What is a good certificate, and what is said of one that is not. Files are real, the clock is the test's."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from dr.lab import certificates as spoiling
from dr.lab.credentials import Authority
from dr.lab.layout import Layout, deployments
from dr.providers.selfhosted.certificates.files import flaws, in_folder
from dr.providers.selfhosted.certificates.judge import Flaw, covers
from dr.providers.selfhosted.certificates.read import Certificates, Place
from tests.certificates.authority import LONG, NOW, Signer, private, public

NAME = "app.example.test"
MARGIN = timedelta(days=14)


@pytest.fixture
def root() -> Signer:
    return Signer("root")


@pytest.fixture
def reader(tmp_path: Path, root: Signer) -> Certificates:
    (tmp_path / "ca.pem").write_bytes(public(root.certificate))
    return Certificates(tmp_path / "ca.pem")


def look(reader: Certificates, folder: Path, name: str = NAME, *, keys: bool = True) -> Flaw | None:
    found = flaws(reader, in_folder(folder), [name], "west", NOW, MARGIN, key_wanted=keys)
    return found[0] if found else None


def fact(reader: Certificates, folder: Path, name: str = NAME, *, keys: bool = True) -> str:
    """What is said; unusable unless it says so."""
    found = look(reader, folder, name, keys=keys)
    return "" if found is None else found.fact + (" (usable)" if found.usable else "")


def test_a_good_one(reader: Certificates, root: Signer, tmp_path: Path) -> None:
    """Key, name, authority and time: nothing to say."""
    root.write(tmp_path / f"{NAME}.pem")
    assert fact(reader, tmp_path) == ""


@pytest.mark.parametrize(
    ("names", "name", "good"),
    [
        (["app.example.test"], "app.example.test", True),
        (["APP.example.test"], "app.EXAMPLE.test", True),
        (["*.example.test"], "app.example.test", True),
        (["*.example.test"], "a.app.example.test", False),
        (["*.example.test"], "example.test", False),
        (["other.example.test"], "app.example.test", False),
        (["other.example.test", "app.example.test"], "app.example.test", True),
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1"], "127.0.0.2", False),
    ],
)
def test_names(reader: Certificates, root: Signer, tmp_path: Path, names: list[str], name: str, good: bool) -> None:
    """A wildcard is good for one label; the subject's common name counts for nothing."""
    root.write(tmp_path / f"{name}.pem", *names)
    assert fact(reader, tmp_path, name) == ("" if good else "the certificate there is for other names")


def test_a_wildcard_is_no_address() -> None:
    """RFC 6125: an address is in the certificate as an address, or not at all."""
    assert not covers(frozenset({"*.0.0.1"}), "127.0.0.1")


@pytest.mark.parametrize(
    ("since", "until", "text"),
    [
        (-LONG, timedelta(days=15), ""),
        (-LONG, timedelta(days=13), "certificate expires in 312h00m (usable)"),
        (-LONG, timedelta(0), "certificate expired on 2026-03-01 12:00 UTC"),
        (-LONG, -timedelta(days=1), "certificate expired on 2026-02-28 12:00 UTC"),
        (timedelta(days=1), LONG, "the certificate is not valid before 2026-03-02 12:00 UTC"),
    ],
)
def test_times(reader: Certificates, root: Signer, tmp_path: Path, since: timedelta, until: timedelta, text: str) -> None:
    """Soon to end is worth a warning; over is over; not yet is as bad."""
    root.write(tmp_path / f"{NAME}.pem", since=NOW + since, until=NOW + until)
    assert fact(reader, tmp_path) == text


def test_what_is_not_there(reader: Certificates, tmp_path: Path) -> None:
    """Told apart: no file, no certificate in it, a file that cannot be read."""
    found = look(reader, tmp_path)
    assert found is not None and found.absent and found.fact == "no certificate"
    assert str(found) == f"{NAME}: no certificate in west" and found.fix == f"install a new certificate for {NAME} in west"
    for text in (b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        (tmp_path / f"{NAME}.pem").write_bytes(text)
        assert fact(reader, tmp_path) == f"{NAME}.pem holds no certificate"
    (tmp_path / f"{NAME}.pem").unlink()
    (tmp_path / f"{NAME}.pem").mkdir()
    assert fact(reader, tmp_path) == "certificate cannot be read: Is a directory"


def test_the_key_must_be_its_own(reader: Certificates, root: Signer, tmp_path: Path) -> None:
    """Another key, none, one that cannot be read; where keys are kept elsewhere none is wanted, but a wrong one is still wrong."""
    path = tmp_path / f"{NAME}.pem"
    pem, key = root.leaf(NAME)
    path.write_bytes(pem + private(key))
    assert fact(reader, tmp_path) == ""
    path.write_bytes(private(ec.generate_private_key(ec.SECP256R1())) + pem)
    assert fact(reader, tmp_path) == fact(reader, tmp_path, keys=False) == "certificate and key do not belong together"
    path.write_bytes(pem)
    assert fact(reader, tmp_path) == "the certificate has no key"
    assert fact(reader, tmp_path, keys=False) == ""
    rsa_key = rsa.generate_private_key(65537, 2048)
    path.write_bytes(rsa_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()) + pem)
    assert fact(reader, tmp_path) == "certificate and key do not belong together"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")) + pem)
    assert fact(reader, tmp_path) == f"the key with {NAME}.pem cannot be read"


def test_a_key_in_a_file_of_its_own(reader: Certificates, root: Signer, tmp_path: Path) -> None:
    """As cert-manager and others lay them out."""
    pem, key = root.leaf(NAME)
    place = Place(tmp_path / "tls.crt", tmp_path / "tls.key")
    place.certificate.write_bytes(pem)
    assert reader.read(place).key is None
    (tmp_path / "tls.key").write_bytes(private(key))
    assert reader.read(place).key is True


def test_the_chain_must_lead_to_the_authority(reader: Certificates, root: Signer, tmp_path: Path) -> None:
    """Through intermediates that came with it; not of a stranger with the same name, not signed by who may not sign."""
    path = tmp_path / f"{NAME}.pem"
    middle = Signer("middle", root)
    pem, key = middle.leaf(NAME)
    path.write_bytes(private(key) + pem)
    assert fact(reader, tmp_path) == "the certificate is not trusted: CN=middle is not of the authority ca.pem"
    path.write_bytes(private(key) + pem + public(middle.certificate))
    assert fact(reader, tmp_path) == ""
    for stranger in (Signer("root"), Signer("elsewhere")):
        stranger.write(path)
        assert "is not trusted" in fact(reader, tmp_path)
    nobody = Signer("middle", root, may_sign=False)
    pem, key = nobody.leaf(NAME)
    path.write_bytes(private(key) + pem + public(nobody.certificate))
    assert "CN=middle is not of the authority" in fact(reader, tmp_path)


def test_an_issuer_that_ends_first(reader: Certificates, root: Signer, tmp_path: Path) -> None:
    """A good certificate under an issuer that has expired is refused by every client: said of the issuer."""
    for days, text in ((-1, "expired on 2026-02-28"), (5, "expires in 120h00m (usable)")):
        middle = Signer("middle", root, until=NOW + timedelta(days=days))
        pem, key = middle.leaf(NAME)
        (tmp_path / f"{NAME}.pem").write_bytes(private(key) + pem + public(middle.certificate))
        assert f"its issuer's certificate (CN=middle) {text}" in fact(reader, tmp_path)


def test_the_worst_is_said_and_what_is_more(reader: Certificates, root: Signer, tmp_path: Path) -> None:
    """Wrong name and expired: both, because renewing would not help."""
    root.write(tmp_path / f"{NAME}.pem", "other.test", until=NOW - LONG / 2)
    assert fact(reader, tmp_path) == "the certificate there is for other names; certificate expired on 2026-01-15 12:00 UTC"


def test_a_missing_authority_is_said(tmp_path: Path, root: Signer) -> None:
    """Nothing is trusted then."""
    root.write(tmp_path / f"{NAME}.pem")
    assert "ca.pem is not there" in fact(Certificates(tmp_path / "ca.pem"), tmp_path)


def test_each_file_is_parsed_once_and_a_new_one_counts_at_once(
    reader: Certificates, root: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading again costs no parsing, so hundreds can be looked at every second; a renewal, and another authority, are seen."""
    path, parsed = tmp_path / f"{NAME}.pem", list[str]()
    original = Path.read_bytes

    def counted(path: Path) -> bytes:
        parsed.append(path.name)
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    root.write(path, until=NOW - LONG / 2)
    for _ in range(3):
        assert "expired" in fact(reader, tmp_path)
    assert parsed == [f"{NAME}.pem", "ca.pem"]
    root.write(path)
    os.utime(path, ns=(1, 1))
    assert fact(reader, tmp_path) == ""
    assert parsed == [f"{NAME}.pem", "ca.pem", f"{NAME}.pem"]
    (tmp_path / "ca.pem").write_bytes(public(Signer("root").certificate))
    os.utime(tmp_path / "ca.pem", ns=(1, 1))
    assert "is not trusted" in fact(reader, tmp_path)


@pytest.mark.parametrize(("what", "said"), [(spoiling.MISSING, "no certificate"), (spoiling.EXPIRED, "certificate expired on")])
def test_what_the_lab_spoils_is_found(tmp_path: Path, what: str, said: str) -> None:
    """One name of one region, and no other; the authority stays the lab's."""
    layout = Layout(tmp_path, tmp_path)
    layout.secrets.mkdir()
    names = [name for item in deployments(2) for name in item.hostnames]
    authority = Authority.create(layout, NOW)
    for region in layout.regions:
        authority.issue(region.tls, names)
    spoiling.spoil(layout, layout.region("west"), what, NOW)
    reader = Certificates(layout.authority)
    found = {
        region.name: flaws(reader, in_folder(region.tls), names, region.name, NOW, MARGIN, key_wanted=True) for region in layout.regions
    }  # fmt: skip
    assert found["east"] == ()
    [flaw] = found["west"]
    assert flaw.hostname == spoiling.VICTIM and flaw.fact.startswith(said) and not flaw.usable
