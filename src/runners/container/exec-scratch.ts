import { cpSync, lstatSync, mkdirSync, opendirSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Makes the directories that commands write to, one per run; names begin with the process that made them. */
export function makeScratch(scratchDir: string, runId: string): string {
  const path = join(scratchDir, `${process.pid}-${runId}`);
  // The accounts of runs must be able to enter, but not to list.
  mkdirSync(scratchDir, { recursive: true, mode: 0o711 });
  mkdirSync(path, { mode: 0o700 });
  return path;
}

/** Directories whose server is gone, for removal at the start. Another server may share the directory. */
export function abandonedScratch(scratchDir: string): string[] {
  let names: string[];
  try {
    names = readdirSync(scratchDir);
  } catch {
    // Nobody has run a command here yet.
    return [];
  }
  const isAbandoned = (name: string) => /^\d+-/.test(name) && !isAlive(Number.parseInt(name, 10));
  return names.filter(isAbandoned).map((name) => join(scratchDir, name));
}

const copiedBytesMax = 1_048_576;
const copiedEntriesMax = 100;

/** Copies a small directory of the operator's into a scratch directory. Says what is too large instead. */
export function copySmall(source: string, target: string): string | null {
  let bytes = 0;
  let entries = 0;
  for (const { isFile, path } of entriesOf(source)) {
    if (isFile) bytes += lstatSync(path).size;
    if (++entries > copiedEntriesMax || bytes > copiedBytesMax) return "has more than 1 MiB or 100 entries";
  }
  cpSync(source, target, { recursive: true });
  return null;
}

/** One at a time, so that a large tree is left as soon as it is known to be one. */
function* entriesOf(directory: string): Generator<{ isFile: boolean; path: string }> {
  const waiting = [directory];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const handle = opendirSync(next);
    try {
      for (let entry = handle.readSync(); entry !== null; entry = handle.readSync()) {
        const path = join(next, entry.name);
        if (entry.isDirectory()) waiting.push(path);
        yield { isFile: entry.isFile(), path };
      }
    } finally {
      handle.closeSync();
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (fault) {
    return fault instanceof Error && "code" in fault && fault.code === "EPERM";
  }
}
