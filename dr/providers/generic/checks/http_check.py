"""The kind ``http-check``: URLs answer as they should, asked by address inside the target, or by name as anybody outside would."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from dr.errors import StepError, Transient
from dr.model.base import Json
from dr.model.plan import Touch
from dr.model.runbook import KindConfig
from dr.ports import AttemptContext, Site
from dr.providers.generic.checks import by_hand
from dr.providers.generic.checks.base import Check, CheckConfig, Headers
from dr.providers.generic.checks.by_hand import Scalar
from dr.providers.generic.checks.expect import Pointer, pointed
from dr.providers.generic.checks.names import Server, ServerText, authoritative, first_answer, parsed
from dr.providers.generic.checks.web import Answer, Request, Web
from dr.providers.regions import same_regions

_AT_ONCE = 8
_DNS_PORT = 53


class HttpCheckConfig(CheckConfig):
    """Settings of ``http-check``. All URLs are asked at once and all must answer as expected. Redirects are not followed."""

    urls: tuple[str, ...] = Field(min_length=1, description="http or https URLs")
    method: Literal["GET", "HEAD", "POST", "PUT", "OPTIONS"] = Field("GET", description="should change nothing: it is repeated")
    headers: Headers = Field({}, description='name: text, or {prefix: "Bearer ", file: PATH} or {env: NAME} for a secret')
    body: str | None = Field(None, description="sent as it is")
    status: tuple[int, ...] = Field((200,), min_length=1, description="any of these is good")
    contains: str | None = Field(None, description="a text that the body must contain")
    equals: dict[Pointer, Scalar] = Field(
        {}, description="JSON pointer: value that must stand there; {source} and {target} in a text are replaced"
    )
    route: Literal["inside", "outside"] = Field(
        "outside", description="inside: to the target's address under the URL's name; outside: to wherever the name leads"
    )
    addresses: dict[str, ServerText] = Field({}, description="region: address, for inside; with :PORT where it is not the URL's")
    resolvers: tuple[ServerText, ...] = Field(
        (), description="name servers to ask for outside; default: those of the runbook's dns-records, else this machine's resolver"
    )
    certificate_authority: str | None = Field(None, description="PEM file to trust, and nothing else; default: what this machine trusts")

    @field_validator("urls")
    @classmethod
    def _http(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
                raise ValueError("expected URLs such as https://app.example.com/health, without user and password")
        return value

    @model_validator(mode="after")
    def _route(self) -> Self:
        if self.route == "inside" and not self.addresses:
            raise ValueError("addresses: inside needs the address of each region")
        if self.route == "outside" and self.addresses:
            raise ValueError("addresses: are for route: inside")
        return self


class HttpCheck(Check):
    """URLs answer with the right status, text or JSON values. Protects nothing; says whether something works for who uses it.

    Inside proves a region before names lead there; outside proves what everybody sees.
    """

    kind: ClassVar[str] = "http-check"
    Config: ClassVar[type[KindConfig]] = HttpCheckConfig
    service: ClassVar[str] = "http"

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, HttpCheckConfig), "the registry gives each kind its own Config"
        super().__init__(name, config, needs, site)
        self._config = config
        if config.route == "inside":
            same_regions(name, config.addresses, site, "addresses")
        self._web = Web(self.file(config.certificate_authority), site.clock)

    def look(self, context: AttemptContext) -> str:
        """Asks all URLs at once. Raises Transient with the first one that does not answer as expected."""
        with ThreadPoolExecutor(min(_AT_ONCE, len(self._config.urls)), thread_name_prefix="http-check") as pool:
            said = list(pool.map(lambda url: self._try(url, context), self._config.urls))
        wrong = [item for item in said if isinstance(item, StepError)]
        if wrong:
            more = f" (and {len(wrong) - 1} more of {len(said)} URLs)" if len(wrong) > 1 else ""
            raise Transient(wrong[0].message + more) if isinstance(wrong[0], Transient) else wrong[0]
        return f"{said[0]}" + (f" (and {len(said) - 1} more URLs)" if len(said) > 1 else "")

    def _try(self, url: str, context: AttemptContext) -> str | StepError:
        try:
            return self._one(url, context)
        except StepError as error:
            return error

    def _one(self, url: str, context: AttemptContext) -> str:
        config = self._config
        answers = []
        for address, port in self._places(url, context):
            request = Request(
                url, config.timeout, method=config.method, headers=self.headers(config.headers), address=address, port=port,
                content=None if config.body is None else config.body.encode(),
            )  # fmt: skip
            answer = self._web.look(request)
            wrong = _wrong(config, answer, context.source, context.target)
            if wrong:
                raise Transient(f"{request}: {wrong}")
            answers.append(f"{request}: {answer.status} in {answer.took.total_seconds():.2f}s")
        return "; ".join(answers)

    def _places(self, url: str, context: AttemptContext) -> list[tuple[str | None, int | None]]:
        """Where the sockets go. Every address of a name must answer: a client may be given any of them."""
        if self._config.route == "inside":
            server = parsed(self._config.addresses[context.target], _port(url))
            return [(server.address, server.port)]
        servers = self._servers(context.target)
        name = urlsplit(url).hostname or ""
        if not servers or _is_address(name):
            return [(None, None)]
        found = first_answer(name, servers, min(self._config.timeout, timedelta(seconds=1)))
        return [(address, None) for address in found.addresses]

    def title(self, target: str) -> str:
        """How many URLs, and from where."""
        urls = self._config.urls
        what = urls[0] if len(urls) == 1 else f"{len(urls)} URLs"
        return f"{what} answers in {target}, by address" if self._config.route == "inside" else f"{what} answers through the public name"

    def permissions(self, target: str) -> tuple[str, ...]:
        """To reach each server; with which credential, where one is named. No whole URL: its query may hold a secret."""
        inside = self._config.addresses.get(target) if self._config.route == "inside" else None
        servers = dict.fromkeys(inside or urlsplit(url).netloc for url in self._config.urls)
        ask = f"to {self._config.method} from {', '.join(servers)} from where dr runs"
        return (ask, *self.header_permissions(self._config.headers))

    def touches(self, target: str) -> tuple[Touch, ...]:
        """The servers; from outside, name servers too."""
        named = self._config.route == "outside" and any(not _is_address(urlsplit(url).hostname or "") for url in self._config.urls)
        return (*super().touches(target), *((Touch(service="dns", plane="data", region=target),) if named else ()))

    def by_hand(self, source: str, target: str) -> str:
        """curl, once for each URL."""
        config = self._config
        equals = {pointer: _filled(value, source, target) for pointer, value in config.equals.items()}
        fixed = by_hand.curl(self.site.base, config.headers, config.certificate_authority, config.timeout)
        fixed += ["-I"] if config.method == "HEAD" else ["-X", config.method]
        fixed += [] if config.body is None else ["--data-binary", shlex.quote(config.body)]
        return " && ".join(
            by_hand.answers([*fixed, *self._led(url, target), shlex.quote(url)], config.status, config.contains, equals)
            for url in config.urls
        )

    def _led(self, url: str, target: str) -> list[str]:
        """Where curl goes: to the target, or to where the check's own name servers lead."""
        if self._config.route == "inside":
            return ["--connect-to", shlex.quote(f"::{parsed(self._config.addresses[target], _port(url))}")]
        name = urlsplit(url).hostname or ""
        servers = self._servers(target)
        return by_hand.led(servers[0], name) if servers and not _is_address(name) else []

    def _servers(self, target: str) -> list[Server]:
        """Who is asked where a name leads; nobody: this machine's resolver is."""
        named = [parsed(text, _DNS_PORT) for text in self._config.resolvers]
        return named or authoritative(self.site.peers.values(), target)

    def missing(self) -> Iterator[tuple[str, str]]:
        """The authority and the secrets of headers."""
        yield from self.missing_file("certificate_authority", self._config.certificate_authority)
        yield from self.missing_headers(self._config.headers)

    def warm(self, target: str) -> None:
        """Imports what the first request needs."""
        import httpx  # noqa: F401  # 130 ms that a run need not wait for


def _wrong(config: HttpCheckConfig, answer: Answer, source: str, target: str) -> str:
    """What is not as expected; empty where everything is. Quotes expected values, never the body: it may hold anything."""
    if answer.status not in config.status:
        return f"status {answer.status}, expected {' or '.join(str(status) for status in config.status)}"
    if config.contains is not None and config.contains not in answer.body.decode(errors="replace"):
        return f"the body does not contain {config.contains!r}"
    if not config.equals:
        return ""
    try:
        document: Json = json.loads(answer.body)
    except ValueError:
        return "the body is not JSON"
    found = (_differs(document, pointer, _filled(wanted, source, target)) for pointer, wanted in config.equals.items())
    return next((text for text in found if text), "")


def _differs(document: Json, pointer: str, wanted: Scalar) -> str:
    """What is wrong with one value; 1 and 1.0 are the same number, 1 and true are not the same."""
    try:
        seen = pointed(document, pointer)
    except LookupError:
        return f"nothing at {pointer}, expected {wanted!r}"
    same = type(seen) is type(wanted) or (_is_number(seen) and _is_number(wanted))
    return "" if same and seen == wanted else f"another value at {pointer} than {wanted!r}"


def _filled(wanted: Scalar, source: str, target: str) -> Scalar:
    return wanted.replace("{source}", source).replace("{target}", target) if isinstance(wanted, str) else wanted


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_address(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdigit()


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)
