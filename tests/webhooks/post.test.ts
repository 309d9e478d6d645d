import { afterEach, describe, expect, test } from "bun:test";
import { parseNetworks } from "../../src/webhooks/networks.ts";
import { post, type PostRequest } from "../../src/webhooks/post.ts";
import { type RawReceiver, startRawReceiver, startReceiver } from "./support/receiver.ts";

const allow = parseNetworks(["127.0.0.1"]);
const open: { close(): void }[] = [];
const keep = <T extends { close(): void }>(resource: T): T => {
  open.push(resource);
  return resource;
};
afterEach(() => {
  for (const resource of open.splice(0)) resource.close();
});

const call = (receiver: { url: string }, changes: Partial<PostRequest> = {}) =>
  post({ url: receiver.url, headers: {}, body: "{}", timeoutMs: 3_000, allow, ...changes });

describe("a request", () => {
  test("carries the URL's host, path and query, the headers given and exactly the body", async () => {
    const receiver = keep(startReceiver(200));
    const body = '{"text":"ünï 𝄞"}';
    await call(receiver, {
      url: `http://hooks.test:${receiver.port}/a/b?c=d%20e#f`,
      headers: {
        "content-type": "application/json",
        "User-Agent": "Andera",
        Authorization: "Bearer t",
        "webhook-id": "1",
      },
      body,
      resolve: async () => ["127.0.0.1"],
    });
    const [head = "", sent] = receiver.requests[0]?.split("\r\n\r\n") ?? [];
    expect(head.split("\r\n")[0]).toBe("POST /a/b?c=d%20e HTTP/1.1");
    expect(headersOf(head)).toEqual({
      host: `hooks.test:${receiver.port}`,
      "content-type": "application/json",
      "user-agent": "Andera",
      authorization: "Bearer t",
      "webhook-id": "1",
      accept: "*/*",
      "accept-encoding": "identity",
      connection: "close",
      "content-length": String(Buffer.byteLength(body)),
    });
    expect(sent).toBe(body);
  });

  test("is made on a connection of its own", async () => {
    const receiver = keep(
      startRawReceiver((socket) => {
        socket.write("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok");
      }),
    );
    for (let round = 0; round < 3; round++) expect((await call(receiver)).kind).toBe("answered");
    expect(receiver.connections).toBe(3);
  });

  test("ends as interrupted when its caller stops, before, while and without an answer", async () => {
    const receiver = keep(startRawReceiver(() => controller.abort()));
    const controller = new AbortController();
    expect(await call(receiver, { signal: controller.signal })).toEqual({ kind: "interrupted" });
    expect(await call(receiver, { signal: AbortSignal.abort() })).toEqual({ kind: "interrupted" });
    expect(receiver.connections).toBe(1);
  });
});

describe("an answer", () => {
  test.each([200, 204, 299, 301, 400, 410, 429, 500, 503, 999])("%d is reported as it is", async (status) => {
    const receiver = keep(startReceiver(status, {}, status === 204 ? "" : "thanks"));
    const outcome = await call(receiver);
    const responseText = status === 204 ? "" : "thanks";
    expect(outcome).toEqual({ kind: "answered", status, durationMs: expect.any(Number), responseText });
  });

  test.each([
    ["120", 120],
    ["soon", undefined],
    [new Date(Date.now() + 90_000).toUTCString(), 90],
  ])("Retry-After %j is %p seconds", async (value, seconds) => {
    const outcome = await call(keep(startReceiver(503, { "retry-after": String(value) })));
    if (outcome.kind !== "answered") throw new Error(`not answered but ${outcome.kind}`);
    const near = seconds === undefined ? [undefined] : [seconds, seconds - 1, seconds - 2];
    expect(near).toContain(outcome.retryAfterS);
  });

  const texts: [string, string, string][] = [
    ["longer than 1 kB", "a".repeat(5_000), "a".repeat(1_024)],
    ["with a character across the cut", `${"a".repeat(1_023)}ü`, "a".repeat(1_023)],
    ["with control characters", "a\0b\u001b[31mc\r\n\td", "a\uFFFDb\uFFFD[31mc\r\n\td"],
  ];
  test.each(texts)("%s is kept as a text that can be stored", async (_, body, expected) => {
    const outcome = await call(keep(startReceiver(200, {}, body)));
    expect(outcome).toMatchObject({ kind: "answered", responseText: expected });
  });

  test("that is packed is neither unpacked nor kept", async () => {
    const bomb = Bun.gzipSync(Buffer.alloc(100 * 1_024 * 1_024));
    const receiver = keep(gzipReceiver(bomb));
    const before = process.memoryUsage().rss;
    const outcome = await call(receiver);
    expect(outcome).toMatchObject({ kind: "answered", status: 200, responseText: "(an encoded answer)" });
    expect(process.memoryUsage().rss - before).toBeLessThan(50 * 1_024 * 1_024);
  });
});

test("an answer that only claims to be packed is an answer", async () => {
  const outcome = await call(keep(startReceiver(200, { "content-encoding": "gzip" }, "not gzip")));
  expect(outcome).toMatchObject({ kind: "answered", status: 200 });
});

describe("a redirect is an answer and is not followed", () => {
  const statuses = [301, 302, 303, 307, 308];
  const places = (victim: RawReceiver, own: string) => [victim.url, `//127.0.0.1:${victim.port}/hook`, own];
  const cases = statuses.flatMap((status) => [0, 1, 2].map((place): [number, number] => [status, place]));
  test.each(cases)("%d to place %d", async (status, place) => {
    const victim = keep(startReceiver(200));
    let location = "";
    const receiver = keep(
      startRawReceiver((socket) => {
        socket.end(`HTTP/1.1 ${status} Moved\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`);
      }),
    );
    location = places(victim, receiver.url)[place] ?? "";
    expect(await call(receiver)).toMatchObject({ kind: "answered", status });
    expect([receiver.connections, victim.connections]).toEqual([1, 0]);
  });
});

test("proxies of the environment are passed by, set before or after the start", async () => {
  const receiver = keep(startReceiver(200));
  const proxy = keep(startReceiver(200));
  const proxyUrl = `http://127.0.0.1:${proxy.port}`;
  const variables = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
  const proxies = Object.fromEntries(variables.map((name) => [name, proxyUrl]));
  const source = new URL("./support/post-once.ts", import.meta.url).pathname;
  for (const [atStart, atRunTime] of [
    [proxies, {}],
    [{}, proxies],
  ]) {
    const child = Bun.spawn([process.execPath, source, receiver.url, JSON.stringify(atRunTime)], {
      env: { PATH: process.env.PATH ?? "", ...atStart },
      stdout: "pipe",
    });
    expect(JSON.parse(await child.stdout.text())).toMatchObject({ outcome: { kind: "answered" }, viaFetch: true });
  }
  expect(receiver.connections).toBe(2);
  // The plain fetch of the child shows that the proxy was really in force.
  expect(proxy.connections).toBe(2);
});

function headersOf(head: string): Record<string, string> {
  const lines = head
    .split("\r\n")
    .slice(1)
    .map((line) => line.split(": "));
  return Object.fromEntries(lines.map(([name = "", value = ""]) => [name.toLowerCase(), value]));
}

function gzipReceiver(bytes: Uint8Array): RawReceiver {
  return startRawReceiver((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${bytes.length}\r\n\r\n`);
    socket.write(bytes);
    socket.end();
  });
}
