import { messageRows, putSql } from "../queue/put-sql.ts";
import { channel } from "./notify.ts";

const x = `
WITH x AS (
  SELECT * FROM json_to_recordset($1::text::json) AS x(
    id text, surface text, client text, runner text, status text, priority int, name text, input text, ev text, more json)
)`;

const jobs = `
, inserted AS (
  INSERT INTO jobs (id, surface, client, runner, status, priority, name, input, queued_at, started_at, last_seq,
    tags, held, dedup_key, dedup_until, idempotency_key, fingerprint, concurrency_key, concurrency_max, payload_id, webhook, details, traceparent)
  SELECT id, surface, client, runner, status, priority, name, input::json,
    CASE WHEN more->'held' IS NULL THEN now() END, CASE WHEN status = 'running' THEN now() END, 1,
    CASE WHEN more->'tags' IS NULL THEN '{}' ELSE ARRAY(SELECT json_array_elements_text(more->'tags')) END, more->'held' IS NOT NULL,
    more->>'dedup_key', now() + make_interval(secs => (more->>'dedup_s')::float8), more->>'idem', more->>'fp',
    more->>'ck', (more->>'cm')::int, (more->>'pid')::int, (more->>'webhook')::json, (more->>'details')::json, more->>'trace'
  FROM x`;

const others = `
, work AS (
  INSERT INTO tasks (job_id, index, runner, target, status, priority, attempt, max_attempts, backoff_s, timeout_ms,
    queued_at, started_at, run_id, node_id, limits, options, requires, need, not_before)
  SELECT t.job_id, t.index, t.runner, t.target, t.status, t.priority, CASE WHEN t.status = 'running' THEN 1 ELSE 0 END,
    t.max_attempts, t.backoff_s, t.timeout_ms, CASE WHEN t.first THEN now() END,
    CASE WHEN t.status = 'running' THEN now() END, t.run_id, t.node_id,
    (t.more->>'limits')::json, (t.more->>'options')::json, (t.more->>'requires')::json, t.more->>'need', (t.more->>'not_before')::timestamptz
  FROM json_to_recordset($2::text::json) AS t(
    job_id text, index int, runner text, target text, status text, priority int, max_attempts int, backoff_s int,
    timeout_ms int, first boolean, run_id uuid, node_id text, more json)
  JOIN inserted ON inserted.id = t.job_id
), queued AS (${putSql(`${messageRows("$4")} JOIN inserted ON inserted.id = m.j`)}
), logged AS (
  INSERT INTO events (job_id, seq, count, at, lines)
  SELECT x.id, 1, 1, now(), x.ev::json FROM x JOIN inserted ON inserted.id = x.id
)
SELECT json_agg(id)::text AS ids, to_char(now()::timestamptz(3) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at,
  CASE WHEN $3::boolean THEN (SELECT set_config('synchronous_commit', 'off', true)) END AS flush,
  (SELECT count(pg_notify('${channel}', n)) FROM unnest($5::text[]) n) AS told
FROM inserted`;

/**
 * Writes many jobs with their tasks, first events and messages in one statement; a job whose id or idempotency key is taken is
 * left out whole. Columns that hold JSON travel as text, so that no string of a caller is interpreted on the way. What
 * few jobs have travels in `more`: Postgres looks for every named column in every row.
 * With `$3` the commit does not wait for the disk; it is written there with the next one that does. `$4` are the messages, `$5` is
 * told to the other nodes.
 */
export const submitSql = `${x}${jobs} ON CONFLICT DO NOTHING RETURNING id
)${others}`;

/**
 * The same with the rows of the payloads that some of the jobs came with (`$6`), whose files are on the node `$7`. What is written
 * of them hangs on an upload that ends here: a job whose upload has been given up is left out whole. Of a job that is left out
 * for its names the upload goes on.
 */
export const submitWithPayloadsSql = `${x}, y AS (
  SELECT * FROM json_to_recordset($6::text::json) AS y(id int, job_id text, files int, bytes bigint, manifest text)
), uploaded AS (
  DELETE FROM uploads WHERE payload_id = ANY(ARRAY(SELECT id FROM y)) AND swept_at IS NULL RETURNING payload_id AS id
)${jobs} WHERE more->'pid' IS NULL OR (more->>'pid')::int IN (SELECT id FROM uploaded)
  ON CONFLICT DO NOTHING RETURNING id, payload_id
), payload AS (
  INSERT INTO payloads (id, job_id, files, bytes, manifest, node_id)
  SELECT y.id, y.job_id, y.files, y.bytes, y.manifest::json, $7::text FROM y JOIN inserted ON inserted.id = y.job_id
), unused AS (
  INSERT INTO uploads (payload_id, node_id)
  SELECT id, $7::text FROM uploaded WHERE id NOT IN (SELECT payload_id FROM inserted WHERE payload_id IS NOT NULL)
)${others}`;
