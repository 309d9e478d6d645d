import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Database, isConnectionFault, openDatabase } from "../../src/db/client.ts";
import { startTcpPostgres, type TcpPostgres } from "../support/tcp-postgres.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(90_000);

let postgres: TcpPostgres;
let db: Database;
let heard: string[] = [];
let listening = 0;

beforeAll(async () => {
  postgres = await startTcpPostgres();
  db = openDatabase(postgres.url());
  await db.listener?.listen(
    "news",
    (payload) => heard.push(payload),
    () => listening++,
  );
});

/** What is told while the listener is away is lost, so it is told until it is heard. */
async function untilHeard(word: string): Promise<void> {
  await until(
    `"${word}" is heard`,
    async () => {
      await db.sql`SELECT pg_notify('news', ${word})`.catch((fault: unknown) => {
        if (!isConnectionFault(fault)) throw fault;
      });
      return heard.includes(word);
    },
    { withinMs: 30_000, everyMs: 50 },
  );
}

describe("a listener", () => {
  test.each(["fast", "immediate"] as const)("listens again after a Postgres that ended (%s) is back", async (how) => {
    await untilHeard(`before ${how}`);
    const before = listening;
    await postgres.stop(how);
    // Long enough for several attempts to be refused.
    await until("the pool knows", () => db.sql`SELECT 1`.then(() => false, isConnectionFault));
    const refusals = await Promise.allSettled(Array.from({ length: 5 }, () => db.sql`SELECT 1`));
    expect(refusals.map(({ status }) => status)).toEqual(Array.from({ length: 5 }, () => "rejected"));
    heard = [];
    await postgres.start();
    await untilHeard(`after ${how}`);
    expect(listening).toBeGreaterThan(before);
  });

  test("listens again after its session was ended, and says so, since it may have missed something", async () => {
    const before = listening;
    await db.sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ILIKE 'listen%' AND pid <> pg_backend_pid()`;
    await until("it listens again", () => listening > before);
    await untilHeard("after its end");
    await db.close();
  });
});
