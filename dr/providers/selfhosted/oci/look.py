"""Looks at what a registry holds, many things at once: images with all their parts, tags, pulls with a Deployment's own secret."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import TypeVar

from dr.errors import Permanent, StepError
from dr.providers.selfhosted.oci.access import Corrupt, Login
from dr.providers.selfhosted.oci.images import Image, Manifest, short
from dr.providers.selfhosted.oci.inventory import Entry
from dr.providers.selfhosted.oci.registries import Registries
from dr.providers.selfhosted.oci.wanted import Pull

T = TypeVar("T")
R = TypeVar("R")

_DEEPEST = 3
"""Levels of indexes; the specification has no bound, registries have one level in practice."""


@dataclass(frozen=True)
class Looked:
    """What one look at a region came to.

    silent: why the registry could not be asked any further; None where it could. complete: everything was looked at in time.
    """

    entries: Mapping[str, Entry]
    silent: StepError | None = None
    complete: bool = True


@dataclass(frozen=True)
class Limit:
    """How far a look goes. ``until``: ``clock.monotonic()`` value; what has not answered by then is left out.

    width: requests under way at once, None: as many as the settings say. stop: asked before each item.
    """

    until: float
    width: int | None = None
    stop: Callable[[], bool] = lambda: False


class Looker:
    """Looks at the registries of one component and remembers what it saw. For many threads.

    Manifests that were read are kept: what a digest names never changes, so that only its presence has to be asked again.
    """

    def __init__(self, registries: Registries) -> None:
        self._registries, self._inventory, self._clock = registries, registries.inventory, registries.site.clock
        self._manifests: dict[str, Manifest] = {}

    def images(
        self, region: str, images: Sequence[Image], limit: Limit, *, trust: timedelta, recent: timedelta = timedelta(0)
    ) -> Looked:
        """Whether images are there with all their parts.

        Args:
            trust: parts that were all seen within this time are not asked for again, but the manifest itself is.
            recent: not even a manifest that was seen within this time.
        """
        present: set[tuple[str, str]] = set()

        def one(image: Image) -> Entry:
            known = self._inventory.fresh(region, image.key, trust)
            if known is None or not known.good:
                return self._whole(region, image, present)
            now = self._clock.now()
            if now - known.seen < recent:
                return known
            if self._registries.registry(region).head(image.repository, image.reference) == known.digest:
                return known.model_copy(update={"asked": now})
            return self._whole(region, image, present)

        return self._remembered(region, images, lambda image: image.key, one, limit)

    def tags(self, region: str, repositories: Iterable[str], limit: Limit, *, trust: timedelta) -> Looked:
        """What every tag of some repositories names; keys as ``airflow:1``."""
        registry = self._registries.registry(region)
        names = tuple(repositories)
        lists, silent = self._each(names, lambda name: tuple(Image(name, tag) for tag in registry.tags(name)), limit)
        found = self.tagged(region, [tag for tags in lists.values() for tag in tags], limit, trust=trust)
        return Looked(found.entries, silent or found.silent, found.complete and len(lists) == len(names))

    def tagged(self, region: str, tags: Sequence[Image], limit: Limit, *, trust: timedelta) -> Looked:
        """What some tags name."""
        registry = self._registries.registry(region)

        def one(tag: Image) -> Entry:
            known = self._inventory.fresh(region, tag.key, trust)
            return known or Entry(at=self._clock.now(), digest=registry.head(tag.repository, tag.reference))

        return self._remembered(region, tags, lambda tag: tag.key, one, limit)

    def pulls(self, region: str, pulls: Sequence[Pull], limit: Limit, *, trust: timedelta) -> Looked:
        """Whether Deployments can pull their images with their own secrets: manifest and first part, as their runtime would ask."""

        def one(pull: Pull) -> Entry:
            known = self._inventory.fresh(region, pull.key, trust)
            if known is not None and known.good:
                return known
            at, is_there = self._clock.now(), pull.image.reference
            try:
                login = self._registries.login(region, pull.secret)
            except StepError as error:  # of whatever keeps the secret: the registry is not to blame
                return Entry(at=at, digest=is_there, problem=f"{pull.secret} cannot be read: {error.message}")
            try:
                return Entry(at=at, digest=self._pull(region, pull, login))
            except Permanent as error:
                return Entry(at=at, digest=is_there, problem=error.message)

        return self._remembered(region, pulls, lambda pull: pull.key, one, limit)

    def manifest(self, region: str, image: Image) -> Manifest | None:
        """A manifest from a region's registry, or as it was read before, where that still has it. Raises StepError."""
        registry = self._registries.registry(region)
        known = self._manifests.get(image.reference)
        if known is not None:
            return known if registry.head(image.repository, image.reference) is not None else None
        found = registry.manifest(image.repository, image.reference)
        if found is not None:
            self._manifests[found.digest] = found
        return found

    def _whole(self, region: str, image: Image, present: set[tuple[str, str]]) -> Entry:
        """An image with all its parts, asked for one by one. ``present``: layers that this look has seen already; most are shared."""
        at = self._clock.now()
        try:
            manifest = self.manifest(region, image)
            if manifest is None:
                return Entry(at=at)
            lacks = self._lacking(region, image.repository, manifest, present, _DEEPEST)
        except Corrupt as error:
            return Entry(at=at, digest=image.reference, problem=error.message)
        return Entry(at=at, digest=manifest.digest, lacks=tuple(dict.fromkeys(lacks)))

    def _lacking(self, region: str, repository: str, manifest: Manifest, present: set[tuple[str, str]], deeper: int) -> list[str]:
        registry, missing = self._registries.registry(region), list[str]()
        for blob in manifest.blobs:
            if blob.foreign or (repository, blob.digest) in present:
                continue
            if registry.has_blob(repository, blob.digest):
                present.add((repository, blob.digest))
            else:
                missing.append(blob.digest)
        for child in manifest.children:
            found = self.manifest(region, Image(repository, child.digest)) if deeper else None
            if found is None:
                missing.append(child.digest)
            else:
                missing += self._lacking(region, repository, found, present, deeper - 1)
        return missing

    def _pull(self, region: str, pull: Pull, login: Login) -> str | None:
        """What a runtime does first. None where the image is not there, which is told elsewhere. Raises StepError."""
        registry, repository = self._registries.registry(region), pull.image.repository
        manifest = registry.manifest(repository, pull.image.reference, login)
        while manifest is not None and manifest.children:
            manifest = registry.manifest(repository, manifest.children[0].digest, login)
        if manifest is None:
            return None
        first = next((blob for blob in manifest.blobs if not blob.foreign), None)
        if first is not None and not registry.has_blob(repository, first.digest, login):
            raise Permanent(f"{registry.where}: {pull.image} has no {short(first.digest)}")
        return pull.image.reference

    def _remembered(
        self, region: str, items: Sequence[T], key: Callable[[T], str], one: Callable[[T], Entry], limit: Limit
    ) -> Looked:
        found, silent = self._each(items, one, limit)
        entries = {key(item): entry for item, entry in found.items()}
        for name, entry in entries.items():
            self._inventory.put(region, name, entry)
        return Looked(entries, silent, len(found) == len(items))

    def _each(self, items: Sequence[T], one: Callable[[T], R], limit: Limit) -> tuple[dict[T, R], StepError | None]:
        """Does the same for each item, as many at once as the settings say; the first one that is not answered ends it."""
        left, found, silent, lock = iter(items), dict[T, R](), list[StepError](), Lock()

        def work() -> None:
            while not silent and not limit.stop() and self._clock.monotonic() < limit.until:
                with lock:
                    item = next(left, None)
                if item is None:
                    return
                try:
                    result = one(item)
                except StepError as error:
                    silent.append(error)
                    return
                with lock:
                    found[item] = result

        workers = self._registries.fan.workers(min(len(items), limit.width or len(items)), work)
        done, _ = wait(workers, timeout=max(0.0, limit.until - self._clock.monotonic()))
        for worker in done:
            worker.result()
        with lock:
            return dict(found), silent[0] if silent else None
