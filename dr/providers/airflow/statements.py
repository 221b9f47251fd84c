"""SQL that a person gives to ``psql`` for each Deployment's database where the tool is gone: what the operations do, without them.

What was active before is recorded as the tool records it, in Airflow's audit table, under the name ``by-hand``: so the same statements put
back exactly that. ``{…}`` are filled in by ``by_hand``; everything else is as it is sent.
"""

from __future__ import annotations

HOLD = """\
WITH held AS (UPDATE dag SET is_paused = true WHERE NOT is_paused AND dag_id <> '{canary}' RETURNING dag_id)
INSERT INTO log (dttm, event, owner, dag_id, extra) SELECT now(), 'dr.hold', 'dr', dag_id, '{mark}' FROM held;"""

ACTIVE = "SELECT count(*) FROM dag WHERE NOT is_paused AND dag_id <> '{canary}'"

OWED = """\
SELECT DISTINCT dag_id FROM log WHERE event = 'dr.hold' AND extra = '{mark}'
  AND id > coalesce((SELECT max(id) FROM log WHERE event = 'dr.release' AND extra = '{mark}'), 0)"""

NOT_RELEASED = "SELECT count(*) FROM ({owed}) owed"

RELEASE = """\
WITH owed AS ({owed}),
freed AS (UPDATE dag SET is_paused = false WHERE dag_id IN (SELECT dag_id FROM owed))
INSERT INTO log (dttm, event, owner, dag_id, extra) SELECT now(), 'dr.release', 'dr', dag_id, '{mark}' FROM owed;"""

# the order counts: what must not run twice fails first, then what may is tried again, and what had not started waits for its turn
RECONCILE = """\
UPDATE job SET state = 'failed', end_date = now() WHERE state = 'running';
INSERT INTO log (dttm, event, owner, dag_id, run_id, task_id, map_index, try_number, extra)
SELECT now(), 'dr.task', 'dr', dag_id, run_id, task_id, map_index, try_number, '{mark} ' || state || ' ' || CASE
    WHEN state IN ('deferred', 'up_for_reschedule') THEN 'untouched'
    WHEN pool = '{pool}' THEN {at_most_once}
    WHEN state IN ('scheduled', 'up_for_retry') THEN 'untouched'
    WHEN state = 'queued' THEN 'requeued'
    WHEN {final} THEN 'failed'
    ELSE 'requeued' END || ' by hand'
  FROM task_instance
  WHERE state IN ('running', 'queued', 'restarting', 'scheduled', 'deferred', 'up_for_retry', 'up_for_reschedule');
UPDATE task_instance SET state = 'failed', end_date = now(), duration = extract(epoch FROM now() - start_date), pid = NULL,
    queued_by_job_id = NULL, last_heartbeat_at = NULL, external_executor_id = NULL, updated_at = now()
  WHERE (pool = '{pool}' AND state IN ({once_states})) OR (state IN ('running', 'restarting') AND {final});
SELECT format('INSERT INTO task_instance_history (task_instance_id, state, end_date, duration, %1$s)
    SELECT id, ''failed'', now(), extract(epoch FROM now() - start_date), %1$s FROM task_instance
    WHERE state IN (''running'', ''restarting'') ON CONFLICT DO NOTHING', string_agg(quote_ident(a.attname), ', '))
  FROM pg_attribute a JOIN pg_attribute b ON b.attname = a.attname AND b.attrelid = 'task_instance_history'::regclass
    AND b.attnum > 0 AND NOT b.attisdropped
  WHERE a.attrelid = 'task_instance'::regclass AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attname NOT IN ('id', 'task_instance_id', 'state', 'end_date', 'duration', 'updated_at') \\gexec
UPDATE task_instance SET id = gen_random_uuid(), state = NULL, start_date = NULL, end_date = NULL, duration = NULL, hostname = '',
    pid = NULL, queued_dttm = NULL, scheduled_dttm = NULL, queued_by_job_id = NULL, last_heartbeat_at = NULL,
    external_executor_id = NULL, updated_at = now()
  WHERE state IN ('running', 'restarting');
UPDATE task_instance SET state = 'scheduled', queued_dttm = NULL, queued_by_job_id = NULL, external_executor_id = NULL,
    updated_at = now()
  WHERE state = 'queued';
INSERT INTO log (dttm, event, owner, extra) VALUES (now(), 'dr.reconciled', 'dr', '{mark}');"""

UNDECIDED = "SELECT count(*) FROM task_instance WHERE state IN ('running', 'queued', 'restarting')"

NOT_SCHEDULED = """\
SELECT (count(*) = 0)::int FROM job
  WHERE job_type = 'SchedulerJob' AND state = 'running' AND latest_heartbeat > now() - interval '1 minute'"""

CANARY = """\
INSERT INTO dag (dag_id, is_paused) VALUES ('{canary}', false)
  ON CONFLICT (dag_id) DO UPDATE SET is_paused = false WHERE dag.is_paused;
INSERT INTO dag_run (dag_id, run_id, run_type, logical_date, run_after, queued_at, state)
  VALUES ('{canary}', '{mark}__' || now(), 'manual', now(), now(), now(), 'queued');"""

CANARY_WAITS = """\
SELECT count(*) FILTER (WHERE state <> 'success') + (count(*) = 0)::int FROM (SELECT state FROM dag_run
  WHERE dag_id = '{canary}' AND run_id LIKE '{mark}\\_\\_%' ORDER BY id DESC LIMIT 1) newest"""

LISTED = """\
SELECT id, name, namespace, workspace, hostname_ui, hostname_api, hostname_remote, image_digest, metrics_exports, pull_secrets, database
  FROM deployment ORDER BY id"""

DATABASES = "SELECT database FROM deployment ORDER BY id"
APIS = "SELECT hostname_api FROM deployment ORDER BY id"
NAMES = "SELECT unnest(ARRAY[hostname_ui, hostname_api, hostname_remote]) FROM deployment ORDER BY id"

CONTENTS = """\
SELECT current_database(), 'connection', conn_id FROM connection
UNION ALL SELECT current_database(), 'variable', key FROM variable
UNION ALL SELECT current_database(), 'pool', pool || ' ' || slots FROM slot_pool
UNION ALL SELECT current_database(), 'dag',
  dag_id || CASE WHEN is_paused THEN ' paused' ELSE ' active' END FROM dag WHERE dag_id <> '{canary}'
ORDER BY 1, 2, 3;"""
"""What must be there again after a move. Names only: what connections and variables hold is nothing for a file."""
