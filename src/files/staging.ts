import { randomUUID } from "node:crypto";
import { closeSync, constants, fdatasync, mkdirSync, open, write, writeSync } from "node:fs";
import { unlink } from "node:fs/promises";
import { join } from "node:path";
import { EngineError } from "../errors.ts";
import { codeOf } from "./descriptor.ts";
import { fileNameOf } from "./file-name.ts";
import { createFlushes, type Flushes } from "./flushes.ts";

/**
 * A directory that fills before its payload has an id. It ends by `FileStore.commit` or by `discard`. What has been written to it
 * is safe from a power cut when its `flushes` have settled.
 */
export type Staging = { readonly directory: string; readonly flushes: Flushes; discard(): Promise<void> };

/** A file that lies in a staging directory. */
export type StagedFile = { name: string; bytes: number; sha256: string };

/** A staged file while it is written. `finish` and `abandon` end it; while `flushing` is unsettled too many are on their way to the disk. */
export type StagedWriter = {
  write(chunk: Uint8Array): Promise<void> | void;
  finish(): { file: StagedFile; flushing: Promise<void> };
  abandon(): void;
};

// Below this a thread round trip takes longer than the write.
const syncWriteBytesMax = 16_384;
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

/** Makes a fresh directory under `parent`. Until its run has an account of its own, nobody else may look into it. */
export function makeStagingDirectory(parent: string): string {
  const directory = join(parent, randomUUID());
  mkdirSync(parent, { recursive: true, mode: 0o755 });
  mkdirSync(directory, { mode: 0o700 });
  return directory;
}

/** An empty directory becomes one that fills. */
export function createStaging(directory: string, remove: (directory: string) => Promise<unknown>): Staging {
  const flushes = createFlushes();
  return {
    directory,
    flushes,
    async discard() {
      await flushes.settled().catch(() => undefined); // Nobody asks for what is thrown away.
      await remove(directory);
    },
  };
}

/** Writes a whole file, for content that did not come as an upload. Throws `invalid` for a name that is refused. */
export async function stageFile(staging: Staging, name: string, content: string | Uint8Array): Promise<StagedFile> {
  const writer = await openStagedFile(staging, fileNameOf(name));
  try {
    await writer.write(typeof content === "string" ? new TextEncoder().encode(content) : content);
  } catch (fault) {
    writer.abandon();
    throw fault;
  }
  const { file, flushing } = writer.finish();
  await flushing;
  return file;
}

/** Opens a new file. A file of that name is replaced, as the orchestrator does. `name` must come from `fileNameOf`. */
export async function openStagedFile({ directory, flushes }: Staging, name: string): Promise<StagedWriter> {
  const fd = await createFile(join(directory, name));
  const hash = new Bun.CryptoHasher("sha256");
  let bytes = 0;
  return {
    write(chunk) {
      hash.update(chunk);
      bytes += chunk.length;
      return chunk.length <= syncWriteBytesMax ? writeAllSync(fd, chunk) : writeAll(fd, chunk);
    },
    finish() {
      const flushing = flushes.add(toDisk(fd).finally(() => closeSync(fd)));
      return { file: { name, bytes, sha256: hash.digest("hex") }, flushing };
    },
    abandon() {
      closeSync(fd);
    },
  };
}

/** Not the synchronous calls: creating a file can wait for another one's flush, and the event loop with it. */
async function createFile(path: string): Promise<number> {
  try {
    return await openNew(path);
  } catch (fault) {
    if (codeOf(fault) !== "EEXIST") throw asRefusal(fault);
  }
  await unlink(path);
  return await openNew(path);
}

function openNew(path: string): Promise<number> {
  return new Promise((resolve, reject) =>
    open(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o644, (fault, fd) => (fault ? reject(fault) : resolve(fd))),
  );
}

function writeAllSync(fd: number, chunk: Uint8Array): void {
  for (let from = 0; from < chunk.length;) {
    from += orRefusal(() => writeSync(fd, chunk, from, chunk.length - from, null));
  }
}

async function writeAll(fd: number, chunk: Uint8Array): Promise<void> {
  for (let from = 0; from < chunk.length;) {
    from += await new Promise<number>((resolve, reject) =>
      write(fd, chunk, from, chunk.length - from, null, (fault, bytes) =>
        fault ? reject(asRefusal(fault)) : resolve(bytes),
      ),
    );
  }
}

/** An accepted payload outlives a power cut as the database does. 0.25 ms for a small file here. */
function toDisk(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fdatasync(fd, (fault) => (fault ? reject(asRefusal(fault)) : resolve())));
}

function orRefusal<T>(act: () => T): T {
  try {
    return act();
  } catch (fault) {
    throw asRefusal(fault);
  }
}

function asRefusal(fault: unknown): unknown {
  if (!["ENOSPC", "EDQUOT"].includes(codeOf(fault))) return fault;
  return new EngineError("unavailable", "The disk for payloads is full: free space under DATA_DIR", { cause: fault });
}
