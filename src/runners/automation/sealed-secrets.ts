import { isObject } from "./field-reader.ts";

/** The secure parameters of a task: those it came with (null for none), and those that its document declares. */
export type TaskSecrets = { given: Record<string, unknown[]> | null; declared: Record<string, unknown> | null };

/** What opens a sealed text; null when no key of this node does. */
export type OpenSealed = (sealed: string) => string | null;

/** The options of a task with what was sealed in them in its place; null when it cannot be opened. */
export function withSecrets(options: Record<string, unknown>, open: OpenSealed): Record<string, unknown> | null {
  const { sealed, ...task } = isObject(options.task) ? options.task : {};
  if (typeof sealed !== "string") return options;
  const text = open(sealed);
  if (text === null) return null;
  const { given, declared } = JSON.parse(text) as TaskSecrets;
  return {
    ...options,
    task: { ...task, ...(given === null ? {} : { secure_parameters: given }) },
    ...(declared === null ? {} : { automation: withDeclared(options.automation, declared) }),
  };
}

function withDeclared(automation: unknown, declared: Record<string, unknown>): unknown {
  if (!isObject(automation)) return automation;
  const parameters = isObject(automation.parameters) ? automation.parameters : {};
  return { ...automation, parameters: { ...parameters, secure_parameters: declared } };
}
