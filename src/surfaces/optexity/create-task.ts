import { declaredParameters } from "../../runners/automation/catalog.ts";
import { inputProblems, secureProblems } from "../../runners/automation/parameters.ts";
import { dedupKeyOf } from "./dedup-key.ts";
import type { OptexityDeps } from "./deps.ts";
import { type BodyProblem, wrongValue } from "./invalid-body.ts";
import { type InferenceRequest, maxRetriesUsual, type Task } from "./wire.ts";

const namesShown = 10;

/** What keeps a request from becoming a task of an automation that is here. */
export function automationProblems(deps: OptexityDeps, inference: InferenceRequest): BodyProblem[] {
  const { endpoint_name: name, input_parameters: input, secure_parameters: secure } = inference;
  const { entries, problems } = deps.automations.current;
  const entry = entries.get(name);
  if (entry === undefined) {
    const known = [...entries.keys()].slice(0, namesShown).join(", ") || "none";
    const broken = problems.get(name);
    const why =
      broken === undefined
        ? `there is no automation ${JSON.stringify(name.slice(0, 200))}; there are ${known} (AUTOMATIONS_DIR)`
        : `the automation cannot be used: ${broken}`;
    return [wrongValue(["body", "endpoint_name"], why, name)];
  }
  const declared = declaredParameters(entry);
  return [
    ...inputProblems(declared, input).map((why) => wrongValue(["body", "input_parameters"], why, input)),
    ...(secure === null ? [] : secureProblems(declared, secure)).map((why) =>
      // Not shown: they are secrets.
      wrongValue(["body", "secure_parameters"], why, null),
    ),
  ];
}

/** A new task, as the control plane makes it. `bodyText` is the JSON of the request. */
export function createTask(inference: InferenceRequest, bodyText: string, userId: string): Task {
  const { unique_parameter_names: names, input_parameters: input } = inference;
  return {
    ...inference,
    task_id: crypto.randomUUID(),
    user_id: userId,
    recording_id: inference.endpoint_name,
    automation: null,
    unique_parameters: names.length === 0 ? null : Object.fromEntries(names.map((name) => [name, input[name] ?? []])),
    dedup_key: dedupKeyOf(names, bodyText),
    created_at: new Date().toISOString(),
    max_retries: maxRetriesUsual,
    api_key: null,
    callback_url: null,
  };
}
