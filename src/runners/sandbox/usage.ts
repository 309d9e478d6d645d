import { readProc, statFieldsOf } from "./processes.ts";

const kilobytesPerMb = 1_024;
/** Linux reports process times in hundredths of a second to user space on every architecture it runs Bun on. */
const tickMs = 10;

/** CPU of these processes and of all their children that were waited for, in milliseconds. */
export function cpuMsOf(pids: number[]): number {
  return pids.reduce((sum, pid) => {
    const ticks = statFieldsOf(pid)
      .slice(11, 15)
      .reduce((all, field) => all + Number(field), 0);
    return sum + ticks * tickMs;
  }, 0);
}

/** Memory of their own that these processes hold, in MiB. Pages shared after a fork count once for each. */
export function memoryMbOf(pids: number[]): number {
  const kilobytes = pids.reduce((sum, pid) => {
    const found = /^RssAnon:\s+(\d+) kB$/m.exec(readProc(`/proc/${pid}/status`));
    return sum + Number(found?.[1] ?? 0);
  }, 0);
  return kilobytes / kilobytesPerMb;
}

/** The same with shared pages divided among those who share them, in MiB. Dearer: asked only before a run is killed for it. */
export function sharedMemoryMbOf(pids: number[]): number {
  const kilobytes = pids.reduce((sum, pid) => {
    const found = /^Pss:\s+(\d+) kB$/m.exec(readProc(`/proc/${pid}/smaps_rollup`));
    return sum + Number(found?.[1] ?? 0);
  }, 0);
  return kilobytes / kilobytesPerMb;
}

/** Tasks (threads count) that run as `uid`, for a limit that the kernel counts per account. */
export function tasksOf(uid: number, pids: number[]): number {
  return pids.reduce((sum, pid) => {
    const status = readProc(`/proc/${pid}/status`);
    if (!status.includes(`\nUid:\t${uid}\t`)) return sum;
    return sum + Number(/^Threads:\s+(\d+)$/m.exec(status)?.[1] ?? 1);
  }, 0);
}
