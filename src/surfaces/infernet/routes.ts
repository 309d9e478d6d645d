import { Elysia } from "elysia";
import { recordReportedJob } from "../../engine/reported-job.ts";
import { EngineError } from "../../errors.ts";
import { auth } from "../../http/auth.ts";
import { readJson } from "../../http/body.ts";
import type { Gate } from "../../http/gate.ts";
import type { Refuse } from "../../http/refusal.ts";
import type { Surface } from "../../http/surface.ts";
import { traceOf } from "../../http/trace-context.ts";
import type { InfernetDeps } from "./deps.ts";
import { guard } from "./guard.ts";
import { readResources } from "./resources.ts";
import { idsOf, pendingCount, resultsOf } from "./results.ts";
import { streamJob } from "./stream.ts";
import { streamSubmissionOf, submissionOf } from "./submission.ts";
import { batchMax, nodeVersion, type Refused } from "./wire.ts";

/** `{"error", "params"}` for everything. */
export const refuseAsInfernet: Refuse = ({ code, status, detail, retryAfterSeconds }) => {
  const headers = new Headers();
  if (retryAfterSeconds !== null) headers.set("retry-after", String(retryAfterSeconds));
  if (code === "invalid")
    return Response.json({ error: "Could not parse message", params: { reason: detail } }, { status: 400, headers });
  if (code === "forbidden" || code === "unauthorized")
    return Response.json({ error: "Unauthorized", params: {} }, { status: code === "forbidden" ? 403 : 401, headers });
  return Response.json(
    { error: code === "internal" ? "Internal server error" : detail, params: {} },
    { status, headers },
  );
};

/** An Infernet node's REST interface, without a chain. */
export function infernetSurface(deps: InfernetDeps, gate: Gate): Surface {
  return {
    name: "infernet",
    plugin: infernetRoutes(deps, gate),
    prefixes: ["/api/jobs", "/api/status", "/info", "/resources"],
    refuse: refuseAsInfernet,
    health: (request) => Response.json(healthOf(deps, gate, request)),
  };
}

/** Who has a key also learns that the containers file is broken: chains go on with its last good state. */
function healthOf({ containers }: InfernetDeps, gate: Gate, request: Request) {
  const problems = gate.keyOf(request) === null ? [] : containers.problems();
  return { status: "healthy", ...(problems.length === 0 ? {} : { problems }) };
}

function infernetRoutes(deps: InfernetDeps, gate: Gate) {
  const described = (summary: string, description?: string) => ({
    detail: { summary, tags: ["infernet"], ...(description ? { description } : {}) },
  });
  return new Elysia({ name: "surface-infernet" })
    .use(auth(gate, refuseAsInfernet))
    .get("/info", () => info(deps), { auth: "trusted", ...described("Containers and pending jobs of this node") })
    .get("/resources", ({ request }) => resources(deps, request), {
      auth: "trusted",
      ...described(
        "What the containers say of themselves",
        "Query: `model_id`. Those that do not answer are left out.",
      ),
    })
    .get("/api/jobs", ({ request, client }) => getJobs(deps, request, client), {
      auth: "trusted",
      ...described(
        "Results of jobs, or the ids of the caller's jobs",
        "Query: `id` (repeatable), `intermediate`, `pending`.",
      ),
    })
    .post("/api/jobs", ({ request, client }) => postJob(deps, gate, request, client), {
      auth: "trusted",
      parse: "none",
      ...described("Create a job: a chain of containers"),
    })
    .post("/api/jobs/batch", ({ request, client }) => postBatch(deps, gate, request, client), {
      auth: "trusted",
      parse: "none",
      ...described("Create many jobs", "One entry a request, in order. `X-Batch-Errors` counts those that failed."),
    })
    .post("/api/jobs/stream", ({ request, client }) => postStream(deps, gate, request, client), {
      auth: "trusted",
      parse: "none",
      ...described("Create a job and stream its output"),
    })
    .put("/api/status", ({ request, client }) => putStatus(deps, request, client), {
      auth: "trusted",
      parse: "none",
      ...described("Report the status of a job that runs elsewhere"),
    });
}

async function info(deps: InfernetDeps): Promise<Response> {
  const containers = deps.containers
    .list()
    .map(({ id, description, external, image }) => ({ id, description, external, image }));
  const pending = { offchain: await pendingCount(deps.engine.db.sql), onchain: 0 };
  return Response.json({ version: nodeVersion, chain: { enabled: false, address: "" }, containers, pending });
}

async function resources({ containers }: InfernetDeps, request: Request): Promise<Response> {
  return Response.json(await readResources(containers.askable(), new URL(request.url).searchParams.get("model_id")));
}

async function getJobs(deps: InfernetDeps, request: Request, client: string): Promise<Response> {
  const query = new URL(request.url).searchParams;
  const ids = query.getAll("id");
  const { sql } = deps.engine.db;
  if (ids.length > 0) return Response.json(await resultsOf(sql, client, ids, query.get("intermediate") === "true"));
  const pending = query.get("pending");
  return Response.json(await idsOf(sql, client, pending === "true" ? true : pending === "false" ? false : null));
}

async function postJob(deps: InfernetDeps, gate: Gate, request: Request, client: string): Promise<Response> {
  const body = await readJson(request, { maxBytes: deps.bodyMaxBytes });
  const guarded = guard(body, deps.containers.find, gate.addressOf(request));
  if (!guarded.ok) return Response.json(guarded.refused, { status: 400 });
  const { id } = await deps.submitter.submit(submissionOf(guarded.job, callerOf(request, client), deps.linkMs));
  return Response.json({ id });
}

/** All that can be accepted is accepted in one transaction; the others say why not, each in its place. */
async function postBatch(deps: InfernetDeps, gate: Gate, request: Request, client: string): Promise<Response> {
  const body = await readJson(request, { maxBytes: deps.bodyMaxBytes });
  if (!Array.isArray(body)) return Response.json({ error: "Expected a list", params: {} }, { status: 400 });
  if (body.length > batchMax)
    return Response.json({ error: "Too many jobs", params: { jobs: body.length, max: batchMax } }, { status: 400 });
  const address = gate.addressOf(request);
  const entries = body.map((item) => guard(item, deps.containers.find, address));
  const caller = callerOf(request, client);
  const submissions = entries.map((entry) => (entry.ok ? submissionOf(entry.job, caller, deps.linkMs) : null));
  const accepted = submissions.filter((submission) => submission !== null);
  if (accepted.length > 0) await deps.submitter.submitTogether(accepted);
  const answers: ({ id: string } | Refused)[] = entries.map((entry, at) =>
    entry.ok ? { id: submissions[at]?.id ?? "" } : entry.refused,
  );
  return Response.json(answers, { headers: { "x-batch-errors": String(entries.length - accepted.length) } });
}

async function postStream(deps: InfernetDeps, gate: Gate, request: Request, client: string): Promise<Response> {
  const body = await readJson(request, { maxBytes: deps.bodyMaxBytes });
  const guarded = guard(body, deps.containers.find, gate.addressOf(request));
  if (!guarded.ok) {
    const isSubscription = guarded.refused.error === "Chain not enabled";
    const refused = isSubscription
      ? { error: "Streaming only supported for OffchainJob requests.", params: {} }
      : guarded.refused;
    return Response.json(refused, { status: 400 });
  }
  const submission = streamSubmissionOf(guarded.job, callerOf(request, client), deps.linkMs);
  return streamJob(deps.engine, deps.submitter, submission, request.signal);
}

function callerOf({ headers }: Request, client: string) {
  return { client, ...traceOf(headers) };
}

const reported = { success: "succeeded", failed: "failed", running: "running" } as const;
const idPattern = /^[A-Za-z0-9._:-]{1,128}$/;

async function putStatus(deps: InfernetDeps, request: Request, client: string): Promise<Response> {
  const body = await readJson(request, { maxBytes: deps.bodyMaxBytes });
  const { id, status, containers } = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  if (typeof id !== "string" || !idPattern.test(id) || !Array.isArray(containers))
    throw new EngineError("invalid", "needs id, status and containers");
  const known = Object.entries(reported).find(([word]) => word === status)?.[1];
  if (known === undefined) return Response.json({ error: "Status is invalid", params: {} }, { status: 400 });
  const name = containers.map(String).join(" ").slice(0, 1_000).replaceAll("\0", "");
  const taken = await recordReportedJob(deps.engine.db.sql, { id, surface: "infernet", client, name, status: known });
  if (!taken) return Response.json({ error: "Could not store job status", params: { id } }, { status: 400 });
  return Response.json(null);
}
