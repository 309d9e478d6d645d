import { afterAll, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import type { Socket } from "node:net";
import type { RunRequest } from "../../src/runners/contract.ts";
import {
  begin,
  containerErrorOf,
  outputOf,
  recordingSink,
  linkRequest,
  runLinkOf,
} from "../support/containers/link-run.ts";
import { type Answer, httpAnswer, type RawService, rawService } from "../support/containers/raw-service.ts";
import { eventually, runnerOf } from "../support/containers/runner-of.ts";

const services: RawService[] = [];
afterAll(() => {
  for (const service of services) service.close();
});

async function serve(answer: Answer): Promise<RawService> {
  const service = await rawService(answer);
  services.push(service);
  return service;
}

/** One link to a service that answers like this; small answers only. */
async function linkTo(answer: Answer, given: Partial<RunRequest> = {}, entry: Record<string, unknown> = {}) {
  const service = await serve(answer);
  const { runner } = runnerOf([{ id: "under-test", url: service.url, ...entry }], { answerBytesMax: 100_000 });
  const done = await runLinkOf(runner, "under-test", { some: "object" }, given);
  return { ...done, service };
}

const bodyOf = (text: string | undefined) => (text ?? "").slice((text ?? "").indexOf("\r\n\r\n") + 4);
const json = (body: string) => (socket: Socket) => void socket.write(httpAnswer(body));

describe("a service gets", () => {
  test("the document of the container protocol, and its answer is the output", async () => {
    const done = await linkTo(json(`{"output":"hello"}`));
    expect(outputOf(done)).toEqual({ output: "hello" });
    expect(done.outcome).toMatchObject({ outputJson: `{"output":"hello"}` });
    const [request] = done.service.requests;
    expect(request).toStartWith("POST /service_output HTTP/1.1\r\n");
    expect(request?.toLowerCase()).toContain("content-type: application/json\r\n");
    expect(request?.toLowerCase()).not.toContain("authorization");
    expect(bodyOf(request)).toBe('{"source":1,"destination":1,"data":{"some":"object"},"requires_proof":false}');
    expect(done.facts).toMatchObject({ sandbox: "service", limits: null, exitCode: null });
    expect(done.facts.wallMs).toBeGreaterThan(0);
  });

  test("its bearer token, the source and the wish for a proof", async () => {
    const done = await linkTo(json("[1]"), { options: { source: 0, requiresProof: true } }, { bearer: "s3cret" });
    expect(outputOf(done)).toEqual([1]);
    expect(done.service.requests[0]).toMatch(/authorization: Bearer s3cret\r\n/i);
    expect(bodyOf(done.service.requests[0])).toContain('"source":0,"destination":1,');
    expect(bodyOf(done.service.requests[0])).toEndWith('"requires_proof":true}');
  });

  test("calls by its port on this machine, below the path of its url, over connections that are kept", async () => {
    const service = await serve(json("{}"));
    const { port } = new URL(service.url);
    const { runner } = runnerOf([
      { id: "by-port", port: Number(port) },
      { id: "by-path", url: `${service.url}/v1/` },
    ]);
    for (let times = 0; times < 5; times++) outputOf(await runLinkOf(runner, "by-port", {}));
    expect(service.connections()).toBe(1);
    outputOf(await runLinkOf(runner, "by-path", {}));
    expect(service.requests.at(-1)).toStartWith("POST /v1/service_output ");
  });

  test("a call again when it had closed the idle connection that the call went to", async () => {
    let seen = 0;
    const service = await serve((socket) => {
      seen++;
      if (seen === 2) socket.destroy();
      else socket.write(httpAnswer(`{"call":${seen}}`));
    });
    const { runner } = runnerOf([{ id: "keeps", url: service.url }]);
    expect(outputOf(await runLinkOf(runner, "keeps", {}))).toEqual({ call: 1 });
    expect(outputOf(await runLinkOf(runner, "keeps", {}))).toEqual({ call: 3 });
    expect(service.connections()).toBe(2);
  });
});

describe("a link fails with the container's id and the reason when its service", () => {
  const cases: [name: string, answer: Answer, reason: string | RegExp][] = [
    [
      "answers 500 with JSON",
      (socket) => void socket.write(httpAnswer('{"error":"no weights"}', {}, "500 Internal Server Error")),
      'answered 500 Internal Server Error: {"error":"no weights"}',
    ],
    [
      "answers 404 without a body",
      (socket) => void socket.write(httpAnswer("", {}, "404 Not Found")),
      "answered 404 Not Found",
    ],
    [
      "redirects",
      (socket) => void socket.write(httpAnswer("", { location: "http://10.0.0.1/" }, "302 Found")),
      "answered 302 Found to http://10.0.0.1/",
    ],
    [
      "answers HTML",
      (socket) => void socket.write(httpAnswer("<h1>hi</h1>", { "content-type": "text/html; charset=utf-8" })),
      /0, message='Attempt to decode JSON with unexpected mimetype: text\/html', url='http:.*<h1>hi<\/h1>/,
    ],
    ["answers wrong JSON", json('{"output": tru'), /the answer is not JSON: .*it says: \{"output": tru/],
    ["answers nothing", json(""), "answered 200 with an empty body, not JSON"],
    [
      "answers half a body",
      (socket) => void socket.end(httpAnswer('{"a":1}', { "content-length": "100" })),
      "the answer broke off",
    ],
    [
      "answers half a chunk",
      (socket) =>
        void socket.end(
          "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n7\r\n{}     \r\n",
        ),
      "the answer broke off",
    ],
    ["closes the connection", (socket) => void socket.destroy(), "closed the connection without an answer"],
    ["resets the connection", (socket) => void socket.resetAndDestroy(), "closed the connection without an answer"],
    ["speaks another protocol", (socket) => void socket.end("220 mail ready\r\n\r\n"), /closed|Cannot connect/],
    [
      "answers 500 and never ends",
      (socket) =>
        void socket.write("HTTP/1.1 500 No\r\ncontent-type: text/plain\r\ncontent-length: 900\r\n\r\nbecause"),
      "answered 500 No: because",
    ],
  ];
  test.each(cases)("%s", async (_name, answer, reason) => {
    const message = containerErrorOf(await linkTo(answer));
    expect(message).toStartWith('container "under-test": ');
    expect(message).toMatch(reason);
  });

  test("is down", async () => {
    const service = await rawService(json("{}"));
    service.close();
    const { runner } = runnerOf([{ id: "down", url: service.url }]);
    const message = containerErrorOf(await runLinkOf(runner, "down", {}));
    expect(message).toBe(
      `container "down": Cannot connect to host ${new URL(service.url).host}: nothing listens there. Start the service, or correct its port`,
    );
  });

  test("is at a name that does not exist", async () => {
    const { runner } = runnerOf([{ id: "lost", url: "http://nowhere.invalid:3000" }]);
    const message = containerErrorOf(await runLinkOf(runner, "lost", {}));
    expect(message).toStartWith('container "lost": Cannot connect to host nowhere.invalid:3000');
  });

  test("answers 500 with a megabyte, of which the start is told", async () => {
    const message = containerErrorOf(
      await linkTo((socket) => void socket.write(httpAnswer("x".repeat(1_000_000), {}, "500 No"))),
    );
    expect(message.length).toBeLessThan(2_100);
    expect(message).toEndWith("xxx…");
  });

  test("answers a gigabyte, of which little is read", async () => {
    let written = 0;
    const flood = (socket: Socket) => {
      const piece = Buffer.alloc(65_536, 0x20);
      socket.write(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${2 ** 30}\r\n\r\n`);
      const more = () => {
        while (!socket.destroyed && written < 2 ** 30) {
          written += piece.length;
          if (!socket.write(piece)) break;
        }
      };
      socket.on("drain", more);
      more();
    };
    const done = await linkTo(flood);
    expect(containerErrorOf(done)).toBe('container "under-test": the answer has more than 100000 bytes');
    expect(written).toBeLessThan(2 ** 26);
  });

  test("answers a compressed bomb", async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000, 0x20));
    const done = await linkTo((socket) => {
      socket.write(httpAnswer("", { "content-encoding": "gzip", "content-length": String(bomb.length) }));
      socket.write(bomb);
    });
    expect(containerErrorOf(done)).toContain("the answer has more than 100000 bytes");
  });
});

describe("a link", () => {
  test("to a container that is not in the file fails with the reason", async () => {
    const { runner } = runnerOf([]);
    expect(containerErrorOf(await runLinkOf(runner, "gone", {}))).toContain(
      "is not in the containers file of this node",
    );
  });

  test.each([
    ["says nothing", () => undefined],
    ["answers half and waits", (socket: Socket) => void socket.write(httpAnswer("{", { "content-length": "9" }))],
  ])("whose service %s ends with its time", async (_name, answer) => {
    const done = await linkTo(answer, { timeoutMs: 200 });
    expect(done.outcome).toEqual({ kind: "timed_out", message: 'container "under-test": gave no result within 0.2 s' });
  });

  test.each([
    ["cancelled", "cancelled"],
    ["interrupted", "interrupted"],
    ["fenced", "interrupted"],
    ["timed_out", "timed_out"],
  ] as const)("that is stopped as %s ends so, and its connection is closed", async (reason, kind) => {
    let open: Socket | null = null;
    const service = await serve((socket) => {
      open = socket;
    });
    const { runner } = runnerOf([{ id: "slow", url: service.url }]);
    const run = begin(runner, "slow", {});
    await eventually("the request", () => open !== null);
    run.stop(reason);
    run.stop("cancelled");
    expect((await run.done).outcome.kind).toBe(kind);
    await eventually("the connection's end", () => open?.destroyed === true);
  });

  test("of ten megabytes reaches the service whole", async () => {
    const { runner } = runnerOf([{ id: "big", url: (await lengths()).url }], { answerBytesMax: 20_000_000 });
    const text = "x".repeat(10_000_000);
    expect(outputOf(await runLinkOf(runner, "big", { text }))).toEqual({ length: text.length });
  });

  test("among hundreds at once gets its own answer", async () => {
    const { runner } = runnerOf([{ id: "many", url: (await lengths()).url }]);
    const all = Array.from({ length: 300 }, async (_, at) => {
      const done = await runLinkOf(runner, "many", { text: "y".repeat(at) });
      expect(outputOf(done)).toEqual({ length: at });
    });
    await Promise.all(all);
  });
});

describe("a stream", () => {
  test("hands on the bytes as they come and keeps the whole text as the output", async () => {
    const gate = Promise.withResolvers<void>();
    const service = await serve(async (socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n4\r\none \r\n");
      await gate.promise;
      socket.write("1\r\n\xc3\r\n", "latin1");
      socket.write("4\r\n\xa9two\r\n0\r\n\r\n", "latin1");
    });
    const { runner } = runnerOf([{ id: "talks", url: service.url }]);
    const recorded = recordingSink();
    const run = runner.start(linkRequest("talks", { a: 1 }, { options: { stream: true } }), recorded.sink);
    await eventually("the first piece", () => recorded.streamed.join("") === "one ");
    gate.resolve();
    expect(outputOf(await run.done)).toEqual({ output: "one étwo" });
    expect(recorded.streamed.join("")).toBe("one étwo");
    expect(bodyOf(service.requests[0])).toBe('{"source":1,"destination":2,"data":{"a":1}}');
  });

  test("waits for a reader that asks for time", async () => {
    const service = await serve((socket) => void socket.write(httpAnswer("x".repeat(50_000))));
    const { runner } = runnerOf([{ id: "talks", url: service.url }]);
    const gate = Promise.withResolvers<void>();
    const recorded = recordingSink(() => gate.promise);
    const run = runner.start(linkRequest("talks", {}, { options: { stream: true } }), recorded.sink);
    await eventually("the first piece", () => recorded.streamed.length > 0);
    const isDone = await Promise.race([run.done.then(() => true), Bun.sleep(50).then(() => false)]);
    expect(isDone).toBe(false);
    gate.resolve();
    expect(outputOf(await run.done)).toEqual({ output: "x".repeat(50_000) });
  });

  test("that breaks off is a failure, with what came before already handed on", async () => {
    const open: Socket[] = [];
    const service = await serve((socket) => {
      open.push(socket);
      socket.write(httpAnswer("half", { "content-length": "9" }));
    });
    const { runner } = runnerOf([{ id: "talks", url: service.url }]);
    const recorded = recordingSink();
    const run = runner.start(linkRequest("talks", {}, { options: { stream: true } }), recorded.sink);
    await eventually("the first half", () => recorded.streamed.join("") === "half");
    open[0]?.destroy();
    expect(containerErrorOf(await run.done)).toContain("the answer broke off");
  });

  test("that is refused or does not end is a failure", async () => {
    const refused = await linkTo((socket) => void socket.write(httpAnswer("no", {}, "503 Busy")), {
      options: { stream: true },
    });
    expect(containerErrorOf(refused)).toContain("answered 503 Busy: no");
    expect(refused.streamed).toEqual([]);
    const endless = await linkTo((socket) => void socket.write(httpAnswer("z".repeat(200_000))), {
      options: { stream: true },
    });
    expect(containerErrorOf(endless)).toContain("more than 100000 bytes");
  });
});

test("a link adds less than 2 ms to a bare fetch of the same service", async () => {
  const service = await lengths();
  const { runner } = runnerOf([{ id: "fast", url: service.url }]);
  const bare = async () => {
    const body = '{"source":1,"destination":1,"data":{"text":"abc"},"requires_proof":false}';
    const answer = await fetch(`${service.url}/service_output`, { method: "POST", body });
    await answer.json();
  };
  const link = async () => void outputOf(await runLinkOf(runner, "fast", { text: "abc" }));
  await medianMs(link, 50);
  const extra = (await medianMs(link, 200)) - (await medianMs(bare, 200));
  expect(extra).toBeLessThan(2);
});

async function medianMs(act: () => Promise<void>, times: number): Promise<number> {
  const taken: number[] = [];
  for (let time = 0; time < times; time++) {
    const startedAt = performance.now();
    await act();
    taken.push(performance.now() - startedAt);
  }
  return taken.sort((a, b) => a - b)[times >> 1] ?? 0;
}

/** A real HTTP service that answers with the length of `data.text`. */
async function lengths(): Promise<{ url: string }> {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const { data } = (await request.json()) as { data: { text: string } };
      return Response.json({ length: data.text.length });
    },
  });
  services.push({ url: "", requests: [], connections: () => 0, close: () => void server.stop(true) });
  return { url: `http://127.0.0.1:${server.port}` };
}
