import { beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Runs, Sql } from "../../src/db/client.ts";
import { type Put, Queue, queuesWithWork } from "../../src/queue/boss.ts";
import { Frontier } from "../../src/queue/frontier.ts";
import { testDatabase } from "../support/database.ts";
import { until } from "../support/until.ts";

const waiting = 20_000;
const atOnce = 100;

let sql: Sql;
let queue: Queue;
let other: Queue;

beforeAll(async () => {
  const database = await testDatabase();
  sql = database.sql;
  await sql`ALTER TABLE pgboss.job_common SET (autovacuum_enabled = false)`;
});

describe("where many wait", () => {
  beforeEach(async () => {
    await sql`TRUNCATE pgboss.job`;
    queue = await Queue.open(sql);
    other = await Queue.open(sql);
    for (let at = 0; at < waiting; at += 1_000)
      await other.put(
        sql,
        Array.from({ length: 1_000 }, (_, n) => messageOf(`job ${at + n}`, 1 + (n % 2))),
      );
    // As if they had come over some minutes.
    await sql`UPDATE pgboss.job SET created_on = now() - interval '1 hour' + substr(data->>'j', 5)::int * interval '10 ms'`;
    await sql`VACUUM ANALYZE pgboss.job_common`;
  });

  test("every message is taken once, in its turn", async () => {
    const taken: string[] = [];
    for (let batch = await take(); batch.length > 0; batch = await take()) taken.push(...batch);
    const ids = Array.from({ length: waiting }, (_, at) => `job ${at}`);
    expect(taken).toEqual([0, 1].flatMap((odd) => ids.filter((_, at) => at % 2 === odd)));
  });

  test("a claim does not step over all that was taken before", async () => {
    for (let at = 0; at < waiting * 0.8; at += atOnce) await take();
    const fromHead = await pagesReadBy((tx) => other.take(tx, "function", 1));
    const fromPlace = [];
    for (let round = 0; round < 5; round++) fromPlace.push(await pagesReadBy((tx) => queue.take(tx, "function", 1)));
    // One of them looks at the head again, perhaps two.
    expect(Math.min(...fromPlace)).toBeLessThan(fromHead / 3);
  });

  test("what is put before the others is the next to be taken", async () => {
    for (let round = 0; round < 5; round++) await take();
    await other.put(sql, [messageOf("urgent", 0)]);
    queue.hasPut(messageOf("urgent", 0));
    expect((await take())[0]).toBe("urgent");
    await take();
    await queue.put(sql, [
      messageOf("more urgent", -1),
      { ...messageOf("later", -2), startAt: new Date(Date.now() + 3_600_000) },
    ]);
    expect((await take())[0]).toBe("more urgent");
  });

  test("what another node has put before the others is taken soon", async () => {
    for (let round = 0; round < 5; round++) await take();
    await other.put(sql, [messageOf("urgent", 0)]);
    await until("it is taken, while many wait behind it", async () => (await take(1)).includes("urgent"), {
      withinMs: 1_500,
      everyMs: 10,
    });
    expect(await left()).toBeGreaterThan(waiting / 2);
  });

  test("what comes back to its place is the next to be taken", async () => {
    for (let round = 0; round < 5; round++) await take();
    const next: string[] = [];
    const givenBack = sql.begin(async (tx) => {
      next.push(...(await queue.take(tx, "function", atOnce)).map(({ jobId }) => jobId));
      throw new Error("as the test wants");
    });
    await expect(givenBack).rejects.toThrow("as the test wants");
    queue.hasGivenBack(["function"]);
    expect(await take()).toEqual(next);
  });

  test("what was put at an earlier time and committed later is not left to the end", async () => {
    await sql`DELETE FROM pgboss.job`;
    const committed = Promise.withResolvers<void>();
    const isPut = Promise.withResolvers<void>();
    const slow = sql.begin(async (tx) => {
      await other.put(tx, [messageOf("late", 1)]);
      isPut.resolve();
      await committed.promise;
    });
    await isPut.promise;
    await other.put(
      sql,
      Array.from({ length: 1_000 }, (_, n) => messageOf(`job ${n}`, 1)),
    );
    for (let round = 0; round < 5; round++) await take();
    committed.resolve();
    await slow;
    expect((await take())[0]).toBe("late");
  });

  test("a look at other queues reads none of them", async () => {
    const rows = await rowsReadBy(async (tx) => {
      expect(await queuesWithWork(tx, ["script", "container", "function"])).toEqual(["function"]);
    });
    expect(rows).toBeLessThan(10);
  });
});

describe("the place that claims have come to", () => {
  const far = { priority: -2, at: "b" };
  const first = { nowMs: 0, lookMs: 1 };

  test("is forgotten after a time that grows with what a look at the head takes", () => {
    for (const [lookMs, staleMs] of [
      [1, 100],
      [20, 400],
      [500, 1_000],
    ] as const) {
      const frontier = new Frontier();
      frontier.advance("q", null, far, { nowMs: 0, lookMs });
      expect([frontier.of("q", staleMs), frontier.of("q", staleMs + 1)]).toEqual([far, null]);
      frontier.advance("q", far, { priority: -3, at: "c" }, { nowMs: staleMs, lookMs: 1 });
      expect(frontier.of("q", staleMs + 1)).toBeNull();
    }
  });

  test("is not brought back by a claim that began before it was forgotten", () => {
    const frontier = new Frontier();
    frontier.advance("q", null, far, first);
    const from = frontier.of("q", 1);
    frontier.put("q", -2, { nowMs: 1, isCommitted: true });
    expect(frontier.of("q", 1)).toEqual(far);
    frontier.put("q", -1, { nowMs: 1, isCommitted: true });
    expect(frontier.of("q", 1)).toBeNull();
    frontier.advance("q", from, { priority: -1, at: "c" }, { nowMs: 2, lookMs: 1 });
    expect(frontier.of("q", 2)).toBeNull();
  });

  test("is not behind what may have come during the look at the head that found it", () => {
    for (const [tell, heldMs] of [
      [(of: Frontier) => of.put("q", -1, { nowMs: 0, isCommitted: true }), 100],
      [(of: Frontier) => of.put("q", -1, { nowMs: 0, isCommitted: false }), 1_000],
      [(of: Frontier) => of.giveBack("q", 0), 100],
    ] as const) {
      const frontier = new Frontier();
      tell(frontier);
      frontier.advance("q", null, far, { nowMs: heldMs - 1, lookMs: 1 });
      expect(frontier.of("q", heldMs - 1)).toBeNull();
      frontier.advance("q", null, far, { nowMs: heldMs, lookMs: 1 });
      expect(frontier.of("q", heldMs)).toEqual(far);
      expect(frontier.of("another", heldMs)).toBeNull();
    }
  });

  test("moves on past what is put behind it, and not past what may come before it", () => {
    const frontier = new Frontier();
    frontier.put("q", -9, { nowMs: 0, isCommitted: false });
    frontier.advance("q", null, far, first);
    const from = frontier.of("q", 1);
    expect(from).toEqual(far);
    frontier.advance("q", from, { priority: -10, at: "c" }, { nowMs: 2, lookMs: 1 });
    expect(frontier.of("q", 2)).toBeNull();
    frontier.forget("q");
    frontier.advance("q", null, far, first);
    expect(frontier.of("q", 1)).toEqual(far);
  });
});

async function take(most = atOnce): Promise<string[]> {
  return (await queue.take(sql, "function", most)).map(({ jobId }) => jobId);
}

function messageOf(jobId: string, priority: number): Put {
  return { queue: "function", jobId, task: 0, turn: 1, priority };
}

async function left(): Promise<number> {
  const [row] = await sql<{ count: number }[]>`SELECT count(*)::int AS count FROM pgboss.job`;
  return row?.count ?? 0;
}

/** Pages of the index that gives the turn. */
async function pagesReadBy(act: (tx: Runs) => Promise<unknown>): Promise<number> {
  const session = await sql.reserve();
  const count = async () => {
    await session`SELECT pg_stat_force_next_flush()`;
    const [row] = await session<{ pages: number }[]>`
      SELECT (idx_blks_read + idx_blks_hit)::int AS pages FROM pg_statio_user_indexes WHERE indexrelname = 'job_common_i11'`;
    return row?.pages ?? 0;
  };
  try {
    const before = await count();
    await act(session);
    return (await count()) - before;
  } finally {
    session.release();
  }
}

/** Rows of messages that are read on the way, by whatever scan. */
async function rowsReadBy(act: (tx: Runs) => Promise<void>): Promise<number> {
  return await sql.begin(async (tx) => {
    const count = async () => {
      const [row] = await tx<{ rows: number }[]>`
        SELECT (seq_tup_read + idx_tup_fetch)::int AS rows FROM pg_stat_xact_user_tables WHERE relname = 'job_common'`;
      return row?.rows ?? 0;
    };
    const before = await count();
    await act(tx);
    return (await count()) - before;
  });
}
