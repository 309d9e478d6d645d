import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { decodePayload, type StrictPayload } from "../support/strict-payload.ts";
import { until } from "../support/until.ts";
import { givenDatabase } from "./given-database.ts";
import { scratchDirectory, type ServerProcess, spawnServer } from "./server-process.ts";

setDefaultTimeout(90_000);

test("past MAX_AGE the files of a payload go, and its client is told that they were cleaned", async () => {
  const { server, dataDir, sql } = await serve({ MAX_AGE: "2" });
  const { id } = await submit(server, { "run.sh": "echo done > end.txt" });
  await until("it is completed", () => isZip(server, id), { withinMs: 20_000 });
  const directory = join(dataDir, "payloads", String(id));
  expect(existsSync(directory)).toBe(true);
  await until("it is cleaned", async () => (await poll(server, id))?.status === "Cleaned", { withinMs: 20_000 });
  await until("its files are gone", () => !existsSync(directory));
  expect(decodePayload(await (await server.call(`/retrieve_partial/${id}`)).json()).status).toBe("Cleaned");
  await until("its job is forgotten", async () => (await sql`select 1 from jobs`).length === 0, { withinMs: 20_000 });
  expect((await server.call(`/retrieve/${id}`)).status).toBe(404);
  expect(await server.stop()).toBe(0);
});

test("clients that go in the middle of an upload or a download leave no file, no row and no descriptor", async () => {
  const { server, dataDir, sql } = await serve();
  const { id } = await submit(server, { "run.sh": "head -c 20000000 /dev/urandom > large" });
  await until("it is completed", () => isZip(server, id), { withinMs: 20_000, everyMs: 50 });
  await leaveOften(server, id, 2);
  await until("all is quiet", () => stagedIn(dataDir).length === 0, { withinMs: 20_000 });
  const before = filesOpenIn(server.pid, dataDir);
  await leaveOften(server, id, 10);
  await until("what was staged is gone", () => stagedIn(dataDir).length === 0, { withinMs: 20_000 });
  await until("no more files are open than before", () => filesOpenIn(server.pid, dataDir) <= before, {
    withinMs: 20_000,
  });
  expect(readdirSync(join(dataDir, "payloads"))).toEqual([String(id)]);
  expect(await sql`select 1 from jobs`).toHaveLength(1);
  expect(await isZip(server, id)).toBe(true);
  expect(await server.stop()).toBe(0);
});

test("50 scripts at once all run at the same time, and /livez answers as ever", async () => {
  const { server } = await serve({ SCRIPT_SLOTS: "50" });
  const isOver = Promise.withResolvers<void>();
  const watched = watchLivez(server, isOver.promise);
  const script = 'echo "::progress 0.5 begun"; sleep 120';
  const submitted = await Promise.all(Array.from({ length: 50 }, () => submit(server, { "run.sh": script })));
  const running = async () => (await statuses(server, submitted)).filter((status) => status === "Running").length;
  await until("all 50 run", async () => (await running()) === 50, { withinMs: 60_000, everyMs: 100 });
  await Promise.all(submitted.map(({ id }) => server.call(`/kill/${id}`, { method: "POST" })));
  const isKilled = async () => (await statuses(server, submitted)).every((status) => status === "Killed");
  await until("all have ended", isKilled, { withinMs: 60_000, everyMs: 100 });
  isOver.resolve();
  const times = (await watched).toSorted((a, b) => a - b);
  console.log(
    `livez under 50 scripts: median ${at(times, 0.5)} ms, p99 ${at(times, 0.99)} ms, most ${at(times, 1)} ms`,
  );
  expect(times.length).toBeGreaterThan(20);
  expect(at(times, 0.5)).toBeLessThan(250);
  expect(at(times, 1)).toBeLessThan(2_000);
  expect(await server.stop()).toBe(0);
});

async function serve(more: Record<string, string> = {}) {
  const dataDir = scratchDirectory("data");
  const { sql, url } = await givenDatabase();
  const server = await spawnServer({ DATA_DIR: dataDir, DATABASE_URL: url, ...more }).ready();
  return { server, dataDir, sql };
}

async function submit(server: ServerProcess, files: Record<string, string>): Promise<StrictPayload> {
  const form = new FormData();
  for (const [name, content] of Object.entries(files)) form.append(name, new File([content], name));
  const response = await server.call("/submit", { method: "POST", body: form });
  expect(response.status).toBe(200);
  return decodePayload(await response.json());
}

/** Null once there is a zip. */
async function poll(server: ServerProcess, id: number): Promise<StrictPayload | null> {
  const response = await server.call(`/retrieve/${id}`);
  if (response.headers.get("content-type") !== "application/zip") return decodePayload(await response.json());
  await response.body?.cancel();
  return null;
}

async function isZip(server: ServerProcess, id: number): Promise<boolean> {
  return (await poll(server, id)) === null;
}

async function statuses(server: ServerProcess, payloads: StrictPayload[]): Promise<(string | undefined)[]> {
  return Promise.all(payloads.map(async ({ id }) => (await poll(server, id))?.status));
}

/** Ends connections once the server is at work on them. */
async function leaveOften(server: ServerProcess, id: number, times: number): Promise<void> {
  const dials = Array.from({ length: times }, () => [beginUpload(server), beginDownload(server, id)]).flat();
  for (const socket of await Promise.all(dials)) socket.destroy();
}

async function beginUpload(server: ServerProcess): Promise<Socket> {
  const { hostname, port, host } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  const disposition = 'Content-Disposition: form-data; name="f"; filename="run.sh"';
  socket.write(
    `POST /submit HTTP/1.1\r\nhost: ${host}\r\ncontent-type: multipart/form-data; boundary=b\r\n` +
      `content-length: 9000000\r\n\r\n--b\r\n${disposition}\r\n\r\n`,
  );
  await new Promise((resolve) => socket.write(Buffer.alloc(4_000_000, "x"), resolve));
  return socket;
}

async function beginDownload(server: ServerProcess, id: number): Promise<Socket> {
  const { hostname, port, host } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  socket.write(`GET /retrieve/${id} HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
  await new Promise((resolve) => socket.once("data", resolve));
  socket.pause();
  return socket;
}

function stagedIn(dataDir: string): string[] {
  return readdirSync(join(dataDir, "staging"));
}

/** Descriptors of the process that lead below the directory. */
function filesOpenIn(pid: number, dataDir: string): number {
  const listed = Bun.spawnSync(["ls", "-l", `/proc/${pid}/fd`])
    .stdout.toString()
    .split("\n");
  return listed.filter((line) => line.includes(dataDir)).length;
}

/** How long `/livez` took, in ms, asked again and again until `end`. */
async function watchLivez(server: ServerProcess, end: Promise<void>): Promise<number[]> {
  let isOver = false;
  void end.then(() => {
    isOver = true;
  });
  const times: number[] = [];
  while (!isOver) {
    const startedMs = performance.now();
    expect((await server.call("/livez")).status).toBe(200);
    times.push(performance.now() - startedMs);
    await Bun.sleep(20);
  }
  return times;
}

function at(sorted: number[], share: number): number {
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN);
}
