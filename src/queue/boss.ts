import { type Db, PgBoss } from "pg-boss";
import type { Runs, Sql } from "../db/client.ts";
import type { QueueBackend } from "./backend.ts";
import { Frontier, type Place } from "./frontier.ts";
import { messageRows, putSql, rowsOf } from "./put-sql.ts";
import { queueSchema } from "./schema.ts";
import { takeFromSql, takeShareSql, takeSql } from "./take-sql.ts";

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
  readonly #frontier = new Frontier();

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
    for (const message of messages) this.#note(message, false);
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
    for (const queue of queues) this.#frontier.forget(queue);
  }

  /** To be told what was put by other means than `put`, once it is committed. */
  hasPut(message: Put): void {
    this.#note(message, true);
  }

  /** To be told of a transaction in which messages were taken and which came to nothing: they are back in their places. */
  hasGivenBack(queues: readonly string[]): void {
    for (const queue of queues) this.#frontier.giveBack(queue, performance.now());
  }

  /**
   * Takes up to `most` messages that are due, best priority first, and deletes them, all in the transaction `tx`. While many wait,
   * a message that another node puts, or whose time comes, is passed by for up to a second by those of lower priorities.
   */
  async take(tx: Runs, queue: string, most: number): Promise<Message[]> {
    const sinceMs = performance.now();
    const from = this.#frontier.of(queue, sinceMs);
    const rows = from === null ? [] : await this.#takeFrom(tx, queue, most, from);
    if (rows.length < most)
      rows.push(...(await tx.unsafe<Row[]>(takeSql, [queue, most - rows.length], { prepare: true })));
    const inTurn = rows.sort(byTurn);
    const last = inTurn.at(-1);
    const nowMs = performance.now();
    if (inTurn.length < most || last === undefined) this.#frontier.reset(queue);
    else this.#frontier.advance(queue, from, { priority: last.p, at: last.at }, { nowMs, lookMs: nowMs - sinceMs });
    return messagesOf(inTurn);
  }

  /** What is due later is found by a look at the head. */
  #note({ queue, priority, startAt }: Put, isCommitted: boolean): void {
    if (startAt != null) return;
    this.#frontier.put(queue, -priority, { nowMs: performance.now(), isCommitted });
  }

  async #takeFrom(tx: Runs, queue: string, most: number, { priority, at }: Place): Promise<Row[]> {
    return [...(await tx.unsafe<Row[]>(takeFromSql, [queue, most, priority, at], { prepare: true }))];
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
    return { messages: messagesOf(rows.sort(byTurn)), hasMore, isShare: hasMore && !isFull };
  }

  async close(): Promise<void> {
    await this.#boss.stop({ graceful: false });
  }
}

const putOnlySql = putSql(messageRows("$1"));

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
    `SELECT q.name FROM unnest($1::text[]) AS q(name) CROSS JOIN LATERAL (
       SELECT FROM ${queueSchema}.job j
       WHERE j.name = q.name AND j.state < 'active' AND NOT j.blocked AND j.start_after <= now()
       ORDER BY priority DESC, created_on LIMIT 1) head`,
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

function messagesOf(rows: readonly Row[]): Message[] {
  return rows.map(({ data }) => ({
    jobId: data.j,
    task: data.t,
    turn: data.n,
    ...(data.c ? { concurrency: data.c } : {}),
  }));
}

/** A DELETE promises no order. */
function byTurn(a: Row, b: Row): number {
  if (a.p !== b.p) return b.p - a.p;
  if (a.at !== b.at) return a.at < b.at ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}
