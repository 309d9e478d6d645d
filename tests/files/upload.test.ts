import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { scratch } from "./scratch.ts";

const directory = scratch();
const peakMbMax = 150;
let server: Bun.Subprocess<"ignore", "pipe", "inherit">;
let url = "";

type Facts = { rssMb: number; descriptors: string[]; staged: string[] };

beforeAll(async () => {
  server = Bun.spawn([process.execPath, join(import.meta.dir, "file-server.ts"), directory], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
    env: {},
  });
  const { value } = await server.stdout.getReader().read();
  url = `http://127.0.0.1:${new TextDecoder().decode(value).trim()}`;
});

afterAll(async () => {
  server.kill("SIGKILL");
  await server.exited;
});

test("10,000 files in one request are all kept", async () => {
  const parts = Array.from({ length: 10_000 }, (_, index) => part(`f${index}.txt`, `content ${index}`));
  const answer = await fetch(`${url}/upload`, form(`${parts.join("")}--b--\r\n`));
  const { id, files } = (await answer.json()) as { id: number; files: number };
  expect(files).toBe(10_000);
  const kept = join(directory, "payloads", String(id));
  expect(readdirSync(kept)).toHaveLength(10_000);
  expect(readFileSync(join(kept, "f9999.txt"), "utf8")).toBe("content 9999");
}, 60_000);

test("one file more is 413, and nothing is kept", async () => {
  const parts = Array.from({ length: 501 }, (_, index) => part(`f${index}.txt`, ""));
  const answer = await fetch(`${url}/upload?files=500`, form(`${parts.join("")}--b--\r\n`));
  expect(answer.status).toBe(413);
  expect(await answer.json()).toEqual({ error: "The upload has more than 500 files" });
  expect((await facts()).staged).toEqual([]);
}, 60_000);

test("a large file is kept whole and does not show in memory", async () => {
  const chunk = Buffer.alloc(1_048_576, "0123456789abcdef");
  const megabytes = 256;
  const hash = new Bun.CryptoHasher("sha256");
  const before = (await facts()).rssMb;
  const socket = await startUpload(megabytes * chunk.length);
  for (let sent = 0; sent < megabytes; sent += 1) {
    hash.update(chunk);
    await send(socket, chunk);
  }
  await send(socket, ending);
  const answer = await answerOf(socket);
  expect(answer).toContain(`"bytes":${megabytes * chunk.length}`);
  expect(answer).toContain(hash.digest("hex"));
  expect(peakMb() - before).toBeLessThan(peakMbMax);
}, 60_000);

test("a result zip of incompressible data reaches a slow reader without showing in memory", async () => {
  const random = crypto.getRandomValues(new Uint8Array(65_536));
  const socket = await startUpload(192 * 1_048_576);
  for (let sent = 0; sent < 192 * 16; sent += 1) {
    random.set(new Uint8Array(new Uint32Array([sent]).buffer), 0);
    await send(socket, Buffer.from(random));
  }
  await send(socket, ending);
  const id = Number(/"id":(\d+)/.exec(await answerOf(socket))?.[1]);
  const before = (await facts()).rssMb;
  const reader = (await fetch(`${url}/zip/${id}`)).body?.getReader();
  let bytes = 0;
  let chunks = 0;
  for (let chunk = await reader?.read(); chunk?.value !== undefined; chunk = await reader?.read()) {
    bytes += chunk.value.length;
    chunks += 1;
    // Short stops let the server run far ahead if nothing holds it back.
    if (chunks % 50 === 0) await Bun.sleep(2);
  }
  expect(bytes).toBeGreaterThan(192 * 1_048_576);
  expect((await facts()).rssMb - before).toBeLessThan(peakMbMax);
}, 60_000);

test("30 uploads that break off leave no file and no open descriptor", async () => {
  const before = await facts();
  for (let attempt = 0; attempt < 30; attempt += 1) {
    const socket = await startUpload(10_000_000);
    await send(socket, Buffer.alloc(attempt * 40_000, "x"));
    if (attempt % 3 === 0) socket.resetAndDestroy();
    else socket.destroy();
  }
  const after = await until(facts, ({ staged, descriptors }) => staged.length === 0 && descriptors.length === 0);
  expect(after.descriptors).toEqual(before.descriptors);
}, 60_000);

test("30 downloads that break off leave no open descriptor", async () => {
  const answer = await fetch(`${url}/upload`, form(`${part("big", "x".repeat(20_000_000))}--b--\r\n`));
  const { id } = (await answer.json()) as { id: number };
  for (let attempt = 0; attempt < 30; attempt += 1) {
    const left = new AbortController();
    const download = await fetch(`${url}/zip/${id}`, { signal: left.signal });
    if (attempt % 2 === 0) await download.body?.getReader().read();
    left.abort();
  }
  await until(facts, ({ descriptors }) => descriptors.length === 0);
}, 60_000);

test("a refused upload gets its answer while the client still sends", async () => {
  const body = `${part("..", "1")}${part("big", "x".repeat(5_000_000))}--b--\r\n`;
  const answer = await fetch(`${url}/upload`, form(body));
  expect(answer.status).toBe(400);
  expect(await answer.json()).toEqual({ error: 'The file name ".." is a directory, not a name' });
});

const ending = Buffer.from("\r\n--b--\r\n");

function part(name: string, content: string): string {
  return `--b\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\n\r\n${content}\r\n`;
}

function form(body: string): RequestInit {
  return { method: "POST", headers: { "content-type": "multipart/form-data; boundary=b" }, body };
}

async function facts(): Promise<Facts> {
  return (await (await fetch(`${url}/facts`)).json()) as Facts;
}

function peakMb(): number {
  const status = readFileSync(`/proc/${server.pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1_024;
}

/** A request as far as the content of its one file. */
async function startUpload(bytes: number): Promise<Socket> {
  const { port } = new URL(url);
  const socket = connect(Number(port), "127.0.0.1");
  socket.on("error", () => {
    // A socket that was cut on purpose says so.
  });
  await new Promise((resolve) => socket.once("connect", resolve));
  const head = part("big.bin", "").slice(0, -2);
  const length = head.length + bytes + ending.length;
  const type = "Content-Type: multipart/form-data; boundary=b";
  await send(
    socket,
    Buffer.from(`POST /upload HTTP/1.1\r\nHost: x\r\n${type}\r\nContent-Length: ${length}\r\n\r\n${head}`),
  );
  return socket;
}

function send(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => socket.write(bytes, () => resolve()));
}

async function answerOf(socket: Socket): Promise<string> {
  const [data] = (await new Promise((resolve) => socket.once("data", (chunk) => resolve([chunk])))) as [Buffer];
  socket.destroy();
  return data.toString();
}

async function until<T>(read: () => Promise<T>, isRight: (value: T) => boolean): Promise<T> {
  const deadline = Date.now() + 10_000;
  let value = await read();
  while (!isRight(value)) {
    if (Date.now() > deadline) throw new Error(`Waited 10 s for this to change: ${JSON.stringify(value)}`);
    await Bun.sleep(20);
    value = await read();
  }
  return value;
}
