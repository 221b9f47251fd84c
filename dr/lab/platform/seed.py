"""Fills the platform: its database, a template Deployment, one clone for each Deployment, and the work they are doing.

The same arguments give the same platform, except for times and generated ids. Secret values carry the marker that the caller gives,
so that a test can look for it in everything that ``dr`` leaves behind.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
from cryptography.fernet import Fernet
from psycopg import sql

from dr.errors import LabError
from dr.lab.layout import PLATFORM_DATABASE, Deployment
from dr.lab.platform import schema
from dr.lab.platform.config import Endpoint
from dr.lab.platform.images import image, images_of

TEMPLATE = "airflow_template"
_WRITERS = 3  # more only wait for the two cores


@dataclass(frozen=True)
class Mixture:
    """The work of one Deployment, in rows of task_instance. ``running`` is the sum of the three sorts that run."""

    retryable: int
    without_retries: int
    at_most_once: int
    queued: int
    deferred: int

    @property
    def running(self) -> int:
        """Rows in state running."""
        return self.retryable + self.without_retries + self.at_most_once

    @classmethod
    def of(cls, running: int) -> Mixture:
        """Of ``running`` tasks about three fifths may be retried, one fifth may not, one fifth must run at most once.

        Beside them about a tenth as many are queued and a twentieth deferred, at least one each where anything runs.
        """
        at_most_once, without_retries = running // 5, running // 5
        queued, deferred = -(-running // 10), -(-running // 20)
        return cls(running - at_most_once - without_retries, without_retries, at_most_once, queued, deferred)


def spread(running_tasks: int, deployments: int) -> tuple[int, ...]:
    """How many of the running tasks each Deployment gets: as equal as can be, the first ones get one more."""
    each, rest = divmod(running_tasks, deployments)
    return tuple(each + (1 if number < rest else 0) for number in range(deployments))


def new_marker() -> str:
    """A string that occurs nowhere else: part of every planted secret."""
    return f"planted-{secrets.token_hex(12)}"


def seed(
    server: Endpoint, admin_password: str, deployments: Sequence[Deployment], running_tasks: int, *, region: str, marker: str, images: int,
    fernet: Mapping[str, str],
) -> None:  # fmt: skip
    """Creates and fills all databases on a primary that has the roles ``postgres``, ``dr`` and ``runtime`` and none of the databases.

    Args:
        server: the primary.
        admin_password: of ``postgres``.
        deployments: who they are.
        running_tasks: rows in state running, over all Deployments.
        region: where the running tasks run: in their ``hostname``.
        marker: goes into every planted secret.
        images: how many there are; see ``images.images_of``.
        fernet: by id of a Deployment, the key that its connections and variables are encrypted with; empty: they are not.

    Raises:
        LabError: the server refused; half of a platform may be there then.
    """
    try:
        with _connect(server, admin_password, "postgres") as admin:
            for name in (PLATFORM_DATABASE, TEMPLATE):
                admin.execute(sql.SQL("CREATE DATABASE {} OWNER dr").format(sql.Identifier(name)))
        _fill_platform(server, admin_password, deployments, marker, images)
        _fill_template(server, admin_password, region, marker)
        _clone(server, admin_password, deployments)
        work = list(zip(deployments, spread(running_tasks, len(deployments)), strict=True))
        with ThreadPoolExecutor(_WRITERS) as pool:
            list(pool.map(lambda item: _fill_deployment(server, admin_password, item[0], Mixture.of(item[1]), region, fernet), work))
    except psycopg.Error as error:
        raise LabError(f"seeding the platform on {server.address}:{server.port}: {error}", hint="dr lab down, then dr lab up") from error


def _connect(server: Endpoint, password: str, database: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host=server.address, port=server.port, user="postgres", password=password, dbname=database, autocommit=True,
        connect_timeout=10, sslmode="disable", gssencmode="disable", application_name="dr-lab-seed",
    )  # fmt: skip


def _clone(server: Endpoint, password: str, deployments: Sequence[Deployment]) -> None:
    with _connect(server, password, "postgres") as admin:
        clone = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy OWNER dr")
        for deployment in deployments:
            admin.execute(clone.format(sql.Identifier(deployment.database), sql.Identifier(TEMPLATE)))


def _fill_platform(server: Endpoint, password: str, deployments: Sequence[Deployment], marker: str, images: int) -> None:
    digests = {item.id: [image(number).digest for number in images_of(item.number, len(deployments), images)] for item in deployments}
    rows = [
        (
            item.id, item.name, item.namespace, item.workspace, item.hostname_ui, item.hostname_api, item.hostname_remote,
            digests[item.id][0], digests[item.id][1:],
            json.dumps({
                "AIRFLOW__CORE__PARALLELISM": "32",
                "AIRFLOW__CORE__DEFAULT_TIMEZONE": "utc",
                "DEPLOYMENT_TIER": "production" if item.number % 3 else "staging",
                "WAREHOUSE_DSN": f"postgresql://loader:{marker}-environment-{item.number}@warehouse.example:5432/facts",
            }),
            ["prometheus-remote-write", "datadog"][: 1 + item.number % 2], [item.pull_secret], item.database,
        )
        for item in deployments
    ]  # fmt: skip
    with _connect(server, password, PLATFORM_DATABASE) as connection:
        connection.execute("SET ROLE dr")
        connection.execute(schema.PLATFORM)
        connection.execute(schema.GRANTS)
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO deployment (id, name, namespace, workspace, hostname_ui, hostname_api, hostname_remote, image_digest,"
                " image_rollback, environment, metrics_exports, pull_secrets, database)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                rows,
            )


_DAGS = """
INSERT INTO dag (dag_id, is_paused, bundle_version, timetable_summary, max_active_runs, next_dagrun_create_after, last_parsed_time) VALUES
    ('load_facts', false, '4c1f', NULL, 16, NULL, now()),
    ('billing', false, '4c1f', NULL, 16, NULL, now()),
    ('daily_report', false, '4c1f', '20 seconds', 1, now(), now()),
    ('old_export', true, '4c1f', '60 seconds', 1, now(), now()),
    ('canary', false, '4c1f', NULL, 16, NULL, now());
INSERT INTO slot_pool (pool, slots, description, include_deferred) VALUES
    ('default_pool', 128, 'Default pool', false),
    ('batch', 0, 'Long-running loads', false),
    ('at_most_once', 64, 'Never started a second time', false);
INSERT INTO job (state, job_type, start_date, latest_heartbeat, executor_class, hostname, unixname)
    VALUES ('running', 'SchedulerJob', now(), now(), 'StandInExecutor', %(region)s || '-seed', 'airflow');
INSERT INTO connection (conn_id, conn_type, host, schema, login, password, port, is_encrypted, is_extra_encrypted, extra) VALUES
    ('warehouse', 'postgres', 'warehouse.example', 'facts', 'loader', %(marker)s || '-connection-password', 5432, false, false, '{}'),
    ('lake', 'aws', NULL, NULL, 'AKIAIOSFODNN7EXAMPLE', %(marker)s || '-connection-key', NULL, false, false,
        '{"region_name": "eu-central-1", "token": "' || %(marker)s || '-connection-extra"}');
INSERT INTO variable (key, val, description, is_encrypted) VALUES
    ('environment', 'production', NULL, false),
    ('api_token', %(marker)s || '-variable', 'token of the billing API', false);
"""

# Three days of finished runs: their history, attempts and XComs must be the same after a move.
_HISTORY = """
INSERT INTO dag_run (dag_id, run_id, run_type, logical_date, run_after, queued_at, start_date, end_date, state)
    SELECT 'daily_report', 'scheduled__' || to_char(day, 'YYYY-MM-DD'), 'scheduled', day, day, day, day, day + interval '90 s', 'success'
    FROM (SELECT date_trunc('day', now()) - age * interval '1 day' AS day FROM generate_series(1, 3) AS age) AS days;
INSERT INTO task_instance (task_id, dag_id, run_id, start_date, end_date, duration, state, try_number, max_tries, hostname, operator)
    SELECT task, dag_id, run_id, start_date, end_date, 90, 'success', CASE task WHEN 'extract' THEN 2 ELSE 1 END, 2,
        %(region)s || '-worker-0', 'PythonOperator'
    FROM dag_run, unnest(ARRAY['extract', 'transform', 'report']) AS task WHERE dag_id = 'daily_report';
INSERT INTO task_instance_history (task_instance_id, task_id, dag_id, run_id, try_number, start_date, end_date, duration, state, max_tries,
        hostname, pool, operator)
    SELECT gen_random_uuid(), task_id, dag_id, run_id, 1, start_date - interval '60 s', start_date, 60, 'failed', 2,
        hostname, pool, operator
    FROM task_instance WHERE task_id = 'extract';
INSERT INTO xcom (dag_run_id, task_id, key, dag_id, run_id, value, timestamp)
    SELECT r.id, t.task_id, 'return_value', t.dag_id, t.run_id, jsonb_build_object('rows', 1000 + r.id), t.end_date
    FROM task_instance t JOIN dag_run r USING (dag_id, run_id);
INSERT INTO log (dttm, dag_id, task_id, run_id, event, owner)
    SELECT start_date, dag_id, task_id, run_id, 'running', 'airflow' FROM task_instance;
"""


def _fill_template(server: Endpoint, password: str, region: str, marker: str) -> None:
    with _connect(server, password, TEMPLATE) as connection:
        connection.execute("SET ROLE dr")
        connection.execute(schema.AIRFLOW)
        with psycopg.ClientCursor(connection) as cursor:  # binds here, so that several statements can go at once
            cursor.execute(_DAGS, {"region": region, "marker": marker})
            cursor.execute(_HISTORY, {"region": region})
        connection.execute(schema.GRANTS)
        connection.execute("RESET ROLE")
        connection.execute("VACUUM (ANALYZE, FREEZE)")  # plans and hint bits are inherited by every clone


def _encrypt(connection: psycopg.Connection[tuple[object, ...]], key: Fernet) -> None:
    """As Airflow keeps them: password and extra of each connection, value of each variable."""

    def token(text: object) -> str | None:
        return None if text is None else key.encrypt(str(text).encode()).decode()

    for identity, password, extra in connection.execute("SELECT id, password, extra FROM connection").fetchall():
        connection.execute(
            "UPDATE connection SET password = %s, is_encrypted = true, extra = %s, is_extra_encrypted = true WHERE id = %s",
            (token(password), token(extra), identity),
        )
    for identity, value in connection.execute("SELECT id, val FROM variable").fetchall():
        connection.execute("UPDATE variable SET val = %s, is_encrypted = true WHERE id = %s", (token(value), identity))


_RUNS = """
INSERT INTO dag_run (dag_id, run_id, run_type, logical_date, run_after, queued_at, start_date, state)
    SELECT dag, 'manual__seeded', 'manual', now(), now(), now(), now(), 'running' FROM unnest(ARRAY['load_facts', 'billing']) AS dag
"""

_TASKS = """
INSERT INTO task_instance (task_id, dag_id, run_id, map_index, start_date, state, try_number, max_tries, hostname, unixname, pid, pool,
        operator, queued_dttm, scheduled_dttm, queued_by_job_id, last_heartbeat_at, executor_config, external_executor_id, trigger_id,
        trigger_timeout, next_method)
    SELECT %(task)s, %(dag)s, 'manual__seeded', number, CASE WHEN %(state)s <> 'queued' THEN now() END, %(state)s, 1, %(max_tries)s,
        CASE %(state)s WHEN 'running' THEN %(region)s || '-worker-' || number %% 4 END, 'airflow',
        CASE %(state)s WHEN 'running' THEN 1000 + number END, %(pool)s, %(operator)s, now(), now(), 1,
        CASE %(state)s WHEN 'running' THEN now() END,
        CASE %(pool)s WHEN 'at_most_once' THEN '{"at_most_once": true}'::jsonb END,
        CASE %(state)s WHEN 'running' THEN gen_random_uuid()::text END, CASE %(state)s WHEN 'deferred' THEN number + 1 END,
        CASE %(state)s WHEN 'deferred' THEN now() + interval '6 hours' END, CASE %(state)s WHEN 'deferred' THEN 'execute_complete' END
    FROM generate_series(0, %(count)s - 1) AS number
"""


def _fill_deployment(
    server: Endpoint, password: str, deployment: Deployment, mixture: Mixture, region: str, fernet: Mapping[str, str]
) -> None:
    rows = (
        ("load", "load_facts", "running", 2, schema.BATCH_POOL, mixture.retryable),
        ("publish", "load_facts", "running", 0, schema.BATCH_POOL, mixture.without_retries),
        ("charge", "billing", "running", 0, schema.AT_MOST_ONCE_POOL, mixture.at_most_once),
        ("backfill", "load_facts", "queued", 2, schema.BATCH_POOL, mixture.queued),
        ("wait_for_file", "load_facts", "deferred", 2, schema.BATCH_POOL, mixture.deferred),
    )
    with _connect(server, password, deployment.database) as connection, connection.transaction():
        connection.execute("SET LOCAL ROLE dr")
        connection.execute(
            "UPDATE slot_pool SET slots = %s WHERE pool = %s", (mixture.retryable + mixture.without_retries, schema.BATCH_POOL)
        )
        connection.execute("INSERT INTO variable (key, val) VALUES ('deployment', %s)", (deployment.name,))
        if deployment.id in fernet:
            _encrypt(connection, Fernet(fernet[deployment.id]))
        connection.execute(_RUNS)
        for task, dag, state, max_tries, pool, count in rows:
            connection.execute(
                _TASKS,
                {
                    "task": task, "dag": dag, "state": state, "max_tries": max_tries, "pool": pool, "count": count, "region": region,
                    "operator": schema.LONG_OPERATOR,
                },
            )  # fmt: skip
        if deployment.number == 1:  # the one that the lab's remote-execution agent works for
            connection.execute(
                "INSERT INTO dag (dag_id, bundle_version, timetable_summary, max_active_runs, next_dagrun_create_after, last_parsed_time)"
                " VALUES ('remote_sync', '4c1f', '2 seconds', 1, now(), now())"
            )
