import { measure, medianOf, type Row } from "./row.ts";
import { type BenchService, startBenchService } from "./service.ts";

const runsPerRound = 50;
const atOnce = 50;
const warmUpRounds = 6;
const reachWithinMs = 60_000;

/** `run.sh` through the whole service against a bare sandboxed spawn, one after another; and many at once while `/livez` is watched. */
export async function scriptRows(rounds: number): Promise<Row[]> {
  const bwrap = Bun.which("bwrap");
  if (bwrap === null) return [];
  const service = await startBenchService({ SLOTS: String(atOnce) });
  // Not measured: what has just started runs interpreted at first, which says nothing of the second minute.
  for (let round = 0; round < warmUpRounds; round++) await spawnsAndTrips(bwrap, service);
  const bareRounds: number[] = [];
  const trip = await measure(
    {
      name: "run.sh round trip, 1 kB file, sandbox on, median",
      unit: "ms",
      better: "lower",
      note: "over HTTP, from the upload to the answer that has its end; each after one bare spawn, so that both see the same machine",
    },
    rounds,
    async () => {
      const { bareMs, tripMs } = await spawnsAndTrips(bwrap, service);
      bareRounds.push(bareMs);
      return tripMs;
    },
  );
  const bareMs = medianOf(bareRounds);
  const rows: Row[] = [
    {
      ...{ name: "floor: bare bwrap spawn of /bin/true, median", unit: "ms", better: "lower" },
      ...{ median: bareMs, rounds: bareRounds },
    },
    { ...trip, reach: bareMs * 3 },
    await measure(
      { name: "50 run.sh at once, p99 of /livez meanwhile", unit: "ms", better: "lower" },
      Math.min(rounds, 3),
      async () => at(0.99, await livezDuring(service, runMany(service))),
    ),
    await measure(
      { name: "50 run.sh killed at once, slowest /livez meanwhile", unit: "ms", better: "lower" },
      Math.min(rounds, 3),
      () => livezDuringKills(service),
    ),
  ];
  await service.stop();
  return rows;
}

async function spawnsAndTrips(bwrap: string, service: BenchService): Promise<{ bareMs: number; tripMs: number }> {
  const bare: number[] = [];
  const trips: number[] = [];
  for (let run = 0; run < runsPerRound; run++) {
    bare.push(await timed(() => spawnBare(bwrap)));
    trips.push(await timed(async () => void (await (await submit(service, "echo hello")).arrayBuffer())));
  }
  return { bareMs: medianOf(bare), tripMs: medianOf(trips) };
}

async function spawnBare(bwrap: string): Promise<void> {
  const system = ["--ro-bind", "/usr", "/usr", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/lib", "/lib"];
  const command = [bwrap, "--unshare-all", ...system, "--proc", "/proc", "--dev", "/dev", "--die-with-parent"];
  await Bun.spawn([...command, "/usr/bin/true"], { stdout: "ignore", stderr: "ignore" }).exited;
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

/** Through our own API, which can wait for the end; the orchestrator's clients poll. */
async function submit(service: BenchService, script: string): Promise<Response> {
  const form = new FormData();
  form.append("file", new File([script], "run.sh"));
  form.append("file", new File(["x".repeat(1_024)], "input.dat"));
  form.append("job", "{}");
  const response = await fetch(`${service.url}/api/v1/jobs`, {
    method: "POST",
    headers: { prefer: "wait=60" },
    body: form,
  });
  if (response.status !== 200)
    throw new Error(`a script was answered ${response.status}: ${(await response.text()).slice(0, 200)}`);
  return response;
}

async function runMany(service: BenchService): Promise<void> {
  const run = async () => (await submit(service, "sleep 1; echo done")).arrayBuffer();
  await Promise.all(Array.from({ length: atOnce }, run));
}

async function livezDuringKills(service: BenchService): Promise<number> {
  const ids = await Promise.all(Array.from({ length: atOnce }, () => startLong(service)));
  await Promise.all(ids.map((id) => reachesStatus(service, id, "running")));
  // What it takes to start them is over once they sleep.
  await Bun.sleep(1_000);
  const kills = ids.map(async (id) => {
    await fetch(`${service.url}/api/v1/jobs/${id}/cancel`, { method: "POST" });
    await reachesStatus(service, id, "cancelled");
  });
  return at(1, await livezDuring(service, Promise.all(kills)));
}

async function startLong(service: BenchService): Promise<string> {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ script: "sleep 600 & sleep 600" });
  const response = await fetch(`${service.url}/api/v1/jobs`, { method: "POST", headers, body });
  return ((await response.json()) as { id: string }).id;
}

async function reachesStatus(service: BenchService, id: string, wanted: string): Promise<void> {
  const deadline = performance.now() + reachWithinMs;
  for (;;) {
    const response = await fetch(`${service.url}/api/v1/jobs/${id}`);
    const { status } = (await response.json()) as { status: string };
    if (status === wanted) return;
    if (performance.now() > deadline) throw new Error(`a script is ${status}, not ${wanted}`);
    await Bun.sleep(50);
  }
}

/** How long each look at `/livez` took while `work` went on. */
async function livezDuring(service: BenchService, work: Promise<unknown>): Promise<number[]> {
  let isRunning = true;
  const ended = work.finally(() => {
    isRunning = false;
  });
  const times: number[] = [];
  while (isRunning) {
    const startedAt = performance.now();
    await (await fetch(`${service.url}/livez`)).arrayBuffer();
    times.push(performance.now() - startedAt);
    await Bun.sleep(5);
  }
  await ended;
  return times;
}

function at(share: number, times: number[]): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
