"""ECR replication that really copies what is pushed, its status, and pull-through cache rules.

Why not moto's: it keeps the registry's rules and copies nothing; two images without layers get the same digest one time in a hundred.
Times: ``ecr.replication`` for each image. Only what is pushed after the rule was set is copied.
https://docs.aws.amazon.com/AmazonECR/latest/userguide/replication.html
"""

from __future__ import annotations

import copy
import fnmatch
import hashlib
from datetime import UTC, datetime
from typing import Any, cast

from moto.ecr.models import ECRBackend, Image, Repository, ecr_backends

from tests.aws.emulator.lines import lost
from tests.aws.emulator.registry import after, control, later, operation
from tests.aws.emulator.wire import ACCOUNT, Answer, Call, Refusal

_status: dict[tuple[str, str, str], dict[str, str]] = {}  # region, repository, digest → region → status
_failing: set[str] = set()  # patterns of repository names
_cache_rules: dict[str, dict[str, dict[str, Any]]] = {}


def backend(region: str) -> ECRBackend:
    """Moto's part of a region."""
    return ecr_backends[ACCOUNT][region]


def repository(region: str, name: str) -> Repository:
    """A repository, or RepositoryNotFoundException."""
    if name not in backend(region).repositories:
        text = f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'"
        raise Refusal("RepositoryNotFoundException", text, 400)
    return backend(region).repositories[name]


@control
def fail_image_replication(repositories: str, failing: bool = True) -> None:
    """Images of repositories whose names match this pattern fail to replicate from now on, or no longer."""
    if failing:
        _failing.add(repositories)
    else:
        _failing.discard(repositories)


@after("ecr:PutImage")
def put_image(call: Call, answer: Answer) -> Answer:
    """https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html: the digest is that of the manifest."""
    here = repository(call.region, call.params["repositoryName"])
    image = next(one for one in here.images if one.image_manifest == call.params["imageManifest"])
    image._image_digest = "sha256:" + hashlib.sha256(image.image_manifest.encode()).hexdigest()
    for rule in backend(call.region).replication_config.get("rules", []):
        filters = rule.get("repositoryFilters") or [{"filter": ""}]
        if any(here.name.startswith(one["filter"]) for one in filters):
            for destination in rule["destinations"]:
                _start(call.region, here.name, image, destination["region"])
    shown = {"registryId": ACCOUNT, "repositoryName": here.name, "imageManifest": image.image_manifest}
    return call.answer({"image": {**shown, "imageId": {"imageDigest": image.image_digest, "imageTag": call.params.get("imageTag")}}})


def _start(region: str, name: str, image: Image, target: str) -> None:
    status = _status.setdefault((region, name, image.image_digest), {})
    status[target] = "IN_PROGRESS"

    def arrive() -> None:
        if lost(region) or lost(target):
            later("ecr.replication", arrive)
        elif any(fnmatch.fnmatchcase(name, pattern) for pattern in _failing):
            status[target] = "FAILED"
        else:
            _copy(name, image, target)
            status[target] = "COMPLETE"

    later("ecr.replication", arrive)


def _copy(name: str, image: Image, target: str) -> None:
    """A repository that is not there yet is created, with the default settings."""
    known = backend(target).repositories
    if name not in known:
        backend(target).create_repository(name, ACCOUNT, cast("Any", None), cast("Any", None), "MUTABLE", [])
    images = [one for one in known[name].images if one.image_digest != image.image_digest]
    for one in images:
        one.image_tags = [tag for tag in one.image_tags if tag not in image.image_tags]
    known[name].images = [*images, copy.deepcopy(image)]


@operation("ecr:DescribeImageReplicationStatus")
def describe_image_replication_status(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImageReplicationStatus.html"""
    here, asked = repository(call.region, call.params["repositoryName"]), call.params["imageId"]
    digest, tag = asked.get("imageDigest"), asked.get("imageTag")
    image = next((one for one in here.images if one.image_digest == digest or (digest is None and tag in one.image_tags)), None)
    if image is None:
        text = f"The image with imageId {{imageDigest:'{digest}', imageTag:'{tag}'}} does not exist within the repository '{here.name}'"
        raise Refusal("ImageNotFoundException", text, 400)
    states = _status.get((call.region, here.name, image.image_digest), {})
    shown = [{"region": region, "registryId": ACCOUNT, "status": status} for region, status in states.items()]
    return {"repositoryName": here.name, "imageId": {"imageDigest": image.image_digest}, "replicationStatuses": shown}


@operation("ecr:CreatePullThroughCacheRule")
def create_pull_through_cache_rule(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreatePullThroughCacheRule.html"""
    rules, prefix = _cache_rules.setdefault(call.region, {}), call.params["ecrRepositoryPrefix"]
    if prefix in rules:
        raise Refusal("PullThroughCacheRuleAlreadyExistsException", f"A pull through cache rule with prefix '{prefix}' exists", 400)
    rules[prefix] = {"createdAt": datetime.now(UTC), "registryId": ACCOUNT, **call.params}
    return rules[prefix]


@operation("ecr:DescribePullThroughCacheRules")
def describe_pull_through_cache_rules(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribePullThroughCacheRules.html"""
    rules, wanted = _cache_rules.get(call.region, {}), call.params.get("ecrRepositoryPrefixes")
    for prefix in wanted or ():
        if prefix not in rules:
            raise Refusal("PullThroughCacheRuleNotFoundException", f"The pull through cache rule '{prefix}' does not exist", 400)
    return {"pullThroughCacheRules": [rule for prefix, rule in rules.items() if not wanted or prefix in wanted]}
