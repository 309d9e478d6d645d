import { FieldChecks, isFields } from "./field-checks.ts";
import { type BodyProblem, wrongType, wrongValue } from "./invalid-body.ts";
import type { InferenceRequest } from "./wire.ts";

export type CheckedInference = { ok: true; inference: InferenceRequest } | { ok: false; problems: BodyProblem[] };

const priorityMost = 2_097_151;
const minutesMax = 24 * 60;

/** Checks an `InferenceRequest`. `unique_parameter_names` may be left out, as in later versions of the original. */
export function checkInference(body: unknown): CheckedInference {
  if (!isFields(body)) return { ok: false, problems: [wrongType(["body"], "model_attributes", body)] };
  const problems: BodyProblem[] = [];
  const inference = readInference(new FieldChecks(body, problems, ["body"]));
  if (inference.endpoint_name === "" && problems.length === 0)
    problems.push(wrongValue(["body", "endpoint_name"], "endpoint_name must not be empty", ""));
  return problems.length > 0 ? { ok: false, problems } : { ok: true, inference };
}

/** The fields that a Task shares with the request it was made from. */
export function readInference(checks: FieldChecks): InferenceRequest {
  const inference: InferenceRequest = {
    endpoint_name: checks.text("endpoint_name"),
    input_parameters: checks.inputLists("input_parameters"),
    unique_parameter_names: checks.texts("unique_parameter_names"),
    secure_parameters: checks.secureLists("secure_parameters"),
    priority: checks.integer("priority", -priorityMost, priorityMost),
    max_timeout_in_minutes: checks.integer("max_timeout_in_minutes", 1, minutesMax),
  };
  if (isFields(checks.fields.input_parameters)) {
    for (const name of inference.unique_parameter_names) {
      if (Object.hasOwn(inference.input_parameters, name)) continue;
      const why = `unique_parameter_name ${name.slice(0, 200)} not found in input_parameters`;
      checks.problems.push(wrongValue(checks.at, why, checks.fields));
    }
  }
  return inference;
}
