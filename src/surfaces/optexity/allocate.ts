import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { beginReservation } from "../../engine/uploads.ts";
import type { Submission } from "../../engine/submission.ts";
import type { Manifest } from "../../files/manifest.ts";
import type { Staging } from "../../files/staging.ts";
import type { TraceContext } from "../../http/trace-context.ts";
import type { OptexityDeps } from "./deps.ts";
import { takeSecrets } from "./secrets.ts";
import { linkTaskDirectory } from "./task-directory.ts";
import type { Task } from "./wire.ts";

export type Allocation = TraceContext & {
  client: string;
  /** A running or waiting job with this key stands for the task. */
  dedupKey?: string;
  /** Executed by another child, which reports: nobody here runs it. */
  isRemote?: boolean;
};

const priorityLast = 2_097_152;
const backoffS = 10;

/**
 * Makes a task a job, under the task's id, with a payload that holds its directories. Resolves once it is committed, to the id of the
 * task that stands for it: its own, or that of the same task that was there before. Throws `EngineError`.
 */
export async function allocate(deps: OptexityDeps, task: Task, allocation: Allocation): Promise<string> {
  const { payloadId, manifest } = await makePayload(deps);
  try {
    const payload = { id: payloadId, files: 0, bytes: 0, manifestJson: JSON.stringify(manifest) };
    const receipt = await deps.submitter.submit({ ...submissionOf(deps, task, allocation), payload });
    if (receipt.existing) await deps.files.remove(payloadId);
    else await linkDirectory(deps, task.task_id, payloadId);
    return receipt.id;
  } catch (fault) {
    await deps.files.remove(payloadId);
    throw fault;
  }
}

async function makePayload({ engine, files }: OptexityDeps): Promise<{ payloadId: number; manifest: Manifest }> {
  const reservation = beginReservation(engine);
  const staging = await stageDirectories(files).catch(async (fault: unknown) => {
    await reservation.giveUp();
    throw fault;
  });
  try {
    const payloadId = await reservation.id();
    return { payloadId, manifest: await files.commit(staging, payloadId) };
  } catch (fault) {
    await staging.discard();
    throw fault;
  }
}

async function stageDirectories(files: OptexityDeps["files"]): Promise<Staging> {
  const staging = await files.stage();
  try {
    for (const name of ["logs", "downloads"]) await mkdir(join(staging.directory, name));
    return staging;
  } catch (fault) {
    await staging.discard();
    throw fault;
  }
}

/** The job is committed: that its link could not be made must not fail it. */
async function linkDirectory(deps: OptexityDeps, taskId: string, payloadId: number): Promise<void> {
  if (deps.files.kind !== "local") return;
  try {
    await linkTaskDirectory(deps.saveDirectory, taskId, join(deps.dataDir, deps.files.location(payloadId)));
  } catch (fault) {
    deps.log.warn("the directory of a task could not be linked", { task: taskId, fault });
  }
}

function submissionOf(deps: OptexityDeps, task: Task, allocation: Allocation): Submission {
  const { client, dedupKey, isRemote = false, ...trace } = allocation;
  const webhook = isRemote ? null : deps.reportsTo(task.api_key);
  return {
    id: task.task_id,
    surface: "optexity",
    client,
    priority: task.priority ?? priorityLast,
    inputJson: JSON.stringify(task.input_parameters),
    tasks: [
      {
        runner: "automation",
        target: task.endpoint_name,
        timeoutMs: Math.min(deps.wallMs, (task.max_timeout_in_minutes ?? Number.POSITIVE_INFINITY) * 60_000),
        maxAttempts: task.max_retries + 1,
        backoffS,
        options: isRemote ? { task: { task_id: task.task_id } } : optionsOf(deps, task),
      },
    ],
    ...(isRemote ? { held: true } : {}),
    ...(dedupKey === undefined ? {} : { dedup: { key: dedupKey, while: "active" as const } }),
    ...(webhook === null ? {} : { webhook }),
    details: detailsOf(deps, task, isRemote),
    ...trace,
  };
}

/** What the run needs; its secrets are stored sealed, and opened for the run alone. */
function optionsOf(deps: OptexityDeps, task: Task): Record<string, unknown> {
  const { automation, secrets } = takeSecrets(task);
  const sealed = secrets === null ? {} : { sealed: deps.seal(JSON.stringify(secrets)) };
  return { task: { task_id: task.task_id, ...sealed }, ...(automation === null ? {} : { automation }) };
}

/** What is kept of the task besides the job. Neither its key nor its secrets: details can be read. */
export type TaskDetails = Pick<
  Task,
  | "user_id"
  | "recording_id"
  | "endpoint_name"
  | "unique_parameter_names"
  | "unique_parameters"
  | "dedup_key"
  | "created_at"
  | "max_retries"
> & { allocated_at: string; remote: boolean; sealed_callback?: string };

function detailsOf(deps: OptexityDeps, task: Task, isRemote: boolean): TaskDetails {
  return {
    user_id: task.user_id,
    recording_id: task.recording_id,
    endpoint_name: task.endpoint_name,
    unique_parameter_names: task.unique_parameter_names,
    unique_parameters: task.unique_parameters,
    dedup_key: task.dedup_key,
    created_at: task.created_at,
    max_retries: task.max_retries,
    allocated_at: new Date().toISOString(),
    remote: isRemote,
    ...(task.callback_url === null ? {} : { sealed_callback: deps.seal(JSON.stringify(task.callback_url)) }),
  };
}
