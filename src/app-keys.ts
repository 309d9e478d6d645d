import { join } from "node:path";
import type { Config } from "./config.ts";
import type { Sql } from "./db/client.ts";
import { knownSecret, sharedSecret } from "./engine/shared-secret.ts";
import { deriveTokenKey, readTokenKey, tokenKeyFile } from "./http/token-key.ts";
import { deriveSealKey, loadSealKey, sealKeyFile } from "./webhooks/seal-key.ts";
import { readSecret } from "./webhooks/secret-file.ts";

type Keys = readonly [Uint8Array, ...Uint8Array[]];

/** What a node signs and seals with: the first key of each is in use, the others are for what was signed and sealed with them before. */
export type NodeKeys = {
  tokens: Keys;
  seals: Keys;
  /** Whether a key that seals lies in the database itself, where a dump of it shows both. */
  isSealKeyInDatabase: boolean;
};

const tokenSecret = "job tokens";
const sealSecret = "webhook headers";

/**
 * The keys that every node of a database has to share. `SECRET_KEY` gives all of them; without it webhook headers and secure parameters are sealed with what
 * `WEBHOOK_SECRET` or `AUTH_KEY` give, and the rest is kept in the shared database, or in `DATA_DIR` beside an embedded one.
 */
export async function openKeys(config: Config, sql: Sql): Promise<NodeKeys> {
  const isShared = config.databaseUrl !== "";
  const given = config.secretKeys;
  const inUse = [...config.webhookSecrets, ...config.authKeys].map(deriveSealKey);
  const tokens = {
    given: given.map(deriveTokenKey),
    file: tokenKeyFile,
    name: tokenSecret,
    load: () => readTokenKey(config.dataDir),
  };
  const seals = {
    given: isShared ? [...given.map(deriveSealKey), ...inUse] : given.map(deriveSealKey),
    file: sealKeyFile,
    name: sealSecret,
    load: () => loadSealKey(config.dataDir),
  };
  const kept = isShared ? (kind: Kind) => keptInDatabase(kind, config.dataDir, sql) : keptInFile(config.dataDir);
  return {
    tokens: orThrow(await kept(tokens)),
    seals: orThrow([...(await kept(seals)), ...(isShared ? [] : inUse)]),
    isSealKeyInDatabase: isShared && seals.given.length === 0,
  };
}

/** Where the key that seals lies, for whoever keeps dumps of the database; null where it needs no words. */
export function keysNote({ isSealKeyInDatabase }: NodeKeys): string | null {
  if (!isSealKeyInDatabase) return null;
  return "webhook headers and secure parameters are sealed with a key that lies in the database, and a dump of it has both; SECRET_KEY keeps them apart";
}

type Kind = { given: Uint8Array[]; file: string; name: string; load(): Promise<Uint8Array> };

/** The bytes that this node has used alone until now become those of all, unless another one's have. */
async function keptInDatabase({ given, file, name }: Kind, dataDir: string, sql: Sql): Promise<Uint8Array[]> {
  const own = await readSecret(join(dataDir, file));
  const shared = given.length > 0 ? await knownSecret(sql, name) : await sharedSecret(sql, name, own);
  return [...given, shared, own].filter((key) => key !== null);
}

function keptInFile(dataDir: string): (kind: Kind) => Promise<Uint8Array[]> {
  return async ({ given, file, load }) => {
    if (given.length === 0) return [await load()];
    const own = await readSecret(join(dataDir, file));
    return own === null ? given : [...given, own];
  };
}

function orThrow(keys: Uint8Array[]): Keys {
  const [first, ...others] = keys;
  if (first === undefined) throw new Error("there is no key to sign or seal with");
  return [first, ...others];
}
