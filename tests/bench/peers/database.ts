import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEmbedded } from "../../../src/db/embedded.ts";
import { silentLog } from "../../../src/log.ts";

/** The same Postgres, with the same durability, for the peers. */
export async function startPeerDatabase(): Promise<
  { host: string; database: string; username: string } & AsyncDisposable
> {
  const dataDir = await mkdtemp(join(tmpdir(), "fairlead-peers-"));
  const { host, database, username, stop } = await startEmbedded({ dataDir, log: silentLog() });
  return {
    host,
    database,
    username,
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
