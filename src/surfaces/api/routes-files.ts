import { Elysia } from "elysia";
import { auth } from "../../http/auth.ts";
import type { Gate } from "../../http/gate.ts";
import { refuseWithProblem } from "../../http/problem.ts";
import type { ApiDeps } from "./deps.ts";
import * as described from "./describe-files.ts";
import { listFiles, sendFile, sendZip } from "./job-files.ts";

/** The files of jobs. */
export function fileRoutes(deps: ApiDeps, gate: Gate) {
  return new Elysia({ name: "api-files" })
    .use(auth(gate, refuseWithProblem))
    .get("/api/v1/jobs/:id/files", ({ params }) => listFiles(deps, params.id), {
      auth: "job",
      detail: described.listFiles,
    })
    .get("/api/v1/jobs/:id/files/*", ({ request, params }) => sendFile(deps, request, params.id, params["*"]), {
      auth: "job",
      detail: described.getFile,
    })
    .get("/api/v1/jobs/:id/files.zip", ({ params }) => sendZip(deps, params.id), {
      auth: "job",
      detail: described.getFilesZip,
    });
}
