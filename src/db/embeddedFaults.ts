import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** The embedded Postgres cannot run. The message says what is wrong and what to do; it is meant to be shown as it is. */
export class EmbeddedError extends Error {
  override readonly name = "EmbeddedError";
}

const tailBytesMax = 16_384;
const shownLines = 6;

/** What Postgres said since `from` (a byte offset in its log) as an error that names the fix. */
export function explain(what: string, place: { dataDir: string; logFile: string }, from: number): EmbeddedError {
  const said = readLog(place.logFile, from);
  const known = causes.find(({ pattern }) => pattern.test(said));
  const advice = known ? known.advice(place.dataDir) : `its log is ${place.logFile}`;
  return new EmbeddedError(`${what}: ${advice}\n${excerpt(said)}`.trimEnd());
}

/** The same for a fault of this process: a directory it may not write, a disk without space. */
export function explainFault(what: string, dataDir: string, fault: unknown): Error {
  if (fault instanceof EmbeddedError) return fault;
  const said = fault instanceof Error ? fault.message : String(fault);
  const known = causes.find(({ pattern }) => pattern.test(said));
  return new EmbeddedError(`${what}: ${known ? `${known.advice(dataDir)}\n  ` : ""}${said}`, { cause: fault });
}

type Cause = { pattern: RegExp; advice: (dataDir: string) => string };

const causes: Cause[] = [
  {
    pattern: /No space left on device|ENOSPC|Disk quota exceeded|EDQUOT/,
    advice: (dir) => `the disk of ${dir} is full: free space on it, or set DATA_DIR to another disk`,
  },
  {
    pattern: /Read-only file system|EROFS/,
    advice: (dir) => `${dir} is on a read-only file system: set DATA_DIR to a directory that can be written`,
  },
  {
    pattern: /effective user ID|user does not exist/,
    advice: () => `its user has no entry in /etc/passwd: add one, run as another user, or set DATABASE_URL`,
  },
  {
    pattern: /authentication failed/,
    advice: () => `the one that runs was started by another user: stop the server that started it`,
  },
  {
    pattern: /loading shared libraries|cannot open shared object/,
    advice: () => `its libraries are missing: run "rm -rf node_modules && bun install", or set DATABASE_URL`,
  },
  {
    pattern: /could not (create|map|resize) (anonymous )?shared memory|Cannot allocate memory|semget|shmget/,
    advice: () =>
      `there is not enough (shared) memory for it: give this machine or container 512 MiB, or set DATABASE_URL`,
  },
  {
    pattern: /lock file ".*" already exists|pre-existing shared memory block|another (server|postmaster)/i,
    advice: (dir) =>
      `another Postgres works on ${dir}/postgres: stop it, or set DATA_DIR to a directory of this server`,
  },
  {
    pattern: /Permission denied|Operation not permitted|EACCES|EPERM|has wrong ownership|invalid permissions/,
    advice: (dir) =>
      `${dir} cannot be used by this user: set its owner with chown, or set DATA_DIR to another directory`,
  },
  {
    pattern:
      /could not locate a valid checkpoint|incompatible with server|invalid checkpoint|invalid (page|record|magic)|checksum|corrupt|PANIC|pg_control|is not a valid data directory|could not open (file|directory)/,
    advice: (dir) =>
      `the data in ${dir}/postgres is damaged: put a backup of it back, or move it away to begin with an empty one`,
  },
];

function readLog(path: string, from: number): string {
  const descriptor = openSync(path, "r");
  try {
    const size = fstatSync(descriptor).size;
    const start = Math.max(from, size - tailBytesMax, 0);
    const buffer = Buffer.alloc(Math.max(size - start, 0));
    readSync(descriptor, buffer, 0, buffer.length, start);
    return buffer.toString("utf8");
  } finally {
    closeSync(descriptor);
  }
}

function excerpt(said: string): string {
  const lines = said.split("\n").filter((line) => line.trim() !== "");
  const telling = lines.filter((line) => /FATAL|PANIC|ERROR|HINT|DETAIL|error:|hint:/.test(line));
  return (telling.length > 0 ? telling : lines)
    .slice(-shownLines)
    .map((line) => `  ${line}`)
    .join("\n");
}
