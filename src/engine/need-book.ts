import type { Sql } from "../db/client.ts";
import { EngineError } from "../errors.ts";
import type { Queue } from "../queue/boss.ts";
import type { RunnerName } from "../runners/contract.ts";
import { type Need, needQueue, type Requires } from "./needs.ts";

/** A need with the queue it has. */
export type KnownNeed = Need & { queue: string };

/** The needs that have a queue. */
export type NeedBook = {
  /**
   * Resolves once each has its queue: only then may tasks name it and messages be put there. No statement while all of
   * them were ensured a short time ago. Throws `queue_full` when there are too many different ones.
   */
  ensure(needs: readonly Need[]): Promise<void>;
  /** All of them, those of other nodes too. */
  read(): Promise<KnownNeed[]>;
};

/** Each node looks into the queues of all needs it fulfils every second. */
const needsMax = 500;
/** Ensured again after that. Well below the age at which an unused need is forgotten. */
const freshMs = 600_000;
const unusedS = 3_600;
const fullRetryS = 60;

export function createNeedBook(sql: Sql, queue: Queue): NeedBook {
  const ensuredAt = new Map<string, number>();
  return {
    async ensure(needs) {
      const now = performance.now();
      const wanted = new Map(needs.map((need) => [needQueue(need), need]));
      for (const [name] of wanted) if (now - (ensuredAt.get(name) ?? -freshMs) < freshMs) wanted.delete(name);
      if (wanted.size === 0) return;
      await write(sql, queue, wanted);
      if (ensuredAt.size > needsMax) ensuredAt.clear();
      for (const name of wanted.keys()) ensuredAt.set(name, now);
    },
    read: () => readNeeds(sql),
  };
}

/** What renewals compare to notice that needs have come or gone. A text, different after each change. */
export const needsStampSql = "(SELECT count(*) || coalesce(' ' || max(created_at), '') FROM needs)";

/**
 * Forgets needs, with their queues, that no unfinished task has and that nobody has used for long: whoever is about to
 * write a task with one has ensured it a short time ago. Returns how many went.
 */
export async function pruneNeeds(sql: Sql, queue: Queue): Promise<number> {
  return sql.begin(async (tx) => {
    const rows = await tx<{ queue: string }[]>`
      DELETE FROM needs n WHERE used_at < now() - make_interval(secs => ${unusedS})
        AND NOT EXISTS (SELECT 1 FROM tasks k WHERE k.need = n.queue AND k.finished_at IS NULL)
      RETURNING queue`;
    const gone = rows.map((row) => row.queue);
    if (gone.length > 0) await queue.drop(tx, gone);
    return gone.length;
  });
}

/**
 * In the order of their names, so that two nodes that write the same ones do not wait for each other. New ones all fit, or none goes in; two
 * that write at the same moment do not count each other's: a lock would have the renewals of leases wait, which share these connections.
 */
async function write(sql: Sql, queue: Queue, wanted: ReadonlyMap<string, Need>): Promise<void> {
  const rows = [...wanted].map(([name, { runner, target, requires }]) => ({
    q: name,
    r: runner,
    t: target,
    n: requires === null ? null : JSON.stringify(requires),
  }));
  await sql.begin(async (tx) => {
    const written = await tx.unsafe(
      `WITH wanted AS (
         SELECT x.*, EXISTS (SELECT 1 FROM needs WHERE queue = x.q) AS known
         FROM json_to_recordset($1::text::json) AS x(q text, r text, t text, n text)
       )
       INSERT INTO needs (queue, runner, target, requires)
       SELECT q, r, t, n::json FROM wanted
       WHERE known OR (SELECT count(*) FROM needs) + (SELECT count(*) FROM wanted WHERE NOT known) <= ${needsMax}
       ORDER BY q
       ON CONFLICT (queue) DO UPDATE SET used_at = now() RETURNING queue`,
      [JSON.stringify(rows)],
    );
    if (written.length < rows.length) throw tooMany();
    await queue.create(tx, [...wanted.keys()]);
  });
}

function tooMany(): EngineError {
  return new EngineError(
    "queue_full",
    `There are ${needsMax} different requirements already: use one that is in use, or wait until an unused one is forgotten`,
    { retryAfterSeconds: fullRetryS },
  );
}

type Row = { queue: string; runner: RunnerName; target: string | null; requires: string | null };

async function readNeeds(sql: Sql): Promise<KnownNeed[]> {
  const rows = await sql<Row[]>`SELECT queue, runner, target, requires::text FROM needs ORDER BY queue`;
  return rows.map(({ requires, ...rest }) => ({
    ...rest,
    requires: requires === null ? null : (JSON.parse(requires) as Requires),
  }));
}
