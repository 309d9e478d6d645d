type JsonObject = Readonly<Record<string, unknown>>;

/** A token as it was sent, read but not believed. */
export type Token = { text: string; header: JsonObject; payload: JsonObject };

const tokenBytesMax = 8_192;
/** Headers by which a token names its own key, or asks for rules of its own (RFC 8725, sections 3.1 and 3.10). */
const deniedHeaders = ["jku", "jwk", "x5u", "x5c", "crit", "b64"];
const allowedTypes = [undefined, "jwt", "application/jwt", "at+jwt", "application/at+jwt"];

/** Reads the token out of an `Authorization` header: three parts in strict base64url, JSON objects in the first two, at most 8 KiB. */
export function readToken(
  authorization: string | null,
): { kind: "token"; token: Token } | { kind: "refused"; detail: string } {
  const text = /^bearer +(\S+) *$/i.exec(authorization ?? "")?.[1];
  if (text === undefined) return { kind: "refused", detail: "Authorization missing or invalid" };
  const parts = text.length <= tokenBytesMax ? text.split(".") : [];
  const [header, payload] = parts.slice(0, 2).map(readPart);
  // An empty signature is left to the check of the algorithm, as long as the third part is there.
  const isSound = parts.length === 3 && parts.every(isBase64Url);
  if (!isSound || !header || !payload) return { kind: "refused", detail: "Invalid token claims" };
  if (!isPlain(header)) return { kind: "refused", detail: "Invalid token signature or claims" };
  return { kind: "token", token: { text, header, payload } };
}

function isPlain(header: JsonObject): boolean {
  const { typ } = header;
  if (deniedHeaders.some((name) => Object.hasOwn(header, name))) return false;
  return typ === undefined || (typeof typ === "string" && allowedTypes.includes(typ.toLowerCase()));
}

/** Exactly one spelling for the same bytes: no padding, no stray bits in the last character. */
function isBase64Url(part: string): boolean {
  return /^[A-Za-z0-9_-]*$/.test(part) && Buffer.from(part, "base64url").toString("base64url") === part;
}

function readPart(part: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(part, "base64url")));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : null;
  } catch {
    // Not UTF-8 or not JSON: the caller answers for both.
    return null;
  }
}
