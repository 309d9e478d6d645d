import type { Config } from "../../config.ts";
import { devIssuer } from "./dev-issuer.ts";
import { createTokenVerifier, type TokenVerifier } from "./verify.ts";

type Read = Pick<Config, "jwtIssuer" | "jwtAudience" | "jwtJwksUrl" | "jwtSubjects" | "authKeys" | "dataDir">;

/**
 * Checks submit tokens as the configuration says. The dev issuer is trusted only where nobody else can come: on loopback, without keys.
 * Throws `Error` when `JWT_JWKS_URL` is unsafe.
 */
export function opteryxVerifier(config: Read, options: { isLoopback: boolean }): TokenVerifier {
  const isPrivate = options.isLoopback && config.authKeys.length === 0;
  return createTokenVerifier({
    issuer: config.jwtIssuer,
    audience: config.jwtAudience,
    jwksUrl: config.jwtJwksUrl,
    subjects: config.jwtSubjects,
    otherIssuers: isPrivate ? [devIssuer(config.dataDir)] : [],
  });
}
