import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { createTokenVerifier } from "../../src/surfaces/opteryx/verify.ts";
import {
  audience,
  goodClaims,
  issuer,
  jwksOf,
  makeEcKey,
  makeRsaKey,
  nowS,
  type SigningKey,
  sign,
} from "./support/issuer.ts";

const rsa = makeRsaKey("rsa-1");
const ec = makeEcKey("ec-1");
const next = makeEcKey("ec-2");
const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;

/** The issuer's real HTTP server; each test says how it answers. */
let server: ReturnType<typeof Bun.serve>;
let answer: () => Response | Promise<Response>;
let fetches = 0;
let nowMs = 0;

beforeAll(() => {
  server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => {
      fetches += 1;
      return answer();
    },
  });
});
afterAll(() => server.stop(true));
beforeEach(() => {
  answer = () => Response.json(jwksOf(rsa, ec));
  fetches = 0;
  nowMs = nowS * 1_000;
});

const create = () =>
  createTokenVerifier({
    issuer,
    audience,
    jwksUrl: `http://127.0.0.1:${server.port}/certs`,
    subjects: [],
    now: () => nowMs,
  });
type Verifier = ReturnType<typeof create>;

const longLived = { ...goodClaims, exp: nowS + 7 * 86_400 };
const kindOf = async (verifier: Verifier, key: SigningKey, kid = key.kid) =>
  (await verifier.verify(`Bearer ${sign(key, longLived, { alg: key.algorithm, kid })}`)).kind;

describe("rotation", () => {
  test("a key that is added is found by its first token, after the cool-down", async () => {
    const verifier = create();
    expect(await kindOf(verifier, ec)).toBe("ok");
    answer = () => Response.json(jwksOf(rsa, ec, next));
    nowMs += 29 * secondMs;
    expect(await kindOf(verifier, next)).toBe("refused");
    nowMs += 2 * secondMs;
    expect(await kindOf(verifier, next)).toBe("ok");
    expect(fetches).toBe(2);
  });

  test("a key that is removed is trusted for ten minutes at most", async () => {
    const verifier = create();
    expect(await kindOf(verifier, ec)).toBe("ok");
    answer = () => Response.json(jwksOf(next));
    nowMs += 10 * minuteMs - 1;
    expect(await kindOf(verifier, ec)).toBe("ok");
    nowMs += 2;
    expect(await kindOf(verifier, ec)).toBe("refused");
    expect(await kindOf(verifier, next)).toBe("ok");
    expect(fetches).toBe(2);
  });

  test("another key under the same kid takes over after ten minutes", async () => {
    const verifier = create();
    const replaced = makeEcKey("ec-1");
    expect(await kindOf(verifier, ec)).toBe("ok");
    answer = () => Response.json(jwksOf(replaced));
    nowMs += 10 * minuteMs;
    expect(await kindOf(verifier, ec)).toBe("refused");
    expect(await kindOf(verifier, replaced)).toBe("ok");
  });

  test("a thousand unknown kids make the issuer be asked once per half minute", async () => {
    const verifier = create();
    expect(await kindOf(verifier, ec)).toBe("ok");
    nowMs += 31 * secondMs;
    const kinds: string[] = [];
    for (let round = 0; round < 10; round++) {
      const batch = Array.from({ length: 100 }, (_, index) => kindOf(verifier, ec, `unknown-${round}-${index}`));
      kinds.push(...(await Promise.all(batch)));
    }
    expect(new Set(kinds)).toEqual(new Set(["refused"]));
    expect(fetches).toBe(2);
    nowMs += 31 * secondMs;
    expect(await kindOf(verifier, ec, "unknown")).toBe("refused");
    expect(fetches).toBe(3);
  });

  test("a hundred first tokens at once share one request", async () => {
    const verifier = create();
    const kinds = await Promise.all(Array.from({ length: 100 }, () => kindOf(verifier, ec)));
    expect(new Set(kinds)).toEqual(new Set(["ok"]));
    expect(fetches).toBe(1);
  });
});

const broken: [string, () => Response | Promise<Response>][] = [
  ["answers 500", () => new Response("oops", { status: 500 })],
  ["answers 404 with keys", () => Response.json(jwksOf(rsa, ec), { status: 404 })],
  ["answers HTML", () => new Response("<html></html>", { headers: { "content-type": "text/html" } })],
  ["answers nothing", () => new Response("")],
  ["answers JSON that is no key set", () => Response.json({ keys: { kid: "ec-1" } })],
  ["answers null", () => new Response("null")],
  ["answers an empty key set", () => Response.json({ keys: [] })],
  ["redirects to good keys", () => Response.redirect(`http://127.0.0.1:${server.port}/elsewhere`)],
  ["answers 200,000 keys", () => Response.json({ keys: Array.from({ length: 200_000 }, () => ec.jwk) })],
  ["answers 101 small keys", () => Response.json({ keys: Array.from({ length: 101 }, () => ({ kid: "a" })) })],
  ["answers good keys and 64 KiB of spaces", () => new Response(JSON.stringify(jwksOf(ec)).padEnd(65_537))],
  ["answers for ever", () => new Response(endless())],
];

describe("an issuer that", () => {
  test.each(broken)("%s makes a first token wait for it, five seconds between questions", async (_, respond) => {
    answer = respond;
    const verifier = create();
    expect(await verifier.verify(`Bearer ${sign(ec)}`)).toEqual({ kind: "unavailable", detail: expect.any(String) });
    expect(await kindOf(verifier, ec)).toBe("unavailable");
    const asked = fetches;
    answer = () => Response.json(jwksOf(ec));
    nowMs += 5 * secondMs;
    expect(await kindOf(verifier, ec)).toBe("ok");
    expect(fetches).toBe(asked + 1);
  });

  test.each(broken)("%s is forgiven for a day while keys are at hand", async (_, respond) => {
    const verifier = create();
    expect(await kindOf(verifier, ec)).toBe("ok");
    answer = respond;
    nowMs += 11 * minuteMs;
    expect(await kindOf(verifier, ec)).toBe("ok");
    expect(await kindOf(verifier, next)).toBe("unavailable");
    const asked = fetches;
    expect(await kindOf(verifier, ec)).toBe("ok");
    expect(fetches).toBe(asked);
    nowMs = nowS * 1_000 + 24 * hourMs;
    expect(await kindOf(verifier, ec)).toBe("unavailable");
  });

  test("is away makes tokens wait, and with keys at hand none", async () => {
    const gone = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => Response.json(jwksOf(ec)) });
    const verifier = createTokenVerifier({
      issuer,
      audience,
      jwksUrl: `http://127.0.0.1:${gone.port}/`,
      subjects: [],
      now: () => nowMs,
    });
    expect(await kindOf(verifier, ec)).toBe("ok");
    await gone.stop(true);
    nowMs += hourMs;
    expect(await kindOf(verifier, ec)).toBe("ok");
    nowMs += 24 * hourMs;
    expect(await kindOf(verifier, ec)).toBe("unavailable");
  });

  test("hangs is given up by the signal of five seconds", async () => {
    const signals: AbortSignal[] = [];
    const verifier = createTokenVerifier({
      issuer,
      audience,
      jwksUrl: "https://issuer.test/certs",
      subjects: [],
      now: () => nowMs,
      fetch: async (_, init) => {
        if (init.signal) signals.push(init.signal);
        expect(init.redirect).toBe("manual");
        return await new Promise<Response>((_resolve, reject) => {
          init.signal?.addEventListener("abort", () => reject(init.signal?.reason));
        });
      },
    });
    const startedMs = performance.now();
    expect(await kindOf(verifier, ec)).toBe("unavailable");
    expect(performance.now() - startedMs).toBeWithin(4_500, 8_000);
    expect(signals).toHaveLength(1);
  }, 15_000);
});

describe("a key set", () => {
  const { alg: _, ...withoutAlgorithm } = ec.jwk;
  const taken: [string, Record<string, unknown>[]][] = [
    ["without alg", [withoutAlgorithm]],
    ["without use", [{ ...ec.jwk, use: undefined }]],
    ["with key_ops for verifying", [{ ...ec.jwk, key_ops: ["verify"] }]],
    ["with broken keys beside", [{ kty: "EC" }, { kty: "RSA", kid: "a", n: "!!", e: 1 }, { kid: 5 }, ec.jwk]],
    ["with things that are no keys beside", [null, "x", [], ec.jwk] as Record<string, unknown>[]],
    ["with an RSA key of the same kid", [{ ...rsa.jwk, kid: "ec-1" }, ec.jwk]],
    ["with its private part", [{ ...ec.privateKey.export({ format: "jwk" }), kid: "ec-1" }]],
  ];
  test.each(taken)("%s is good for its token", async (_name, keys) => {
    answer = () => Response.json({ keys });
    expect(await kindOf(create(), ec)).toBe("ok");
  });

  const weak = makeRsaKey("weak", 1_024);
  const other = makeEcKey("ec-1");
  const p384 = makeEcKey("p384", "P-384");
  const secret = { kty: "oct", kid: "ec-1", k: Buffer.alloc(32, 1).toString("base64url"), alg: "ES256", use: "sig" };
  const passedOver: [string, Record<string, unknown>[], SigningKey][] = [
    ["for encryption", [{ ...ec.jwk, use: "enc" }], ec],
    ["for another algorithm", [{ ...ec.jwk, alg: "ES384" }], ec],
    ["for HMAC by name", [{ ...rsa.jwk, alg: "HS256" }], rsa],
    ["for PS256", [{ ...rsa.jwk, alg: "PS256" }], rsa],
    ["for signing alone", [{ ...ec.jwk, key_ops: ["sign"] }], ec],
    ["that is a shared secret", [secret], ec],
    ["of RSA with 1024 bits", [weak.jwk], weak],
    ["of RSA with 1024 bits, filled up with zeros", [{ ...weak.jwk, n: padded(weak.jwk.n) }], weak],
    ["on another curve", [p384.jwk], p384],
    ["without a kid", [{ ...ec.jwk, kid: undefined }], ec],
    ["of which two have the kid", [ec.jwk, other.jwk], ec],
    ["of which three have the kid", [ec.jwk, other.jwk, ec.jwk], ec],
  ];
  test.each(passedOver)("with a key %s does not use it", async (_name, keys, key) => {
    answer = () => Response.json({ keys: [...keys, next.jwk] });
    expect(await kindOf(create(), key)).toBe("refused");
  });
});

test.each([
  "http://issuer.test/certs",
  "http://127.0.0.1.evil.test/",
  "http://localhost.evil.test/",
  "http://10.0.0.1/",
  "file:///etc/keys.json",
  "data:application/json,{}",
  "s3://bucket/keys",
  "",
  "certs",
])("keys are not fetched from %j", (jwksUrl) => {
  expect(() => createTokenVerifier({ issuer, audience, jwksUrl, subjects: [] })).toThrow("JWT_JWKS_URL");
});

test.each(["https://issuer.test/certs", "http://localhost:1/", "http://127.0.0.1:1/", "http://[::1]:1/"])(
  "keys may be fetched from %j",
  (jwksUrl) => {
    expect(() => createTokenVerifier({ issuer, audience, jwksUrl, subjects: [] })).not.toThrow();
  },
);

function padded(modulus: unknown): string {
  return Buffer.concat([Buffer.alloc(128), Buffer.from(String(modulus), "base64url")]).toString("base64url");
}

function endless(): ReadableStream<Uint8Array> {
  return new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(4_096).fill(32)) });
}
