import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Service, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const key = "test-auth-key";
const lbKey = "test-lb-key";
const directory = mkdtempSync(join(tmpdir(), "fairlead-andera-"));
let service: Service;

beforeAll(async () => {
  service = await startService({
    AUTH_KEY: key,
    LB_AUTH_KEY: lbKey,
    WEBHOOK_ALLOW: "127.0.0.0/8",
    WEBHOOK_RETRY_DELAY: "50",
    WEBHOOK_MAX_RETRIES: "3",
    WEBHOOK_HEADERS: '{"X-From":"config","X-Both":"config"}',
    FUNCTIONS_DIR: join(import.meta.dir, "../support/functions"),
    SLOTS: "2",
  });
});
afterAll(async () => {
  await service.stop();
  rmSync(directory, { recursive: true });
});

const task = (body: unknown, headers: Record<string, string> = { authorization: key }) =>
  service.post("/task", body, headers);
type Body = { [name: string]: unknown; error?: string; logs?: string[]; job?: string };
const answerOf = async (response: Response) => ({ status: response.status, body: (await response.json()) as Body });

describe("the checks of /task stand in the original's order, with its texts", () => {
  const priority = "Invalid priority: must be between 1 and 2097152";
  const cases: [string, unknown, number, string][] = [
    ["priority 0 before everything else", { priority: 0 }, 400, priority],
    ["priority below", { priority: -1, function: "greet" }, 400, priority],
    ["priority above", { priority: 2_097_153, function: "greet" }, 400, priority],
    ["priority that is no number", { priority: "high", function: "greet" }, 400, priority],
    ["priority null", { priority: null, function: "greet" }, 400, priority],
    ["priority NaN as text", { priority: "NaN", function: "greet" }, 400, priority],
    ["priority infinite as text", { priority: "Infinity", function: "greet" }, 400, priority],
    ["no function", {}, 400, "Missing or invalid function name"],
    ["empty function", { function: "" }, 400, "Missing or invalid function name"],
    ["function of a wrong type", { function: 7, contract: 1 }, 400, "Missing or invalid function name"],
    ["a list instead of an object", [1, 2], 400, "Missing or invalid function name"],
    ["contract as text", { function: "greet", contract: "1" }, 400, "Missing or invalid contract"],
    ["contract 0", { function: "greet", contract: 0 }, 400, "Missing or invalid contract"],
    ["contract null", { function: "greet", contract: null }, 400, "Missing or invalid contract"],
    [
      "another contract",
      { function: "greet", contract: 2 },
      400,
      "Contract version mismatch: requested 2, worker is 1",
    ],
    ["input as text", { function: "greet", contract: 1, input: "x" }, 400, "Invalid input: must be an object"],
    ["unknown mode", { function: "greet", contract: 1, mode: "later" }, 400, "Invalid mode"],
    ["unknown function", { function: "nope", contract: 1 }, 404, "Function 'nope' not found"],
    ["a name of the prototype", { function: "constructor", contract: 1 }, 404, "Function 'constructor' not found"],
    [
      "stream of a function that cannot",
      { function: "add", contract: 1, mode: "stream" },
      400,
      "Function 'add' does not support streaming",
    ],
    [
      "webhook without url",
      { function: "greet", contract: 1, mode: "webhook" },
      400,
      "Missing or invalid webhook.url for mode webhook",
    ],
    [
      "webhook with a url that is no text",
      { function: "greet", contract: 1, mode: "webhook", webhook: { url: 1 } },
      400,
      "Missing or invalid webhook.url for mode webhook",
    ],
  ];
  for (const [name, body, status, error] of cases) {
    test(name, async () => {
      expect(await answerOf(await task(body))).toEqual({ status, body: { error } });
    });
  }
});

describe("bodies", () => {
  test("malformed JSON is 400", async () => {
    const { status, body } = await answerOf(await task('{"function":'));
    expect(status).toBe(400);
    expect(body.error).toBeString();
  });

  test("one byte over 10 MiB is 413", async () => {
    const filler = "x".repeat(10 * 1_048_576);
    expect((await task(`{"function":"greet","input":{"name":"${filler}"}}`)).status).toBe(413);
  });

  test("a million-deep array is refused and the server goes on", async () => {
    expect((await task(`${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}`)).status).toBe(400);
    expect((await task({ function: "greet" })).status).toBe(200);
  });

  test("the contract may be left out, and numeric texts are priorities", async () => {
    expect(
      await answerOf(
        await task({ function: "greet", input: { name: "Ada" }, priority: "3", _taskId: "lb", group: "default" }),
      ),
    ).toEqual({
      status: 200,
      body: { success: true, result: { message: "Hello Ada!" } },
    });
  });
});

describe("keys", () => {
  const cases: [string, Record<string, string>, number][] = [
    ["none", {}, 401],
    ["a wrong one", { authorization: "nope" }, 401],
    ["raw", { authorization: key }, 200],
    ["Bearer", { authorization: `Bearer ${key}` }, 200],
    ["x-api-key", { "x-api-key": key }, 200],
    ["the balancer's alone", { "x-lb-auth": lbKey }, 401],
    ["right with the balancer's right", { authorization: key, "x-lb-auth": lbKey }, 200],
    ["right with the balancer's wrong", { authorization: key, "x-lb-auth": "nope" }, 401],
  ];
  for (const [name, headers, status] of cases) {
    test(`/task with ${name}`, async () => {
      const response = await task({ function: "greet" }, headers);
      expect(response.status).toBe(status);
      if (status === 401) expect(await response.json()).toEqual({ error: "Unauthorized" });
    });
  }

  test("/logs takes either key and shows no key", async () => {
    expect((await service.call("/logs")).status).toBe(401);
    const { logs = [] } = (await answerOf(await service.call("/logs", { headers: { "x-lb-auth": lbKey } }))).body;
    expect(logs.length).toBeGreaterThan(0);
    expect(logs.find((line: string) => line.includes("[TASK] Function call: greet"))).toMatch(
      /^\[\d{4}-.*Z\] \[INFO\] /,
    );
    expect(logs.join("\n")).not.toContain(key);
  });
});

describe("modes", () => {
  test("sync answers with the function's error", async () => {
    expect(await answerOf(await task({ function: "fails", input: { message: "no luck" } }))).toEqual({
      status: 500,
      body: { success: false, error: "no luck" },
    });
  });

  test("parameters are checked before anything runs", async () => {
    expect(await answerOf(await task({ function: "add", input: { a: 1 } }))).toEqual({
      status: 500,
      body: { success: false, error: "Missing required param: b" },
    });
    expect(await answerOf(await task({ function: "add", input: { a: 1, b: 2, c: 3 } }))).toEqual({
      status: 500,
      body: { success: false, error: "Unexpected param: c" },
    });
  });

  test("a function beyond its time ends with Timeout", async () => {
    expect(await answerOf(await task({ function: "naps", input: { ms: 60_000 } }))).toEqual({
      status: 500,
      body: { success: false, error: "Timeout" },
    });
  });

  test("stream sends the text as it comes", async () => {
    const response = await task({ function: "greet", input: { name: "Ada" }, mode: "stream" });
    expect(response.headers.get("content-type")).toStartWith("text/plain");
    expect(await response.text()).toBe("Hello Ada!");
  });

  test("stream sends the job's events where those are asked for", async () => {
    const headers = { authorization: key, accept: "text/event-stream" };
    const response = await task({ function: "greet", input: { name: "Ada" }, mode: "stream" }, headers);
    expect(response.headers.get("content-type")).toStartWith("text/event-stream");
    const text = await response.text();
    expect(text).toContain('"stream":"stream"');
    expect([...text.matchAll(/^event: (.*)$/gm)].map(([, kind]) => kind).at(-1)).toBe("completed");
    const again = await service.call(`/api/v1/jobs/${response.headers.get("x-job-id")}/events`, { headers });
    expect(await again.text()).toBe(text);
  });

  test("a caller that leaves does not cancel its job", async () => {
    const gate = join(directory, "left");
    const caller = new AbortController();
    const gone = service.call("/task", {
      method: "POST",
      headers: { authorization: key },
      body: JSON.stringify({ function: "gated", input: { path: gate } }),
      signal: caller.signal,
    });
    await untilUsed(1);
    caller.abort();
    await expect(gone).rejects.toThrow();
    writeFileSync(gate, "");
    await untilUsed(0);
    const listed = await service.call("/api/v1/jobs?limit=1", { headers: { authorization: key } });
    expect(await listed.json()).toMatchObject({ jobs: [{ status: "succeeded", input: { path: gate } }] });
  });

  test("an error in the middle of a stream ends it and leaves the server up", async () => {
    const response = await task({ function: "breaks", mode: "stream" });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("so far ");
    expect((await task({ function: "greet" })).status).toBe(200);
  });

  test("webhook is answered at once and delivered after retries, signed with the job's headers on top", async () => {
    const seen: { body: unknown; headers: Headers }[] = [];
    const arrived = Promise.withResolvers<void>();
    await using receiver = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request) {
        seen.push({ body: await request.json(), headers: request.headers });
        if (seen.length < 3) return new Response("not yet", { status: 500 });
        arrived.resolve();
        return new Response("ok");
      },
    });
    const webhook = {
      url: `http://127.0.0.1:${receiver.port}/hook`,
      headers: { "X-Both": "request", Authorization: "Bearer mine" },
    };
    const { status, body } = await answerOf(
      await task({ function: "greet", input: { name: "Ada" }, mode: "webhook", webhook }),
    );
    expect(status).toBe(200);
    expect(body).toEqual({
      success: true,
      message: "Task accepted, result will be sent to webhook",
      job: expect.any(String),
    });
    await arrived.promise;
    expect(seen.map((call) => call.body)).toEqual(Array(3).fill({ message: "Hello Ada!" }));
    const [first, , third] = seen;
    expect(first?.headers.get("user-agent")).toBe("Andera");
    expect(first?.headers.get("x-from")).toBe("config");
    expect(first?.headers.get("x-both")).toBe("request");
    expect(first?.headers.get("authorization")).toBe("Bearer mine");
    expect(third?.headers.get("webhook-id")).toBe(first?.headers.get("webhook-id") ?? "none");
  });

  test("a webhook into a private network is refused unless it is allowed", async () => {
    const { status, body } = await answerOf(
      await task({ function: "greet", mode: "webhook", webhook: { url: "http://10.0.0.1/x" } }),
    );
    expect(status).toBe(400);
    expect(body.error).toContain("WEBHOOK_ALLOW");
  });
});

describe("maintenance", () => {
  test("refuses new tasks, lets running ones finish, and starts waiting ones when it ends", async () => {
    const gate = join(directory, "off");
    const running = [1, 2].map(() => task({ function: "gated", input: { path: gate } }));
    await untilUsed(2);
    let isAnswered = false;
    const waiting = task({ function: "greet" }).then((response) => {
      isAnswered = true;
      return response;
    });
    await until("one waits", async () => (await slotsNow()).queue === 1);
    expect(await answerOf(await service.call("/off", { method: "POST", headers: { authorization: key } }))).toEqual({
      status: 200,
      body: { status: "maintenance", message: "Maintenance mode enabled" },
    });
    expect(await answerOf(await task({ function: "greet" }))).toEqual({
      status: 503,
      body: { error: "Worker is in maintenance mode" },
    });
    expect(await (await service.call("/health")).json()).toMatchObject({ status: expect.any(String) });
    const full = await fullHealth();
    expect(full).toMatchObject({ status: "maintenance", slots: { available: 0 } });
    writeFileSync(gate, "");
    for (const response of await Promise.all(running)) expect(response.status).toBe(200);
    await untilUsed(0);
    await Bun.sleep(100);
    expect(isAnswered).toBe(false);
    expect(await answerOf(await service.call("/on", { method: "POST", headers: { authorization: key } }))).toEqual({
      status: 200,
      body: { status: "ready", message: "Maintenance mode disabled" },
    });
    expect((await waiting).status).toBe(200);
    expect((await task({ function: "greet" })).status).toBe(200);
  });
});

test("with a key /health has the full body in the original's order", async () => {
  const body = await fullHealth();
  expect(Object.keys(body)).toEqual([
    "status",
    "group",
    "contract",
    "websocketPort",
    "functions",
    "services",
    "tags",
    "slots",
    "system",
  ]);
  expect(body).toMatchObject({ status: "ready", group: "default", contract: 1, slots: { limit: 2 } });
});

async function fullHealth(): Promise<Record<string, unknown>> {
  return (await answerOf(await service.call("/health", { headers: { "x-lb-auth": lbKey } }))).body;
}

async function slotsNow(): Promise<{ used: number; queue: number }> {
  return (await fullHealth())["slots"] as { used: number; queue: number };
}

function untilUsed(slots: number): Promise<boolean> {
  return until(`${slots} slots are in use`, async () => (await slotsNow()).used === slots);
}
