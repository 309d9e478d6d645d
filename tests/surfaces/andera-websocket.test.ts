import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { connect } from "node:net";
import { join } from "node:path";
import { type Service, startService } from "../support/service.ts";
import { type Balancer, connectBalancer, discover } from "./support/balancer.ts";

const key = "worker-key";
const lbKey = "balancer-key";
let service: Service;
let websocketPort: number;

beforeAll(async () => {
  websocketPort = await freePort();
  service = await startService({
    AUTH_KEY: key,
    LB_AUTH_KEY: lbKey,
    SLOTS: "2",
    WEBSOCKET_PORT: String(websocketPort),
    FUNCTIONS_DIR: join(import.meta.dir, "../support/functions"),
  });
});
afterAll(() => service.stop());

describe("a load balancer", () => {
  test("discovers the worker by its health and learns its slots by its socket", async () => {
    const worker = await discover(service.url, lbKey);
    expect(worker).toMatchObject({ status: "ready", group: "default", contract: 1, websocketPort });
    expect(worker.functions.map(({ name }) => name)).toContain("greet");
    await using balancer = await connectBalancer(service.url, worker.websocketPort, lbKey);
    // At its start the worker holds all slots while it asks the queue what waits.
    await balancer.state(({ slots }) => slots.used === 0);
    expect(await balancer.ping()).toEqual({ status: "ready", slots: { used: 0, available: 2, limit: 2, queue: 0 } });
  });

  test("is told when a slot is taken, when it is free again, and of maintenance", async () => {
    await using balancer = await open();
    const running = task("naps", { ms: 500 });
    expect((await balancer.state(({ slots }) => slots.used === 1)).slots).toEqual({
      used: 1,
      available: 1,
      limit: 2,
      queue: 0,
    });
    expect((await running).status).toBe(200);
    await balancer.state(({ slots }) => slots.used === 0);
    await service.call("/off", { method: "POST", headers: { authorization: key } });
    expect(await balancer.state(({ status }) => status === "maintenance")).toMatchObject({ slots: { available: 0 } });
    await service.call("/on", { method: "POST", headers: { authorization: key } });
    await balancer.state(({ status, slots }) => status === "ready" && slots.available === 2);
  });

  test("hears of it every second, though nothing changes", async () => {
    await using balancer = await open();
    const from = balancer.pushes().length;
    // Some may be what is left of a change before.
    await balancer.state(() => balancer.pushes().length >= from + 5);
  });

  test("gets no answer to other words, and stays connected", async () => {
    await using balancer = await open();
    for (const words of ["pong", "PING", "", "{}", '{"type":"ping"}', "ping "]) balancer.send(words);
    expect(await balancer.ping()).toMatchObject({ status: "ready" });
    expect(balancer.answers()).toBe(1);
  });

  test("routes by what it was told: the task it sends is done", async () => {
    const response = await service.post(
      "/task",
      { function: "greet", input: { name: "Ada" }, contract: 1, mode: "sync", group: "default", _taskId: "x" },
      { authorization: key, "x-lb-auth": lbKey },
    );
    expect(await response.json()).toEqual({ success: true, result: { message: "Hello Ada!" } });
  });
});

describe("the handshake", () => {
  test("echoes the key as the chosen subprotocol", async () => {
    const head = await handshake({ "Sec-WebSocket-Protocol": lbKey });
    expect(head).toStartWith("HTTP/1.1 101");
    expect(head.toLowerCase()).toContain(`sec-websocket-protocol: ${lbKey}\r\n`);
  });

  test.each([
    ["a wrong key", ["wrong-key"]],
    ["no key", []],
    ["the key among others", ["other", lbKey]],
    ["the worker's key", [key]],
  ])("with %s ends in 4001 Unauthorized", async (_name, protocols) => {
    const socket = new WebSocket(`ws://127.0.0.1:${websocketPort}/any/path`, protocols);
    const heard: unknown[] = [];
    socket.addEventListener("message", ({ data }) => heard.push(data));
    const { promise, resolve } = Promise.withResolvers<CloseEvent>();
    socket.addEventListener("close", resolve);
    const { code, reason } = await promise;
    expect([code, reason]).toEqual([4001, "Unauthorized"]);
    expect(heard).toEqual([]);
  });

  test("is asked for where there is none", async () => {
    const response = await fetch(`http://127.0.0.1:${websocketPort}/`);
    expect(response.status).toBe(426);
  });
});

function open(): Promise<Balancer> {
  return connectBalancer(service.url, websocketPort, lbKey);
}

function task(name: string, input: object): Promise<Response> {
  return service.post("/task", { function: name, input }, { authorization: key });
}

/** The head of the answer to a handshake, and the proof that it was understood. */
async function handshake(headers: Record<string, string>): Promise<string> {
  const nonce = randomBytes(16).toString("base64");
  const socket = connect(websocketPort, "127.0.0.1");
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(
    `GET / HTTP/1.1\r\nHost: 127.0.0.1:${websocketPort}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${nonce}\r\n${lines.join("")}\r\n`,
  );
  let head = "";
  for await (const chunk of socket) {
    head += (chunk as Buffer).toString("latin1");
    if (head.includes("\r\n\r\n")) break;
  }
  socket.destroy();
  const proof = createHash("sha1").update(`${nonce}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  expect(head).toContain(proof);
  return `${head.split("\r\n\r\n")[0]}\r\n`;
}

/** Health names the port that was set: one that the system chooses would be unknown to balancers. */
async function freePort(): Promise<number> {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("") });
  const port = server.port ?? 0;
  await server.stop(true);
  return port;
}
