import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** Where the single executable has the programs of its child processes, bundled; see scripts/build.ts. */
export const programsFolder = "programs";
/** The programs of child processes, as paths from the repository. */
export const childPrograms = {
  function: "src/runners/function/child.ts",
  browser: "src/runners/automation/child.ts",
  describeAutomation: "src/runners/automation/describe.ts",
  sidecar: "src/surfaces/andera/sidecar-child.ts",
} as const;
export type ChildProgram = keyof typeof childPrograms;

const root = Bun.isStandaloneExecutable ? import.meta.dir : resolve(import.meta.dir, "..");
const unpacked = new Map<ChildProgram, string>();

/** A file or directory that comes with this program, named from the repository; in the single executable one that was embedded, for reading. */
export function carriedFile(path: string): string {
  return join(root, path);
}

/**
 * What starts one of our own programs with this very Bun, and what its environment needs for that. The single executable
 * is a Bun too when it is asked to be; then its children see it as one. Throws when the program cannot be unpacked.
 */
export function childCommand(
  program: ChildProgram,
  { flags = [] }: { flags?: string[] } = {},
): { command: string[]; environment: Record<string, string> } {
  const file = Bun.isStandaloneExecutable ? unpack(program) : carriedFile(childPrograms[program]);
  return { command: [process.execPath, ...flags, file], environment: asBun() };
}

/** What makes `process.execPath` behave as plain Bun. */
export function asBun(): Record<string, string> {
  return Bun.isStandaloneExecutable ? { BUN_BE_BUN: "1" } : {};
}

/** A file on the disk, since a Bun started by the executable does not see what is inside. Named by its content, and put back when a cleaner took it. */
function unpack(program: ChildProgram): string {
  const directory = ownDirectory();
  const known = unpacked.get(program);
  if (known !== undefined && existsSync(known)) return known;
  const text = readFileSync(carriedFile(join(programsFolder, childPrograms[program].replace(/\.ts$/, ".js"))));
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 16);
  const path = join(directory, `${program}-${hash}.js`);
  if (!existsSync(path)) {
    const draft = `${path}.${process.pid}`;
    writeFileSync(draft, text, { mode: 0o600 });
    renameSync(draft, path);
  }
  unpacked.set(program, path);
  return path;
}

/** Nobody else may have made it, also after a cleaner took ours, or could write to it: what is in there is run. */
function ownDirectory(): string {
  const uid = process.getuid?.() ?? 0;
  const path = join(tmpdir(), `fairlead-programs-${uid}`);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const found = lstatSync(path);
  if (found.isDirectory() && found.uid === uid && (found.mode & 0o022) === 0) return path;
  throw new Error(`${path} belongs to somebody else: remove it, or set TMPDIR to a directory of your own`);
}
