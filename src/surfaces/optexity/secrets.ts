import type { TaskSecrets } from "../../runners/automation/sealed-secrets.ts";
import { isFields } from "./field-checks.ts";
import type { Task } from "./wire.ts";

/** A task's document without its secrets, and the secrets apart; null when it has none. */
export function takeSecrets({ automation, secure_parameters }: Task): {
  automation: Task["automation"];
  secrets: TaskSecrets | null;
} {
  const parameters = isFields(automation?.parameters) ? automation.parameters : {};
  const declared = isFields(parameters.secure_parameters) ? parameters.secure_parameters : null;
  if (declared === null && secure_parameters === null) return { automation, secrets: null };
  const { secure_parameters: _, ...others } = parameters;
  return {
    automation: declared === null ? automation : { ...automation, parameters: others },
    secrets: { given: secure_parameters, declared },
  };
}
