import type { Receipt } from "../../engine/submission.ts";
import type { ApiDeps } from "./deps.ts";
import type { Draft } from "./draft.ts";

type Row = { id: string; client: string; key: string | null; fingerprint: string | null };

/**
 * The jobs of an atomic batch that was taken before, when this is the same batch once more: every draft has a job with its id or its
 * idempotency key, and was asked in the same words. Null when it is another batch.
 */
export async function findReplay(
  { engine }: Pick<ApiDeps, "engine">,
  drafts: readonly Draft[],
): Promise<Receipt[] | null> {
  const asked = drafts.map(({ submission }) => submission);
  const ids = asked.map(({ id }) => id);
  const keys = asked.flatMap(({ idempotencyKey }) => idempotencyKey ?? []);
  const rows = await engine.db.sql.unsafe<Row[]>(
    `SELECT id, client, idempotency_key AS key, fingerprint FROM jobs
     WHERE id = ANY ($1::text[]) OR (client = $2 AND idempotency_key = ANY ($3::text[]))`,
    [ids, asked[0]?.client ?? "", keys],
  );
  const receipts = asked.flatMap(({ id, idempotencyKey, fingerprint }): Receipt[] => {
    const found = rows.find((row) => row.id === id || (idempotencyKey !== undefined && row.key === idempotencyKey));
    if (found === undefined || fingerprint === undefined || found.fingerprint !== fingerprint) return [];
    return [{ id: found.id, existing: true, by: found.id === id ? "id" : "idempotency" }];
  });
  return receipts.length === drafts.length ? receipts : null;
}
