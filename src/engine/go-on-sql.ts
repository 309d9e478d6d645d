/**
 * Ends many links of chains and starts the ones after them on node `$2`, in one statement that is written as those of
 * finish-sql.ts are. A run that is no longer the task's is left out, as is one that was asked to stop and one whose
 * successor does not wait: what may change the successor locks the task before it first. `nobody`, `never` and `nothing`
 * are always null.
 */
export const goOnSql = `
WITH x AS (
  SELECT * FROM json_to_recordset($1::text::json) AS x(
    j text, t int, r uuid, o text, f text, n int, ev text, q float8, u int, v uuid, nobody uuid, never timestamptz, nothing text)
  WHERE t >= 0 AND t <= 32767
), done AS (
  UPDATE tasks k SET status = 'succeeded', output = x.o::json, error = NULL, finished_at = now(), run_id = NULL
  FROM x WHERE k.job_id = x.j AND k.index = x.t AND k.run_id = x.r AND k.stop_reason IS NOT DISTINCT FROM x.nothing
    AND EXISTS (SELECT 1 FROM tasks l WHERE l.job_id = x.j AND l.index = x.u AND l.status = 'queued')
  RETURNING k.job_id, k.index, k.turn, k.attempt, k.node_id, k.started_at, x.r, x.f, x.n, x.ev, x.q, x.u, x.v, x.nobody, x.never
), started_link AS (
  UPDATE tasks l SET status = 'running', queued_at = now(), started_at = now(), attempt = 1, run_id = done.v, node_id = $2,
    stop_reason = NULL
  FROM done WHERE l.job_id = done.job_id AND l.index = done.u
    AND l.run_id IS NOT DISTINCT FROM done.nobody AND l.finished_at IS NOT DISTINCT FROM done.never
  RETURNING l.job_id, l.index, done.r, done.n, done.ev
), job AS (
  UPDATE jobs SET last_seq = last_seq + started_link.n FROM started_link WHERE jobs.id = started_link.job_id
  RETURNING jobs.id, jobs.last_seq, started_link.index, started_link.n, started_link.r, started_link.ev
), ran AS (
  INSERT INTO runs (run_id, job_id, task_index, turn, attempt, node_id, outcome, error, facts, queued_at, started_at, finished_at)
  SELECT r, job_id, index, turn, attempt, coalesce(node_id, 'elsewhere'), 'succeeded', NULL, f::json, to_timestamp(q / 1000),
    started_at, now() FROM done
), logged AS (
  INSERT INTO events (job_id, seq, count, run_id, at, lines) SELECT id, last_seq, n, r, now(), ev::json FROM job
)
SELECT r::text AS run_id, last_seq, (
  SELECT json_build_object('runner', m.runner, 'target', m.target, 'turn', m.turn, 'timeout_ms', m.timeout_ms,
    'max_attempts', m.max_attempts, 'backoff_s', m.backoff_s, 'options', m.options::text, 'limits', m.limits::text,
    'input', m.input::text, 'requires', m.requires::text, 'need', m.need)::text
  FROM tasks m WHERE m.job_id = job.id AND m.index = job.index + 1 AND m.status = 'queued') AS following
FROM job`;
