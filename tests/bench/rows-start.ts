import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { measure, type Row } from "./row.ts";
import { startBenchService } from "./service.ts";

/** From the first instruction of the process to a ready service, on an empty data directory and on a used one. */
export async function startRows(rounds: number): Promise<Row[]> {
  const kept = await mkdtemp(join(tmpdir(), "fairlead-start-"));
  await (await startBenchService({}, kept)).stop();
  const rows = [
    await measure(
      { name: "first start to ready", unit: "ms", better: "lower", reach: 2_500 },
      Math.min(rounds, 3),
      () => startOnce(),
    ),
    await measure({ name: "later start to ready", unit: "ms", better: "lower", reach: 800 }, rounds, () =>
      startOnce(kept),
    ),
  ];
  await rm(kept, { recursive: true, force: true });
  return rows;
}

async function startOnce(dataDir?: string): Promise<number> {
  const service = await startBenchService({}, dataDir);
  await service.stop();
  return service.readyMs;
}
