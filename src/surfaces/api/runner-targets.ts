import { type AutomationCatalog, declaredParameters } from "../../runners/automation/catalog.ts";
import { inputProblems } from "../../runners/automation/parameters.ts";
import type { ContainerRunner } from "../../runners/container/runner.ts";
import type { FunctionCatalog } from "../../runners/function/catalog.ts";
import type { Targets } from "./targets.ts";

type Sources = {
  functions: FunctionCatalog;
  /** Null when this node serves none. */
  containers: ContainerRunner | null;
  automations: AutomationCatalog | null;
  /** Milliseconds of a function that does not say. */
  defaultTimeoutMs: number;
};

/** What the runners of this node can run. */
export function runnerTargets({ functions, containers, automations, defaultTimeoutMs }: Sources): Targets {
  return {
    function: (name) => functions.get(name),
    container: (id) => containers?.get(id) ?? undefined,
    automation: (name) => {
      const entry = automations?.current.entries.get(name);
      return entry === undefined
        ? undefined
        : { problems: (input) => inputProblems(declaredParameters(entry), input ?? {}) };
    },
    functions: () => ({
      functions: listFunctions(functions, defaultTimeoutMs),
      problems: functions.problems().map(problemOf),
    }),
    containers: () => ({
      containers: containers === null ? [] : listContainers(containers),
      problems: containers?.problems() ?? [],
    }),
    automations: () => listAutomations(automations),
  };
}

function listFunctions(functions: FunctionCatalog, defaultTimeoutMs: number) {
  return functions.list().map(({ name, description, params, config }) => ({
    name,
    description,
    params,
    streams: config.supportsStreaming === true,
    timeout: (config.timeout ?? defaultTimeoutMs) / 1_000,
    max_attempts: (config.maxRetries ?? 0) + 1,
  }));
}

/** The path of the file is the machine's business; its name is enough to find it. */
function problemOf({ file, line, message }: { file: string; line: number | null; message: string }) {
  const name = file.split("/").at(-1) ?? file;
  return { file: line === null ? name : `${name}:${line}`, message };
}

function listContainers(containers: ContainerRunner) {
  const states = new Map(containers.states().map(({ id, state }) => [id, state]));
  return containers.list().map((container) => ({ ...container, state: states.get(container.id) ?? null }));
}

function listAutomations(automations: AutomationCatalog | null) {
  const { entries, problems } = automations?.current ?? { entries: new Map(), problems: new Map<string, string>() };
  return {
    automations: [...entries.values()].map((entry) => ({
      name: entry.name,
      description: entry.kind === "script" ? entry.description : null,
      parameters: declaredParameters(entry).input,
    })),
    problems: [...problems].map(([name, message]) => ({ name, message })),
  };
}
