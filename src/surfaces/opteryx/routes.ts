import { type DocumentDecoration, Elysia } from "elysia";
import { EngineError } from "../../errors.ts";
import { auth } from "../../http/auth.ts";
import { readJson } from "../../http/body.ts";
import type { Gate } from "../../http/gate.ts";
import type { Refuse } from "../../http/refusal.ts";
import type { Surface } from "../../http/surface.ts";
import { traceOf } from "../../http/trace-context.ts";
import { acceptExecution } from "./accept.ts";
import type { OpteryxDeps } from "./deps.ts";
import { type Accepted, acceptedModel, detailModel, readExecutionId, submitModel, texts } from "./wire.ts";

/** Every refusal in the words of the original: `{"detail": …}`. */
export const refuseAsOpteryx: Refuse = ({ code, status, detail, retryAfterSeconds, allow }) => {
  const headers = new Headers({ "content-type": "application/json" });
  if (retryAfterSeconds !== null) headers.set("retry-after", String(retryAfterSeconds));
  if (code === "unauthorized") headers.set("www-authenticate", "Bearer");
  if (allow.length > 0) headers.set("allow", allow.join(", "));
  const shown = { internal: texts.internal, method_not_allowed: texts.method }[code as string] ?? detail;
  return new Response(JSON.stringify({ detail: shown }), { status: status === 422 ? 400 : status, headers });
};

/** Opteryx's worker: `POST /api/v1/submit` for holders of a token, and `/health`. */
export function opteryxSurface(deps: OpteryxDeps, gate: Gate): Surface {
  return {
    name: "opteryx",
    plugin: opteryxRoutes(deps, gate),
    prefixes: ["/api/v1/submit"],
    refuse: refuseAsOpteryx,
    health: () => Response.json({ status: "ok" }),
  };
}

export function opteryxRoutes(deps: OpteryxDeps, gate: Gate) {
  return new Elysia({ name: "surface-opteryx" })
    .use(auth(gate, refuseAsOpteryx))
    .model({ OpteryxSubmit: submitModel, OpteryxAccepted: acceptedModel, OpteryxDetail: detailModel })
    .post(
      "/api/v1/submit",
      async ({ request, set }): Promise<Accepted> => {
        const answer = await submit(deps, request);
        set.status = 202;
        return answer;
      },
      // The token is the key, and it is checked before the body is read.
      { auth: "open", parse: "none", detail: submitDetail },
    );
}

async function submit(deps: OpteryxDeps, request: Request): Promise<Accepted> {
  const verdict = await deps.verifier.verify(request.headers.get("authorization"));
  if (verdict.kind === "unavailable") throw new EngineError("unavailable", verdict.detail);
  if (verdict.kind === "refused") throw new EngineError("unauthorized", verdict.detail);
  const found = readExecutionId(await readJson(request, { maxBytes: deps.bodyMaxBytes }));
  if ("detail" in found) throw new EngineError("invalid", found.detail);
  await acceptExecution(deps, found.id, { sub: verdict.sub, trace: traceOf(request.headers) });
  return { accepted: true, job: found.id, jwt_sub: verdict.sub };
}

const refusal = (description: string, detail: string) => ({
  description,
  content: { "application/json": { schema: { $ref: "#/components/schemas/OpteryxDetail" }, example: { detail } } },
});

const submitDetail = {
  operationId: "submitExecution",
  summary: "Run a prepared execution",
  description:
    "With a token of `JWT_ISSUER` as the bearer. Releases the job that was submitted on hold under this id, or starts `SUBMIT_FUNCTION`. The same id again is accepted again and runs once.",
  tags: ["opteryx"],
  security: [{ key: [] }],
  requestBody: {
    required: true,
    content: {
      "application/json": {
        schema: { $ref: "#/components/schemas/OpteryxSubmit" },
        examples: { one: { value: { execution_id: "20260806120000-ab12cd34ef56gh78" } } },
      },
    },
  },
  responses: {
    202: {
      description: "Accepted, and committed",
      content: { "application/json": { schema: { $ref: "#/components/schemas/OpteryxAccepted" } } },
    },
    400: refusal("No execution_id, or no JSON", texts.missing),
    401: refusal("The token is missing or not good", "Authorization missing or invalid"),
    404: refusal("Nothing to run", "Unknown execution_id"),
    413: refusal("The body is too large", "The body is too large"),
    503: refusal("The issuer's keys cannot be had, or this node takes no work", "The issuer's keys cannot be fetched"),
  },
} as DocumentDecoration;
