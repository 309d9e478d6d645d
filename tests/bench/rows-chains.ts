import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { measure, medianOf, type Row } from "./row.ts";
import { type BenchService, startBenchService } from "./service.ts";

const links = 50;
const chainsPerRound = 5;
const chainsAtOnce = 200;
const batchJobs = 1_000;
const endWithinMs = 60_000;
const headers = { "content-type": "application/json" };

/** Chains over a service in a process of its own: what a link costs over a bare call of the same service, many chains at once, and a batch. */
export async function chainRows(rounds: number): Promise<Row[]> {
  const directory = await mkdtemp(join(tmpdir(), "fairlead-bench-chains-"));
  const container = await startEcho();
  const file = join(directory, "containers.json");
  await Bun.write(file, JSON.stringify([{ id: "echo", url: container.url }]));
  const service = await startBenchService({ CONTAINERS_FILE: file });
  try {
    const bare = await measure(
      { name: "floor: bare fetch of a container's service, mean of a row of 50", unit: "ms", better: "lower" },
      rounds,
      () => bareMs(container.url),
    );
    return [
      bare,
      await measure(
        {
          ...{
            name: "chain of 50 links, a link's overhead over the bare fetch",
            unit: "ms",
            better: "lower",
            reach: 2,
          },
          note: "from the request to the end of the job, less 50 bare calls, by 50",
        },
        rounds,
        async () => (await chainMs(service)) / links - bare.median,
      ),
      await measure(
        { name: "200 chains of 3 at once, until the last has ended", unit: "ms", better: "lower" },
        rounds,
        () => manyChainsMs(service),
      ),
      await measure(
        { name: "batch of 1,000 chains of 3 accepted in one transaction", unit: "ms", better: "lower", reach: 250 },
        rounds,
        () => batchMs(service),
      ),
    ];
  } finally {
    await service.stop();
    container.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

/** A container's service in a process of its own, so that it does not answer in the turns of this one. */
async function startEcho(): Promise<{ url: string; stop(): void }> {
  const program = `const server = Bun.serve({ port: 0, hostname: "127.0.0.1", idleTimeout: 0,
    async fetch(request) { return Response.json((await request.json()).data); } });
    console.log(server.port);`;
  const child = Bun.spawn([process.execPath, "-e", program], { stdout: "pipe", stderr: "inherit" });
  const { value } = await child.stdout.getReader().read();
  const port = Number(new TextDecoder().decode(value));
  return { url: `http://127.0.0.1:${port}`, stop: () => child.kill() };
}

async function bareMs(url: string): Promise<number> {
  const body = JSON.stringify({ source: 1, destination: 1, data: { n: 1 }, requires_proof: false });
  const startedAt = performance.now();
  for (let call = 0; call < links; call++)
    await (await fetch(`${url}/service_output`, { method: "POST", headers, body })).json();
  return (performance.now() - startedAt) / links;
}

async function chainMs(service: BenchService): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < chainsPerRound; run++) {
    const startedAt = performance.now();
    const body = JSON.stringify({ containers: Array<string>(links).fill("echo"), input: { n: 1 } });
    const wait = { ...headers, prefer: "wait=60" };
    const response = await fetch(`${service.url}/api/v1/jobs`, { method: "POST", headers: wait, body });
    const job = (await response.json()) as { status: string };
    if (job.status !== "succeeded") throw new Error(`a chain was answered ${response.status}, ${job.status}`);
    times.push(performance.now() - startedAt);
  }
  return medianOf(times);
}

async function manyChainsMs(service: BenchService): Promise<number> {
  const startedAt = performance.now();
  const ids = await Promise.all(
    Array.from({ length: chainsAtOnce }, async (_, n) => {
      const body = JSON.stringify({ containers: ["echo", "echo", "echo"], data: { n } });
      const response = await fetch(`${service.url}/api/jobs`, { method: "POST", headers, body });
      return ((await response.json()) as { id: string }).id;
    }),
  );
  await allEnded(service, ids);
  return performance.now() - startedAt;
}

async function batchMs(service: BenchService): Promise<number> {
  const body = JSON.stringify(
    Array.from({ length: batchJobs }, (_, n) => ({ containers: ["echo", "echo", "echo"], data: { n } })),
  );
  const startedAt = performance.now();
  const response = await fetch(`${service.url}/api/jobs/batch`, { method: "POST", headers, body });
  const entries = (await response.json()) as { id?: string }[];
  const tookMs = performance.now() - startedAt;
  await allEnded(
    service,
    entries.map(({ id }) => id ?? ""),
  );
  return tookMs;
}

/** Waits for the newest first: looking at all of them would be work for the service that is measured. */
async function allEnded(service: BenchService, ids: string[]): Promise<void> {
  const deadline = performance.now() + endWithinMs;
  for (const id of ids.toReversed()) {
    for (;;) {
      const response = await fetch(`${service.url}/api/jobs?id=${id}`);
      const [result] = (await response.json()) as { status: string }[];
      if (result?.status === "success") break;
      if (result?.status !== "running" || performance.now() > deadline)
        throw new Error(`a chain is ${result?.status ?? "unknown"}`);
      await Bun.sleep(5);
    }
  }
}
