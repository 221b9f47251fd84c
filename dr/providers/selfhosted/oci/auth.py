"""How a request shows who asks: basic authentication, or the token that a registry's own token service gives for it.

A registry says what it wants in ``WWW-Authenticate`` of its first answer (distribution specification, "token authentication").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from threading import Lock
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

from dr.providers.selfhosted.oci.access import Denied, Login

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_REPOSITORY = re.compile(r"/v2/(.+)/(?:manifests|blobs|tags)/")
_READS = ("GET", "HEAD")
_TOKEN_SECONDS = 60.0
"""What a token lasts where the service does not say."""
_LEFT_SECONDS = 5.0


class _Token(NamedTuple):
    value: str
    until: float


class RegistryAuth(httpx.Auth):
    """Of one user of one registry, for all threads. Credentials go to the registry itself and to the token service that it names.

    Args:
        origin: scheme, host and port of the registry.
        login: None: nobody in particular.
        monotonic: seconds that never go back.
    """

    def __init__(self, origin: str, login: Login | None, monotonic: Callable[[], float]) -> None:
        self._origin, self._login, self._monotonic = httpx.URL(origin), login, monotonic
        self._basic = httpx.BasicAuth(login.username, login.password) if login else None
        self._is_basic = False
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self._lock = Lock()

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sends with what is known, and once more with what the registry asks for. Raises Denied."""
        if (request.url.scheme, request.url.host, request.url.port) != (self._origin.scheme, self._origin.host, self._origin.port):
            yield request  # a place that the registry sent us to: its address is the credential
            return
        key = _key(request)
        known = self._known(key)
        if known:
            request.headers["Authorization"] = known
        response = yield request
        if response.status_code != 401 or not _can_be_sent_again(request):
            return
        challenges = response.headers.get_list("www-authenticate")
        bearer = next((text for text in challenges if text.lower().startswith("bearer ")), None)
        if bearer is not None:
            asked, login = self._ask(bearer), self._login
            answer = yield asked
            answer.read()
            request.headers["Authorization"] = "Bearer " + self._keep(key, answer, login)
        elif self._basic is not None and not known and any(text.lower().startswith("basic") for text in challenges):
            self._is_basic = True
            request.headers["Authorization"] = self._basic_header()
        else:
            return
        yield request

    def _known(self, key: tuple[str, ...]) -> str:
        if self._is_basic:
            return self._basic_header()
        with self._lock:
            token = self._tokens.get(key)
        return f"Bearer {token.value}" if token is not None and token.until > self._monotonic() else ""

    def _basic_header(self) -> str:
        assert self._basic is not None, "only who has a login speaks basic"
        probe = httpx.Request("GET", self._origin)
        next(self._basic.sync_auth_flow(probe))
        return probe.headers["Authorization"]

    def _ask(self, challenge: str) -> httpx.Request:
        """The request for a token."""
        said = dict(_PARAMETER.findall(challenge))
        realm = urlsplit(said.get("realm", ""))
        if not realm.hostname or (self._origin.scheme == "https" and realm.scheme != "https"):
            raise Denied(f"{self._origin} names a token service that cannot be trusted: {realm.scheme}://{realm.hostname or ''}")
        query = {name: said[name] for name in ("service", "scope") if said.get(name)}
        request = httpx.Request("GET", httpx.URL(said["realm"]).copy_merge_params(query))
        if self._basic is not None:
            request.headers["Authorization"] = self._basic_header()
        return request

    def _keep(self, key: tuple[str, ...], answer: httpx.Response, login: Login | None) -> str:
        """The token of a token service's answer. Raises Denied."""
        who = login.username if login else "an anonymous user"
        if answer.status_code != 200:
            raise Denied(f"the token service {answer.url.host} gives {who} no token: HTTP {answer.status_code}")
        try:
            said = answer.json()
            value, lasts = str(said.get("token") or said["access_token"]), float(said.get("expires_in") or _TOKEN_SECONDS)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Denied(f"the token service {answer.url.host} gives {who} no token that can be read") from None
        with self._lock:
            self._tokens[key] = _Token(value, self._monotonic() + max(0.0, lasts - _LEFT_SECONDS))
        return value


def _key(request: httpx.Request) -> tuple[str, ...]:
    """What a token is good for: a repository, reading or writing, and where a blob is mounted from."""
    match = _REPOSITORY.match(request.url.path)
    action = "read" if request.method in _READS else "write"
    return (match.group(1) if match else "", action, str(request.url.params.get("from", "")))


def _can_be_sent_again(request: httpx.Request) -> bool:
    """A body that is read while it is sent is gone afterwards."""
    return isinstance(request.stream, httpx.ByteStream)
