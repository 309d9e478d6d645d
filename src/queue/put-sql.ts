import type { Put } from "./boss.ts";
import { queueSchema } from "./schema.ts";

/** A message as `messageRows` reads it: due at `s`, else `a` microseconds before now. */
export type MessageRow = {
  q: string;
  i: string;
  j: string;
  t: number;
  n: number;
  p: number;
  a: number;
  c?: { key: string; max: number };
  s?: string;
};

/** The rows of messages that are put together: they keep their order, where their priorities are equal. */
export function rowsOf(messages: readonly Put[]): MessageRow[] {
  return messages.map((message, at) => ({
    q: message.queue,
    // Ids that grow with time keep the order of messages that are put in one transaction.
    i: Bun.randomUUIDv7(),
    j: message.jobId,
    t: message.task,
    n: message.turn,
    p: -message.priority,
    // They share their time of creation, which is what pg-boss orders equal priorities by. Its index goes on with the time they are
    // due, so microseconds in the past keep their order.
    a: messages.length - 1 - at,
    ...(message.concurrency ? { c: message.concurrency } : {}),
    ...(message.startAt ? { s: message.startAt.toISOString() } : {}),
  }));
}

/** SQL: the relation `m` of the rows in `parameter`, which is JSON text. */
export function messageRows(parameter: string): string {
  return `json_to_recordset(${parameter}::text::json) AS m(q text, i uuid, j text, t int, n int, p int, a int, c jsonb, s timestamptz)`;
}

/**
 * SQL: puts the messages among `rows`, which is `messageRows` or a join of it. Writes what pg-boss's own `insert` of 12.35.0 writes for a
 * standard queue without options. That one looks up every option in every row, and is a statement of its own: more than a
 * quarter of what it cost Postgres to accept a job. Where there is no such queue the foreign key refuses the message.
 */
export function putSql(rows: string): string {
  return `
  INSERT INTO ${queueSchema}.job (id, name, data, priority, start_after, created_on, keep_until, policy)
  SELECT m.i, m.q, CASE WHEN m.c IS NULL THEN jsonb_build_object('j', m.j, 't', m.t, 'n', m.n)
      ELSE jsonb_build_object('j', m.j, 't', m.t, 'n', m.n, 'c', m.c) END,
    m.p, coalesce(m.s, now() - m.a * interval '1 microsecond'), now(), coalesce(m.s, now()) + interval '14 days', 'standard'
  FROM ${rows}`;
}
