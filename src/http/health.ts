import { Elysia } from "elysia";
import { auth } from "./auth.ts";
import { boundedCheck, type Check } from "./checks.ts";
import type { Gate } from "./gate.ts";
import { refuseWithProblem } from "./problem.ts";
import { refusal } from "./refusal.ts";
import type { Surface } from "./surface.ts";

/** What `/health` tells of a service that speaks several protocols. */
export type HealthFacts = {
  isDatabaseUp: boolean;
  isTaskRunning: boolean;
  queuedTasks: number;
  /** Why the service is not well although its database is; null when it is. */
  complaint: string | null;
};

export type HealthOptions = {
  gate: Gate;
  /** The protocols that are mounted. */
  surfaces: readonly Surface[];
  facts: () => Promise<HealthFacts>;
  /** Whether this node should be sent work, by name, such as `database`, `schema`, `draining`. */
  ready: Record<string, Check>;
  /** The page at `/` for browsers, when there is one. */
  page?: (request: Request) => Response | Promise<Response>;
};

/**
 * `/livez` (this process answers), `/readyz` (it should be sent work), and the `/health` and `/` that the mounted
 * protocols promise.
 */
export function healthRoutes(options: HealthOptions) {
  const health = pickHealth(options);
  const home = pickHome(options);
  return new Elysia({ name: "health" })
    .use(auth(options.gate, refuseWithProblem))
    .get("/livez", () => ({ status: "ok" }), { auth: "open", detail: described("Whether the process answers") })
    .get("/readyz", () => readiness(options.ready), { auth: "open", detail: described("Whether to send it work") })
    .get("/health", ({ request }) => health(request), { auth: "open", detail: described("How the service is") })
    .get("/", ({ request }) => home(request), { auth: "open", detail: { hide: true } });
}

function described(summary: string) {
  return { summary, tags: ["service"] };
}

async function readiness(ready: Record<string, Check>): Promise<Response> {
  const checks = await Promise.all(
    Object.entries(ready).map(async ([name, check]) => [name, await boundedCheck(check)]),
  );
  const isReady = checks.every(([, complaint]) => complaint === null);
  const body = {
    status: isReady ? "ready" : "unavailable",
    checks: Object.fromEntries(checks.map(([name, complaint]) => [name, complaint ?? "ok"])),
  };
  const headers = { "cache-control": "no-store", ...(isReady ? {} : { "retry-after": "5" }) };
  return Response.json(body, { status: isReady ? 200 : 503, headers });
}

/**
 * One protocol: its own. Several: Andera's when its balancer asks, which always sends a key, else a body that
 * satisfies the clients of all that look into it (seed-systems, section 5).
 */
function pickHealth({ surfaces, facts }: HealthOptions): (request: Request) => Response | Promise<Response> {
  const [only] = surfaces;
  if (surfaces.length === 1 && only?.health !== undefined) return only.health;
  const andera = surfaces.find(({ name }) => name === "andera")?.health;
  return (request) => {
    const hasKey = request.headers.has("x-lb-auth") || request.headers.has("authorization");
    return andera !== undefined && hasKey ? andera(request) : mergedHealth(facts);
  };
}

async function mergedHealth(facts: () => Promise<HealthFacts>): Promise<Response> {
  const { isDatabaseUp, isTaskRunning, queuedTasks, complaint } = await facts();
  const isWell = isDatabaseUp && complaint === null;
  const body = {
    status: isWell ? "healthy" : "unhealthy",
    ...(isWell ? {} : { message: complaint ?? "The database does not answer" }),
    database: isDatabaseUp ? "ok" : "unavailable",
    task_running: isTaskRunning,
    queued_tasks: queuedTasks,
  };
  return Response.json(body, { status: isWell ? 200 : 503, headers: { "cache-control": "no-store" } });
}

/** Browsers get the page; other callers what a protocol promises for `/`, when one does. */
function pickHome({ surfaces, page }: HealthOptions): (request: Request) => Response | Promise<Response> {
  const own = surfaces.find(({ home }) => home !== undefined)?.home;
  const alone = surfaces.length === 1 ? own : undefined;
  return (request) => {
    const isBrowser = request.headers.get("accept")?.includes("text/html") ?? false;
    const answer = alone ?? (isBrowser ? (page ?? own) : (own ?? page));
    return answer?.(request) ?? refuseWithProblem(refusal(request, "not_found", "There is nothing at this path"));
  };
}
