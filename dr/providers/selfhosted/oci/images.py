"""What a registry holds, as data: references, descriptors, manifests. Pure. After the OCI image and distribution specifications, v1.1."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
ACCEPTED = ", ".join((*INDEXES, *MANIFESTS))
_SHORT = 12


def digest_of(data: bytes) -> str:
    """As registries write it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def short(digest: str) -> str:
    """The form in which people read a digest."""
    algorithm, _, value = digest.partition(":")
    return f"{algorithm}:{value[:_SHORT]}" if value else digest


@dataclass(frozen=True, order=True)
class Image:
    """A repository and a digest or tag in it."""

    repository: str
    reference: str

    @property
    def by_digest(self) -> bool:
        """Whether it names content, not a tag."""
        return ":" in self.reference

    @property
    def key(self) -> str:
        """In full: ``airflow@sha256:…`` or ``airflow:1``."""
        return f"{self.repository}{'@' if self.by_digest else ':'}{self.reference}"

    def __str__(self) -> str:
        return f"{self.repository}{'@' if self.by_digest else ':'}{short(self.reference)}"


@dataclass(frozen=True)
class Descriptor:
    """Content that a manifest names. ``foreign``: a layer that no registry has to hold (its manifest gives another address)."""

    media_type: str
    digest: str
    size: int
    foreign: bool = False


@dataclass(frozen=True)
class Manifest:
    """A manifest or index with its own bytes. ``blobs``: config first. ``children``: the manifests of an index."""

    digest: str
    media_type: str
    data: bytes
    blobs: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] = ()


def parse(data: bytes, content_type: str) -> Manifest:
    """Reads a manifest or index.

    Raises:
        ValueError: it is none of the two sorts that OCI and Docker (schema 2) have.
    """
    try:
        document = json.loads(data)
    except ValueError:
        raise ValueError("it is not JSON") from None
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    media_type = str(document.get("mediaType") or content_type.partition(";")[0].strip())
    try:
        if media_type in INDEXES:
            children = tuple(_descriptor(item) for item in document["manifests"])
            return Manifest(digest_of(data), media_type, data, children=children)
        if media_type in MANIFESTS:
            blobs = tuple(_descriptor(item) for item in (document["config"], *document["layers"]))
            return Manifest(digest_of(data), media_type, data, blobs=blobs)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError(f"it is no complete {media_type}") from None
    raise ValueError(f"its media type is {media_type or 'not given'}")


def created(config: bytes) -> datetime | None:
    """When an image was made, as its config says; None where it does not say so with a zone."""
    try:
        moment = datetime.fromisoformat(str(json.loads(config)["created"]))
    except (ValueError, KeyError, TypeError):
        return None
    return moment if moment.tzinfo is not None else None


def _descriptor(item: dict[str, Any]) -> Descriptor:
    media_type = str(item.get("mediaType", ""))
    foreign = bool(item.get("urls")) or "foreign" in media_type or "nondistributable" in media_type
    return Descriptor(media_type, str(item["digest"]), int(item["size"]), foreign)
