import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { S3Client } from "bun";
import { startS3Server, type S3Server } from "../files/s3-server.ts";
import { until } from "../support/until.ts";
import { findChromium } from "../../src/runners/automation/find-chromium.ts";
import { formOf, type Member, startMember, submitFiles, submitPayload, unzipped } from "./cluster-member.ts";
import { givenDatabase } from "./given-database.ts";
import { ended, type Job, untilRunning } from "./job-calls.ts";
import { scratchDirectory } from "./server-process.ts";

setDefaultTimeout(120_000);

const hasChromium = "path" in findChromium(process.env["CHROMIUM_PATH"] ?? "", process.env["PATH"] ?? "");
const big = new Uint8Array(9_000_000).map((_, at) => (at * 7) % 251);

/** With a part of the bucket that is its own: ids of payloads are the database's. */
type Database = Awaited<ReturnType<typeof givenDatabase>> & { prefix: string };

let bucket: S3Server;

beforeAll(async () => {
  bucket = await startS3Server();
});

async function freshDatabase(): Promise<Database> {
  return { ...(await givenDatabase()), prefix: crypto.randomUUID() };
}

function inBucket({ prefix }: Database, more: Record<string, string> = {}): Record<string, string> {
  return {
    S3_BUCKET: bucket.bucket,
    S3_PREFIX: prefix,
    S3_ENDPOINT: bucket.endpoint,
    S3_REGION: bucket.region,
    S3_ACCESS_KEY_ID: bucket.accessKeyId,
    S3_SECRET_ACCESS_KEY: bucket.secretAccessKey,
    ...more,
  };
}

/** As a machine that is lost. */
async function lose(node: Member): Promise<void> {
  await node.kill();
  rmSync(node.dataDir, { recursive: true, force: true });
}

const textOf = (files: Record<string, Uint8Array> | null, name: string) => new TextDecoder().decode(files?.[name]);

async function keysIn(prefix: string): Promise<string[]> {
  const client = new S3Client({ ...bucket });
  return ((await client.list({ prefix })).contents ?? []).map(({ key }) => key);
}

describe("nodes with one bucket", () => {
  test("run what another took in, and serve what another ran, in parts as well, and keep nothing on their disks", async () => {
    const database = await freshDatabase();
    const [taker, worker] = await Promise.all([
      startMember(database, inBucket(database), ["--no-work"]),
      startMember(database, inBucket(database, { REGION: "ams" })),
    ]);
    const script = 'cat in.txt > out.txt; mkdir deep; tail -c 100 big.bin > deep/tail; rm big.bin; echo "$PWD"';
    const job = await submitFiles(taker, { "run.sh": script, "in.txt": "over there", "big.bin": big });
    expect(await ended(taker, job.id)).toMatchObject({ status: "succeeded" });
    for (const node of [taker, worker]) {
      const files = `/api/v1/jobs/${job.id}/files`;
      expect(await (await node.call(`${files}/out.txt`)).text()).toBe("over there");
      const part = await node.call(`${files}/deep/tail`, { headers: { range: "bytes=10-19" } });
      expect([part.status, part.headers.get("content-range")]).toEqual([206, "bytes 10-19/100"]);
      expect(new Uint8Array(await part.arrayBuffer())).toEqual(big.slice(-90, -80));
      expect((await node.call(`${files}/big.bin`)).status).toBe(404);
      expect(Object.keys((await unzipped(node, `${files}.zip`)) ?? {}).sort()).toEqual(
        ["deep/", "deep/tail", "in.txt", "out.txt", "run.sh"].sort(),
      );
    }
    const id = await submitPayload(taker, { "run.sh": "cp input.pdb output.pdb", "input.pdb": "ATOM" });
    const zip = await until("it is completed", () => unzipped(taker, `/retrieve/${id}`), { withinMs: 30_000 });
    expect(textOf(zip, "output.pdb")).toBe("ATOM");
    for (const { dataDir } of [taker, worker])
      for (const name of ["staging", "payloads"])
        expect(existsSync(join(dataDir, name)) ? readdirSync(join(dataDir, name)) : []).toEqual([]);
    for (const node of [taker, worker]) expect(await node.stop()).toBe(0);
  });

  test("serve what came in of a run on another node, and that node what there is by now", async () => {
    const database = await freshDatabase();
    const [taker, worker] = await Promise.all([
      startMember(database, inBucket(database), ["--no-work"]),
      startMember(database, inBucket(database)),
    ]);
    const script = "echo half > partial.txt; sleep 600";
    const id = await submitPayload(taker, { "run.sh": script });
    const partial = await until(
      "the run has written",
      async () => {
        const files = await unzipped(worker, `/retrieve_partial/${id}`);
        return files !== null && "partial.txt" in files ? files : null;
      },
      { withinMs: 30_000 },
    );
    expect(textOf(partial, "partial.txt")).toBe("half\n");
    expect(Object.keys((await unzipped(taker, `/retrieve_partial/${id}`)) ?? {})).toEqual(["run.sh"]);
    await taker.call(`/kill/${id}`, { method: "POST" });
    await until(
      "its end is known, and what it left with it",
      async () => "partial.txt" in ((await unzipped(taker, `/retrieve_partial/${id}`)) ?? {}),
      { withinMs: 30_000 },
    );
    for (const node of [taker, worker]) expect(await node.stop()).toBe(0);
  });

  test("lose nothing with the node that accepted, nor with the one that ran", async () => {
    const database = await freshDatabase();
    const taker = await startMember(database, inBucket(database), ["--no-work"]);
    const job = await submitFiles(taker, { "run.sh": "sha256sum big.bin > sum", "big.bin": big });
    const id = await submitPayload(taker, { "run.sh": "echo done > result.txt" });
    await lose(taker);
    const worker = await startMember(database, inBucket(database));
    expect(await ended(worker, job.id)).toMatchObject({ status: "succeeded" });
    await until("it is completed", () => unzipped(worker, `/retrieve/${id}`), { withinMs: 30_000 });
    await lose(worker);
    const third = await startMember(database, inBucket(database), ["--no-work"]);
    const sum = new Bun.CryptoHasher("sha256").update(big).digest("hex");
    expect(await (await third.call(`/api/v1/jobs/${job.id}/files/sum`)).text()).toBe(`${sum}  big.bin\n`);
    expect(textOf(await unzipped(third, `/retrieve/${id}`), "result.txt")).toBe("done\n");
    expect(await third.stop()).toBe(0);
  });

  test("run again elsewhere what a lost node was running, with the files as they came in", async () => {
    const database = await freshDatabase();
    const first = await startMember(database, inBucket(database, { NODE_LEASE: "6" }));
    const script = "cat in.txt >> log.txt; echo half > in.txt; sleep 3";
    const job = await submitFiles(first, { "run.sh": script, "in.txt": "whole" });
    await untilRunning(first, job.id);
    await lose(first);
    const second = await startMember(database, inBucket(database));
    expect(await ended(second, job.id)).toMatchObject({ status: "succeeded" });
    expect(await (await second.call(`/api/v1/jobs/${job.id}/files/log.txt`)).text()).toBe("whole");
    expect(await second.stop()).toBe(0);
  });

  test("remove files past their age, once, whoever took them in", async () => {
    const database = await freshDatabase();
    const nodes = await Promise.all([
      startMember(database, inBucket(database, { MAX_AGE: "4" })),
      startMember(database, inBucket(database, { MAX_AGE: "4" })),
    ]);
    const jobs = await Promise.all(nodes.map((node) => submitFiles(node, { "run.sh": "echo x > y" })));
    const ids = await Promise.all(jobs.map(async ({ id }) => payloadOf(database, id)));
    for (const id of ids)
      await until(
        `payload ${id} is in the bucket`,
        async () => (await keysIn(`${database.prefix}/payloads/${id}/`)).length > 0,
      );
    for (const id of ids)
      await until(
        `payload ${id} is gone`,
        async () => (await keysIn(`${database.prefix}/payloads/${id}/`)).length === 0,
        {
          withinMs: 40_000,
        },
      );
    await until("nothing is left to remove", async () => (await database.sql`select 1 from uploads`).length === 0);
    for (const node of nodes) {
      expect(node.said().join("\n")).not.toContain("could not be removed");
      expect(await node.stop()).toBe(0);
    }
  });

  test("remove what a node had put into the bucket when it was killed in the middle of an upload", async () => {
    const database = await freshDatabase();
    const [first, second] = await Promise.all([
      startMember(database, inBucket(database)),
      startMember(database, inBucket(database, { MAX_AGE: "3" })),
    ]);
    const reached = Promise.withResolvers<void>();
    // The manifest comes last: all objects are there, and nothing refers to them.
    bucket.hold = (method, path) => {
      if (method !== "PUT" || !path.includes("/manifests/")) return null;
      reached.resolve();
      return new Promise(() => undefined);
    };
    const upload = submitFiles(first, { "run.sh": "exit 0", data: "x" }).catch(() => "broken off");
    await reached.promise;
    await first.kill();
    bucket.hold = null;
    expect(await upload).toBe("broken off");
    const [row] = await database.sql<{ payload_id: number }[]>`select payload_id from uploads`;
    const prefix = `${database.prefix}/payloads/${row?.payload_id}/`;
    expect(await keysIn(prefix)).toHaveLength(2);
    await database.sql`update uploads set created_at = now() - interval '11 minutes'`;
    await database.sql`update nodes set lease_until = now() where id = (select node_id from uploads)`;
    await until("they are removed", async () => (await keysIn(prefix)).length === 0, { withinMs: 40_000 });
    await until("nothing is left to remove", async () => (await database.sql`select 1 from uploads`).length === 0);
    expect(await second.stop()).toBe(0);
  });

  test("accept nothing that the bucket does not take, and keep nothing of it", async () => {
    const database = await freshDatabase();
    const node = await startMember(database, inBucket(database));
    bucket.hold = (method) => (method === "PUT" ? refusal() : null);
    const form = () => ({ method: "POST", body: formOf({ "run.sh": "exit 0" }, {}) });
    expect((await node.call("/api/v1/jobs", form())).status).toBe(503);
    expect((await node.call("/submit", { method: "POST", body: formOf({ "run.sh": "exit 0" }) })).status).toBe(503);
    bucket.hold = null;
    expect(await database.sql`select 1 from jobs`).toHaveLength(0);
    expect(readdirSync(join(node.dataDir, "staging"))).toEqual([]);
    expect((await node.call("/api/v1/jobs", form())).status).toBe(202);
    expect(await node.stop()).toBe(0);
  });

  test("wait with a result until the bucket can be used again", async () => {
    const database = await freshDatabase();
    const node = await startMember(database, inBucket(database));
    let refused = 0;
    bucket.hold = (method, path) => {
      if (method !== "PUT" || !path.includes("%")) return null;
      refused++;
      return refusal();
    };
    const job = await submitFiles(node, { "run.sh": "echo kept > result.txt" });
    await until("the bucket has refused results", () => refused > 0, { withinMs: 30_000 });
    await node.logged("the files of a run have to wait");
    expect(((await (await node.call(`/api/v1/jobs/${job.id}`)).json()) as Job).status).toBe("running");
    bucket.hold = null;
    expect(await ended(node, job.id)).toMatchObject({ status: "succeeded", attempts: 1 });
    expect(await (await node.call(`/api/v1/jobs/${job.id}/files/result.txt`)).text()).toBe("kept\n");
    expect(await node.stop()).toBe(0);
  });

  test.skipIf(!hasChromium)("serve the pictures of an automation that ran on another", async () => {
    const database = await freshDatabase();
    const automations = scratchDirectory("automations");
    const parameters = { input_parameters: {}, generated_parameters: {} };
    await using site = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response("<h1>there</h1>", { headers: { "content-type": "text/html" } }),
    });
    const document = { url: site.url.href, parameters, nodes: [] };
    writeFileSync(join(automations, "there.json"), JSON.stringify(document));
    const environment = inBucket(database, { AUTOMATIONS_DIR: automations });
    const [taker, worker] = await Promise.all([
      startMember(database, environment, ["--no-work"]),
      startMember(database, environment),
    ]);
    const response = await taker.post("/api/v1/jobs", { automation: "there", input: {} });
    expect(response.status).toBe(202);
    const job = (await response.json()) as Job;
    expect(await ended(taker, job.id)).toMatchObject({ status: "succeeded" });
    await lose(worker);
    const picture = await taker.call(`/api/v1/jobs/${job.id}/files/final_screenshot.png`);
    expect(new Uint8Array(await picture.arrayBuffer()).slice(1, 4)).toEqual(new TextEncoder().encode("PNG"));
    expect(await taker.stop()).toBe(0);
  });
});

/** What a store says that is in trouble. */
function refusal(): Promise<never> {
  return Promise.reject(Object.assign(new Error("busy"), { status: 500, expose: true }));
}

async function payloadOf({ sql }: Database, jobId: string): Promise<number> {
  const [row] = await sql<{ payload_id: number }[]>`select payload_id from jobs where id = ${jobId}`;
  return row?.payload_id ?? 0;
}
