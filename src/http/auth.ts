import { Elysia } from "elysia";
import { EngineError } from "../errors.ts";
import { exchangeOf } from "./exchange.ts";
import type { AuthMode, Gate } from "./gate.ts";
import { challenge } from "./problem.ts";
import { type Refuse, refusalOf } from "./refusal.ts";

/** A guard refused. It carries its answer, in the surface's words, past every error handler. */
export class GuardRefusal extends EngineError {
  readonly #response: Response;

  constructor(refused: EngineError, response: Response) {
    super(refused.code, refused.message, { cause: refused });
    this.#response = response;
  }

  toResponse(): Response {
    return this.#response;
  }
}

type Guarded = { request: Request; params?: unknown; client: string };

/** Hooks made by the macro below: what tells a guarded route from a forgotten one. */
const guards = new WeakMap<object, AuthMode>();

/**
 * The plugin of guards: `{ auth: "key" }` on a route or on `.guard(…)`. Without it a route keeps the server from
 * starting. Adds `client` to the handler's context: `key:<label>`, `ip:<address>`, `lb` or `job:<id>`. `refuse` words
 * the 401 and 403 of this surface.
 *
 * The guard runs before the query and the parameters are checked, and before any body is read, because guarded routes
 * that take one must have `parse: "none"` and read it themselves (`readJson`).
 */
export function auth(gate: Gate, refuse: Refuse) {
  return new Elysia({ name: "auth", seed: Bun.randomUUIDv7() }).decorate("client", "").macro({
    auth: (mode: AuthMode) => {
      const guard = mode === "job" ? jobGuard(gate, refuse) : plainGuard(mode, gate, refuse);
      guards.set(guard, mode);
      return { transform: guard };
    },
  });
}

/** The guards among the hooks of a route. */
export function guardsAmong(hooks: readonly unknown[]): AuthMode[] {
  return hooks.flatMap((hook) => {
    const fn = typeof hook === "object" && hook !== null && "fn" in hook ? hook.fn : hook;
    return typeof fn === "function" ? (guards.get(fn) ?? []) : [];
  });
}

/**
 * Not async, so that a route which is not stays synchronous. Names what it needs of the context, or the router
 * prepares all of it.
 */
function plainGuard(mode: Exclude<AuthMode, "job">, gate: Gate, refuse: Refuse) {
  return (context: Guarded): void => {
    try {
      context.client = gate.admit(mode, context.request);
      exchangeOf(context.request).client = context.client;
    } catch (fault) {
      throw refused(fault, context.request, refuse);
    }
  };
}

function jobGuard(gate: Gate, refuse: Refuse) {
  return async (context: Guarded): Promise<void> => {
    try {
      context.client = await gate.admitToJob(context.request, jobIdIn(context.params));
      exchangeOf(context.request).client = context.client;
    } catch (fault) {
      throw refused(fault, context.request, refuse);
    }
  };
}

function jobIdIn(params: unknown): string {
  if (typeof params === "object" && params !== null && "id" in params) {
    if (typeof params.id === "string") return params.id;
    // The router gives null for what cannot be decoded.
    throw new EngineError("not_found", "There is nothing at this path");
  }
  throw new Error('a route with auth "job" needs :id in its path');
}

function refused(fault: unknown, request: Request, refuse: Refuse): unknown {
  if (!(fault instanceof EngineError)) return fault;
  const response = refuse(refusalOf(fault, request));
  if (response.status === 401 && !response.headers.has("www-authenticate")) {
    response.headers.set("www-authenticate", challenge);
  }
  return new GuardRefusal(fault, response);
}
