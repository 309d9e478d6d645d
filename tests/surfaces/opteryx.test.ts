import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Job } from "../../src/surfaces/api/wire-job.ts";
import { signDevToken } from "../../src/surfaces/opteryx/dev-issuer.ts";
import { type Service, startService } from "../support/service.ts";
import { audience, goodClaims, issuer, jwksOf, makeRsaKey, sign } from "./support/issuer.ts";

const signingKey = makeRsaKey("k1");
const key = "ops-key-0123456789";
let isIssuerUp = true;
const jwks = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: () => (isIssuerUp ? Response.json(jwksOf(signingKey)) : new Response("down", { status: 500 })),
});

let service: Service;
beforeAll(async () => {
  service = await startService({
    AUTH_KEY: key,
    JWT_ISSUER: issuer,
    JWT_JWKS_URL: `http://127.0.0.1:${jwks.port}/certs`,
    SUBMIT_FUNCTION: "run_query",
    FUNCTIONS_DIR: `${import.meta.dir}/../support/submit-functions`,
  });
}, 60_000);
afterAll(async () => {
  await service.stop();
  await jwks.stop(true);
});

const sub = goodClaims.sub;
const token = (claims: Record<string, unknown> = {}) => {
  const nowS = Math.floor(Date.now() / 1_000);
  return sign(signingKey, { ...goodClaims, iat: nowS, exp: nowS + 600, ...claims });
};
const submit = (body: unknown, authorization: string | null = `Bearer ${token()}`, on = service) =>
  on.post("/api/v1/submit", body, authorization === null ? {} : { authorization });
const answerOf = async (response: Response) => ({ status: response.status, body: (await response.json()) as unknown });
const read = async (id: string) =>
  (await (await service.call(`/api/v1/jobs/${id}?wait=15`, { headers: { authorization: key } })).json()) as Job;
const create = (body: unknown) => service.post("/api/v1/jobs", body, { authorization: key });
const runsOf = async (id: string) => {
  const response = await service.call(`/api/v1/jobs/${id}/runs`, { headers: { authorization: key } });
  return ((await response.json()) as { runs: unknown[] }).runs;
};
const newId = () => `20260806120000-${crypto.randomUUID().replaceAll("-", "").slice(0, 16)}`;

describe("a submit", () => {
  test("of a held execution releases it", async () => {
    const id = newId();
    await create({ id, function: "run_query", input: { execution_id: "prepared" }, hold: true });
    expect(await answerOf(await submit({ execution_id: id }))).toEqual({
      status: 202,
      body: { accepted: true, job: id, jwt_sub: sub },
    });
    expect(await read(id)).toMatchObject({ surface: "api", status: "succeeded", result: { ran: "prepared" } });
  });

  test("of an unknown execution calls the submit function", async () => {
    const id = newId();
    const { status, body } = await answerOf(await submit({ execution_id: id, more: 1 }));
    expect([status, body]).toEqual([202, { accepted: true, job: id, jwt_sub: sub }]);
    expect(await read(id)).toMatchObject({
      surface: "opteryx",
      client: `jwt:${sub}`,
      status: "succeeded",
      input: { execution_id: id, jwt_sub: sub },
      result: { ran: id, by: sub },
    });
  });

  test("twenty times at once runs once, held or not", async () => {
    for (const isHeld of [true, false]) {
      const id = newId();
      if (isHeld) await create({ id, function: "run_query", hold: true });
      const answers = await Promise.all(Array.from({ length: 20 }, () => submit({ execution_id: id })));
      expect(await Promise.all(answers.map(answerOf))).toEqual(
        Array(20).fill({ status: 202, body: { accepted: true, job: id, jwt_sub: sub } }),
      );
      await read(id);
      expect(await runsOf(id)).toHaveLength(1);
    }
  });

  test("again after the end runs nothing", async () => {
    const id = newId();
    await submit({ execution_id: id });
    const { finished_at } = await read(id);
    expect((await submit({ execution_id: id })).status).toBe(202);
    expect((await read(id)).finished_at).toBe(finished_at);
    expect(await runsOf(id)).toHaveLength(1);
  });

  const wrong: [string, unknown, number, string][] = [
    ["no execution_id", {}, 400, "Missing execution_id"],
    ["an empty one", { execution_id: "" }, 400, "Missing execution_id"],
    ["null", { execution_id: null }, 400, "Missing execution_id"],
    ["a number", { execution_id: 7 }, 400, "execution_id must be 1 to 128 of A-Z a-z 0-9 . _ : -"],
    ["a path", { execution_id: "../x" }, 400, "execution_id must be 1 to 128 of A-Z a-z 0-9 . _ : -"],
    ["dots", { execution_id: ".." }, 400, "execution_id must be 1 to 128 of A-Z a-z 0-9 . _ : -"],
    ["NUL", { execution_id: "a\u0000" }, 400, "execution_id must be 1 to 128 of A-Z a-z 0-9 . _ : -"],
    ["129 characters", { execution_id: "x".repeat(129) }, 400, "execution_id must be 1 to 128 of A-Z a-z 0-9 . _ : -"],
    ["a list", ["x"], 400, "The body must be a JSON object"],
    ["a text", '"x"', 400, "The body must be a JSON object"],
  ];
  test.each(wrong)("with %s is refused", async (_, body, status, detail) => {
    expect(await answerOf(await submit(body))).toEqual({ status, body: { detail } });
  });

  test("with no JSON is refused in the words of the protocol", async () => {
    const { status, body } = await answerOf(await submit("{"));
    expect([status, Object.keys(body as object)]).toEqual([400, ["detail"]]);
    expect((await submit("")).status).toBe(400);
  });

  test("takes JSON whatever its type says", async () => {
    const id = newId();
    const response = await service.call("/api/v1/submit", {
      method: "POST",
      headers: { authorization: `bearer ${token()}`, "content-type": "text/plain" },
      body: JSON.stringify({ execution_id: id }),
    });
    expect(response.status).toBe(202);
  });

  const tokens: [string, () => string | null, string][] = [
    ["no token", () => null, "Authorization missing or invalid"],
    ["a key", () => `Bearer ${key}`, "Invalid token claims"],
    ["another scheme", () => `Basic ${token()}`, "Authorization missing or invalid"],
    ["another issuer", () => `Bearer ${token({ iss: "https://accounts.google.com" })}`, "Invalid token issuer"],
    ["another audience", () => `Bearer ${token({ aud: `${audience}/` })}`, "Invalid token audience"],
    ["an expired token", () => `Bearer ${token({ exp: 1_700_000_000 })}`, "Invalid token signature or claims"],
    [
      "another signature",
      () => `Bearer ${sign(makeRsaKey("k1"), { ...goodClaims, iat: 1_700_000_000, exp: 4_000_000_000 })}`,
      "Invalid token signature or claims",
    ],
  ];
  test.each(tokens)("with %s is refused before its body is read", async (_, authorization, detail) => {
    const response = await submit("{", authorization());
    expect(response.headers.get("www-authenticate")).toBe("Bearer");
    expect(await answerOf(response)).toEqual({ status: 401, body: { detail } });
  });

  test("by another method or path is answered in the protocol's words", async () => {
    const get = await service.call("/api/v1/submit");
    expect(get.headers.get("allow")).toBe("POST, OPTIONS");
    expect(await answerOf(get)).toEqual({ status: 405, body: { detail: "Method Not Allowed" } });
    expect((await answerOf(await service.call("/api/v1/submit/x"))).body).toHaveProperty("detail");
  });
});

describe("a service alone", () => {
  test("knows no execution without a submit function, and answers as the original does", async () => {
    const alone = await startService({
      SURFACES: "opteryx",
      JWT_ISSUER: issuer,
      JWT_JWKS_URL: `http://127.0.0.1:${jwks.port}/certs`,
    });
    expect(await answerOf(await submit({ execution_id: "x" }, `Bearer ${token()}`, alone))).toEqual({
      status: 404,
      body: { detail: "Unknown execution_id" },
    });
    expect(await answerOf(await alone.call("/health"))).toEqual({ status: 200, body: { status: "ok" } });
    expect((await answerOf(await alone.call("/nothing"))).body).toHaveProperty("detail");
    await alone.stop();
  }, 30_000);

  test("takes tokens of the dev issuer on loopback without keys, and nowhere else", async () => {
    const open = await startService({
      SURFACES: "opteryx",
      JWT_ISSUER: issuer,
      JWT_JWKS_URL: `http://127.0.0.1:${jwks.port}/certs`,
    });
    const make = (dataDir: string) => signDevToken(dataDir, { sub: "dev", audience, lifetimeS: 60 });
    const good = `Bearer ${await make(open.rooms.config.dataDir)}`;
    expect((await submit({ execution_id: "x" }, good, open)).status).toBe(404);
    await open.stop();
    const kept = `Bearer ${await make(service.rooms.config.dataDir)}`;
    expect(await answerOf(await submit({ execution_id: "x" }, kept))).toEqual({
      status: 401,
      body: { detail: "Invalid token issuer" },
    });
  }, 30_000);

  test("that cannot have the issuer's keys says so and when to come back", async () => {
    isIssuerUp = false;
    const cold = await startService({
      SURFACES: "opteryx",
      JWT_ISSUER: issuer,
      JWT_JWKS_URL: `http://127.0.0.1:${jwks.port}/certs`,
    });
    const response = await submit({ execution_id: "x" }, `Bearer ${token()}`, cold);
    expect(response.headers.get("retry-after")).toBe("5");
    expect(await answerOf(response)).toEqual({ status: 503, body: { detail: "The issuer's keys cannot be fetched" } });
    isIssuerUp = true;
    await cold.stop();
  }, 30_000);
});
