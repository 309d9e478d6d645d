import type { Engine } from "./context.ts";

/** How many tasks wait in a queue, counted up to one more than may. */
export async function countWaiting(engine: Engine): Promise<number> {
  const [row] = await engine.db.sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM (
      SELECT 1 FROM tasks WHERE status = 'queued' AND queued_at IS NOT NULL LIMIT ${engine.queueMax + 1}) t`;
  return row?.count ?? 0;
}
