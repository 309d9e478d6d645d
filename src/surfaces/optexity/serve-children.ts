import { readBytes, readJson } from "../../http/body.ts";
import { addRemoteOutput, endRemote, startRemote } from "../../engine/remote-task.ts";
import { readJob } from "../../engine/read.ts";
import { EngineError } from "../../errors.ts";
import { traceOf } from "../../http/trace-context.ts";
import { allocate } from "./allocate.ts";
import { automationProblems, createTask } from "./create-task.ts";
import { engineDedupKey } from "./dedup-key.ts";
import type { OptexityDeps } from "./deps.ts";
import { isFields } from "./field-checks.ts";
import { invalidBody } from "./invalid-body.ts";
import { readInferenceBody } from "./post-inference.ts";
import { keepFile, receiveReport } from "./received-files.ts";
import { taskViewOf } from "./task-view.ts";
import type { Task } from "./wire.ts";

const screenshotName = "final_screenshot.png";
const screenshotCharsMax = 48 * 1_048_576;
const done = () => Response.json({ success: true });

/** `POST /api/v1/inference`: makes a task for the child that asks, which then runs it and reports. */
export async function makeTask(deps: OptexityDeps, request: Request, client: string): Promise<Response> {
  const read = await readInferenceBody(deps, request);
  if (read instanceof Response) return read;
  const { inference, bodyText } = read;
  const problems = automationProblems(deps, inference);
  if (problems.length > 0) return invalidBody(problems);
  const task = createTask(inference, bodyText, client);
  const document = await documentOf(deps, inference.endpoint_name);
  const isUnique = inference.unique_parameter_names.length > 0;
  const dedup = isUnique ? { dedupKey: engineDedupKey(`child:${inference.endpoint_name}`, task.dedup_key) } : {};
  const taskId = await allocate(deps, task, { client, isRemote: true, ...dedup, ...traceOf(request.headers) });
  const sent = sentTask({ ...task, task_id: taskId }, document, request.headers.get("x-api-key"));
  return Response.json({
    success: true,
    message: "Task has been created",
    task_id: taskId,
    task: JSON.stringify(sent),
  });
}

/** `GET /api/v1/recording/{id}`: the document of an automation. */
export async function recording(deps: OptexityDeps, id: string): Promise<Response> {
  const document = await documentOf(deps, id);
  if (document === null)
    throw new EngineError("not_found", `There is no recording ${JSON.stringify(id.slice(0, 200))}`);
  return Response.json(document);
}

/** `GET /api/v1/task/{id}` */
export async function showTask(deps: OptexityDeps, id: string): Promise<Response> {
  const job = id.includes("\0") ? null : await readJob(deps.engine.db.sql, id);
  if (job?.surface !== "optexity") throw unknownTask(id);
  return Response.json(taskViewOf(job));
}

export async function startTask(deps: OptexityDeps, request: Request): Promise<Response> {
  const { taskId } = await readReport(deps, request);
  if ((await startRemote(deps.engine, taskId)) === "unknown") throw unknownTask(taskId);
  return done();
}

const endings = { success: "succeeded", failed: "failed", cancelled: "cancelled", killed: "failed" } as const;

export async function completeTask(deps: OptexityDeps, request: Request): Promise<Response> {
  const { taskId, fields } = await readReport(deps, request);
  const status = Object.entries(endings).find(([word]) => word === fields.status)?.[1];
  if (status === undefined) throw new EngineError("invalid", "status must be success, failed or cancelled");
  const message = typeof fields.error === "string" ? fields.error.slice(0, 10_000) : `The task ${status}`;
  const code = status === "cancelled" ? ("cancelled" as const) : ("automation_error" as const);
  const end = { status, error: status === "succeeded" ? null : { code, message } };
  if ((await endRemote(deps.engine, taskId, end)) === "unknown") throw unknownTask(taskId);
  return done();
}

export async function saveOutputData(deps: OptexityDeps, request: Request): Promise<Response> {
  const { taskId, fields } = await readReport(deps, request);
  const payloadId = await payloadOf(deps, taskId);
  const { output_data: data = [], final_screenshot: screenshot = null } = fields;
  if (!Array.isArray(data)) throw new EngineError("invalid", "output_data must be a list");
  if (typeof screenshot === "string")
    await keepFile(deps, payloadId, screenshotName, Buffer.from(screenshot.slice(0, screenshotCharsMax), "base64"));
  const kept = typeof screenshot === "string" ? screenshotName : null;
  await addRemoteOutput(deps.engine, taskId, (output) => ({ ...output, output_data: data, final_screenshot: kept }));
  return done();
}

export async function saveDownloads(deps: OptexityDeps, request: Request): Promise<Response> {
  const report = await receiveReport(deps, request, { archiveInto: "downloads" }, (id) => payloadOf(deps, id));
  const { archived: downloads, screenshots } = report;
  await addRemoteOutput(deps.engine, report.taskId, (output) => ({ ...output, downloads, screenshots }));
  return done();
}

export async function saveTrajectory(deps: OptexityDeps, request: Request): Promise<Response> {
  await receiveReport(deps, request, { archiveInto: "" }, (id) => payloadOf(deps, id));
  return done();
}

/** `POST /register_child`: a child tells where it is. It asks for its work by itself. */
export async function registerChild(deps: OptexityDeps, request: Request): Promise<Response> {
  const body = await readJson(request, { maxBytes: deps.bodyMaxBytes });
  if (!isFields(body)) throw new EngineError("invalid", "needs task_arn, private_ip and port");
  const shown = Object.fromEntries(
    ["task_arn", "private_ip", "port"].map((name) => [name, String(body[name] ?? "").slice(0, 500)]),
  );
  deps.log.info("a child has registered", shown);
  return Response.json({ success: true, message: "Child has been registered" });
}

async function readReport(
  deps: OptexityDeps,
  request: Request,
): Promise<{ taskId: string; fields: Record<string, unknown> }> {
  const bytes = await readBytes(request, deps.bodyMaxBytes + screenshotCharsMax);
  const fields: unknown = parsed(bytes);
  const taskId = isFields(fields) ? fields.task_id : undefined;
  if (!isFields(fields) || typeof taskId !== "string" || taskId.includes("\0"))
    throw new EngineError("invalid", "needs task_id");
  return { taskId, fields };
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new EngineError("invalid", "The body is not valid JSON", { cause });
  }
}

async function payloadOf(deps: OptexityDeps, taskId: string): Promise<number> {
  const job = taskId.includes("\0") ? null : await readJob(deps.engine.db.sql, taskId);
  if (job?.surface !== "optexity" || job.details.remote !== true || job.payload === null) throw unknownTask(taskId);
  if (job.payload.cleaned) throw new EngineError("not_found", `The files of task ${taskId} are past their age`);
  return job.payload.id;
}

/** The document as it stands in its file; null for an automation that is a program, which the child must have itself. */
async function documentOf(deps: OptexityDeps, name: string): Promise<Record<string, unknown> | null> {
  const entry = deps.automations.current.entries.get(name);
  if (entry?.kind !== "document") return null;
  const document: unknown = await Bun.file(entry.file).json();
  return isFields(document) ? document : null;
}

function sentTask(
  task: Task,
  document: Record<string, unknown> | null,
  apiKey: string | null,
): Record<string, unknown> {
  const declared = isFields(document?.parameters) ? document.parameters.secure_parameters : undefined;
  return {
    ...task,
    automation: document,
    secure_parameters: task.secure_parameters ?? declared ?? {},
    api_key: apiKey ?? "",
    status: "allocated",
    allocated_at: new Date().toISOString(),
    retry_count: 0,
  };
}

function unknownTask(id: string): EngineError {
  return new EngineError("not_found", `There is no task ${JSON.stringify(id.slice(0, 200))}`);
}
