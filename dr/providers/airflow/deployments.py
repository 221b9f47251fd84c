"""The Deployments themselves, as the platform database lists them, and who they are (I7)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dr.model.identity import DeploymentIdentity, ImageUse

if TYPE_CHECKING:
    from dr.providers.airflow.databases import Connection


@dataclass(frozen=True)
class Deployment:
    """One row of the platform's ``deployment`` table. ``environment`` holds values, so it is not in ``repr``: see ``__repr__``."""

    id: str
    name: str
    namespace: str
    workspace: str
    ui: str
    api: str
    remote: str
    image_digest: str
    environment: Mapping[str, str]
    metrics_exports: tuple[str, ...]
    pull_secrets: tuple[str, ...]
    database: str
    created_at: datetime | None
    image_rollback: tuple[str, ...] = ()

    @property
    def hostnames(self) -> tuple[str, str, str]:
        """All public names: UI, API, remote execution."""
        return (self.ui, self.api, self.remote)

    def __repr__(self) -> str:
        return f"Deployment({self.id!r})"


_COLUMNS = (
    "id, name, namespace, workspace, hostname_ui, hostname_api, hostname_remote, image_digest, environment, metrics_exports, pull_secrets,"
    " database, created_at, image_rollback"
)


def read_deployments(connection: Connection) -> tuple[Deployment, ...]:
    """All Deployments of the platform database, sorted by id."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM deployment ORDER BY id").fetchall()  # noqa: S608  # a constant, no input
    return tuple(
        Deployment(
            id=row[0], name=row[1], namespace=row[2], workspace=row[3], ui=row[4], api=row[5], remote=row[6], image_digest=row[7],
            environment={key: _text(value) for key, value in (row[8] or {}).items()}, metrics_exports=tuple(row[9] or ()),
            pull_secrets=tuple(row[10] or ()), database=row[11], created_at=row[12].astimezone(UTC) if row[12] else None,
            image_rollback=tuple(row[13] or ()),
        )
        for row in rows
    )  # fmt: skip


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def read_connections(connection: Connection) -> dict[str, str]:
    """Every Airflow connection of a Deployment by id, as one text with its secrets: only good for a digest, never kept."""
    rows = connection.execute(
        "SELECT conn_id, conn_type, host, schema, login, password, port, extra FROM connection ORDER BY conn_id"
    ).fetchall()
    return {row[0]: json.dumps(row[1:]) for row in rows}


def image_use(deployment: Deployment) -> ImageUse:
    """What a Deployment needs of a registry."""
    return ImageUse(
        deployment=deployment.id, namespace=deployment.namespace, workspace=deployment.workspace, image_digest=deployment.image_digest,
        image_rollback=deployment.image_rollback, pull_secrets=deployment.pull_secrets,
    )


def identity(deployment: Deployment, connections: Mapping[str, str], digest: Callable[[str], str]) -> DeploymentIdentity:
    """Who a Deployment is. Values of the environment and connections (as ``connection/ID``) become keyed digests."""
    secret = {**deployment.environment, **{f"connection/{name}": text for name, text in connections.items()}}
    return DeploymentIdentity(
        id=deployment.id, name=deployment.name, namespace=deployment.namespace, workspace=deployment.workspace,
        hostnames={"ui": deployment.ui, "api": deployment.api, "remote": deployment.remote}, image_digest=deployment.image_digest,
        image_rollback=deployment.image_rollback, environment={name: digest(value) for name, value in sorted(secret.items())},
        metrics_exports=tuple(sorted(deployment.metrics_exports)), pull_secrets=tuple(sorted(deployment.pull_secrets)),
        created_at=deployment.created_at,
    )  # fmt: skip


