import { expect, test } from "bun:test";
import { openDatabase } from "../../src/db/client.ts";
import { Hub } from "../../src/engine/hub.ts";
import { createLog } from "../../src/log.ts";
import { Listening } from "../../src/worker/listening.ts";
import { testDatabase } from "../support/database.ts";
import { openNode } from "../support/engine.ts";
import { openNetworkLink } from "../support/network-link.ts";
import { until } from "../support/until.ts";

test.each(["half-open", "cut"] as const)("a node hears again after its connection was %s", async (way) => {
  const { address, sql } = await testDatabase();
  await using link = await openNetworkLink(address);
  await using node = await openNode(address, { isStarted: false });
  const db = openDatabase(link.url, { answerWithinS: 1 });
  const heard: string[] = [];
  const listening = new Listening({
    engine: { ...node.engine, db, hub: new Hub() },
    log: createLog({ level: "error", maxLines: 100, write: () => undefined }),
    hear: (payload) => heard.push(payload),
    times: { probeEveryMs: 200 },
  });
  await listening.start();
  const isHeard = async (text: string) => {
    await sql`SELECT pg_notify('fairlead', ${text})`;
    return heard.includes(text);
  };
  await until("it hears", () => isHeard("before"));
  link.state = way;
  // The database tells it to nobody: what was forgotten is forgotten on both sides.
  await until("nobody listens", async () => (await listeners(sql)) === 0);
  expect(await isHeard("meanwhile")).toBe(false);
  link.state = "open";
  await until("it hears again", () => isHeard("after"), { withinMs: 30_000, everyMs: 100 });
  await listening.stop();
  await db.close();
});

async function listeners(sql: Awaited<ReturnType<typeof testDatabase>>["sql"]): Promise<number> {
  const rows = await sql`
    SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE '%listen%' AND pid <> pg_backend_pid()`;
  return rows.length;
}
