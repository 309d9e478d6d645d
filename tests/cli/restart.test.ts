import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { scratchDirectory, type ServerProcess, spawnServer, supportFunctions } from "../lifecycle/server-process.ts";
import { testDatabase } from "../support/database.ts";
import { cli, startCli } from "./cli.ts";

setDefaultTimeout(90_000);

test("logs --follow goes on over a restart of the service, without a gap", async () => {
  const start = await serverMaker();
  const first = await start("0");
  const environment = { FAIRLEAD_URL: first.url };
  const submit = ["submit", "countdown", "-i", '{"from":30,"intervalMs":80}'];
  const id = (await cli(submit, { environment })).out.trim();
  const following = startCli(["logs", id, "--follow", "--json"], { environment });
  // Steps that follow closely may be told as one.
  await following.prints(/"text":"2[0-7] to go"/);
  expect(await first.stop()).toBe(0);
  await following.says("trying again in");
  const second = await start(new URL(first.url).port);
  const { code, out, err } = await following.done;
  expect(code).toBe(0);
  const events = out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, at) => at + 1));
  expect(events.filter(({ kind, reason }) => kind === "status" && reason === "interrupted")).toHaveLength(1);
  expect(events.at(-1)).toMatchObject({ kind: "completed", status: "succeeded" });
  expect(err.match(/trying again/g)).toHaveLength(1);
  await second.stop();
});

/** Servers on one database and one directory, each at the port it is given. */
async function serverMaker(): Promise<(port: string) => Promise<ServerProcess>> {
  const database = await testDatabase();
  const dataDir = scratchDirectory("restart");
  const functions = scratchDirectory("restart-functions");
  // A function that is interrupted by a stop begins again on the next server.
  writeFileSync(
    join(functions, "countdown.ts"),
    await Bun.file(join(supportFunctions, "../../../functions/countdown.ts")).text(),
  );
  return (port) =>
    spawnServer({
      ...database.environment,
      PORT: port,
      DATA_DIR: dataDir,
      FUNCTIONS_DIR: functions,
      DRAIN_GRACE: "0",
    }).ready();
}
