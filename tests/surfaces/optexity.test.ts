import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { type Service, startService } from "../support/service.ts";
import { until } from "../support/until.ts";
import { ended, hasChromium, jobOf, sleeping, taskOf } from "./support/tasks.ts";

let service: Service;

beforeAll(async () => {
  service = await startService({ SURFACES: "optexity", AUTOMATION_UNHEALTHY_AFTER: "1" });
}, 30_000);
afterAll(() => service.stop());

const ann = { email: ["ann@example.com"], full_name: ["Ann Alice"] };
const signUp = (more: object = {}) => ({ endpoint_name: "sign-up", input_parameters: ann, ...more });

type Answer = { status: number; body: Record<string, unknown> };

async function post(path: string, body: unknown): Promise<Answer> {
  const response = await service.post(path, body);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

async function problems(body: unknown): Promise<Record<string, unknown>[]> {
  const answer = await post("/inference", body);
  expect(answer.status).toBe(422);
  return answer.body.detail as Record<string, unknown>[];
}

const view = async (id: unknown) =>
  (await (await service.call(`/api/v1/task/${String(id)}`)).json()) as Record<string, unknown>;

describe.skipIf(!hasChromium)("the automations that are shipped", () => {
  for (const endpoint_name of ["sign-up", "sign-up-document"]) {
    test(`${endpoint_name} fills in the form and returns what the page says`, async () => {
      const answer = await post("/inference", signUp({ endpoint_name }));
      expect(answer).toEqual({
        status: 202,
        body: { success: true, message: "Task has been allocated", task_id: expect.any(String) },
      });
      const job = await ended(service, String(answer.body.task_id));
      expect(job.status).toBe("succeeded");
      expect(job.output).toContain("Ann");
      expect(await view(answer.body.task_id)).toMatchObject({
        status: "success",
        endpoint_name,
        input_parameters: ann,
        retry_count: 0,
        max_retries: 1,
        error: null,
        started_at: expect.any(String),
        completed_at: expect.any(String),
        save_directory: "optexity",
        log_file_path: `optexity/${String(answer.body.task_id)}/logs/optexity.log`,
      });
    }, 40_000);
  }

  test("leave their files in a directory that is named like the task", async () => {
    const { body } = await post("/inference", signUp());
    await ended(service, String(body.task_id));
    const directory = join(service.rooms.config.dataDir, "optexity", String(body.task_id));
    expect((await stat(join(directory, "downloads"))).isDirectory()).toBe(true);
    expect((await stat(join(directory, "logs", "optexity.log"))).size).toBeGreaterThan(0);
    expect((await stat(join(directory, "final_screenshot.png"))).size).toBeGreaterThan(1_000);
  }, 40_000);
});

describe("bodies that are not valid get the 422 of pydantic", () => {
  test("missing fields", async () => {
    expect(await problems({})).toEqual([
      { type: "missing", loc: ["body", "endpoint_name"], msg: "Field required", input: {} },
      { type: "missing", loc: ["body", "input_parameters"], msg: "Field required", input: {} },
    ]);
  });

  test("a unique name that is not among the inputs", async () => {
    const body = signUp({ unique_parameter_names: ["foo"] });
    expect(await problems(body)).toEqual([
      {
        type: "value_error",
        loc: ["body"],
        msg: "Value error, unique_parameter_name foo not found in input_parameters",
        input: body,
        ctx: { error: {} },
      },
    ]);
  });

  for (const [name, body, type, loc] of [
    ["no JSON", "{", "json_invalid", ["body", 0]],
    ["a list", [], "model_attributes_type", ["body"]],
    ["a name that is no text", signUp({ endpoint_name: 7 }), "string_type", ["body", "endpoint_name"]],
    ["an empty name", signUp({ endpoint_name: "" }), "value_error", ["body", "endpoint_name"]],
    ["parameters that are a list", signUp({ input_parameters: [] }), "dict_type", ["body", "input_parameters"]],
    [
      "values that are no list",
      signUp({ input_parameters: { ...ann, email: "a@b.c" } }),
      "list_type",
      ["body", "input_parameters", "email"],
    ],
    [
      "a value that is an object",
      signUp({ input_parameters: { ...ann, email: ["a", {}] } }),
      "string_type",
      ["body", "input_parameters", "email", 1],
    ],
    [
      "1,001 values",
      signUp({ input_parameters: { ...ann, email: Array(1_001).fill("a") } }),
      "too_long",
      ["body", "input_parameters", "email"],
    ],
    [
      "unique names that are a text",
      signUp({ unique_parameter_names: "a" }),
      "list_type",
      ["body", "unique_parameter_names"],
    ],
    ["an unknown automation", signUp({ endpoint_name: "nope" }), "value_error", ["body", "endpoint_name"]],
    ["a missing parameter", signUp({ input_parameters: { email: [] } }), "value_error", ["body", "input_parameters"]],
    [
      "an extra parameter",
      signUp({ input_parameters: { ...ann, more: [] } }),
      "value_error",
      ["body", "input_parameters"],
    ],
  ] as [string, unknown, string, unknown[]][]) {
    test(name, async () => {
      expect((await problems(body))[0]).toMatchObject({ type, loc });
    });
  }
});

test("20 requests with one key at once are one task, until it has ended", async () => {
  const blocker = taskOf({ automation: sleeping(600) });
  await post("/allocate_task", blocker);
  const body = signUp({
    input_parameters: { email: ["Ali\u00e7e", "\u{1F600}"], full_name: ['a"b'] },
    unique_parameter_names: ["full_name", "email"],
  });
  const answers = await Promise.all(Array.from({ length: 20 }, () => post("/inference", body)));
  const ids = new Set(answers.map((answer) => answer.body.task_id));
  expect(ids.size).toBe(1);
  const [id] = [...ids];
  expect((await view(id)).dedup_key).toBe('{"email": ["Ali\\u00e7e", "\\ud83d\\ude00"], "full_name": ["a\\"b"]}');
  await service.post("/kill_task", [String(id), blocker.task_id]);
  await ended(service, String(id));
  const next = await post("/inference", body);
  expect(next.body.task_id).not.toBe(id);
  await service.post("/kill_task", [String(next.body.task_id)]);
  await ended(service, blocker.task_id);
}, 40_000);

test("a thousand values are taken, and their key fits", async () => {
  const email = Array.from({ length: 1_000 }, (_, index) => `person-${index}@example.com`);
  const body = signUp({ input_parameters: { ...ann, email }, unique_parameter_names: ["email"] });
  const [first, second] = [await post("/inference", body), await post("/inference", body)];
  expect(first.status).toBe(202);
  expect(second.body.task_id).toBe(first.body.task_id);
  await service.post("/kill_task", [String(first.body.task_id)]);
  await ended(service, String(first.body.task_id));
}, 40_000);

test("an array of tasks is allocated whole or not at all", async () => {
  const tasks = [taskOf(), taskOf({ input_parameters: "odd" })];
  expect((await post("/allocate_task", tasks)).status).toBe(422);
  expect((await service.call(`/api/v1/task/${tasks[0]?.task_id}`)).status).toBe(404);
  const good = [taskOf(), taskOf()];
  expect(await post("/allocate_task", good)).toEqual({
    status: 202,
    body: { success: true, message: "2 task(s) allocated.", task_ids: good.map(({ task_id }) => task_id) },
  });
  await Promise.all(good.map(({ task_id }) => ended(service, task_id)));
}, 40_000);

test("a task id that would leave its directory is refused", async () => {
  for (const task_id of ["..", "a/b", "", "x".repeat(129)])
    expect((await post("/allocate_task", taskOf({ task_id }))).status).toBe(422);
});

test("the child's number is a text of digits", async () => {
  expect(await post("/set_child_process_id", { new_child_process_id: "3" })).toEqual({
    status: 200,
    body: { success: true, message: "Child process id has been set" },
  });
  for (const body of [{ new_child_process_id: 3 }, { new_child_process_id: "x" }, {}, []])
    expect((await post("/set_child_process_id", body)).status).toBe(422);
});

test("killing what is not there kills nothing", async () => {
  expect(await post("/kill_task", ["nobody", "\0"])).toEqual({
    status: 200,
    body: { success: true, message: "Kill signal sent for 2 tasks" },
  });
  expect((await post("/kill_task", "x")).status).toBe(422);
});

test.skipIf(!hasChromium)(
  "health turns to 503 when a task runs for too long, and back when it has ended",
  async () => {
    const healthy = await service.call("/health");
    expect([healthy.status, await healthy.json()]).toEqual([
      200,
      { status: "healthy", task_running: false, queued_tasks: 0 },
    ]);
    const [task, waiting] = [taskOf({ automation: sleeping(600) }), taskOf({ automation: sleeping(600) })];
    await post("/allocate_task", [task, waiting]);
    await jobOf(service, task.task_id, "running", ({ status }) => status === "running");
    expect(await (await service.call("/is_task_running")).json()).toBe(true);
    const unwell = await until("health is 503", async () => {
      const response = await service.call("/health");
      return response.status === 503 ? response : null;
    });
    expect(await unwell.json()).toEqual({
      status: "unhealthy",
      message: "Task not finished in the last 1 second",
      task_running: true,
      queued_tasks: 1,
    });
    await service.post("/kill_task", [waiting.task_id, task.task_id]);
    await ended(service, task.task_id);
    await until("health is 200 again", async () => (await service.call("/health")).status === 200);
  },
  40_000,
);

test.skipIf(!hasChromium)(
  "a task that waits for a human goes on when told",
  async () => {
    const nodes = [{ type: "action_node", human_in_loop_action: { max_wait_time: 600 }, end_sleep_time: 0 }];
    const task = taskOf({ automation: { url: "about:blank", parameters: {}, nodes } });
    expect((await post("/human_in_loop_completed", { task_id: task.task_id })).status).toBe(404);
    await post("/allocate_task", task);
    await jobOf(service, task.task_id, "running", ({ status }) => status === "running");
    const told = await post("/human_in_loop_completed", { task_id: task.task_id });
    expect(told).toEqual({ status: 200, body: { success: true } });
    expect((await ended(service, task.task_id)).status).toBe("succeeded");
  },
  40_000,
);

test("without a browser the task fails with the reason", async () => {
  const bare = await startService({ SURFACES: "optexity", CHROMIUM_PATH: "/nonexistent/chromium" });
  try {
    const task = taskOf();
    expect((await bare.post("/allocate_task", task)).status).toBe(202);
    const job = await ended(bare, task.task_id);
    expect(job.status).toBe("failed");
    expect(job.error).toContain("CHROMIUM_PATH");
  } finally {
    await bare.stop();
  }
}, 40_000);
