"""What a person would type instead of each step, and to see that it is done. Data only; shown in plans.

``{…}`` are filled in for the step's region; words in CAPITALS are for the person, the token's value never appears.
"""

from __future__ import annotations

from typing import NamedTuple

from dr.providers.airflow.config import DeploymentsConfig


class Typed(NamedTuple):
    """A command, and the command that checks it."""

    do: str
    check: str


_TEXTS: dict[str, Typed] = {
    "snapshot": Typed("{psql} platform -c 'TABLE deployment' > before.txt", "cat before.txt"),
    "prepare": Typed("{curl} -X POST {control}/thaw", "{curl} {control}/status"),
    "freeze": Typed(
        '{curl} -X POST {control}/freeze; {each} "UPDATE dag SET is_paused = true WHERE NOT is_paused RETURNING dag_id" (keep the list)',
        "{curl} {control}/status",
    ),
    "drain": Typed("{curl} -X POST {control}/stop -d '{scheduler}'", "{curl} {control}/status"),
    "verify-inside": Typed(
        "for each API: curl --cacert {authority} --connect-to ::{address}: https://API_HOSTNAME:{port}/write -d '{write}'",
        "the same with /writes?kind=check",
    ),
    "hold": Typed(
        '{each} "UPDATE dag SET is_paused = true WHERE NOT is_paused RETURNING dag_id" (keep the list)',
        '{each} "SELECT dag_id FROM dag WHERE NOT is_paused"',
    ),
    "reconcile": Typed(
        "{each} \"UPDATE job SET state = 'failed', end_date = now() WHERE state = 'running'\"; then clear or fail each row of task_instance"
        " that is running, queued or restarting, by its retries and pool",
        "{each} \"SELECT * FROM task_instance WHERE state IN ('running', 'queued', 'restarting')\"",
    ),
    "start": Typed(
        "{curl} -X POST {control}/start -d '{scheduler}'",
        "{each} \"SELECT id, hostname, latest_heartbeat FROM job WHERE state = 'running'\"",
    ),
    "canary": Typed(
        "for each Deployment: airflow dags trigger {canary}",
        "{each} \"SELECT state FROM dag_run WHERE dag_id = '{canary}' ORDER BY id DESC LIMIT 1\"",
    ),
    "verify-outside": Typed(
        "for each hostname: dig +short HOSTNAME; curl --cacert {authority} https://HOSTNAME:{port}/write -d '{write}'",
        "the same with /writes?kind=check",
    ),
    "release": Typed(
        '{each} "UPDATE dag SET is_paused = false WHERE dag_id IN (THE LIST)"', '{each} "SELECT dag_id FROM dag WHERE NOT is_paused"'
    ),
    "fingerprint": Typed("{psql} platform -c 'TABLE deployment' > after.txt", "diff before.txt after.txt"),
    "quiesce": Typed(
        "{curl} -X POST {control}/freeze; {curl} -X POST {control}/stop -d '{scheduler}'",
        "{curl} {control}/status",
    ),
    "stand-by": Typed("wait until the databases follow", "{curl} {control}/status"),
}


def typed(name: str, config: DeploymentsConfig, region: str) -> Typed:
    """The commands of one sort of step for a region."""
    endpoint = config.regions[region]
    words = {
        "psql": f"psql -h DATABASE_SERVER_IN_{region.upper()}",
        "each": f"for each database of the platform: psql -h DATABASE_SERVER_IN_{region.upper()} DATABASE -c",
        "curl": f'curl --cacert {config.certificate_authority} -H "Authorization: Bearer $(cat TOKEN_FILE)"',
        "control": endpoint.control,
        "authority": config.certificate_authority,
        "address": endpoint.address,
        "port": str(endpoint.port),
        "canary": config.canary,
        "scheduler": '{"component": "scheduler"}',
        "write": '{"id": "by-hand-1", "kind": "check"}',
    }
    return Typed(*(text.format(**words) for text in _TEXTS[name]))
