import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { defineFunction } from "../../src/functions.ts";
import { type FunctionTrial, openFunctions } from "../support/function-trial.ts";
import { until } from "../support/until.ts";

const directory = resolve(import.meta.dir, "../../functions");
let trial: FunctionTrial;
let server: Bun.Server<undefined>;

beforeAll(async () => {
  trial = await openFunctions({}, { directory });
  server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answer });
});

afterAll(async () => {
  await server.stop(true);
  await trial[Symbol.asyncDispose]();
});

function answer(request: Request): Response {
  const { pathname } = new URL(request.url);
  if (pathname === "/page") return new Response("<html><head><title>\n A  page </title></head></html>");
  if (pathname === "/plain") return new Response("no title here");
  if (pathname === "/moved") return Response.redirect("/page", 302);
  if (pathname === "/file") return new Response(null, { status: 302, headers: { location: "file:///etc/passwd" } });
  if (pathname === "/round") return Response.redirect("/round", 307);
  return new Response(endless());
}

function endless(): ReadableStream<Uint8Array> {
  const block = new TextEncoder().encode("x".repeat(65_536));
  return new ReadableStream({ pull: (controller) => controller.enqueue(block) });
}

test("the samples are all served", () => {
  expect(trial.runner.catalog.problems()).toEqual([]);
  expect(trial.runner.catalog.list().map(({ name }) => name)).toEqual([
    "checksum",
    "countdown",
    "fetch_title",
    "hello",
  ]);
});

describe("hello", () => {
  test("greets by name, and the world by default", async () => {
    const { outcome, pieces } = await trial.run("hello", { name: "Ada" });
    expect(outcome).toMatchObject({ kind: "succeeded", outputJson: '{"message":"Hello Ada!"}' });
    expect(pieces).toEqual([]);
    expect((await trial.run("hello")).outcome).toMatchObject({ output: { message: "Hello World!" } });
  });

  test("streams its greeting in pieces when asked to", async () => {
    const { pieces } = await trial.run("hello", { name: "Ada" }, { options: { stream: true } });
    expect(pieces.length).toBeGreaterThan(1);
    expect(pieces.join("")).toBe("Hello Ada!");
  });

  test("declares its parameters as the load balancer compares them", () => {
    expect(JSON.stringify(trial.runner.catalog.get("hello")?.params)).toBe(
      '{"name":{"type":"string","required":false,"default":"World"}}',
    );
  });
});

describe("countdown", () => {
  test("reports its progress to the end", async () => {
    const { outcome, progress } = await trial.run("countdown", { from: 3, intervalMs: 120 });
    expect(outcome).toMatchObject({ output: { counted: 3 } });
    expect(progress).toEqual([
      { fraction: 0, text: "3 to go" },
      { fraction: 1 / 3, text: "2 to go" },
      { fraction: 2 / 3, text: "1 to go" },
      { fraction: 1, text: "Lift-off" },
    ]);
  });

  test("stops when it is cancelled", async () => {
    const run = trial.start("countdown", { from: 1_000, intervalMs: 50 });
    await until("it has begun", () => run.progress.length > 0);
    run.stop("cancelled");
    expect((await run.ended).outcome).toEqual({ kind: "cancelled" });
  });
});

test("checksum hashes as often as asked", async () => {
  const twice = createHash("sha256").update(createHash("sha256").update("abc").digest()).digest("hex");
  expect((await trial.run("checksum", { text: "abc", rounds: 2 })).outcome).toMatchObject({
    output: { sha256: twice, rounds: 2 },
  });
  expect((await trial.run("checksum", {})).outcome).toMatchObject({
    error: { message: "Missing required param: text" },
  });
});

describe("fetch_title", () => {
  const fetchTitle = (path: string) => trial.run("fetch_title", { url: new URL(path, server.url).href });

  test("returns the title of a page", async () => {
    expect((await fetchTitle("/page")).outcome).toMatchObject({ output: { status: 200, title: "A page" } });
    expect((await fetchTitle("/plain")).outcome).toMatchObject({ output: { title: null } });
  });

  test("follows redirects on the web alone, and not for ever", async () => {
    expect((await fetchTitle("/moved")).outcome).toMatchObject({ output: { title: "A page" } });
    expect((await fetchTitle("/file")).outcome).toMatchObject({
      error: { message: "Not a web address: file:///etc/passwd" },
    });
    expect((await fetchTitle("/round")).outcome).toMatchObject({ error: { message: "More than 5 redirects" } });
  });

  test("reads no more than its limit of a page without end", async () => {
    const { outcome, facts } = await fetchTitle("/endless");
    expect(outcome).toMatchObject({ output: { title: null } });
    expect(facts.wallMs).toBeLessThan(10_000);
  });

  test("refuses what is no web address", async () => {
    expect((await trial.run("fetch_title", { url: "file:///etc/passwd" })).outcome).toMatchObject({
      error: { message: "Invalid format for param: url, does not match pattern ^https?://" },
    });
  });
});

test("defineFunction infers what a handler receives", () => {
  const defined = defineFunction({
    params: {
      color: { type: "string", required: true, enum: ["red", "blue"] },
      n: { type: "number", default: 1 },
      list: { type: "array" },
      deep: { type: "object", required: false },
    },
    handler({ color, n, list, deep }, { signal }) {
      const exact: "red" | "blue" = color;
      const number: number = n;
      const maybe: unknown[] | undefined = list;
      const object: Record<string, unknown> | undefined = deep;
      // @ts-expect-error: an optional parameter may be missing
      const sure: unknown[] = list;
      return { exact, number, maybe, object, sure, aborted: signal.aborted };
    },
  });
  expect(Object.keys(defined)).toEqual(["params", "handler"]);
});
