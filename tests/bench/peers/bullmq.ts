import { Queue, QueueEvents, Worker } from "bullmq";
import { startRedis } from "./redis.ts";

/** A job that is removed at once may be gone before its own waiter looks at it. */
const keptMax = 1_000;

/** BullMQ on Redis without HTTP: submit a job and wait for its result, `inFlight` at a time. Nothing is fsynced. Results a second. */
export async function bullmqRoundTrips(inFlight: number, seconds: number): Promise<number> {
  await using redis = await startRedis();
  const connection = { host: "127.0.0.1", port: redis.port, maxRetriesPerRequest: null };
  const queue = new Queue("bench", { connection });
  const events = new QueueEvents("bench", { connection });
  const worker = new Worker("bench", async (job) => ({ message: `Hello ${job.data.name}!` }), {
    connection,
    concurrency: 64,
  });
  // Each job that is waited for listens on both.
  queue.setMaxListeners(0);
  events.setMaxListeners(0);
  await Promise.all([events.waitUntilReady(), worker.waitUntilReady()]);
  let done = 0;
  const until = performance.now() + seconds * 1_000;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (performance.now() < until) {
        const job = await queue.add("hello", { name: "Ada" }, { removeOnComplete: keptMax });
        await job.waitUntilFinished(events);
        done++;
      }
    }),
  );
  await Promise.all([worker.close(), events.close(), queue.close()]);
  return done / seconds;
}

/** Jobs a second that BullMQ drains of a backlog that waits in Redis. */
export async function bullmqDrain(count: number): Promise<number> {
  await using redis = await startRedis();
  const connection = { host: "127.0.0.1", port: redis.port, maxRetriesPerRequest: null };
  const queue = new Queue("bench", { connection });
  for (let added = 0; added < count; added += 1_000) {
    await queue.addBulk(
      Array.from({ length: 1_000 }, (_, at) => ({
        name: "hello",
        data: { name: "Ada" },
        opts: { priority: 1 + (at % 5), removeOnComplete: true },
      })),
    );
  }
  const drained = Promise.withResolvers<void>();
  let done = 0;
  const startedAt = performance.now();
  const worker = new Worker(
    "bench",
    async () => {
      if (++done === count) drained.resolve();
    },
    { connection, concurrency: 64 },
  );
  await drained.promise;
  const perSecond = count / ((performance.now() - startedAt) / 1_000);
  await Promise.all([worker.close(), queue.close()]);
  return perSecond;
}
