import type { Submit } from "../client.ts";
import type { Flags, Given } from "./command.ts";
import { seconds, wholeNumber } from "./numbers.ts";
import { UsageError } from "./usage-error.ts";

/** What may be asked of any job. */
export const jobFlags = {
  timeout: { value: "TIME", short: "t", help: "how long a run may take: 90, 90s, 5m, 2h" },
  network: { help: "let a script use the network" },
  memory: { value: "MB", help: "MiB of memory" },
  cpu: { value: "TIME", help: "CPU time" },
  priority: { value: "N", short: "p", help: "lower runs first; 1 unless said" },
  attempts: { value: "N", help: "how often it may be tried" },
  delay: { value: "TIME", help: "not before this time has passed" },
  tag: { value: "TAG", many: true, help: "a mark to find it by; may be given again" },
  region: { value: "NAME", help: "on a node of this region" },
  needs: { value: "TAG", many: true, help: "on a node with this tag; may be given again" },
  webhook: { value: "URL", help: "who is told of its end" },
} as const satisfies Flags;

const large = Number.MAX_SAFE_INTEGER;

/** The parts of a job that its flags say. Throws `UsageError`. */
export function jobFromFlags(given: Given<typeof jobFlags>): Submit {
  const { network, tag, webhook } = given;
  const requires = { ...keep("region", given.region), ...keep("tags", given.needs) };
  const limits = {
    ...keep("cpu_s", cpuSeconds(given.cpu)),
    ...keep("memory_mb", wholeNumber("--memory", given.memory, { min: 1, max: large })),
    ...keep("network", network),
  };
  return {
    ...keep("timeout", seconds("--timeout", given.timeout)),
    ...keep("priority", wholeNumber("--priority", given.priority, { min: -large, max: large })),
    ...keep("max_attempts", wholeNumber("--attempts", given.attempts, { min: 1, max: large })),
    ...keep("delay", seconds("--delay", given.delay)),
    ...keep("tags", tag),
    ...(webhook === undefined ? {} : { webhook: { url: webhook } }),
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
    ...(Object.keys(requires).length === 0 ? {} : { requires }),
  };
}

function cpuSeconds(given: string | undefined): number | undefined {
  const value = seconds("--cpu", given);
  if (value !== undefined && !Number.isInteger(value)) throw new UsageError("--cpu must be whole seconds");
  return value;
}

/** An optional member: there, or not. */
function keep<K extends string, V>(name: K, value: V | undefined): { [P in K]?: V } {
  const kept: { [P in K]?: V } = {};
  if (value !== undefined) kept[name] = value;
  return kept;
}
