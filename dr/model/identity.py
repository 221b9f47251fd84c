"""Who the Deployments are: what must be equal before and after a move (I7), compared as sets."""

from __future__ import annotations

import hashlib
import json

from dr.model.base import Frozen, Moment


class DeploymentIdentity(Frozen):
    """One Deployment. Secret values appear only as keyed digests (HMAC), never as bare hashes.

    image_rollback: digests of the images that it may go back to, newest first.
    """

    id: str
    name: str
    namespace: str
    workspace: str
    hostnames: dict[str, str]
    image_digest: str
    image_rollback: tuple[str, ...] = ()
    environment: dict[str, str]
    metrics_exports: tuple[str, ...] = ()
    pull_secrets: tuple[str, ...] = ()
    created_at: Moment | None = None


class IdentitySnapshot(Frozen):
    """All Deployments of one platform as seen in one region at one moment.

    items: of a component that holds other things than Deployments (secrets): name → keyed digest, never a bare hash.
    """

    taken_at: Moment
    region: str
    deployments: tuple[DeploymentIdentity, ...]
    items: dict[str, str] = {}

    @property
    def sha256(self) -> str:
        """Digest over the Deployments sorted by id, moment and region left out: equal platforms have equal digests."""
        rows = sorted((item.model_dump(mode="json") for item in self.deployments), key=lambda row: str(row["id"]))
        if self.items:
            rows.append(self.items)
        return hashlib.sha256(json.dumps(rows, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class ImageUse(Frozen):
    """Which images one Deployment runs and may go back to (newest first), and the names of the secrets that they are pulled with."""

    deployment: str
    namespace: str
    workspace: str
    image_digest: str
    image_rollback: tuple[str, ...] = ()
    pull_secrets: tuple[str, ...] = ()


class ImageUses(Frozen):
    """All Deployments' images as the platform database of a region lists them.

    epoch: a number of that database that grows with each promotion, where it takes writes; None where it follows another one.
    """

    region: str
    epoch: int | None = None
    uses: tuple[ImageUse, ...] = ()


class IdentityDifference(Frozen):
    """The result of a comparison. ``changed`` names fields: ``d-007.image_digest``; ``created_later`` is what only "after" has."""

    checked: int
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    created_later: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Nothing is missing or changed."""
        return not self.changed and not self.missing


def compare(before: IdentitySnapshot, after: IdentitySnapshot) -> IdentityDifference:
    """Compares two snapshots as sets, by Deployment id and then field by field."""
    old = {item.id: item for item in before.deployments}
    new = {item.id: item for item in after.deployments}
    changed = [
        f"{key}.{field}"
        for key in sorted(old.keys() & new.keys())
        for field in DeploymentIdentity.model_fields
        if getattr(old[key], field) != getattr(new[key], field)
    ]
    return IdentityDifference(
        checked=len(old), changed=tuple(changed), missing=tuple(sorted(old.keys() - new.keys())),
        created_later=tuple(sorted(new.keys() - old.keys())),
    )  # fmt: skip
