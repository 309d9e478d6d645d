import { createPrivateKey, createPublicKey } from "node:crypto";
import { afterAll, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeJwt } from "jose";
import { devIssuer, devIssuerName, signDevToken } from "../../src/surfaces/opteryx/dev-issuer.ts";
import { createTokenVerifier } from "../../src/surfaces/opteryx/verify.ts";
import { audience, issuer, jwksOf, makeEcKey, sign } from "./support/issuer.ts";

const ec = makeEcKey("dev");
const root = mkdtempSync(join(tmpdir(), "fairlead-dev-issuer-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let dataDir = "";
let count = 0;
beforeEach(() => {
  count += 1;
  dataDir = join(root, String(count));
});

const create = (trusted: boolean, subjects: string[] = []) =>
  createTokenVerifier({
    issuer,
    audience,
    jwksUrl: "https://issuer.test/certs",
    subjects,
    fetch: async () => Response.json(jwksOf(ec)),
    ...(trusted ? { otherIssuers: [devIssuer(dataDir)] } : {}),
  });
const claims = { sub: "dev", audience, lifetimeS: 600 };

test("a dev token is let in by a server of the same data directory that trusts the dev issuer", async () => {
  const verifier = create(true);
  expect(await verifier.verify(`Bearer ${await signDevToken(dataDir, claims)}`)).toEqual({ kind: "ok", sub: "dev" });
});

test("a server that does not trust it refuses its tokens by their issuer", async () => {
  const refusal = await create(false).verify(`Bearer ${await signDevToken(dataDir, claims)}`);
  expect(refusal).toEqual({ kind: "refused", detail: "Invalid token issuer" });
});

test("a token of another data directory is refused", async () => {
  await signDevToken(dataDir, claims);
  const token = await signDevToken(join(root, "other"), claims);
  expect((await create(true).verify(`Bearer ${token}`)).kind).toBe("refused");
});

test("before any key is made, dev tokens are refused and no file appears", async () => {
  const token = await signDevToken(join(root, "another"), claims);
  const refusal = await create(true).verify(`Bearer ${token}`);
  expect(refusal).toEqual({ kind: "refused", detail: "Public key not found for kid" });
  expect(readdirSync(root)).not.toContain(String(count));
});

test("the dev key does not vouch for the real issuer, nor the real issuer's key for the dev issuer", async () => {
  await signDevToken(dataDir, claims);
  const jwk = JSON.parse(readFileSync(join(dataDir, "dev-issuer.json"), "utf8"));
  const privateKey = createPrivateKey({ key: jwk, format: "jwk" });
  const devKey = { kid: "dev", algorithm: "ES256" as const, privateKey, publicKey: createPublicKey(privateKey), jwk };
  const times = { aud: audience, sub: "dev", exp: Math.floor(Date.now() / 1_000) + 600 };
  const verifier = create(true);
  expect((await verifier.verify(`Bearer ${sign(devKey, { ...times, iss: devIssuerName })}`)).kind).toBe("ok");
  expect((await verifier.verify(`Bearer ${sign(devKey, { ...times, iss: issuer })}`)).kind).toBe("refused");
  expect((await verifier.verify(`Bearer ${sign(ec, { ...times, iss: devIssuerName })}`)).kind).toBe("refused");
});

test("audience, expiry and JWT_SUBJECTS hold for dev tokens too", async () => {
  const kindOf = async (changes: Partial<typeof claims & { nowMs: number }>) =>
    (await create(true, ["dev"]).verify(`Bearer ${await signDevToken(dataDir, { ...claims, ...changes })}`)).kind;
  expect(await kindOf({})).toBe("ok");
  expect(await kindOf({ audience: "https://other.test" })).toBe("refused");
  expect(await kindOf({ sub: "someone" })).toBe("refused");
  expect(await kindOf({ nowMs: Date.now() - 3_600_000 })).toBe("refused");
});

test("the key is made once, for its owner alone, also when ten tokens are asked for at once", async () => {
  const tokens = await Promise.all(Array.from({ length: 10 }, () => signDevToken(dataDir, claims)));
  const verifier = create(true);
  const kinds = await Promise.all(tokens.map(async (token) => (await verifier.verify(`Bearer ${token}`)).kind));
  expect(new Set(kinds)).toEqual(new Set(["ok"]));
  expect(readdirSync(dataDir)).toEqual(["dev-issuer.json"]);
  expect(statSync(join(dataDir, "dev-issuer.json")).mode & 0o777).toBe(0o600);
  expect(decodeJwt(tokens[0] ?? "").iss).toBe("https://dev.fairlead.invalid");
});

test("a key file that is no key is named", async () => {
  await signDevToken(dataDir, claims);
  writeFileSync(join(dataDir, "dev-issuer.json"), "{");
  await expect(signDevToken(dataDir, claims)).rejects.toThrow("dev-issuer.json is not a key");
});
