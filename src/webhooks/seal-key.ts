import { hkdfSync, randomBytes } from "node:crypto";
import { join } from "node:path";
import type { SealKey } from "./seal.ts";
import { readOrCreateSecret } from "./secret-file.ts";

const keyBytes = 32;
/** Below `DATA_DIR`. */
export const sealKeyFile = "webhook-headers.key";

/** The key of nodes that share a database: the same secret text gives the same key on each of them. */
export function deriveSealKey(secret: string): SealKey {
  return new Uint8Array(hkdfSync("sha256", secret, "fairlead", "webhook headers at rest", keyBytes));
}

/**
 * The key of a node with its own database, kept in `DATA_DIR/webhook-headers.key` (mode 0600) and made at the first call.
 * Throws `Error` that names the file when it is not a key.
 */
export async function loadSealKey(dataDir: string): Promise<SealKey> {
  const path = join(dataDir, sealKeyFile);
  const key = await readOrCreateSecret(path, () => randomBytes(keyBytes));
  if (key.length === keyBytes) return key;
  throw new Error(
    `${path} must hold ${keyBytes} bytes, not ${key.length}; without it stored webhook headers and secure parameters are lost: restore it, or remove it to start anew`,
  );
}
