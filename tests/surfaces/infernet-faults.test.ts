import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Socket } from "node:net";
import { join } from "node:path";
import { fakeEngine, type FakeEngine } from "../support/containers/fake-engine.ts";
import { httpAnswer, type RawService, rawService } from "../support/containers/raw-service.ts";
import { temporaryDirectory } from "../support/containers/runner-of.ts";
import { type Service, startService } from "../support/service.ts";
import { until } from "../support/until.ts";
import { type JobResult, type NodeClient, nodeClient } from "./support/node-client.ts";

const linkS = 1;
const megabyte = 1_048_576;
const path = join(temporaryDirectory(), "containers.json");
const wrongs: Record<string, (socket: Socket) => void> = {
  "says-500": (socket) => socket.write(httpAnswer("out of memory", {}, "500 Internal Server Error")),
  "says-500-json": (socket) => socket.write(httpAnswer('{"error":"no weights"}', {}, "500 Internal Server Error")),
  "says-html": (socket) => socket.write(httpAnswer("<html>hello</html>", { "content-type": "text/html" })),
  "says-nothing": (socket) => socket.write(httpAnswer("")),
  "stays-silent": () => undefined,
  "half-a-body": (socket) => socket.end(httpAnswer('{"a":1', { "content-length": "1000" })),
  "stuck-in-a-body": (socket) => socket.write(httpAnswer('{"a":1', { "content-length": "1000" })),
  "wrong-json": (socket) => socket.write(httpAnswer('{"a":')),
  "a-gigabyte": pourGigabyte,
  "too-late": (socket) => setTimeout(() => socket.destroyed || socket.write(httpAnswer("{}")), linkS * 1_000 + 400),
  dies: (socket) => socket.destroy(),
};
/** The container that fails, and what its failure must say. */
const told: [id: string, words: string[]][] = [
  ["says-500", ["answered 500", "out of memory"]],
  ["says-500-json", ["answered 500", "no weights"]],
  ["says-html", ["unexpected mimetype: text/html", "<html>hello</html>"]],
  ["says-nothing", ["empty body"]],
  ["stays-silent", [`no result within ${linkS} s`]],
  ["half-a-body", ["broke off"]],
  ["stuck-in-a-body", [`no result within ${linkS} s`]],
  ["wrong-json", ["is not JSON"]],
  ["a-gigabyte", ["more than", "bytes"]],
  ["too-late", [`no result within ${linkS} s`]],
  ["dies", ["closed the connection without an answer"]],
  ["is-down", ["Cannot connect to host 127.0.0.1:1"]],
  ["command-missing", []],
  ["command-fails", ["3", "no model here"]],
  ["command-wrong-json", ["JSON"]],
  ["image-missing", ["team/none:1", "no such image"]],
];

let service: Service;
let client: NodeClient;
let engine: FakeEngine;
let poured = 0;
const raw: RawService[] = [];
const calls = { echo: 0, after: 0 };

beforeAll(async () => {
  engine = fakeEngine();
  const services = await Promise.all(
    Object.entries(wrongs).map(async ([id, answer]) => ({ id, url: (await serve(answer)).url })),
  );
  const echo = await serve((socket, text) => {
    calls.echo++;
    socket.write(httpAnswer(JSON.stringify({ seen: JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4)).data })));
  });
  const after = await serve((socket) => {
    calls.after++;
    socket.write(httpAnswer("{}"));
  });
  const containers = [
    ...services,
    ...[
      { id: "echo", url: echo.url },
      { id: "after", url: after.url },
      { id: "is-down", url: "http://127.0.0.1:1" },
    ],
    { id: "command-missing", exec: ["/no/such/command"] },
    { id: "command-fails", exec: ["/bin/sh", "-c", "echo no model here >&2; exit 3"] },
    { id: "command-wrong-json", exec: ["/bin/echo", "hello"] },
    { id: "image-missing", image: "team/none:1", start: "demand" },
    { id: "engine-missing", image: "team/model:1", start: "demand" },
  ];
  await Bun.write(path, JSON.stringify(containers));
  const environment = { CONTAINERS_FILE: path, CONTAINER_TIMEOUT: String(linkS), SURFACES: "api,infernet" };
  service = await startService({ ...environment, DOCKER_HOST: engine.dockerHost });
  client = nodeClient(service.url);
}, 60_000);
afterAll(async () => {
  await service.stop();
  for (const one of raw) one.close();
  engine.close();
});

async function serve(answer: (socket: Socket, text: string) => void): Promise<RawService> {
  const one = await rawService(answer);
  raw.push(one);
  return one;
}

function pourGigabyte(socket: Socket): void {
  const piece = Buffer.alloc(megabyte, "x");
  socket.write(httpAnswer("", { "content-length": String(1_024 * megabyte) }));
  const pour = () => {
    while (!socket.destroyed && poured < 1_024 * megabyte) {
      poured += piece.length;
      if (!socket.write(piece)) return;
    }
  };
  socket.on("drain", pour);
  pour();
}

async function ended(id: string, asking = client): Promise<JobResult> {
  return until(
    `job ${id} has ended`,
    async () => {
      const [result] = await asking.results([id], true);
      return result !== undefined && result.status !== "running" && result;
    },
    { withinMs: 20_000, everyMs: 20 },
  );
}

describe("a chain whose second link", () => {
  for (const [id, words] of told) {
    test(`is "${id}" fails with that name and the reason, and keeps the first output`, async () => {
      const result = await ended(await client.requestJob({ containers: ["echo", id, "after"], data: { n: 1 } }));
      expect(result).toMatchObject({ status: "failed", result: { container: id } });
      expect(result.intermediate_results).toEqual([{ container: "echo", output: { seen: { n: 1 } } }]);
      const message = result.result?.error ?? "";
      for (const word of [`container "${id}"`, ...words]) expect(message).toContain(word);
      expect(calls.after).toBe(0);
    }, 30_000);
  }

  test("pours a gigabyte is cut off long before", () => {
    expect(poured).toBeGreaterThan(0);
    expect(poured).toBeLessThan(200 * megabyte);
  });
});

test("all of them at once end, and the node works on", async () => {
  const jobs = told.map(([id]) => ({ containers: ["echo", id], data: {} }));
  const answers = await client.requestJobs(jobs);
  const results = await Promise.all(answers.map((one) => ended("id" in one ? one.id : "")));
  expect(results.map(({ status, result }) => `${status} ${result?.container}`)).toEqual(
    told.map(([id]) => `failed ${id}`),
  );
  const id = await client.requestJob({ containers: ["echo"], data: {} });
  expect((await ended(id)).status).toBe("success");
  expect(((await client.info()).pending as { offchain: number }).offchain).toBe(0);
}, 30_000);

test("a stream whose container fails ends after the id, and the job has the reason", async () => {
  for (const container of ["says-500", "dies", "stays-silent"]) {
    const { id, text } = await client.stream({ containers: [container], data: {} });
    expect(text).toBe("");
    expect((await ended(id)).result).toMatchObject({ container });
  }
}, 30_000);

test("an engine whose socket is gone fails the link, and says what to start", async () => {
  engine.die();
  const result = await ended(await client.requestJob({ containers: ["echo", "engine-missing"], data: {} }));
  expect(result).toMatchObject({ status: "failed", result: { container: "engine-missing" } });
  expect(result.result?.error).toContain(engine.dockerHost);
  expect(result.intermediate_results).toHaveLength(1);
}, 30_000);

test("a container that leaves the file between accept and run fails its link by name", async () => {
  const held = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const gate = await serve((socket) => {
    asked.resolve();
    void held.promise.then(() => socket.write(httpAnswer("{}")));
  });
  const echo = await serve((socket) => socket.write(httpAnswer("{}")));
  const file = join(temporaryDirectory(), "containers.json");
  const write = (...ids: string[]) =>
    Bun.write(file, JSON.stringify(ids.map((id) => ({ id, url: id === "gate" ? gate.url : echo.url }))));
  await write("gate", "echo");
  const own = await startService({ CONTAINERS_FILE: file, SURFACES: "api,infernet" });
  try {
    const ownClient = nodeClient(own.url);
    const id = await ownClient.requestJob({ containers: ["gate", "echo"], data: {} });
    await asked.promise;
    await write("gate");
    await until("the file was read again", async () => ((await ownClient.info()).containers as unknown[]).length === 1);
    held.resolve();
    const result = await ended(id, ownClient);
    expect(result).toMatchObject({ status: "failed", result: { container: "echo" } });
    expect(result.result?.error).toContain("is not in the containers file of this node");
    expect(result.intermediate_results).toEqual([{ container: "gate", output: {} }]);
  } finally {
    await own.stop();
  }
}, 30_000);

describe("what is too much", () => {
  test("is refused before anything is called, and the longest chain still runs", async () => {
    const before = calls.echo;
    const many = (count: number) => ({ containers: Array<string>(count).fill("echo"), data: {} });
    await expect(client.requestJob(many(1_000))).rejects.toThrow("[400] Too many containers");
    await expect(client.requestJob(many(65))).rejects.toThrow("max=64");
    const data = { x: "x".repeat(10 * megabyte) };
    await expect(client.requestJob({ containers: ["echo"], data })).rejects.toThrow("[413] ");
    await expect(client.requestJobs([{ containers: ["echo"], data }])).rejects.toThrow("[413] ");
    expect(calls.echo).toBe(before);
    const result = await ended(await client.requestJob(many(64)));
    expect(result.status).toBe("success");
    expect(result.intermediate_results).toHaveLength(63);
    expect(calls.echo).toBe(before + 64);
  }, 30_000);

  test("a chain that goes round is run as often as it says, and ends", async () => {
    const result = await ended(
      await client.requestJob({ containers: ["echo", "after", "echo", "after"], data: { round: 1 } }),
    );
    expect(result).toMatchObject({ status: "success", result: { container: "after", output: {} } });
    expect(result.intermediate_results?.map(({ container }) => container)).toEqual(["echo", "after", "echo"]);
  });
});
