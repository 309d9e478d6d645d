/**
 * Writes single-task jobs that have begun and ended here without having been written: job, task, run and history in one
 * statement, each row as the statements of a submission and of an end would have left it. `ms` is how long ago it began.
 */
export const recordSql = `
WITH x AS MATERIALIZED (
  SELECT x.*, now() - make_interval(secs => x.ms / 1000) AS begun FROM json_to_recordset($1::text::json) AS x(
    id text, surface text, client text, runner text, name text, input text, trace text, priority int, attempts int, backoff int,
    timeout int, r uuid, s text, oc text, o text, e text, f text, n int, ev text, ms float8)
), job AS (
  INSERT INTO jobs (id, surface, client, runner, status, priority, name, input, created_at, queued_at, started_at, finished_at,
    last_seq, traceparent)
  SELECT id, surface, client, runner, s, priority, name, input::json, begun, begun, begun, now(), n, trace FROM x
), task AS (
  INSERT INTO tasks (job_id, index, runner, target, status, priority, attempt, max_attempts, backoff_s, timeout_ms, output, error,
    queued_at, started_at, finished_at, node_id)
  SELECT id, 0, runner, name, s, priority, 1, attempts, backoff, timeout, o::json, e::json, begun, begun, now(), $2 FROM x
), ran AS (
  INSERT INTO runs (run_id, job_id, task_index, turn, attempt, node_id, outcome, error, facts, queued_at, started_at, finished_at)
  SELECT r, id, 0, 1, 1, $2, oc, e::json, f::json, begun, begun, now() FROM x
), logged AS (
  INSERT INTO events (job_id, seq, count, run_id, at, lines) SELECT id, n, n, r, now(), ev::json FROM x
)
SELECT 1`;
