import { createHmac, createSign, type KeyObject, generateKeyPairSync } from "node:crypto";

export const issuer = "https://issuer.test";
export const audience = "https://worker.opteryx.app/api/v1/submit";
/** 2026-11-22T08:00:00Z, the present of every test. */
export const nowS = 1_795_334_400;

export type SigningKey = {
  kid: string;
  algorithm: "RS256" | "ES256";
  privateKey: KeyObject;
  publicKey: KeyObject;
  jwk: Record<string, unknown>;
};

export function makeRsaKey(kid: string, bits = 2_048): SigningKey {
  return describeKey(kid, "RS256", generateKeyPairSync("rsa", { modulusLength: bits }));
}

export function makeEcKey(kid: string, curve = "P-256"): SigningKey {
  return describeKey(kid, "ES256", generateKeyPairSync("ec", { namedCurve: curve }));
}

/** Claims that are let in; each test changes one thing. */
export const goodClaims = { iss: issuer, aud: audience, sub: "109805708368864229943", iat: nowS, exp: nowS + 3_600 };

/** A token signed by `key` as its header says by default. `header` and `claims` may be raw texts or bytes, for what no library would write. */
export function sign(key: SigningKey, claims: unknown = goodClaims, header: unknown = headerOf(key)): string {
  const signed = `${encode(header)}.${encode(claims)}`;
  const encoding = key.algorithm === "ES256" ? ({ dsaEncoding: "ieee-p1363" } as const) : {};
  const signature = createSign("sha256")
    .update(signed)
    .sign({ key: key.privateKey, ...encoding });
  return `${signed}.${signature.toString("base64url")}`;
}

export function headerOf(key: SigningKey): Record<string, unknown> {
  return { alg: key.algorithm, kid: key.kid, typ: "JWT" };
}

/** A token with an HMAC instead of a signature. */
export function signHmac(
  secret: string | Buffer,
  header: Record<string, unknown>,
  claims: unknown = goodClaims,
): string {
  const signed = `${encode(header)}.${encode(claims)}`;
  const hash = `sha${String(header.alg).slice(2)}`;
  return `${signed}.${createHmac(hash, secret).update(signed).digest("base64url")}`;
}

export function encode(part: unknown): string {
  if (Buffer.isBuffer(part)) return part.toString("base64url");
  return Buffer.from(typeof part === "string" ? part : JSON.stringify(part)).toString("base64url");
}

export function jwksOf(...keys: { jwk: Record<string, unknown> }[]): { keys: Record<string, unknown>[] } {
  return { keys: keys.map((key) => key.jwk) };
}

function describeKey(
  kid: string,
  algorithm: SigningKey["algorithm"],
  pair: { privateKey: KeyObject; publicKey: KeyObject },
): SigningKey {
  const jwk = { ...pair.publicKey.export({ format: "jwk" }), kid, alg: algorithm, use: "sig" };
  return { kid, algorithm, ...pair, jwk };
}
