import { jwt } from "@elysiajs/jwt";
import { Elysia } from "elysia";

/**
 * Tokens that read one job and nothing else, for browsers, which cannot send a key with `EventSource` or a download.
 */
export type JobTokens = {
  /** A token for this job that is good for `ttlS` seconds. */
  sign(jobId: string, ttlS: number): Promise<{ token: string; expiresAt: Date }>;
  /** Whether the token is ours, in time, and for this job. */
  verify(token: string, jobId: string): Promise<boolean>;
};

const audience = "fairlead:job";
const secretBytesMin = 32;
const tokenCharsMax = 2_048;

/**
 * `secret` has at least 32 bytes and is the same on every node of a database; tokens that were signed with one of `older` are
 * taken too. Throws `Error` for a shorter one.
 */
export function createJobTokens(secret: Uint8Array, ...older: Uint8Array[]): JobTokens {
  const { sign } = signer(secret);
  const verifiers = [secret, ...older].map((key) => signer(key).verify);
  const checks = { algorithms: ["HS256"], audience, requiredClaims: ["exp", "sub"], typ: "JWT" };
  return {
    sign: async (jobId, ttlS) => {
      const expiresAtS = Math.floor(Date.now() / 1_000) + ttlS;
      const token = await sign({ sub: jobId, aud: audience, exp: expiresAtS });
      return { token, expiresAt: new Date(expiresAtS * 1_000) };
    },
    verify: async (token, jobId) => {
      if (token.length > tokenCharsMax) return false;
      for (const verify of verifiers) {
        const claims = await verify(token, checks);
        if (claims !== false) return claims.sub === jobId;
      }
      return false;
    },
  };
}

function signer(secret: Uint8Array) {
  if (secret.byteLength < secretBytesMin) throw new Error(`the secret of job tokens needs ${secretBytesMin} bytes`);
  const plugin = jwt({ name: "jobToken", secret, alg: "HS256" });
  return new Elysia().use(plugin).decorator.jobToken;
}
