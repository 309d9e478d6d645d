import { Elysia } from "elysia";
import { auth } from "../../http/auth.ts";
import { readJson } from "../../http/body.ts";
import type { Gate } from "../../http/gate.ts";
import type { Refuse } from "../../http/refusal.ts";
import type { Surface } from "../../http/surface.ts";
import type { OptexityDeps } from "./deps.ts";
import { health } from "./health.ts";
import { invalidBody, notJson } from "./invalid-body.ts";
import { postInference } from "./post-inference.ts";
import { killTasks, postTasks, setChildProcessId } from "./post-tasks.ts";
import { SingleFlight } from "./single-flight.ts";

/** `{"success": false, "error": …}` for everything but bodies that are not valid, which get FastAPI's 422. */
export const refuseAsOptexity: Refuse = ({ code, status, detail, problems, retryAfterSeconds }) => {
  const headers = new Headers();
  if (retryAfterSeconds !== null) headers.set("retry-after", String(retryAfterSeconds));
  if (code === "invalid" && problems.length === 0) return invalidBody([notJson(detail)]);
  const error = code === "internal" ? "Internal Server Error" : detail;
  return Response.json({ success: false, error, message: error }, { status, headers });
};

const prefixes = ["/inference", "/allocate_task", "/set_child_process_id", "/kill_task", "/is_task_running"];

/** An Optexity child process: takes tasks, or requests for tasks, and runs them in a browser. */
export function optexitySurface(deps: OptexityDeps, gate: Gate): Surface {
  return {
    name: "optexity",
    plugin: optexityRoutes(deps, gate),
    prefixes,
    refuse: refuseAsOptexity,
    health: () => health(deps),
  };
}

function optexityRoutes(deps: OptexityDeps, gate: Gate) {
  const flights = new SingleFlight<string>();
  const guarded = { auth: "trusted", parse: "none" } as const;
  const described = (summary: string, description?: string) => ({
    detail: { summary, tags: ["optexity"], ...(description ? { description } : {}) },
  });
  const limits = { maxBytes: deps.bodyMaxBytes };
  return new Elysia({ name: "surface-optexity" })
    .use(auth(gate, refuseAsOptexity))
    .post("/inference", ({ request, client }) => postInference(deps, flights, request, client), {
      ...guarded,
      ...described(
        "Run a browser automation",
        "A task with the same unique parameters that waits or runs is the answer.",
      ),
    })
    .post("/allocate_task", async ({ request, client }) => postTasks(deps, await readJson(request, limits), client), {
      ...guarded,
      ...described("Run a Task that a control plane has made", "One Task, or a list of Tasks."),
    })
    .post("/set_child_process_id", async ({ request }) => setChildProcessId(deps, await readJson(request, limits)), {
      ...guarded,
      ...described("Number under which the master knows this child"),
    })
    .post("/kill_task", async ({ request }) => killTasks(deps, await readJson(request, limits)), {
      ...guarded,
      ...described("Stop tasks", "A list of task ids."),
    })
    .get("/is_task_running", () => Response.json(deps.running().count > 0), {
      auth: "trusted",
      ...described("Whether a task is running"),
    });
}
