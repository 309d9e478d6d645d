import { Elysia } from "elysia";
import type { JobReader } from "../../engine/job-reader.ts";
import { readRuns } from "../../engine/run-record.ts";
import { auth } from "../../http/auth.ts";
import type { Gate } from "../../http/gate.ts";
import { refuseWithProblem } from "../../http/problem.ts";
import { createCursors } from "./cursor.ts";
import type { ApiDeps } from "./deps.ts";
import * as described from "./describe-jobs.ts";
import { getJob } from "./get-job.ts";
import { cancelJob, makeToken, releaseJob, removeJob, retryJob } from "./job-actions.ts";
import { jobEvents } from "./job-events.ts";
import { listPage } from "./list-jobs.ts";
import { postBatch } from "./post-batch.ts";
import { postJob } from "./post-job.ts";
import { requireJobId } from "./read-job.ts";

type Answered = { status: number; headers?: Record<string, string> };
type Settable = { status?: number | string; headers: Record<string, string | number> };

/** Jobs: submit, list, read, follow, act. */
export function jobRoutes(deps: ApiDeps, gate: Gate, reader: JobReader) {
  const cursors = createCursors(deps.cursorSecret);
  const callerOf = (request: Request, client: string) => ({ client, address: gate.addressOf(request) });
  return new Elysia({ name: "api-jobs" })
    .use(auth(gate, refuseWithProblem))
    .post(
      "/api/v1/jobs",
      async ({ request, client, set }) => {
        const posted = await postJob(deps, reader, request, callerOf(request, client));
        return posted instanceof Response ? posted : answered(set, posted).body;
      },
      { auth: "key", parse: "none", detail: described.submitJob },
    )
    .post("/api/v1/jobs/batch", ({ request, client }) => postBatch(deps, request, callerOf(request, client)), {
      auth: "key",
      parse: "none",
      detail: described.submitJobs,
    })
    .get("/api/v1/jobs", ({ request }) => listPage(deps, cursors, request), {
      auth: "key",
      detail: described.listJobs,
    })
    .get("/api/v1/jobs/:id", ({ request, params }) => getJob(deps, reader, request, params.id), {
      auth: "job",
      detail: described.getJob,
    })
    .delete(
      "/api/v1/jobs/:id",
      async ({ params }) => {
        await removeJob(deps, params.id);
        return new Response(null, { status: 204 });
      },
      { auth: "key", parse: "none", detail: described.deleteJob },
    )
    .get("/api/v1/jobs/:id/events", ({ request, params }) => jobEvents(deps, request, params.id), {
      auth: "job",
      detail: described.getJobEvents,
    })
    .get(
      "/api/v1/jobs/:id/runs",
      async ({ params }) => ({ runs: await readRuns(deps.engine.db.sql, requireJobId(params.id)) }),
      { auth: "job", detail: described.listRuns },
    )
    .post(
      "/api/v1/jobs/:id/cancel",
      async ({ params, set }) => answered(set, await cancelJob(deps, reader, params.id)).body,
      { auth: "key", parse: "none", detail: described.cancelJob },
    )
    .post(
      "/api/v1/jobs/:id/retry",
      async ({ request, params, set }) => answered(set, await retryJob(deps, reader, request, params.id)).body,
      { auth: "key", parse: "none", detail: described.retryJob },
    )
    .post(
      "/api/v1/jobs/:id/release",
      async ({ params, set }) => answered(set, await releaseJob(deps, reader, params.id)).body,
      { auth: "key", parse: "none", detail: described.releaseJob },
    )
    .post("/api/v1/jobs/:id/token", ({ request, params }) => makeToken(deps, request, params.id), {
      auth: "key",
      parse: "none",
      detail: described.createJobToken,
    });
}

/** Sets status and headers, and hands the rest on: what a handler returns is what typed clients see. */
function answered<T extends Answered>(set: Settable, answer: T): T {
  set.status = answer.status;
  for (const [name, value] of Object.entries(answer.headers ?? {})) set.headers[name] = value;
  return answer;
}
