import type { Sql } from "../../src/db/client.ts";
import type { Accepted } from "./load.ts";

/** What is true of the accepted jobs in the end. Every list should be empty; the counts say how much was tried. */
export type Verdict = {
  accepted: number;
  succeeded: number;
  cancelled: number;
  /** Lost three times, and therefore failed: an end that was promised. */
  givenUp: number;
  executions: number;
  /** Runs that were recorded as lost or interrupted. */
  brokenOff: number;
  lost: string[];
  finishedTwice: string[];
  wrong: string[];
};

/** The ids among `accepted` that have no end yet. */
export async function unfinished(sql: Sql, accepted: Accepted): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    SELECT a.id FROM unnest(${[...accepted.keys()]}::text[]) AS a(id) LEFT JOIN jobs j ON j.id = a.id
    WHERE j.finished_at IS NULL`;
  return rows.map((row) => row.id);
}

export async function judge(sql: Sql, accepted: Accepted): Promise<Verdict> {
  const [counts] = await sql<{ succeeded: number; cancelled: number; givenUp: number }[]>`
    SELECT count(*) FILTER (WHERE j.status = 'succeeded')::int AS succeeded, count(*) FILTER (WHERE j.status = 'cancelled')::int AS cancelled,
      count(*) FILTER (WHERE j.status = 'failed' AND EXISTS (
        SELECT 1 FROM tasks k WHERE k.job_id = j.id AND k.error->>'code' = 'lost' AND k.lost_runs = 3))::int AS "givenUp"
    FROM jobs j WHERE j.id = ANY(${[...accepted.keys()]})`;
  const [runs] = await sql<{ executions: number; brokenOff: number }[]>`
    SELECT (SELECT count(*)::int FROM executions) AS executions,
      (SELECT count(*)::int FROM runs WHERE outcome IN ('lost', 'interrupted')) AS "brokenOff"`;
  const { succeeded = 0, cancelled = 0, givenUp = 0 } = counts ?? {};
  const wrong = await Promise.all(
    [...brokenPromises, ...wrongWork].map(async ([what, text]) =>
      named(what, await sql.unsafe<{ id: string }[]>(text)),
    ),
  );
  const otherEnds = accepted.size - succeeded - cancelled - givenUp;
  return {
    accepted: accepted.size,
    ...{ succeeded, cancelled, givenUp },
    executions: runs?.executions ?? 0,
    brokenOff: runs?.brokenOff ?? 0,
    lost: await unfinished(sql, accepted),
    finishedTwice: (await sql.unsafe<{ id: string }[]>(finishedTwice)).map((row) => row.id),
    wrong: [
      ...wrong.flat(),
      ...(otherEnds === 0 ? [] : [`${otherEnds} accepted jobs have an end that nothing explains`]),
    ],
  };
}

const lines = "FROM events e, json_array_elements(e.lines) l WHERE l->>'k' = 'completed'";

/** Finds jobs and tasks that have ended more than once. */
export const finishedTwice = `
  SELECT e.job_id AS id ${lines} GROUP BY 1 HAVING count(*) > 1
  UNION SELECT job_id FROM runs WHERE outcome = 'succeeded' GROUP BY job_id, task_index HAVING count(*) > 1`;

/** Statements that find jobs of which something is not as promised, whatever they do. */
export const brokenPromises = new Map([
  [
    "has ended without a completed event",
    `SELECT id FROM jobs WHERE finished_at IS NOT NULL AND id NOT IN (SELECT e.job_id ${lines})`,
  ],
  [
    "has gaps in its history",
    `SELECT j.id FROM jobs j LEFT JOIN events e ON e.job_id = j.id GROUP BY j.id, j.last_seq
     HAVING coalesce(sum(e.count), 0) <> j.last_seq OR max(e.seq) <> j.last_seq OR count(*) <> count(DISTINCT e.seq)`,
  ],
  [
    "is ended with a task that is not",
    "SELECT j.id FROM jobs j JOIN tasks k ON k.job_id = j.id WHERE j.finished_at IS NOT NULL AND k.finished_at IS NULL",
  ],
  [
    "has another status than its task",
    "SELECT j.id FROM jobs j JOIN tasks k ON k.job_id = j.id WHERE NOT EXISTS (SELECT 1 FROM tasks q WHERE q.job_id = j.id AND q.status = j.status)",
  ],
  [
    "has not one delivery",
    `SELECT j.id FROM jobs j WHERE j.webhook IS NOT NULL AND j.finished_at IS NOT NULL
       AND (SELECT count(*) FROM deliveries d WHERE d.job_id = j.id) <> 1`,
  ],
  [
    "waits in the queue though it has ended",
    `SELECT j.id FROM pgboss.job m JOIN jobs j ON j.id = m.data->>'j' JOIN tasks k ON k.job_id = j.id AND k.index = (m.data->>'t')::int
     WHERE j.finished_at IS NOT NULL AND k.turn = (m.data->>'n')::int AND j.status <> 'cancelled'`,
  ],
]);

/** The same for what the work of this harness leaves behind. */
const wrongWork = new Map([
  [
    "has a result of another run than the one recorded",
    `SELECT k.job_id AS id FROM tasks k JOIN runs r ON r.job_id = k.job_id AND r.task_index = k.index AND r.outcome = 'succeeded'
     WHERE k.status = 'succeeded' AND k.output->>'run' <> r.run_id::text`,
  ],
  [
    "has a recorded result that was never executed",
    `SELECT r.job_id AS id FROM runs r WHERE r.outcome = 'succeeded' AND NOT EXISTS (
       SELECT 1 FROM executions x WHERE x.run_id = r.run_id AND x.job_id = r.job_id AND x.task = r.task_index)`,
  ],
  ["was executed twice by one run", "SELECT job_id AS id FROM executions GROUP BY job_id, run_id HAVING count(*) > 1"],
  [
    "is a chain with a wrong result",
    "SELECT k.job_id AS id FROM tasks k JOIN jobs j ON j.id = k.job_id WHERE k.status = 'succeeded' AND (k.output->>'n')::int <> k.index + 1",
  ],
]);

function named(what: string, rows: { id: string }[]): string[] {
  return rows.map(({ id }) => `${id} ${what}`);
}
