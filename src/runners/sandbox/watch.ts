import type { StopReason } from "../contract.ts";
import type { Limits } from "../limits.ts";
import { watchDirectory } from "./watch-directory.ts";
import { cpuMsOf, memoryMbOf, sharedMemoryMbOf } from "./usage.ts";

const pauseMinMs = 250;
/** Looking may take this share of the time at most. */
const pausePerLook = 20;

export type WatchOptions = {
  directory: string;
  limits: Limits;
  /** False where a control group bounds the memory of the whole tree. */
  boundsMemory: boolean;
  processes(): number[];
  onExceeded(reason: StopReason): void;
};

export type Watch = {
  /** The most memory of the tree that was seen, in MiB. */
  peakMb(): number;
  stop(): void;
};

/** Looks after what no kernel limit of one process can bound: the CPU and memory of the tree, the size of its directory. */
export function watchRun(options: WatchOptions): Watch {
  let peakMb = 0;
  let timer: Timer | null = null;
  const look = () => {
    const started = performance.now();
    const pids = options.processes();
    peakMb = Math.max(peakMb, memoryMbOf(pids));
    const exceeded = exceededBy(pids, options);
    if (exceeded !== null) options.onExceeded(exceeded);
    timer = setTimeout(look, Math.max(pauseMinMs, (performance.now() - started) * pausePerLook));
  };
  timer = setTimeout(look, pauseMinMs);
  const directory = watchDirectory(options);
  return {
    peakMb: () => peakMb,
    stop: () => {
      if (timer !== null) clearTimeout(timer);
      directory.stop();
    },
  };
}

function exceededBy(pids: number[], { limits, boundsMemory }: WatchOptions): StopReason | null {
  if (cpuMsOf(pids) > limits.cpuS * 1_000) return cpuExceeded(limits);
  if (boundsMemory && memoryMbOf(pids) > limits.memoryMb && sharedMemoryMbOf(pids) > limits.memoryMb)
    return { code: "out_of_memory", message: `its processes together held more than ${limits.memoryMb} MiB of memory` };
  return null;
}

export function cpuExceeded(limits: Limits): { code: "timed_out"; message: string } {
  return { code: "timed_out", message: `it used its ${limits.cpuS} s of CPU time` };
}
