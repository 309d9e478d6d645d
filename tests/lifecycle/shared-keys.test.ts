import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openKeys } from "../../src/app-keys.ts";
import { loadConfig } from "../../src/config.ts";
import { createJobTokens } from "../../src/http/job-tokens.ts";
import { openHeaders, sealHeaders } from "../../src/webhooks/seal.ts";
import { until } from "../support/until.ts";
import { givenDatabase } from "./given-database.ts";
import { accepted } from "./job-calls.ts";
import { scratchDirectory, spawnServer, supportFunctions } from "./server-process.ts";

setDefaultTimeout(60_000);

const [first, second] = ["a".repeat(32), "b".repeat(32)];
let database: Awaited<ReturnType<typeof givenDatabase>>;

beforeAll(async () => {
  database = await givenDatabase();
});

const keysOf = (environment: Record<string, string>, { sql } = database) =>
  openKeys(loadConfig({ DATABASE_URL: database.url, DATA_DIR: scratchDirectory("keys"), ...environment }), sql);

describe("nodes that share a database", () => {
  test("share their keys, whoever comes first, and need no file for it", async () => {
    const dataDir = scratchDirectory("keys");
    const found = await Promise.all([keysOf({ DATA_DIR: dataDir }), keysOf({}), keysOf({})]);
    for (const keys of found) expect(keys).toEqual({ ...keys, ...found[0] });
    expect(found[0]).toMatchObject({ isSealKeyInDatabase: true });
    expect(found[0]?.tokens[0]).not.toEqual(found[0]?.seals[0] as Uint8Array);
    expect(existsSync(join(dataDir, "token.key"))).toBe(false);
  });

  test("take over the keys of the first one that had its own, and the others' go on opening what is older", async () => {
    const fresh = await givenDatabase();
    const [one, two] = [dataDirWith(1), dataDirWith(2)];
    const mine = await keysOf({ DATA_DIR: one }, fresh);
    const other = await keysOf({ DATA_DIR: two }, fresh);
    expect(mine.tokens[0]).toEqual(bytes(1));
    expect(mine.seals[0]).toEqual(bytes(1));
    expect(other.tokens).toEqual([bytes(1), bytes(2)]);
    const { token } = await createJobTokens(bytes(2)).sign("job", 60);
    expect(await createJobTokens(...other.tokens).verify(token, "job")).toBe(true);
    expect(await createJobTokens(...other.tokens).verify(token, "another")).toBe(false);
    expect(await createJobTokens(...mine.tokens).verify(token, "job")).toBe(false);
    expect(openHeaders(sealHeaders({ a: "b" }, bytes(2)), other.seals)).toEqual({ a: "b" });
  });

  test("keep nothing in the database that would open what SECRET_KEY sealed", async () => {
    const fresh = await givenDatabase();
    const keys = await keysOf({ SECRET_KEY: first }, fresh);
    expect(keys.isSealKeyInDatabase).toBe(false);
    expect(await fresh.sql`select 1 from secrets`).toHaveLength(0);
    expect(await keysOf({ SECRET_KEY: first }, fresh)).toEqual(keys);
    const rotated = await keysOf({ SECRET_KEY: `${second},${first}` }, fresh);
    expect(rotated.seals[0]).not.toEqual(keys.seals[0]);
    expect(openHeaders(sealHeaders({ a: "b" }, keys.seals[0]), rotated.seals)).toEqual({ a: "b" });
    expect(openHeaders(sealHeaders({ a: "b" }, rotated.seals[0]), keys.seals)).toBeNull();
  });

  test("open what was sealed before SECRET_KEY was set, and seal with it from then on", async () => {
    const fresh = await givenDatabase();
    const before = await keysOf({}, fresh);
    const guarded = await keysOf({ AUTH_KEY: "key" }, fresh);
    const after = await keysOf({ AUTH_KEY: "key", SECRET_KEY: first }, fresh);
    expect(guarded.isSealKeyInDatabase).toBe(false);
    expect(new Set([before, guarded, after].map(({ seals }) => String(seals[0]))).size).toBe(3);
    for (const { seals } of [before, guarded])
      expect(openHeaders(sealHeaders({ a: "b" }, seals[0]), after.seals)).toEqual({ a: "b" });
    expect(after.tokens).toEqual([after.tokens[0], before.tokens[0]]);
  });

  test("refuse a row that is no key, with what to do", async () => {
    const fresh = await givenDatabase();
    await fresh.sql`insert into secrets (name, value) values ('job tokens', 'AAAA')`;
    await expect(keysOf({}, fresh)).rejects.toThrow(/"job tokens" .* 3 bytes .* delete it/);
  });
});

describe("a node with an embedded database", () => {
  const alone = (environment: Record<string, string>) => keysOf({ DATABASE_URL: "", ...environment });

  test("keeps its keys in its directory, until SECRET_KEY gives them", async () => {
    const DATA_DIR = scratchDirectory("keys");
    const kept = await alone({ DATA_DIR });
    expect(await alone({ DATA_DIR })).toEqual(kept);
    const given = await alone({ DATA_DIR, SECRET_KEY: first });
    expect(given.tokens[1]).toEqual(kept.tokens[0]);
    expect(given.seals[1]).toEqual(kept.seals[0]);
    expect(given.seals[0]).not.toEqual(kept.seals[0]);
  });
});

test("a SECRET_KEY that is too short is refused without being shown", () => {
  expect(() => loadConfig({ SECRET_KEY: `${first},hush` })).toThrow(/SECRET_KEY needs 32 characters.*openssl rand/);
  expect(() => loadConfig({ SECRET_KEY: "hush" })).not.toThrow(/hush/);
});

test("a token of one node opens a job on another, which delivers with the headers that the first one sealed", async () => {
  const received: Record<string, string>[] = [];
  await using receiver = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      received.push(Object.fromEntries(request.headers));
      return new Response("");
    },
  });
  const common = {
    DATABASE_URL: database.url,
    FUNCTIONS_DIR: supportFunctions,
    WEBHOOK_ALLOW: "127.0.0.0/8",
    AUTH_KEY: "",
  };
  const taker = await spawnServer({ ...common, DATA_DIR: scratchDirectory("data") }, ["--no-work"]).ready();
  const { id } = await accepted(taker, {
    function: "greet",
    webhook: { url: receiver.url.href, headers: { "x-hush": "secret words" } },
  });
  const { token } = (await (await taker.post(`/api/v1/jobs/${id}/token`, {})).json()) as { token: string };
  await taker.kill();
  const worker = await spawnServer({ ...common, DATA_DIR: scratchDirectory("data"), AUTH_KEY: "" }).ready();
  await until("the webhook arrives", () => received.length > 0, { withinMs: 40_000 });
  expect(received[0]).toMatchObject({ "x-hush": "secret words" });
  expect((await worker.call(`/api/v1/jobs/${id}?token=${token}`)).status).toBe(200);
  expect(await worker.stop()).toBe(0);

  const guarded = { ...common, AUTH_KEY: "key", DATA_DIR: scratchDirectory("data") };
  const third = await spawnServer(guarded).ready();
  expect((await third.call(`/api/v1/jobs/${id}?token=${token}`)).status).toBe(200);
  expect((await third.call(`/api/v1/jobs/${id}?token=${token.slice(0, -2)}xx`)).status).toBe(401);
  expect((await third.call(`/api/v1/jobs/${id}`)).status).toBe(401);
  expect(await third.stop()).toBe(0);
});

function bytes(fill: number): Uint8Array {
  return new Uint8Array(32).fill(fill);
}

/** A directory as a node leaves it that has used keys of its own. */
function dataDirWith(fill: number): string {
  const dataDir = join(scratchDirectory("keys"), "data");
  mkdirSync(dataDir);
  for (const name of ["token.key", "webhook-headers.key"]) writeFileSync(join(dataDir, name), bytes(fill));
  return dataDir;
}
