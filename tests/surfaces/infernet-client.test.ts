import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Service, startService } from "../support/service.ts";
import { until } from "../support/until.ts";
import { type NodeClient, nodeClient } from "./support/node-client.ts";

let service: Service;
let container: Bun.Server<undefined>;
let directory: string;
let client: NodeClient;
const held = Promise.withResolvers<void>();
const everyMs = 50;
const retries = 200;

beforeAll(async () => {
  container = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answer });
  const base = `http://127.0.0.1:${container.port}`;
  directory = await mkdtemp(join(tmpdir(), "fairlead-node-client-"));
  const containers = [
    { id: "echo", url: `${base}/echo` },
    { id: "shout", url: `${base}/shout`, external: false },
    { id: "held", url: `${base}/held` },
    { id: "bad", url: `${base}/bad` },
    { id: "away", url: "http://127.0.0.1:1" },
    { id: "six", url: `${base}/echo`, allowed_ips: ["2001:db8:1::/48"] },
  ];
  await writeFile(join(directory, "containers.json"), JSON.stringify(containers));
  service = await startService({
    CONTAINERS_FILE: join(directory, "containers.json"),
    AUTH_KEY: "first-key,second-key",
    TRUSTED_PROXIES: "127.0.0.1",
    TRUSTED_NETWORKS: "127.0.0.0/8,10.0.0.0/8,2001:db8::/32",
    SURFACES: "api,infernet",
  });
  client = nodeClient(service.url);
}, 60_000);
afterAll(async () => {
  held.resolve();
  await service.stop();
  await container.stop(true);
  await rm(directory, { recursive: true, force: true });
});

async function answer(request: Request): Promise<Response> {
  const url = new URL(request.url);
  const [, kind, path] = url.pathname.split("/");
  if (path === "service-resources") return resourcesOf(kind ?? "", url.searchParams.get("model_id"));
  if (kind === "held") await held.promise;
  const { data } = (await request.json()) as { data: { text?: string } };
  if (kind === "bad") return Response.json({ detail: "no model" }, { status: 500 });
  return Response.json(kind === "shout" ? { text: String(data.text).toUpperCase() } : data);
}

function resourcesOf(kind: string, model: string | null): Response {
  if (kind === "bad") return new Response("<html>", { status: 200 });
  if (kind === "held") return new Response("no", { status: 404 });
  return Response.json(
    model === null ? { service_id: kind, compute_capability: [] } : { supported: model === "llama" },
  );
}

const at = (address: string) => nodeClient(service.url, { "x-forwarded-for": address });
const withKey = (key: string) => nodeClient(service.url, { authorization: `Bearer ${key}` });

describe("an unmodified client of the node", () => {
  test("sees a node that is healthy", async () => {
    expect(await client.health()).toBe(true);
  });

  test("requests a job and polls for its result, with what came between", async () => {
    const id = await client.requestJob({ containers: ["echo", "shout"], data: { text: "hi" }, requires_proof: false });
    expect(await client.resultSync(id, retries, everyMs)).toEqual({
      ...{ id, status: "success", result: { container: "shout", output: { text: "HI" } } },
      intermediate_results: [{ container: "echo", output: { text: "hi" } }],
    });
  });

  test("reads the error of a job that failed, though the container answered JSON", async () => {
    const id = await client.requestJob({ containers: ["bad"], data: {} });
    const result = await client.resultSync(id, retries, everyMs);
    expect(result).toMatchObject({ status: "failed", result: { container: "bad" }, intermediate_results: [] });
    expect(result?.result?.error).toContain("no model");
  });

  test("gives up on a job that runs, and on one that nobody knows", async () => {
    const id = await client.requestJob({ containers: ["held"], data: {} });
    expect(await client.resultSync(id, 2, 5)).toMatchObject({ id, status: "running", result: null });
    expect(await client.resultSync(crypto.randomUUID())).toBeNull();
    expect(await client.ids(true)).toContain(id);
    expect(await client.ids(false)).not.toContain(id);
  });

  test("shows a refusal with its parameters", async () => {
    const refused = client.requestJob({ containers: ["nope"], data: {} });
    await expect(refused).rejects.toThrow("[400] Container not supported - [container=nope]");
    await expect(client.requestJob({ containers: [], data: {} })).rejects.toThrow("[400] No containers specified");
    await expect(client.requestJob({ containers: ["shout"], data: {} })).rejects.toThrow("first_container=shout");
  });

  test("requests a batch and finds every answer in its place", async () => {
    const answers = await client.requestJobs([
      { containers: ["echo"], data: { n: 1 } },
      { containers: ["nope"], data: {} },
      { containers: ["echo"], data: { n: 3 } },
    ]);
    expect(answers[1]).toEqual({ error: "Container not supported", params: { container: "nope" } });
    const ids = answers.flatMap((one) => ("id" in one ? [one.id] : []));
    for (const id of ids) await client.resultSync(id, retries, everyMs);
    const outputs = (await client.results(ids.toReversed())).map(({ result }) => result?.output);
    expect(outputs).toEqual([{ n: 3 }, { n: 1 }]);
  });

  test("records the status of a job that ran elsewhere", async () => {
    const id = crypto.randomUUID();
    const job = { containers: ["elsewhere"], data: { text: "x" } };
    await client.recordStatus(id, "running", job);
    await client.recordStatus(id, "success", job);
    expect(await client.results([id])).toEqual([{ id, status: "success", result: null }]);
    await expect(client.recordStatus(id, "done", job)).rejects.toThrow("[400] Status is invalid");
  });

  test("streams a job", async () => {
    const { id, text } = await client.stream({ containers: ["echo"], data: { text: "streamed" } });
    expect(JSON.parse(text)).toEqual({ text: "streamed" });
    expect((await client.results([id]))[0]?.status).toBe("success");
  });

  test("asks what the containers offer; what does not answer with JSON is left out", async () => {
    expect(await client.resources()).toEqual({
      echo: { service_id: "echo", compute_capability: [] },
      shout: { service_id: "shout", compute_capability: [] },
      six: { service_id: "echo", compute_capability: [] },
    });
    expect(await client.resources("llama")).toMatchObject({ echo: { supported: true } });
  });
});

test("a router counts the jobs that wait or run, and no others", async () => {
  const pending = async () => {
    const info = await client.info();
    return info.pending as { offchain: number; onchain: number };
  };
  const { offchain } = await pending();
  const id = await client.requestJob({ containers: ["held"], data: {} });
  expect(await pending()).toEqual({ offchain: offchain + 1, onchain: 0 });
  await client.recordStatus(crypto.randomUUID(), "running", { containers: ["elsewhere"], data: {} });
  expect((await pending()).offchain).toBe(offchain + 1);
  const { containers } = await client.info();
  expect(containers).toContainEqual({ id: "shout", description: "", external: false, image: "" });
  expect(await client.ids(true)).toContain(id);
});

describe("a client is its key, or else its address", () => {
  test("keys do not see each other's jobs, nor does the address they come from", async () => {
    const [first, second] = [withKey("first-key"), withKey("second-key")];
    const [mine, other] = [
      await first.requestJob({ containers: ["echo"], data: {} }),
      await second.requestJob({ containers: ["echo"], data: {} }),
    ];
    expect((await first.results([other, mine])).map(({ id }) => id)).toEqual([mine]);
    expect((await second.results([other, mine])).map(({ id }) => id)).toEqual([other]);
    expect(await client.results([mine, other])).toEqual([]);
    expect(await first.ids()).toEqual([mine]);
    expect(await client.ids()).not.toContain(mine);
    expect((await nodeClient(service.url, { "x-api-key": "first-key" }).results([mine])).length).toBe(1);
  });

  test("addresses behind a trusted proxy are told apart, whichever way they are written", async () => {
    const six = at("2001:db8::5");
    const id = await six.requestJob({ containers: ["echo"], data: {} });
    expect(await six.resultSync(id, retries, everyMs)).toMatchObject({ status: "success" });
    expect(await six.ids()).toEqual([id]);
    expect(await at("2001:0DB8:0:0::5").ids()).toEqual([id]);
    expect(await at("[2001:db8::5]:4711").ids()).toEqual([id]);
    expect(await at("2001:db8::6").ids()).toEqual([]);
    expect(await at("10.0.0.5").results([id])).toEqual([]);
    const mapped = at("::ffff:10.0.0.7");
    const old = await mapped.requestJob({ containers: ["echo"], data: {} });
    expect(await at("10.0.0.7").ids()).toEqual([old]);
    expect(await at("2001:db8::5, 10.0.0.7").ids()).toEqual([old]);
  });

  test("an address that is not trusted gets nothing without a key", async () => {
    await expect(at("192.0.2.1").ids()).rejects.toThrow("[401] Unauthorized");
    await expect(at("192.0.2.1").recordStatus("x", "success", { containers: [], data: {} })).rejects.toThrow("[401]");
    const both = nodeClient(service.url, { "x-forwarded-for": "192.0.2.1", "x-api-key": "second-key" });
    expect(await both.ids()).toHaveLength(1);
  });

  test("a container's networks hold for the address, with a key or without", async () => {
    const job = { containers: ["six"], data: {} };
    const keyed = nodeClient(service.url, { "x-forwarded-for": "10.0.0.5", "x-api-key": "first-key" });
    for (const fenced of [client, at("10.0.0.5"), at("2001:db8:2::1"), keyed])
      await expect(fenced.requestJob(job)).rejects.toThrow("Container not allowed for address");
    expect(await at("2001:db8:1::1").requestJob(job)).toBeString();
  });
});

test("a containers file that breaks is told to those with a key, and the last good one goes on", async () => {
  const path = join(directory, "containers.json");
  const good = await Bun.file(path).text();
  const keyed = { headers: { authorization: "Bearer first-key" } };
  const problems = async () => {
    const response = await service.call("/api/v1/containers", keyed);
    return ((await response.json()) as { problems: { pointer: string; detail: string }[] }).problems;
  };
  expect(await problems()).toEqual([]);
  await writeFile(path, '[{"id": "echo", ');
  const [problem] = await until("the broken file is seen", async () => {
    const found = await problems();
    return found.length > 0 && found;
  });
  expect(problem?.detail).toContain("JSON");
  expect(service.log.lines().some((line) => line.includes("containers.broken"))).toBe(true);
  const id = await client.requestJob({ containers: ["echo"], data: { still: "here" } });
  expect((await client.resultSync(id, retries, everyMs))?.result?.output).toEqual({ still: "here" });
  await writeFile(path, good);
  await until("the mended file is seen", async () => (await problems()).length === 0);
});
