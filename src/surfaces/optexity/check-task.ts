import { readInference } from "./check-inference.ts";
import { dedupKeyOf } from "./dedup-key.ts";
import { FieldChecks, isFields } from "./field-checks.ts";
import { type BodyProblem, wrongType, wrongValue } from "./invalid-body.ts";
import { maxRetriesUsual, type Task } from "./wire.ts";

export type CheckedTask = { ok: true; task: Task } | { ok: false; problems: BodyProblem[] };

const idPattern = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,128}$/;
const retriesMost = 100;

/**
 * Checks a Task that somebody else has made. Its directories are ours to choose, and its life cycle begins here: both are ignored. Fields
 * that are unknown are ignored as well.
 */
export function checkTask(body: unknown, at: (string | number)[] = ["body"]): CheckedTask {
  if (!isFields(body)) return { ok: false, problems: [wrongType(at, "model_attributes", body)] };
  const problems: BodyProblem[] = [];
  const checks = new FieldChecks(body, problems, at);
  const task = readTask(checks);
  if (problems.length > 0) return { ok: false, problems };
  return { ok: true, task };
}

function readTask(checks: FieldChecks): Task {
  const { fields, problems, at } = checks;
  const taskId = checks.text("task_id");
  if (typeof fields.task_id === "string" && !idPattern.test(taskId))
    problems.push(wrongValue([...at, "task_id"], "task_id may hold 128 letters, digits, . _ and -", taskId));
  const automation = fields.automation ?? null;
  if (automation !== null && !isFields(automation)) problems.push(wrongType([...at, "automation"], "dict", automation));
  // Older control planes name the automation in the document alone.
  const named = isFields(automation) ? automation.automation_endpoint : undefined;
  const fallback = typeof named === "string" ? named : checks.text("recording_id", "");
  const inference = readInference(
    new FieldChecks({ ...fields, endpoint_name: fields.endpoint_name ?? fallback }, problems, at),
  );
  if (inference.endpoint_name.includes("\0"))
    problems.push(wrongValue([...at, "endpoint_name"], "endpoint_name holds a NUL", inference.endpoint_name));
  const names = inference.unique_parameter_names;
  return {
    ...inference,
    task_id: taskId,
    user_id: checks.text("user_id", ""),
    recording_id: checks.text("recording_id", ""),
    automation: isFields(automation) ? automation : null,
    unique_parameters:
      names.length === 0
        ? null
        : Object.fromEntries(names.map((name) => [name, inference.input_parameters[name] ?? []])),
    dedup_key: problems.length > 0 ? "" : checks.text("dedup_key", dedupKeyOf(names, JSON.stringify(fields))),
    created_at: readMoment(checks, "created_at"),
    max_retries: checks.integer("max_retries", 0, retriesMost) ?? maxRetriesUsual,
    api_key: readKey(checks),
    callback_url: isFields(fields.callback_url) ? fields.callback_url : null,
  };
}

function readMoment({ fields }: FieldChecks, name: string): string {
  const value = fields[name];
  const at = typeof value === "string" ? new Date(value) : new Date();
  return Number.isNaN(at.getTime()) ? new Date().toISOString() : at.toISOString();
}

/** Goes into a header, so it must be fit for one. */
function readKey({ fields, problems, at }: FieldChecks): string | null {
  const value = fields.api_key ?? null;
  if (value === null || value === "") return null;
  if (typeof value === "string" && /^[\x21-\x7e]{1,1000}$/.test(value)) return value;
  problems.push(wrongValue([...at, "api_key"], "api_key must be printable ASCII", null));
  return null;
}
