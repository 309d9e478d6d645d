import { Elysia } from "elysia";
import { createJobReader } from "../../engine/job-reader.ts";
import type { Gate } from "../../http/gate.ts";
import { refuseWithProblem } from "../../http/problem.ts";
import type { Surface } from "../../http/surface.ts";
import type { ApiDeps } from "./deps.ts";
import { apiModels } from "./models.ts";
import { fileRoutes } from "./routes-files.ts";
import { jobRoutes } from "./routes-jobs.ts";
import { serviceRoutes } from "./routes-service.ts";

/** Fairlead's own API: everything the engine can do, for every job of every surface. */
export function apiSurface(deps: ApiDeps, gate: Gate): Surface {
  return { name: "api", plugin: apiRoutes(deps, gate), prefixes: ["/api/v1"], refuse: refuseWithProblem };
}

/** The routes with their types, which is what a typed client is made from. */
export function apiRoutes(deps: ApiDeps, gate: Gate) {
  const reader = createJobReader(deps.engine);
  return new Elysia({ name: "surface-api" })
    .use(apiModels)
    .use(jobRoutes(deps, gate, reader))
    .use(fileRoutes(deps, gate))
    .use(serviceRoutes(deps, gate));
}

export type Api = ReturnType<typeof apiRoutes>;
