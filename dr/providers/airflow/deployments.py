"""The Deployments themselves, as the platform database lists them, and who they are (I7)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dr.model.identity import Contents, DeploymentIdentity, ImageUse

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


COUNTED_AT_MOST = 20_000
"""So many rows of one table are counted: a database with 300,000 in each took 0.14 s on a busy machine (0.43 s where 100,000 were counted).
A larger table counts as this many: what it lost of its newest rows is the recovery point's to say, and one that was emptied shows."""

_HISTORY = {
    "dag_run": "dag_run",
    "task_instance": "task_instance",
    "xcom": "xcom JOIN dag_run ON dag_run.id = xcom.dag_run_id AND dag_run.state IN ('success', 'failed')",
}
"""By table, what is counted of it. A task that begins again drops its XComs first, so only those of runs that are over count."""

# One statement: one round trip, one view of the data (80 databases: 0.12 to 0.21 s; connections alone 0.03 s). Airflow has an index on
# log.event. A DAG that a move holds is active: whoever holds it puts it back.
_OWN_DATA = f"""
WITH owed AS (
    SELECT dag_id, extra FROM log WHERE event = 'dr.hold' EXCEPT SELECT dag_id, extra FROM log WHERE event = 'dr.release'
)
SELECT
    (SELECT coalesce(json_agg(json_build_array(conn_id, conn_type, host, schema, login, password, port, extra)), '[]') FROM connection),
    (SELECT coalesce(json_object_agg(key, val), '{{}}') FROM variable WHERE key IS NOT NULL),
    (SELECT coalesce(json_object_agg(pool, slots), '{{}}') FROM slot_pool WHERE pool IS NOT NULL),
    (SELECT coalesce(json_object_agg(dag_id, CASE
        WHEN is_stale THEN 'stale'
        WHEN is_paused AND dag_id NOT IN (SELECT dag_id FROM owed WHERE dag_id IS NOT NULL) THEN 'paused'
        ELSE 'active' END), '{{}}') FROM dag WHERE dag_id <> %(canary)s),
    {", ".join(f"(SELECT count(*) FROM (SELECT FROM {rows} LIMIT {COUNTED_AT_MOST}) AS counted)" for rows in _HISTORY.values())}
"""  # noqa: S608  # made of constants


@dataclass(frozen=True)
class OwnData:
    """What a Deployment's own database holds. Connections (by id, as one text) and variables have their secrets in them: only good for a
    digest, never kept, and not in ``repr``."""

    connections: Mapping[str, str] = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)
    pools: Mapping[str, int]
    dags: Mapping[str, str]
    rows: Mapping[str, int]


def read_own_data(connection: Connection, canary: str) -> OwnData:
    """Connections, variables, pools, DAGs and how much history a Deployment has: one round trip. ``canary`` is the DAG of our own."""
    row = connection.execute(_OWN_DATA, {"canary": canary}).fetchone()
    assert row is not None, "a SELECT without FROM gives one row"
    connections, variables, pools, dags, *counts = row
    return OwnData(
        connections={name: json.dumps(rest) for name, *rest in connections},
        variables={key: _text(value) for key, value in variables.items()},
        pools=pools, dags=dags, rows=dict(zip(_HISTORY, counts, strict=True)),
    )  # fmt: skip


def image_use(deployment: Deployment) -> ImageUse:
    """What a Deployment needs of a registry."""
    return ImageUse(
        deployment=deployment.id, namespace=deployment.namespace, workspace=deployment.workspace, image_digest=deployment.image_digest,
        image_rollback=deployment.image_rollback, pull_secrets=deployment.pull_secrets,
    )


def identity(deployment: Deployment, held: OwnData, digest: Callable[[str], str]) -> DeploymentIdentity:
    """Who a Deployment is. Values of environment, connections (as ``connection/ID``) and variables become keyed digests."""
    secret = {**deployment.environment, **{f"connection/{name}": text for name, text in held.connections.items()}}
    return DeploymentIdentity(
        id=deployment.id, name=deployment.name, namespace=deployment.namespace, workspace=deployment.workspace,
        hostnames={"ui": deployment.ui, "api": deployment.api, "remote": deployment.remote}, image_digest=deployment.image_digest,
        image_rollback=deployment.image_rollback, environment={name: digest(value) for name, value in sorted(secret.items())},
        metrics_exports=tuple(sorted(deployment.metrics_exports)), pull_secrets=tuple(sorted(deployment.pull_secrets)),
        created_at=deployment.created_at,
        contents=Contents(
            variables={key: digest(value) for key, value in sorted(held.variables.items())}, pools=dict(sorted(held.pools.items())),
            dags=dict(sorted(held.dags.items())), rows=dict(held.rows),
        ),
    )  # fmt: skip
