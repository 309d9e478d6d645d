import type { Runs, Sql } from "../db/client.ts";
import { within } from "../within.ts";
import type { Engine } from "./context.ts";

const batchMax = 500;
/** A refusal does not wait longer for a database that has no answer. */
const giveUpMs = 250;
/** Uploads of a node that lives are under way for so long at the most; those of one that does not are given up soon. */
const ageS = { living: 86_400, gone: 600 };
/** A removal that was begun and has not ended by then is begun again, by anybody. */
const removalS = 3_600;

/**
 * Whose files a node may remove: all of them where every node reaches them, else its own and those of nodes that are gone, which
 * may have been earlier processes on the same disk.
 */
export type Reach = { nodeId: string; isShared: boolean };

/**
 * The id that the next payload will have. Until its job is committed it is known as an upload of this node, whose files are
 * removed when it comes to nothing. Ids of submissions that fail are never used again.
 */
export async function reservePayloadId({ db, nodeId }: Pick<Engine, "db" | "nodeId">): Promise<number> {
  const ids = await db.sql<{ id: number }[]>`
    INSERT INTO uploads (payload_id, node_id) VALUES (nextval('payloads_id_seq')::int, ${nodeId})
    RETURNING payload_id AS id`;
  return nth(ids, 0);
}

/** A payload id that is on its way while its upload comes in. */
export type Reservation = {
  /** Throws what `reservePayloadId` throws. */
  id(): Promise<number>;
  /** For an upload that came to nothing before any file was in its place: leaves no trace. Never rejects. */
  giveUp(): Promise<void>;
};

/** Begins to reserve an id. The upload must not take long from here on: its age counts. */
export function beginReservation(engine: Pick<Engine, "db" | "nodeId">): Reservation {
  return reservation(engine, reservePayloadId(engine));
}

/** The same for many that are stored together, with ids in their order. */
export function beginReservations(engine: Pick<Engine, "db" | "nodeId">, count: number): Reservation[] {
  const reserving = reserveMany(engine, count);
  return Array.from({ length: count }, (_, at) =>
    reservation(
      engine,
      reserving.then((ids) => nth(ids, at)),
    ),
  );
}

/** For a single one this takes longer than `reservePayloadId`. */
async function reserveMany({ db, nodeId }: Pick<Engine, "db" | "nodeId">, count: number): Promise<{ id: number }[]> {
  if (count === 0) return [];
  return db.sql<{ id: number }[]>`
    INSERT INTO uploads (payload_id, node_id)
    SELECT nextval('payloads_id_seq')::int, ${nodeId} FROM generate_series(1, ${count}::int)
    RETURNING payload_id AS id`;
}

function nth(rows: readonly { id: number }[], at: number): number {
  const row = rows[at];
  if (row === undefined) throw new Error("the database gave no payload id");
  return row.id;
}

function reservation({ db }: Pick<Engine, "db">, reserving: Promise<number>): Reservation {
  reserving.catch(() => undefined); // Told by `id`, to whoever needs it.
  return {
    id: () => reserving,
    async giveUp() {
      try {
        await within(
          reserving.then((id) => forgetUploads(db.sql, [id])),
          giveUpMs,
        );
      } catch {
        // It is on its way, will be found among those that broke off, or was never there.
      }
    },
  };
}

/**
 * Ids of uploads that broke off, one bounded batch: from now on no job can be committed with them. Their files are the
 * caller's to remove, and then `forgetUploads`.
 */
export async function takeAbandoned(sql: Sql, { nodeId, isShared }: Reach, ages = ageS): Promise<number[]> {
  const rows = await sql<{ id: number }[]>`
    UPDATE uploads SET swept_at = now() WHERE payload_id IN (
      SELECT u.payload_id FROM uploads u CROSS JOIN LATERAL (
        SELECT EXISTS (SELECT 1 FROM nodes n WHERE n.id = u.node_id AND n.lease_until > now()) AS lives) node
      WHERE (${isShared} OR u.node_id = ${nodeId} OR NOT node.lives)
        AND CASE WHEN u.swept_at IS NOT NULL THEN u.swept_at < now() - make_interval(secs => ${removalS})
          WHEN node.lives THEN u.created_at < now() - make_interval(secs => ${ages.living})
          ELSE u.created_at < now() - make_interval(secs => ${ages.gone}) END
      ORDER BY u.payload_id LIMIT ${batchMax} FOR UPDATE OF u SKIP LOCKED)
    RETURNING payload_id AS id`;
  return rows.map(({ id }) => id);
}

/** Whether one of these uploads has been given up before its job was written: no job has it, and none can be given it any more. */
export async function isAnyGivenUp(runs: Runs, ids: readonly number[]): Promise<boolean> {
  const rows = await runs.unsafe(givenUpSql, [ids as number[]]);
  return rows.length > 0;
}

const givenUpSql = `
SELECT 1 FROM unnest($1::int[]) AS given
WHERE NOT EXISTS (SELECT 1 FROM uploads u WHERE u.payload_id = given AND u.swept_at IS NULL)
  AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.payload_id = given)`;

/**
 * Payloads of final jobs whose files are past their age, oldest first, one bounded batch. From now on they are told to be
 * cleaned; their files are the caller's to remove, and then `forgetUploads`. Should it die before, another node sees them
 * among the abandoned ones.
 */
export async function takeExpired(sql: Sql, { nodeId, isShared }: Reach, maxAgeS: number): Promise<number[]> {
  const rows = await sql<{ id: number }[]>`
    WITH old AS (
      SELECT p.id FROM payloads p JOIN jobs j ON j.payload_id = p.id
      WHERE p.cleaned_at IS NULL AND j.finished_at < now() - make_interval(secs => ${maxAgeS})
        AND (${isShared} OR p.node_id IS NULL OR p.node_id = ${nodeId}
          OR NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = p.node_id AND n.lease_until > now()))
      ORDER BY j.finished_at LIMIT ${batchMax} FOR UPDATE OF p SKIP LOCKED
    ), cleaned AS (
      UPDATE payloads p SET cleaned_at = now(), manifest = NULL FROM old WHERE p.id = old.id RETURNING p.id, p.node_id
    )
    INSERT INTO uploads (payload_id, node_id, swept_at)
    SELECT id, CASE WHEN ${isShared} THEN ${nodeId} ELSE coalesce(node_id, ${nodeId}) END, now() FROM cleaned
    ON CONFLICT (payload_id) DO UPDATE SET swept_at = excluded.swept_at
    RETURNING payload_id AS id`;
  return rows.map(({ id }) => id);
}

/** The files of these ids are gone. */
export async function forgetUploads(runs: Runs, ids: readonly number[]): Promise<void> {
  await runs.unsafe("DELETE FROM uploads WHERE payload_id = ANY($1::int[])", [ids as number[]]);
}
