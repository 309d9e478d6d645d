import { statfsSync } from "node:fs";
import type { StopReason } from "../contract.ts";
import type { Limits } from "../limits.ts";
import { type DirectorySize, directorySize } from "./directory-size.ts";

/** All files of a directory together may be this many times the largest one. */
const filesPerDirectory = 4;

const bytesPerMb = 1_048_576;
const lookMs = 500;
/** Measuring is worth it when the file system lost this much, which one directory can then have gained, or after a while. */
const worthBytes = 32 * bytesPerMb;
const worthEntries = 5_000;
const measureAnywayMs = 15_000;
/** Measuring happens in a process of low priority; this bounds its share of the time to a quarter. */
const pausePerMeasure = 3;
/** Below this much free space the runs that take a lot of it are ended, so that the database can still write. */
const freeFloorBytes = 256 * bytesPerMb;
const muchBytes = 64 * bytesPerMb;

export type DirectoryWatchOptions = {
  directory: string;
  limits: Limits;
  entriesMax: number;
  onExceeded(reason: StopReason): void;
};

type Free = { bytes: number; entries: number };

/** Ends a run whose directory outgrows its limits. Each file alone is bounded by the kernel; this bounds their sum. */
export function watchDirectory(options: DirectoryWatchOptions): { stop(): void } {
  let timer: Timer | null = null;
  let isStopped = false;
  let last = { free: freeOf(options.directory), at: performance.now() };
  const again = (pauseMs: number) => {
    if (!isStopped) timer = setTimeout(() => void look(), pauseMs);
  };
  const look = async () => {
    const free = freeOf(options.directory);
    if (free === null || !isWorthIt(last, free)) return again(lookMs);
    const started = performance.now();
    const reason = exceededBy(await directorySize(options.directory), free, options);
    if (reason !== null && !isStopped) options.onExceeded(reason);
    last = { free, at: performance.now() };
    again(Math.max(lookMs, (last.at - started) * pausePerMeasure));
  };
  again(lookMs);
  return {
    stop: () => {
      isStopped = true;
      if (timer !== null) clearTimeout(timer);
    },
  };
}

function isWorthIt(last: { free: Free | null; at: number }, now: Free): boolean {
  if (last.free === null || performance.now() - last.at > measureAnywayMs) return true;
  if (now.bytes < freeFloorBytes) return true;
  return last.free.bytes - now.bytes > worthBytes || last.free.entries - now.entries > worthEntries;
}

/** Null when the directory is gone, which its script can have done. */
function freeOf(directory: string): Free | null {
  try {
    const { bavail, bsize, ffree } = statfsSync(directory);
    return { bytes: bavail * bsize, entries: ffree };
  } catch {
    // Nothing is there to measure.
    return null;
  }
}

function exceededBy(size: DirectorySize, free: Free, { limits, entriesMax }: DirectoryWatchOptions): StopReason | null {
  const bytesMax = limits.fileMb * filesPerDirectory * bytesPerMb;
  if (size.bytes > bytesMax) return limit(`its directory holds more than ${bytesMax / bytesPerMb} MiB`);
  if (size.entries > entriesMax) return limit(`its directory holds more than ${entriesMax} files and directories`);
  if (free.bytes < freeFloorBytes && size.bytes > muchBytes)
    return limit(`the disk has less than ${freeFloorBytes / bytesPerMb} MiB free, and its directory takes a lot of it`);
  return null;
}

function limit(message: string): StopReason {
  return { code: "file_limit", message };
}
