import type { Sql } from "../../../src/db/client.ts";
import { brokenPromises, finishedTwice } from "../verdict.ts";
import type { Journal } from "./callers.ts";

/** What is true in the end of what callers were promised. Every list should be empty. */
export type Audit = {
  accepted: number;
  succeeded: number;
  cancelled: number;
  /** Lost with their node three times, and therefore failed: each with what became of its runs. */
  givenUp: string[];
  /** Runs that ended with their node, and runs that a drain put back. */
  runs: { lost: number; interrupted: number };
  streams: { followed: number; events: number; connections: number };
  /** Accepted jobs without an end. */
  lost: string[];
  finishedTwice: string[];
  /** Gaps and repeats that readers of streams saw. */
  gaps: string[];
  /** Jobs that ended otherwise than their work does. */
  wrong: string[];
};

/** The ids among those accepted that have no end yet. */
export async function unended(sql: Sql, { accepted }: Journal): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    SELECT a.id FROM unnest(${[...accepted.keys()]}::text[]) AS a(id) LEFT JOIN jobs j ON j.id = a.id
    WHERE j.finished_at IS NULL`;
  return rows.map((row) => row.id);
}

export async function audit(sql: Sql, journal: Journal): Promise<Audit> {
  const { accepted, streams } = journal;
  const ends = await sql<{ id: string; status: string; lost: boolean }[]>`
    SELECT j.id, j.status, EXISTS (SELECT 1 FROM tasks k WHERE k.job_id = j.id AND k.error->>'code' = 'lost') AS lost
    FROM jobs j WHERE j.id = ANY(${[...accepted.keys()]}) AND j.finished_at IS NOT NULL`;
  const [runs] = await sql<{ lost: number; interrupted: number }[]>`
    SELECT count(*) FILTER (WHERE outcome = 'lost')::int AS lost,
      count(*) FILTER (WHERE outcome = 'interrupted')::int AS interrupted FROM runs`;
  const count = (status: string) => ends.filter((end) => end.status === status).length;
  const broken = await Promise.all(
    [...brokenPromises].map(async ([what, text]) =>
      (await sql.unsafe<{ id: string }[]>(text)).map(({ id }) => `${id} ${what}`),
    ),
  );
  const unexplained = ends.filter(({ id, status, lost }) =>
    status === "failed" ? !lost : status === "cancelled" && accepted.get(id) !== "cancelled",
  );
  return {
    accepted: accepted.size,
    succeeded: count("succeeded"),
    cancelled: count("cancelled"),
    givenUp: await Promise.all(ends.filter(({ lost }) => lost).map(({ id }) => historyOf(sql, id))),
    runs: { lost: runs?.lost ?? 0, interrupted: runs?.interrupted ?? 0 },
    streams: {
      followed: streams.length,
      events: sumOf(streams.map(({ events }) => events)),
      connections: sumOf(streams.map(({ connections }) => connections)),
    },
    lost: await unended(sql, journal),
    finishedTwice: (await sql.unsafe<{ id: string }[]>(finishedTwice)).map(({ id }) => id),
    gaps: streams.flatMap(({ faults }) => faults),
    wrong: [...broken.flat(), ...unexplained.map(({ id, status }) => `${id} is ${status}`), ...journal.oddAnswers],
  };
}

async function historyOf(sql: Sql, id: string): Promise<string> {
  const runs = await sql<{ line: string }[]>`
    SELECT concat_ws(' ', node_id, outcome, to_char(started_at, 'HH24:MI:SS.MS'), 'to', to_char(finished_at, 'HH24:MI:SS.MS')) AS line
    FROM runs WHERE job_id = ${id} ORDER BY turn`;
  return `${id}: ${runs.map(({ line }) => line).join(", ")}`;
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
