import { Elysia } from "elysia";
import { cancel } from "../../engine/cancel.ts";
import { onThisNode } from "../../files/on-node.ts";
import { type PayloadState, readPayload } from "../../engine/payloads.ts";
import { auth } from "../../http/auth.ts";
import type { Gate } from "../../http/gate.ts";
import type { Refuse } from "../../http/refusal.ts";
import type { Surface } from "../../http/surface.ts";
import { createLoadMeter } from "./load.ts";
import { acceptUpload, type OrchestratorDeps } from "./submit.ts";
import { payloadIdOf, statusOf, wirePayload } from "./translate.ts";
import { unknownPayload } from "./wire.ts";

/** Faults and unknown payloads are payloads too, as the original answers them; what is wrong with a request is said in words. */
export const refuseAsOrchestrator: Refuse = ({ code, status, detail, retryAfterSeconds }) => {
  const headers = new Headers();
  if (retryAfterSeconds !== null) headers.set("retry-after", String(retryAfterSeconds));
  if (code === "not_found" || code === "internal") return Response.json(unknownPayload, { status, headers });
  headers.set("content-type", "text/plain; charset=utf-8");
  return new Response(detail, { status: status === 422 ? 400 : status, headers });
};

/** The client of a job-orchestrator: takes payloads, runs them, hands back what they left. */
export function orchestratorSurface(deps: OrchestratorDeps, gate: Gate): Surface {
  return {
    name: "orchestrator",
    plugin: orchestratorRoutes(deps, gate),
    prefixes: ["/submit", "/retrieve", "/retrieve_partial", "/kill", "/load"],
    refuse: refuseAsOrchestrator,
    health: () => health(deps),
    home: () => Response.json({ message: "pong" }),
  };
}

function orchestratorRoutes(deps: OrchestratorDeps, gate: Gate) {
  const load = createLoadMeter();
  const described = (summary: string, description?: string) => ({
    detail: { summary, tags: ["orchestrator"], ...(description ? { description } : {}) },
  });
  return new Elysia({ name: "surface-orchestrator" })
    .use(auth(gate, refuseAsOrchestrator))
    .post("/submit", ({ request, client }) => submit(deps, request, client), {
      auth: "trusted",
      parse: "none",
      ...described("Hand in a payload", "Multipart: every part with a filename is a file; one of them is `run.sh`."),
    })
    .get("/retrieve/:id", ({ params }) => retrieve(deps, params.id), {
      auth: "trusted",
      ...described("A payload's status, or its files as a zip once it is completed"),
    })
    .get("/retrieve_partial/:id", ({ params }) => retrievePartial(deps, params.id), {
      auth: "trusted",
      ...described("A payload's files as a zip, in any state"),
    })
    .post("/kill/:id", ({ params }) => kill(deps, params.id), {
      auth: "trusted",
      parse: "none",
      ...described("Stop a payload with everything that it started"),
    })
    .get("/load", async () => Response.json(await load()), {
      auth: "trusted",
      ...described("CPU use of this machine, 0 to 100"),
    });
}

async function submit(deps: OrchestratorDeps, request: Request, client: string): Promise<Response> {
  const { payloadId } = await acceptUpload(deps, request, client);
  return Response.json({ ...unknownPayload, id: payloadId, status: "Prepared", loc: deps.files.location(payloadId) });
}

async function retrieve(deps: OrchestratorDeps, text: string): Promise<Response> {
  return withPayload(deps, text, async (state) => {
    if (statusOf(state) === "Completed") return zipOf(deps, state);
    return Response.json(wirePayload(state, deps.files.location(state.id)));
  });
}

async function retrievePartial(deps: OrchestratorDeps, text: string): Promise<Response> {
  return withPayload(deps, text, async (state) => {
    if (state.cleaned) return Response.json(wirePayload(state, deps.files.location(state.id)));
    return zipOf(deps, state);
  });
}

async function kill(deps: OrchestratorDeps, text: string): Promise<Response> {
  return withPayload(deps, text, async (state) => {
    await cancel(deps.engine, state.jobId);
    return new Response(null, { status: 200 });
  });
}

async function zipOf(deps: OrchestratorDeps, state: PayloadState): Promise<Response> {
  const here = { files: deps.files, nodeId: deps.engine.nodeId };
  return new Response(await onThisNode(here, state, (id) => deps.files.zip(id)), {
    headers: {
      "content-type": "application/zip",
      "content-disposition": `attachment; filename="payload-${state.id}.zip"`,
      "cache-control": "no-store",
    },
  });
}

async function withPayload(
  deps: OrchestratorDeps,
  text: string,
  answer: (state: PayloadState) => Promise<Response>,
): Promise<Response> {
  const id = payloadIdOf(text);
  if (id === null && !/^\d+$/.test(text)) {
    return new Response(`Invalid URL: Cannot parse \`${printable(text)}\` to a \`u32\``, {
      status: 400,
      headers: { "content-type": "text/plain; charset=utf-8" },
    });
  }
  const state = id === null ? null : await readPayload(deps.engine.db.sql, id);
  return state === null ? Response.json(unknownPayload, { status: 404 }) : answer(state);
}

function printable(text: string): string {
  return text.slice(0, 100).replace(/[^\x20-\x7e]/g, "?");
}

async function health(deps: OrchestratorDeps): Promise<Response> {
  try {
    await deps.engine.db.sql`SELECT 1`;
    return Response.json({ status: "healthy", database: "ok" });
  } catch {
    // Whatever the reason, the answer to "are you well?" is no, and the original's has no body.
    return new Response(null, { status: 503 });
  }
}
