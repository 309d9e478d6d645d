import { randomBytes } from "node:crypto";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * The bytes of a file that is made once, with mode 0600, and never changed. Calls at the same time, also from several processes,
 * all get what the first one wrote. Throws `Error` that names the file when it can be neither read nor made.
 */
export async function readOrCreateSecret(
  path: string,
  create: () => Uint8Array | Promise<Uint8Array>,
): Promise<Uint8Array> {
  return (await readSecret(path)) ?? (await createSecret(path, await create()));
}

/** The bytes of such a file, null when there is none. */
export async function readSecret(path: string): Promise<Uint8Array | null> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (fault) {
    if (hasCode(fault, "ENOENT")) return null;
    throw new Error(`${path} cannot be read`, { cause: fault });
  }
}

async function createSecret(path: string, bytes: Uint8Array): Promise<Uint8Array> {
  const draft = `${path}.${randomBytes(8).toString("hex")}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(draft, bytes, { flag: "wx", mode: 0o600, flush: true });
    // A link, unlike a rename, never replaces: of several writers the first one's whole file stays, and all read it.
    await link(draft, path);
  } catch (fault) {
    if (!hasCode(fault, "EEXIST")) throw new Error(`${path} cannot be written`, { cause: fault });
  } finally {
    await rm(draft, { force: true });
  }
  return new Uint8Array(await readFile(path));
}

function hasCode(fault: unknown, code: string): boolean {
  return fault instanceof Error && "code" in fault && fault.code === code;
}
