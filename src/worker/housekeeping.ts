import type { Sql } from "../db/client.ts";
import { pruneNeeds } from "../engine/need-book.ts";
import { ensurePartitions } from "../engine/partitions.ts";
import { pruneDays, pruneJobs } from "../engine/prune.ts";
import { forgetUploads, type Reach, takeAbandoned, takeExpired } from "../engine/uploads.ts";
import { atOnce } from "../files/at-once.ts";
import type { FileStore } from "../files/store.ts";
import type { Log } from "../log.ts";
import type { Queue } from "../queue/boss.ts";

export type HousekeepingOptions = {
  sql: Sql;
  queue: Queue;
  files: FileStore;
  reach: Reach;
  log: Log;
  maxAgeS: number;
};

const everyMs = 600_000;
/** With a short age, waiting ten minutes to notice would be most of it. */
const everyMsMin = 1_000;
const stagingAgeMs = 86_400_000;
const batchesMax = 1_000;
const removalsAtOnce = 4;
/** An object store that stumbles is asked again at once; one that is away, in an hour. */
const removalTries = 3;
const removalPauseMs = 500;

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
export async function cleanUp(options: HousekeepingOptions): Promise<void> {
  const { sql, queue, files, reach, log, maxAgeS } = options;
  await ensurePartitions(sql);
  const cleaned = await removeAll(options, () => takeExpired(sql, reach, maxAgeS));
  const abandoned = await removeAll(options, () => takeAbandoned(sql, reach));
  let pruned = 0;
  for (let batches = 0; batches < batchesMax; batches++) {
    const gone = await pruneJobs(sql, maxAgeS);
    pruned += gone;
    if (gone === 0) break;
  }
  const days = await pruneDays(sql, maxAgeS);
  const needs = await pruneNeeds(sql, queue);
  const swept = abandoned + (await files.sweepStaging(stagingAgeMs));
  if (cleaned + pruned + days.length + needs + swept > 0)
    log.info("housekeeping", { payloads: cleaned, jobs: pruned, days: days.length, needs, uploads: swept });
}

/** Removes the files of what `take` gives, batch by batch. What cannot be removed now is given again when its time has passed. */
async function removeAll({ sql, files, log }: HousekeepingOptions, take: () => Promise<number[]>): Promise<number> {
  let removed = 0;
  for (let batches = 0; batches < batchesMax; batches++) {
    const ids = await take();
    if (ids.length === 0) break;
    const gone: number[] = [];
    const act = async (id: number) => {
      await removeOne(files, id).then(
        () => gone.push(id),
        (fault: unknown) => log.warn("the files of a payload could not be removed yet", { payload: id, fault }),
      );
    };
    await atOnce(ids, { max: removalsAtOnce, act });
    await forgetUploads(sql, gone);
    removed += gone.length;
  }
  return removed;
}

async function removeOne(files: FileStore, payloadId: number): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await files.remove(payloadId);
    } catch (fault) {
      if (tries >= removalTries) throw fault;
      await Bun.sleep(removalPauseMs * tries);
    }
  }
}
