import type { Problem } from "../../errors.ts";
import type { Limits } from "../../runners/limits.ts";
import type { Submit } from "./wire-submit.ts";

type Asked = NonNullable<Submit["limits"]>;

const names = {
  cpu_s: "cpuS",
  memory_mb: "memoryMb",
  processes: "processes",
  file_mb: "fileMb",
  output_mb: "outputMb",
} as const;

/** The limits that were asked for, in the engine's words. More than the server gives is refused rather than cut unnoticed. */
export function draftLimits(
  asked: Asked | undefined,
  maximum: Limits,
): { problems: Problem[]; value: Partial<Limits> | null } {
  if (asked === undefined) return { problems: [], value: null };
  const problems: Problem[] = [];
  const value: Partial<Limits> = {};
  for (const [name, inside] of Object.entries(names) as [keyof typeof names, (typeof names)[keyof typeof names]][]) {
    const wanted = asked[name];
    if (wanted === undefined) continue;
    if (wanted > maximum[inside]) {
      problems.push({ pointer: `/limits/${name}`, detail: `must be at most ${maximum[inside]}, the server's maximum` });
    }
    value[inside] = wanted;
  }
  if (asked.network !== undefined) value.network = asked.network;
  if (asked.network === true && !maximum.network) {
    problems.push({ pointer: "/limits/network", detail: "must be false: this server gives no job the network" });
  }
  return { problems, value };
}
