import { EngineError } from "../../errors.ts";
import { readBytes } from "../../http/body.ts";
import { parseJson } from "../../http/json.ts";
import { type TraceContext, traceOf } from "../../http/trace-context.ts";
import { allocate } from "./allocate.ts";
import { checkInference } from "./check-inference.ts";
import { ControlPlaneError } from "./control-plane-call.ts";
import { automationProblems, createTask } from "./create-task.ts";
import { dedupKeyOf, engineDedupKey } from "./dedup-key.ts";
import type { ControlPlane, OptexityDeps } from "./deps.ts";
import { fetchRecording, forwardInference } from "./forward.ts";
import { invalidBody, notJson } from "./invalid-body.ts";
import type { SingleFlight } from "./single-flight.ts";
import { type InferenceRequest, type Task, texts } from "./wire.ts";

/** Who asks, and the trace that the request belongs to. */
export type Caller = TraceContext & { client: string };
type Asked = { inference: InferenceRequest; bodyText: string; caller: Caller };
export type Flights = SingleFlight<string>;

const depthMax = 100;

/** `POST /inference`: a task is made, here or by the control plane, and waits to be run. */
export async function postInference(
  deps: OptexityDeps,
  flights: Flights,
  request: Request,
  client: string,
): Promise<Response> {
  const read = await readInferenceBody(deps, request);
  if (read instanceof Response) return read;
  const asked = { ...read, caller: { client, ...traceOf(request.headers) } };
  const problems = deps.controlPlane === null ? automationProblems(deps, read.inference) : [];
  if (problems.length > 0) return invalidBody(problems);
  try {
    const taskId = await allocateOnce(deps, flights, asked);
    return Response.json({ success: true, message: texts.allocated, task_id: taskId }, { status: 202 });
  } catch (fault) {
    if (!(fault instanceof ControlPlaneError)) throw fault;
    deps.log.warn("the control plane made no task", { endpoint: read.inference.endpoint_name, fault });
    return Response.json({ success: false, error: fault.message }, { status: 500 });
  }
}

/** The request and the JSON it came in, or the 422. */
export async function readInferenceBody(
  deps: OptexityDeps,
  request: Request,
): Promise<{ inference: InferenceRequest; bodyText: string } | Response> {
  const bytes = await readBytes(request, deps.bodyMaxBytes);
  const body = jsonOf(bytes);
  if (body instanceof Response) return body;
  const checked = checkInference(body.value);
  if (!checked.ok) return invalidBody(checked.problems);
  return { inference: checked.inference, bodyText: new TextDecoder().decode(bytes) };
}

function jsonOf(bytes: Uint8Array): { value: unknown } | Response {
  try {
    return { value: parseJson(bytes, depthMax) };
  } catch (fault) {
    if (fault instanceof EngineError && fault.code === "invalid") return invalidBody([notJson(fault.message)]);
    throw fault;
  }
}

/** Requests for the same thing at the same time are one; a task that waits or runs with the same key stands for another. */
async function allocateOnce(deps: OptexityDeps, flights: Flights, asked: Asked): Promise<string> {
  const { inference, bodyText } = asked;
  if (inference.unique_parameter_names.length === 0) return allocateNew(deps, asked, undefined);
  const key = engineDedupKey(inference.endpoint_name, dedupKeyOf(inference.unique_parameter_names, bodyText));
  return flights.share(key, () => allocateNew(deps, asked, key));
}

async function allocateNew(deps: OptexityDeps, asked: Asked, dedupKey: string | undefined): Promise<string> {
  const { inference, bodyText, caller } = asked;
  const dedup = dedupKey === undefined ? {} : { dedupKey };
  if (deps.controlPlane === null)
    return allocate(deps, createTask(inference, bodyText, caller.client), { ...caller, ...dedup });
  const task = await forwardInference(deps.controlPlane, bodyText);
  return allocate(deps, await withAutomation(deps, deps.controlPlane, task), caller);
}

/** A task without a document runs the automation of its name that is here, else the recording it was made from. */
export async function withAutomation(deps: OptexityDeps, plane: ControlPlane | null, task: Task): Promise<Task> {
  if (task.automation !== null || deps.automations.current.entries.has(task.endpoint_name)) return task;
  if (plane === null || task.recording_id === "") return task;
  return { ...task, automation: await fetchRecording(plane, task) };
}
