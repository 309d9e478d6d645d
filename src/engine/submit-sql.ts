/**
 * Writes many jobs with their tasks and first events in one statement; a job whose id or idempotency key is taken is
 * left out whole. Columns that hold JSON travel as text, so that no string of a caller is interpreted on the way.
 */
export const submitSql = `
WITH x AS (
  SELECT * FROM json_to_recordset($1::text::json) AS x(
    id text, surface text, client text, runner text, status text, priority int, tags text[], name text, input text,
    held boolean, dedup_key text, dedup_s float8, idem text, fp text, ck text, cm int, pid int, webhook text,
    details text, trace text, ev text)
), inserted AS (
  INSERT INTO jobs (id, surface, client, runner, status, priority, tags, name, input, held, queued_at, started_at, last_seq,
    dedup_key, dedup_until, idempotency_key, fingerprint, concurrency_key, concurrency_max, payload_id, webhook, details, traceparent)
  SELECT id, surface, client, runner, status, priority, coalesce(tags, '{}'), name, input::json, held,
    CASE WHEN held THEN NULL ELSE now() END, CASE WHEN status = 'running' THEN now() END, 1,
    dedup_key, now() + make_interval(secs => dedup_s), idem, fp, ck, cm, pid, webhook::json, details::json, trace
  FROM x
  ON CONFLICT DO NOTHING
  RETURNING id
), work AS (
  INSERT INTO tasks (job_id, index, runner, target, status, priority, attempt, max_attempts, backoff_s, timeout_ms,
    limits, options, requires, need, queued_at, not_before, started_at, run_id, node_id)
  SELECT t.job_id, t.index, t.runner, t.target, t.status, t.priority, CASE WHEN t.status = 'running' THEN 1 ELSE 0 END,
    t.max_attempts, t.backoff_s, t.timeout_ms, t.limits::json, t.options::json, t.requires::json, t.need,
    CASE WHEN t.first THEN now() END, t.not_before, CASE WHEN t.status = 'running' THEN now() END, t.run_id, t.node_id
  FROM json_to_recordset($2::text::json) AS t(
    job_id text, index int, runner text, target text, status text, priority int, max_attempts int, backoff_s int,
    timeout_ms int, limits text, options text, requires text, need text, first boolean, not_before timestamptz, run_id uuid, node_id text)
  JOIN inserted ON inserted.id = t.job_id
), logged AS (
  INSERT INTO events (job_id, seq, count, at, lines)
  SELECT x.id, 1, 1, now(), x.ev::json FROM x JOIN inserted ON inserted.id = x.id
)
SELECT id, to_char(now()::timestamptz(3) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at FROM inserted`;
