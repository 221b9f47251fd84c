"""How a Deployment's image is pulled from its region's own registry when it starts: what the image is, then its configuration.

Written for the lab with nothing of what ``dr`` looks with, so that the two cannot be wrong in the same way. Layers are left out: they
cost the machine most and tell no more.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import ssl
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from dr.lab.platform.config import RegistryConfig
from dr.lab.platform.images import INDEX, MANIFEST, REPOSITORY

_SECONDS = 5.0
_ACCEPTED = f"{INDEX}, {MANIFEST}"
_PLATFORM = "amd64"
_SHORT = 19
"""``sha256:`` and twelve digits more: the form in which people read a digest."""


class NotPulled(Exception):
    """An image could not be pulled. ``lasting``: the registry has said so; else it could not be asked."""

    def __init__(self, text: str, *, lasting: bool) -> None:
        super().__init__(text)
        self.lasting = lasting


@dataclass(frozen=True)
class Login:
    """Who pulls."""

    username: str
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """For ``Authorization``."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class Registry:
    """One region's registry. Connections are kept; safe to use from several threads.

    Args:
        region: for messages.
        config: where it is.
    """

    def __init__(self, region: str, config: RegistryConfig) -> None:
        self._region, self._endpoint = region, config.endpoint
        self._context = ssl.create_default_context(cafile=str(config.authority))
        self._idle: list[http.client.HTTPSConnection] = []
        self._lock = Lock()

    def pull(self, digest: str, login: Login) -> None:
        """Reads an image by its digest: its manifest (of an index the one for this platform) and its configuration. Raises NotPulled."""
        manifest = self._document("manifests", digest, login)
        if "manifests" in manifest:
            ours = next((item for item in manifest["manifests"] if item["platform"]["architecture"] == _PLATFORM), None)
            if ours is None:
                raise NotPulled(f"image {REPOSITORY} {digest[:_SHORT]} is not made for {_PLATFORM}", lasting=True)
            manifest = self._document("manifests", ours["digest"], login)
        self._document("blobs", manifest["config"]["digest"], login)

    def _document(self, sort: str, digest: str, login: Login) -> dict[str, Any]:
        """What lies under a digest, checked against it."""
        name = f"image {REPOSITORY} {digest[:_SHORT]}"
        path = f"/v2/{REPOSITORY}/{sort}/{digest}"
        problem: NotPulled
        try:
            status, data = self._ask(path, {"Authorization": login.header, "Accept": _ACCEPTED})
        except (OSError, http.client.HTTPException) as error:
            problem = NotPulled(f"the registry of {self._region} does not answer: {type(error).__name__}", lasting=False)
        else:
            if status == 200 and "sha256:" + hashlib.sha256(data).hexdigest() == digest:
                document: dict[str, Any] = json.loads(data)
                return document
            if status == 200:
                problem = NotPulled(f"{name} in {self._region} is not what its digest says", lasting=True)
            elif status == 404:
                problem = NotPulled(f"{name} is not in the registry of {self._region}", lasting=True)
            elif status in (401, 403):
                problem = NotPulled(f"the registry of {self._region} refuses {login.username}", lasting=True)
            else:
                problem = NotPulled(f"the registry of {self._region} answers {status}", lasting=False)
        raise problem  # outside the handler: the library's error may know the request

    def _ask(self, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        """Over a kept connection, and once more over a new one where the registry has closed that."""
        with self._lock:
            kept = self._idle.pop() if self._idle else None
        if kept is not None:
            try:
                return self._once(kept, path, headers)
            except (OSError, http.client.HTTPException):
                kept.close()
        made = http.client.HTTPSConnection(self._endpoint.address, self._endpoint.port, timeout=_SECONDS, context=self._context)
        try:
            return self._once(made, path, headers)
        except (OSError, http.client.HTTPException):
            made.close()
            raise

    def _once(self, connection: http.client.HTTPSConnection, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        data = response.read()
        with self._lock:
            self._idle.append(connection)
        return response.status, data
