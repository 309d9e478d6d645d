import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Service, startService } from "../support/service.ts";

type Result = { id: string; status: string; result: unknown; intermediate_results?: unknown[] };
type Refused = { error: string; params: Record<string, unknown> };

let service: Service;
let container: Bun.Server<undefined>;
let directory: string;
let release = Promise.withResolvers<void>();

beforeAll(async () => {
  container = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answerAsContainer });
  const port = container.port;
  const url = (path: string) => `http://127.0.0.1:${port}${path}`;
  directory = await mkdtemp(join(tmpdir(), "fairlead-infernet-"));
  const file = join(directory, "containers.json");
  await writeFile(
    file,
    JSON.stringify({
      containers: [
        { id: "echo", url: url("/echo"), description: "says it back" },
        { id: "shout", url: url("/shout"), external: true },
        { id: "internal", url: url("/echo"), external: false },
        { id: "fenced", url: url("/echo"), allowed_ips: ["10.0.0.0/8"] },
        { id: "broken", url: url("/broken") },
        { id: "slow", url: url("/slow") },
        { id: "talks", url: url("/talks") },
      ],
    }),
  );
  service = await startService({ CONTAINERS_FILE: file });
}, 60_000);
afterAll(async () => {
  release.resolve();
  await service.stop();
  await container.stop(true);
  await rm(directory, { recursive: true, force: true });
});

async function answerAsContainer(request: Request): Promise<Response> {
  const { data } = (await request.json()) as { data: { text?: string } };
  const [, kind] = new URL(request.url).pathname.split("/");
  if (kind === "broken") return new Response("out of order", { status: 500 });
  if (kind === "slow") await release.promise;
  if (kind === "shout") return Response.json({ text: String(data.text).toUpperCase() });
  if (kind === "talks") {
    return new Response(
      new ReadableStream({
        async start(controller) {
          for (const piece of ["one ", "two ", "three"]) {
            controller.enqueue(new TextEncoder().encode(piece));
            await Bun.sleep(10);
          }
          controller.close();
        },
      }),
    );
  }
  return Response.json(data);
}

const create = (body: unknown, path = "/api/jobs") => service.post(path, body);

async function created(containers: string[], data: unknown = { text: "hi" }): Promise<string> {
  const response = await create({ containers, data });
  expect(response.status).toBe(200);
  return ((await response.json()) as { id: string }).id;
}

async function results(ids: string[], more = ""): Promise<Result[]> {
  const response = await service.call(`/api/jobs?${ids.map((id) => `id=${encodeURIComponent(id)}`).join("&")}${more}`);
  expect(response.status).toBe(200);
  return (await response.json()) as Result[];
}

async function ended(id: string): Promise<Result> {
  const deadline = Date.now() + 15_000;
  while (Date.now() < deadline) {
    const [result] = await results([id], "&intermediate=true");
    if (result !== undefined && result.status !== "running") return result;
    await Bun.sleep(20);
  }
  throw new Error(`waited 15 s for job ${id} to end`);
}

test("a chain hands each output on and keeps it", async () => {
  const result = await ended(await created(["echo", "shout"], { text: "hi" }));
  expect(result).toMatchObject({
    status: "success",
    result: { container: "shout", output: { text: "HI" } },
    intermediate_results: [{ container: "echo", output: { text: "hi" } }],
  });
});

test("a failing link fails the job with its text, and earlier outputs stay", async () => {
  const result = await ended(await created(["echo", "broken", "shout"]));
  expect(result.status).toBe("failed");
  expect(result.result).toMatchObject({ container: "broken", error: expect.stringContaining("out of order") });
  expect(result.intermediate_results).toEqual([{ container: "echo", output: { text: "hi" } }]);
});

describe("what cannot be created says why", () => {
  const cases: [string, unknown, Refused][] = [
    ["no containers", { containers: [], data: {} }, { error: "No containers specified", params: {} }],
    [
      "an unknown container",
      { containers: ["echo", "nope"], data: {} },
      { error: "Container not supported", params: { container: "nope" } },
    ],
    [
      "an internal one first",
      { containers: ["internal"], data: {} },
      { error: "First container must be external", params: { first_container: "internal" } },
    ],
    [
      "a proof nobody makes",
      { containers: ["echo"], data: {}, requires_proof: true },
      { error: "Container does not generate proof", params: { container: "echo" } },
    ],
    [
      "a container for others",
      { containers: ["fenced"], data: {} },
      { error: "Container not allowed for address", params: { address: "127.0.0.1", container: "fenced" } },
    ],
    ["a subscription", { signature: {}, subscription: {}, data: {} }, { error: "Chain not enabled", params: {} }],
    [
      "a thousand links",
      { containers: Array(1_000).fill("echo"), data: {} },
      { error: "Too many containers", params: { containers: 1_000, max: 64 } },
    ],
  ];
  for (const [name, body, refused] of cases) {
    test(name, async () => {
      const response = await create(body);
      expect(response.status).toBe(400);
      expect(await response.json()).toEqual(refused);
    });
  }

  for (const [name, body] of [
    ["no data", { containers: ["echo"] }],
    ["data that is a list", { containers: ["echo"], data: [] }],
    ["containers that are no list", { containers: "echo", data: {} }],
    ["a list", [1]],
    ["malformed JSON", '{"containers":'],
    ["null", "null"],
  ] as [string, unknown][]) {
    test(name, async () => {
      const response = await create(body);
      expect(response.status).toBe(400);
      expect(((await response.json()) as Refused).error).toBe("Could not parse message");
    });
  }

  test("data of 10 MiB and a byte", async () => {
    const response = await create(`{"containers":["echo"],"data":{"x":"${"x".repeat(10 * 1_048_576)}"}}`);
    expect(response.status).toBe(413);
    expect(((await response.json()) as Refused).error).toBeString();
  });
});

test("who is no trusted proxy cannot say where it comes from", async () => {
  const headers = { "x-forwarded-for": "10.0.0.1" };
  const response = await service.post("/api/jobs", { containers: ["fenced"], data: {} }, headers);
  expect(response.status).toBe(400);
  expect(((await response.json()) as Refused).params).toEqual({ address: "127.0.0.1", container: "fenced" });
});

test("the body sets neither id nor client", async () => {
  const response = await create({ id: "mine", ip: "9.9.9.9", containers: ["echo"], data: {} });
  const { id } = (await response.json()) as { id: string };
  expect(id).toMatch(/^[0-9a-f-]{36}$/);
  expect(await results(["mine"])).toEqual([]);
  expect((await ended(id)).status).toBe("success");
});

test("results come in the order asked, without what is unknown", async () => {
  const first = await created(["echo"], { n: 1 });
  const second = await created(["echo"], { n: 2 });
  await Promise.all([ended(first), ended(second)]);
  expect((await results([second, "unknown", first])).map(({ id }) => id)).toEqual([second, first]);
  expect(await results(["unknown"])).toEqual([]);
});

test("a batch answers every request in its place and counts what failed", async () => {
  const response = await create(
    [
      { containers: ["echo"], data: {} },
      { containers: ["nope"], data: {} },
      "odd",
      { containers: ["shout"], data: { text: "a" } },
    ],
    "/api/jobs/batch",
  );
  expect(response.status).toBe(200);
  expect(response.headers.get("x-batch-errors")).toBe("2");
  const entries = (await response.json()) as ({ id: string } | Refused)[];
  expect(entries.map((entry) => ("id" in entry ? "id" : entry.error))).toEqual([
    "id",
    "Container not supported",
    "Could not parse message",
    "id",
  ]);
  expect(await (await create([], "/api/jobs/batch")).json()).toEqual([]);
  const odd = await create({}, "/api/jobs/batch");
  expect(odd.status).toBe(400);
  expect(await odd.json()).toEqual({ error: "Expected a list", params: {} });
});

test("a thousand requests are one batch, and one more is refused", async () => {
  const request = { containers: ["echo"], data: {} };
  const full = await create(Array(1_000).fill(request), "/api/jobs/batch");
  expect(((await full.json()) as unknown[]).length).toBe(1_000);
  expect((await create(Array(1_001).fill(request), "/api/jobs/batch")).status).toBe(400);
});

test("running jobs have no result, and lists tell pending from done", async () => {
  release = Promise.withResolvers<void>();
  const id = await created(["slow"]);
  expect(await results([id])).toEqual([{ id, status: "running", result: null }]);
  const pending = (await (await service.call("/api/jobs?pending=true")).json()) as string[];
  expect(pending).toContain(id);
  release.resolve();
  await ended(id);
  expect((await (await service.call("/api/jobs?pending=false")).json()) as string[]).toContain(id);
});

test("a stream starts with the id as a chunk of its own", async () => {
  const response = await create({ containers: ["talks"], data: {} }, "/api/jobs/stream");
  const chunks: string[] = [];
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) chunks.push(decoder.decode(chunk));
  expect(chunks[0]).toMatch(/^[0-9a-f-]{36}\n$/);
  expect(chunks.slice(1).join("")).toBe("one two three");
  const id = chunks[0]?.trim() ?? "";
  expect((await ended(id)).result).toEqual({ container: "talks", output: { output: "one two three" } });
});

test("another node's status is kept, a wrong word is not", async () => {
  const put = (body: unknown) =>
    service.call("/api/status", {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  const id = crypto.randomUUID();
  expect(await (await put({ id, status: "running", containers: ["a"] })).json()).toBeNull();
  expect(await results([id])).toEqual([{ id, status: "running", result: null }]);
  expect((await put({ id, status: "success", containers: ["a"] })).status).toBe(200);
  expect(await results([id])).toEqual([{ id, status: "success", result: null }]);
  const odd = await put({ id, status: "perhaps", containers: [] });
  expect(odd.status).toBe(400);
  expect(await odd.json()).toEqual({ error: "Status is invalid", params: {} });
});

test("nobody can report on a job that runs here", async () => {
  const id = await created(["echo"]);
  const response = await service.call("/api/status", {
    method: "PUT",
    body: JSON.stringify({ id, status: "failed", containers: [] }),
  });
  expect(response.status).toBe(400);
  expect((await ended(id)).status).toBe("success");
});

test("/info has the containers and what is pending", async () => {
  const info = (await (await service.call("/info")).json()) as {
    containers: { id: string; external: boolean }[];
    pending: unknown;
    chain: unknown;
  };
  expect(info.containers[0]).toEqual({ id: "echo", description: "says it back", external: true, image: "" } as never);
  expect(info.containers.find(({ id }) => id === "internal")?.external).toBe(false);
  expect(info.pending).toEqual({ offchain: expect.any(Number), onchain: 0 });
  expect(info.chain).toEqual({ enabled: false, address: "" });
});
