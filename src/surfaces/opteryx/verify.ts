import { type CryptoKey, jwtVerify } from "jose";
import { createJwks, type KeySource } from "./jwks.ts";
import type { JwksFetch } from "./jwks-fetch.ts";
import { readToken, type Token } from "./token.ts";

/** `detail` is the text of the answer: 401 for refused, 503 for unavailable. */
export type TokenVerdict =
  { kind: "ok"; sub: string } | { kind: "refused"; detail: string } | { kind: "unavailable"; detail: string };

/** An issuer and its own keys; a key never vouches for another issuer's tokens. */
export type TrustedIssuer = { issuer: string; keys: KeySource };

export type TokenVerifier = { verify(authorization: string | null): Promise<TokenVerdict> };

const clockToleranceS = 60;
const signatureDetail = "Invalid token signature or claims";

/**
 * Checks `Authorization: Bearer <JWT>` as PROTOCOLS.md says for opteryx: RS256 or ES256 by the issuer's JWKS, `iss` and `aud` exact, `exp`
 * needed, 60 s of leeway, `sub` among `subjects` unless that is empty. `otherIssuers` are trusted beside `issuer` (the dev issuer).
 * What anyone may know (`iss`, `aud`) is checked before keys are fetched, so foreign tokens cost the issuer nothing; `sub` after the signature, so
 * that nobody can try out who is let in. Throws `Error` when `jwksUrl` is unsafe.
 */
export function createTokenVerifier(options: {
  issuer: string;
  audience: string;
  jwksUrl: string;
  subjects: readonly string[];
  fetch?: JwksFetch;
  now?: () => number;
  otherIssuers?: readonly TrustedIssuer[];
}): TokenVerifier {
  const now = options.now ?? Date.now;
  const jwks = createJwks({ url: options.jwksUrl, now, ...(options.fetch ? { fetch: options.fetch } : {}) });
  const issuers = [{ issuer: options.issuer, keys: jwks }, ...(options.otherIssuers ?? [])];
  return {
    verify: async (authorization) => {
      const read = readToken(authorization);
      if (read.kind === "refused") return read;
      const issuer = issuers.find((candidate) => candidate.issuer === read.token.payload.iss);
      if (issuer === undefined) return refused("Invalid token issuer");
      if (!holdsAudience(read.token.payload.aud, options.audience)) return refused("Invalid token audience");
      const found = await findKey(read.token, issuer.keys);
      if (found.kind !== "key") return found;
      const isSigned = await hasValidSignature(read.token, found, options, now());
      return isSigned ? checkSubject(read.token, options.subjects) : refused(signatureDetail);
    },
  };
}

type TokenKey = { kind: "key"; key: CryptoKey; algorithm: string };

async function findKey(token: Token, keys: KeySource): Promise<TokenKey | Exclude<TokenVerdict, { kind: "ok" }>> {
  const { alg, kid } = token.header;
  if (alg !== "RS256" && alg !== "ES256") return refused(signatureDetail);
  if (typeof kid !== "string" || kid === "") return refused("Token missing kid header");
  const found = await keys.find(kid, alg);
  if (found.kind === "unknown") return refused("Public key not found for kid");
  return found.kind === "key" ? { ...found, algorithm: alg } : found;
}

async function hasValidSignature(
  token: Token,
  key: TokenKey,
  expected: { audience: string },
  nowMs: number,
): Promise<boolean> {
  try {
    await jwtVerify(token.text, key.key, {
      algorithms: [key.algorithm],
      audience: expected.audience,
      requiredClaims: ["exp"],
      clockTolerance: clockToleranceS,
      currentDate: new Date(nowMs),
    });
    return areTimesSound(token, nowMs / 1_000);
  } catch {
    // Everything that jose throws here is about the token, and one text answers for all of it.
    return false;
  }
}

/** What jose lets pass: an infinite `exp` (1e400 in JSON) and a token from the future. */
function areTimesSound(token: Token, nowS: number): boolean {
  const { exp, nbf, iat } = token.payload;
  const times = [exp, nbf, iat].filter((time) => time !== undefined);
  return times.every(Number.isFinite) && (iat === undefined || Number(iat) <= nowS + clockToleranceS);
}

function holdsAudience(given: unknown, audience: string): boolean {
  if (Array.isArray(given)) return given.every((entry) => typeof entry === "string") && given.includes(audience);
  return given === audience;
}

function checkSubject(token: Token, subjects: readonly string[]): TokenVerdict {
  const sub = token.payload.sub;
  if (typeof sub !== "string" || sub === "") return refused("Token subject mismatch");
  return subjects.length === 0 || subjects.includes(sub) ? { kind: "ok", sub } : refused("Token subject mismatch");
}

function refused(detail: string): { kind: "refused"; detail: string } {
  return { kind: "refused", detail };
}
