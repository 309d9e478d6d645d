import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { unzipSync } from "fflate";
import { until } from "../support/until.ts";
import { givenDatabase } from "./given-database.ts";
import { scratchDirectory, type ServerProcess, spawnServer, supportFunctions } from "./server-process.ts";

setDefaultTimeout(90_000);

const tasks = 100;

test("100 tasks that were accepted before a kill all end after the next start, each result recorded once", async () => {
  const room = await makeRoom();
  const first = await room.serve();
  const calls = Array.from({ length: tasks }, (_, at) =>
    first.post("/api/v1/jobs", { id: `task-${at}`, function: "naps", input: { ms: 200 } }),
  );
  expect((await Promise.all(calls)).every(({ status }) => status === 202)).toBe(true);
  const { sql } = room;
  const count = async (status: string) =>
    Number((await sql`select count(*) as n from jobs where status = ${status}`)[0]?.["n"]);
  await until("some have ended, some run, some wait", async () => {
    return (await count("succeeded")) >= 10 && (await count("running")) > 0 && (await count("queued")) > 0;
  });
  await first.kill();
  const recorded = await count("succeeded");
  expect(recorded).toBeLessThan(tasks);
  const second = await room.serve();
  await until("all have ended", async () => (await count("succeeded")) === tasks, { withinMs: 60_000 });
  const twice = await sql`select 1 from runs where outcome = 'succeeded' group by job_id having count(*) <> 1`;
  expect(twice).toHaveLength(0);
  const [runs] = await sql`select count(*) filter (where outcome = 'succeeded')::int as succeeded,
    count(*) filter (where outcome = 'lost')::int as lost, count(*)::int as ended from runs`;
  expect(runs).toMatchObject({ succeeded: tasks, ended: tasks + Number(runs?.["lost"]) });
  expect(Number(runs?.["lost"])).toBeGreaterThan(0);
  const [results] = await sql`select count(*)::int as n from (
    select e.job_id from events e, json_array_elements(e.lines) l where l->>'k' = 'completed' group by e.job_id having count(*) = 1) x`;
  expect(results).toEqual({ n: tasks });
  expect(await second.stop()).toBe(0);
});

test("a script that runs when its server is killed ends with it, is run again and reaches its end", async () => {
  const room = await makeRoom();
  const first = await room.serve();
  const marker = `${3_000_000 + process.pid}`;
  const script = `echo begun >> begun; sleep 4 & if [ $(wc -l < begun) = 1 ]; then sleep ${marker}; fi; echo done > end.txt`;
  const payload = await submitFiles(first, { "run.sh": script });
  await until("the script sleeps", () => processesWith(marker).length > 0, { withinMs: 30_000 });
  await first.kill();
  await until("its processes are gone", () => processesWith(marker).length === 0, { withinMs: 30_000 });
  const second = await room.serve();
  const zip = await until("the zip is there", () => zipOf(second, payload.id), { withinMs: 40_000, everyMs: 25 });
  expect(text(zip["end.txt"])).toBe("done\n");
  expect(text(zip["begun"])).toBe("begun\nbegun\n");
  const runs = await room.sql`select outcome from runs order by turn`;
  expect(runs.map(({ outcome }) => outcome)).toEqual(["lost", "succeeded"]);
  expect(await second.stop()).toBe(0);
});

describe("after a kill in the middle of an upload", () => {
  test("nothing of it is left once the next has started, and complete payloads are", async () => {
    const room = await makeRoom();
    const first = await room.serve();
    const kept = await submitFiles(first, { "run.sh": "exit 0" });
    await until("it has ended", () => zipOf(first, kept.id), { withinMs: 30_000 });
    const staging = join(room.dataDir, "staging");
    const socket = beginUpload(first.url, 64 * 1_048_576);
    await until("half a file is there", () => bytesIn(staging) > 1_048_576, { withinMs: 20_000 });
    await first.kill();
    socket.destroy();
    expect(bytesIn(staging)).toBeGreaterThan(0);
    const [reserved] = await room.sql`select nextval('payloads_id_seq')::int as id`;
    const stray = join(room.dataDir, "payloads", String(reserved?.["id"]));
    const foreign = join(room.dataDir, "payloads", "1000000");
    mkdirSync(stray);
    mkdirSync(foreign);
    const second = await room.serve();
    expect(readdirSync(staging)).toEqual([]);
    expect(existsSync(stray)).toBe(false);
    expect(existsSync(foreign)).toBe(true);
    expect(Object.keys((await zipOf(second, kept.id)) ?? {})).toEqual(["run.sh"]);
    expect(await second.stop()).toBe(0);
  });

  test("an upload to another server on the same directory goes on", async () => {
    const room = await makeRoom();
    const first = await room.serve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const encoder = new TextEncoder();
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(encoder.encode(`--b\r\n${fileHead("run.sh")}exit 0\r\n--b\r\n${fileHead("data")}`));
        controller.enqueue(new Uint8Array(2 * 1_048_576));
        await promise;
        controller.enqueue(encoder.encode("\r\n--b--\r\n"));
        controller.close();
      },
    });
    const headers = { "content-type": "multipart/form-data; boundary=b" };
    const upload = first.call("/submit", { method: "POST", headers, body });
    await until("its file grows", () => bytesIn(join(room.dataDir, "staging")) > 0, { withinMs: 20_000 });
    const second = await room.serve({ NODE_NAME: "other" });
    resolve();
    expect((await upload).status).toBe(200);
    expect(await Promise.all([first.stop(), second.stop()])).toEqual([0, 0]);
  });
});

test("a kill while a zip streams harms nothing", async () => {
  const room = await makeRoom();
  const first = await room.serve();
  const payload = await submitFiles(first, { "run.sh": "head -c 50000000 /dev/urandom > large" });
  const path = `/retrieve/${payload.id}`;
  const isZip = async () =>
    (await first.call(path, { method: "GET" })).headers.get("content-type") === "application/zip";
  await until("the zip is there", isZip, { withinMs: 30_000, everyMs: 50 });
  const response = await first.call(path);
  const reader = response.body?.getReader();
  expect((await reader?.read())?.done).toBe(false);
  await first.kill();
  const rest = async () => {
    for (;;) if ((await reader?.read())?.done !== false) return "complete";
  };
  expect(await rest().catch(() => "broken off")).toBe("broken off");
  const second = await room.serve();
  const zip = await zipOf(second, payload.id);
  expect(zip?.["large"]?.length).toBe(50_000_000);
  expect(await second.stop()).toBe(0);
});

type Room = {
  dataDir: string;
  sql: Awaited<ReturnType<typeof givenDatabase>>["sql"];
  serve(more?: Record<string, string>): Promise<ServerProcess>;
};

async function makeRoom(): Promise<Room> {
  const dataDir = scratchDirectory("data");
  const { sql, url } = await givenDatabase();
  const environment = { DATA_DIR: dataDir, DATABASE_URL: url, FUNCTIONS_DIR: supportFunctions, NODE_NAME: "same" };
  return { dataDir, sql, serve: (more = {}) => spawnServer({ ...environment, ...more }).ready() };
}

async function submitFiles(server: ServerProcess, files: Record<string, string>): Promise<{ id: number }> {
  const form = new FormData();
  for (const [name, content] of Object.entries(files)) form.append(name, new File([content], name));
  const response = await server.call("/submit", { method: "POST", body: form });
  expect(response.status).toBe(200);
  return (await response.json()) as { id: number };
}

async function zipOf(server: ServerProcess, id: number): Promise<Record<string, Uint8Array> | null> {
  const response = await server.call(`/retrieve/${id}`);
  if (response.headers.get("content-type") === "application/zip")
    return unzipSync(new Uint8Array(await response.arrayBuffer()));
  const { status } = (await response.json()) as { status: string };
  if (status === "Failed") throw new Error(`payload ${id} failed`);
  return null;
}

function text(bytes: Uint8Array | undefined): string {
  return new TextDecoder().decode(bytes);
}

/** Sends the start of a file of that size, and nothing after 8 MiB. */
function beginUpload(url: string, bytes: number) {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => socket.destroy());
  const head = `--b\r\n${fileHead("run.sh")}`;
  socket.write(
    `POST /submit HTTP/1.1\r\nhost: ${hostname}:${port}\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: ${bytes}\r\n\r\n${head}`,
  );
  socket.write(Buffer.alloc(8 * 1_048_576, "x"));
  return socket;
}

function fileHead(name: string): string {
  return `Content-Disposition: form-data; name="f"; filename="${name}"\r\n\r\n`;
}

function bytesIn(directory: string): number {
  if (!existsSync(directory)) return 0;
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  return names.reduce((sum, name) => {
    const stat = statSync(join(directory, name), { throwIfNoEntry: false });
    return sum + (stat?.isFile() ? stat.size : 0);
  }, 0);
}

/** Live processes that have the word among their arguments. */
function processesWith(word: string): string[] {
  return readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && argumentsOf(pid).includes(word));
}

function argumentsOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    // It has ended meanwhile.
    return [];
  }
}
