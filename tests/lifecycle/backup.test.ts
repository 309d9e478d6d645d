import { expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, cpSync } from "node:fs";
import { join } from "node:path";
import { findPostgres, startOwnPostgres } from "../support/own-postgres.ts";
import { accepted, ended, submitted } from "./job-calls.ts";
import { root, scratchDirectory, type ServerProcess, spawnServer } from "./server-process.ts";

setDefaultTimeout(120_000);

const programs = findPostgres();

test.skipIf(programs === null)("a dump and the files, restored elsewhere, go on where they were", async () => {
  const postgres = await startOwnPostgres(programs ?? "");
  const [source, target] = [await postgres.create("source"), await postgres.create("target")];
  migrate(source);
  const before = scratchDirectory("before");
  const server = await serverOn(source, before);
  const done = await submitted(server, { script: "echo kept > end.txt; echo spoken" });
  expect(await server.stop()).toBe(0);
  // Nobody works, so this one is in the queue when the backup is made, of a database in use.
  const idle = await serverOn(source, before, ["--no-work"]);
  const waiting = await accepted(idle, { function: "hello", input: { name: "Ada" } });
  const dump = join(outbox(), "fairlead.dump");
  await postgres.tool("pg_dump", ["--format=custom", `--file=${dump}`, source]);
  const after = join(scratchDirectory("after"), "data");
  cpSync(before, after, { recursive: true });
  expect(await idle.stop()).toBe(0);

  await postgres.tool("pg_restore", ["--no-owner", "--exit-on-error", `--dbname=${target}`, dump]);
  const restored = await serverOn(target, after);
  expect(await ended(restored, done.id)).toMatchObject({ status: "succeeded" });
  expect(await (await restored.call(`/api/v1/jobs/${done.id}/files/end.txt`)).text()).toBe("kept\n");
  expect(await (await restored.call(`/api/v1/jobs/${done.id}/events`)).text()).toContain("spoken");
  expect(await ended(restored, waiting.id)).toMatchObject({ status: "succeeded", attempts: 1 });
  expect((await submitted(restored, { function: "hello" })).status).toBe("succeeded");
  expect(await restored.stop()).toBe(0);
});

async function serverOn(url: string, dataDir: string, words: string[] = []): Promise<ServerProcess> {
  return spawnServer({ DATABASE_URL: url, DATA_DIR: dataDir, SANDBOX: "none" }, words).ready();
}

function migrate(url: string): void {
  const { success, stderr } = Bun.spawnSync([process.execPath, join(root, "src/main.ts"), "migrate"], {
    env: { PATH: process.env["PATH"] ?? "", DATABASE_URL: url },
  });
  if (!success) throw new Error(`The migration failed: ${stderr}`);
}

/** Where the account of Postgres may write. */
function outbox(): string {
  const directory = scratchDirectory("dump");
  chmodSync(directory, 0o777);
  return directory;
}
