import type { RunFacts } from "../runners/contract.ts";
import type { Claimed } from "./claimed.ts";

/** What is kept of a run, in the words of the API. Times in milliseconds, memory in MiB. */
export type StoredFacts = {
  sandbox: string;
  wait_ms: number;
  wall_ms: number;
  cpu_ms: number | null;
  max_rss_mb: number | null;
  exit_code: number | null;
  signal: string | null;
  limits: unknown;
};

export function factsJson(task: Claimed, facts: RunFacts): string {
  const stored: StoredFacts = {
    sandbox: facts.sandbox,
    wait_ms: Math.max(0, task.startedAtMs - task.queuedAtMs),
    wall_ms: round(facts.wallMs),
    cpu_ms: facts.cpuMs === null ? null : round(facts.cpuMs),
    max_rss_mb: facts.maxRssMb === null ? null : round(facts.maxRssMb),
    exit_code: facts.exitCode,
    signal: facts.signal,
    limits: facts.limits,
  };
  return JSON.stringify(stored);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
