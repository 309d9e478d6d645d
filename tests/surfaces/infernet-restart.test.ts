import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { givenDatabase } from "../lifecycle/given-database.ts";
import { scratchDirectory, type ServerProcess, spawnServer } from "../lifecycle/server-process.ts";
import { until } from "../support/until.ts";
import { nodeClient } from "./support/node-client.ts";
import { type TrailContainer, trailContainer } from "./support/trail-container.ts";

let container: TrailContainer;
let start: () => Promise<ServerProcess>;
const directory = scratchDirectory("chain-restart");
const ids = ["first", "second", "third", "gate", "blocker"];

beforeAll(async () => {
  container = trailContainer();
  const file = join(directory, "containers.json");
  await Bun.write(file, JSON.stringify(ids.map((id) => ({ id, url: container.url(id) }))));
  const database = await givenDatabase();
  const environment = {
    ...{ DATABASE_URL: database.url, DATA_DIR: join(directory, "data"), CONTAINERS_FILE: file },
    ...{ SURFACES: "api,infernet", NODE_NAME: "chain-restart", CONTAINER_SLOTS: "2" },
  };
  start = () => spawnServer(environment).ready();
}, 60_000);
afterAll(() => container.close());

type Job = { status: string; tasks: { status: string; output: unknown; attempts: number }[] };

async function jobOf(server: ServerProcess, id: string): Promise<Job> {
  const response = await server.call(`/api/v1/jobs/${id}`);
  return (await response.json()) as Job;
}

async function runsOf(server: ServerProcess, id: string): Promise<{ task: number; outcome: string }[]> {
  const response = await server.call(`/api/v1/jobs/${id}/runs`);
  return ((await response.json()) as { runs: { task: number; outcome: string }[] }).runs;
}

async function succeeded(server: ServerProcess, id: string): Promise<Job> {
  return until(
    `job ${id} has succeeded`,
    async () => {
      const job = await jobOf(server, id);
      return job.status === "succeeded" && job;
    },
    { withinMs: 30_000, everyMs: 20 },
  );
}

test("a kill during a link and one between links: finished links are not run again", async () => {
  const server = await start();
  const client = nodeClient(server.url);
  for (const id of ["second", "gate", "blocker"]) container.hold(id);
  const during = await client.requestJob({ containers: ["first", "second", "third"], data: { mark: "during" } });
  await until("the second link runs", () => container.count("during", "second") === 1);
  const between = await client.requestJob({ containers: ["gate", "first", "third"], data: { mark: "between" } });
  await until("the first link of the other runs", () => container.count("between", "gate") === 1);
  const blocking = await client.requestJob({ containers: ["blocker"], data: { mark: "blocking" } });
  container.letGo("gate");
  await until("the other chain waits between its links", async () => {
    const [gate, next] = (await jobOf(server, between)).tasks;
    return gate?.status === "succeeded" && next?.status === "queued";
  });
  await until("the blocker has the slot", () => container.count("blocking", "blocker") === 1);
  await server.kill();

  for (const id of ["second", "blocker"]) container.letGo(id);
  const again = await start();
  const trail = (job: Job) => job.tasks.map(({ output }) => (output as { trail: string[] }).trail.join(" "));
  expect(trail(await succeeded(again, during))).toEqual(["first", "first second", "first second third"]);
  expect(trail(await succeeded(again, between))).toEqual(["gate", "gate first", "gate first third"]);
  await succeeded(again, blocking);
  const counts = (mark: string, links: string[]) => links.map((id) => container.count(mark, id));
  expect(counts("during", ["first", "second", "third"])).toEqual([1, 2, 1]);
  expect(counts("between", ["gate", "first", "third"])).toEqual([1, 1, 1]);
  expect(counts("blocking", ["blocker"])).toEqual([2]);
  const runs = await runsOf(again, during);
  expect(runs.map(({ outcome }) => outcome).toSorted()).toEqual(["lost", "succeeded", "succeeded", "succeeded"]);
  const result = await nodeClient(again.url).resultSync(during, 1);
  expect(result?.intermediate_results?.map((link) => link.container)).toEqual(["first", "second"]);
  expect(await again.stop()).toBe(0);
}, 90_000);

test("kills at any moment leave chains that end with every link's output once", async () => {
  const chains = 12;
  let server = await start();
  const jobs: string[] = [];
  for (let round = 0; round < 3; round++) {
    const client = nodeClient(server.url);
    const requests = Array.from({ length: chains }, (_, n) => ({
      ...{ containers: ["first", "second", "third"], data: { mark: `r${round}-${n}` } },
    }));
    const answers = await client.requestJobs(requests);
    for (const answer of answers) if ("id" in answer) jobs.push(answer.id);
    const seen = () => container.calls.filter((call) => call.startsWith(`r${round}-`)).length;
    await until("some links have run", () => seen() >= 4 + round * 7);
    await server.kill();
    server = await start();
  }
  expect(jobs).toHaveLength(3 * chains);
  for (const [at, id] of jobs.entries()) {
    const { tasks } = await succeeded(server, id);
    expect(tasks.map(({ output }) => (output as { trail: string[] }).trail.length)).toEqual([1, 2, 3]);
    const runs = await runsOf(server, id);
    for (const [task, link] of ["first", "second", "third"].entries()) {
      const outcomes = runs.filter((run) => run.task === task).map(({ outcome }) => outcome);
      expect(outcomes.filter((outcome) => outcome === "succeeded")).toHaveLength(1);
      // Whatever was called again had been lost before.
      expect(container.count(`r${Math.floor(at / chains)}-${at % chains}`, link)).toBeLessThanOrEqual(outcomes.length);
    }
  }
  expect(await server.stop()).toBe(0);
}, 120_000);
