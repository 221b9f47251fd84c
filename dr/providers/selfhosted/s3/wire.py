"""One region's bucket over HTTP: seven calls of S3, nothing retried, every answer bounded, errors told apart.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from __future__ import annotations

import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus, urlsplit

from dr.errors import EffectUnknown, Permanent, StepError, Transient
from dr.model.base import clock_behind
from dr.ports import Clock, Secrets
from dr.providers.clients import Clients, Closed
from dr.providers.selfhosted.s3 import sign
from dr.providers.selfhosted.s3.config import RegionBucket
from dr.providers.selfhosted.s3.objects import Item

if TYPE_CHECKING:
    import ssl

    import httpx  # 110 ms that a runbook without a bucket need not pay

PAGE = 1000
_WRITES = ("PUT", "DELETE")
_KEPT = ("content-type", "content-encoding", "content-disposition", "cache-control")
_MOST_CONNECTIONS = 32


class NotServed(Transient):
    """The store does not answer; nothing was done. ``refused``: nobody listens there."""

    def __init__(self, message: str, *, refused: bool, late: bool = False) -> None:
        super().__init__(message, late=late)
        self.refused = refused


class BucketMissing(Permanent):
    """There is no such bucket."""


class Denied(Permanent):
    """The key pair may not do that, or is unknown."""


class Taken(Transient):
    """A conditional write was refused: the object is not as it was seen a moment ago."""


class Unsupported(Permanent):
    """The store does not know what was asked."""


_REFUSALS: Mapping[int, type[StepError]] = {
    401: Denied, 403: Denied, 404: BucketMissing, 409: Taken, 412: Taken, 405: Unsupported, 501: Unsupported, 429: Transient,
    503: Transient,
}  # fmt: skip


@dataclass(frozen=True)
class Body:
    """An object with its content, and the headers that belong to it."""

    item: Item
    content: bytes = field(repr=False)
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Page:
    """A part of a listing. ``after``: how to ask for the next one; None at the end. prefixes: with a delimiter, what lies below."""

    items: tuple[Item, ...]
    prefixes: tuple[str, ...] = ()
    after: str | None = None


@dataclass(frozen=True)
class Answer:
    """What came. ``content``: the bytes as they are kept. A log with ``content-encoding: gzip`` is copied packed, as it was put."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Store:
    """One region's bucket. Any thread may call. Raises ``StepError`` only: those above, Transient, EffectUnknown, Permanent.

    Args:
        limit: for one exchange, where a call does not say otherwise.
    """

    def __init__(
        self, component: str, region: str, settings: RegionBucket, secrets: Secrets, clock: Clock, base: Path, limit: timedelta
    ) -> None:
        self.region, self.settings = region, settings
        self._named = f"{component} in {region}"
        self._secrets, self._clock, self._base, self._limit = secrets, clock, base, limit
        self._host, self._plain = urlsplit(settings.endpoint_url).netloc, urlsplit(settings.endpoint_url).scheme == "http"
        self._clients = Clients(self._client, _MOST_CONNECTIONS)
        self._trust: ssl.SSLContext | None = None
        self._trusting = threading.Lock()
        self._told: tuple[datetime, str] | None = None

    @property
    def clock_behind(self) -> timedelta | None:
        """How far this machine's clock is behind the store's, by its newest answer; too little by the second at most that ``Date`` leaves
        out, so that clocks that agree differ by nothing. None: it has not answered yet, or does not say."""
        asked, date = self._told or (None, "")
        if asked is None or not date:
            return None
        try:
            shown = parsedate_to_datetime(date)
        except ValueError:
            return None
        return clock_behind(shown if shown.tzinfo is not None else shown.replace(tzinfo=UTC), asked)

    def get(self, key: str, limit: timedelta | None = None) -> Body | None:
        """An object, or None where it is not there."""
        answer = self._ask("GET", key, limit=limit, absent_ok=True)
        if answer is None:
            return None
        return Body(_item(key, answer), answer.content, {name: answer.headers[name] for name in answer.headers if _kept(name)})

    def head(self, key: str, limit: timedelta | None = None) -> Item | None:
        """An object without its content, or None where it is not there."""
        answer = self._ask("HEAD", key, limit=limit, absent_ok=True)
        return None if answer is None else _item(key, answer)

    def put(
        self, key: str, content: bytes, headers: Mapping[str, str] | None = None, *, new: bool = False, instead_of: str | None = None,
        limit: timedelta | None = None,
    ) -> None:  # fmt: skip
        """Puts an object.

        Args:
            new: only where there is none of that key. instead_of: only over the version with this ETag.

        Raises:
            Taken: the condition does not hold. Unsupported: the store knows no conditions.
        """
        condition = {"if-none-match": "*"} if new else {"if-match": f'"{instead_of}"'} if instead_of is not None else {}
        self._ask("PUT", key, body=content, more={**(headers or {}), **condition}, limit=limit)

    def delete(self, key: str) -> None:
        """Deletes an object; one that is not there is no error."""
        self._ask("DELETE", key, absent_ok=True)

    def page(
        self, prefix: str = "", *, delimiter: str = "", after: str | None = None, size: int = PAGE, limit: timedelta | None = None
    ) -> Page:
        """One page of a listing, keys in order."""
        query = {"list-type": "2", "max-keys": str(size), "prefix": prefix, "delimiter": delimiter, "encoding-type": "url"}
        if after is not None:
            query["continuation-token"] = after
        answer = self._ask("GET", "", query={name: value for name, value in query.items() if value}, limit=limit)
        assert answer is not None, "a listing is there, or the bucket is not"
        return _page(self._xml(answer.content))

    def versioning(self, limit: timedelta | None = None) -> str:
        """``Enabled``, ``Suspended``, or empty where it never was switched on, or the store does not know."""
        try:
            answer = self._ask("GET", "", query={"versioning": ""}, limit=limit)
        except Unsupported:
            return ""
        assert answer is not None, "an answer about the bucket, or the bucket is not there"
        return self._xml(answer.content).findtext("{*}Status") or ""

    def warm(self) -> None:
        """Opens a connection. Raises as all others."""
        self.page(size=1)

    def close(self) -> None:
        """Closes connections; safe to call twice."""
        self._clients.close()

    def _ask(
        self, method: str, key: str, *, query: Mapping[str, str] | None = None, body: bytes = b"", more: Mapping[str, str] | None = None,
        limit: timedelta | None = None, absent_ok: bool = False,
    ) -> Answer | None:  # fmt: skip
        import httpx

        path, text = sign.target(self.settings.bucket, key, query or {})
        keys = sign.Keys(self._secrets.get(self.settings.access_key), self._secrets.get(self.settings.secret_key))
        asked = self._clock.now()
        sent = sign.headers(keys, self.settings.region_name, asked, method, self._host, path, text, body, more or {})
        seconds = (limit or self._limit).total_seconds()
        try:
            with self._clients.one(seconds) as client:
                url = f"{self.settings.endpoint_url}{path}{'?' + text if text else ''}"
                with client.stream(method, url, content=body, headers=sent, timeout=seconds) as got:
                    answer = Answer(got.status_code, got.headers, b"".join(got.iter_raw()))
                    self._told = asked, answer.headers.get("date", "")
        except Closed:  # a comparison in the background must not open it again
            raise Transient(f"{self._named}: closed") from None
        except (httpx.ConnectError, httpx.ConnectTimeout, TimeoutError) as error:
            refused = isinstance(error, httpx.ConnectError)
            why = "nobody listens" if refused else "no connection in time"
            raise NotServed(f"{self._named}: {self.settings.endpoint_url}: {why}", refused=refused, late=not refused) from error
        except httpx.TransportError as error:
            text = f"{self._named}: {self.settings.endpoint_url}: no answer ({type(error).__name__})"
            if method in _WRITES:
                raise EffectUnknown(text) from error
            raise NotServed(text, refused=False, late=isinstance(error, httpx.TimeoutException)) from error
        if answer.status == 404 and absent_ok and b"NoSuchBucket" not in answer.content:
            return None
        if not 200 <= answer.status < 300:
            raise self._refused(method, key, answer)
        return answer

    def _refused(self, method: str, key: str, answer: Answer) -> StepError:
        """An answer that says no, as an error. Never carries a header: those of a request are signed with the secret."""
        code = self._code(answer)
        what = f"{self._named}: {method} {self.settings.bucket}{'/' + key if key else ''}: {answer.status} {code}".rstrip()
        sort = _REFUSALS.get(answer.status)
        if sort is None and answer.status >= 500:
            sort = EffectUnknown if method in _WRITES else Transient
        hints: dict[type[StepError] | None, str] = {
            Denied: f"check access_key and secret_key of {self.region}, the bucket's policy, and this machine's clock",
            BucketMissing: f"create the bucket {self.settings.bucket} in {self.region}, and let it be replicated",
            None: "check endpoint_url, bucket and region_name in the runbook",
        }
        return (sort or Permanent)(what, hint=hints.get(sort, ""))

    def _code(self, answer: Answer) -> str:
        try:
            return ElementTree.fromstring(answer.content).findtext("{*}Code") or ""  # noqa: S314  # expat limits entities by itself
        except ElementTree.ParseError:
            return ""

    def _xml(self, content: bytes) -> ElementTree.Element:
        try:
            return ElementTree.fromstring(content)  # noqa: S314  # as above
        except ElementTree.ParseError as error:
            raise Permanent(f"{self._named}: {self.settings.endpoint_url} does not answer as S3 does", hint="check endpoint_url") from error

    def _client(self, limits: httpx.Limits) -> httpx.Client:
        import httpx

        # no proxies, no .netrc: nothing but the endpoint that the runbook names; listings come as they are, as objects do
        plain = {"accept-encoding": "identity"}
        return httpx.Client(verify=self._context(), limits=limits, trust_env=False, follow_redirects=False, headers=plain)

    def _context(self) -> ssl.SSLContext:
        """One for all connections: loading the system's authorities takes 30 ms."""
        import ssl

        with self._trusting:
            if self._trust is None:
                authority = self.settings.certificate_authority
                if self._plain:
                    self._trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used
                else:
                    self._trust = ssl.create_default_context(cafile=str(self._base / authority) if authority else None)
            return self._trust


def _kept(name: str) -> bool:
    return name in _KEPT or name.startswith("x-amz-meta-")


def _item(key: str, answer: Answer) -> Item:
    from email.utils import parsedate_to_datetime

    headers = answer.headers
    size = int(headers.get("content-length", len(answer.content)))
    return Item(key, headers.get("etag", "").strip('"'), size, parsedate_to_datetime(headers["last-modified"]))


def _page(root: ElementTree.Element) -> Page:
    encoded = root.findtext("{*}EncodingType") == "url"

    def name(text: str | None) -> str:
        return unquote_plus(text or "") if encoded else text or ""

    items = tuple(
        Item(
            name(node.findtext("{*}Key")), (node.findtext("{*}ETag") or "").strip('"'), int(node.findtext("{*}Size") or 0),
            datetime.fromisoformat(node.findtext("{*}LastModified") or ""),
        )
        for node in root.iterfind("{*}Contents")
    )  # fmt: skip
    prefixes = tuple(name(node.findtext("{*}Prefix")) for node in root.iterfind("{*}CommonPrefixes"))
    more = root.findtext("{*}IsTruncated") == "true"
    return Page(items, prefixes, root.findtext("{*}NextContinuationToken") if more else None)
