import { type Automation, defineAutomation } from "../../automations.ts";
import { parameterNameProblem } from "./document.ts";
import { isObject } from "./field-reader.ts";

/** What an automation file declares, or what is wrong with it. */
export type Inspection =
  { description: string | null; parameters: Record<string, (string | number | boolean)[]> } | { problem: string };

let isProvided = false;

/** Runs the file and gives its default export. Only ever called away from the server. Throws what the file throws. */
export async function loadAutomation(file: string): Promise<unknown> {
  if (!isProvided) provideAutomations();
  isProvided = true;
  const module: { default?: unknown } = await import(file);
  return module.default;
}

/** Checks a default export. */
export function inspectAutomation(value: unknown): Inspection {
  if (!isObject(value) || typeof value.run !== "function") {
    return { problem: "the file must `export default defineAutomation({ parameters, run })`" };
  }
  if (!isObject(value.parameters)) {
    return {
      problem: '"parameters" must be an object of lists of example values, as in { email: ["alice@example.com"] }',
    };
  }
  for (const [name, values] of Object.entries(value.parameters)) {
    const wrongName = parameterNameProblem(name);
    if (wrongName !== null) return { problem: `"parameters": ${wrongName}` };
    const isList =
      Array.isArray(values) && values.every((item) => ["string", "number", "boolean"].includes(typeof item));
    if (!isList) return { problem: `"parameters": "${name}" must be a list of texts, numbers, true or false` };
  }
  const { parameters } = value as unknown as Automation;
  return {
    description: typeof value.description === "string" ? value.description : null,
    parameters: Object.fromEntries(Object.entries(parameters).map(([name, values]) => [name, [...values]])),
  };
}

/** `import … from "fairlead/automations"` works in every automation, wherever it is and with nothing installed. */
function provideAutomations(): void {
  Bun.plugin({
    name: "fairlead/automations",
    setup: (build) => {
      build.module("fairlead/automations", () => ({ exports: { defineAutomation }, loader: "object" }));
    },
  });
}
