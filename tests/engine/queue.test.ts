import { beforeAll, describe, expect, test } from "bun:test";
import { PgBoss } from "pg-boss";
import type { Sql } from "../../src/db/client.ts";
import { type Put, Queue } from "../../src/queue/boss.ts";
import { testDatabase } from "../support/database.ts";

let sql: Sql;
let queue: Queue;

beforeAll(async () => {
  const database = await testDatabase();
  sql = database.sql;
  queue = await Queue.open(sql);
});

describe("a message that is put", () => {
  test("is the row that pg-boss itself writes for a job without options", async () => {
    const boss = new PgBoss({
      db: { executeSql: async (text, values) => ({ rows: await sql.unsafe(text, values as never[]) }) },
      ...{ schema: "pgboss", supervise: false, schedule: false, migrate: false },
    });
    await boss.start();
    await boss.insert("script", [{ data: { j: "a", t: 0, n: 1 }, priority: -3 }]);
    await boss.stop({ graceful: false });
    await queue.put(sql, [messageOf({ jobId: "b", queue: "script", priority: 3 })]);
    const [theirs, ours] = await rowsOf("script");
    expect(ours).toEqual({ ...theirs, id: ours?.["id"], data: { j: "b", t: 0, n: 1 } });
  });

  test("keeps its place among those that were put at once", async () => {
    const ids = Array.from({ length: 40 }, (_, at) => `job ${at}`);
    const messages = ids.map((jobId, at) => messageOf({ jobId, priority: at % 2 }));
    await queue.put(sql, messages);
    const taken = [...(await queue.take(sql, "function", 25)), ...(await queue.take(sql, "function", 25))];
    const inTurn = [0, 1].flatMap((odd) => ids.filter((_, at) => at % 2 === odd));
    expect(taken.map(({ jobId }) => jobId)).toEqual(inTurn);
  });

  test("comes back as it was, its key with it, when its time has come", async () => {
    const concurrency = { key: 'a "key"', max: 2 };
    await queue.put(sql, [
      messageOf({ jobId: "later", queue: "container", startAt: new Date(Date.now() + 3_600_000) }),
      messageOf({ jobId: "now", queue: "container", task: 4, turn: 7, concurrency, startAt: new Date(0) }),
    ]);
    expect(await queue.take(sql, "container", 10)).toEqual([{ jobId: "now", task: 4, turn: 7, concurrency }]);
    expect(await rowsOf("container")).toMatchObject([{ data: { j: "later" } }]);
  });

  test("is refused where there is no such queue, and with it all that were put at once", async () => {
    const put = queue.put(sql, [
      messageOf({ jobId: "good", queue: "automation" }),
      messageOf({ queue: "script/none" }),
    ]);
    expect(put).rejects.toThrow("q_fkey");
    await put.catch(() => undefined);
    expect(await rowsOf("automation")).toEqual([]);
  });
});

function messageOf(given: Partial<Put>): Put {
  return { queue: "function", jobId: "job", task: 0, turn: 1, priority: 1, ...given };
}

/** Oldest first, with the times as what they are after the row was made. */
async function rowsOf(name: string): Promise<Record<string, unknown>[]> {
  return await sql<Record<string, unknown>[]>`
    SELECT to_jsonb(j) - ARRAY['created_on', 'start_after', 'keep_until']
      || jsonb_build_object('waits', start_after - created_on, 'kept', keep_until - start_after) AS row
    FROM pgboss.job j WHERE name = ${name} ORDER BY created_on, id`.then((rows) =>
    rows.map(({ row }) => row as Record<string, unknown>),
  );
}
