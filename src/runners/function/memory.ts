import { readFileSync } from "node:fs";

/** Memory of a process that is in RAM now, in MiB; null where the system does not tell. */
export function residentMb(pid: number): number | null {
  try {
    const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kib === undefined ? null : Math.round(Number(kib) / 1024);
  } catch {
    // The process has ended, or this system has no /proc: then only the process's own figures are known.
    return null;
  }
}
