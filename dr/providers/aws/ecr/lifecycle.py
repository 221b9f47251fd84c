"""Which images a lifecycle policy expires, now or soon. Pure; as https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html

Rules are looked at by priority; an image that a rule chooses by its tags is never expired by a later rule, though it is counted there.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

SOON = timedelta(days=14)
_FEW = 3
"""So many pushes more, and it is gone."""


@dataclass(frozen=True)
class Stored:
    """An image of a repository."""

    digest: str
    tags: tuple[str, ...]
    pushed: datetime


@dataclass(frozen=True)
class Expiry:
    """What a policy does to an image. due: at its next run, within a day; else ``when`` says how long it has."""

    rule: int
    due: bool
    when: str


def expiring(policy: str, images: Sequence[Stored], now: datetime) -> dict[str, Expiry]:
    """By digest: what is expired now, or soon. A policy that cannot be read expires nothing."""
    try:
        rules = sorted(json.loads(policy)["rules"], key=lambda rule: int(rule["rulePriority"]))
    except (ValueError, KeyError, TypeError):
        return {}
    chosen: set[str] = set()
    found: dict[str, Expiry] = {}
    for rule in rules:
        matching = [image for image in images if _chooses(rule["selection"], image)]
        if rule.get("action", {}).get("type", "expire") == "expire":
            for digest, expiry in _expired(rule, matching, now).items():
                if digest not in chosen and digest not in found:
                    found[digest] = expiry
        chosen.update(image.digest for image in matching)
    return found


def _chooses(selection: Mapping[str, Any], image: Stored) -> bool:
    status = selection.get("tagStatus")
    if status == "any":
        return True
    if status == "untagged":
        return not image.tags
    prefixes = [f"{prefix}*" for prefix in selection.get("tagPrefixList", ())]
    patterns = [*prefixes, *selection.get("tagPatternList", ())]
    return bool(image.tags) and all(any(fnmatch.fnmatchcase(tag, pattern) for tag in image.tags) for pattern in patterns)


def _expired(rule: Mapping[str, Any], images: Sequence[Stored], now: datetime) -> dict[str, Expiry]:
    selection, number = rule["selection"], int(rule["rulePriority"])
    count = int(selection.get("countNumber", 0))
    if selection.get("countType") == "sinceImagePushed":
        ends = {image.digest: image.pushed + timedelta(days=count) for image in images}
        return {digest: Expiry(number, at <= now, f"on {at:%Y-%m-%d}") for digest, at in ends.items() if at <= now + SOON}
    if selection.get("countType") == "imageCountMoreThan":
        newest = sorted(images, key=lambda image: image.pushed, reverse=True)
        left = {image.digest: count - place for place, image in enumerate(newest)}
        return {digest: Expiry(number, more <= 0, f"after {more} more pushes") for digest, more in left.items() if more <= _FEW}
    return {}  # by pulls, which only ECR knows
