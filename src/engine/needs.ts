import { createHash } from "node:crypto";
import type { RunnerName } from "../runners/contract.ts";

/** What a task asks of the node that runs it. */
export type Requires = { region?: string; tags?: string[] };

/** What a node must be, and be able to run. `target` null: whatever that runner runs. */
export type Need = { runner: RunnerName; target: string | null; requires: Requires | null };

/** A node's place, as far as tasks may ask for it. */
export type Place = { region: string; tags: readonly string[] };

const hashChars = 24;

/** The name of the queue in which everything with this need waits; the same on every node, whatever the order of the tags. */
export function needQueue({ runner, target, requires }: Need): string {
  const tags = [...new Set(requires?.tags ?? [])].sort();
  const canonical = JSON.stringify([target, requires?.region ?? null, tags]);
  return `${runner}/${createHash("sha256").update(canonical).digest("hex").slice(0, hashChars)}`;
}

/** The need that a task brings along, by what it asks of the node; null when any node will do. */
export function needOf(runner: RunnerName, requires: Requires | null | undefined): Need | null {
  return requires == null || isEmpty(requires) ? null : { runner, target: null, requires };
}

export function isOffered(requires: Requires | null, place: Place): boolean {
  if (requires === null) return true;
  const isThere = requires.region === undefined || requires.region === place.region;
  return isThere && (requires.tags ?? []).every((tag) => place.tags.includes(tag));
}

/**
 * What a node must know to run this task: the name of a function, container or automation. Empty where it need not know
 * any: scripts, and automations that come with the job. `options` are the task's, or their JSON.
 */
export function knownTarget(
  runner: RunnerName,
  target: string,
  options: { automation?: unknown } | string | null | undefined,
): string {
  if (runner === "script") return "";
  if (runner !== "automation") return target;
  const read = typeof options === "string" ? (JSON.parse(options) as { automation?: unknown }) : options;
  return read?.automation == null ? target : "";
}

/** The runner whose slots a queue is for: its own name, or what stands in front of the need. */
export function runnerOfQueue(queue: string): string {
  const slash = queue.indexOf("/");
  return slash === -1 ? queue : queue.slice(0, slash);
}

function isEmpty({ region, tags }: Requires): boolean {
  return region === undefined && (tags === undefined || tags.length === 0);
}
