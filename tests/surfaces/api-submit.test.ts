import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Job } from "../../src/surfaces/api/wire-job.ts";
import { type Service, startService } from "../support/service.ts";

type Problem = { code: string; status: number; detail: string; errors?: { pointer: string; detail: string }[] };

let service: Service;
beforeAll(async () => {
  service = await startService({
    SANDBOX: "none",
    LIMIT_MEMORY_MB: "1024",
    LIMIT_NETWORK: "false",
    WAIT_MAX: "20",
    BODY_MAX_MB: "1",
  });
}, 60_000);
afterAll(() => service.stop());

const submit = (body: unknown, headers: Record<string, string> = {}) => service.post("/api/v1/jobs", body, headers);
const jobOf = async (response: Response) => (await response.json()) as Job;
const problemOf = async (response: Response) => (await response.json()) as Problem;
const waiting = { prefer: "wait=15" };

describe("a submit", () => {
  test("of a function is answered with the job once it is committed", async () => {
    const response = await submit({ function: "hello", input: { name: "Ada" }, tags: ["a", "b"] });
    expect(response.status).toBe(202);
    const job = await jobOf(response);
    expect(response.headers.get("location")).toBe(`/api/v1/jobs/${job.id}`);
    expect(response.headers.get("vary")).toBe("Prefer, Accept");
    expect(job).toMatchObject({
      surface: "api",
      runner: "function",
      input: { name: "Ada" },
      tags: ["a", "b"],
      priority: 1,
    });
    expect((await service.call(`/api/v1/jobs/${job.id}`)).status).toBe(200);
  });

  test("that waits is answered with the end", async () => {
    const response = await submit({ function: "hello", input: { name: "Ada" } }, waiting);
    expect(response.status).toBe(200);
    expect(response.headers.get("preference-applied")).toBe("wait=15");
    expect(await jobOf(response)).toMatchObject({
      status: "succeeded",
      result: { message: "Hello Ada!" },
      error: null,
    });
  });

  test("that waits too briefly is answered with the job as it is, and the job goes on", async () => {
    const response = await submit({ function: "countdown", input: { from: 3, intervalMs: 700 } }, { prefer: "wait=1" });
    expect(response.status).toBe(202);
    const job = await jobOf(response);
    expect(job.status).toBe("running");
    const end = await service.call(`/api/v1/jobs/${job.id}?wait=15`);
    expect(await jobOf(end)).toMatchObject({ status: "succeeded" });
  });

  test("gets no more waiting than the server grants, and is told", async () => {
    const response = await submit({ function: "hello" }, { prefer: 'wait="999", respond-async; x=1' });
    expect(response.headers.get("preference-applied")).toBe("wait=20, respond-async");
  });

  test.each([["wait=abc"], ["wait=-1"], ["waiting"], [""], [", ,=;"]])(
    "with Prefer %p does not wait",
    async (prefer) => {
      const response = await submit({ function: "hello" }, { prefer });
      expect(response.status).toBe(202);
      expect(response.headers.get("preference-applied")).toBeNull();
    },
  );

  test("that takes a stream gets it at once, with what the function streams", async () => {
    const response = await submit({ function: "hello", input: { name: "Ada" } }, { accept: "text/event-stream" });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toStartWith("text/event-stream");
    expect(response.headers.get("location")).toStartWith("/api/v1/jobs/");
    const text = await response.text();
    expect(text).toContain('"text":"Hello Ada!"');
    expect(text).toMatch(/event: completed\ndata: \{[^\n]*"status":"succeeded"\}\n\n$/);
  });

  test("of a script as text runs it and keeps what it left", async () => {
    const response = await submit({ script: "expr 6 \\* 7 > answer.txt; cat answer.txt" }, waiting);
    const job = await jobOf(response);
    expect(job).toMatchObject({ runner: "script", status: "succeeded", result: { exit_code: 0 } });
    expect(job.payload).toMatchObject({ files: 2 });
    expect(await (await service.call(`/api/v1/jobs/${job.id}/files/answer.txt`)).text()).toBe("42\n");
  });

  test("with files runs the script among them", async () => {
    const job = await jobOf(
      await submitForm({ tags: ["form"] }, { "run.sh": "wc -c < data.bin", "data.bin": "x".repeat(100_000) }, waiting),
    );
    expect(job).toMatchObject({ status: "succeeded", tags: ["form"], payload: { files: 2 } });
  });

  test("of a chain hands the output of one to the next", async () => {
    const response = await submit({ containers: ["to-uppercase", "word-count"], input: { text: "ab cd" } }, waiting);
    const job = await jobOf(response);
    expect(job.tasks.map(({ target, status }) => [target, status])).toEqual([
      ["to-uppercase", "succeeded"],
      ["word-count", "succeeded"],
    ]);
  });

  test("of a failing script says how it failed", async () => {
    const job = await jobOf(await submit({ script: "exit 3" }, waiting));
    expect(job).toMatchObject({ status: "failed", result: null, error: { code: "exit_nonzero" } });
  });

  test("keeps the trace it came with", async () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const job = await jobOf(await submit({ script: 'echo "$TRACEPARENT" > trace' }, { ...waiting, traceparent }));
    expect(await (await service.call(`/api/v1/jobs/${job.id}/files/trace`)).text()).toBe(`${traceparent}\n`);
  });

  test.each<[string, object]>([
    [
      "held",
      { hold: true, id: `same-${crypto.randomUUID()}`, tags: ["x"], priority: -3, input: { name: "1e2 \u0000" } },
    ],
    ["delayed", { delay: 3_600, max_attempts: 3, dedup: { key: crypto.randomUUID(), while: "active" } }],
    ["scheduled, with a webhook", { run_at: "2099-01-01T00:00:00.000Z", webhook: { url: "https://example.com/" } }],
  ])("that is %s is answered with what a reader sees", async (_, more) => {
    const answered = await jobOf(await submit({ function: "hello", ...more }));
    expect(await jobOf(await service.call(answered.links.self))).toEqual(answered);
    const batched = await service.post("/api/v1/jobs/batch", [
      { script: "true", hold: true },
      { containers: ["word-count", "to-uppercase"], delay: 9 },
    ]);
    for (const { job } of (await batched.json()) as { job: Job }[])
      expect(await jobOf(await service.call(job.links.self))).toEqual(job);
  });

  test("may ask for a later time", async () => {
    const later = await jobOf(await submit({ function: "hello", delay: 3_600 }));
    expect(later.waiting?.reason).toStartWith("delayed until 20");
    const at = new Date(Date.now() + 7_200_000).toISOString();
    const then = await jobOf(await submit({ function: "hello", run_at: at }));
    expect(then.waiting).toEqual({ position: null, reason: `delayed until ${at}` });
    const past = await submit({ function: "hello", run_at: "2020-01-01T00:00:00Z" }, waiting);
    expect(await jobOf(past)).toMatchObject({ status: "succeeded" });
  });
});

/** What is wrong with a body, and where. */
const wrong: [string, unknown, string][] = [
  ["no member at all", {}, ""],
  ["no object", [], ""],
  ["a text", "x", ""],
  ["null", null, ""],
  ["an unknown member", { function: "hello", fuction: 1 }, "/fuction"],
  ["an unknown member with a slash", { function: "hello", "a/b~c": 1 }, "/a~1b~0c"],
  ["two things to run", { function: "hello", script: "true" }, "/script"],
  ["an unknown function", { function: "nope" }, "/function"],
  ["an empty function", { function: "" }, "/function"],
  ["a function that is no text", { function: 7 }, "/function"],
  ["a parameter of another type", { function: "hello", input: { name: 7 } }, "/input/name"],
  ["an unknown parameter", { function: "hello", input: { nme: "x" } }, "/input/nme"],
  ["a missing parameter", { function: "checksum", input: {} }, "/input/text"],
  ["a parameter out of bounds", { function: "countdown", input: { from: 0 } }, "/input/from"],
  ["an input that is no object", { function: "hello", input: [1] }, "/input"],
  ["an empty script", { script: "" }, "/script"],
  ["an unknown container", { containers: ["to-uppercase", "nope"] }, "/containers/1"],
  ["no container", { containers: [] }, "/containers"],
  ["an unknown automation", { automation: "nope" }, "/automation"],
  ["a bad input for an automation", { automation: "sign-up", input: { email: "x" } }, "/input"],
  ["an id with a slash", { id: "a/b", function: "hello" }, "/id"],
  ["an id of 129 characters", { id: "x".repeat(129), function: "hello" }, "/id"],
  ["an empty id", { id: "", function: "hello" }, "/id"],
  ["an id that is a path", { id: "..", function: "hello" }, "/id"],
  ["an id in another script", { id: "задача", function: "hello" }, "/id"],
  ["half a priority", { function: "hello", priority: 1.5 }, "/priority"],
  ["a priority beyond the bound", { function: "hello", priority: 2_097_153 }, "/priority"],
  ["a priority as text", { function: "hello", priority: "1" }, "/priority"],
  ["a negative delay", { function: "hello", delay: -1 }, "/delay"],
  ["a delay beyond a year", { function: "hello", delay: 31_536_001 }, "/delay"],
  ["a delay and a time", { function: "hello", delay: 1, run_at: "2030-01-01T00:00:00Z" }, "/run_at"],
  ["a time that is none", { function: "hello", run_at: "tomorrow" }, "/run_at"],
  ["a date that is none", { function: "hello", run_at: "2030-13-45T99:00:00Z" }, "/run_at"],
  ["hold as text", { function: "hello", hold: "yes" }, "/hold"],
  ["a timeout of nothing", { function: "hello", timeout: 0 }, "/timeout"],
  ["a timeout beyond the server's", { script: "true", timeout: 3_601 }, "/timeout"],
  ["no attempts", { function: "hello", max_attempts: 0 }, "/max_attempts"],
  ["too many attempts", { function: "hello", max_attempts: 1_001 }, "/max_attempts"],
  ["half a backoff", { function: "hello", backoff: 0.5 }, "/backoff"],
  ["more memory than there is", { script: "true", limits: { memory_mb: 1_025 } }, "/limits/memory_mb"],
  ["the network, where there is none", { script: "true", limits: { network: true } }, "/limits/network"],
  ["an unknown limit", { script: "true", limits: { ram: 1 } }, "/limits/ram"],
  ["a limit of nothing", { script: "true", limits: { processes: 0 } }, "/limits/processes"],
  ["a dedup without a key", { function: "hello", dedup: { while: "active" } }, "/dedup/key"],
  ["a dedup without an end", { function: "hello", dedup: { key: "k" } }, "/dedup/while"],
  ["a dedup for ever", { function: "hello", dedup: { key: "k", while: "ever" } }, "/dedup/while"],
  ["a concurrency of none", { function: "hello", concurrency: { key: "k", max: 0 } }, "/concurrency/max"],
  ["a concurrency without a maximum", { function: "hello", concurrency: { key: "k" } }, "/concurrency/max"],
  ["21 tags", { function: "hello", tags: Array(21).fill("t") }, "/tags"],
  ["an empty tag", { function: "hello", tags: ["a", ""] }, "/tags/1"],
  ["a tag with NUL", { function: "hello", tags: ["a\u0000"] }, "/tags/0"],
  ["half a character in a key", { function: "hello", dedup: { key: "\ud800", while: 5 } }, "/dedup/key"],
  ["a webhook without a URL", { function: "hello", webhook: {} }, "/webhook/url"],
  ["a webhook to nowhere", { function: "hello", webhook: { url: "x" } }, "/webhook/url"],
  ["a webhook to this machine", { function: "hello", webhook: { url: "http://127.0.0.1/" } }, "/webhook/url"],
  ["a webhook to the metadata", { function: "hello", webhook: { url: "http://169.254.169.254/x" } }, "/webhook/url"],
  [
    "a webhook that sets the host",
    { function: "hello", webhook: { url: "https://example.com", headers: { Host: "x" } } },
    "/webhook/headers/Host",
  ],
  [
    "a webhook that signs for itself",
    { function: "hello", webhook: { url: "https://example.com", headers: { "webhook-signature": "x" } } },
    "/webhook/headers/webhook-signature",
  ],
  [
    "an unknown event",
    { function: "hello", webhook: { url: "https://example.com", events: ["ended"] } },
    "/webhook/events/0",
  ],
  ["no events", { function: "hello", webhook: { url: "https://example.com", events: [] } }, "/webhook/events"],
];

describe("a body", () => {
  test.each(wrong)("with %s is refused, and the pointer leads there", async (_, body, pointer) => {
    const response = await submit(JSON.stringify(body));
    expect(response.status).toBe(422);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    const problem = await problemOf(response);
    expect(problem).toMatchObject({ code: "invalid", status: 422 });
    expect(problem.errors?.map((error) => error.pointer)).toContain(pointer);
    expect(problem.errors?.every(({ detail }) => detail.length > 0)).toBe(true);
  });

  const unreadable: [string, RequestInit, number][] = [
    ["no JSON", { body: "{" }, 400],
    ["nothing", { body: "" }, 400],
    ["no UTF-8", { body: new Uint8Array([0x22, 0xff, 0x22]) }, 400],
    ["nested too deeply", { body: `${"[".repeat(500)}${"]".repeat(500)}` }, 400],
    ["a number without end", { body: '{"function":"hello","priority":1e400}' }, 400],
    ["another type", { body: "function=hello", headers: { "content-type": "application/x-www-form-urlencoded" } }, 415],
    ["no type", { body: new Uint8Array([123, 125]), headers: {} }, 415],
    ["too large", { body: JSON.stringify({ function: "hello", input: { name: "x".repeat(2_000_000) } }) }, 413],
    ["a form without a boundary", { body: "x", headers: { "content-type": "multipart/form-data" } }, 400],
    [
      "a form that is cut",
      {
        body: '--b\r\ncontent-disposition: form-data; name="job"\r\n\r\n{',
        headers: { "content-type": "multipart/form-data; boundary=b" },
      },
      400,
    ],
  ];
  test.each(unreadable)("that is %s cannot be read", async (_, init, status) => {
    const headers = init.headers ?? { "content-type": "application/json" };
    const response = await service.call("/api/v1/jobs", { method: "POST", ...init, headers });
    expect(response.status).toBe(status);
    expect(await problemOf(response)).toMatchObject({ status });
  });

  test("with __proto__ changes nothing but the job's input", async () => {
    const body = '{"function":"hello","input":{"name":"Ada","__proto__":{"polluted":true}}}';
    const job = await jobOf(await submit(body, waiting));
    expect(job).toMatchObject({ status: "succeeded", input: { name: "Ada" } });
    expect(Object.hasOwn({}, "polluted") || "polluted" in {}).toBe(false);
  });

  test("of a form may hold one job and files only", async () => {
    const form = (entries: [string, string | File][]) => {
      const data = new FormData();
      for (const [name, value] of entries) data.append(name, value);
      return service.call("/api/v1/jobs", { method: "POST", body: data });
    };
    const script = new File(["true"], "run.sh");
    const strange = await form([
      ["jbo", "{}"],
      ["f", script],
    ]);
    expect(strange.status).toBe(422);
    expect(
      (
        await form([
          ["job", "{}"],
          ["job", "{}"],
          ["f", script],
        ])
      ).status,
    ).toBe(400);
    expect(
      (
        await form([
          ["job", "{"],
          ["f", script],
        ])
      ).status,
    ).toBe(400);
    const both = await problemOf(
      await form([
        ["job", '{"script":"true"}'],
        ["f", script],
      ]),
    );
    expect(both.errors).toEqual([{ pointer: "/script", detail: "must not stand beside a file run.sh" }]);
    const useless = await problemOf(
      await form([
        ["job", '{"function":"hello"}'],
        ["f", script],
      ]),
    );
    expect(useless.errors?.[0]?.pointer).toBe("");
    expect((await form([["f", new File(["x"], "data.txt")]])).status).toBe(422);
    expect((await form([["f", script]])).status).toBe(202);
  });

  test("that is refused, or needs no files, leaves none behind, and no id that nobody has", async () => {
    const before = [await stagedCount(), await uploadCount()];
    for (const job of ['{"priority":"x"}', "{", '{"function":"hello"}'])
      await submitForm(job, { "run.sh": "true", "big.bin": "y".repeat(100_000) });
    expect((await submitForm({ function: "hello" }, {})).status).toBe(202);
    expect([await stagedCount(), await uploadCount()]).toEqual(before);
  });
});

describe("the same id", () => {
  test("with the same body is the same job, with another it is refused", async () => {
    const id = `order-${crypto.randomUUID()}`;
    const first = await jobOf(await submit({ id, function: "hello", input: { name: "Ada" } }));
    const again = await submit({ input: { name: "Ada" }, function: "hello", id });
    expect(again.status).toBe(202);
    expect((await jobOf(again)).created_at).toBe(first.created_at);
    const other = await submit({ id, function: "hello", input: { name: "Grace" } });
    expect(other.status).toBe(409);
    expect(await problemOf(other)).toMatchObject({ code: "conflict" });
  });

  test("twenty times at once is one job", async () => {
    const id = `rush:${crypto.randomUUID()}`;
    const answers = await Promise.all(Array.from({ length: 20 }, () => submit({ id, function: "hello" }, waiting)));
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
    const jobs = await Promise.all(answers.map(jobOf));
    expect(new Set(jobs.map(({ id }) => id))).toEqual(new Set([id]));
    const { runs } = (await (await service.call(`/api/v1/jobs/${encodeURIComponent(id)}/runs`)).json()) as {
      runs: unknown[];
    };
    expect(runs).toHaveLength(1);
  });

  test("with other files is another body, and its files are removed again", async () => {
    const id = crypto.randomUUID();
    const first = await submitForm({ id }, { "run.sh": "true", "in.txt": "1" });
    const same = await submitForm({ id }, { "in.txt": "1", "run.sh": "true" });
    expect([first.status, same.status]).toEqual([202, 202]);
    expect((await submitForm({ id }, { "run.sh": "true", "in.txt": "2" })).status).toBe(409);
    const { payload } = await jobOf(await service.call(`/api/v1/jobs/${id}?wait=10`));
    const rows = await service.rooms.database.db.sql`SELECT id FROM payloads WHERE job_id = ${id}`;
    expect(rows.map(({ id: payloadId }) => payloadId)).toEqual([payload?.id]);
    expect((await service.rooms.files.list(payload?.id ?? 0)).files).toHaveLength(2);
    for (const offset of [1, 2])
      expect(service.rooms.files.list((payload?.id ?? 0) + offset)).rejects.toThrow("has no files");
  });
});

describe("an Idempotency-Key", () => {
  const body = { function: "hello", input: { name: "Ada" } };

  test("finds the job that was made with it, quoted or not", async () => {
    const key = crypto.randomUUID();
    const first = await submit(body, { "idempotency-key": `"${key}"` });
    expect(first.headers.get("idempotency-replayed")).toBeNull();
    const again = await submit(body, { "idempotency-key": key });
    expect(again.status).toBe(202);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    expect((await jobOf(again)).id).toBe((await jobOf(first)).id);
  });

  test("with another body is refused", async () => {
    const headers = { "idempotency-key": crypto.randomUUID() };
    await submit(body, headers);
    const response = await submit({ ...body, priority: 2 }, headers);
    expect(response.status).toBe(422);
    expect(await problemOf(response)).toMatchObject({ code: "idempotency_mismatch" });
  });

  test.each([[`"${"x".repeat(300)}"`], ['""'], ["é"], ['"a\tb"']])("%p is none", async (key) => {
    const response = await submit(body, { "idempotency-key": key });
    expect(response.status).toBe(422);
    expect((await problemOf(response)).errors?.[0]?.pointer).toBe("/header/Idempotency-Key");
  });

  test("twenty times at once makes one job", async () => {
    const headers = { "idempotency-key": crypto.randomUUID() };
    const answers = await Promise.all(Array.from({ length: 20 }, () => submit(body, headers)));
    expect(new Set((await Promise.all(answers.map(jobOf))).map(({ id }) => id)).size).toBe(1);
  });
});

describe("a dedup key", () => {
  test("that is held returns its holder, until that has ended", async () => {
    const dedup = { key: crypto.randomUUID(), while: "active" };
    const first = await jobOf(await submit({ function: "hello", hold: true, dedup }));
    const second = await submit({ function: "hello", input: { name: "other" }, dedup });
    expect(second.status).toBe(200);
    expect(second.headers.get("fairlead-deduplicated")).toBe("true");
    expect((await jobOf(second)).id).toBe(first.id);
    await service.post(`/api/v1/jobs/${first.id}/cancel`, {});
    const third = await submit({ function: "hello", dedup });
    expect(third.status).toBe(202);
    expect(third.headers.get("fairlead-deduplicated")).toBeNull();
  });

  test("for a time is held after the end as well", async () => {
    const dedup = { key: crypto.randomUUID(), while: 3_600 };
    const first = await jobOf(await submit({ function: "hello", dedup }, waiting));
    expect((await jobOf(await submit({ function: "hello", dedup }))).id).toBe(first.id);
  });
});

describe("a batch", () => {
  const batch = (items: unknown, query = "", headers: Record<string, string> = {}) =>
    service.post(`/api/v1/jobs/batch${query}`, items, headers);
  type Entry = { job?: Job; error?: Problem; deduplicated?: boolean };

  test("is answered item by item, in order", async () => {
    const response = await batch([
      { function: "hello", input: { name: "1" } },
      { function: "nope" },
      7,
      { script: "true" },
      { function: "hello", input: { name: "2" } },
    ]);
    expect(response.status).toBe(200);
    const entries = (await response.json()) as Entry[];
    expect(entries.map(({ job, error }) => job?.input ?? error?.status)).toEqual([
      { name: "1" },
      422,
      422,
      {},
      { name: "2" },
    ]);
    expect(entries[1]?.error?.errors?.[0]?.pointer).toBe("/function");
  });

  test("that is atomic is taken whole or not at all", async () => {
    const refused = await batch([{ id: "atom-1", function: "hello" }, { function: "nope" }], "?atomic=true");
    expect(refused.status).toBe(422);
    expect((await problemOf(refused)).errors?.[0]?.pointer).toBe("/1/function");
    expect((await service.call("/api/v1/jobs/atom-1")).status).toBe(404);
    const items = [
      { id: "atom-1", function: "hello" },
      { id: "atom-2", script: "true" },
    ];
    const taken = await batch(items, "?atomic=true");
    expect(((await taken.json()) as Entry[]).map(({ job }) => job?.id)).toEqual(["atom-1", "atom-2"]);
    const again = await batch(items, "?atomic=true");
    expect(((await again.json()) as Entry[]).map(({ job }) => job?.id)).toEqual(["atom-1", "atom-2"]);
    const clash = await batch(
      [
        { id: "atom-3", function: "hello" },
        { id: "atom-2", script: "false" },
      ],
      "?atomic=true",
    );
    expect(clash.status).toBe(409);
    expect((await service.call("/api/v1/jobs/atom-3")).status).toBe(404);
  });

  test("with a key is taken once", async () => {
    const headers = { "idempotency-key": crypto.randomUUID() };
    const ids = async () =>
      ((await (await batch([{ function: "hello" }, { function: "hello" }], "", headers)).json()) as Entry[]).map(
        ({ job }) => job?.id,
      );
    const first = await ids();
    expect(await ids()).toEqual(first);
    expect(new Set(first).size).toBe(2);
  });

  test.each([
    ["nothing", []],
    ["no list", { function: "hello" }],
    ["more than a thousand", Array(1_001).fill({ function: "hello" })],
  ])("of %s is refused", async (_, items) => {
    expect((await batch(items)).status).toBe(422);
  });

  test("of a thousand is taken", async () => {
    const response = await batch(Array(1_000).fill({ function: "hello", hold: true, tags: ["many"] }));
    const entries = (await response.json()) as Entry[];
    expect(entries.every(({ job }) => job?.held === true)).toBe(true);
    expect(new Set(entries.map(({ job }) => job?.id)).size).toBe(1_000);
  });
});

function submitForm(
  job: unknown,
  files: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Response> {
  const form = new FormData();
  form.append("job", typeof job === "string" ? job : JSON.stringify(job));
  for (const [name, content] of Object.entries(files)) form.append("files", new File([content], name));
  return service.call("/api/v1/jobs", { method: "POST", body: form, headers });
}

async function uploadCount(): Promise<number> {
  return (await service.rooms.database.db.sql`SELECT 1 FROM uploads`).length;
}

async function stagedCount(): Promise<number> {
  return [...new Bun.Glob("*/*").scanSync({ cwd: `${service.rooms.config.dataDir}/staging`, onlyFiles: true })].length;
}
