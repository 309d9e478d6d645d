/*
 * Both statements avoid joins between their own steps: on the hot pool those would be nested loops, quadratic in the
 * size of the group. A step hands on what the next one needs instead, the lines of the history as JSON text. A task is
 * looked up by its key alone: `run_id` is null unless it runs, and naming the status would invite a scan of everything
 * that runs. That an index lies between 0 and 32,767 goes without saying, but it makes the planner expect one row and
 * begin with it: a plan that was made while the tables were small would begin with them.
 */

/**
 * Ends many tasks of single-task jobs in one statement: task, job, run and history together. A row whose `run_id` is no
 * longer the task's is left out, and so is everything that hangs on it.
 */
export const finishSql = `
WITH x AS (
  SELECT * FROM json_to_recordset($1::text::json) AS x(
    j text, t int, r uuid, s text, oc text, o text, e text, f text, n int, ev text)
  WHERE t >= 0 AND t <= 32767
), done AS (
  UPDATE tasks k SET status = x.s, output = x.o::json, error = x.e::json, finished_at = now(), run_id = NULL, stop_reason = NULL
  FROM x WHERE k.job_id = x.j AND k.index = x.t AND k.run_id = x.r
  RETURNING k.job_id, k.index, k.turn, k.attempt, k.node_id, k.queued_at, k.started_at, x.r, x.s, x.oc, x.e, x.f, x.n, x.ev
), job AS (
  UPDATE jobs SET status = done.s, finished_at = now(), last_seq = last_seq + done.n
  FROM done WHERE jobs.id = done.job_id
  RETURNING jobs.id, jobs.last_seq, done.n, done.r, done.ev
), ran AS (
  INSERT INTO runs (run_id, job_id, task_index, turn, attempt, node_id, outcome, error, facts, queued_at, started_at, finished_at)
  SELECT r, job_id, index, turn, attempt, node_id, oc, e::json, f::json, queued_at, started_at, now() FROM done
), logged AS (
  INSERT INTO events (job_id, seq, count, run_id, at, lines) SELECT id, last_seq, n, r, now(), ev::json FROM job
)
SELECT r::text AS run_id, last_seq FROM job`;

/**
 * Adds events of running tasks; those of a run that no longer owns its task, or of an ended job, are left out. `never`
 * is always null: asked for by a name, the jobs without an end are not looked for in their own index.
 */
export const appendSql = `
WITH x AS (
  SELECT x.* FROM json_to_recordset($1::text::json) AS x(j text, t int, r uuid, n int, ev text, never timestamptz)
  JOIN tasks k ON k.job_id = x.j AND k.index = x.t AND k.run_id = x.r
  WHERE x.t >= 0 AND x.t <= 32767
), job AS (
  UPDATE jobs SET last_seq = last_seq + x.n FROM x WHERE jobs.id = x.j AND jobs.finished_at IS NOT DISTINCT FROM x.never
  RETURNING jobs.id, jobs.last_seq, x.n, x.r, x.ev
), logged AS (
  INSERT INTO events (job_id, seq, count, run_id, at, lines) SELECT id, last_seq, n, r, now(), ev::json FROM job
)
SELECT r::text AS run_id, last_seq FROM job`;
