import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * A thousand readers of one job that writes 100 events a second: how long after it happened each reader has each event. Server, database
 * and readers share the machine. `bun tests/bench/sse.ts [readers] [events per second] [seconds]`.
 */
const [readers = 1_000, perSecond = 100, seconds = 15] = process.argv.slice(2).map(Number);

type Reader = { last: number; gaps: number; rest: string; lagsMs: number[]; ended: Promise<void> };

const dataDir = await mkdtemp(join(tmpdir(), "fairlead-bench-sse-"));
const server = Bun.spawn(
  [
    process.execPath,
    join(import.meta.dir, "../surfaces/support/serve-process.ts"),
    JSON.stringify({
      PORT: "0",
      DATA_DIR: dataDir,
      SURFACES: "api",
      LOG_LEVEL: "error",
      FUNCTIONS_DIR: join(import.meta.dir, "functions"),
    }),
  ],
  { stdout: "pipe", stderr: "inherit" },
);
const url = new TextDecoder().decode((await server.stdout.getReader().read()).value).trim();

const job = await submit({ function: "ticker", input: { perSecond, seconds }, hold: true });
const all = await Promise.all(Array.from({ length: readers }, () => openReader(`/api/v1/jobs/${job}/events`)));
const idleMb = memoryOf(server.pid);
await fetch(`${url}/api/v1/jobs/${job}/release`, { method: "POST" });
await Promise.all(all.map(({ ended }) => ended));

const lagsMs = Float64Array.from(all.flatMap((reader) => reader.lagsMs)).sort();
const at = (share: number) => Math.round(lagsMs[Math.min(lagsMs.length - 1, Math.floor(lagsMs.length * share))] ?? 0);
console.log(
  JSON.stringify({
    readers,
    events_per_s: perSecond,
    seconds,
    events_received: lagsMs.length,
    lag_ms: { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) },
    gapless: all.every(({ gaps, last }) => gaps === 0 && last === all[0]?.last),
    server_mb: { idle: idleMb, end: memoryOf(server.pid) },
  }),
);

server.kill("SIGTERM");
await server.exited;
await rm(dataDir, { recursive: true, force: true });

async function submit(body: unknown): Promise<string> {
  const response = await fetch(`${url}/api/v1/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (response.status !== 202) throw new Error(`the submit answered ${response.status}: ${await response.text()}`);
  return ((await response.json()) as { id: string }).id;
}

/** Raw sockets: a thousand `fetch` streams would measure themselves. */
async function openReader(path: string): Promise<Reader> {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  const reader: Reader = { last: 0, gaps: 0, rest: "", lagsMs: [], ended };
  const { hostname, port } = new URL(url);
  await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      open: (socket) => void socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`),
      data: (socket, bytes) => {
        opened.resolve();
        if (take(reader, bytes.toString("latin1"), Date.now())) socket.end();
      },
      close: () => resolve(),
    },
  });
  await opened.promise;
  return reader;
}

/** Takes the whole events out of what came; true after the last. */
function take(reader: Reader, text: string, nowMs: number): boolean {
  const whole = reader.rest + text;
  let from = 0;
  let isOver = false;
  for (let start = whole.indexOf("\nid: "); start !== -1; start = whole.indexOf("\nid: ", from)) {
    const end = whole.indexOf("\n\n", start + 5);
    if (end === -1) break;
    const seq = Number(whole.slice(start + 5, whole.indexOf("\n", start + 5)));
    if (seq !== reader.last + 1) reader.gaps++;
    reader.last = seq;
    const time = whole.indexOf('"at":"', start) + 6;
    // The first event is older than its readers.
    if (seq > 1) reader.lagsMs.push(nowMs - Date.parse(whole.slice(time, time + 24)));
    isOver ||= whole.startsWith("event: completed", whole.indexOf("event: ", start));
    from = end + 1;
  }
  reader.rest = whole.slice(from);
  return isOver;
}

function memoryOf(pid: number): number {
  const { stdout } = Bun.spawnSync(["ps", "-o", "rss=", "-p", String(pid)]);
  return Math.round(Number(stdout.toString()) / 1024);
}
