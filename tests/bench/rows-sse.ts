import { join } from "node:path";
import { measure, type Row } from "./row.ts";
import { startBenchService } from "./service.ts";
import { streamLag } from "./stream-lag.ts";

const readers = 1_000;
const perSecond = 100;
const reachMs = 250;

/** A thousand readers of one job that writes 100 events a second: how late each has each event, all of them without a gap. */
export async function sseRows(rounds: number, seconds: number): Promise<Row[]> {
  const service = await startBenchService({ FUNCTIONS_DIR: join(import.meta.dir, "functions"), SURFACES: "api" });
  try {
    const name = `${readers} readers of ${perSecond} events/s, lag p99`;
    return [
      await measure({ name, unit: "ms", better: "lower", reach: reachMs }, Math.min(rounds, 3), async () =>
        (await streamLag({ writeUrl: service.url, readUrl: service.url, readers, perSecond, seconds }))(0.99),
      ),
    ];
  } finally {
    await service.stop();
  }
}
