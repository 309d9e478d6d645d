import { expect, test } from "bun:test";
import { until } from "../support/until.ts";
import { givenDatabase } from "./given-database.ts";
import { accepted, ended } from "./job-calls.ts";
import { scratchDirectory, type ServerProcess, spawnServer, supportFunctions } from "./server-process.ts";

const testMs = 150_000;
const patient = { withinMs: 60_000, everyMs: 200 };

test(
  "a node that lives and cannot claim is unhealthy, begins nothing, and recovers by itself",
  async () => {
    const database = await givenDatabase();
    const node = await start(database.url, "ill");
    // Every claim fails from now on; leases, submissions and looks at the queue do not.
    await database.sql
      .unsafe(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no claims'; END $$;
    CREATE TRIGGER refuse BEFORE DELETE ON pgboss.job_common FOR EACH ROW EXECUTE FUNCTION refuse()`);
    const { id } = await accepted(node, { function: "greet", concurrency: { key: "any", max: 1 } });
    const complaint = await until(
      "it is not ready",
      async () => (await checksOf(node)).claims !== "ok" && (await checksOf(node)).claims,
      patient,
    );
    expect(complaint).toContain("has taken nothing of function");
    expect((await node.call("/readyz")).status).toBe(503);
    await until("it is told to others", async () => (await stateOf(node)) === "unhealthy", patient);
    const waiting = await accepted(node, { function: "greet" });
    expect(await reasonOf(node, waiting.id)).toBe("no healthy node");
    expect(await (await node.call("/metrics")).text()).toContain("\nfairlead_node_unhealthy 1\n");
    await database.sql`DROP TRIGGER refuse ON pgboss.job_common`;
    for (const each of [id, waiting.id]) expect((await ended(node, each)).status).toBe("succeeded");
    await until("it is ready again", async () => (await node.call("/readyz")).status === 200, patient);
    await until("others are told", async () => (await stateOf(node)) === "ready", patient);
    expect(await node.stop()).toBe(0);
  },
  testMs,
);

function start(url: string, name: string): Promise<ServerProcess> {
  const DATA_DIR = scratchDirectory(name);
  return spawnServer({
    DATABASE_URL: url,
    DATA_DIR,
    NODE_NAME: name,
    NODE_LEASE: "5",
    FUNCTIONS_DIR: supportFunctions,
  }).ready();
}

async function checksOf(node: ServerProcess): Promise<Record<string, string>> {
  return ((await (await node.call("/readyz")).json()) as { checks: Record<string, string> }).checks;
}

async function stateOf(node: ServerProcess): Promise<unknown> {
  const { nodes } = (await (await node.call("/api/v1/nodes")).json()) as { nodes: { state: string }[] };
  return nodes[0]?.state;
}

async function reasonOf(node: ServerProcess, id: string): Promise<unknown> {
  const job = (await (await node.call(`/api/v1/jobs/${id}`)).json()) as { waiting?: { reason: string } };
  return job.waiting?.reason;
}
