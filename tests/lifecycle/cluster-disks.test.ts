import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { until } from "../support/until.ts";
import { startMember, submitFiles, submitPayload, unzipped } from "./cluster-member.ts";
import { givenDatabase } from "./given-database.ts";
import { ended, type Job, untilRunning } from "./job-calls.ts";
import { scratchDirectory } from "./server-process.ts";

setDefaultTimeout(120_000);

describe("nodes of one database without a bucket", () => {
  test("run and serve the files of the jobs they took in, and say so from the start", async () => {
    const database = await givenDatabase();
    const [one, two] = await Promise.all([
      startMember(database, { NODE_NAME: "one", SCRIPT_SLOTS: "1" }),
      startMember(database, { NODE_NAME: "two" }),
    ]);
    for (const node of [one, two]) expect(node.said().join("\n")).toContain("files stay on this node's disk");
    const jobs = await Promise.all(
      Array.from({ length: 6 }, () => submitFiles(one, { "run.sh": "cat in > out", in: "mine" })),
    );
    for (const { id } of jobs) {
      expect(await ended(two, id)).toMatchObject({ status: "succeeded" });
      expect(await (await one.call(`/api/v1/jobs/${id}/files/out`)).text()).toBe("mine");
      for (const path of ["files", "files/out", "files.zip"]) {
        const elsewhere = await two.call(`/api/v1/jobs/${id}/${path}`);
        expect([elsewhere.status, await elsewhere.text()]).toEqual([503, expect.stringContaining("on node one")]);
      }
    }
    const runs = await database.sql<{ node_id: string }[]>`select distinct node_id from runs`;
    expect(runs.map(({ node_id }) => node_id)).toEqual(["one"]);
    const id = await submitPayload(one, { "run.sh": "exit 0" });
    await until("it is completed", () => unzipped(one, `/retrieve/${id}`), { withinMs: 30_000 });
    const elsewhere = await two.call(`/retrieve/${id}`);
    expect([elsewhere.status, await elsewhere.text()]).toEqual([503, expect.stringContaining("on node one")]);
    for (const node of [one, two]) expect(await node.stop()).toBe(0);
  });

  test("leave work to the disk that has its files, under whatever name it comes back", async () => {
    const database = await givenDatabase();
    const dataDir = scratchDirectory("data");
    const [one, two] = await Promise.all([
      startMember(database, { NODE_NAME: "one", DATA_DIR: dataDir, SCRIPT_SLOTS: "1", NODE_LEASE: "6" }),
      startMember(database, { NODE_NAME: "two" }),
    ]);
    const job = await submitFiles(one, { "run.sh": "sleep 2; cat in > out", in: "mine" });
    await untilRunning(one, job.id);
    await one.kill();
    const reason = async () => {
      const seen = (await (await two.call(`/api/v1/jobs/${job.id}`)).json()) as Job & { waiting?: { reason: string } };
      return seen.waiting?.reason.startsWith("no node with tag disk:") ?? false;
    };
    await until("it waits for that disk, and says so", reason, { withinMs: 30_000 });
    const back = await startMember(database, { NODE_NAME: "uno", DATA_DIR: dataDir });
    expect(await ended(two, job.id)).toMatchObject({ status: "succeeded" });
    expect(await (await back.call(`/api/v1/jobs/${job.id}/files/out`)).text()).toBe("mine");
    for (const node of [two, back]) expect(await node.stop()).toBe(0);
  });
});
