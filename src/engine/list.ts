import type { Sql } from "../db/client.ts";
import { codeOf } from "../db/client.ts";
import { EngineError } from "../errors.ts";
import { type JobView, readJobs } from "./read.ts";
import { searchCondition } from "./search.ts";
import { isFinal, statuses } from "./status.ts";

/** Which jobs are asked for; all conditions must hold. */
export type JobFilter = {
  status?: readonly string[];
  surface?: string;
  runner?: string;
  client?: string;
  tag?: string;
  search?: string;
};

/** A place in the list: behind this job. */
export type Position = { createdAt: string; id: string };

/** Newest first. `next` is where to go on, or null at the end; a page may hold fewer jobs than were asked for and still have a next one. */
export type JobPage = { jobs: JobView[]; next: Position | null };

/** Jobs looked at per request when most of them may be passed over, so that a rare match costs many requests and not one long one. */
const lookedAtMax = 50_000;
/** A search reads inputs and outputs, so it looks at fewer at a time. */
const searchStep = 1_000;
const filterStep = 10_000;
const budgetMs = 1_000;
const statementMaxMs = 3_000;
/** A page ends early when its jobs are large: sum of their inputs and outputs as they lie on the disk, where they are compressed. */
const pageBytesMax = 2_097_152;

/** `range` is what an index can follow; `match` is asked of every job in that range. Both have their parameters in `values`. */
type Condition = { range: string; match: string; values: unknown[] };
type Hit = { id: string; at: string; bytes: number };
type Look = { hits: Hit[]; looked: number; last: Position | null };

/** One page of jobs. Throws `unavailable` when even a small part of them takes too long to search. */
export async function listJobs(
  sql: Sql,
  filter: JobFilter,
  page: { limit: number; after: Position | null },
): Promise<JobPage> {
  const { hits, next } = await findJobs(sql, filter, page);
  const jobs = await readJobs(
    sql,
    hits.map(({ id }) => id),
  );
  return { jobs, next };
}

async function findJobs(sql: Sql, filter: JobFilter, page: { limit: number; after: Position | null }) {
  const condition = conditionOf(filter);
  const step = stepOf(filter, condition, page.limit);
  const deadlineMs = performance.now() + budgetMs;
  const hits: Hit[] = [];
  let after = page.after;
  for (let looked = 0; ;) {
    const look = await lookAt(sql, condition, { after, step, most: page.limit + 1 - hits.length });
    hits.push(...look.hits);
    looked += look.looked;
    const cut = cutOf(hits, page.limit);
    if (cut < hits.length) return { hits: hits.slice(0, cut), next: positionOf(hits[cut - 1]) };
    if (look.looked < step) return { hits, next: null };
    after = look.last;
    if (looked >= lookedAtMax || performance.now() > deadlineMs) return { hits, next: after };
  }
}

function stepOf(filter: JobFilter, condition: Condition, limit: number): number {
  if (filter.search !== undefined) return searchStep;
  return condition.match === "true" ? limit + 1 : filterStep;
}

/** How many of the hits make the page. */
function cutOf(hits: Hit[], limit: number): number {
  let bytes = 0;
  for (const [at, hit] of hits.entries()) {
    bytes += hit.bytes;
    if (at === limit || (at > 0 && bytes > pageBytesMax)) return at;
  }
  return hits.length;
}

function positionOf(hit: Hit | undefined): Position | null {
  return hit === undefined ? null : { createdAt: hit.at, id: hit.id };
}

/** Looks at the next `step` jobs. One snapshot for the hits and for how far it went, or jobs that come meanwhile would shift them. */
async function lookAt(
  sql: Sql,
  condition: Condition,
  range: { after: Position | null; step: number; most: number },
): Promise<Look> {
  const at = condition.values.length;
  const after = range.after === null ? "true" : `(j.created_at, j.id) < ($${at + 3}::timestamptz, $${at + 4})`;
  const text = `
    WITH seen AS MATERIALIZED (
      SELECT j.id, j.created_at, (${condition.match}) AS hit FROM jobs j
      WHERE ${condition.range} AND ${after} ORDER BY j.created_at DESC, j.id DESC LIMIT $${at + 1}
    ), hits AS (SELECT id, created_at, true AS hit FROM seen WHERE hit ORDER BY created_at DESC, id DESC LIMIT $${at + 2}
    ), last AS (SELECT id, created_at, false AS hit FROM seen ORDER BY created_at, id LIMIT 1)
    SELECT x.id, to_char(x.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at, x.hit,
      (SELECT count(*)::int FROM seen) AS looked,
      (pg_column_size(j.input) + (SELECT coalesce(sum(pg_column_size(k.output)), 0) FROM tasks k WHERE k.job_id = x.id))::int AS bytes
    FROM (SELECT * FROM hits UNION ALL SELECT * FROM last) x JOIN jobs j USING (id)
    ORDER BY x.hit DESC, x.created_at DESC, x.id DESC`;
  const position = range.after === null ? [] : [range.after.createdAt, range.after.id];
  const rows = await bounded(sql, text, [...condition.values, range.step, range.most, ...position]);
  const last = rows.find((row) => !row.hit);
  return {
    hits: rows.filter((row) => row.hit),
    looked: rows[0]?.looked ?? 0,
    last: last === undefined ? null : { createdAt: last.at, id: last.id },
  };
}

type Row = Hit & { hit: boolean; looked: number };

async function bounded(sql: Sql, text: string, values: unknown[]): Promise<Row[]> {
  try {
    return await sql.begin("READ ONLY", async (tx) => {
      await tx.unsafe(`SET LOCAL statement_timeout = ${statementMaxMs}`);
      return tx.unsafe<Row[]>(text, values as never[], { prepare: true });
    });
  } catch (fault) {
    if (codeOf(fault) !== "57014") throw fault;
    throw new EngineError("unavailable", "The search took too long: narrow it with status, tag or another filter", {
      cause: fault,
    });
  }
}

function conditionOf(filter: JobFilter): Condition {
  const values: unknown[] = [];
  const place = (value: unknown) => `$${values.push(value)}`;
  const equals = (column: string, value: string | undefined) =>
    value === undefined ? [] : [`j.${column} = ${place(value)}`];
  const status = filter.status === undefined ? null : `j.status = ANY (${place(filter.status)}::text[])`;
  // Few jobs are unfinished among many that are, and an index knows them.
  const isRange = status !== null && filter.status?.every((word) => unfinished.includes(word));
  const parts = [
    ...(status === null || isRange ? [] : [status]),
    ...equals("surface", filter.surface),
    ...equals("runner", filter.runner),
    ...equals("client", filter.client),
    ...(filter.tag === undefined ? [] : [`${place(filter.tag)} = ANY (j.tags)`]),
    ...searchPart(filter.search, values),
  ];
  const range = isRange ? `j.finished_at IS NULL AND ${status}` : "true";
  return { range, match: parts.length === 0 ? "true" : parts.join(" AND "), values };
}

const unfinished: readonly string[] = statuses.filter((status) => !isFinal(status));

function searchPart(text: string | undefined, values: unknown[]): string[] {
  if (text === undefined) return [];
  const search = searchCondition(text, values.length + 1);
  values.push(...search.values);
  return [search.text];
}
