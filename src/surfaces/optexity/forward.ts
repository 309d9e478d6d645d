import { parsePythonJson, pythonJson } from "../../runners/automation/python-json.ts";
import { checkTask } from "./check-task.ts";
import { askControlPlane, ControlPlaneError } from "./control-plane-call.ts";
import type { ControlPlane } from "./deps.ts";
import { isFields } from "./field-checks.ts";
import type { BodyProblem } from "./invalid-body.ts";
import type { Task } from "./wire.ts";

const modelFields = [
  "endpoint_name",
  "input_parameters",
  "unique_parameter_names",
  "secure_parameters",
  "priority",
  "max_timeout_in_minutes",
  "use_proxy",
  "is_dedicated",
];

/** Has the control plane make the task of a request. Throws `ControlPlaneError`. */
export async function forwardInference(plane: ControlPlane, bodyText: string): Promise<Task> {
  const url = new URL(plane.inferenceEndpoint, plane.serverUrl).href;
  const answer = await askControlPlane(url, plane.apiKey, modelJson(bodyText));
  const task = taskIn(answer);
  const checked = checkTask(task, ["task"]);
  if (!checked.ok)
    throw new ControlPlaneError(`The control plane sent a task that is not valid: ${inWords(checked.problems)}`);
  return { ...checked.task, api_key: checked.task.api_key ?? plane.apiKey };
}

/** The document of a recording. Throws `ControlPlaneError`. */
export async function fetchRecording(plane: ControlPlane, task: Task): Promise<Record<string, unknown>> {
  const path = `${plane.recordingEndpoint.replace(/\/$/, "")}/${encodeURIComponent(task.recording_id)}`;
  const answer = await askControlPlane(new URL(path, plane.serverUrl).href, task.api_key ?? plane.apiKey, null);
  const document = unwrapped(answer.automation) ?? unwrapped(answer.recording) ?? answer;
  if (!Array.isArray(document.nodes))
    throw new ControlPlaneError(`The recording ${task.recording_id} holds no automation`);
  return document;
}

/** The model of the request, with its numbers as they were written. */
function modelJson(bodyText: string): string {
  const body = parsePythonJson(bodyText);
  const fields = isFields(body) ? body : {};
  const given = modelFields.filter((name) => fields[name] !== undefined);
  const model = Object.fromEntries(given.map((name) => [name, fields[name]]));
  return pythonJson({ unique_parameter_names: [], ...model });
}

/** `task` is JSON within JSON in the original, an object elsewhere. */
function taskIn(answer: Record<string, unknown>): unknown {
  const { task } = answer;
  if (task === undefined && typeof answer.error === "string") throw new ControlPlaneError(answer.error);
  if (task === undefined) throw new ControlPlaneError("The control plane sent no task");
  const object = unwrapped(task);
  if (object === null) throw new ControlPlaneError("The control plane sent a task that is no JSON object");
  return object;
}

function unwrapped(value: unknown): Record<string, unknown> | null {
  if (isFields(value)) return value;
  if (typeof value !== "string") return null;
  try {
    const parsed: unknown = JSON.parse(value);
    return isFields(parsed) ? parsed : null;
  } catch {
    // Any text may stand there; the caller says what it should have been.
    return null;
  }
}

export function inWords(problems: BodyProblem[]): string {
  return problems
    .slice(0, 5)
    .map(({ loc, msg }) => `${loc.join(".")}: ${msg}`)
    .join("; ");
}
