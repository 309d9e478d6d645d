import { mkdirSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { FileLock } from "./db/embeddedLock.ts";
import type { Sql } from "./db/client.ts";
import type { Rooms } from "./app-rooms.ts";

const lockPollMs = 15;
const idsAtOnce = 1_000;

/**
 * Clears what servers that were killed left in `DATA_DIR`: uploads that broke off, and files of payloads that were never
 * committed. Only while no other server uses the directory, whose uploads look the same. Call it before the doors open; returns
 * what gives the directory back, once nobody can upload any more.
 */
export async function clearLeftovers(rooms: Rooms): Promise<() => Promise<void>> {
  const { config, log } = rooms;
  mkdirSync(config.dataDir, { recursive: true });
  const lock = new FileLock(join(config.dataDir, "serving.lock"));
  try {
    if (lock.tryExclusive()) await sweep(rooms).catch((fault: unknown) => log.warn("leftovers remain", { fault }));
    // Whoever has it alone is sweeping, and will be done soon.
    while (!lock.tryShared()) await Bun.sleep(lockPollMs);
  } catch (fault) {
    lock.release();
    throw fault;
  }
  return async () => lock.release();
}

async function sweep({ config, files, database, log }: Rooms): Promise<void> {
  const uploads = await files.sweepStaging(0);
  const strays = files.kind === "local" ? await strayPayloads(database.db.sql, join(config.dataDir, "payloads")) : [];
  for (const id of strays) await files.remove(id);
  if (uploads + strays.length > 0)
    log.info("leftovers of an earlier server were removed", { uploads, payloads: strays.length });
}

/**
 * Directories of ids that this database has given out and knows nothing of, or only that they were cleaned, which other nodes
 * say of those of a node that is gone. An id beyond those is of another
 * database, such as one that was since restored from a backup, and none of our business.
 */
async function strayPayloads(sql: Sql, directory: string): Promise<number[]> {
  const [row] = await sql<{ newest: number }[]>`
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END::int AS newest FROM payloads_id_seq`;
  const newest = row?.newest ?? 0;
  const ids = (await namesIn(directory)).map(Number).filter((id) => Number.isInteger(id) && id > 0 && id <= newest);
  const strays: number[] = [];
  for (let from = 0; from < ids.length; from += idsAtOnce) {
    const some = ids.slice(from, from + idsAtOnce);
    const known = await sql<{ id: number }[]>`SELECT id FROM payloads WHERE id = ANY(${some}) AND cleaned_at IS NULL`;
    const rows = new Set(known.map(({ id }) => id));
    strays.push(...some.filter((id) => !rows.has(id)));
  }
  return strays;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (fault) {
    if (fault instanceof Error && "code" in fault && fault.code === "ENOENT") return [];
    throw fault;
  }
}
