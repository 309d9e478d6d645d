import { join } from "node:path";
import { openDatabase, type Sql } from "../../../src/db/client.ts";
import { startEmbedded } from "../../../src/db/embedded.ts";
import { isRunning, readPostmaster } from "../../../src/db/embeddedPostmaster.ts";
import { install } from "../../../src/engine/install.ts";
import { silentLog } from "../../../src/log.ts";
import { scratchDirectory } from "../../lifecycle/server-process.ts";
import type { SocketAddress } from "../../support/cluster.ts";
import { whenFileEnds } from "../../support/ending.ts";

/** A Postgres of the test's own, which it may kill: it is started again by itself. */
export type OwnDatabase = {
  address: SocketAddress;
  /** For the test's own questions. They fail while Postgres is away. */
  sql: Sql;
  kill(): void;
  [Symbol.asyncDispose](): Promise<void>;
};

export async function openOwnDatabase(): Promise<OwnDatabase> {
  const dataDir = scratchDirectory("postgres");
  Bun.spawnSync(["chmod", "711", dataDir]);
  const embedded = await startEmbedded({ dataDir, log: silentLog(), tune: "test" });
  const { host, database, username } = embedded;
  const address = { host, database, username };
  const db = openDatabase(address, { connectionsMax: 4 });
  await install(db.sql);
  const close = async () => {
    await db.close();
    await embedded.stop();
  };
  // Should the test be broken off. Stopped twice it is stopped once.
  whenFileEnds(close);
  return {
    address,
    sql: db.sql,
    kill() {
      const running = readPostmaster(join(dataDir, "postgres"));
      // One that was killed a moment ago is not started again yet.
      if (running !== null && isRunning(running.pid)) process.kill(running.pid, "SIGKILL");
    },
    [Symbol.asyncDispose]: close,
  };
}
