import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Job } from "../../src/surfaces/api/wire-job.ts";
import { type Service, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const key = "ops-key-0123456789";
const authorized = { authorization: `Bearer ${key}` };

let service: Service;
beforeAll(async () => {
  service = await startService({
    SANDBOX: "none",
    AUTH_KEY: `${key},other-key`,
    WEBHOOK_ALLOW: "127.0.0.0/8",
    WEBHOOK_RETRY_DELAY: "50",
  });
}, 60_000);
afterAll(() => service.stop());

const post = (path: string, body: unknown = "", headers: Record<string, string> = {}) =>
  service.post(path, body, { ...authorized, ...headers });
const get = (path: string, headers: Record<string, string> = authorized) => service.call(path, { headers });
const submit = async (body: unknown, headers: Record<string, string> = {}) =>
  (await (await post("/api/v1/jobs", body, headers)).json()) as Job;
const read = async (job: Job, query = "") => (await (await get(`${job.links.self}${query}`)).json()) as Job;
/** The paths of this surface among those of the service. */
const ours = /^\/api\/v1\/(jobs|deliveries|nodes|queues|functions|containers|automations)\b/;
const waiting = { prefer: "wait=15" };
const sleeper = { script: "sleep 60" };

describe("a cancel", () => {
  test("of a waiting job is done at once, and may be said again", async () => {
    const job = await submit({ function: "hello", hold: true });
    for (let times = 0; times < 2; times++) {
      const response = await post(`${job.links.self}/cancel`);
      expect(response.status).toBe(200);
      expect((await response.json()) as Job).toMatchObject({ status: "cancelled", error: { code: "cancelled" } });
    }
  });

  test("of a running job stops it", async () => {
    const job = await submit(sleeper);
    await until("it runs", async () => (await read(job)).status === "running");
    const response = await post(`${job.links.self}/cancel`);
    expect(response.status).toBe(202);
    expect(await read(job, "?wait=15")).toMatchObject({ status: "cancelled" });
  });

  test("of a job that has ended is refused", async () => {
    const job = await submit({ function: "hello" }, waiting);
    const response = await post(`${job.links.self}/cancel`);
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([409, "conflict"]);
  });
});

describe("a retry", () => {
  test("is another turn of a job that has ended, with another input", async () => {
    const job = await submit({ function: "hello", input: { name: "Ada" } }, waiting);
    const response = await post(`${job.links.self}/retry`, { input: { name: "Grace" } });
    expect(response.status).toBe(202);
    expect(await read(job, "?wait=15")).toMatchObject({ status: "succeeded", result: { message: "Hello Grace!" } });
    const { runs } = (await (await get(`${job.links.self}/runs`)).json()) as {
      runs: { turn: number; outcome: string }[];
    };
    expect(runs.map(({ turn, outcome }) => [turn, outcome])).toEqual([
      [1, "succeeded"],
      [2, "succeeded"],
    ]);
  });

  test("may start in the middle of a chain", async () => {
    const job = await submit({ containers: ["to-uppercase", "word-count"], input: { text: "ab cd" } }, waiting);
    expect((await post(`${job.links.self}/retry`, { from_task: 1, input: { text: "one two three" } })).status).toBe(
      202,
    );
    const again = await read(job, "?wait=15");
    expect(again.tasks[0]?.output).toEqual(job.tasks[0]?.output);
    expect(again.result).not.toEqual(job.result);
  });

  const wrong: [string, unknown, number, string][] = [
    ["an unknown member", { form_task: 1 }, 422, "/form_task"],
    ["a task that is not there", { from_task: 1 }, 422, "/from_task"],
    ["an input that does not fit", { input: { name: 7 } }, 422, "/input/name"],
    ["an input that is no object", { input: 7 }, 422, "/input"],
  ];
  test.each(wrong)("with %s is refused", async (_, body, status, pointer) => {
    const job = await submit({ function: "hello" }, waiting);
    const response = await post(`${job.links.self}/retry`, body);
    expect(response.status).toBe(status);
    const { errors } = (await response.json()) as { errors: { pointer: string }[] };
    expect(errors.map((error) => error.pointer)).toContain(pointer);
    expect((await read(job)).status).toBe("succeeded");
  });

  test("of a job that has not ended is refused", async () => {
    const job = await submit({ function: "hello", hold: true });
    expect((await post(`${job.links.self}/retry`)).status).toBe(409);
  });

  test("of a script whose files are gone is refused", async () => {
    const job = await submit({ script: "true" }, waiting);
    await service.rooms.database.db.sql`UPDATE payloads SET cleaned_at = now() WHERE job_id = ${job.id}`;
    const response = await post(`${job.links.self}/retry`);
    expect([response.status, ((await response.json()) as { detail: string }).detail]).toEqual([
      409,
      `The files of job ${job.id} were removed after their time: submit it anew`,
    ]);
    expect((await get(job.links.files)).status).toBe(404);
  });
});

describe("a release", () => {
  test("queues a job that is held, once", async () => {
    const job = await submit({ id: `held-${crypto.randomUUID()}`, function: "hello", hold: true });
    expect((await post(`${job.links.self}/release`)).status).toBe(202);
    expect((await read(job, "?wait=15")).status).toBe("succeeded");
    const again = await post(`${job.links.self}/release`);
    expect([again.status, ((await again.json()) as { code: string }).code]).toEqual([409, "not_held"]);
  });
});

describe("a delete", () => {
  test("of a job that has not ended is refused", async () => {
    const job = await submit({ function: "hello", hold: true });
    const response = await service.call(job.links.self, { method: "DELETE", headers: authorized });
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([409, "not_final"]);
  });
});

describe("a wait", () => {
  test("for a job ends with it, or with its time", async () => {
    const job = await submit({ function: "hello", hold: true });
    const startedMs = performance.now();
    expect((await read(job, "?wait=1")).status).toBe("queued");
    expect(performance.now() - startedMs).toBeGreaterThan(950);
    const waiting = read(job, "?wait=15");
    await post(`${job.links.self}/release`);
    expect((await waiting).status).toBe("succeeded");
  });

  test.each([["?wait=x"], ["?wait=-1"], ["?wait=86401"], ["?wiat=1"]])("%s is refused", async (query) => {
    const job = await submit({ function: "hello" });
    expect((await get(`${job.links.self}${query}`)).status).toBe(422);
  });
});

describe("a key", () => {
  test("is asked for by every operation, before anything else is looked at", async () => {
    const document = (await (await service.call("/openapi")).json()) as {
      paths: Record<string, Record<string, object>>;
    };
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      ours.test(path) ? Object.keys(methods).map((method) => [method.toUpperCase(), path] as const) : [],
    );
    expect(operations.length).toBeGreaterThanOrEqual(25);
    for (const [method, path] of operations) {
      for (const headers of [
        {},
        { authorization: "Bearer wrong" },
        { "x-api-key": `${key}x` },
        { authorization: "Bearer a.b.c" },
      ]) {
        const init = { method, headers, ...(method === "POST" ? { body: "{" } : {}) };
        const response = await service.call(path.replace(/\{\w+\}/g, "x"), init);
        expect(response.status, `${method} ${path}`).toBe(401);
        expect(response.headers.get("www-authenticate")).toStartWith("Bearer");
        expect(response.headers.get("content-type")).toBe("application/problem+json");
        await response.body?.cancel();
      }
    }
  });

  test("is the client of its jobs, under a name that does not tell it", async () => {
    const one = await submit({ function: "hello" });
    const other = (await (
      await service.post("/api/v1/jobs", { function: "hello" }, { "x-api-key": "other-key" })
    ).json()) as Job;
    expect(one.client).toMatch(/^key:[0-9a-f]{8}$/);
    expect(other.client).not.toBe(one.client);
    const idempotent = { "idempotency-key": "shared" };
    const a = await submit({ function: "hello" }, idempotent);
    const b = (await (
      await service.post("/api/v1/jobs", { function: "hello" }, { "x-api-key": "other-key", ...idempotent })
    ).json()) as Job;
    expect(a.id).not.toBe(b.id);
  });
});

describe("a job's token", () => {
  test("reads that job, and nothing else", async () => {
    const job = await submit({ script: "echo hi > out.txt" }, waiting);
    const other = await submit({ function: "hello" }, waiting);
    const response = await post(`${job.links.self}/token`, { ttl: 60 });
    expect(response.status).toBe(200);
    const { token, expires_at } = (await response.json()) as { token: string; expires_at: string };
    expect(Date.parse(expires_at) - Date.now()).toBeLessThan(61_000);
    const bearer = { authorization: `Bearer ${token}` };
    const paths = ["", "/events", "/runs", "/files", "/files/out.txt", "/files.zip"];
    for (const path of paths) {
      expect((await get(`${job.links.self}${path}?token=${token}`, {})).status, path).toBe(200);
      expect((await get(`${job.links.self}${path}`, bearer)).status, path).toBe(200);
      expect((await get(`${other.links.self}${path}?token=${token}`, {})).status, path).toBe(401);
    }
    for (const path of ["/cancel", "/retry", "/token", "/release"])
      expect((await service.post(`${job.links.self}${path}?token=${token}`, "", bearer)).status, path).toBe(401);
    for (const path of ["/api/v1/jobs", "/api/v1/nodes", `${job.links.self}/deliveries`])
      expect((await get(`${path}?token=${token}`, bearer)).status, path).toBe(401);
  });

  test("is not made for nobody, nor for ever", async () => {
    expect((await post("/api/v1/jobs/nobody/token")).status).toBe(404);
    const job = await submit({ function: "hello" });
    for (const body of [{ ttl: 0 }, { ttl: 604_801 }, { ttl: "60" }, { tll: 60 }, []])
      expect((await post(`${job.links.self}/token`, body)).status).toBe(422);
  });
});

describe("a webhook", () => {
  type Hook = { headers: Headers; body: { type: string; timestamp: string; data: Job & { last_event: number } } };
  const taken: Hook[] = [];
  let status = 200;
  const receiver = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      taken.push({ headers: request.headers, body: (await request.json()) as Hook["body"] });
      return new Response("thanks", { status });
    },
  });
  afterAll(() => receiver.stop(true));
  const url = () => `http://127.0.0.1:${receiver.port}/hook`;
  const of = (job: Job) => taken.filter(({ body }) => body.data.id === job.id);

  test("tells of the end with the job as it is read", async () => {
    const webhook = { url: url(), headers: { "X-Secret": "hush" } };
    const job = await submit({ function: "hello", input: { name: "Ada" }, webhook }, waiting);
    const [hook] = await until("it is told", () => (of(job).length > 0 ? of(job) : null));
    expect(hook?.body.type).toBe("job.completed");
    expect(hook?.headers.get("x-secret")).toBe("hush");
    expect(hook?.headers.get("user-agent")).toBe("Fairlead");
    expect(hook?.headers.get("webhook-id")).toMatch(/^msg_/);
    const shown = await until("it is on record", async () => {
      const found = await read(job);
      return found.webhook?.state === "delivered" ? found : null;
    });
    expect({ ...hook?.body.data, webhook: null }).toEqual({ ...shown, webhook: null } as never);
    expect(JSON.stringify([shown, service.log.lines()])).not.toContain("hush");
    expect(shown.webhook).toEqual({ url: url(), state: "delivered" });
  });

  test("tells of start, output and end in that order, and of output twice a second at most", async () => {
    const webhook = { url: url(), events: ["completed", "output", "started"] };
    const script = "for i in $(seq 1 26); do echo line $i; sleep 0.05; done";
    const startedMs = performance.now();
    const job = await submit({ script, webhook }, waiting);
    const tookMs = performance.now() - startedMs;
    await until("the end is told", () => of(job).some(({ body }) => body.type === "job.completed"));
    const types = of(job).map(({ body }) => body.type);
    expect(types[0]).toBe("job.started");
    expect(types.at(-1)).toBe("job.completed");
    const output = of(job).slice(1, -1);
    expect(output.length).toBeGreaterThanOrEqual(2);
    expect(output.length).toBeLessThanOrEqual(Math.ceil(tookMs / 500) + 1);
    for (const { body } of output) {
      expect(Object.keys(body.data).sort()).toEqual(["id", "last_event", "links", "status"]);
      expect(body.type).toBe("job.output");
    }
    const places = output.map(({ body }) => body.data.last_event);
    expect(places).toEqual(places.toSorted((a, b) => a - b));
  }, 20_000);

  test("that was refused for good is handed over again on demand, under its id", async () => {
    status = 410;
    const job = await submit({ function: "hello", webhook: { url: url() } }, waiting);
    const failed = await until("it has failed", async () =>
      (await read(job)).webhook?.state === "failed" ? await deliveriesOf(job) : null,
    );
    expect(failed).toHaveLength(1);
    expect(failed[0]).toMatchObject({ event: "completed", state: "failed", next_at: null });
    expect(failed[0]?.attempts).toMatchObject([{ status: 410, response: "thanks", error: null }]);
    status = 200;
    const response = await post(`/api/v1/deliveries/${failed[0]?.id}/redeliver`);
    expect(response.status).toBe(202);
    const again = await until("it is delivered", async () =>
      (await read(job)).webhook?.state === "delivered" ? await deliveriesOf(job) : null,
    );
    expect(again[0]?.attempts.map((attempt) => attempt.status)).toEqual([410, 200]);
    expect(of(job).map(({ headers }) => headers.get("webhook-id"))).toEqual(Array(2).fill(failed[0]?.id));
  });

  test("that is not known cannot be handed over", async () => {
    expect((await post("/api/v1/deliveries/msg_nobody/redeliver")).status).toBe(404);
    expect((await get("/api/v1/jobs/nobody/deliveries")).status).toBe(404);
  });

  async function deliveriesOf(job: Job) {
    type Delivery = {
      id: string;
      event: string;
      state: string;
      next_at: string | null;
      attempts: { status: number }[];
    };
    return ((await (await get(`${job.links.self}/deliveries`)).json()) as { deliveries: Delivery[] }).deliveries;
  }
});

describe("what is there", () => {
  test("is listed", async () => {
    const names = async (path: string, list: string, member: string) =>
      ((await (await get(path)).json()) as Record<string, Record<string, string>[]>)[list]?.map((one) => one[member]);
    expect(await names("/api/v1/functions", "functions", "name")).toContain("hello");
    expect(await names("/api/v1/containers", "containers", "id")).toEqual(["to-uppercase", "word-count"]);
    expect(await names("/api/v1/automations", "automations", "name")).toContain("sign-up");
    expect(await names("/api/v1/queues", "queues", "name")).toEqual(["function", "script", "container", "automation"]);
    expect(await names("/api/v1/nodes", "nodes", "state")).toEqual(["ready"]);
  });

  test("is not what is not there", async () => {
    for (const path of [
      "/api/v1/queues/nothing/pause",
      "/api/v1/queues/nothing/resume",
      "/api/v1/nodes/nobody/drain",
      "/api/v1/nodes/nobody/resume",
    ])
      expect((await post(path)).status, path).toBe(404);
    const strange = await get("/api/v1/nothing");
    expect([strange.status, strange.headers.get("content-type")]).toEqual([404, "application/problem+json"]);
    const put = await service.call("/api/v1/jobs", { method: "PUT", headers: authorized });
    expect([put.status, put.headers.get("allow")]).toEqual([405, "GET, HEAD, POST, OPTIONS"]);
  });
});
