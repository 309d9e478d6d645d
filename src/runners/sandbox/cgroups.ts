import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { groupMembers, type RunCgroup, runCgroup } from "./run-cgroup.ts";

/** Control groups of runs, below the server's own, so that whatever bounds the server bounds its runs as well. */
export type Cgroups = {
  readonly version: 1 | 2;
  /** A group for one run; null when it cannot be made, which the run then does without. */
  open(runId: string, limits: { memoryMb: number; processes: number }): RunCgroup | null;
  /** Processes that an earlier server with the same tag left behind, and their empty groups removed. */
  leftovers(): number[];
  close(): void;
};

export type CgroupPlaces = { mounted: string; own: string };
const machine: CgroupPlaces = { mounted: "/sys/fs/cgroup", own: "/proc/self/cgroup" };

/** Finds a hierarchy that bounds memory and that this process may make groups in; null where there is none. */
export function findCgroups(tag: string, places: CgroupPlaces = machine): Cgroups | null {
  const name = `fairlead-${tag}`;
  return openVersion1(places, name) ?? openVersion2(places, name);
}

function openVersion1(places: CgroupPlaces, name: string): Cgroups | null {
  const own = ownGroup(places, (controllers) => controllers.split(",").includes("memory"));
  return own === null ? null : openParent(join(places.mounted, "memory", own, name), 1, "memory.limit_in_bytes");
}

/** Controllers reach a child only through `cgroup.subtree_control`, which a group with processes of its own may refuse. */
function openVersion2(places: CgroupPlaces, name: string): Cgroups | null {
  const own = ownGroup(places, (controllers) => controllers === "");
  if (own === null) return null;
  const base = join(places.mounted, own);
  try {
    writeFileSync(join(base, "cgroup.subtree_control"), "+memory +pids");
    mkdirSync(join(base, name), { recursive: true });
    writeFileSync(join(base, name, "cgroup.subtree_control"), "+memory +pids");
  } catch {
    // Not delegated to this process: the watcher takes the place of the limit.
    return null;
  }
  return openParent(join(base, name), 2, "memory.max");
}

function openParent(parent: string, version: 1 | 2, limitFile: string): Cgroups | null {
  try {
    const trial = join(parent, "trial");
    mkdirSync(trial, { recursive: true });
    const isBounded = existsSync(join(trial, limitFile));
    rmdirSync(trial);
    return isBounded ? cgroupsBelow(parent, version) : null;
  } catch {
    // Read-only or not ours: an ordinary answer in a container.
    return null;
  }
}

function cgroupsBelow(parent: string, version: 1 | 2): Cgroups {
  return {
    version,
    open: (runId, limits) => runCgroup(join(parent, runId), version, limits),
    leftovers: () => groupsIn(parent).flatMap((group) => pidsOrRemoved(group)),
    close: () => {
      for (const group of groupsIn(parent)) tryRemove(group);
      tryRemove(parent);
    },
  };
}

function pidsOrRemoved(group: string): number[] {
  const pids = groupMembers(group);
  if (pids.length === 0) tryRemove(group);
  return pids;
}

function groupsIn(parent: string): string[] {
  if (!existsSync(parent)) return [];
  return readdirSync(parent, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(parent, entry.name));
}

function tryRemove(group: string): void {
  try {
    rmdirSync(group);
  } catch {
    // A group with a process left in it stays; the next start looks again.
  }
}

/** The server's own group in the hierarchy whose controllers match: `4:memory:/path`, or `0::/path` for version 2. */
function ownGroup(places: CgroupPlaces, matches: (controllers: string) => boolean): string | null {
  if (!existsSync(places.own)) return null;
  for (const line of readFileSync(places.own, "utf8").trim().split("\n")) {
    const [, controllers = "", ...path] = line.split(":");
    if (matches(controllers)) return path.join(":");
  }
  return null;
}
