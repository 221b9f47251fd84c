"""What one region's registry holds of what is needed, and how it is set up, which is asked every five minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Any

from dr.errors import Permanent, StepError
from dr.providers.aws.ecr.calls import CACHES, DETAILS, IMAGES, MOST, NO_IMAGE, NO_POLICY, NO_REPOSITORY, POLICY, REGISTRY, STATUS
from dr.providers.aws.ecr.lifecycle import Expiry, Stored, expiring
from dr.providers.aws.ecr.wanted import Wanted
from dr.providers.aws.hub import Aws
from dr.providers.aws.place import Place
from dr.providers.selfhosted.oci.images import INDEXES, MANIFESTS, Image

SETTLED_SECONDS = 300.0


@dataclass(frozen=True)
class Rule:
    """A replication rule: where to, and prefixes of repositories (none: all)."""

    regions: frozenset[str]
    prefixes: tuple[str, ...]

    def sends(self, repository: str, code: str) -> bool:
        """What is pushed to a repository goes to a region."""
        return code in self.regions and (not self.prefixes or any(repository.startswith(prefix) for prefix in self.prefixes))


@dataclass(frozen=True)
class Settings:
    """A registry as it is set up. caches: prefix → upstream. expiring: what policies do to images of the repositories that are needed.

    unread: of so many repositories the policy did not come in time; it is known to the next look."""

    rules: tuple[Rule, ...]
    caches: Mapping[str, str]
    expiring: Mapping[Image, Expiry]
    unread: int = 0


@dataclass(frozen=True)
class Side:
    """One region's registry. held: what is there of what is needed, with its digest. replication: what this region says of images that
    the other one lacks."""

    settings: Settings
    held: Mapping[Image, str]
    replication: Mapping[Image, str] = field(default_factory=dict)


class Looker:
    """Looks at one region at a time. Threads may use it at once."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._settled: dict[str, tuple[float, Settings]] = {}
        self._policies: dict[tuple[str, str], tuple[float, Mapping[Image, Expiry] | StepError]] = {}
        self._lock = Lock()

    def look(self, place: Place, needed: Sequence[Wanted], until: float) -> Side:
        """A region's side, now. ``until``: ``clock.monotonic()`` value; policies are not waited for any longer. Raises StepError."""
        repositories = sorted({item.image.repository for item in needed})
        asked = self._ask_policies(place, repositories)
        held = self.held(place, needed)
        settings = self.settings(place)
        wait(asked, timeout=max(0.0, until - self._aws.site.clock.monotonic()))
        return Side(self._with_policies(place, settings, repositories), held)

    def held(self, place: Place, needed: Sequence[Wanted]) -> dict[Image, str]:
        """What is there, with its digest. One call for each repository and hundred images. Raises StepError."""
        parts: list[tuple[str, list[Image]]] = []
        for repository in dict.fromkeys(item.image.repository for item in needed):
            images = [item.image for item in needed if item.image.repository == repository]
            parts += [(repository, images[first : first + MOST]) for first in range(0, len(images), MOST)]
        found: dict[Image, str] = {}
        for answer in self._aws.many([partial(self._images, place, *part) for part in parts]):
            if isinstance(answer, StepError):
                raise answer
            found |= answer
        return found

    def settings(self, place: Place) -> Settings:
        """How a registry is set up, but for policies. Raises StepError."""
        now = self._aws.site.clock.monotonic()
        with self._lock:
            known = self._settled.get(place.region)
        if known is not None and now - known[0] < SETTLED_SECONDS:
            return known[1]
        caches = self._aws.start(partial(self._caches, place))
        rules = tuple(_rule(item) for item in self.registry(place).get("rules", ()))
        found = Settings(rules, caches.result(), {})
        with self._lock:
            self._settled[place.region] = now, found
        return found

    def _ask_policies(self, place: Place, repositories: Sequence[str]) -> list[Future[None]]:
        """What is too old is asked again."""
        oldest = self._aws.site.clock.monotonic() - SETTLED_SECONDS
        with self._lock:
            stale = [name for name in repositories if self._policies.get((place.region, name), (oldest, {}))[0] <= oldest]
        return [self._aws.start(partial(self._keep_policy, place, name)) for name in stale]

    def _with_policies(self, place: Place, settings: Settings, repositories: Sequence[str]) -> Settings:
        """What came in time counts; what comes later is kept for the next look."""
        with self._lock:
            known = [self._policies.get((place.region, name)) for name in repositories]
        found: dict[Image, Expiry] = {}
        for _, answer in filter(None, known):
            if isinstance(answer, StepError):
                raise answer
            found |= answer
        return replace(settings, expiring=found, unread=known.count(None))

    def _keep_policy(self, place: Place, repository: str) -> None:
        answer: Mapping[Image, Expiry] | StepError
        at = self._aws.site.clock.monotonic()
        try:
            answer = self._expiring(place, repository)
        except Permanent as error:
            answer, at = error, -1e9  # told once, asked again by the next look
        except StepError:
            return
        with self._lock:
            self._policies[place.region, repository] = at, answer

    def registry(self, place: Place) -> Mapping[str, Any]:
        """The replication configuration. Raises StepError."""
        found: Mapping[str, Any] = self._aws.read(place, REGISTRY).get("replicationConfiguration") or {}
        return found

    def sends(self, place: Place, repository: str, code: str) -> bool:
        """A rule sends what is pushed to a repository of a region on to another one, now. Raises StepError."""
        return any(_rule(item).sends(repository, code) for item in self.registry(place).get("rules", ()))

    def status(self, place: Place, image: Image, code: str) -> str:
        """What became of an image's replication to an AWS region; empty: nobody can say."""
        asked = {"imageDigest" if image.by_digest else "imageTag": image.reference}
        try:
            answer = self._aws.read(place, STATUS, repositoryName=image.repository, imageId=asked)
        except StepError:
            return ""
        for item in answer.get("replicationStatuses", ()):
            if item.get("region") == code:
                return " ".join(filter(None, [str(item.get("status", "")), str(item.get("failureCode", ""))]))
        return "never began: it was pushed before the rule"

    def _images(self, place: Place, repository: str, images: Sequence[Image]) -> dict[Image, str]:
        try:
            answer = self._aws.read(place, IMAGES, **asking(repository, images))
        except Permanent as error:
            if NO_REPOSITORY in error.message:
                return {}
            raise
        ids = [item["imageId"] for item in answer.get("images", ())]
        digests = {str(item.get("imageDigest", "")) for item in ids}
        tags = {str(item["imageTag"]): str(item.get("imageDigest", "")) for item in ids if item.get("imageTag")}
        held = {image: image.reference if image.by_digest and image.reference in digests else tags.get(image.reference) for image in images}
        return {image: digest for image, digest in held.items() if digest}

    def _caches(self, place: Place) -> dict[str, str]:
        pages = self._aws.pages(place, CACHES)
        rules = [item for page in pages for item in page.get("pullThroughCacheRules", ())]
        return {str(item["ecrRepositoryPrefix"]): str(item.get("upstreamRegistryUrl", "")) for item in rules}

    def _expiring(self, place: Place, repository: str) -> dict[Image, Expiry]:
        """Of one repository. One that has no policy costs one call."""
        try:
            policy = str(self._aws.read(place, POLICY, repositoryName=repository)["lifecyclePolicyText"])
            pages = list(self._aws.pages(place, DETAILS, repositoryName=repository))
        except Permanent as error:
            if any(code in error.message for code in (NO_POLICY, NO_REPOSITORY, NO_IMAGE)):
                return {}
            raise
        stored = [
            Stored(str(item["imageDigest"]), tuple(item.get("imageTags", ())), item["imagePushedAt"])
            for page in pages for item in page.get("imageDetails", ()) if item.get("imagePushedAt") is not None
        ]  # fmt: skip
        found = expiring(policy, stored, self._aws.site.clock.now())
        tags = {item.digest: item.tags for item in stored}
        both = {Image(repository, digest): expiry for digest, expiry in found.items()}
        return both | {Image(repository, tag): expiry for digest, expiry in found.items() for tag in tags[digest]}


def asking(repository: str, images: Sequence[Image]) -> dict[str, Any]:
    """Parameters of BatchGetImage; without all media types ECR says of an index that it is not supported."""
    ids = [{"imageDigest" if image.by_digest else "imageTag": image.reference} for image in images]
    return {"repositoryName": repository, "imageIds": ids, "acceptedMediaTypes": [*INDEXES, *MANIFESTS]}


def _rule(item: Mapping[str, Any]) -> Rule:
    return Rule(
        frozenset(str(there["region"]) for there in item.get("destinations", ())),
        tuple(str(filter_["filter"]) for filter_ in item.get("repositoryFilters", ())),
    )
