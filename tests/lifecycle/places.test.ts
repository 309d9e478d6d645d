import { beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { until } from "../support/until.ts";
import { givenDatabase } from "./given-database.ts";
import { accepted, ended, type Job } from "./job-calls.ts";
import { scratchDirectory, type ServerProcess, spawnServer } from "./server-process.ts";

const taskCount = 20;
/** Neither has more than this many of them. */
const shareMax = 12;
const rounds = 6;
const long = 60_000;

type GivenDatabase = Awaited<ReturnType<typeof givenDatabase>>;

let database: GivenDatabase;
let first: ServerProcess;
let second: ServerProcess;

beforeAll(async () => {
  database = await givenDatabase();
  const functions = scratchDirectory("functions");
  const more = scratchDirectory("more-functions");
  for (const directory of [functions, more]) await writeFunction(directory, "naps", 100);
  await writeFunction(more, "only", 0);
  [first, second] = await Promise.all([
    start("first", { FUNCTIONS_DIR: functions }),
    start("second", { FUNCTIONS_DIR: more, REGION: "ams", NODE_TAGS: "gpu,big" }),
  ]);
}, long * 2);

describe("two nodes", () => {
  test(
    "share out many jobs that one of them is given at once",
    async () => {
      let worst = taskCount;
      for (let round = 0; round < rounds && worst > shareMax; round++) {
        await until("both are idle, and know it", () => idleFor(database, 2), { withinMs: 30_000, everyMs: 200 });
        const jobs = await Promise.all(
          Array.from({ length: taskCount }, () =>
            first.post("/api/v1/jobs", { function: "naps" }, { prefer: "wait=30" }),
          ),
        );
        const nodes = await Promise.all(jobs.map(async (job) => nodeOf((await job.json()) as Ran)));
        const here = nodes.filter((node) => node === "first").length;
        worst = Math.min(worst, Math.max(here, taskCount - here));
      }
      expect(worst).toBeLessThanOrEqual(shareMax);
    },
    long * 2,
  );

  test(
    "run what asks for one of them there, whichever is asked",
    async () => {
      for (const requires of [{ region: "ams" }, { tags: ["gpu"] }]) {
        const jobs = await Promise.all(
          [first, second].map(async (server) => accepted(server, { function: "naps", requires })),
        );
        for (const { id } of jobs) expect(nodeOf(await ran(first, id))).toBe("second");
      }
      const script = await accepted(second, { script: "echo here", requires: { region: "ams" } });
      expect(nodeOf(await ran(first, script.id))).toBe("second");
    },
    long,
  );

  test("say what neither of them has", async () => {
    const { id } = await accepted(first, { function: "naps", requires: { region: "fra", tags: ["gpu", "tpu"] } });
    const job = (await (await second.call(`/api/v1/jobs/${id}`)).json()) as Ran;
    expect(job.waiting?.reason).toBe("no node in region fra, no node with tag tpu");
    expect((await second.call(`/api/v1/jobs/${id}/cancel`, { method: "POST" })).ok).toBe(true);
  });

  test(
    "run a function that only one of them has there, though the other may claim it",
    async () => {
      const jobs = await Promise.all(
        Array.from({ length: 15 }, () => accepted(second, { function: "only", delay: 0.2 })),
      );
      for (const { id } of jobs) expect(nodeOf(await ran(first, id))).toBe("second");
    },
    long,
  );

  test("refuse requirements that nobody could understand", async () => {
    for (const requires of [{ zone: "ams" }, { tags: [] }, { tags: "gpu" }, { region: "" }, { tags: ["\0"] }, []]) {
      const response = await first.post("/api/v1/jobs", { function: "naps", requires });
      expect([requires, response.status]).toEqual([requires, 422]);
    }
  });

  test("are ready, and say what they are", async () => {
    const { nodes } = (await (await first.call("/api/v1/nodes")).json()) as { nodes: Record<string, unknown>[] };
    expect(nodes.map(({ id, state, complaint }) => [id, state, complaint])).toEqual([
      ["first", "ready", null],
      ["second", "ready", null],
    ]);
    expect(nodes[1]).toMatchObject({ region: "ams", capabilities: { functions: ["naps", "only"] } });
    const told = nodes.map(({ capabilities }) => (capabilities as { tags: string[] }).tags);
    expect(told[1]).toEqual(expect.arrayContaining(["gpu", "big"]));
    expect(await (await first.call("/readyz")).json()).toMatchObject({ checks: { claims: "ok" } });
  });
});

type Ran = Job & { waiting?: { reason: string }; tasks: { run: { node: string } | null }[] };

function start(name: string, environment: Record<string, string>): Promise<ServerProcess> {
  const DATA_DIR = scratchDirectory(name);
  return spawnServer({ DATABASE_URL: database.url, DATA_DIR, NODE_NAME: name, SLOTS: "20", ...environment }).ready();
}

async function writeFunction(directory: string, name: string, ms: number): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const text = `export default { async handler() { await new Promise((resolve) => setTimeout(resolve, ${ms})); return "${name}"; } };\n`;
  await Bun.write(join(directory, `${name}.ts`), text);
}

/** Whether every node has told, since its last work, that all its slots are free; and each has had the time to read it. */
async function idleFor({ sql }: GivenDatabase, count: number): Promise<boolean> {
  const rows = await sql`
    SELECT 1 FROM nodes n WHERE (slots->'function'->>'used')::int = 0 AND lease_until > now()
      AND renewed_at > now() - interval '20 seconds'
      AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.finished_at > now() - interval '7 seconds')`;
  return rows.length === count;
}

async function ran(server: ServerProcess, id: string): Promise<Ran> {
  const job = await ended(server, id);
  expect(job.status).toBe("succeeded");
  return job as Ran;
}

function nodeOf(job: Ran): string | undefined {
  return job.tasks[0]?.run?.node;
}
