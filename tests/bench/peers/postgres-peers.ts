import { run } from "graphile-worker";
import pg from "pg";
import { PgBoss } from "pg-boss";

type Address = { host: string; database: string; username: string };

/** pg-boss's own `send`, one job a call: jobs a second. */
export async function pgBossSends(address: Address, inFlight: number, seconds: number): Promise<number> {
  const boss = new PgBoss({
    host: address.host,
    database: address.database,
    user: address.username,
    schema: "bench_boss",
    max: 10,
    supervise: false,
    schedule: false,
  });
  await boss.start();
  await boss.createQueue("bench");
  let sent = 0;
  const until = performance.now() + seconds * 1_000;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (performance.now() < until) {
        await boss.send("bench", { name: "Ada" });
        sent++;
      }
    }),
  );
  await boss.stop({ graceful: false });
  return sent / seconds;
}

/** graphile-worker drains a backlog with its local queue; it records nothing of what it did. Jobs a second. */
export async function graphileDrain(address: Address, count: number): Promise<number> {
  const pool = new pg.Pool({ host: address.host, database: address.database, user: address.username, max: 12 });
  const drained = Promise.withResolvers<void>();
  let done = 0;
  const options = { pgPool: pool, concurrency: 64, noHandleSignals: true, logger: undefined };
  const runner = await run({
    ...(options as object),
    pgPool: pool,
    concurrency: 64,
    noHandleSignals: true,
    preset: { worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } } as never,
    taskList: { hello: async () => void (++done === count && drained.resolve()), nothing: async () => undefined },
  });
  await runner.stop();
  await pool.query(
    `SELECT graphile_worker.add_job('hello', '{}'::json, priority => (n % 5)::int) FROM generate_series(1, $1::int) n`,
    [count],
  );
  const startedAt = performance.now();
  const worker = await run({
    pgPool: pool,
    concurrency: 64,
    noHandleSignals: true,
    preset: { worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } } as never,
    taskList: { hello: async () => void (++done === count && drained.resolve()) },
  });
  await drained.promise;
  const perSecond = count / ((performance.now() - startedAt) / 1_000);
  await worker.stop();
  await pool.end();
  return perSecond;
}
