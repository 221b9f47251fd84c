"""Certificates: every public name has one that a strict client accepts."""

from __future__ import annotations

import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path
from socket import socketpair

import pytest

from dr.lab.credentials import Authority
from dr.lab.layout import Layout

NAME, ADDRESS = "quiet-comet-001.ui.dr.test", "127.0.10.1"


@pytest.fixture
def lab(tmp_path: Path) -> Layout:
    """Shadows the lab of servers: certificates only."""
    layout = Layout(tmp_path, tmp_path)
    layout.secrets.mkdir(mode=0o700)
    Authority.create(layout, datetime.now(UTC)).issue(layout.region("east").tls, (NAME, ADDRESS))
    return layout


def _handshake(lab: Layout, certificate: str, asked: str) -> None:
    """A TLS handshake over a socket pair; raises what the client raises."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(lab.region("east").tls / f"{certificate}.pem")
    client = ssl.create_default_context(cafile=str(lab.authority))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    near, far = socketpair()

    def answer() -> None:
        try:
            with server.wrap_socket(far, server_side=True) as connection:
                connection.recv(1)
        except (ssl.SSLError, OSError):
            far.close()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with client.wrap_socket(near, server_hostname=asked) as connection:
            connection.send(b"x")
    finally:
        near.close()
        thread.join(10)


def test_strict_client_accepts_name_and_address(lab: Layout) -> None:
    """OpenSSL's strict checks accept the certificate of a host name and that of an IP address."""
    _handshake(lab, NAME, NAME)
    _handshake(lab, ADDRESS, ADDRESS)
    assert (lab.region("east").tls / f"{NAME}.pem").stat().st_mode & 0o777 == 0o600


def test_certificate_is_good_for_its_own_name_only(lab: Layout) -> None:
    """Another name is refused."""
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(lab, NAME, "quiet-comet-002.ui.dr.test")


def test_next_lab_leaves_no_certificate_of_the_last_one(lab: Layout) -> None:
    """Issuing again removes what was there: a missing certificate must be missing."""
    Authority.create(lab, datetime.now(UTC)).issue(lab.region("east").tls, ("other.ui.dr.test",))
    assert [path.name for path in lab.region("east").tls.iterdir()] == ["other.ui.dr.test.pem"]
