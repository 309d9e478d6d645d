import { closeSync, mkdirSync, openSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

/** The control group of one run. */
export type RunCgroup = {
  readonly directory: string;
  /**
   * A descriptor to which a process with one thread writes `0` to move itself in, whoever it runs as; null where the
   * kernel has no such file. Nothing is waited for then, while a move from outside holds up every fork of the machine.
   */
  readonly entry: number | null;
  /**
   * Moves a process in; false when it is gone. After a pause the kernel takes 10 to 30 ms for the first move, and almost
   * nothing for the next, so one is begun as soon as there is a process to move.
   */
  join(pid: number): Promise<boolean>;
  /** The most memory of all its processes, its /tmp and the files it read, in MiB. */
  peakMb(): number | null;
  /** How often the kernel killed a process of it for want of memory. */
  outOfMemoryKills(): number;
  /** Closes the way in; the group stays. */
  close(): void;
  /** Removes the empty group; false when a process is still in it. */
  remove(): boolean;
};

const bytesPerMb = 1_048_576;
const killsFile = { 1: "memory.oom_control", 2: "memory.events" } as const;
const peakFile = { 1: "memory.max_usage_in_bytes", 2: "memory.peak" } as const;

export function runCgroup(
  directory: string,
  version: 1 | 2,
  limits: { memoryMb: number; processes: number },
): RunCgroup | null {
  try {
    mkdirSync(directory);
    bound(directory, version, limits);
  } catch {
    // A group that cannot be made or bounded would promise what it does not hold; the watcher bounds this run.
    tryRemove(directory);
    return null;
  }
  const entry = version === 1 ? openEntry(directory) : null;
  return {
    directory,
    entry,
    join: (pid) =>
      writeFile(join(directory, "cgroup.procs"), String(pid)).then(
        () => true,
        () => false,
      ),
    peakMb: () => {
      const bytes = Number.parseInt(read(directory, peakFile[version]), 10);
      return Number.isNaN(bytes) ? null : bytes / bytesPerMb;
    },
    outOfMemoryKills: () => Number(/^oom_kill (\d+)$/m.exec(read(directory, killsFile[version]))?.[1] ?? 0),
    close: () => {
      if (entry !== null) closeSync(entry);
    },
    remove: () => tryRemove(directory),
  };
}

/** Every process in the group, whatever its parents and its environment say. */
export function groupMembers(directory: string): number[] {
  return read(directory, "cgroup.procs").split("\n").filter(Boolean).map(Number);
}

function bound(directory: string, version: 1 | 2, limits: { memoryMb: number; processes: number }): void {
  const bytes = String(limits.memoryMb * bytesPerMb);
  if (version === 1) {
    writeFileSync(join(directory, "memory.limit_in_bytes"), bytes);
    writeIfThere(directory, "memory.memsw.limit_in_bytes", bytes);
    return;
  }
  writeFileSync(join(directory, "memory.max"), bytes);
  writeIfThere(directory, "memory.swap.max", "0");
  writeIfThere(directory, "memory.oom.group", "1");
  // The wrappers of the sandbox are in the group too.
  writeIfThere(directory, "pids.max", String(limits.processes + 8));
}

/** Version 2 has no file like it: what moves a single thread there is for groups of threads alone. */
function openEntry(directory: string): number | null {
  try {
    return openSync(join(directory, "tasks"), "w");
  } catch {
    // Processes are moved from outside then.
    return null;
  }
}

/** Swap accounting and group kills are parts of the kernel that may be missing; the limit above holds without them. */
function writeIfThere(directory: string, name: string, value: string): void {
  try {
    writeFileSync(join(directory, name), value, { flag: "r+" });
  } catch {
    // Not built into this kernel.
  }
}

function read(directory: string, name: string): string {
  try {
    return readFileSync(join(directory, name), "utf8");
  } catch {
    // The group is gone or its kernel lacks the file: nothing is known.
    return "";
  }
}

function tryRemove(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch {
    // Busy until the last process in it has been collected.
    return false;
  }
}
