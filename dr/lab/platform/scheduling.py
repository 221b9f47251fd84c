"""What a scheduler decides, as SQL: one statement, one transaction, one decision. No state is kept outside the tables.

Placeholders: ``job`` the scheduler's row in ``job``, ``region`` where it runs, ``deployment`` its id. In every statement the rule stands
that no task of the pool ``at_most_once`` that was ever started is started again: it fails instead.
"""
# ruff: noqa: S608  # put together from constants of this module; every value is a placeholder

from __future__ import annotations

START = """
WITH retired AS (
    UPDATE job SET state = 'failed', end_date = now()
    WHERE job_type = 'SchedulerJob' AND state = 'running' AND hostname LIKE %(region)s || '-%%'
), started AS (
    INSERT INTO job (state, job_type, start_date, latest_heartbeat, executor_class, hostname, unixname)
    VALUES ('running', 'SchedulerJob', now(), clock_timestamp(), 'StandInExecutor', %(region)s || '-' || %(deployment)s, 'airflow')
    RETURNING id, latest_heartbeat
), adopted AS (
    UPDATE task_instance SET queued_by_job_id = (SELECT id FROM started), last_heartbeat_at = now()
    WHERE state = 'running' AND queue <> 'remote' AND hostname LIKE %(region)s || '-%%'
    RETURNING id
)
SELECT id, latest_heartbeat, (SELECT count(*) FROM adopted) FROM started
"""
"""A new job row; earlier schedulers of this region are over, and what its own workers still run is taken on. Work of the other
region is left alone: what becomes of that is decided by who moves the platform."""

STOP = "UPDATE job SET state = 'success', end_date = now() WHERE id = %(job)s AND state = 'running'"
"""The scheduler ends. As with Airflow, the rows of what it ran stay as they are, with heartbeats that grow old."""

_STARTABLE = """
    (t.state IS NULL OR t.state IN ('scheduled', 'queued', 'up_for_retry', 'restarting'))
    AND NOT (t.queue = 'remote' AND t.state = 'queued' AND t.queued_by_job_id IS NOT DISTINCT FROM %(job)s)
    AND r.state = 'running' AND NOT d.is_paused
"""

_TAKEN = """
    SELECT pool, sum(pool_slots) AS slots FROM task_instance
    WHERE state = 'running' OR (state = 'queued' AND queue = 'remote' AND queued_by_job_id = %(job)s) GROUP BY pool
"""

_ENDING = """
    t.state = 'running' AND t.queued_by_job_id = %(job)s AND t.queue <> 'remote'
    AND t.operator IS DISTINCT FROM 'LongRunningOperator' AND t.start_date < now() - interval '150 ms'
"""

_UNFINISHED = "t.state IS NULL OR t.state NOT IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed')"

_DUE = """
    NOT d.is_paused AND d.next_dagrun_create_after <= now()
    AND NOT EXISTS (SELECT FROM dag_run r WHERE r.dag_id = d.dag_id AND r.state IN ('queued', 'running'))
"""

TICK = f"""
WITH beat AS (
    UPDATE job SET latest_heartbeat = clock_timestamp() WHERE id = %(job)s AND state = 'running' RETURNING latest_heartbeat
)
SELECT
    (SELECT latest_heartbeat FROM beat),
    (SELECT count(*) FROM task_instance t WHERE t.state = 'running' AND t.queued_by_job_id = %(job)s),
    EXISTS (SELECT FROM dag d WHERE {_DUE})
        OR EXISTS (SELECT FROM dag_run r JOIN dag d USING (dag_id) WHERE r.state = 'queued' AND NOT d.is_paused),
    EXISTS (
        SELECT FROM task_instance t JOIN dag_run r USING (dag_id, run_id) JOIN dag d USING (dag_id) JOIN slot_pool p USING (pool)
        LEFT JOIN ({_TAKEN}) AS taken USING (pool)
        WHERE {_STARTABLE} AND t.pool_slots <= p.slots - coalesce(taken.slots, 0)
    ),
    EXISTS (SELECT FROM task_instance t WHERE t.state = 'running' AND t.queued_by_job_id = %(job)s AND t.queue <> 'remote'
        AND t.operator IS DISTINCT FROM 'LongRunningOperator')
        OR EXISTS (SELECT FROM dag_run r WHERE r.state = 'running' AND NOT EXISTS (
            SELECT FROM task_instance t WHERE t.dag_id = r.dag_id AND t.run_id = r.run_id AND ({_UNFINISHED})))
"""
"""One heartbeat, and whether there is anything to do: heartbeat (NULL: the job was retired), tasks running, runs to create, tasks to
start, tasks or runs to end."""

HEARTBEAT = """
UPDATE task_instance SET last_heartbeat_at = now() WHERE state = 'running' AND queued_by_job_id = %(job)s AND queue <> 'remote'
"""

CREATE_RUNS = f"""
WITH due AS (
    UPDATE dag d SET next_dagrun = d.next_dagrun_create_after, next_dagrun_create_after = now() + d.timetable_summary::interval
    WHERE {_DUE} RETURNING d.dag_id
)
INSERT INTO dag_run (dag_id, run_id, run_type, logical_date, run_after, queued_at, state, creating_job_id)
SELECT dag_id, 'scheduled__' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), 'scheduled', now(), now(), now(),
    'queued', %(job)s
FROM due
"""

START_RUNS = """
WITH begun AS (
    UPDATE dag_run r SET state = 'running', start_date = coalesce(r.start_date, now()) FROM dag d
    WHERE r.state = 'queued' AND d.dag_id = r.dag_id AND NOT d.is_paused RETURNING r.dag_id, r.run_id
)
INSERT INTO task_instance (task_id, dag_id, run_id, max_tries, operator, queue)
SELECT coalesce(task.id, 'work'), begun.dag_id, begun.run_id, coalesce(task.retries, 0), coalesce(task.operator, 'PythonOperator'),
    coalesce(task.queue, 'default')
FROM begun LEFT JOIN (VALUES
    ('daily_report', 'extract', 2, 'FlakyOperator', 'default'),
    ('daily_report', 'report', 2, 'PythonOperator', 'default'),
    ('remote_sync', 'sync', 2, 'RemoteOperator', 'remote')
) AS task (dag_id, id, retries, operator, queue) ON task.dag_id = begun.dag_id
WHERE NOT EXISTS (SELECT FROM task_instance t WHERE t.dag_id = begun.dag_id AND t.run_id = begun.run_id)
"""
"""A run that somebody made without tasks gets those of its DAG, one called ``work`` where the DAG names none."""

START_TASKS = f"""
WITH taken AS ({_TAKEN}), waiting AS (
    SELECT t.id, t.state AS was, t.pool,
        sum(t.pool_slots) OVER (PARTITION BY t.pool ORDER BY t.priority_weight DESC, t.queued_dttm, t.map_index, t.id) AS reach,
        t.pool = 'at_most_once' AND (t.start_date IS NOT NULL OR EXISTS (
            SELECT FROM task_instance_history h
            WHERE h.dag_id = t.dag_id AND h.task_id = t.task_id AND h.run_id = t.run_id AND h.map_index = t.map_index
        )) AS started_before
    FROM task_instance t JOIN dag_run r USING (dag_id, run_id) JOIN dag d USING (dag_id) WHERE {_STARTABLE}
)
UPDATE task_instance t SET
    state = CASE WHEN w.started_before THEN 'failed' WHEN t.queue = 'remote' THEN 'queued' ELSE 'running' END,
    try_number = CASE
        WHEN w.started_before THEN t.try_number
        WHEN w.was IS NULL OR w.was IN ('up_for_retry', 'restarting') THEN t.try_number + 1
        ELSE greatest(t.try_number, 1) END,
    start_date = CASE WHEN w.started_before OR t.queue = 'remote' THEN t.start_date ELSE now() END,
    end_date = CASE WHEN w.started_before THEN now() END,
    last_heartbeat_at = CASE WHEN w.started_before OR t.queue = 'remote' THEN NULL ELSE now() END,
    hostname = CASE WHEN w.started_before OR t.queue = 'remote' THEN t.hostname ELSE %(region)s || '-worker-0' END,
    scheduled_dttm = coalesce(t.scheduled_dttm, now()), queued_dttm = coalesce(t.queued_dttm, now()), queued_by_job_id = %(job)s,
    updated_at = now()
FROM waiting w JOIN slot_pool p USING (pool) LEFT JOIN taken USING (pool)
WHERE t.id = w.id AND t.state IS NOT DISTINCT FROM w.was
    AND (w.started_before OR w.reach <= p.slots - coalesce(taken.slots, 0))
"""

END_TASKS = f"""
WITH ending AS (
    SELECT t.id, t.operator IS NOT DISTINCT FROM 'FlakyOperator' AND t.try_number <= 1 AS fails
    FROM task_instance t WHERE {_ENDING} FOR UPDATE
), kept AS (
    INSERT INTO task_instance_history (task_instance_id, task_id, dag_id, run_id, map_index, try_number, start_date, end_date, duration,
        state, max_tries, hostname, unixname, pid, pool, pool_slots, queue, priority_weight, operator, queued_dttm, scheduled_dttm,
        queued_by_job_id, last_heartbeat_at, executor_config, external_executor_id)
    SELECT t.id, task_id, dag_id, run_id, map_index, try_number, start_date, now(), extract(epoch FROM now() - start_date), 'failed',
        max_tries, hostname, unixname, pid, pool, pool_slots, queue, priority_weight, operator, queued_dttm, scheduled_dttm,
        queued_by_job_id, last_heartbeat_at, executor_config, external_executor_id
    FROM task_instance t JOIN ending e USING (id) WHERE e.fails AND t.try_number <= t.max_tries
), ended AS (
    UPDATE task_instance t SET
        id = CASE WHEN e.fails AND t.try_number <= t.max_tries THEN gen_random_uuid() ELSE t.id END,
        state = CASE WHEN NOT e.fails THEN 'success' WHEN t.try_number <= t.max_tries THEN 'up_for_retry' ELSE 'failed' END,
        end_date = now(), duration = extract(epoch FROM now() - t.start_date), updated_at = now()
    FROM ending e WHERE t.id = e.id RETURNING t.state, t.dag_id, t.run_id, t.task_id, t.map_index
)
INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value)
SELECT r.id, e.task_id, e.map_index, 'return_value', e.dag_id, e.run_id, jsonb_build_object('region', %(region)s::text)
FROM ended e JOIN dag_run r USING (dag_id, run_id) WHERE e.state = 'success' ON CONFLICT DO NOTHING
"""
"""Tasks end; a failed attempt with retries left becomes a history row and, under a new id, waits for its next one, as in Airflow."""

END_RUNS = f"""
UPDATE dag_run r SET end_date = now(), state = CASE WHEN EXISTS (
    SELECT FROM task_instance t WHERE t.dag_id = r.dag_id AND t.run_id = r.run_id AND t.state = 'failed') THEN 'failed' ELSE 'success' END
WHERE r.state = 'running' AND NOT EXISTS (
    SELECT FROM task_instance t WHERE t.dag_id = r.dag_id AND t.run_id = r.run_id AND ({_UNFINISHED}))
"""

CLAIM_REMOTE = """
UPDATE task_instance SET state = 'running', start_date = now(), last_heartbeat_at = now(), hostname = %(agent)s, updated_at = now()
WHERE id = (
    SELECT id FROM task_instance WHERE queue = 'remote' AND state = 'queued' AND queued_by_job_id = %(job)s
    ORDER BY queued_dttm LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING id::text, dag_id, task_id, run_id, try_number
"""
"""The next work item for a remote-execution agent; only what the scheduler that runs here has queued."""

AGENT_SEEN = """
WITH seen AS (
    UPDATE job SET latest_heartbeat = clock_timestamp(), state = 'running', end_date = NULL
    WHERE job_type = 'RemoteAgentJob' AND hostname = %(agent)s RETURNING id
)
INSERT INTO job (state, job_type, start_date, latest_heartbeat, hostname, unixname)
SELECT 'running', 'RemoteAgentJob', now(), now(), %(agent)s, 'agent' WHERE NOT EXISTS (SELECT FROM seen)
"""

END_REMOTE = """
WITH ended AS (
    UPDATE task_instance SET state = %(state)s, end_date = now(), duration = extract(epoch FROM now() - start_date), updated_at = now()
    WHERE id = %(item)s::uuid AND state = 'running' RETURNING dag_id, run_id, task_id, map_index
), told AS (
    INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value)
    SELECT r.id, task_id, map_index, 'return_value', dag_id, run_id, '"remote"' FROM ended JOIN dag_run r USING (dag_id, run_id)
    ON CONFLICT DO NOTHING
)
SELECT (SELECT count(*) FROM ended), (SELECT count(*) FROM task_instance WHERE id = %(item)s::uuid AND state = %(state)s)
"""
"""The result of a remote work item: rows that it ended, and whether it had been told before."""
