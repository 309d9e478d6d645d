import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cancel } from "../../engine/cancel.ts";
import { readJob } from "../../engine/read.ts";
import { endRemote } from "../../engine/remote-task.ts";
import { EngineError } from "../../errors.ts";
import { humanDoneFile } from "../../runners/automation/human-done-file.ts";
import { allocate } from "./allocate.ts";
import { checkTask } from "./check-task.ts";
import { ControlPlaneError } from "./control-plane-call.ts";
import type { OptexityDeps } from "./deps.ts";
import { isFields } from "./field-checks.ts";
import { type BodyProblem, invalidBody, missing, tooLong, wrongType, wrongValue } from "./invalid-body.ts";
import { type Caller, withAutomation } from "./post-inference.ts";
import { batchMax, type Task, texts } from "./wire.ts";

/** `POST /allocate_task`: one Task, or a list of them, of which all or none are valid. */
export async function postTasks(deps: OptexityDeps, body: unknown, caller: Caller): Promise<Response> {
  const isOne = !Array.isArray(body);
  const given: unknown[] = Array.isArray(body) ? body : [body];
  if (given.length > batchMax) return invalidBody([tooLong(["body"], batchMax, given)]);
  const checked = given.map((item, index) => checkTask(item, isOne ? ["body"] : ["body", index]));
  const problems = checked.flatMap((entry) => (entry.ok ? [] : entry.problems));
  if (problems.length > 0) return invalidBody(problems);
  const tasks = checked.flatMap((entry) => (entry.ok ? [entry.task] : []));
  try {
    const ids: string[] = [];
    for (const task of tasks) ids.push(await allocateGiven(deps, task, caller));
    const named = isOne ? { task_id: ids[0] } : { task_ids: ids };
    const message = isOne ? texts.allocated : texts.allocatedMany(ids.length);
    return Response.json({ success: true, message, ...named }, { status: 202 });
  } catch (fault) {
    if (!(fault instanceof ControlPlaneError)) throw fault;
    return Response.json({ success: false, message: fault.message, error: fault.message }, { status: 500 });
  }
}

async function allocateGiven(deps: OptexityDeps, task: Task, caller: Caller): Promise<string> {
  const apiKey = task.api_key ?? deps.controlPlane?.apiKey ?? null;
  return allocate(deps, await withAutomation(deps, deps.controlPlane, { ...task, api_key: apiKey }), caller);
}

/** `POST /set_child_process_id`: the number under which the master knows this child. */
export function setChildProcessId(deps: OptexityDeps, body: unknown): Response {
  const problem = childProcessIdProblem(body);
  if (problem !== null) return invalidBody([problem]);
  deps.child.processId = Number((body as { new_child_process_id: string }).new_child_process_id);
  return Response.json({ success: true, message: texts.childProcessSet });
}

function childProcessIdProblem(body: unknown): BodyProblem | null {
  if (!isFields(body)) return wrongType(["body"], "model_attributes", body);
  const loc = ["body", "new_child_process_id"];
  const value = body.new_child_process_id;
  if (value === undefined) return missing(loc, body);
  if (typeof value !== "string") return wrongType(loc, "string", value);
  return /^\d{1,9}$/.test(value) ? null : wrongValue(loc, "new_child_process_id must be a whole number", value);
}

/** `POST /kill_task`: ids that are unknown or not tasks of this surface are passed over, like those that have ended. */
export async function killTasks(deps: OptexityDeps, body: unknown): Promise<Response> {
  if (!Array.isArray(body)) return invalidBody([wrongType(["body"], "list", body)]);
  if (body.length > batchMax) return invalidBody([tooLong(["body"], batchMax, body)]);
  const odd = body.findIndex((id) => typeof id !== "string");
  if (odd !== -1) return invalidBody([wrongType(["body", odd], "string", body[odd])]);
  const ids = await ownIds(deps, body);
  for (const id of ids) await cancelIfThere(deps, id);
  return Response.json({ success: true, message: texts.killed(body.length) });
}

/** `POST /human_in_loop_completed`: a task that waits for a human goes on. */
export async function humanIsDone(deps: OptexityDeps, body: unknown): Promise<Response> {
  if (!isFields(body)) return invalidBody([wrongType(["body"], "model_attributes", body)]);
  const taskId = body.task_id;
  if (taskId === undefined) return invalidBody([missing(["body", "task_id"], body)]);
  if (typeof taskId !== "string") return invalidBody([wrongType(["body", "task_id"], "string", taskId)]);
  const job = taskId.includes("\0") ? null : await readJob(deps.engine.db.sql, taskId);
  if (job?.surface !== "optexity" || job.payload === null)
    throw new EngineError("not_found", `There is no task ${JSON.stringify(taskId.slice(0, 200))}`);
  if (job.status !== "running") throw new EngineError("conflict", `Task ${taskId} is not running`);
  const directory = deps.files.runDirectory(job.payload.id);
  if (directory === null) {
    const node = job.tasks.map(({ run }) => run?.node ?? "").find((name) => name !== "") ?? "another";
    throw new EngineError("unavailable", `Task ${taskId} runs on node ${node}: tell that node`);
  }
  await writeFile(join(directory, "logs", humanDoneFile), "");
  return Response.json({ success: true });
}

async function ownIds(deps: OptexityDeps, ids: string[]): Promise<string[]> {
  const storable = ids.filter((id) => !id.includes("\0"));
  const rows = await deps.engine.db.sql<{ id: string }[]>`
    SELECT id FROM jobs WHERE id = ANY(${storable}::text[]) AND surface = 'optexity'`;
  return rows.map(({ id }) => id);
}

const killed = { code: "cancelled", message: "Task cancelled by user" } as const;

async function cancelIfThere(deps: OptexityDeps, id: string): Promise<void> {
  try {
    const asked = await cancel(deps.engine, id);
    // Nobody here runs what a child runs: for this control plane it ends now, and what the child still reports is kept with it.
    if (asked === "stopping") await endRemote(deps.engine, id, { status: "cancelled", error: killed });
  } catch (fault) {
    // Pruned since it was looked up.
    if (!(fault instanceof EngineError && fault.code === "not_found")) throw fault;
  }
}
