"""Registries that want a token of their own token service for each repository and action, as those of the clouds do."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from dr.lab.platform.images import image
from dr.ports import Look
from tests.images.rig import ADDRESS, PASSWORD, PULL, Pair, facts, pull_secret, use
from tests.postgres.rig import free_port, new_place

pytestmark = pytest.mark.lab


class TokenService:
    """Gives tokens for what is asked, to users with the right password; pull users may only pull."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "token service")])
        now = datetime.now(UTC)
        self.certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
            .serial_number(1).not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
            .sign(self.key, hashes.SHA256())
        )  # fmt: skip
        self.asked: list[str] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                user = service.user(self.headers.get("Authorization", ""))
                if user is None:
                    self.send_error(401)
                    return
                query = parse_qs(urlsplit(self.path).query)
                body = json.dumps({"token": service.token(user, query.get("scope", [])), "expires_in": 300}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def user(self, header: str) -> str | None:
        name, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        return name if (name, password) in (("dr", PASSWORD), ("d-001", PULL)) else None

    def token(self, user: str, scopes: list[str]) -> str:
        self.asked += scopes
        access = []
        for scope in (part for text in scopes for part in text.split(" ")):
            kind, name, actions = scope.split(":")
            allowed = [action for action in actions.split(",") if user == "dr" or action == "pull"]
            access.append({"type": kind, "name": name, "actions": allowed})
        now = int(datetime.now(UTC).timestamp())
        claims = {"iss": "test", "aud": "test", "sub": user, "exp": now + 300, "nbf": now - 60, "iat": now, "jti": "1", "access": access}
        der = base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()
        signed = f"{encoded({'typ': 'JWT', 'alg': 'RS256', 'x5c': [der]})}.{encoded(claims)}"
        return f"{signed}.{url64(self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def encoded(document: object) -> str:
    return url64(json.dumps(document).encode())


@pytest.fixture
def service() -> Iterator[TokenService]:
    made = TokenService()
    yield made
    made.end()


@pytest.fixture
def guarded(service: TokenService, patience: pytest.MonkeyPatch) -> Iterator[Pair]:
    """Two registries that believe the token service."""
    base, made = new_place(), None
    realm = f"http://127.0.0.1:{service.server.server_port}/token"
    auth = f"token: {{{{realm: '{realm}', service: test, issuer: test, rootcertbundle: {{folder}}/root.pem}}}}"
    root = service.certificate.public_bytes(serialization.Encoding.PEM).decode()
    try:
        made = Pair(base, free_port(list(ADDRESS.values()), 18710), auth=auth, files={"root.pem": root})
        yield made
    finally:
        if made is not None:
            made.end()
        shutil.rmtree(base, ignore_errors=True)


def test_copying_asks_for_the_tokens_that_it_needs_and_keeps_them(guarded: Pair, service: TokenService) -> None:
    """An index comes over; each sort of token is asked for a few times, not once for each request."""
    wanted = image(5)
    guarded.push("east", wanted)
    service.asked.clear()
    guarded.deployments.uses = {region: (use(1, wanted),) for region in ADDRESS}
    seen = guarded.step("prepare")
    assert seen.look is Look.DONE, seen.reason
    assert guarded.holds("west", wanted)
    assert any("pull,push" in scope or "push,pull" in scope for scope in service.asked)
    assert len(service.asked) < 60


def test_a_wrong_password_gets_no_token(guarded: Pair) -> None:
    """The service refuses: an error that names the Deployment, not its password."""
    for region in ADDRESS:
        guarded.push(region, image(1))
        guarded.deployments.uses[region] = (use(1, image(1)),)
    guarded.secrets.values = {**guarded.secrets.values, **pull_secret("d-001", "of-yesterday")}
    errors = facts(guarded.kind().view().findings, "error")
    assert len(errors) == 2
    assert all("gives d-001 no token: HTTP 401" in fact and "of-yesterday" not in fact for fact in errors)
