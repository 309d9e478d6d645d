import { type Db, PgBoss } from "pg-boss";
import type { Runs, Sql } from "../db/client.ts";
import type { QueueBackend } from "./backend.ts";
import { messageRows, putSql, rowsOf } from "./put-sql.ts";
import { queueSchema } from "./schema.ts";

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

/**
 * The waiting room: durable priority queues with delays. It never holds a running task: a message is deleted in the
 * transaction that claims it, so pg-boss's own retries, expiry and supervision stay off.
 */
export class Queue {
  readonly #boss: PgBoss;

  private constructor(boss: PgBoss) {
    this.#boss = boss;
  }

  /** Creates or updates pg-boss's schema and the queues, as suits the database. Part of a migration. */
  static async install(sql: Sql, queues: readonly string[], backend: QueueBackend = "postgres"): Promise<void> {
    // Its migration opens a transaction by hand, so it must stay on one connection.
    const session = await sql.reserve();
    try {
      const boss = bossOn(session, { migrate: true, backend });
      await boss.start();
      for (const name of queues) await boss.createQueue(name, { policy: "standard" });
      await boss.stop({ graceful: false });
    } finally {
      session.release();
    }
  }

  /** Attaches to an installed schema. Rejects when it is missing or of another version. */
  static async open(sql: Sql, backend: QueueBackend = "postgres"): Promise<Queue> {
    const boss = bossOn(sql, { migrate: false, backend });
    await boss.start();
    return new Queue(boss);
  }

  /** Puts messages in the transaction `tx`; they can be claimed once it has committed. */
  async put(tx: Runs, messages: readonly Put[]): Promise<void> {
    if (messages.length === 0) return;
    await tx.unsafe(putOnlySql, [JSON.stringify(rowsOf(messages))], { prepare: true });
  }

  /** Makes queues, in the transaction `tx`. Those that are there stay as they are. */
  async create(tx: Runs, queues: readonly string[]): Promise<void> {
    await tx.unsafe(`SELECT ${queueSchema}.create_queue(name, '{"policy":"standard"}') FROM unnest($1::text[]) name`, [
      queues.toSorted(),
    ]);
  }

  /** Removes queues with whatever is left in them, in the transaction `tx`. */
  async drop(tx: Runs, queues: readonly string[]): Promise<void> {
    await tx.unsafe(`SELECT ${queueSchema}.delete_queue(name) FROM unnest($1::text[]) name`, [queues.toSorted()]);
  }

  /** Takes up to `most` messages that are due, best priority first, and deletes them, all in the transaction `tx`. */
  async take(tx: Runs, queue: string, most: number): Promise<Message[]> {
    const rows = await tx.unsafe<Row[]>(takeSql, [queue, most], { prepare: true });
    return messagesOf(rows);
  }

  /**
   * As `take`, from several queues at once, best priority first over all of them, and no more than one node's share:
   * what waits divided by `nodes`, at least one. Those that share a place by a key are not shared out: two claims at once
   * would decide by chance which comes first. `hasMore`: some stayed where they were; `isShare`: for the sake of others.
   */
  async takeShare(
    tx: Runs,
    queues: readonly string[],
    most: number,
    nodes: number,
  ): Promise<{ messages: Message[]; hasMore: boolean; isShare: boolean }> {
    const rows = await tx.unsafe<(Row & { waiting: number })[]>(takeShareSql, [queues as string[], most, nodes], {
      prepare: true,
    });
    const isFull = rows.length === most;
    const hasMore = isFull || (rows[0]?.waiting ?? 0) > rows.length;
    return { messages: messagesOf(rows), hasMore, isShare: hasMore && !isFull };
  }

  async close(): Promise<void> {
    await this.#boss.stop({ graceful: false });
  }
}

const putOnlySql = putSql(messageRows("$1"));

/**
 * What pg-boss's `fetch` selects, deleted at once. Its own `fetch` marks every message active before `deleteJob` removes it:
 * twice the writes, for a state that nobody sees inside our transaction. The order and the conditions are those of 12.35.0.
 * The commit does not wait for the disk: a claim that is lost with the database's machine leaves the messages where they were.
 */
const takeSql = `
DELETE FROM ${queueSchema}.job WHERE name = $1 AND id = ANY (ARRAY(
  SELECT id FROM ${queueSchema}.job
  WHERE name = $1 AND state < 'active' AND NOT blocked AND start_after <= now()
  ORDER BY priority DESC, created_on LIMIT $2 FOR UPDATE SKIP LOCKED))
RETURNING id, data, priority AS p, created_on::text AS at, (SELECT set_config('synchronous_commit', 'off', true)) AS flush`;

/**
 * First who would be next, over all queues, as many as all nodes could take; then of each queue as many as are among
 * this node's share. Those that another claim holds are passed over, for the ones behind them.
 */
const takeShareSql = `
WITH heads AS MATERIALIZED (
  SELECT q.name, head.priority, head.created_on, head.keyed
  FROM unnest($1::text[]) AS q(name) CROSS JOIN LATERAL (
    SELECT priority, created_on, data->'c' IS NOT NULL AS keyed FROM ${queueSchema}.job j
    WHERE j.name = q.name AND state < 'active' AND NOT blocked AND start_after <= now()
    ORDER BY priority DESC, created_on LIMIT $2::int * $3::int) head
  ORDER BY head.priority DESC, head.created_on LIMIT $2::int * $3::int
), share AS (
  SELECT name FROM heads ORDER BY priority DESC, created_on
  LIMIT (SELECT CASE WHEN bool_or(keyed) THEN $2::int ELSE least($2::int, greatest(1, ceil(count(*) / $3::float8)::int)) END FROM heads)
), quota AS (
  SELECT name, count(*) AS count FROM share GROUP BY name
), picked AS MATERIALIZED (
  SELECT mine.name, mine.id FROM quota CROSS JOIN LATERAL (
    SELECT j.name, j.id FROM ${queueSchema}.job j
    WHERE j.name = quota.name AND state < 'active' AND NOT blocked AND start_after <= now()
    ORDER BY priority DESC, created_on LIMIT quota.count FOR UPDATE SKIP LOCKED) mine
)
DELETE FROM ${queueSchema}.job j USING picked WHERE j.name = picked.name AND j.id = picked.id
RETURNING j.id, j.data, j.priority AS p, j.created_on::text AS at, (SELECT count(*)::int FROM heads) AS waiting`;

/** SQL: those of the queues `$names` (an array) whose next message has been due for so many seconds. */
export function overdueSql(names: string, seconds: string): string {
  return `SELECT q.name FROM unnest(${names}) AS q(name) CROSS JOIN LATERAL (
    SELECT start_after FROM ${queueSchema}.job j
    WHERE j.name = q.name AND state < 'active' AND NOT blocked AND start_after <= now()
    ORDER BY priority DESC, created_on LIMIT 1) head
  WHERE head.start_after <= now() - make_interval(secs => ${seconds})`;
}

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

function bossOn(sql: Runs, options: { migrate: boolean; backend: QueueBackend }): PgBoss {
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

/** A DELETE promises no order. */
function messagesOf(rows: Row[]): Message[] {
  return rows.sort(byTurn).map(({ data }) => ({
    jobId: data.j,
    task: data.t,
    turn: data.n,
    ...(data.c ? { concurrency: data.c } : {}),
  }));
}

function byTurn(a: Row, b: Row): number {
  if (a.p !== b.p) return b.p - a.p;
  if (a.at !== b.at) return a.at < b.at ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}
