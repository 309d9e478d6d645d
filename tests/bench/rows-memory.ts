import { readFileSync } from "node:fs";
import { measure, type Row } from "./row.ts";
import { type BenchService, startBenchService } from "./service.ts";

const gib = 2 ** 30;
const fileBytes = 2 * gib;
const chunkBytes = 1_048_576;

/** How far the server's memory rises above idle while 2 GiB come in as one file and go out as one zip. */
export async function memoryRows(): Promise<Row[]> {
  const row = {
    name: "2 GiB up and 2 GiB of zip down, peak RSS above idle",
    unit: "MiB",
    better: "lower",
    reach: 250,
  } as const;
  return [await measure(row, 1, riseMb)];
}

async function riseMb(): Promise<number> {
  const service = await startBenchService({ SURFACES: "orchestrator,api" });
  try {
    await fetch(`${service.url}/livez`);
    const idle = residentMb(service);
    const peak = watchPeak(service);
    await download(service, await upload(service));
    return (await peak.stop()) - idle;
  } finally {
    await service.stop();
  }
}

async function upload(service: BenchService): Promise<number> {
  const boundary = "fairlead-bench";
  const part = (name: string) =>
    `--${boundary}\r\nContent-Disposition: form-data; name="${name}"; filename="${name}"\r\n\r\n`;
  const chunk = crypto.getRandomValues(new Uint8Array(65_536));
  const block = new Uint8Array(chunkBytes).map((_, at) => chunk[at % chunk.length] ?? 0);
  const encoder = new TextEncoder();
  async function* body() {
    yield encoder.encode(`${part("run.sh")}true\r\n${part("big.bin")}`);
    for (let sent = 0; sent < fileBytes; sent += chunkBytes) yield block;
    yield encoder.encode(`\r\n--${boundary}--\r\n`);
  }
  const response = await fetch(`${service.url}/submit`, {
    method: "POST",
    headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
    body: body() as unknown as ReadableStream<Uint8Array>,
  });
  if (!response.ok) throw new Error(`the upload was answered ${response.status}: ${await response.text()}`);
  return ((await response.json()) as { id: number }).id;
}

async function download(service: BenchService, id: number): Promise<void> {
  for (;;) {
    const response = await fetch(`${service.url}/retrieve/${id}`);
    const isZip = response.headers.get("content-type")?.includes("application/zip") ?? false;
    if (isZip) {
      let received = 0;
      for await (const chunk of response.body ?? []) received += chunk.length;
      if (received < fileBytes) throw new Error(`the zip has ${received} bytes`);
      return;
    }
    const { status } = (await response.json()) as { status: string };
    if (status !== "Prepared" && status !== "Running") throw new Error(`the payload ended ${status}`);
    await Bun.sleep(50);
  }
}

function watchPeak(service: BenchService): { stop(): Promise<number> } {
  let peak = 0;
  const timer = setInterval(() => {
    peak = Math.max(peak, residentMb(service));
  }, 50);
  return {
    async stop() {
      clearInterval(timer);
      return Math.max(peak, residentMb(service));
    },
  };
}

function residentMb({ pid }: BenchService): number {
  const kb = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kb) / 1_024;
}
