import { dlopen } from "bun:ffi";
import { closeSync, openSync } from "node:fs";

const sharedFlag = 1;
const exclusiveFlag = 2;
const nonBlockingFlag = 4;
const pollMs = 15;

/**
 * A kernel lock (`flock`) on a file. It belongs to the process: when that dies, however it dies, the lock is gone, so
 * there is never a stale one to judge. Children do not inherit it. Two of one process exclude each other, too.
 */
export class FileLock {
  readonly #descriptor: number;

  /** Creates the file when it is missing. It stays there: removing it would let two processes lock two files. */
  constructor(path: string) {
    this.#descriptor = openSync(path, "a", 0o600);
  }

  /** Holds it together with others. False while somebody has it alone. */
  tryShared(): boolean {
    return flock(this.#descriptor, sharedFlag | nonBlockingFlag);
  }

  /** Holds it alone. False while anybody else holds it; a shared hold of this object is then given up. */
  tryExclusive(): boolean {
    return flock(this.#descriptor, exclusiveFlag | nonBlockingFlag);
  }

  release(): void {
    closeSync(this.#descriptor);
  }
}

/** Waits for the lock alone. Rejects after `timeoutMs` with a message that names the file. */
export async function lockAlone(path: string, timeoutMs: number): Promise<FileLock> {
  const lock = new FileLock(path);
  const deadline = Date.now() + timeoutMs;
  while (!lock.tryExclusive()) {
    if (Date.now() > deadline) {
      lock.release();
      throw new Error(`another process has held ${path} for ${timeoutMs / 1000} s: see which one with "fuser ${path}"`);
    }
    await Bun.sleep(pollMs);
  }
  return lock;
}

let library: ReturnType<typeof openLibrary> | undefined;

function flock(descriptor: number, operation: number): boolean {
  library ??= openLibrary();
  return library.symbols.flock(descriptor, operation) === 0;
}

function openLibrary() {
  const name = process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6";
  return dlopen(name, { flock: { args: ["i32", "i32"], returns: "i32" } });
}
