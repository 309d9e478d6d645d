import { describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { ContainerRunnerOptions } from "../../src/runners/container/runner.ts";
import { defaultSockets, engineAddress } from "../../src/runners/container/engine-address.ts";
import { demultiplex } from "../../src/runners/container/engine-logs.ts";
import { pullImage } from "../../src/runners/container/engine-pull.ts";
import { whenFileEnds } from "../support/ending.ts";
import { type Behaviour, type FakeEngine, fakeEngine } from "../support/containers/fake-engine.ts";
import { begin, containerErrorOf, outputOf, runLinkOf } from "../support/containers/link-run.ts";
import { eventually, type OpenRunner, runnerOf, temporaryDirectory } from "../support/containers/runner-of.ts";

const quick = {
  ...{
    probeEveryMs: 10,
    probeTimeoutMs: 500,
    watchEveryMs: 50,
    watchTimeoutMs: 100,
    backoffMinMs: 20,
    backoffMaxMs: 40,
  },
  ...{ stableMs: 60_000, failuresMax: 3, restMs: 300, explainMs: 500, stopGraceS: 1 },
};
const model = { id: "model", image: "team/model:1", start: "demand" };

function open(
  given: Partial<Behaviour> = {},
  entry: Record<string, unknown> = {},
  options: Partial<ContainerRunnerOptions> = {},
): OpenRunner & { engine: FakeEngine } {
  const engine = fakeEngine(given);
  whenFileEnds(() => Promise.resolve(engine.close()));
  const { dockerHost } = engine;
  return { ...runnerOf([{ ...model, ...entry }], { dockerHost, imageTimings: quick, ...options }), engine };
}

describe("an image", () => {
  test("that waits before its next start says why when the time is up", async () => {
    const patient = { imageTimings: { ...quick, backoffMinMs: 60_000, backoffMaxMs: 60_000 } };
    const { runner } = open({}, { image: "team/none:1" }, patient);
    expect(containerErrorOf(await runLinkOf(runner, "model", {}))).toContain("no such image");
    const { outcome } = await runLinkOf(runner, "model", {}, { timeoutMs: 100 });
    const message = outcome.kind === "timed_out" ? outcome.message : "";
    expect(message).toStartWith('container "model": gave no result within 0.1 s; ');
    expect(message).toContain("no such image");
  });

  test("is started for the first call, kept for the next, and removed at the end", async () => {
    const { runner, engine } = open();
    expect(runner.states()).toEqual([{ id: "model", state: "idle", reason: null }]);
    const first = await runLinkOf(runner, "model", { n: 1 });
    expect(outputOf(first)).toEqual({ got: { n: 1 } });
    expect(first.logs).toEqual([["info", "starting team/model:1"]]);
    expect(first.facts).toMatchObject({ sandbox: "image", limits: { processes: 4_096 } });
    const next = await runLinkOf(runner, "model", { n: 2 });
    expect(next.logs).toEqual([]);
    expect(engine.created()).toBe(1);
    expect(runner.states()).toEqual([{ id: "model", state: "running", reason: null }]);
    await runner.close();
    expect(engine.made.size).toBe(0);
    expect(containerErrorOf(await runLinkOf(runner, "model", {}))).toBe('container "model": is being stopped');
  });

  test("is started once for many calls at the same time", async () => {
    const { runner, engine } = open();
    const calls = Array.from({ length: 50 }, async (_, n) => outputOf(await runLinkOf(runner, "model", { n })));
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 50 }, (_, n) => ({ got: { n } })));
    expect(engine.created()).toBe(1);
  });

  test("is started with the server unless its entry says on demand", async () => {
    const { runner, engine } = open({}, { start: "boot" });
    await eventually("the start", () => runner.states()[0]?.state === "running");
    expect(engine.created()).toBe(1);
  });

  test("gets what its entry says, a free port of loopback, its labels and its limits", async () => {
    const directory = temporaryDirectory();
    const { runner, engine } = open(
      {},
      {
        ...{
          port: 8_000,
          command: "--bind 'a b'",
          env: { KEY: "v=1" },
          volumes: [`${directory}:/models:ro`],
          gpu: true,
        },
        limits: { memory_mb: 512, cpus: 1.5, processes: 100, open_files: 256 },
      },
      { node: "node-7" },
    );
    outputOf(await runLinkOf(runner, "model", {}));
    const made = engine.made.get("c1");
    expect(made?.name).toMatch(/^fairlead-model-[0-9a-f]{12}$/);
    expect(made?.body).toEqual({
      Image: "team/model:1",
      Cmd: ["--bind", "a b"],
      Env: ["KEY=v=1"],
      Labels: { "fairlead.node": "node-7", "fairlead.container": "model" },
      ExposedPorts: { "8000/tcp": {} },
      HostConfig: {
        PortBindings: { "8000/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] },
        Binds: [`${directory}:/models:ro`],
        SecurityOpt: ["no-new-privileges"],
        PidsLimit: 100,
        Ulimits: [
          { Name: "nofile", Soft: 256, Hard: 256 },
          { Name: "nproc", Soft: 100, Hard: 100 },
        ],
        LogConfig: { Type: "json-file", Config: { "max-size": "10m" } },
        Memory: 536_870_912,
        MemorySwap: 536_870_912,
        NanoCpus: 1_500_000_000,
        DeviceRequests: [{ Driver: "nvidia", Count: -1, Capabilities: [["gpu"]] }],
      },
    });
  });

  test("that is missing is pulled, with its progress in the log of who waits", async () => {
    const { runner, engine } = open({
      images: new Set(),
      pull: (image) => ({ lines: layers(image, engine) }),
    });
    const done = await runLinkOf(runner, "model", {});
    outputOf(done);
    expect(done.logs.map(([, text]) => text)).toEqual([
      "pulling team/model:1: Pulling from team/model",
      "pulling team/model:1: 3.0 of 8.0 MiB",
      "starting team/model:1",
    ]);
  }, 10_000);

  test("that was left by a server that was killed is removed before the first start", async () => {
    const engine = fakeEngine();
    whenFileEnds(() => Promise.resolve(engine.close()));
    for (const node of ["mine", "other"]) {
      const body = JSON.stringify({ Labels: { "fairlead.node": node }, ExposedPorts: {} });
      await fetch("http://engine/containers/create?name=x", { unix: engine.dockerHost.slice(7), method: "POST", body });
    }
    const { runner } = runnerOf([model], { dockerHost: engine.dockerHost, imageTimings: quick, node: "mine" });
    outputOf(await runLinkOf(runner, "model", {}));
    expect([...engine.made.keys()]).toEqual(["c2", "c3"]);
  });

  test("whose entry changes is replaced after the calls in flight, and removed with its entry", async () => {
    const gate = Promise.withResolvers<void>();
    const service: Behaviour["service"] = async (request) => {
      if (request.method !== "GET" && engine.created() === 1) await gate.promise;
      return Response.json({ by: engine.created() });
    };
    const { runner, engine, write } = open({ service });
    const slow = begin(runner, "model", {});
    await eventually("the first container", () => runner.states()[0]?.state === "running");
    write([{ ...model, env: { NEW: "1" } }]);
    await eventually("the new entry", () => runner.states()[0]?.state === "idle");
    expect(outputOf(await runLinkOf(runner, "model", {}))).toEqual({ by: 2 });
    expect(engine.running()).toEqual(["c1", "c2"]);
    gate.resolve();
    outputOf({ ...(await slow.done) });
    await eventually("the old one's end", () => engine.made.size === 1);
    write([]);
    await eventually("the removed one's end", () => engine.made.size === 0);
    expect(containerErrorOf(await runLinkOf(runner, "model", {}))).toContain("is not in the containers file");
  });
});

describe("a link fails with the container's id and the reason when its image", () => {
  test("cannot be pulled", async () => {
    const { runner } = open({ images: new Set(), pull: () => ({ status: 404, message: "repository does not exist" }) });
    expect(containerErrorOf(await runLinkOf(runner, "model", {}))).toBe(
      'container "model": the image team/model:1 is not here and cannot be pulled (repository does not exist): correct `image`, or load it into the engine by hand',
    );
  });

  test("cannot be pulled to its end", async () => {
    async function* broken() {
      yield '{"status":"Pulling"}\n';
      yield '{"errorDetail":{"message":"denied"},"error":"denied: no access"}\n';
    }
    const { runner } = open({ images: new Set(), pull: () => ({ lines: broken() }) });
    expect(containerErrorOf(await runLinkOf(runner, "model", {}))).toContain("cannot be pulled (denied: no access)");
  });

  test("exits at once; its last lines are told, and it is not started for ever", async () => {
    const { runner, engine } = open({ service: null, log: "loading\nno GPU found\n" });
    const message = containerErrorOf(await runLinkOf(runner, "model", {}));
    expect(message).toBe(
      'container "model": exited with 7; its last lines: loading\nno GPU found (while it was starting)',
    );
    await eventually("the rest", () => runner.states()[0]?.state === "failed");
    expect(engine.created()).toBe(3);
    expect(engine.made.size).toBe(0);
    const startedAt = performance.now();
    expect(containerErrorOf(await runLinkOf(runner, "model", {}))).toBe(message);
    expect(performance.now() - startedAt).toBeLessThan(200);
    engine.behaviour.service = () => Response.json("mended");
    await eventually(
      "a call after the rest",
      async () => (await runLinkOf(runner, "model", {})).outcome.kind === "succeeded",
    );
  });

  test("never answers", async () => {
    const { runner, engine } = open(
      { service: () => new Response("loading", { status: 503 }), log: "still loading" },
      { startup_s: 1 },
    );
    expect(containerErrorOf(await runLinkOf(runner, "model", {}))).toBe(
      'container "model": gave no answer on its port 3000 within 1 s: correct `port`, or raise `startup_s`; its last lines: still loading',
    );
    expect(engine.created()).toBeLessThanOrEqual(2);
  });

  test("dies in the middle of the call; it is started again for the next", async () => {
    const { runner, engine } = open({
      log: "out of luck",
      service: async (request) => {
        if (request.method === "GET") return new Response();
        const { data } = (await request.json()) as { data: { dies: boolean } };
        if (data.dies) engine.exit(`c${engine.created()}`, 1);
        return data.dies ? new Promise<Response>(() => undefined) : Response.json("alive");
      },
    });
    for (const dies of [1, 2]) {
      expect(containerErrorOf(await runLinkOf(runner, "model", { dies: true }))).toBe(
        'container "model": exited with 1; its last lines: out of luck (in the middle of the call)',
      );
      expect(outputOf(await runLinkOf(runner, "model", { dies: false }))).toBe("alive");
      expect(engine.created()).toBe(dies + 1);
    }
  });

  test("hangs: it is restarted when nothing is asked of it, and a call in flight is left alone", async () => {
    let isHung = false;
    const gate = Promise.withResolvers<void>();
    const service: Behaviour["service"] = async (request) => {
      if (request.method === "GET") return isHung ? new Promise<Response>(() => undefined) : new Response();
      await gate.promise;
      return Response.json("slow but sure");
    };
    const { runner, engine } = open({ service });
    const slow = begin(runner, "model", {});
    await eventually("the start", () => runner.states()[0]?.state === "running");
    isHung = true;
    await Bun.sleep(quick.watchEveryMs * 10);
    expect(engine.created()).toBe(1);
    gate.resolve();
    expect(outputOf(await slow.done)).toBe("slow but sure");
    await eventually("the restart", () => engine.created() === 2);
    isHung = false;
    await eventually("the second one", () => runner.states()[0]?.state === "running");
  });

  test("ends unnoticed: nothing of the next call has happened then, and it goes to a new one", async () => {
    const { runner, engine } = open({ tellsEnd: false }, {}, { imageTimings: { ...quick, watchEveryMs: 60_000 } });
    outputOf(await runLinkOf(runner, "model", {}));
    engine.exit("c1", 0);
    expect(runner.states()[0]?.state).toBe("running");
    expect(outputOf(await runLinkOf(runner, "model", { n: 2 }))).toEqual({ got: { n: 2 } });
    expect(engine.created()).toBe(2);
  });

  test("loses a connection while the engine hangs: the link still ends with its time", async () => {
    const { runner, engine } = open({
      service: (request) => {
        if (request.method === "GET") return new Response();
        engine.behaviour.instead = () => new Promise<Response>(() => undefined);
        for (const { server } of engine.made.values()) void server?.stop(true);
        return new Promise<Response>(() => undefined);
      },
    });
    const { outcome } = await runLinkOf(runner, "model", {}, { timeoutMs: 300 });
    expect(outcome).toEqual({ kind: "timed_out", message: 'container "model": gave no result within 0.3 s' });
    engine.behaviour.instead = null;
  });

  test("is removed by somebody else; the next call gets a new one", async () => {
    const { runner, engine } = open();
    outputOf(await runLinkOf(runner, "model", {}));
    engine.exit("c1", 0);
    engine.made.delete("c1");
    await eventually("a new one", () => engine.running().join() === "c2");
    outputOf(await runLinkOf(runner, "model", {}));
  });

  test("has a volume that is not there, or that holds the engine's socket", async () => {
    const missing = join(temporaryDirectory(), "gone");
    const { runner, engine } = open({}, { volumes: [`${missing}:/models`] });
    expect(containerErrorOf(await runLinkOf(runner, "model", {}))).toContain(
      `the volume ${missing} is not there: make it`,
    );
    const socket = engine.dockerHost.slice("unix://".length);
    const { runner: other } = runnerOf([{ ...model, volumes: [`${join(socket, "..")}:/x`] }], {
      dockerHost: engine.dockerHost,
      imageTimings: quick,
    });
    expect(containerErrorOf(await runLinkOf(other, "model", {}))).toContain("would hand out the engine's socket");
    expect(engine.created()).toBe(0);
  });

  test("is refused by the engine", async () => {
    const { runner } = open({
      instead: (request) =>
        request.url.includes("/containers/create")
          ? Response.json({ message: "invalid reference format" }, { status: 400 })
          : Response.json([]),
    });
    expect(containerErrorOf(await runLinkOf(runner, "model", {}))).toBe(
      'container "model": the engine answered 400: invalid reference format',
    );
  });
});

describe("an engine", () => {
  test("that is missing fails the link with the fix", async () => {
    const dockerHost = `unix://${join(temporaryDirectory(), "none.sock")}`;
    const { runner } = runnerOf([model], { dockerHost, imageTimings: quick });
    expect(containerErrorOf(await runLinkOf(runner, "model", {}))).toBe(
      `container "model": the container engine at ${dockerHost} is not there: start Docker or Podman, or correct DOCKER_HOST`,
    );
  });

  test("that comes later is used then", async () => {
    const { engine } = open();
    const directory = join(engine.dockerHost.slice("unix://".length), "..");
    const dockerHost = `unix://${join(directory, "later.sock")}`;
    const { runner } = runnerOf([model], { dockerHost, imageTimings: quick });
    containerErrorOf(await runLinkOf(runner, "model", {}));
    const relay = createServer((socket) => void socket.end("HTTP/1.1 500 Later\r\ncontent-length: 0\r\n\r\n"));
    await new Promise<void>((resolve) => relay.listen(join(directory, "later.sock"), resolve));
    whenFileEnds(() => Promise.resolve(void relay.close()));
    await eventually("the engine's own answer", async () =>
      containerErrorOf(await runLinkOf(runner, "model", {})).includes("the engine answered 500"),
    );
  });

  test("that hangs costs a link no more than its time, and the end of the server nothing", async () => {
    const { runner } = open({ instead: () => new Promise<Response>(() => undefined) });
    const done = await runLinkOf(runner, "model", {}, { timeoutMs: 100 });
    expect(done.outcome).toEqual({ kind: "timed_out", message: 'container "model": gave no result within 0.1 s' });
    const startedAt = performance.now();
    await runner.close();
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  test("that dies leaves running containers in use", async () => {
    const { runner, engine } = open();
    outputOf(await runLinkOf(runner, "model", {}));
    engine.die();
    await Bun.sleep(quick.watchEveryMs);
    outputOf(await runLinkOf(runner, "model", {}));
    expect(runner.states()).toEqual([{ id: "model", state: "running", reason: null }]);
  });

  test("that breaks off in the middle of an answer fails the link", async () => {
    const path = join(temporaryDirectory(), "engine.sock");
    const server = createServer((socket) => void socket.end("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[{"));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    whenFileEnds(() => Promise.resolve(void server.close()));
    const { runner } = runnerOf([model], { dockerHost: `unix://${path}`, imageTimings: quick });
    expect(containerErrorOf(await runLinkOf(runner, "model", {}))).toBe(
      `container "model": the container engine at unix://${path} broke off its answer`,
    );
  });

  test("is found by DOCKER_HOST or at a default socket", () => {
    const directory = temporaryDirectory();
    const sockets = [join(directory, "a.sock"), join(directory, "b.sock")];
    expect(() => engineAddress("", sockets)).toThrow(
      `no container engine: there is no socket at ${sockets.join(", ")}.`,
    );
    mkdirSync(join(directory, "b.sock"));
    expect(engineAddress("", sockets)).toMatchObject({ socket: sockets[1], publishedOn: "127.0.0.1", isLocal: true });
    expect(engineAddress("unix:///x/y.sock")).toMatchObject({ socket: "/x/y.sock", shown: "unix:///x/y.sock" });
    expect(engineAddress("tcp://127.0.0.1:2375")).toMatchObject({ baseUrl: "http://127.0.0.1:2375", isLocal: true });
    expect(engineAddress("tcp://engine.lan")).toMatchObject({
      ...{ baseUrl: "http://engine.lan:2375", publishedOn: "engine.lan", isLocal: false, socket: null },
    });
    expect(() => engineAddress("ssh://me@host")).toThrow("write unix:///path, tcp://host:port or https://host:port");
    expect(defaultSockets(7)).toContain("/run/user/7/podman/podman.sock");
  });

  test("is spoken to over TCP as well", async () => {
    const { engine } = open();
    const unix = engine.dockerHost.slice("unix://".length);
    const relay = Bun.serve({
      ...{ port: 0, hostname: "127.0.0.1", idleTimeout: 0 },
      fetch: async (request) => {
        const { pathname, search } = new URL(request.url);
        const body = request.method === "POST" ? await request.text() : null;
        return await fetch(`http://engine${pathname}${search}`, {
          unix,
          method: request.method,
          ...(body ? { body } : {}),
        });
      },
    });
    whenFileEnds(() => relay.stop(true));
    const { runner } = runnerOf([model], { dockerHost: `tcp://127.0.0.1:${relay.port}`, imageTimings: quick });
    expect(outputOf(await runLinkOf(runner, "model", { n: 1 }))).toEqual({ got: { n: 1 } });
    await runner.close();
    expect(engine.made.size).toBe(0);
  });
});

test("a pull that stands still is given up", async () => {
  async function* stalled() {
    yield '{"status":"Pulling"}\n';
    await new Promise(() => undefined);
  }
  const engine = fakeEngine({ pull: () => ({ lines: stalled() }) });
  whenFileEnds(() => Promise.resolve(engine.close()));
  const pull = { image: "team/big", onProgress: () => undefined, signal: new AbortController().signal, idleMs: 100 };
  await expect(pullImage(engineAddress(engine.dockerHost), pull)).rejects.toThrow("nothing came for 0.1 s");
});

test("a container's log is read with and without the engine's frames", () => {
  const frame = (stream: number, text: string) => [stream, 0, 0, 0, 0, 0, 0, text.length, ...Buffer.from(text)];
  expect(demultiplex(new Uint8Array([...frame(1, "out\n"), ...frame(2, "err\n")]))).toBe("out\nerr\n");
  expect(demultiplex(Buffer.from("plain text of a terminal"))).toBe("plain text of a terminal");
  expect(demultiplex(new Uint8Array(frame(1, "cut off").slice(0, 11)))).toBe("cut");
  expect(demultiplex(new Uint8Array())).toBe("");
});

async function* layers(image: string, engine: FakeEngine) {
  const line = (event: unknown) => `${JSON.stringify(event)}\n`;
  yield line({ status: `Pulling from ${image.split(":")[0]}` });
  yield line({ status: "Downloading", id: "a", progressDetail: { current: 1_048_576, total: 4_194_304 } });
  await Bun.sleep(1_050);
  yield `${line({ status: "Downloading", id: "b", progressDetail: { current: 2_097_152, total: 4_194_304 } })}`;
  yield line({ status: "Pull complete", id: "a" });
  engine.behaviour.images.add(image);
}
