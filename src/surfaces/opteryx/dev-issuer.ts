import { join } from "node:path";
import { exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from "jose";
import { readOrCreateSecret, readSecret } from "../../webhooks/secret-file.ts";
import { parseJwks } from "./jwks-keys.ts";
import type { TrustedIssuer } from "./verify.ts";

/** `iss` of the tokens of `fairlead token --issuer-dev`. The name can never exist (RFC 2606), so no real issuer is impersonated. */
export const devIssuerName = "https://dev.fairlead.invalid";

const kid = "dev";
const algorithm = "ES256";

/**
 * A token that a server with the same `DATA_DIR` takes while it trusts the dev issuer. The key pair is made at the first call and kept in
 * `DATA_DIR/dev-issuer.json` (mode 0600).
 */
export async function signDevToken(
  dataDir: string,
  claims: { sub: string; audience: string; lifetimeS: number; nowMs?: number },
): Promise<string> {
  const jwk = readKey(await readOrCreateSecret(keyPath(dataDir), createKey), dataDir);
  const issuedAtS = Math.floor((claims.nowMs ?? Date.now()) / 1_000);
  return new SignJWT()
    .setProtectedHeader({ alg: algorithm, kid, typ: "JWT" })
    .setIssuer(devIssuerName)
    .setAudience(claims.audience)
    .setSubject(claims.sub)
    .setIssuedAt(issuedAtS)
    .setExpirationTime(issuedAtS + claims.lifetimeS)
    .sign(await importJWK(jwk, algorithm));
}

/**
 * The dev issuer for `createTokenVerifier`. Only for a server that others cannot reach: on loopback, without `AUTH_KEY`. The file is read
 * at each token, so it may be made while the server runs; without it no dev token is taken.
 */
export function devIssuer(dataDir: string): TrustedIssuer {
  return {
    issuer: devIssuerName,
    keys: {
      find: async (wanted, wantedAlgorithm) => {
        const bytes = await readSecret(keyPath(dataDir));
        if (bytes === null) return { kind: "unknown" };
        const keys = await parseJwks({ keys: [readKey(bytes, dataDir)] });
        const key = keys?.find(wanted, wantedAlgorithm);
        return key === undefined ? { kind: "unknown" } : { kind: "key", key };
      },
    },
  };
}

async function createKey(): Promise<Uint8Array> {
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true });
  const jwk = { ...(await exportJWK(privateKey)), kid, alg: algorithm, use: "sig" };
  return new TextEncoder().encode(`${JSON.stringify(jwk, null, 2)}\n`);
}

function readKey(bytes: Uint8Array, dataDir: string): JWK {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new Error(`${keyPath(dataDir)} is not a key: remove it, and a new one is made`, { cause });
  }
}

function keyPath(dataDir: string): string {
  return join(dataDir, "dev-issuer.json");
}
