import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { totpCode } from "../../src/runners/automation/totp.ts";
import { startSite } from "../support/pages/site.ts";
import { type Service, startService } from "../support/service.ts";
import { ended, hasChromium, taskOf } from "./support/tasks.ts";

const site = startSite();
const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
const code = { code: [{ totp: { totp_secret: secret, digits: 8 } }] };
const form = site.url("/form.html");

let service: Service;

beforeAll(async () => {
  service = await startService({ SURFACES: "optexity,api" });
}, 30_000);
afterAll(async () => {
  await service.stop();
  await site[Symbol.asyncDispose]();
});

const document = (secure: object) => ({
  url: form,
  parameters: { input_parameters: {}, secure_parameters: secure },
  nodes: [
    {
      type: "action_node",
      interaction_action: { input_text: { command: 'locator("#name")', input_text: "{code[0]}" } },
      end_sleep_time: 0,
    },
  ],
});

/** Everything that the database holds of a job. */
async function storedOf(taskId: string): Promise<string> {
  const { sql } = service.rooms.engine.db;
  const rows = await Promise.all([
    sql`SELECT row_to_json(j)::text AS row FROM jobs j WHERE id = ${taskId}`,
    sql`SELECT row_to_json(k)::text AS row FROM tasks k WHERE job_id = ${taskId}`,
    sql`SELECT row_to_json(e)::text AS row FROM events e WHERE job_id = ${taskId}`,
    sql`SELECT row_to_json(r)::text AS row FROM runs r WHERE job_id = ${taskId}`,
    sql`SELECT row_to_json(q)::text AS row FROM pgboss.job q`,
  ]);
  return JSON.stringify(rows);
}

async function answersAbout(taskId: string): Promise<string> {
  const paths = ["", "/runs", "/events", "/files", "/deliveries"].map((part) => `/api/v1/jobs/${taskId}${part}`);
  const answers = [...paths, `/api/v1/task/${taskId}`, `/api/v1/jobs?q=${secret}`, "/logs"];
  return (await Promise.all(answers.map(async (path) => (await service.call(path)).text()))).join("\n");
}

describe("the secure parameters of a task", () => {
  for (const [where, task] of [
    ["in the task", taskOf({ automation: document(code), secure_parameters: code })],
    ["in its document alone", { ...taskOf({ automation: document(code) }), secure_parameters: null }],
  ] as const) {
    test.skipIf(!hasChromium)(
      `are opened for its run and are nowhere to be read: ${where}`,
      async () => {
        expect((await service.post("/allocate_task", task)).status).toBe(202);
        const job = await ended(service, task.task_id);
        expect(job).toMatchObject({ status: "succeeded", error: null });
        expect(await storedOf(task.task_id)).not.toContain(secret);
        expect(await answersAbout(task.task_id)).not.toContain(secret);
        expect(service.log.lines().join("\n")).not.toContain(secret);
        expect(await filesOf(task.task_id)).not.toContain(secret);
        // The code that was typed is no more to be seen than what it was made of.
        const codes = [0, 1, 2, 3].map((back) => totpCode(secret, 8, Date.now() - back * 30_000));
        const said = `${await answersAbout(task.task_id)}${await filesOf(task.task_id)}`;
        expect(codes.filter((one) => said.includes(one))).toEqual([]);
      },
      60_000,
    );
  }

  test("are stored sealed while it waits", async () => {
    const task = taskOf({ automation: document(code), secure_parameters: code, max_retries: 0 });
    await service.post("/allocate_task", task);
    const stored = await storedOf(task.task_id);
    expect(stored).toContain("sealed");
    expect(stored).not.toContain(secret);
    await service.post("/kill_task", [task.task_id]);
    await ended(service, task.task_id);
  }, 60_000);

  test("that another key has sealed fail the task with what to do", async () => {
    const { sql } = service.rooms.engine.db;
    const task = taskOf({ automation: document(code), secure_parameters: code });
    const held = { id: task.task_id, automation: "sign-up", input: { email: ["a@b.c"], full_name: ["A"] }, hold: true };
    expect((await service.post("/api/v1/jobs", { ...held, max_attempts: 1 })).status).toBe(202);
    const options = JSON.stringify({ task: { task_id: task.task_id, sealed: "0000000000000000.AAAA" } });
    await sql`UPDATE tasks SET options = ${options}::text::json WHERE job_id = ${task.task_id}`;
    await service.post(`/api/v1/jobs/${task.task_id}/release`, {});
    const job = await ended(service, task.task_id);
    expect(job.status).toBe("failed");
    expect(job.error).toMatch(hasChromium ? /sealed with a key that this node does not have.*SECRET_KEY/ : /Chromium/i);
  }, 60_000);

  test("are not shown in what is wrong with a body", async () => {
    const bodies = [
      { endpoint_name: "x", input_parameters: {}, secure_parameters: code, unique_parameter_names: ["foo"] },
      { input_parameters: {}, secure_parameters: code, api_key: secret },
      { endpoint_name: "x", input_parameters: {}, secure_parameters: { code: [secret] } },
      { endpoint_name: "x", input_parameters: {}, secure_parameters: [secret] },
    ];
    for (const body of bodies) {
      const answer = await service.post("/inference", body);
      expect(answer.status).toBe(422);
      expect(await answer.text()).not.toContain(secret);
    }
    const tasks = [{ ...taskOf({ automation: document(code), api_key: secret, secure_parameters: code }), task_id: 3 }];
    const answer = await service.post("/allocate_task", tasks);
    expect(answer.status).toBe(422);
    expect(await answer.text()).not.toContain(secret);
  });
});

async function filesOf(taskId: string): Promise<string> {
  const directory = join(service.rooms.config.dataDir, "optexity", taskId);
  const names = await readdir(directory, { recursive: true });
  const texts = names.filter((name) => /\.(json|log|txt)$/.test(name));
  return (await Promise.all(texts.map((name) => readFile(join(directory, name), "utf8")))).join("\n");
}
