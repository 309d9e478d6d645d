import type { JobReader } from "../../engine/job-reader.ts";
import { readWaiting } from "../../engine/waiting.ts";
import { EngineError } from "../../errors.ts";
import type { ApiDeps } from "./deps.ts";
import { jobBody } from "./job-body.ts";
import { isJobId } from "./wire.ts";
import type { Job } from "./wire-job.ts";

/** Tasks counted in front of one that waits. */
const aheadMax = 10_000;

/** A job as this surface shows it, with why it waits while it does. Throws `not_found`. */
export async function readWithWaiting(
  { engine, settings }: Pick<ApiDeps, "engine" | "settings">,
  reader: JobReader,
  id: string,
): Promise<Job> {
  const job = isJobId(id) ? await reader.read(id) : null;
  if (job === null) throw noJob(id);
  const waiting = job.status === "queued" ? await readWaiting(engine.db.sql, [id], { aheadMax }) : undefined;
  return jobBody(job, settings.publicUrl, waiting?.get(id));
}

/**
 * An id as it was asked for, when it can be one; what cannot is refused before anything is looked up. The router gives null for what it
 * cannot decode, whatever its types say. Throws `not_found`.
 */
export function requireJobId(id: string | null): string {
  if (id === null || !isJobId(id)) throw noJob(id ?? "");
  return id;
}

export function noJob(id: string): EngineError {
  return new EngineError("not_found", `There is no job ${JSON.stringify(id.slice(0, 200))}`);
}
