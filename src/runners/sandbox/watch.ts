import type { StopReason } from "../contract.ts";
import type { Limits } from "../limits.ts";
import type { Freshness } from "./process-scan.ts";
import type { RunCgroup } from "./run-cgroup.ts";
import { watchDirectory } from "./watch-directory.ts";
import { cpuMsOf, memoryMbOf, sharedMemoryMbOf } from "./usage.ts";

/** Short runs are to be measured too; later looks need not be so close. */
const pauseFirstMs = 25;
const pauseMaxMs = 250;
/** Looking may take this share of the time at most. */
const pausePerLook = 20;

export type WatchOptions = {
  directory: string;
  limits: Limits;
  /** The control group that bounds the memory of the whole tree; without one it is watched. */
  cgroup: RunCgroup | null;
  entriesMax: number;
  processes(freshness: Freshness): Promise<number[]>;
  onExceeded(reason: StopReason): void;
};

export type Watch = {
  /** Looks once more, before the processes are killed and what they used can no longer be known. */
  look(): Promise<void>;
  /** The CPU that the processes seen last had used, in milliseconds; null before the first look. */
  cpuMs(): number | null;
  /** The most memory of the tree that was seen, in MiB; null when it ended before the first look. */
  peakMb(): number | null;
  stop(): void;
};

/** Looks after what no kernel limit of one process can bound: the CPU and memory of the tree, the size of its directory. */
export function watchRun(options: WatchOptions): Watch {
  let peakMb: number | null = null;
  let cpuMs: number | null = null;
  let pauseMs = pauseFirstMs;
  let timer: Timer | null = null;
  let isStopped = false;
  const measure = async (freshness: Freshness) => {
    const pids = await options.processes(freshness);
    peakMb = Math.max(peakMb ?? 0, memoryMbOf(pids));
    cpuMs = Math.max(cpuMs ?? 0, cpuMsOf(pids));
    return pids;
  };
  const look = async () => {
    const pids = await measure("lately");
    if (isStopped) return;
    const started = performance.now();
    const exceeded = exceededBy(pids, options);
    if (exceeded !== null) options.onExceeded(exceeded);
    pauseMs = Math.min(pauseMs * 2, pauseMaxMs);
    again(Math.max(pauseMs, (performance.now() - started) * pausePerLook));
  };
  const again = (afterMs: number) => {
    timer = setTimeout(() => void look(), afterMs);
  };
  again(pauseMs);
  const directory = watchDirectory(options);
  return {
    look: async () => void (await measure("now")),
    cpuMs: () => cpuMs,
    peakMb: () => peakMb,
    stop: () => {
      isStopped = true;
      if (timer !== null) clearTimeout(timer);
      directory.stop();
    },
  };
}

function exceededBy(pids: number[], { limits, cgroup }: WatchOptions): StopReason | null {
  if (cpuMsOf(pids) > limits.cpuS * 1_000) return cpuExceeded(limits);
  if (cgroup !== null) return cgroup.outOfMemoryKills() > 0 ? memoryExceeded(limits) : null;
  if (memoryMbOf(pids) > limits.memoryMb && sharedMemoryMbOf(pids) > limits.memoryMb) return memoryExceeded(limits);
  return null;
}

function cpuExceeded({ cpuS }: Limits): StopReason {
  return { code: "timed_out", message: `it used its ${cpuS} s of CPU time` };
}

function memoryExceeded({ memoryMb }: Limits): StopReason {
  return { code: "out_of_memory", message: `its processes together needed more than ${memoryMb} MiB of memory` };
}
