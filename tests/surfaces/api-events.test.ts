import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Job } from "../../src/surfaces/api/wire-job.ts";
import { type Service, startService } from "../support/service.ts";
import { until } from "../support/until.ts";
import { eventsIn, followJob, readStream, type WireEvent } from "./support/event-reader.ts";

const root = join(import.meta.dir, "../..");
let service: Service;
beforeAll(async () => {
  service = await startService({ SANDBOX: "none", DRAIN_GRACE: "0" });
}, 60_000);
afterAll(() => service.stop());

const submit = async (body: unknown, headers: Record<string, string> = {}) =>
  (await (await service.post("/api/v1/jobs", body, headers)).json()) as Job;
const streamOf = (job: Job) => `${service.url}${job.links.events}`;
const wholeOf = async (job: Job) => eventsIn((await readStream(streamOf(job), {})).text);
const countdown = (from: number, intervalMs: number) => ({ function: "countdown", input: { from, intervalMs } });

describe("the stream of a job", () => {
  test("is the same however often it is broken off", async () => {
    const lines = 90;
    const script = `for i in $(seq 1 ${lines}); do echo line $i; echo "::log said $i"; sleep 0.01; done; echo end >&2`;
    const job = await submit({ script });
    // Leaves after one or two events, at whatever place of a third.
    const followed = await Promise.all(
      [1, 2, 3].map((reader) => followJob(streamOf(job), (at) => 1 + ((at + reader) % 2))),
    );
    const whole = await wholeOf(job);
    for (const { events } of followed) expect(events).toEqual(whole);
    expect(followed.reduce((sum, { connections }) => sum + connections, 0)).toBeGreaterThanOrEqual(200);
    assertGapless(whole);
    const textOf = (kind: string) =>
      whole
        .filter(({ event }) => event === kind)
        .map(({ data }) => data.text)
        .join("");
    const numbers = Array.from({ length: lines }, (_, at) => at + 1);
    expect(textOf("output")).toBe(`${numbers.map((at) => `line ${at}\n`).join("")}end\n`);
    expect(textOf("log")).toEndWith(numbers.map((at) => `said ${at}`).join(""));
  }, 30_000);

  test("goes on from any event", async () => {
    const job = await submit(countdown(5, 1), { prefer: "wait=15" });
    const whole = await wholeOf(job);
    for (let after = 0; after < whole.length; after++) {
      const byHeader = await readStream(streamOf(job), { "last-event-id": String(after) });
      const byQuery = await readStream(`${streamOf(job)}?after=${after}`, {});
      expect(eventsIn(byHeader.text)).toEqual(whole.slice(after));
      expect(byQuery.text).toBe(byHeader.text);
    }
    const both = await readStream(`${streamOf(job)}?after=1`, { "last-event-id": "3" });
    expect(eventsIn(both.text)).toEqual(whole.slice(3));
  });

  test("says nothing after its end, until the job is tried again", async () => {
    const job = await submit({ function: "hello" }, { prefer: "wait=15" });
    const whole = await wholeOf(job);
    const last = whole.length;
    for (const after of [last, last + 1, 2_147_483_647])
      expect((await service.call(`${job.links.events}?after=${after}`)).status).toBe(204);
    await service.post(`${job.links.self}/retry`, "");
    await service.call(`${job.links.self}?wait=15`);
    const more = eventsIn((await readStream(`${streamOf(job)}?after=${last}`, {})).text);
    expect(more[0]).toMatchObject({ id: last + 1, event: "status", data: { status: "queued", reason: "retry" } });
    expect(more.at(-1)?.event).toBe("completed");
    assertGapless(await wholeOf(job));
  });

  test("comes as lines of JSON where they are asked for", async () => {
    const job = await submit(countdown(3, 1), { prefer: "wait=15" });
    const response = await service.call(job.links.events, { headers: { accept: "application/x-ndjson" } });
    expect(response.headers.get("content-type")).toStartWith("application/x-ndjson");
    const lines = (await response.text())
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toEqual((await wholeOf(job)).map(({ data }) => data));
  });

  test("is live within 50 ms", async () => {
    const job = await submit(countdown(40, 20));
    const late: number[] = [];
    let seen = 0;
    await readStream(streamOf(job), {}, (text) => {
      const events = eventsIn(text);
      for (const { data } of events.slice(seen)) late.push(Date.now() - Date.parse(data.at));
      seen = events.length;
      return events.at(-1)?.event === "completed";
    });
    late.sort((a, b) => a - b);
    expect(late.length).toBeGreaterThan(10);
    expect(late[Math.floor(late.length / 2)]).toBeLessThan(50);
  });

  test("tells of every kind of thing that happens", async () => {
    const script = 'echo out; echo "::progress 50% half way"; echo "::log warn a word"; echo err >&2; exit 4';
    const job = await submit({ script, max_attempts: 2, backoff: 0 }, { prefer: "wait=15" });
    const whole = await wholeOf(job);
    assertGapless(whole);
    const kinds = new Set(whole.map(({ event }) => event));
    for (const kind of ["status", "output", "log", "progress", "completed"]) expect(kinds).toContain(kind);
    expect(whole.every(({ event, data }) => data.kind === event && Number.isInteger(data.task))).toBe(true);
    expect(whole.at(-1)?.data).toMatchObject({ status: "failed", error: { code: "exit_nonzero" } });
  });

  test.each([["?after=-1"], ["?after=x"], ["?after=1&after=2"], ["?befor=1"]])("is refused with %s", async (query) => {
    const job = await submit({ function: "hello" });
    expect((await service.call(`${job.links.events}${query}`)).status).toBe(422);
  });

  test.each([["abc"], ["-1"], ["99999999999"], ["1; DROP"]])(
    "begins anew after an id of another stream: %s",
    async (id) => {
      const job = await submit({ function: "hello" }, { prefer: "wait=15" });
      const { text } = await readStream(streamOf(job), { "last-event-id": id });
      expect(eventsIn(text)[0]?.id).toBe(1);
    },
  );

  test("of no job is none", async () => {
    expect((await service.call("/api/v1/jobs/nobody/events")).status).toBe(404);
  });
});

describe("readers", () => {
  test("that take nothing hold no memory, and nobody up", async () => {
    const script = "head -c 6000000 /dev/zero | tr '\\0' x | fold -w 1000";
    const job = await submit({ script: `sleep 0.3; ${script}` });
    const still = await Promise.all(Array.from({ length: 60 }, () => openStill(job)));
    Bun.gc(true);
    const before = process.memoryUsage.rss();
    const { text } = await readStream(streamOf(job), {});
    const whole = eventsIn(text);
    assertGapless(whole);
    expect(
      whole
        .filter(({ event }) => event === "output")
        .map(({ data }) => String(data.text).length)
        .reduce((a, b) => a + b),
    ).toBe(6_005_999);
    Bun.gc(true);
    // The job's own output passes through the same process; every reader holding it would be 360 MB.
    expect(process.memoryUsage.rss() - before).toBeLessThan(200_000_000);
    for (const socket of still) socket.destroy();
    await until("their streams are closed", () => service.rooms.engine.hub.listening === 0);
  }, 30_000);

  test("in hundreds see the same", async () => {
    const job = await submit(countdown(30, 20));
    const all = await Promise.all(Array.from({ length: 200 }, () => readStream(streamOf(job), {})));
    const whole = await wholeOf(job);
    assertGapless(whole);
    for (const { text } of all) expect(eventsIn(text)).toEqual(whole);
  }, 30_000);
});

describe("a stream outlives", () => {
  test("a restart of the service", async () => {
    const first = await startService({ DRAIN_GRACE: "0", NODE_NAME: "again" });
    const response = await first.post("/api/v1/jobs", countdown(20, 50));
    const { links } = (await response.json()) as Job;
    const before = readStream(`${first.url}${links.events}`, {}, (text) => eventsIn(text).length > 5);
    const seen = eventsIn((await before).text);
    await first.stop();
    const second = await startService({ DATABASE_URL: first.rooms.config.databaseUrl, NODE_NAME: "again" });
    const { events } = await followJob(`${second.url}${links.events}`, null, seen);
    const whole = eventsIn((await readStream(`${second.url}${links.events}`, {})).text);
    await second.stop();
    expect(events).toEqual(whole);
    assertGapless(whole);
    expect(whole.some(({ data }) => data.reason === "interrupted")).toBe(true);
    expect(whole.at(-1)?.data).toMatchObject({ status: "succeeded" });
  }, 60_000);

  test("a kill -9 of the service", async () => {
    const owner = await startService({});
    const dataDir = await mkdtemp(join(tmpdir(), "fairlead-killed-"));
    const settings = {
      PORT: "0",
      WEBSOCKET_PORT: "0",
      NODE_NAME: "killed",
      SURFACES: "api",
      DATA_DIR: dataDir,
      DATABASE_URL: owner.rooms.config.databaseUrl,
      FUNCTIONS_DIR: join(root, "functions"),
      LOG_LEVEL: "error",
    };
    // The tasks stay where they are: this process only lends its database.
    owner.rooms.worker.pause();
    const victim = await spawnService(settings);
    const response = await fetch(`${victim.url}/api/v1/jobs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(countdown(15, 60)),
    });
    const { links } = (await response.json()) as Job;
    const reading = readStream(`${victim.url}${links.events}`, {});
    const seen = eventsIn(
      (await readStream(`${victim.url}${links.events}`, {}, (text) => eventsIn(text).length > 5)).text,
    );
    victim.child.kill("SIGKILL");
    await victim.child.exited;
    const cut = eventsIn((await reading).text);
    const heir = await spawnService(settings);
    const { events } = await followJob(`${heir.url}${links.events}`, null, cut.length > seen.length ? cut : seen);
    const whole = eventsIn((await readStream(`${heir.url}${links.events}`, {})).text);
    heir.child.kill("SIGTERM");
    await owner.stop();
    heir.child.kill("SIGKILL");
    await heir.child.exited;
    await rm(dataDir, { recursive: true, force: true });
    expect(events).toEqual(whole);
    assertGapless(whole);
    expect(whole.some(({ data }) => data.reason === "lost")).toBe(true);
    expect(whole.at(-1)?.data).toMatchObject({ status: "succeeded" });
  }, 60_000);
});

function assertGapless(events: WireEvent[]): void {
  expect(events.map(({ id }) => id)).toEqual(events.map((_, at) => at + 1));
  expect(events.every(({ id, data }) => data.seq === id)).toBe(true);
  expect(events.at(-1)?.event).toBe("completed");
}

/** A reader that asks for a stream and then takes nothing. */
function openStill(job: Job): Promise<Socket> {
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const socket = connect(Number(new URL(service.url).port), "127.0.0.1", () => {
    socket.pause();
    socket.write(`GET ${job.links.events} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    resolve(socket);
  });
  socket.on("error", () => socket.destroy());
  return promise;
}

async function spawnService(settings: Record<string, string>) {
  const program = join(import.meta.dir, "support/serve-process.ts");
  const child = Bun.spawn([process.execPath, program, JSON.stringify(settings)], { stdout: "pipe", stderr: "inherit" });
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  return { child, url: new TextDecoder().decode(value).trim() };
}
