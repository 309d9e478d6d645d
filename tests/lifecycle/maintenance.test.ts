import { expect, setDefaultTimeout, test } from "bun:test";
import { givenDatabase } from "./given-database.ts";
import { accepted, ended, untilRunning } from "./job-calls.ts";
import { scratchDirectory, spawnServer, supportFunctions } from "./server-process.ts";

setDefaultTimeout(60_000);

test.each(["SIGTERM", "SIGKILL"] as const)(
  "maintenance survives a %s, and its end starts what waits",
  async (signal) => {
    const { url, sql } = await givenDatabase();
    const serve = () =>
      spawnServer({
        DATA_DIR: scratchDirectory("data"),
        DATABASE_URL: url,
        FUNCTIONS_DIR: supportFunctions,
        NODE_NAME: "same",
        SLOTS: "1",
      }).ready();
    const first = await serve();
    const running = await accepted(first, { function: "naps", input: { ms: 1_000 } });
    await untilRunning(first, running.id);
    const waiting = await accepted(first, { function: "greet" });
    expect(await (await first.call("/off", { method: "POST" })).json()).toMatchObject({ status: "maintenance" });
    first.signal(signal);
    await first.exited;

    const second = await serve();
    expect(await (await second.call("/health", { headers: { "x-lb-auth": "any" } })).json()).toMatchObject({
      status: "maintenance",
      slots: { available: 0, limit: 1 },
    });
    const refused = await second.post("/task", { function: "greet" });
    expect([refused.status, await refused.json()]).toEqual([503, { error: "Worker is in maintenance mode" }]);
    const later = await second.post("/api/v1/jobs", { function: "greet" }, { prefer: "wait=1" });
    expect([later.status, await later.json()]).toMatchObject([202, { status: "queued" }]);
    expect(await sql`select status from jobs where id = ${waiting.id}`).toMatchObject([{ status: "queued" }]);
    expect(await (await second.call("/on", { method: "POST" })).json()).toMatchObject({ status: "ready" });
    expect(await ended(second, waiting.id)).toMatchObject({ status: "succeeded", attempts: 1 });
    expect(await ended(second, running.id)).toMatchObject({ status: "succeeded" });
    expect(await second.stop()).toBe(0);
  },
);
