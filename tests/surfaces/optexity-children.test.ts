import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Service, startService } from "../support/service.ts";
import { until } from "../support/until.ts";
import { hasChromium } from "./support/tasks.ts";

let parent: Service;
let child: Service;
let site: Bun.Server<undefined>;
let automations: string;

beforeAll(async () => {
  site = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (asked) =>
      new URL(asked.url).pathname === "/file"
        ? new Response("a,b\n", { headers: { "content-disposition": 'attachment; filename="table.csv"' } })
        : new Response('<h1>Hello</h1><a href="/file">Get</a>', { headers: { "content-type": "text/html" } }),
  });
  automations = await mkdtemp(join(tmpdir(), "fairlead-automations-"));
  await Bun.write(join(automations, "visit.json"), JSON.stringify(documentAt(site.url.href)));
  await Bun.write(join(automations, "program.ts"), "export default { parameters: {}, run: async () => undefined };");
  parent = await startService({ SURFACES: "optexity", AUTH_KEY: "parent-key", AUTOMATIONS_DIR: automations });
  child = await startService({
    SURFACES: "optexity",
    SERVER_URL: parent.url,
    API_KEY: "parent-key",
    AUTOMATIONS_DIR: join(tmpdir(), "fairlead-no-automations"),
    WEBHOOK_RETRY_DELAY: "100",
  });
}, 60_000);
afterAll(async () => {
  await child.stop();
  await parent.stop();
  await site.stop(true);
  await rm(automations, { recursive: true, force: true });
});

/** Reads the heading of a page and follows its link to a file. */
function documentAt(url: string): Record<string, unknown> {
  const action = { type: "action_node", before_sleep_time: 0, end_sleep_time: 0 };
  const locator = { command: 'locator("h1")', output_variable_name: "heading", extraction_format: { heading: "str" } };
  const click = { command: 'get_by_role("link", name="Get")', expect_download: true, prompt_instructions: "" };
  return {
    url,
    parameters: { input_parameters: { email: ["a@b.c"] } },
    nodes: [
      { ...action, extraction_action: { locator } },
      { ...action, interaction_action: { click_element: click } },
    ],
  };
}

const keyed = { headers: { "x-api-key": "parent-key" } };
const request = (email: string) => ({
  endpoint_name: "visit",
  input_parameters: { email: [email] },
  unique_parameter_names: ["email"],
});

type View = {
  status: string;
  started_at: string | null;
  completed_at: string | null;
  dedup_key: string;
  error: string | null;
};

async function taskAt(service: Service, id: string): Promise<View> {
  return (await (await service.call(`/api/v1/task/${id}`, keyed)).json()) as View;
}

test("a child needs the key", async () => {
  expect((await parent.post("/api/v1/inference", request("x"))).status).toBe(401);
  expect((await parent.call("/api/v1/recording/visit")).status).toBe(401);
});

test("a recording is the automation's document, and a program has none", async () => {
  const document = await (await parent.call("/api/v1/recording/visit", keyed)).json();
  expect(document).toMatchObject({ url: site.url.href });
  expect((await parent.call("/api/v1/recording/program", keyed)).status).toBe(404);
});

test("one key is one task, however many ask", async () => {
  const answers = await Promise.all(
    Array.from({ length: 10 }, async () => {
      const response = await parent.post("/api/v1/inference", request("twin"), keyed.headers);
      return (await response.json()) as { task: string };
    }),
  );
  expect(new Set(answers.map(({ task }) => (JSON.parse(task) as { task_id: string }).task_id)).size).toBe(1);
});

test("reports of unknown tasks are refused", async () => {
  for (const path of ["start_task", "complete_task", "save_output_data"]) {
    const body = { task_id: "nobody", status: "success" };
    expect((await parent.post(`/api/v1/${path}`, body, keyed.headers)).status).toBe(404);
  }
});

test("an odd value does not keep a task from being reported", async () => {
  const body = { ...request(""), input_parameters: { email: ["a\u0000b", '"remote":false'] } };
  const made = (await (await parent.post("/api/v1/inference", body, keyed.headers)).json()) as { task_id: string };
  const report = { task_id: made.task_id, status: "failed", error: "no luck" };
  for (const path of ["start_task", "complete_task", "complete_task"])
    expect((await parent.post(`/api/v1/${path}`, report, keyed.headers)).status).toBe(200);
  expect(await taskAt(parent, made.task_id)).toMatchObject({ status: "failed", error: "no luck" });
});

test("a task that a child runs ends when it is killed, and what is reported later changes nothing", async () => {
  const made = await parent.post("/api/v1/inference", request("killed"), keyed.headers);
  const { task_id } = (await made.json()) as { task_id: string };
  expect((await parent.post("/api/v1/start_task", { task_id }, keyed.headers)).status).toBe(200);
  expect((await parent.post("/kill_task", [task_id], keyed.headers)).status).toBe(200);
  expect((await taskAt(parent, task_id)).status).toBe("cancelled");
  const late = await parent.post("/api/v1/complete_task", { task_id, status: "success" }, keyed.headers);
  expect(late.status).toBe(200);
  expect((await taskAt(parent, task_id)).status).toBe("cancelled");
});

test.skipIf(!hasChromium)(
  "a child asks its parent for a task, runs it and reports everything",
  async () => {
    const response = await child.post("/inference", request("a@b.c"));
    const { task_id: id } = (await response.json()) as { task_id: string };
    expect(response.status).toBe(202);
    const ended = await until(
      "the parent has the end",
      async () => {
        const view = await taskAt(parent, id);
        return ["success", "failed"].includes(view.status) ? view : null;
      },
      { withinMs: 30_000 },
    );
    expect(ended).toMatchObject({
      status: "success",
      started_at: expect.any(String),
      completed_at: expect.any(String),
    });
    expect(ended.dedup_key).toBe('{"email": ["a@b.c"]}');
    const { sql } = parent.rooms.engine.db;
    const manifest = await until(
      "the trajectory has arrived",
      async () => {
        const [row] = await sql<
          { manifest: string }[]
        >`SELECT manifest::text AS manifest FROM payloads WHERE job_id = ${id}`;
        return row?.manifest.includes("trajectory/steps.json") ? row.manifest : null;
      },
      { withinMs: 30_000 },
    );
    expect(manifest).toContain("logs/optexity.log");
    expect(manifest).toContain("downloads/table.csv");
    const [task] = await sql<{ output: string }[]>`SELECT output::text AS output FROM tasks WHERE job_id = ${id}`;
    expect(JSON.parse(task?.output ?? "")).toMatchObject({
      output_data: [{ heading: "Hello" }],
      final_screenshot: "final_screenshot.png",
      downloads: ["table.csv"],
    });
  },
  60_000,
);
