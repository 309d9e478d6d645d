import { Elysia } from "elysia";
import { auth } from "../../http/auth.ts";
import { readJson } from "../../http/body.ts";
import type { Gate } from "../../http/gate.ts";
import type { Refuse } from "../../http/refusal.ts";
import type { Surface } from "../../http/surface.ts";
import { traceOf } from "../../http/trace-context.ts";
import type { OptexityDeps } from "./deps.ts";
import { health } from "./health.ts";
import { invalidBody, notJson } from "./invalid-body.ts";
import { postInference } from "./post-inference.ts";
import { humanIsDone, killTasks, postTasks, setChildProcessId } from "./post-tasks.ts";
import {
  completeTask,
  makeTask,
  recording,
  registerChild,
  saveDownloads,
  saveOutputData,
  saveTrajectory,
  showTask,
  startTask,
} from "./serve-children.ts";
import { SingleFlight } from "./single-flight.ts";

/** `{"success": false, "error": …}` for everything but bodies that are not valid, which get FastAPI's 422. */
export const refuseAsOptexity: Refuse = ({ code, status, detail, problems, retryAfterSeconds }) => {
  const headers = new Headers();
  if (retryAfterSeconds !== null) headers.set("retry-after", String(retryAfterSeconds));
  if (code === "invalid" && problems.length === 0) return invalidBody([notJson(detail)]);
  const error = code === "internal" ? "Internal Server Error" : detail;
  return Response.json({ success: false, error, message: error }, { status, headers });
};

const prefixes = [
  "/human_in_loop_completed",
  "/register_child",
  "/api/v1/inference",
  "/api/v1/task",
  "/api/v1/start_task",
  "/api/v1/complete_task",
  "/api/v1/save_output_data",
  "/api/v1/save_downloads",
  "/api/v1/save_trajectory",
  "/api/v1/recording",
  "/inference",
  "/allocate_task",
  "/set_child_process_id",
  "/kill_task",
  "/is_task_running",
];

/** An Optexity child process: takes tasks, or requests for tasks, and runs them in a browser. */
export function optexitySurface(deps: OptexityDeps, gate: Gate): Surface {
  return {
    name: "optexity",
    plugin: new Elysia({ name: "surface-optexity" }).use(childRoutes(deps, gate)).use(planeRoutes(deps, gate)),
    prefixes,
    refuse: refuseAsOptexity,
    health: () => health(deps),
  };
}

function childRoutes(deps: OptexityDeps, gate: Gate) {
  const flights = new SingleFlight<string>();
  const guarded = { auth: "trusted", parse: "none" } as const;
  const limits = { maxBytes: deps.bodyMaxBytes };
  return new Elysia({ name: "surface-optexity-child" })
    .use(auth(gate, refuseAsOptexity))
    .post("/inference", ({ request, client }) => postInference(deps, flights, request, client), {
      ...guarded,
      ...described(
        "Run a browser automation",
        "A task with the same unique parameters that waits or runs is the answer.",
      ),
    })
    .post("/allocate_task", ({ request, client }) => allocateTasks(deps, request, client), {
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
    .post("/human_in_loop_completed", async ({ request }) => humanIsDone(deps, await readJson(request, limits)), {
      ...guarded,
      ...described("Let a task go on that waits for a human"),
    })
    .get("/is_task_running", () => Response.json(deps.runningSinceMs() !== null), {
      auth: "trusted",
      ...described("Whether a task is running"),
    });
}

async function allocateTasks(deps: OptexityDeps, request: Request, client: string): Promise<Response> {
  const body = await readJson(request, { maxBytes: deps.bodyMaxBytes });
  return postTasks(deps, body, { client, ...traceOf(request.headers) });
}

/** What a control plane offers to children, with a key. */
function planeRoutes(deps: OptexityDeps, gate: Gate) {
  const keyed = { auth: "key", parse: "none" } as const;
  return new Elysia({ name: "surface-optexity-plane" })
    .use(auth(gate, refuseAsOptexity))
    .post("/api/v1/inference", ({ request, client }) => makeTask(deps, request, client), {
      ...keyed,
      ...described("Make a Task for the child that asks"),
    })
    .get("/api/v1/task/:id", ({ params }) => showTask(deps, params.id), {
      auth: "key",
      ...described("A Task and what became of it"),
    })
    .get("/api/v1/recording/:id", ({ params }) => recording(deps, params.id), {
      auth: "key",
      ...described("The document of an automation"),
    })
    .post("/api/v1/start_task", ({ request }) => startTask(deps, request), {
      ...keyed,
      ...described("A child has started a Task"),
    })
    .post("/api/v1/complete_task", ({ request }) => completeTask(deps, request), {
      ...keyed,
      ...described("A child has ended a Task"),
    })
    .post("/api/v1/save_output_data", ({ request }) => saveOutputData(deps, request), {
      ...keyed,
      ...described("What a Task has extracted"),
    })
    .post("/api/v1/save_downloads", ({ request }) => saveDownloads(deps, request), {
      ...keyed,
      ...described("What a Task has downloaded"),
    })
    .post("/api/v1/save_trajectory", ({ request }) => saveTrajectory(deps, request), {
      ...keyed,
      ...described("The steps of a Task"),
    })
    .post("/register_child", ({ request }) => registerChild(deps, request), {
      auth: "trusted",
      parse: "none",
      ...described("A child tells where it is"),
    });
}

function described(summary: string, description?: string) {
  return { detail: { summary, tags: ["optexity"], ...(description ? { description } : {}) } };
}
