import type { Sql } from "../../src/db/client.ts";

/** What a job's history says, one word or two a line: `status running`, `result`, `completed failed`. */
export async function historyOf(sql: Sql, jobId: string): Promise<string[]> {
  const rows = await sql<{ line: string }[]>`
    SELECT concat_ws(' ', l->>'k', l->'d'->>'status', l->'d'->>'reason') AS line
    FROM events e, json_array_elements(e.lines) WITH ORDINALITY AS x(l, n) WHERE job_id = ${jobId} ORDER BY seq, n`;
  return rows.map((row) => row.line);
}

/** The ended runs of a job in the order of their tasks and turns: `task/turn outcome`. */
export async function runsOf(sql: Sql, jobId: string): Promise<string[]> {
  const rows = await sql<{ line: string }[]>`
    SELECT task_index || '/' || turn || ' ' || outcome AS line FROM runs WHERE job_id = ${jobId} ORDER BY task_index, turn`;
  return rows.map((row) => row.line);
}

/** The status of a job followed by those of its tasks. */
export async function statusesOf(sql: Sql, jobId: string): Promise<string[]> {
  const rows = await sql<{ status: string }[]>`
    SELECT status FROM (SELECT -1 AS index, status FROM jobs WHERE id = ${jobId}
      UNION ALL SELECT index, status FROM tasks WHERE job_id = ${jobId}) s ORDER BY index`;
  return rows.map((row) => row.status);
}

/** Numbers of a job's events that are missing or there twice. Empty when they go from 1 to `last_seq` without a gap. */
export async function gapsOf(sql: Sql, jobId: string): Promise<number[]> {
  const rows = await sql<{ seq: number }[]>`
    WITH numbers AS (
      SELECT (e.seq - e.count + n)::int AS seq FROM events e, generate_series(1, e.count) n WHERE e.job_id = ${jobId})
    SELECT s AS seq FROM jobs j, generate_series(1, j.last_seq) s
    WHERE j.id = ${jobId} AND (SELECT count(*) FROM numbers WHERE numbers.seq = s) <> 1
    UNION ALL SELECT seq FROM numbers, jobs j WHERE j.id = ${jobId} AND seq NOT BETWEEN 1 AND j.last_seq`;
  return rows.map((row) => row.seq);
}
