import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { reservePayloadId } from "../../src/engine/uploads.ts";
import { EngineError } from "../../src/errors.ts";
import { createLocalStore } from "../../src/files/local-store.ts";
import { stageFile } from "../../src/files/staging.ts";
import type { FileStore } from "../../src/files/store.ts";
import { createLog } from "../../src/log.ts";
import { cleanUp } from "../../src/worker/housekeeping.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { openDatabaseProxy } from "../support/database-proxy.ts";
import { jobOf, openNode, type TestNode } from "../support/engine.ts";
import { whenFileEnds } from "../support/ending.ts";

setDefaultTimeout(30_000);

const dataDir = mkdtempSync(join(tmpdir(), "fairlead-house-"));
whenFileEnds(async () => rmSync(dataDir, { recursive: true, force: true }));
const store = createLocalStore({ dataDir });
const log = createLog({ level: "info", maxLines: 100, write: () => undefined });
let database: TestDatabase;
let node: TestNode;

beforeAll(async () => {
  database = await testDatabase();
  node = await openNode(database.address, { nodeId: "mine", isStarted: false });
});

afterAll(async () => {
  await node.stop();
});

const directoriesLeft = () => readdirSync(join(dataDir, "payloads")).map(Number);

async function placed(): Promise<number> {
  const staging = await store.stage();
  await stageFile(staging, "run.sh", "exit 0");
  const id = await reservePayloadId(node.engine);
  await store.commit(staging, id);
  return id;
}

const payloadOf = (id: number) => ({ id, files: 1, bytes: 6, manifestJson: "{}" });

async function clean(files: FileStore = store, maxAgeS = 3_600): Promise<void> {
  await cleanUp({
    sql: database.sql,
    queue: node.queue,
    files,
    log,
    maxAgeS,
    reach: { nodeId: "mine", isShared: false },
  });
}

test("files of a submission that the database never heard of go, and those of a job and of an upload under way stay", async () => {
  await using proxy = await openDatabaseProxy(database.address);
  const far = await openNode(proxy.address, { nodeId: "mine", isStarted: false });
  const [lost, kept, fresh] = [await placed(), await placed(), await placed()];
  await node.submitter.submit(jobOf({ payload: payloadOf(kept) }));
  proxy.cut();
  const unheard = far.submitter.submit(jobOf({ payload: payloadOf(lost) }));
  await expect(unheard).rejects.toMatchObject({ code: "unavailable" });
  await database.sql`UPDATE uploads SET created_at = now() - interval '25 hours' WHERE payload_id <> ${fresh}`;
  await clean();
  expect(directoriesLeft().toSorted((a, b) => a - b)).toEqual([kept, fresh]);
  await proxy.restore();
  await far.stop();
});

test("files that cannot be removed now are removed when their time has passed again", async () => {
  const id = await placed();
  await node.submitter.submit(jobOf({ payload: payloadOf(id) }));
  await database.sql`UPDATE jobs SET status = 'failed', finished_at = now() - interval '2 hours' WHERE payload_id = ${id}`;
  const refuse = async () => {
    throw new EngineError("unavailable", "The object store cannot be used");
  };
  await clean({ ...store, remove: refuse });
  expect(existsSync(join(dataDir, "payloads", String(id)))).toBe(true);
  await clean();
  expect(existsSync(join(dataDir, "payloads", String(id)))).toBe(true);
  await database.sql`UPDATE uploads SET swept_at = now() - interval '61 minutes' WHERE payload_id = ${id}`;
  await clean();
  expect(existsSync(join(dataDir, "payloads", String(id)))).toBe(false);
  expect(await database.sql`SELECT 1 FROM uploads WHERE payload_id = ${id}`).toHaveLength(0);
});
