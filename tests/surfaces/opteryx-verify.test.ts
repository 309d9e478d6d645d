import { createSign, generateKeyPairSync, sign as signWith } from "node:crypto";
import { expect, test } from "bun:test";
import { createTokenVerifier } from "../../src/surfaces/opteryx/verify.ts";
import {
  audience,
  encode,
  goodClaims,
  headerOf,
  issuer,
  jwksOf,
  makeEcKey,
  makeRsaKey,
  nowS,
  sign,
  signHmac,
} from "./support/issuer.ts";

const rsa = makeRsaKey("rsa-1");
const ec = makeEcKey("ec-1");
const foreign = makeRsaKey("rsa-1");
const foreignEc = makeEcKey("ec-1");
const [embedded] = jwksOf(foreign).keys;
const fetches: string[] = [];

const verifier = createTokenVerifier({
  issuer,
  audience,
  jwksUrl: "https://issuer.test/certs",
  subjects: [goodClaims.sub],
  now: () => nowS * 1_000,
  fetch: async (url) => {
    fetches.push(url);
    return Response.json(jwksOf(rsa, ec));
  },
});

const noHeader = "Authorization missing or invalid";
const noClaims = "Invalid token claims";
const noIssuer = "Invalid token issuer";
const noAudience = "Invalid token audience";
const noSubject = "Token subject mismatch";
const noSignature = "Invalid token signature or claims";
const noKid = "Token missing kid header";
const noKey = "Public key not found for kid";

const header = headerOf(rsa);
const pem = rsa.publicKey.export({ format: "pem", type: "spki" }).toString();
const der = rsa.publicKey.export({ format: "der", type: "spki" });
const [h = "", p = "", s = ""] = sign(rsa).split(".");
const claims = (changes: Record<string, unknown>) => sign(rsa, { ...goodClaims, ...changes });
const without = (name: keyof typeof goodClaims) => {
  const { [name]: _, ...rest } = goodClaims;
  return sign(rsa, rest);
};
const raw = (changes: string) => sign(rsa, `${JSON.stringify(goodClaims).slice(0, -1)},${changes}}`);

const headers: [string, string | null, string][] = [
  ["no header", null, noHeader],
  ["an empty header", "", noHeader],
  ["the scheme alone", "Bearer", noHeader],
  ["the scheme and spaces", "Bearer   ", noHeader],
  ["another scheme", `Basic ${sign(rsa)}`, noHeader],
  ["no scheme", sign(rsa), noHeader],
  ["two tokens", `Bearer ${sign(rsa)} ${sign(rsa)}`, noHeader],
  ["two headers joined", `Bearer ${sign(rsa)}, Bearer ${sign(rsa)}`, noHeader],
  ["a tab for the space", `Bearer\t${sign(rsa)}`, noHeader],
];

const tokens: [string, string, string][] = [
  ["one part", "abc", noClaims],
  ["two parts", `${h}.${p}`, noClaims],
  ["four parts", `${h}.${p}.${s}.${s}`, noClaims],
  ["five parts (JWE)", `${encode({ alg: "RSA-OAEP", enc: "A256GCM" })}.a.b.c.d`, noClaims],
  ["three empty parts", "..", noClaims],
  ["a header that is not JSON", `${encode("nope")}.${p}.${s}`, noClaims],
  ["claims that are not JSON", `${h}.${encode("nope")}.${s}`, noClaims],
  ["claims that are a list", sign(rsa, []), noClaims],
  ["claims that are null", sign(rsa, "null"), noClaims],
  [
    "claims that are not UTF-8",
    sign(rsa, Buffer.from(JSON.stringify({ ...goodClaims, name: "\u00ff" }), "latin1")),
    noClaims,
  ],
  ["padding", `${h}.${p}.${s}==`, noClaims],
  ["plain base64", `${h}.${p}.+/${s.slice(2)}`, noClaims],
  ["a line break inside", `${h}.${p}.${s.slice(0, 9)}%0A${s.slice(9)}`, noClaims],
  ["stray bits in its last character", `${h}.${p}.${strayBits(s)}`, noClaims],
  ["more than 8 KiB", sign(rsa, { ...goodClaims, pad: "x".repeat(8_192) }), noClaims],
  ["1 MB", `${h}.${"A".repeat(1_000_000)}.${s}`, noClaims],

  ["alg none, unsigned", `${encode({ alg: "none", kid: "rsa-1" })}.${p}.`, noSignature],
  ["alg None, unsigned", `${encode({ alg: "None", kid: "rsa-1" })}.${p}.`, noSignature],
  ["alg NONE with a signature", `${encode({ alg: "NONE", kid: "rsa-1" })}.${p}.${s}`, noSignature],
  ["no alg", sign(rsa, goodClaims, { kid: "rsa-1" }), noSignature],
  ["alg as a list", sign(rsa, goodClaims, { ...header, alg: ["RS256"] }), noSignature],
  ["alg in lower case", sign(rsa, goodClaims, { ...header, alg: "rs256" }), noSignature],
  ["HS256 with the public key as PEM", signHmac(pem, { ...header, alg: "HS256" }), noSignature],
  ["HS256 with the public key as DER", signHmac(der, { ...header, alg: "HS256" }), noSignature],
  ["HS256 with the public key as JWK", signHmac(JSON.stringify(rsa.jwk), { ...header, alg: "HS256" }), noSignature],
  ["HS512 with an empty key", signHmac("", { ...header, alg: "HS512" }), noSignature],
  ["RS512 by the right key", signRsa("sha512", "RS512"), noSignature],
  ["PS256 by the right key", signPss(), noSignature],
  ["EdDSA", signEd25519(), noSignature],
  ["ES256 by the kid of an RSA key", sign(ec, goodClaims, { alg: "ES256", kid: "rsa-1" }), noKey],
  ["RS256 by the kid of an EC key", sign(rsa, goodClaims, { alg: "RS256", kid: "ec-1" }), noKey],
  ["ES256 signed by an RSA key", sign(rsa, goodClaims, { alg: "ES256", kid: "ec-1" }), noSignature],

  ["no signature", `${h}.${p}.`, noSignature],
  ["a signature with one bit changed", `${h}.${p}.${flip(s)}`, noSignature],
  [
    "a signature cut short",
    `${h}.${p}.${Buffer.from(s, "base64url").subarray(0, 255).toString("base64url")}`,
    noSignature,
  ],
  ["a signature of zeros", `${h}.${p}.${Buffer.alloc(256).toString("base64url")}`, noSignature],
  [
    "an ES256 signature of zeros",
    `${encode(headerOf(ec))}.${p}.${Buffer.alloc(64).toString("base64url")}`,
    noSignature,
  ],
  ["an ES256 signature in DER", signEcDer(), noSignature],
  ["another's claims under its signature", `${h}.${encode({ ...goodClaims, admin: true })}.${s}`, noSignature],
  ["the right kid and a foreign key", sign(foreign), noSignature],
  ["the right kid and a foreign EC key", sign(foreignEc), noSignature],

  ["its own key in jwk", sign(foreign, goodClaims, { ...header, jwk: embedded }), noSignature],
  ["its own key set in jku", sign(foreign, goodClaims, { ...header, jku: "https://evil.test/jwks" }), noSignature],
  ["its own certificate in x5c", sign(foreign, goodClaims, { ...header, x5c: ["MIIB"] }), noSignature],
  ["its own certificate in x5u", sign(foreign, goodClaims, { ...header, x5u: "https://evil.test/cert" }), noSignature],
  ["jwk, though signed by the right key", sign(rsa, goodClaims, { ...header, jwk: embedded }), noSignature],
  ["crit", sign(rsa, goodClaims, { ...header, crit: ["exp"] }), noSignature],
  ["an empty crit", sign(rsa, goodClaims, { ...header, crit: [] }), noSignature],
  ["b64 false", sign(rsa, goodClaims, { ...header, b64: false, crit: ["b64"] }), noSignature],
  ["the type of a DPoP proof", sign(rsa, goodClaims, { ...header, typ: "dpop+jwt" }), noSignature],
  ["a type that is a number", sign(rsa, goodClaims, { ...header, typ: 1 }), noSignature],

  ["no kid", sign(rsa, goodClaims, { alg: "RS256" }), noKid],
  ["an empty kid", sign(rsa, goodClaims, { alg: "RS256", kid: "" }), noKid],
  ["a kid that is a number", sign(rsa, goodClaims, { alg: "RS256", kid: 1 }), noKid],
  ["an unknown kid", sign(rsa, goodClaims, { alg: "RS256", kid: "rsa-2" }), noKey],
  ["a kid with a path", sign(rsa, goodClaims, { alg: "RS256", kid: "../../dev/null" }), noKey],
  ["a kid with SQL", sign(rsa, goodClaims, { alg: "RS256", kid: "x' UNION SELECT 'k" }), noKey],
  ["a kid that objects know", sign(rsa, goodClaims, { alg: "RS256", kid: "__proto__" }), noKey],
  ["two algs, the last one none", sign(foreign, goodClaims, '{"alg":"RS256","kid":"rsa-1","alg":"none"}'), noSignature],
  ["two kids, the last one unknown", sign(rsa, goodClaims, '{"alg":"RS256","kid":"rsa-1","kid":"rsa-2"}'), noKey],
  ["__proto__ in its header", sign(foreign, goodClaims, '{"__proto__":{"alg":"RS256","kid":"rsa-1"}}'), noSignature],

  ["another issuer", claims({ iss: "https://evil.test" }), noIssuer],
  ["the issuer with a slash", claims({ iss: `${issuer}/` }), noIssuer],
  ["the issuer in capitals", claims({ iss: issuer.toUpperCase() }), noIssuer],
  ["the issuer in a list", claims({ iss: [issuer] }), noIssuer],
  ["no issuer", without("iss"), noIssuer],
  ["the issuer through __proto__", sign(rsa, `{"__proto__":${JSON.stringify(goodClaims)}}`), noIssuer],
  ["another audience", claims({ aud: "https://worker.opteryx.app/api/v1" }), noAudience],
  ["a longer audience", claims({ aud: `${audience}/x` }), noAudience],
  ["a list without the audience", claims({ aud: ["a", `${audience}/`] }), noAudience],
  ["a list with a number", claims({ aud: [audience, 1] }), noAudience],
  ["an empty list of audiences", claims({ aud: [] }), noAudience],
  ["no audience", without("aud"), noAudience],

  ["no exp", without("exp"), noSignature],
  ["an exp more than a minute ago", claims({ exp: nowS - 61 }), noSignature],
  ["an exp of exactly a minute ago", claims({ exp: nowS - 60 }), noSignature],
  ["an exp that is a text", claims({ exp: String(nowS + 60) }), noSignature],
  ["an exp that is null", claims({ exp: null }), noSignature],
  ["an exp without end", raw('"exp":1e400'), noSignature],
  ["an exp that is a list", claims({ exp: [nowS + 60] }), noSignature],
  ["an nbf more than a minute ahead", claims({ nbf: nowS + 61 }), noSignature],
  ["an nbf that is a text", claims({ nbf: "0" }), noSignature],
  ["an iat more than a minute ahead", claims({ iat: nowS + 61 }), noSignature],
  ["an iat that is a text", claims({ iat: "now" }), noSignature],
  ["an iat that is null", claims({ iat: null }), noSignature],

  ["another subject", claims({ sub: "someone" }), noSubject],
  ["no subject", without("sub"), noSubject],
  ["a subject that is a number", raw('"sub":109805708368864229943'), noSubject],
  ["a subject that is a list", claims({ sub: [goodClaims.sub] }), noSubject],
  ["another subject and a foreign key", sign(foreign, { ...goodClaims, sub: "someone" }), noSignature],
];

test.each(headers)("an Authorization header with %s is refused", async (_, authorization, detail) => {
  expect(await verifier.verify(authorization)).toEqual({ kind: "refused", detail });
});

test.each(tokens)("a token with %s is refused", async (_, token, detail) => {
  expect(await verifier.verify(`Bearer ${token}`)).toEqual({ kind: "refused", detail });
});

const fine: [string, string][] = [
  ["RS256", `Bearer ${sign(rsa)}`],
  ["ES256", `Bearer ${sign(ec)}`],
  ["the scheme in lower case", `bearer ${sign(rsa)}`],
  ["spaces around", `BEARER   ${sign(rsa)} `],
  ["no typ", `Bearer ${sign(rsa, goodClaims, { alg: "RS256", kid: "rsa-1" })}`],
  ["the type of an access token", `Bearer ${sign(rsa, goodClaims, { ...header, typ: "at+JWT" })}`],
  ["the audience in a list", `Bearer ${claims({ aud: ["https://other.test", audience] })}`],
  ["an exp within the leeway", `Bearer ${claims({ exp: nowS - 59 })}`],
  ["an nbf within the leeway", `Bearer ${claims({ nbf: nowS + 59 })}`],
  ["an iat within the leeway", `Bearer ${claims({ iat: nowS + 59 })}`],
  ["times with a fraction", `Bearer ${claims({ exp: nowS + 0.5, iat: nowS - 0.5 })}`],
  ["no iat", `Bearer ${without("iat")}`],
  ["claims of its own", `Bearer ${claims({ email: "ünï@issuer.test", roles: ["a"] })}`],
];
test.each(fine)("a token with %s is let in", async (_, authorization) => {
  expect(await verifier.verify(authorization)).toEqual({ kind: "ok", sub: goodClaims.sub });
});

test("without JWT_SUBJECTS any subject is let in, but there must be one", async () => {
  const anyone = createTokenVerifier({
    issuer,
    audience,
    jwksUrl: "https://issuer.test/certs",
    subjects: [],
    now: () => nowS * 1_000,
    fetch: async () => Response.json(jwksOf(rsa)),
  });
  expect(await anyone.verify(`Bearer ${claims({ sub: "someone" })}`)).toEqual({ kind: "ok", sub: "someone" });
  expect(await anyone.verify(`Bearer ${without("sub")}`)).toEqual({ kind: "refused", detail: noSubject });
});

test("all of these tokens together made the issuer be asked once, and nobody else", () => {
  expect(fetches).toEqual(["https://issuer.test/certs"]);
});

function strayBits(part: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return part.slice(0, -1) + alphabet[alphabet.indexOf(part.slice(-1)) ^ 1];
}

function flip(part: string): string {
  const bytes = Buffer.from(part, "base64url");
  bytes.writeUInt8(bytes.readUInt8(100) ^ 1, 100);
  return bytes.toString("base64url");
}

function signRsa(hash: string, alg: string): string {
  const signed = `${encode({ ...header, alg })}.${p}`;
  return `${signed}.${createSign(hash).update(signed).sign(rsa.privateKey).toString("base64url")}`;
}

function signPss(): string {
  const signed = `${encode({ ...header, alg: "PS256" })}.${p}`;
  const signature = signWith("sha256", Buffer.from(signed), { key: rsa.privateKey, padding: 6, saltLength: 32 });
  return `${signed}.${signature.toString("base64url")}`;
}

function signEd25519(): string {
  const signed = `${encode({ ...header, alg: "EdDSA" })}.${p}`;
  const { privateKey } = generateKeyPairSync("ed25519");
  return `${signed}.${signWith(null, Buffer.from(signed), privateKey).toString("base64url")}`;
}

function signEcDer(): string {
  const signed = `${encode(headerOf(ec))}.${p}`;
  return `${signed}.${createSign("sha256").update(signed).sign(ec.privateKey).toString("base64url")}`;
}
