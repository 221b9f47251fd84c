"""Copies images from one registry to another, byte for byte: blobs first, then manifests, the children of an index before it.

Nothing is ever overwritten: content is put under its own digest. What cannot be copied keeps only its own image from coming over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from dr.errors import Permanent, StepError, Transient
from dr.providers.selfhosted.oci.fan import Fan
from dr.providers.selfhosted.oci.images import Descriptor, Image, Manifest, created, short

if TYPE_CHECKING:
    from dr.providers.selfhosted.oci.wire import Registry

T = TypeVar("T")
R = TypeVar("R")

@dataclass
class Copied:
    """How copying went. ``failed``: why an image did not come over, by key."""

    manifests: int = 0
    blobs: int = 0
    mounted: int = 0
    bytes: int = 0
    failed: dict[str, StepError] = field(default_factory=dict)


@dataclass(frozen=True)
class _Tree:
    """An image with all manifests below it, in the order in which they are written."""

    image: Image
    manifests: tuple[Manifest, ...]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        return tuple(blob for manifest in self.manifests for blob in manifest.blobs if not blob.foreign)


class Mirror:
    """Copies from one registry to another.

    Args:
        may_act: asked right before each write; False ends the work with what is there by then.
    """

    def __init__(
        self, source: Registry, target: Registry, fan: Fan, *, may_act: Callable[[], bool] = lambda: True,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:  # fmt: skip
        self._source, self._target, self._fan, self._may_act, self._say = source, target, fan, may_act, say
        self._placed: dict[str, str] = {}
        self._lock = Lock()

    def copy(self, images: Sequence[Image]) -> Copied:
        """Copies images with all their parts. Raises no StepError: see ``Copied.failed``."""
        result = Copied()
        trees = self._each({image.key: image for image in images}, self._read, result)
        blobs = {f"{tree.image.repository} {blob.digest}": (tree.image, blob) for tree in trees.values() for blob in tree.blobs}
        unplaced = Copied()
        self._each(blobs, lambda item: self._place(*item, result), unplaced)
        whole = {}
        for key, tree in trees.items():
            names = (f"{tree.image.repository} {blob.digest}" for blob in tree.blobs)
            why = next((unplaced.failed[name] for name in names if name in unplaced.failed), None)
            if why is None:
                whole[key] = tree
            else:
                result.failed[key] = why
        done = self._each(whole, self._write, result)
        result.manifests = sum(done.values())
        self._say(f"{len(done)} of {len(images)} images copied, {result.bytes} bytes")
        return result

    def tag(self, tags: Mapping[Image, str]) -> Copied:
        """Lets tags name digests that both registries have. Raises no StepError."""
        result = Copied()

        def one(item: tuple[Image, str]) -> None:
            tag, digest = item
            manifest = self._source.manifest(tag.repository, digest)
            if manifest is None:
                raise Permanent(f"{self._source.where}: {tag.repository} {short(digest)} is not there")
            self._allowed()
            self._target.put_manifest(tag.repository, tag.reference, manifest)

        result.manifests = len(self._each({tag.key: (tag, digest) for tag, digest in tags.items()}, one, result))
        return result

    def newer(self, repository: str, ours: str, theirs: str) -> bool:
        """Whether the source's image was made after the target's; False where one does not say when. Raises StepError."""
        moments = []
        for registry, digest in ((self._source, ours), (self._target, theirs)):
            manifest = registry.manifest(repository, digest)
            while manifest is not None and manifest.children:
                manifest = registry.manifest(repository, manifest.children[0].digest)
            config = manifest.blobs[0].digest if manifest is not None and manifest.blobs else None
            moments.append(created(registry.blob(repository, config)) if config else None)
        first, second = moments
        return first is not None and second is not None and first > second

    def _read(self, image: Image) -> _Tree:
        """All manifests of an image, from the source."""

        def below(digest: str) -> tuple[Manifest, ...]:
            manifest = self._source.manifest(image.repository, digest)
            if manifest is None:
                raise Permanent(f"{self._source.where}: {image.repository} {short(digest)} is not there")
            return (*(part for child in manifest.children for part in below(child.digest)), manifest)

        return _Tree(image, tuple(dict.fromkeys(below(image.reference))))

    def _place(self, image: Image, blob: Descriptor, result: Copied) -> None:
        """A blob into the target: as it is there already, from another of its repositories, else from the source."""
        repository = image.repository
        if not self._target.has_blob(repository, blob.digest):
            self._allowed()
            with self._lock:
                other = self._placed.get(blob.digest)
            address = self._target.mount(repository, blob, other) if other else self._target.begin(repository)
            if address is not None:
                with self._source.read(repository, blob) as chunks:
                    self._target.upload(address, blob, chunks)
            with self._lock:
                result.blobs += 1
                result.mounted += address is None
                result.bytes += blob.size if address is not None else 0
        with self._lock:
            self._placed.setdefault(blob.digest, repository)

    def _write(self, tree: _Tree) -> int:
        """The manifests of an image, in order; how many were not there."""
        written = 0
        for manifest in tree.manifests:
            if self._target.head(tree.image.repository, manifest.digest) is None:
                self._allowed()
                self._target.put_manifest(tree.image.repository, manifest.digest, manifest)
                written += 1
        return written

    def _allowed(self) -> None:
        if not self._may_act():
            raise Transient("the lease is not ours any more, or the step was cancelled")

    def _each(self, items: Mapping[str, T], one: Callable[[T], R], result: Copied) -> dict[str, R]:
        """Does the same for each item, as many at once as the settings say; what failed stands in ``result``."""
        left, done = iter(items.items()), dict[str, R]()

        def work() -> None:
            while True:
                with self._lock:
                    key, item = next(left, (None, None))
                if key is None or item is None:
                    return
                try:
                    made = one(item)
                except StepError as error:
                    with self._lock:
                        result.failed[key] = error
                else:
                    with self._lock:
                        done[key] = made

        for worker in self._fan.workers(len(items), work):
            worker.result()
        return done
