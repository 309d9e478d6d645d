import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { ApiError, type Client, ConnectionError, createClient, type FileList, type Job } from "../../src/client.ts";
import type { Api } from "../../src/surfaces/api/routes.ts";
import { hasBwrap } from "../support/script-trial.ts";
import { type Service, startService } from "../support/service.ts";
import { answer, answering } from "./stream-server.ts";

setDefaultTimeout(60_000);

const key = "the-key-of-the-client";
let service: Service;
let client: Client;

beforeAll(async () => {
  service = await startService({ SANDBOX: hasBwrap ? "bwrap" : "none", AUTH_KEY: key });
  client = createClient({ url: `${service.url}/`, key });
});
afterAll(() => service.stop());

type Answers = Api["~Routes"]["api"]["v1"]["jobs"][":id"];
type IsSame<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Does not compile when the client's shapes are not what the routes of the server return. */
const areSame: [
  IsSame<Job, Answers["get"]["response"][200]>,
  IsSame<FileList, Answers["files"]["get"]["response"][200]>,
] = [true, true];

test("the client has the shapes of the server's routes", () => {
  expect(areSame).toEqual([true, true]);
});

describe("a job", () => {
  test("is submitted, followed and waited for", async () => {
    const job = await client.submit({ function: "countdown", input: { from: 3, intervalMs: 1 }, tags: ["a"] });
    expect(job).toMatchObject({ runner: "function", tags: ["a"] });
    const kinds: string[] = [];
    const seqs: number[] = [];
    for await (const event of client.events(job.id)) {
      kinds.push(event.kind);
      seqs.push(event.seq);
      if (event.kind === "progress") expect(event.fraction).toBeNumber();
    }
    expect(seqs).toEqual(seqs.map((_, at) => at + 1));
    expect(kinds.at(-1)).toBe("completed");
    const { status, result } = await client.wait(job.id);
    expect({ status, result }).toEqual({ status: "succeeded", result: { counted: 3 } });
    expect((await client.runs(job.id)).runs).toHaveLength(1);
  });

  test("is returned as it is when the time to wait is up", async () => {
    const { id } = await client.submit({ function: "hello", hold: true });
    expect(await client.wait(id, { timeoutMs: 10 })).toMatchObject({ status: "queued", held: true });
    expect(await client.cancel(id)).toMatchObject({ status: "cancelled" });
    expect(await client.retry(id, { input: { name: "Bo" } })).toMatchObject({ id });
    expect((await client.wait(id)).result).toEqual({ message: "Hello Bo!" });
  });

  test("is taken once under one idempotency key", async () => {
    const submit = () => client.submit({ function: "hello", hold: true }, { idempotencyKey: "once" });
    expect((await submit()).id).toBe((await submit()).id);
  });

  test("brings files, and gives them back", async () => {
    const job = await client.submit(
      { tags: ["files"] },
      {
        files: [
          { name: "run.sh", content: "mkdir out; cat 'a b.txt' bytes.bin blob.txt > 'out/ä b.txt'" },
          { name: "a b.txt", content: "one " },
          { name: "bytes.bin", content: new TextEncoder().encode("two ") },
          { name: "blob.txt", content: new Blob(["three"]) },
        ],
      },
    );
    expect(await client.wait(job.id)).toMatchObject({ status: "succeeded", error: null });
    const { files } = await client.files(job.id);
    expect(files.map(({ path }) => path).toSorted()).toEqual([
      "a b.txt",
      "blob.txt",
      "bytes.bin",
      "out/ä b.txt",
      "run.sh",
    ]);
    expect(await (await client.file(job.id, "out/ä b.txt")).text()).toBe("one two three");
    expect(await (await client.file(job.id, "out/ä b.txt", { range: "bytes=4-6" })).text()).toBe("two");
  });

  test("is found in lists by its tag, page by page", async () => {
    const ids: string[] = [];
    for (const id of ["one", "two", "three"]) {
      ids.unshift((await client.submit({ function: "hello", hold: true, id: `listed.${id}`, tags: ["listed"] })).id);
    }
    const first = await client.jobs({ tag: "listed", status: ["queued", "running"], limit: 2 });
    expect(first.jobs.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    const second = await client.jobs({
      tag: "listed",
      status: ["queued", "running"],
      limit: 2,
      after: first.next ?? "",
    });
    expect(second).toMatchObject({ jobs: [{ id: ids[2] }], next: null });
  });

  test("can be read with a token for it instead of a key", async () => {
    const { id } = await client.submit({ function: "hello", hold: true });
    const { token } = await client.token(id, { ttlS: 60 });
    const reader = createClient({ url: service.url, key: token });
    expect(await reader.job(id)).toMatchObject({ id });
    expect(await refusal(reader.cancel(id))).toMatchObject({ status: 401 });
  });
});

describe("a refusal", () => {
  test("says what is wrong and where", async () => {
    const fault = await refusal(client.submit({ function: "hello", priority: 1.5 }));
    expect(fault).toMatchObject({
      ...{ status: 422, code: "invalid" },
      problems: [{ pointer: "/priority", detail: "must be a whole number" }],
    });
  });

  test("is thrown without a key, for a job that is not there, and for a move that cannot be", async () => {
    expect(await refusal(createClient({ url: service.url }).jobs())).toMatchObject({
      status: 401,
      code: "unauthorized",
    });
    expect(await refusal(client.job("nobody"))).toMatchObject({ status: 404, code: "not_found" });
    const { id } = await client.submit({ function: "hello", hold: true });
    expect(await refusal(client.retry(id))).toMatchObject({ code: "not_final" });
  });

  test("of another kind of server is told by its status", async () => {
    const page = await answering(answer(502, "<h1>Bad gateway</h1>"));
    expect(await refusal(createClient(page).jobs())).toMatchObject({ status: 502, code: "http_502" });
    const home = await answering(answer(200, "<h1>Welcome</h1>"));
    expect(await refusal(createClient(home).jobs())).toMatchObject({ code: "not_json" });
    const { url } = await answering(answer(302, "", { location: "https://elsewhere.invalid/" }));
    const fault = await refusal(createClient({ url, key }).submit({ function: "hello" }));
    expect(fault.message).toContain("points to https://elsewhere.invalid/");
  });
});

test("an address where nobody listens is a ConnectionError", async () => {
  const fault = await createClient({ url: "http://127.0.0.1:9" })
    .jobs()
    .catch((thrown: unknown) => thrown);
  expect(fault).toBeInstanceOf(ConnectionError);
  expect(fault).toMatchObject({ message: "No answer from http://127.0.0.1:9: nothing listens there" });
});

test.each(["", "nowhere", "ftp://host", "//host"])("the address %p is refused", (url) => {
  expect(() => createClient({ url })).toThrow(TypeError);
});

test.each(["", ".", ".."])("the id %p never leaves the path of jobs", async (id) => {
  const { url, asked } = await answering(answer(200, {}));
  const client = createClient({ url });
  const calls: (() => Promise<unknown>)[] = [() => client.job(id), () => client.file("a", `x/${id}/y`)];
  for (const call of calls) expect(await Promise.try(call).catch((fault: unknown) => fault)).toBeInstanceOf(TypeError);
  expect(asked).toEqual([]);
});

test("an id with signs of its own arrives as it is", async () => {
  const { url, asked } = await answering(answer(200, {}));
  await createClient({ url }).job("a/b?c#d%e");
  expect(asked.map(({ path }) => path)).toEqual(["/api/v1/jobs/a%2Fb%3Fc%23d%25e"]);
});

async function refusal(call: Promise<unknown>): Promise<ApiError> {
  const fault = await call.then(
    () => new Error("it was not refused"),
    (thrown: unknown) => thrown,
  );
  if (fault instanceof ApiError) return fault;
  throw fault;
}
