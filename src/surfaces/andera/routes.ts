import { Elysia } from "elysia";
import { EngineError } from "../../errors.ts";
import { auth } from "../../http/auth.ts";
import { readJson } from "../../http/body.ts";
import type { Gate } from "../../http/gate.ts";
import type { Refuse } from "../../http/refusal.ts";
import type { Surface } from "../../http/surface.ts";
import { traceOf } from "../../http/trace-context.ts";
import { checkTask } from "./check-task.ts";
import type { AnderaDeps } from "./deps.ts";
import { fullHealth, statusOf } from "./health.ts";
import { runTask } from "./run-task.ts";
import { texts } from "./wire.ts";

/** Every refusal in the words of the original: `{"error": …}`. */
export const refuseAsAndera: Refuse = ({ code, status, detail, retryAfterSeconds }) => {
  const headers = new Headers({ "content-type": "application/json" });
  if (retryAfterSeconds !== null) headers.set("retry-after", String(retryAfterSeconds));
  if (code === "unauthorized" || code === "forbidden") return answer(401, { error: texts.unauthorized }, headers);
  if (code === "internal") return answer(500, { error: "Internal server error" }, headers);
  return answer(status === 422 ? 400 : status, { error: detail }, headers);
};

/** An Andera base worker: `/task`, `/on`, `/off`, `/logs`, and its own `/health`. */
export function anderaSurface(deps: AnderaDeps, gate: Gate): Surface {
  return {
    name: "andera",
    plugin: anderaRoutes(deps, gate),
    prefixes: ["/task", "/on", "/off", "/logs"],
    refuse: refuseAsAndera,
    health: (request) => healthFor(deps, gate, request),
  };
}

function anderaRoutes(deps: AnderaDeps, gate: Gate) {
  const described = (summary: string) => ({ summary, tags: ["andera"] });
  return new Elysia({ name: "surface-andera" })
    .use(auth(gate, refuseAsAndera))
    .post("/task", ({ request, client }) => postTask(deps, gate, request, client), {
      auth: "key",
      parse: "none",
      detail: taskDetail,
    })
    .post("/on", ({ request }) => setMaintenance(deps, gate, request, false), {
      auth: "key",
      parse: "none",
      detail: described("Accept tasks again"),
    })
    .post("/off", ({ request }) => setMaintenance(deps, gate, request, true), {
      auth: "key",
      parse: "none",
      detail: described("Enter maintenance"),
    })
    .get("/logs", () => ({ logs: deps.log.lines() }), { auth: "lb", detail: described("The last lines of the log") });
}

/** Everybody may know whether it is ready; the rest is for holders of either key, in either header. */
async function healthFor(deps: AnderaDeps, gate: Gate, request: Request): Promise<Response> {
  const isKnown =
    gate.keyOf(request) !== null || gate.lbKeyOf(request) === "right" || isBalancerKey(deps, gate, request);
  return answer(200, isKnown ? await fullHealth(deps) : { status: statusOf(deps) });
}

/** Either key counts in `Authorization`; where no keys are asked for, any header does. */
function isBalancerKey(deps: AnderaDeps, gate: Gate, request: Request): boolean {
  const asks = request.headers.has("authorization") || request.headers.has("x-lb-auth");
  if (!asks) return false;
  if (deps.authKeys.length === 0) return true;
  try {
    return gate.admit("lb", request) === "lb";
  } catch (fault) {
    if (fault instanceof EngineError) return false;
    throw fault;
  }
}

const taskDetail = {
  summary: "Run a function",
  tags: ["andera"],
  description:
    "Modes: `sync` answers with the result, `stream` with the text as it is produced, or with the job's events where `Accept` is `text/event-stream`, `webhook` at once and calls back.",
};

async function postTask(deps: AnderaDeps, gate: Gate, request: Request, client: string): Promise<Response> {
  requireRightBalancer(gate, request);
  if (statusOf(deps) === "maintenance") return answer(503, { error: texts.maintenance });
  const body = await readJson(request, { maxBytes: deps.bodyMaxBytes });
  const checked = checkTask(body, { contract: deps.contract, lookUp: (name) => lookUp(deps, name) });
  if (!checked.ok) return answer(checked.answer.status, checked.answer.body);
  const { task } = checked;
  deps.log.keep(
    "info",
    `[TASK] Function call: ${task.function} | input: ${shown(task.input)} | contract: ${deps.contract} | mode: ${task.mode}`,
  );
  return runTask(deps, task, { client, ...traceOf(request.headers) }, request);
}

async function setMaintenance(deps: AnderaDeps, gate: Gate, request: Request, on: boolean): Promise<Response> {
  requireRightBalancer(gate, request);
  await deps.setMaintenance(on);
  return answer(200, { status: statusOf(deps), message: `Maintenance mode ${on ? "enabled" : "disabled"}` });
}

/** The balancer's key does not open these alone, but a wrong one closes them. */
function requireRightBalancer(gate: Gate, request: Request): void {
  if (gate.lbKeyOf(request) === "wrong") throw new EngineError("unauthorized", texts.unauthorized);
}

function lookUp(deps: AnderaDeps, name: string): { supportsStreaming: boolean } | null {
  const known = deps.functions.get(name);
  return known === undefined ? null : { supportsStreaming: known.config.supportsStreaming === true };
}

const shownCharsMax = 500;

function shown(input: unknown): string {
  const text = JSON.stringify(input) ?? "";
  return text.length <= shownCharsMax ? text : `${text.slice(0, shownCharsMax)}…`;
}

function answer(
  status: number,
  body: unknown,
  headers: Headers = new Headers({ "content-type": "application/json" }),
): Response {
  return new Response(JSON.stringify(body), { status, headers });
}
