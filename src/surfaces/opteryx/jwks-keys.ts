import { type CryptoKey, importJWK, type JWK } from "jose";

/** Public keys by their `kid` and algorithm. */
export type JwksKeys = { size: number; find(kid: string, algorithm: string): CryptoKey | undefined };

const keysMax = 100;

/**
 * The keys of a JWKS document that may verify tokens: RSA for RS256 (jose refuses less than 2048 bits) and P-256 for ES256, public, with a
 * `kid`, meant for signatures. The algorithm follows from the key, never from a token. Others are passed over, as are two that claim
 * the same `kid` and algorithm. Null when the document is no key set.
 */
export async function parseJwks(document: unknown): Promise<JwksKeys | null> {
  if (!isObject(document) || !Array.isArray(document.keys) || document.keys.length > keysMax) return null;
  const found = new Map<string, CryptoKey | null>();
  for (const entry of document.keys) {
    const read = await readKey(entry);
    if (read !== null) found.set(read.name, found.has(read.name) ? null : read.key);
  }
  const unique = new Map([...found].flatMap(([name, key]) => (key === null ? [] : [[name, key] as const])));
  return { size: unique.size, find: (kid, algorithm) => unique.get(nameOf(kid, algorithm)) };
}

async function readKey(entry: unknown): Promise<{ name: string; key: CryptoKey } | null> {
  if (!isObject(entry) || typeof entry.kid !== "string") return null;
  const algorithm = algorithmOf(entry);
  if (algorithm === null || !isForVerifying(entry, algorithm)) return null;
  try {
    const key = await importJWK(publicPart(entry), algorithm);
    return key instanceof Uint8Array ? null : { name: nameOf(entry.kid, algorithm), key };
  } catch {
    // A malformed key must not take the good ones of the set with it.
    return null;
  }
}

function algorithmOf(jwk: Record<string, unknown>): "RS256" | "ES256" | null {
  if (jwk.kty === "EC" && jwk.crv === "P-256") return "ES256";
  return jwk.kty === "RSA" ? "RS256" : null;
}

function isForVerifying(jwk: Record<string, unknown>, algorithm: string): boolean {
  const operations = jwk.key_ops;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify"))) return false;
  return [undefined, algorithm].includes(jwk.alg as string) && [undefined, "sig"].includes(jwk.use as string);
}

/** Only what makes the public key: a set that holds private parts by mistake must not turn into a signing key. */
function publicPart(jwk: Record<string, unknown>): JWK {
  const names = ["kty", "n", "e", "crv", "x", "y"];
  return Object.fromEntries(names.flatMap((name) => (typeof jwk[name] === "string" ? [[name, jwk[name]]] : [])));
}

function nameOf(kid: string, algorithm: string): string {
  return `${algorithm} ${kid}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
