import { type AnyElysia, Elysia } from "elysia";
import { docsRoutes } from "./docs.ts";
import type { Gate } from "./gate.ts";
import { type HealthOptions, healthRoutes } from "./health.ts";
import { answerJson } from "./json-answer.ts";
import { type Metrics, metricsRoutes } from "./metrics.ts";
import type { OpenapiOptions } from "./openapi.ts";
import { problemPages } from "./problem-pages.ts";
import type { Surface } from "./surface.ts";

export type RootOptions = {
  gate: Gate;
  /** The protocols that are mounted. */
  surfaces: readonly Surface[];
  /** Other parts with routes, such as the dashboard. */
  rooms?: readonly Surface[];
  health: Omit<HealthOptions, "gate" | "surfaces">;
  metrics: Metrics;
  docs: Omit<OpenapiOptions, "plugins">;
};

/** What answers errors: all of them, in the whole app. */
type AnswerError = (thrown: { error: unknown; request: Request; route: string | undefined }) => Response;

/**
 * The app with everything mounted. The error handler comes before the mounts, so that it is the one that is asked,
 * for every route: one left without would send the message of a fault to the caller. `standardHostname: false`, or
 * the router looks for the path behind the eleventh character of the URL (elysia #748).
 */
export function createRoot(options: RootOptions, withDocs: boolean, answerError: AnswerError): AnyElysia {
  const { gate, surfaces, rooms = [] } = options;
  const service = [healthRoutes({ ...options.health, gate, surfaces }), metricsRoutes(gate, options.metrics)];
  const plugins: AnyElysia[] = [...surfaces, ...rooms].map(({ plugin }) => plugin);
  const documented = () => ({ ...options.docs, plugins: [...plugins, ...service] });
  const pages = [problemPages(gate), ...(withDocs ? [docsRoutes(gate, documented)] : [])];
  const app: AnyElysia = new Elysia({ name: "fairlead", handler: { standardHostname: false } })
    .onError(({ error, request, route }) => answerError({ error, request, route }))
    .mapResponse(answerJson);
  for (const plugin of [...service, ...pages, ...plugins]) app.use(plugin);
  return app;
}
