import type { AnyElysia } from "elysia";
import { guardsAmong } from "./auth.ts";
import type { AuthMode } from "./gate.ts";

export type RouteGuard = { method: string; path: string; guards: AuthMode[]; readsBody: boolean };

/** Every route of an app with its guard, and whether the router itself reads the body of its requests. */
export function routeGuards(app: AnyElysia): RouteGuard[] {
  return app.routes.map(({ method, path, hooks, compile }) => ({
    method,
    path,
    guards: guardsAmong(listOf(hooks?.transform)),
    // The router writes a function for each route; only one that takes the body assigns it.
    readsBody: /\bc\.body=/.test(String(compile())),
  }));
}

/**
 * Throws `Error` that lists every route that has no guard, or several (all would have to agree), or whose body the
 * router would read before it knows the caller.
 */
export function assertEveryRouteGuarded(app: AnyElysia): void {
  const problems = routeGuards(app).flatMap(({ method, path, guards, readsBody }) => [
    ...(guards.length === 0
      ? [`${method} ${path} has no guard: give it { auth: "key" }, or lb, trusted, job, open`]
      : []),
    ...(guards.length > 1 ? [`${method} ${path} has ${guards.length} guards (${guards.join(", ")}): leave one`] : []),
    ...(readsBody
      ? [`${method} ${path} lets the router read its body: give it { parse: "none" } and use readJson`]
      : []),
  ]);
  if (problems.length === 0) return;
  throw new Error(`Routes that must not be served:\n${problems.map((line) => `  ${line}`).join("\n")}`);
}

function listOf(hooks: unknown): readonly unknown[] {
  if (hooks === undefined || hooks === null) return [];
  return Array.isArray(hooks) ? hooks : [hooks];
}
