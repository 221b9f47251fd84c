"""The platform's tables as SQL: the list of Deployments, and the part of Airflow 3's metadata schema that a failover touches.

Names of tables, columns and constraints are Airflow's (``airflow-core/src/airflow/models``); columns that nothing here reads are left out.
Two things are the stand-in's own: the unique index that makes a public write with the same id one row, and ``executor_config`` as JSON.
"""

from __future__ import annotations

PLATFORM = """
CREATE TABLE deployment (
    id text PRIMARY KEY,
    name text NOT NULL UNIQUE,
    namespace text NOT NULL UNIQUE,
    workspace text NOT NULL,
    hostname_ui text NOT NULL UNIQUE,
    hostname_api text NOT NULL UNIQUE,
    hostname_remote text NOT NULL UNIQUE,
    image_digest text NOT NULL,
    image_rollback text[] NOT NULL DEFAULT '{}',
    environment jsonb NOT NULL DEFAULT '{}',
    metrics_exports text[] NOT NULL DEFAULT '{}',
    pull_secrets text[] NOT NULL DEFAULT '{}',
    database text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE deploy_lock (
    owner text PRIMARY KEY,
    reason text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
-- Waits for changes under way: whoever came before is through when this returns, whoever comes after sees the lock. Both take turns at
-- an advisory lock, and a function sees at each of its statements what was committed before that.
CREATE FUNCTION take_deploy_lock(who text, why text, seconds double precision) RETURNS TABLE (since timestamptz, expires_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(18444);
    RETURN QUERY INSERT INTO deploy_lock AS mine (owner, reason, expires_at) VALUES (who, why, now() + make_interval(secs => seconds))
        ON CONFLICT (owner) DO UPDATE SET expires_at = greatest(mine.expires_at, excluded.expires_at)
        RETURNING mine.since, mine.expires_at;
END $$;
CREATE FUNCTION change_deployment(wanted text, variables jsonb, image text)
RETURNS TABLE (locked_by text, reason text, expires_at timestamptz, image_digest text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock_shared(18444);
    RETURN QUERY SELECT owner, reason, expires_at, NULL::text FROM deploy_lock WHERE expires_at > clock_timestamp() ORDER BY since LIMIT 1;
    IF NOT FOUND THEN
        RETURN QUERY UPDATE deployment AS it
            SET environment = jsonb_strip_nulls(it.environment || variables), image_digest = coalesce(image, it.image_digest)
            WHERE it.id = wanted RETURNING NULL::text, NULL::text, NULL::timestamptz, it.image_digest;
    END IF;
END $$;
"""

AIRFLOW = """
CREATE TABLE dag (
    dag_id text PRIMARY KEY,
    is_paused boolean NOT NULL DEFAULT false,
    is_stale boolean NOT NULL DEFAULT false,
    bundle_name text NOT NULL DEFAULT 'dags-folder',
    bundle_version text,
    owners text NOT NULL DEFAULT 'data-platform',
    timetable_summary text,
    max_active_runs integer NOT NULL DEFAULT 16,
    next_dagrun timestamptz,
    next_dagrun_create_after timestamptz,
    last_parsed_time timestamptz
);
CREATE TABLE dag_run (
    id serial PRIMARY KEY,
    dag_id text NOT NULL,
    run_id text NOT NULL,
    run_type text NOT NULL DEFAULT 'scheduled',
    logical_date timestamptz,
    run_after timestamptz NOT NULL DEFAULT now(),
    queued_at timestamptz,
    start_date timestamptz,
    end_date timestamptz,
    state text NOT NULL DEFAULT 'queued',
    creating_job_id integer,
    conf jsonb,
    CONSTRAINT dag_run_dag_id_run_id_key UNIQUE (dag_id, run_id)
);
CREATE INDEX dag_run_state ON dag_run (state) WHERE state IN ('queued', 'running');
CREATE TABLE task_instance (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    task_id text NOT NULL,
    dag_id text NOT NULL,
    run_id text NOT NULL,
    map_index integer NOT NULL DEFAULT -1,
    start_date timestamptz,
    end_date timestamptz,
    duration double precision,
    state text,
    try_number integer NOT NULL DEFAULT 0,
    max_tries integer NOT NULL DEFAULT 0,
    hostname text,
    unixname text,
    pid integer,
    pool text NOT NULL DEFAULT 'default_pool',
    pool_slots integer NOT NULL DEFAULT 1,
    queue text NOT NULL DEFAULT 'default',
    priority_weight integer NOT NULL DEFAULT 1,
    operator text,
    queued_dttm timestamptz,
    scheduled_dttm timestamptz,
    queued_by_job_id integer,
    last_heartbeat_at timestamptz,
    executor_config jsonb,
    external_executor_id text,
    trigger_id integer,
    trigger_timeout timestamptz,
    next_method text,
    next_kwargs jsonb,
    updated_at timestamptz DEFAULT now(),
    CONSTRAINT task_instance_composite_key UNIQUE (dag_id, task_id, run_id, map_index),
    CONSTRAINT task_instance_dag_run_fkey FOREIGN KEY (dag_id, run_id) REFERENCES dag_run (dag_id, run_id) ON DELETE CASCADE
);
CREATE INDEX ti_state ON task_instance (state);
CREATE INDEX ti_unfinished ON task_instance (dag_id, run_id)
    WHERE state IS NULL OR state NOT IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed');
CREATE TABLE task_instance_history (
    task_instance_id uuid PRIMARY KEY,
    task_id text NOT NULL,
    dag_id text NOT NULL,
    run_id text NOT NULL,
    map_index integer NOT NULL DEFAULT -1,
    try_number integer NOT NULL,
    start_date timestamptz,
    end_date timestamptz,
    duration double precision,
    state text,
    max_tries integer NOT NULL DEFAULT 0,
    hostname text,
    unixname text,
    pid integer,
    pool text NOT NULL,
    pool_slots integer NOT NULL DEFAULT 1,
    queue text NOT NULL DEFAULT 'default',
    priority_weight integer NOT NULL DEFAULT 1,
    operator text,
    queued_dttm timestamptz,
    scheduled_dttm timestamptz,
    queued_by_job_id integer,
    last_heartbeat_at timestamptz,
    executor_config jsonb,
    external_executor_id text,
    updated_at timestamptz DEFAULT now(),
    CONSTRAINT task_instance_history_dtrt_uq UNIQUE (dag_id, task_id, run_id, map_index, try_number)
);
CREATE TABLE xcom (
    dag_run_id integer NOT NULL,
    task_id text NOT NULL,
    map_index integer NOT NULL DEFAULT -1,
    key text NOT NULL,
    dag_id text NOT NULL,
    run_id text NOT NULL,
    value jsonb,
    timestamp timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dag_run_id, task_id, map_index, key)
);
CREATE TABLE connection (
    id serial PRIMARY KEY,
    conn_id text NOT NULL UNIQUE,
    conn_type text NOT NULL,
    description text,
    host text,
    schema text,
    login text,
    password text,
    port integer,
    is_encrypted boolean NOT NULL DEFAULT false,
    is_extra_encrypted boolean NOT NULL DEFAULT false,
    extra text
);
CREATE TABLE variable (
    id serial PRIMARY KEY,
    key text NOT NULL UNIQUE,
    val text,
    description text,
    is_encrypted boolean NOT NULL DEFAULT false
);
CREATE TABLE slot_pool (
    id serial PRIMARY KEY,
    pool text NOT NULL UNIQUE,
    slots integer NOT NULL,
    description text,
    include_deferred boolean NOT NULL DEFAULT false
);
CREATE TABLE job (
    id serial PRIMARY KEY,
    dag_id text,
    state text,
    job_type text,
    start_date timestamptz,
    end_date timestamptz,
    latest_heartbeat timestamptz,
    executor_class text,
    hostname text,
    unixname text
);
CREATE INDEX job_type_heart ON job (job_type, latest_heartbeat);
CREATE TABLE log (
    id serial PRIMARY KEY,
    dttm timestamptz NOT NULL DEFAULT now(),
    dag_id text,
    task_id text,
    map_index integer,
    run_id text,
    try_number integer,
    logical_date timestamptz,
    event text NOT NULL,
    owner text,
    owner_display_name text,
    extra text
);
CREATE UNIQUE INDEX log_public_write ON log (extra) WHERE event IN ('outside', 'check');
"""

GRANTS = """
GRANT USAGE ON SCHEMA public TO runtime;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO runtime;
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO runtime;
"""
"""Run after the tables, as their owner (the role ``dr``): the runtime reads and writes rows and changes no table."""

AT_MOST_ONCE_POOL = "at_most_once"
"""Tasks of this pool are never started a second time."""

BATCH_POOL = "batch"
"""The pool of the seeded long tasks; it is full, so that what is queued in it stays queued until a slot is given back."""

REMOTE_QUEUE = "remote"
"""Tasks of this queue are run by the remote-execution agent, not by the region's own executor."""

LONG_OPERATOR = "LongRunningOperator"
"""Tasks of this operator run, and heartbeat, until somebody ends them. All others end after a fraction of a second."""

FLAKY_OPERATOR = "FlakyOperator"
"""Tasks of this operator fail at their first try, so that there are retries."""
