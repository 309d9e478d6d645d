import { measure, medianOf, type Row } from "./row.ts";
import { type BenchService, startBenchService } from "./service.ts";

const runsPerRound = 50;
const atOnce = 50;

/** `run.sh` through the whole service against a bare sandboxed spawn, one after another; and many at once while `/livez` is watched. */
export async function scriptRows(rounds: number): Promise<Row[]> {
  const bwrap = Bun.which("bwrap");
  if (bwrap === null) return [];
  const bare = await measure(
    { name: "floor: bare bwrap spawn of /bin/true, median", unit: "ms", better: "lower" },
    rounds,
    () => bareSpawnMs(bwrap),
  );
  const service = await startBenchService();
  const reach = bare.median * 3;
  const rows = [
    bare,
    await measure(
      {
        name: "run.sh round trip, 1 kB file, sandbox on, median",
        unit: "ms",
        better: "lower",
        reach,
        note: "the job's own wall time: from being queued to its recorded end",
      },
      rounds,
      () => roundTripMs(service),
    ),
    await measure(
      { name: "50 run.sh at once, p99 of /livez meanwhile", unit: "ms", better: "lower" },
      Math.min(rounds, 3),
      () => livezDuring(service),
    ),
  ];
  await service.stop();
  return rows;
}

async function bareSpawnMs(bwrap: string): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < runsPerRound; run++) {
    const startedAt = performance.now();
    const command = [
      bwrap,
      "--unshare-all",
      "--ro-bind",
      "/usr",
      "/usr",
      "--symlink",
      "usr/lib64",
      "/lib64",
      "--symlink",
      "usr/lib",
      "/lib",
      "--proc",
      "/proc",
      "--dev",
      "/dev",
      "--die-with-parent",
      "/usr/bin/true",
    ];
    await Bun.spawn(command, { stdout: "ignore", stderr: "ignore" }).exited;
    times.push(performance.now() - startedAt);
  }
  return medianOf(times);
}

async function roundTripMs(service: BenchService): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < runsPerRound; run++) {
    const startedAt = performance.now();
    const response = await submit(service, "echo hello");
    await response.arrayBuffer();
    times.push(performance.now() - startedAt);
  }
  return medianOf(times);
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

async function livezDuring(service: BenchService): Promise<number> {
  let isRunning = true;
  const running = Promise.all(
    Array.from({ length: atOnce }, () =>
      submit(service, "sleep 1; echo done").then((response) => response.arrayBuffer()),
    ),
  ).finally(() => {
    isRunning = false;
  });
  const times: number[] = [];
  while (isRunning) {
    const startedAt = performance.now();
    await (await fetch(`${service.url}/livez`)).arrayBuffer();
    times.push(performance.now() - startedAt);
    await Bun.sleep(5);
  }
  await running;
  return times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? 0;
}
