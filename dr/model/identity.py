"""Who the Deployments are: what must be equal before and after a move (I7), compared as sets."""

from __future__ import annotations

import hashlib
import json

from dr.model.base import Frozen, Json, Moment


class Contents(Frozen):
    """What a Deployment's own database holds beside connections.

    variables: key → keyed digest of the value. pools: name → slots. dags: id → ``active``, ``paused`` or ``stale``; what is only held for
    the time of a move counts as active. rows: table of the history → how many rows, at most as many as are counted there.
    """

    variables: dict[str, str] = {}
    pools: dict[str, int] = {}
    dags: dict[str, str] = {}
    rows: dict[str, int] = {}


_KEPT_EQUAL = {"variables": "variable", "pools": "pool", "dags": "dag"}
"""Fields of ``Contents`` that must be equal, and what one item of each is called."""


class DeploymentIdentity(Frozen):
    """One Deployment. Secret values appear only as keyed digests (HMAC), never as bare hashes.

    image_rollback: digests of the images that it may go back to, newest first. contents: None in snapshots of earlier versions.
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
    contents: Contents | None = None

    def lasting(self) -> dict[str, Json]:
        """Everything but how many rows there are, which changes all the time."""
        left_out = {"contents": {"rows"}} if self.contents is not None else {"contents"}
        found: dict[str, Json] = self.model_dump(mode="json", exclude=left_out)
        return found


class IdentitySnapshot(Frozen):
    """All Deployments of one platform as seen in one region at one moment.

    items: of a component that holds other things than Deployments (secrets): name → keyed digest, never a bare hash.
    taken_at: before the first was read. read_until: after the last one; None in snapshots of earlier versions.
    """

    taken_at: Moment
    read_until: Moment | None = None
    region: str
    deployments: tuple[DeploymentIdentity, ...]
    items: dict[str, str] = {}

    @property
    def sha256(self) -> str:
        """Digest over the Deployments sorted by id; moments, region and counts of rows left out: equal platforms have equal digests."""
        rows: list[Json] = [item.lasting() for item in sorted(self.deployments, key=lambda item: item.id)]
        if self.items:
            rows.append(dict(self.items))
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
    """The result of a comparison. ``changed`` names fields: ``d-007.image_digest``; ``created_later`` is what only "after" has.

    contents: names of variables, pools and DAGs: ``d-007.variable.api_token``, there in one only or with another value.
    fewer: of the history, by table of a Deployment (``d-007.dag_run``), how many rows "after" has fewer.
    """

    checked: int
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    created_later: tuple[str, ...]
    contents: tuple[str, ...] = ()
    fewer: dict[str, int] = {}

    @property
    def equal(self) -> bool:
        """Nothing is missing or changed, and no row is missing."""
        return not (self.changed or self.missing or self.contents or self.fewer)


def compare(before: IdentitySnapshot, after: IdentitySnapshot) -> IdentityDifference:
    """Compares two snapshots as sets, by Deployment id and then field by field. Contents are compared where both have them."""
    old = {item.id: item for item in before.deployments}
    new = {item.id: item for item in after.deployments}
    both = sorted(old.keys() & new.keys())
    changed = [
        f"{key}.{field}"
        for key in both
        for field in DeploymentIdentity.model_fields
        if field != "contents" and getattr(old[key], field) != getattr(new[key], field)
    ]
    held = [(key, had, has) for key in both if (had := old[key].contents) is not None and (has := new[key].contents) is not None]
    return IdentityDifference(
        checked=len(old), changed=tuple(changed), missing=tuple(sorted(old.keys() - new.keys())),
        created_later=tuple(sorted(new.keys() - old.keys())),
        contents=tuple(f"{key}.{name}" for key, had, has in held for name in _unequal(had, has)),
        fewer={f"{key}.{table}": less for key, had, has in held for table, less in _fewer(had, has)},
    )  # fmt: skip


def _unequal(before: Contents, after: Contents) -> list[str]:
    """Names of what is there in one only, or with another value."""
    found: list[str] = []
    for field, word in _KEPT_EQUAL.items():
        had, has = getattr(before, field), getattr(after, field)
        found += [f"{word}.{name}" for name in sorted(had.keys() | has.keys()) if had.get(name) != has.get(name)]
    return found


def _fewer(before: Contents, after: Contents) -> list[tuple[str, int]]:
    """Tables of the history with fewer rows than before, and how many fewer."""
    return [(table, had - after.rows.get(table, 0)) for table, had in sorted(before.rows.items()) if had > after.rows.get(table, 0)]
