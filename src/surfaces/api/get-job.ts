import type { JobReader } from "../../engine/job-reader.ts";
import { waitForExisting } from "../../engine/wait.ts";
import type { ApiDeps } from "./deps.ts";
import { readQuery } from "./query.ts";
import { readWithWaiting, requireJobId } from "./read-job.ts";
import type { Job } from "./wire-job.ts";

const daySeconds = 86_400;

/** A job; with `?wait=N` once it has ended, or after so many seconds, of which the server grants its maximum. */
export async function getJob(deps: ApiDeps, reader: JobReader, request: Request, givenId: string): Promise<Job> {
  const id = requireJobId(givenId);
  const query = readQuery(request, ["wait", "token"]);
  const waitS = query.integer("wait", { min: 0, max: daySeconds }) ?? 0;
  query.text("token", 4_096);
  query.done();
  if (waitS > 0) {
    const waitMs = Math.min(waitS * 1_000, deps.settings.waitMaxMs);
    await waitForExisting(deps.engine, id, waitMs, request.signal);
  }
  return readWithWaiting(deps, reader, id);
}
