import { type JobFilter, listJobs } from "../../engine/list.ts";
import { searchCharsMax } from "../../engine/search.ts";
import { statuses } from "../../engine/status.ts";
import { readWaiting } from "../../engine/waiting.ts";
import { runnerNames } from "../../runners/contract.ts";
import { surfaceNames } from "../../settings/surface-names.ts";
import type { Cursors } from "./cursor.ts";
import type { ApiDeps } from "./deps.ts";
import { jobBody } from "./job-body.ts";
import { type Query, readQuery } from "./query.ts";
import type { Job } from "./wire-job.ts";

const limitUsual = 50;
export const limitMax = 200;
/** In a list fewer are counted in front of each job that waits. */
const aheadMax = 100;
const cursorCharsMax = 600;
const parameters = ["status", "surface", "runner", "client", "tag", "q", "limit", "after"];

/** One page of the jobs that the query asks for, newest first. */
export async function listPage(
  { engine, settings }: Pick<ApiDeps, "engine" | "settings">,
  cursors: Cursors,
  request: Request,
): Promise<{ jobs: Job[]; next: string | null }> {
  const query = readQuery(request, parameters);
  const filter = filterOf(query);
  const limit = query.integer("limit", { min: 1, max: limitMax }) ?? limitUsual;
  const cursor = query.text("after", cursorCharsMax);
  query.done();
  const after = cursor === undefined ? null : cursors.read(cursor, filter);
  const page = await listJobs(engine.db.sql, filter, { limit, after });
  const queued = page.jobs.filter(({ status }) => status === "queued").map(({ id }) => id);
  const waiting = await readWaiting(engine.db.sql, queued, { aheadMax });
  return {
    jobs: page.jobs.map((job) => jobBody(job, settings.publicUrl, waiting.get(job.id))),
    next: page.next === null ? null : cursors.write(page.next, filter),
  };
}

function filterOf(query: Query): JobFilter {
  const given = {
    status: query.words("status", statuses),
    surface: query.word("surface", surfaceNames),
    runner: query.word("runner", runnerNames),
    client: query.text("client", 300),
    tag: query.text("tag", 100),
    search: query.text("q", searchCharsMax),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
