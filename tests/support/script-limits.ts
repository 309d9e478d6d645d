import type { Limits } from "../../src/runners/limits.ts";

/** Small enough for tests to reach each of them. */
export const trialLimits: Limits = {
  ...{ wallS: 60, cpuS: 30, memoryMb: 512, processes: 64, fileMb: 64, outputMb: 1, network: false },
};
