import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase, type Sql } from "../../src/db/client.ts";
import { startEmbedded } from "../../src/db/embedded.ts";
import { install } from "../../src/engine/install.ts";
import { silentLog } from "../../src/log.ts";
import type { SocketAddress } from "../support/cluster.ts";
import { type BenchService, startBenchService } from "./service.ts";

/** A durable Postgres for several services, with what they have in common. */
export type SharedDatabase = AsyncDisposable & {
  address: SocketAddress;
  sql: Sql;
  /** Starts so many services at once; `words` are theirs on the command line. All have the same directory for payloads. */
  serve(count: number, environment?: Record<string, string>, words?: string[]): Promise<BenchService[]>;
};

export async function openSharedDatabase(): Promise<SharedDatabase> {
  const dataDir = await mkdtemp(join(tmpdir(), "fairlead-bench-shared-"));
  const files = await mkdtemp(join(tmpdir(), "fairlead-bench-files-"));
  const { host, database, username, stop } = await startEmbedded({ dataDir, log: silentLog() });
  const address = { host, database, username };
  const db = openDatabase(address, { connectionsMax: 4 });
  await install(db.sql);
  return {
    address,
    sql: db.sql,
    serve(count, environment = {}, words = []) {
      const settings = {
        DATABASE_URL: `postgres://${username}@localhost/${database}?host=${encodeURIComponent(host)}`,
        FUNCTIONS_DIR: join(import.meta.dir, "functions"),
        SURFACES: "api,andera",
        ...environment,
      };
      return Promise.all(Array.from({ length: count }, () => startBenchService(settings, files, words)));
    },
    async [Symbol.asyncDispose]() {
      await db.close();
      await stop();
      for (const directory of [dataDir, files]) await rm(directory, { recursive: true, force: true });
    },
  };
}
