import { hkdfSync, randomBytes } from "node:crypto";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

const keyBytes = 32;
/** Below `DATA_DIR`. */
export const tokenKeyFile = "token.key";

/** The secret of job tokens of nodes that share a database: the same secret text gives the same on each of them. */
export function deriveTokenKey(secret: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret, "fairlead", "job tokens", keyBytes));
}

/**
 * The secret of job tokens in `<dataDir>/token.key` (mode 0600), made at the first call. Processes on one directory
 * get the same.
 */
export async function readTokenKey(dataDir: string): Promise<Uint8Array> {
  const path = join(dataDir, tokenKeyFile);
  const present = await readIfThere(path);
  if (present !== null) return checked(path, present);
  await mkdir(dataDir, { recursive: true });
  const draft = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  try {
    await writeFile(draft, randomBytes(keyBytes), { mode: 0o600, flag: "wx" });
    // A link is made whole or not at all and never replaces: the first of several processes wins.
    await link(draft, path).catch((fault: NodeJS.ErrnoException) => {
      if (fault.code !== "EEXIST") throw fault;
    });
  } finally {
    await rm(draft, { force: true });
  }
  return checked(path, await readFile(path));
}

async function readIfThere(path: string): Promise<Uint8Array | null> {
  try {
    return await readFile(path);
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw fault;
  }
}

function checked(path: string, bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength >= keyBytes) return bytes;
  throw new Error(`${path} holds ${bytes.byteLength} bytes instead of ${keyBytes}: remove it, and a new key is made`);
}
