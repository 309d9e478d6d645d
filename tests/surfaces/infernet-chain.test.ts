import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { temporaryDirectory } from "../support/containers/runner-of.ts";
import { type Service, startService } from "../support/service.ts";
import { until } from "../support/until.ts";
import { type NodeClient, nodeClient } from "./support/node-client.ts";
import { type TrailContainer, trailContainer } from "./support/trail-container.ts";

type Task = { status: string; target: string; output: unknown; error: { code: string; message: string } | null };
type Job = { id: string; status: string; priority: number; result: unknown; error: Task["error"]; tasks: Task[] };

let container: TrailContainer;
let service: Service;
let client: NodeClient;

beforeAll(async () => {
  container = trailContainer();
  const path = join(temporaryDirectory(), "containers.json");
  const ids = ["first", "second", "third", "held", "late"];
  await Bun.write(path, JSON.stringify(ids.map((id) => ({ id, url: container.url(id) }))));
  service = await startService({ CONTAINERS_FILE: path, CONTAINER_SLOTS: "1", SURFACES: "api,infernet" });
  client = nodeClient(service.url);
}, 60_000);
afterAll(async () => {
  await service.stop();
  await container.close();
});

const act = (id: string, verb: string, body: unknown = {}) => service.post(`/api/v1/jobs/${id}/${verb}`, body);

async function submitted(body: Record<string, unknown>): Promise<string> {
  const response = await service.post("/api/v1/jobs", body);
  expect(response.status).toBe(202);
  return ((await response.json()) as Job).id;
}

async function jobOf(id: string): Promise<Job> {
  return (await (await service.call(`/api/v1/jobs/${id}`)).json()) as Job;
}

async function final(id: string): Promise<Job> {
  return (await (await service.call(`/api/v1/jobs/${id}?wait=20`)).json()) as Job;
}

/** Occupies the only slot until "held" is let go. */
async function block(mark: string): Promise<string> {
  container.hold("held");
  const id = await client.requestJob({ containers: ["held"], data: { mark } });
  await until("the slot is taken", () => container.count(mark, "held") === 1);
  return id;
}

test("a chain that is cancelled during a link is hung up on, goes no further and keeps its outputs", async () => {
  container.hold("held");
  const id = await client.requestJob({ containers: ["first", "held", "third"], data: { mark: "cancel" } });
  await until("the second link runs", () => container.count("cancel", "held") === 1);
  expect((await act(id, "cancel")).status).toBe(202);
  expect((await final(id)).tasks.map(({ status }) => status)).toEqual(["succeeded", "cancelled", "cancelled"]);
  await until("the container was hung up on", () => container.abandoned.includes("cancel:held"));
  container.letGo("held");
  expect(await client.resultSync(id, 1)).toEqual({
    ...{ id, status: "failed", result: { container: "held", error: "Cancelled" } },
    intermediate_results: [{ container: "first", output: { mark: "cancel", trail: ["first"] } }],
  });
  expect(container.count("cancel", "third")).toBe(0);
  expect((await act(id, "cancel")).status).toBe(200);
});

test("a chain that is cancelled while it waits between its links is over at once", async () => {
  container.hold("late");
  const id = await client.requestJob({ containers: ["late", "second"], data: { mark: "between" } });
  await until("the first link runs", () => container.count("between", "late") === 1);
  container.hold("held");
  const blocking = await client.requestJob({ containers: ["held"], data: { mark: "wedge" } });
  container.letGo("late");
  await until("the other has the slot", () => container.count("wedge", "held") === 1);
  await until("the chain's next link waits", async () => (await jobOf(id)).tasks[0]?.status === "succeeded");
  expect((await jobOf(id)).tasks[1]?.status).toBe("queued");
  expect((await act(id, "cancel")).status).toBe(200);
  expect(await client.resultSync(id, 1)).toMatchObject({
    ...{ status: "failed", result: { container: "second", error: "Cancelled" } },
    intermediate_results: [{ container: "late" }],
  });
  container.letGo("held");
  expect((await final(blocking)).status).toBe("succeeded");
  expect(container.count("between", "second")).toBe(0);
});

test("a retry from a link takes an edited input and runs nothing before it again", async () => {
  const id = await submitted({ containers: ["first", "second", "third"], input: { mark: "retry" } });
  expect((await final(id)).result).toEqual({ mark: "retry", trail: ["first", "second", "third"] });
  const response = await act(id, "retry", { from_task: 1, input: { mark: "edited", trail: ["by hand"] } });
  expect(response.status).toBe(202);
  const job = await final(id);
  expect(job.tasks.map(({ output }) => output)).toEqual([
    { mark: "retry", trail: ["first"] },
    { mark: "edited", trail: ["by hand", "second"] },
    { mark: "edited", trail: ["by hand", "second", "third"] },
  ]);
  expect(container.calls.filter((call) => /^(retry|edited):/.test(call))).toEqual([
    ...["retry:first", "retry:second", "retry:third", "edited:second", "edited:third"],
  ]);
  const again = await act(id, "retry", { from_task: 2 });
  expect(again.status).toBe(202);
  expect((await final(id)).result).toEqual({ mark: "edited", trail: ["by hand", "second", "third"] });
  expect(container.count("edited", "second")).toBe(1);
  expect(container.count("edited", "third")).toBe(2);
  expect((await act(id, "retry", { from_task: 3 })).status).toBe(422);
});

test("a link may take its own time, which is not the chain's", async () => {
  container.hold("held");
  const id = await submitted({ containers: ["first", "held", "third"], input: { mark: "slow" }, timeout: 0.3 });
  const job = await final(id);
  expect(job.status).toBe("failed");
  expect(job.error).toEqual({ code: "timed_out", message: 'container "held": gave no result within 0.3 s' });
  expect(job.tasks.map(({ status }) => status)).toEqual(["succeeded", "failed", "cancelled"]);
  await until("the container was hung up on", () => container.abandoned.includes("slow:held"));
  container.letGo("held");
  expect((await act(id, "retry", { from_task: 1 })).status).toBe(202);
  expect((await final(id)).result).toEqual({ mark: "slow", trail: ["first", "held", "third"] });
  expect(container.count("slow", "first")).toBe(1);
});

test("a whole chain may take its own time, which a retry has again", async () => {
  container.hold("held");
  const body = { containers: ["first", "held", "third"], input: { mark: "whole" }, deadline: 1.5, timeout: 60 };
  const id = await submitted(body);
  const job = await final(id);
  const message = 'container "held": gave no result before the time of 1.5 s for the whole chain was over';
  expect(job.error).toEqual({ code: "timed_out", message });
  expect(job.tasks.map(({ status }) => status)).toEqual(["succeeded", "failed", "cancelled"]);
  container.letGo("held");
  const blocking = await block("deadline");
  const late = await submitted({ ...body, input: { mark: "waits" }, deadline: 0.05 });
  expect((await act(id, "retry", { from_task: 1 })).status).toBe(202);
  const over = Date.now() + 50;
  await until("the time of the chain that waits is over", () => Date.now() > over);
  container.letGo("held");
  await final(blocking);
  expect((await final(late)).error).toMatchObject({ code: "timed_out" });
  expect(container.count("waits", "first")).toBe(0);
  expect((await final(id)).result).toEqual({ mark: "whole", trail: ["first", "held", "third"] });
  const refused = await service.post("/api/v1/jobs", { function: "hello", deadline: 1 });
  expect(refused.status).toBe(422);
  expect(((await refused.json()) as { errors: unknown[] }).errors).toContainEqual(
    expect.objectContaining({ pointer: "/deadline" }),
  );
});

test("what waits goes by priority, then in the order it came; a chain keeps its priority from link to link", async () => {
  container.hold("late");
  const chain = await submitted({ containers: ["late", "second"], input: { mark: "p2" }, priority: 2 });
  await until("the chain runs", () => container.count("p2", "late") === 1);
  container.hold("held");
  const blocking = await client.requestJob({ containers: ["held"], data: { mark: "queue" } });
  const single = (mark: string, priority: number) => submitted({ containers: ["first"], input: { mark }, priority });
  const ids = [await single("p9", 9), await single("p1a", 1), await single("p5", 5), await single("p1b", 1)];
  container.letGo("late");
  await until("the other has the slot", () => container.count("queue", "held") === 1);
  await until("the chain's next link waits", async () => (await jobOf(chain)).tasks[0]?.status === "succeeded");
  container.letGo("held");
  for (const id of [blocking, chain, ...ids]) expect((await final(id)).status).toBe("succeeded");
  expect(container.calls.filter((call) => /^p\d/.test(call))).toEqual([
    ...["p2:late", "p1a:first", "p1b:first", "p2:second", "p5:first", "p9:first"],
  ]);
});
