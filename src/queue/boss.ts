import { type Db, PgBoss } from "pg-boss";
import type { Runs, Sql } from "../db/client.ts";

/** What a message says: which task, and in which turn. Bodies never travel in messages. */
export type Message = {
  jobId: string;
  task: number;
  turn: number;
  /** At most `max` running jobs may share the key; checked by whoever claims. */
  concurrency?: { key: string; max: number };
};

/** A message to be put in a queue. Lower `priority` is handed out first; equal ones in the order they were put. */
export type Put = Message & { queue: string; priority: number; startAt?: Date | null };

type Wire = { j: string; t: number; n: number; c?: { key: string; max: number } };

type Row = { id: string; data: Wire; p: number; at: string };

export const queueSchema = "pgboss";

/**
 * The waiting room: durable priority queues with delays. It never holds a running task: a message is deleted in the
 * transaction that claims it, so pg-boss's own retries, expiry and supervision stay off.
 */
export class Queue {
  readonly #boss: PgBoss;

  private constructor(boss: PgBoss) {
    this.#boss = boss;
  }

  /** Creates or updates pg-boss's schema and the queues. Part of a migration. */
  static async install(sql: Sql, queues: readonly string[]): Promise<void> {
    // Its migration opens a transaction by hand, so it must stay on one connection.
    const session = await sql.reserve();
    try {
      const boss = bossOn(session, { migrate: true });
      await boss.start();
      for (const name of queues) await boss.createQueue(name, { policy: "standard" });
      await boss.stop({ graceful: false });
    } finally {
      session.release();
    }
  }

  /** Attaches to an installed schema. Rejects when it is missing or of another version. */
  static async open(sql: Sql): Promise<Queue> {
    const boss = bossOn(sql, { migrate: false });
    await boss.start();
    return new Queue(boss);
  }

  /** Puts messages in the transaction `tx`; they can be claimed once it has committed. */
  async put(tx: Runs, messages: readonly Put[]): Promise<void> {
    const db = adapter(tx);
    for (const [queue, group] of groupedByQueue(messages)) {
      const rows = group.map((message, at) => ({
        // Ids that grow with time keep the order of messages that were put in one transaction.
        id: Bun.randomUUIDv7(),
        data: {
          j: message.jobId,
          t: message.task,
          n: message.turn,
          ...(message.concurrency ? { c: message.concurrency } : {}),
        },
        priority: -message.priority,
        startAfter: message.startAt ?? arrivalOffset(at, group.length),
      }));
      await this.#boss.insert(queue, rows, { db });
    }
  }

  /** Takes up to `most` messages that are due, best priority first, and deletes them, all in the transaction `tx`. */
  async take(tx: Runs, queue: string, most: number): Promise<Message[]> {
    const rows = await tx.unsafe<Row[]>(takeSql, [queue, most], { prepare: true });
    // A DELETE promises no order.
    return rows.sort(byTurn).map(({ data }) => ({
      jobId: data.j,
      task: data.t,
      turn: data.n,
      ...(data.c ? { concurrency: data.c } : {}),
    }));
  }

  async close(): Promise<void> {
    await this.#boss.stop({ graceful: false });
  }
}

/**
 * What pg-boss's `fetch` selects, deleted at once. Its own `fetch` marks every message active before `deleteJob` removes it:
 * twice the writes, for a state that nobody sees inside our transaction. The order and the conditions are those of 12.35.0.
 */
const takeSql = `
DELETE FROM ${queueSchema}.job WHERE name = $1 AND id = ANY (ARRAY(
  SELECT id FROM ${queueSchema}.job
  WHERE name = $1 AND state < 'active' AND NOT blocked AND start_after <= now()
  ORDER BY priority DESC, created_on LIMIT $2 FOR UPDATE SKIP LOCKED))
RETURNING id, data, priority AS p, created_on::text AS at`;

/** Names of the queues among `queues` that hold a message which is due. One statement, whatever their length. */
export async function queuesWithWork(sql: Runs, queues: readonly string[]): Promise<string[]> {
  const rows = await sql.unsafe<{ name: string }[]>(
    `SELECT q.name FROM unnest($1::text[]) AS q(name)
     WHERE EXISTS (SELECT 1 FROM ${queueSchema}.job j
                   WHERE j.name = q.name AND j.state < 'active' AND NOT j.blocked AND j.start_after <= now())`,
    [queues as string[]],
  );
  return rows.map((row) => row.name);
}

function bossOn(sql: Runs, options: { migrate: boolean }): PgBoss {
  const boss = new PgBoss({ db: adapter(sql), schema: queueSchema, supervise: false, schedule: false, ...options });
  boss.on("error", () => undefined);
  return boss;
}

function adapter(runs: Runs): Db {
  return {
    async executeSql(text, values) {
      // Several statements in one text need the simple protocol, which knows no parameters.
      if (values === undefined || values.length === 0) return { rows: (await runs.unsafe(text)).flat() };
      return { rows: [...(await runs.unsafe(text, values as never[], { prepare: true }))] };
    },
  };
}

function byTurn(a: Row, b: Row): number {
  if (a.p !== b.p) return b.p - a.p;
  if (a.at !== b.at) return a.at < b.at ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}

/**
 * Messages put at once share their time of creation, which is what pg-boss orders equal priorities by. Its index goes on
 * with the time they are due, so microseconds in the past keep their order. In seconds, as an interval.
 */
function arrivalOffset(at: number, count: number): string {
  return `${(at + 1 - count) / 1_000_000}`;
}

function groupedByQueue(messages: readonly Put[]): Map<string, Put[]> {
  const groups = new Map<string, Put[]>();
  for (const message of messages) {
    const group = groups.get(message.queue);
    if (group === undefined) groups.set(message.queue, [message]);
    else group.push(message);
  }
  return groups;
}
