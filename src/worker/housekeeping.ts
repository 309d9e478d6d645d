import type { Sql } from "../db/client.ts";
import { ensurePartitions } from "../engine/partitions.ts";
import { expiredPayloads, markCleaned, pruneDays, pruneJobs } from "../engine/prune.ts";
import type { FileStore } from "../files/store.ts";
import type { Log } from "../log.ts";

export type HousekeepingOptions = { sql: Sql; files: FileStore; log: Log; maxAgeS: number };

const everyMs = 600_000;
/** With a short age, waiting ten minutes to notice would be most of it. */
const everyMsMin = 1_000;
const stagingAgeMs = 86_400_000;
const batchesMax = 1_000;

/** Removes what is past its age, now and then, in bounded batches. Returns how to stop. */
export function keepHouse(options: HousekeepingOptions): () => Promise<void> {
  let round: Promise<void> | null = null;
  const run = () => {
    round ??= cleanUp(options)
      .catch((fault: unknown) => options.log.warn("housekeeping failed and is tried again later", { fault }))
      .finally(() => {
        round = null;
      });
  };
  const timer = setInterval(run, Math.min(everyMs, Math.max(everyMsMin, options.maxAgeS * 500)));
  run();
  return async () => {
    clearInterval(timer);
    await round;
  };
}

/** One round. */
export async function cleanUp({ sql, files, log, maxAgeS }: HousekeepingOptions): Promise<void> {
  await ensurePartitions(sql);
  let cleaned = 0;
  for (
    let batch = await expiredPayloads(sql, maxAgeS);
    batch.length > 0 && cleaned < batchesMax;
    batch = await expiredPayloads(sql, maxAgeS)
  ) {
    for (const id of batch) await files.remove(id);
    await markCleaned(sql, batch);
    cleaned += batch.length;
  }
  let pruned = 0;
  for (let batches = 0; batches < batchesMax; batches++) {
    const gone = await pruneJobs(sql, maxAgeS);
    pruned += gone;
    if (gone === 0) break;
  }
  const days = await pruneDays(sql, maxAgeS);
  const swept = await files.sweepStaging(stagingAgeMs);
  if (cleaned + pruned + days.length + swept > 0)
    log.info("housekeeping", { payloads: cleaned, jobs: pruned, days: days.length, uploads: swept });
}
