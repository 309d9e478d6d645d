/** What one run may use. `cpuS` and wall time in seconds, sizes in MiB, `processes` a count. */
export type Limits = {
  wallS: number;
  cpuS: number;
  memoryMb: number;
  processes: number;
  fileMb: number;
  outputMb: number;
  network: boolean;
};

/** The limits in force: what the request asks for, never more than the server's maximum. */
export function limitsInForce(asked: Partial<Limits>, maximum: Limits): Limits {
  return {
    wallS: Math.min(asked.wallS ?? maximum.wallS, maximum.wallS),
    cpuS: Math.min(asked.cpuS ?? maximum.cpuS, maximum.cpuS),
    memoryMb: Math.min(asked.memoryMb ?? maximum.memoryMb, maximum.memoryMb),
    processes: Math.min(asked.processes ?? maximum.processes, maximum.processes),
    fileMb: Math.min(asked.fileMb ?? maximum.fileMb, maximum.fileMb),
    outputMb: Math.min(asked.outputMb ?? maximum.outputMb, maximum.outputMb),
    network: (asked.network ?? false) && maximum.network,
  };
}
