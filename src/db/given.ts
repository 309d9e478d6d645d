import { EngineError } from "../errors.ts";
import { type Database, openDatabase, type OpenOptions } from "./client.ts";
import { examineSessions, isHeardAt, type Sessions } from "./sessions.ts";

export type GivenDatabase = { db: Database; sessions: Sessions };

/**
 * Opens the database at `DATABASE_URL` as what stands before it allows. `listenUrl` is another way to it, around a pooler, or empty.
 * Rejects with the database's fault when it cannot be reached.
 */
export async function openGivenDatabase(
  url: string,
  listenUrl: string,
  options: Pick<OpenOptions, "answerWithinS"> = {},
): Promise<GivenDatabase> {
  const found = await examineSessions(url);
  if (listenUrl === "") {
    const { isPooled, hears } = found;
    return {
      db: openDatabase(url, { ...options, isPooled, ...(hears ? {} : { listenAt: "never" }) }),
      sessions: found,
    };
  }
  if (!(await isHeardAt(listenUrl, url, found))) {
    throw new EngineError(
      "unavailable",
      "DATABASE_LISTEN_URL hears nothing of what DATABASE_URL is told: let it name the same database, directly or by a pooler that pools sessions",
    );
  }
  const db = openDatabase(url, { ...options, isPooled: found.isPooled, listenAt: { address: listenUrl } });
  return { db, sessions: { ...found, hears: true } };
}
