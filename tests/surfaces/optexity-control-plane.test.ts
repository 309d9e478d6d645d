import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { type Service, startService } from "../support/service.ts";
import { type Report, StubControlPlane } from "./support/control-plane.ts";
import { ended, hasChromium, jobOf, sleeping, taskOf } from "./support/tasks.ts";

setDefaultTimeout(60_000);

let plane: StubControlPlane;
let service: Service;

beforeAll(async () => {
  plane = new StubControlPlane();
  service = await startService({
    SURFACES: "optexity",
    SERVER_URL: plane.url,
    API_KEY: "configured-key",
    WEBHOOK_RETRY_DELAY: "100",
  });
}, 30_000);
afterAll(async () => {
  await service.stop();
  await plane[Symbol.asyncDispose]();
});
beforeEach(() => {
  plane.refuseReports = null;
  plane.inference = () => Response.json({ task: JSON.stringify(taskOf()) });
});

const request = { endpoint_name: "stub", input_parameters: { email: ["a@b.c"] }, unique_parameter_names: ["email"] };

async function inference(body: unknown = request): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await service.post("/inference", body);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

test("a request is forwarded with the key, and the task it yields is allocated", async () => {
  const task = taskOf();
  plane.inference = () => Response.json({ task });
  expect(await inference()).toEqual({
    status: 202,
    body: { success: true, message: "Task has been allocated", task_id: task.task_id },
  });
  expect(plane.asked.at(-1)).toEqual({ key: "configured-key", body: request });
  await ended(service, task.task_id);
});

test.skipIf(!hasChromium)("a run is reported in the document's order, with its bodies and the task's key", async () => {
  plane.other = (asked) =>
    new URL(asked.url).pathname === "/file"
      ? new Response("a,b\n1,2\n", { headers: { "content-disposition": 'attachment; filename="table.csv"' } })
      : new Response('<h1>Hello</h1><a href="/file">Download</a>', { headers: { "content-type": "text/html" } });
  const task = taskOf({ automation: documentAt(plane.url) });
  plane.inference = () => Response.json({ task: JSON.stringify(task) });
  expect((await inference()).status).toBe(202);
  await plane.reported(task.task_id, "save_trajectory");
  const [start, complete, output, downloads, trajectory] = plane.of(task.task_id);
  expect(plane.endpointsOf(task.task_id)).toEqual([
    "start_task",
    "complete_task",
    "save_output_data",
    "save_downloads",
    "save_trajectory",
  ]);
  expect(plane.of(task.task_id).map(({ key }) => key)).toEqual(Array(5).fill("task-key"));
  expect(start?.json).toEqual({ task_id: task.task_id, started_at: isoTime, allocated_at: isoTime });
  expect(complete?.json).toMatchObject({
    task_id: task.task_id,
    child_process_id: 0,
    completed_at: isoTime,
    status: "success",
    error: null,
    token_usage: { total_tokens: 0, total_cost: 0 },
  });
  expect(output?.json.output_data).toEqual([{ heading: "Hello" }]);
  expect(Buffer.from(String(output?.json.final_screenshot), "base64").subarray(1, 4).toString()).toBe("PNG");
  const packed = await unpacked(downloads, "compressed_downloads");
  expect(await packed.get(`${task.task_id}/table.csv`)?.text()).toBe("a,b\n1,2\n");
  const screenshots = (downloads?.form?.getAll("screenshots") ?? []) as File[];
  expect(screenshots.map(({ name }) => name)).toEqual(["final_screenshot.png"]);
  const kept = [...(await unpacked(trajectory, "compressed_trajectory")).keys()];
  expect(kept).toContain(`${task.task_id}/trajectory/steps.json`);
  expect(kept).toContain(`${task.task_id}/logs/optexity.log`);
});

async function unpacked(report: Report | undefined, field: string): Promise<Map<string, File>> {
  const archive = report?.form?.get(field);
  if (!(archive instanceof File)) throw new Error(`${report?.endpoint ?? "no report"} has no file ${field}`);
  expect(archive.name).toBe(`${report?.taskId}.tar.gz`);
  return new Bun.Archive(await archive.bytes()).files();
}

/** Reads the heading of the page and follows its link to a file. */
function documentAt(url: string): Record<string, unknown> {
  const action = { type: "action_node", before_sleep_time: 0, end_sleep_time: 0 };
  const locator = {
    command: 'locator("h1")',
    output_variable_name: "heading",
    extraction_format: { heading: "str" },
  };
  const click = { command: 'get_by_role("link", name="Download")', expect_download: true, prompt_instructions: "" };
  return {
    url,
    parameters: { input_parameters: {} },
    nodes: [
      { ...action, extraction_action: { locator } },
      { ...action, interaction_action: { click_element: click } },
    ],
  };
}

const isoTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

test("reports wait for a control plane that is down, and keep their order", async () => {
  plane.refuseReports = () => new Response("<html>Bad gateway</html>", { status: 502 });
  const task = taskOf();
  plane.inference = () => Response.json({ task });
  expect((await inference({ ...request, input_parameters: { email: ["down"] } })).status).toBe(202);
  await ended(service, task.task_id);
  expect(plane.of(task.task_id)).toEqual([]);
  plane.refuseReports = null;
  await plane.reported(task.task_id, "save_trajectory");
  expect(plane.endpointsOf(task.task_id).slice(0, 2)).toEqual(["start_task", "complete_task"]);
});

for (const [name, answer, error] of [
  ["an error", () => Response.json({ error: "No such recording" }, { status: 404 }), "No such recording"],
  ["a page", () => new Response("<html>hi</html>"), "The control plane answered 200 with something that is no JSON"],
  ["no task", () => Response.json({ ok: true }), "The control plane sent no task"],
  [
    "a task that is no JSON",
    () => Response.json({ task: "{" }),
    "The control plane sent a task that is no JSON object",
  ],
  [
    "a task that is not valid",
    () => Response.json({ task: taskOf({ task_id: 7 }) }),
    "The control plane sent a task that is not valid: task.task_id: Input should be a valid string",
  ],
] as [string, () => Response, string][]) {
  test(`a control plane that answers ${name} makes no task`, async () => {
    plane.inference = answer;
    expect(await inference()).toEqual({ status: 500, body: { success: false, error } });
  });
}

test("a task that is sent twice is one", async () => {
  const task = taskOf();
  plane.inference = () => Response.json({ task });
  const answers = [await inference(), await inference()];
  expect(answers.map(({ body }) => body.task_id)).toEqual([task.task_id, task.task_id]);
  await plane.reported(task.task_id, "complete_task");
  expect(plane.endpointsOf(task.task_id).filter((endpoint) => endpoint === "start_task")).toHaveLength(1);
});

test("requests with one key at the same time ask the control plane once", async () => {
  const before = plane.asked.length;
  plane.inference = async () => {
    await Bun.sleep(50);
    return Response.json({ task: taskOf() });
  };
  const answers = await Promise.all(Array.from({ length: 20 }, () => inference()));
  expect(new Set(answers.map(({ body }) => body.task_id)).size).toBe(1);
  expect(plane.asked.length - before).toBe(1);
});

test("a task with a callback has the control plane make it, last of all, and its secrets are stored nowhere", async () => {
  const callback = { url: "https://example.com/hook", api_key: null, username: "ann", password: "callback-secret" };
  const task = taskOf({ callback_url: callback });
  const silent = taskOf({ callback_url: null });
  expect((await service.post("/allocate_task", [task, silent])).status).toBe(202);
  const told = await plane.reported(task.task_id, "initiate_callback");
  expect(told).toMatchObject({
    key: "task-key",
    json: { task_id: task.task_id, endpoint_name: "stub", callback_url: callback },
  });
  expect(plane.endpointsOf(task.task_id).at(-1)).toBe("initiate_callback");
  await plane.reported(silent.task_id, "complete_task");
  const { sql } = service.rooms.engine.db;
  const rows = await sql`
    SELECT row_to_json(j)::text AS job, row_to_json(k)::text AS task, row_to_json(d)::text AS delivery
    FROM jobs j JOIN tasks k ON k.job_id = j.id JOIN deliveries d ON d.job_id = j.id WHERE j.id = ${task.task_id}`;
  expect(rows.length).toBeGreaterThan(1);
  expect(JSON.stringify(rows)).not.toContain("callback-secret");
  expect(plane.endpointsOf(silent.task_id)).not.toContain("initiate_callback");
});

test.skipIf(!hasChromium)("a killed task is reported as cancelled, running or not", async () => {
  const [running, waiting] = [taskOf({ automation: sleeping(600) }), taskOf({ automation: sleeping(600) })];
  expect((await service.post("/allocate_task", [running, waiting])).status).toBe(202);
  await jobOf(service, running.task_id, "running", ({ status }) => status === "running");
  expect(await (await service.call("/is_task_running")).json()).toBe(true);
  const killed = await service.post("/kill_task", [waiting.task_id, running.task_id]);
  expect(await killed.json()).toEqual({ success: true, message: "Kill signal sent for 2 tasks" });
  for (const { task_id } of [running, waiting]) {
    const complete = await plane.reported(task_id, "complete_task");
    expect(complete.json).toMatchObject({ status: "cancelled", error: "Task cancelled by user" });
  }
  expect(plane.endpointsOf(waiting.task_id)).toEqual(["complete_task"]);
});
