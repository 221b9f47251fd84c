"""Talks to one region's registry: manifests, blobs, tags (OCI distribution specification v1.1, "pull" and "push").

Everything that is read by digest is checked against it. Environment variables for proxies are not read: nothing but the registry that the
runbook names is asked, and where that one redirects to. This module imports httpx (150 ms): import it where a registry is asked.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from urllib.parse import quote

import httpx

from dr.errors import EffectUnknown, Permanent, StepError, Transient
from dr.providers.clients import Clients, Closed
from dr.providers.selfhosted.oci.access import Corrupt, Denied, Login, NotAnswering
from dr.providers.selfhosted.oci.auth import RegistryAuth
from dr.providers.selfhosted.oci.images import ACCEPTED, Descriptor, Manifest, digest_of, parse, short

_CHUNK_BYTES = 1 << 20
_LARGEST_MANIFEST = 4 << 20
_PAGE = 1000
_TRANSIENT = (408, 425, 429)


class Registry:
    """One region's registry. Connections are kept; safe to use from several threads.

    Args:
        where: the registry for people, for example ``images in west (https://…)``.
        url: scheme, host, port.
        authority: PEM file, None: the system's.
        login: for every request that names no other one.
        timeout: seconds for one answer.
    """

    def __init__(
        self, where: str, url: str, authority: Path | None, login: Callable[[], Login | None], monotonic: Callable[[], float],
        *, timeout: float, connections: int,
    ) -> None:  # fmt: skip
        self.where, self.url = where, url
        self._login, self._monotonic = login, monotonic
        self._users: dict[Login | None, RegistryAuth] = {}
        self._lock = Lock()
        context = self._context(authority)
        self._clients = Clients(
            lambda limits: httpx.Client(base_url=url, verify=context, timeout=timeout, limits=limits, trust_env=False), connections
        )

    def ping(self, timeout: float) -> None:
        """Whether it answers and knows us. Raises NotAnswering, Denied."""
        self._ask("GET", "/v2/", timeout=timeout)

    def head(self, repository: str, reference: str, login: Login | None = None) -> str | None:
        """The digest that a tag or digest names there; None where it is not. Raises StepError."""
        response = self._ask("HEAD", f"/v2/{repository}/manifests/{reference}", login=login, absent=True, headers={"Accept": ACCEPTED})
        if response.status_code == 404:
            return None
        digest = response.headers.get("docker-content-digest")
        if digest is None and ":" not in reference:
            manifest = self.manifest(repository, reference, login)
            return manifest.digest if manifest else None
        return digest or reference

    def manifest(self, repository: str, reference: str, login: Login | None = None) -> Manifest | None:
        """A manifest, checked against its digest where it was asked for by that; None where it is not there.

        Raises:
            Corrupt: other bytes than the digest says, or no manifest. StepError: as the class says.
        """
        path = f"/v2/{repository}/manifests/{reference}"
        response = self._ask("GET", path, login=login, absent=True, headers={"Accept": ACCEPTED})
        if response.status_code == 404:
            return None
        data = response.content
        by_digest = ":" in reference
        if len(data) > _LARGEST_MANIFEST or (by_digest and digest_of(data) != reference):
            raise Corrupt(f"{self.where}: the manifest {repository} {short(reference)} is not what its digest says")
        try:
            return parse(data, response.headers.get("content-type", ""))
        except ValueError as error:
            raise Corrupt(f"{self.where}: {repository} {short(reference)} cannot be read: {error}") from None

    def has_blob(self, repository: str, digest: str, login: Login | None = None) -> bool:
        """Whether a config or layer is there. A redirect to where it is stored counts. Raises StepError."""
        return self._ask("HEAD", f"/v2/{repository}/blobs/{digest}", login=login, absent=True).status_code != 404

    def blob(self, repository: str, digest: str) -> bytes:
        """A small blob (a config) as a whole. Raises Corrupt, StepError."""
        with self.read(repository, Descriptor("", digest, -1)) as chunks:
            return b"".join(chunks)

    @contextmanager
    def read(self, repository: str, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        """The bytes of a blob, a piece at a time; the last piece comes only when all of them are what the digest says.

        Raises:
            Corrupt: they are not, while the pieces are read. StepError: as the class says.
        """
        path = f"/v2/{repository}/blobs/{blob.digest}"
        problem: StepError
        try:
            with (
                self._clients.one() as client,
                client.stream("GET", path, auth=self._user(None), follow_redirects=True) as response,
            ):
                if response.status_code != 200:
                    response.read()
                    raise self._refusal(response, path)
                yield self._checked(response, blob)
                return
        except httpx.RequestError as error:
            problem = self._lost(error, "GET", path)
        except Closed:
            problem = self._over()
        raise problem

    def tags(self, repository: str) -> tuple[str, ...]:
        """All tags of a repository; none where it is not there. Raises StepError."""
        found: list[str] = []
        path = f"/v2/{repository}/tags/list?n={_PAGE}"
        while path:
            response = self._ask("GET", path, absent=True)
            if response.status_code == 404:
                return ()
            found += response.json().get("tags") or []
            following = response.links.get("next", {}).get("url", "")
            path = following if following != path else ""
        return tuple(sorted(set(found)))

    def mount(self, repository: str, blob: Descriptor, other: str) -> str | None:
        """Takes a blob over from another repository of the registry; where it cannot, the address to upload to. Raises StepError."""
        return self._begin(f"/v2/{repository}/blobs/uploads/?mount={quote(blob.digest)}&from={quote(other)}")

    def begin(self, repository: str) -> str:
        """Begins an upload; returns its address. Raises StepError."""
        address = self._begin(f"/v2/{repository}/blobs/uploads/")
        assert address is not None, "an upload that mounts nothing has an address"
        return address

    def upload(self, address: str, blob: Descriptor, chunks: Iterator[bytes]) -> None:
        """Ends an upload with all bytes in one request. Raises StepError; what ``chunks`` raises, too."""
        separator = "&" if "?" in address else "?"
        headers = {"Content-Length": str(blob.size), "Content-Type": "application/octet-stream"}
        self._ask("PUT", f"{address}{separator}digest={quote(blob.digest)}", content=chunks, headers=headers)

    def put_manifest(self, repository: str, reference: str, manifest: Manifest) -> None:
        """Writes a manifest under its digest or a tag, byte for byte. Raises Corrupt where another one became of it, StepError."""
        headers = {"Content-Type": manifest.media_type}
        response = self._ask("PUT", f"/v2/{repository}/manifests/{reference}", content=manifest.data, headers=headers)
        made = response.headers.get("docker-content-digest", manifest.digest)
        if made != manifest.digest:
            raise Corrupt(f"{self.where}: {repository} {short(manifest.digest)} became {short(made)} when it was written")

    def close(self) -> None:
        """Closes all connections."""
        self._clients.close()

    def _begin(self, path: str) -> str | None:
        response = self._ask("POST", path, headers={"Content-Length": "0"})
        if response.status_code == 201:
            return None
        address: str = response.headers.get("location", "")
        if not address:
            raise Permanent(f"{self.where}: POST {path}: no address to upload to")
        return address

    def _ask(
        self, method: str, path: str, *, login: Login | None = None, absent: bool = False, timeout: float | None = None,
        content: bytes | Iterator[bytes] | None = None, headers: dict[str, str] | None = None,
    ) -> httpx.Response:  # fmt: skip
        """One request that was accepted; one that was answered 404, too, where ``absent`` says so."""
        waits = httpx.USE_CLIENT_DEFAULT if timeout is None else httpx.Timeout(timeout)
        problem: StepError
        try:
            with self._clients.one() as client:
                response = client.request(
                    method, path, content=content, headers=headers, auth=self._user(login), timeout=waits, follow_redirects=method == "GET"
                )
        except httpx.RequestError as error:
            problem = self._lost(error, method, path)
        except Closed:
            problem = self._over()
        else:
            good = response.status_code < 300 or (method == "HEAD" and response.status_code < 400)
            if good or (absent and response.status_code == 404):
                return response
            problem = self._refusal(response, path)
        raise problem  # outside the handler: httpx's error holds the request with its credentials

    def _user(self, login: Login | None) -> RegistryAuth:
        login = login or self._login()
        with self._lock:
            return self._users.setdefault(login, RegistryAuth(self.url, login, self._monotonic))

    def _over(self) -> Transient:
        return Transient(f"{self.where}: closed")

    def _lost(self, error: httpx.RequestError, method: str, path: str) -> StepError:
        """No whole answer came."""
        text = " ".join(str(error).split())[:200] or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return Permanent(f"{self.where}: its certificate is not valid: {text}", hint="check certificate_authority in the runbook")
        if method in ("GET", "HEAD") or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return NotAnswering(f"{self.where}: {text}")
        return EffectUnknown(f"{self.where}: {method} {_bare(path)}: no answer: {text}")

    def _refusal(self, response: httpx.Response, path: str) -> StepError:
        text = f"{self.where}: {response.request.method} {_bare(path)}: HTTP {response.status_code}{_said(response)}"
        if response.status_code in (401, 403):
            return Denied(text, hint="check the credentials, and what they may do there")
        if response.status_code in _TRANSIENT or response.status_code >= 500:
            return Transient(text)
        return Permanent(text)

    def _context(self, authority: Path | None) -> ssl.SSLContext:
        """One for all connections: loading the system's authorities takes 30 ms."""
        if not self.url.startswith("https"):
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used
        try:
            return ssl.create_default_context(cafile=str(authority) if authority is not None else None)
        except (OSError, ssl.SSLError) as error:
            text = f"{self.where}: certificate authority {authority} cannot be read: {type(error).__name__}"
            raise Permanent(text, hint="set certificate_authority in the runbook") from None

    def _checked(self, response: httpx.Response, blob: Descriptor) -> Iterator[bytes]:
        """The bytes, the last piece held back until the digest is right."""
        seen, count, held = hashlib.sha256(), 0, b""
        for piece in self._pieces(response):
            if held:
                yield held
            seen.update(piece)
            count += len(piece)
            held = piece
        if f"sha256:{seen.hexdigest()}" != blob.digest or blob.size not in (-1, count):
            raise Corrupt(f"{self.where}: the blob {short(blob.digest)} is not what its digest says ({count} bytes)")
        if held:
            yield held

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        """As they come, with our error: they are read while another registry is written to, which must not take the blame."""
        problem: StepError
        try:
            yield from response.iter_raw(_CHUNK_BYTES)
            return
        except httpx.RequestError as error:
            problem = self._lost(error, "GET", response.request.url.path)
        raise problem


def _bare(path: str) -> str:
    """Without what an upload's address carries: it is a right to write."""
    return path.partition("?")[0]


def _said(response: httpx.Response) -> str:
    """The registry's own word for an error."""
    try:
        first = response.json()["errors"][0]
        return f" {first['code']}"
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
