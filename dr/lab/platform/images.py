"""The container images of the lab's Deployments: small, but what a registry and a client expect (OCI manifests, configs, layers, indexes).

Everything follows from an image's number, so the seed of the database knows the digests before a registry runs. Layers are plain tar files:
compressed ones would have another digest with each version of zlib.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

REPOSITORY = "airflow"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)
_BASE_BYTES = 65_536
_INDEX_EVERY = 5


@dataclass(frozen=True)
class Content:
    """Bytes with their media type."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> str:
        """As a registry names it: ``sha256:…``."""
        return "sha256:" + hashlib.sha256(self.data).hexdigest()

    def described(self, **more: object) -> dict[str, object]:
        """The descriptor by which a manifest names it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data), **more}


@dataclass(frozen=True)
class Image:
    """One image. ``manifests`` are to be put in their order; the last one is what a tag names. ``blobs`` before them."""

    number: int
    manifests: tuple[Content, ...]
    blobs: tuple[Content, ...]

    @property
    def tag(self) -> str:
        """``airflow:TAG``."""
        return str(self.number)

    @property
    def digest(self) -> str:
        """Of what its tag names."""
        return self.manifests[-1].digest


@lru_cache(maxsize=1024)
def image(number: int) -> Image:
    """The n-th image (from 1), made n hours after the first; every fifth one is an index for two platforms."""
    one, blobs = _for_platform(number, "amd64")
    if number % _INDEX_EVERY:
        return Image(number, (one,), blobs)
    other, more = _for_platform(number, "arm64")
    platforms = [one.described(platform={"os": "linux", "architecture": "amd64"}), other.described(platform=_platform("arm64"))]
    index = Content(INDEX, _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": platforms}))
    return Image(number, (one, other, index), (*blobs, *more))


def images_of(deployment: int, deployments: int, images: int) -> tuple[int, ...]:
    """The numbers of a Deployment's images, newest first: the first one runs, to the others it may go back.

    All images are dealt out in turn, so that each is needed by somebody; where there are fewer than Deployments, they are shared.
    """
    own = tuple(number for number in range(images, 0, -1) if (number - deployment) % deployments == 0)
    return own or ((deployment - 1) % images + 1,)


def _for_platform(number: int, architecture: str) -> tuple[Content, tuple[Content, ...]]:
    base = _base(architecture)
    own = _layer(f"opt/airflow/release-{architecture}", f"airflow {number} for {architecture}\n".encode() * 64)
    created = (_FIRST + timedelta(hours=number)).isoformat().replace("+00:00", "Z")
    config = Content(_CONFIG, _json({
        "created": created, **_platform(architecture), "config": {"Entrypoint": ["/entrypoint"], "Labels": {"release": str(number)}},
        "rootfs": {"type": "layers", "diff_ids": [base.digest, own.digest]},
    }))  # fmt: skip
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config.described(), "layers": [base.described(), own.described()]}
    return Content(MANIFEST, _json(document)), (base, own, config)


@lru_cache(maxsize=2)
def _base(architecture: str) -> Content:
    """The layer that all images of a platform share."""
    return _layer(f"opt/python-{architecture}", hashlib.shake_256(f"base layer for {architecture}".encode()).digest(_BASE_BYTES))


def _layer(name: str, data: bytes) -> Content:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        file = tarfile.TarInfo(name)
        file.size, file.mtime, file.mode = len(data), int(_FIRST.timestamp()), 0o644
        archive.addfile(file, io.BytesIO(data))
    return Content(_LAYER, made.getvalue())


def _platform(architecture: str) -> dict[str, object]:
    return {"os": "linux", "architecture": architecture}


def _json(document: dict[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
