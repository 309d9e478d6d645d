import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { status, t } from "elysia";
import { refusalOf as submitRefusal } from "../../src/engine/submit-refusal.ts";
import { EngineError, errorCodes } from "../../src/errors.ts";
import { problem, problemKinds } from "../../src/http/problem.ts";
import { bodyOf, openRoom, type Room, wordySurface } from "./room.ts";

const secrets = ["hunter2", "/srv/private", "SELECT", "postgres://", "node_modules", ".ts:"];
const leak = () => new Error("hunter2 in /srv/private at SELECT * FROM jobs via postgres://u:hunter2@db");

/** P1: everything that a handler can throw. */
const thrown: Record<string, () => unknown> = {
  error: leak,
  type: () => new TypeError(leak().message),
  caused: () => new Error("outer", { cause: leak() }),
  text: () => leak().message,
  nothing: () => undefined,
  object: () => ({ message: leak().message, status: 200, code: "hunter2" }),
  status: () => Object.assign(leak(), { status: 418, code: "SELECT" }),
  aggregate: () => new AggregateError([leak()], leak().message),
  response: () => Object.assign(leak(), { toResponse: "hunter2" }),
  elysia: () => status(500, leak().message),
  teapot: () => status(418, "hunter2"),
  ...Object.fromEntries(errorCodes.map((code) => [code, () => new EngineError(code, "shown", { cause: leak() })])),
};

const diskFull = "The database's disk is full: free some space";

let room: Room;

beforeAll(async () => {
  room = await openRoom({
    surfaces: ({ gate }) => [
      wordySurface("wordy", gate, (app) =>
        app
          .get(
            "/wordy/sync/:what",
            ({ params }) => {
              throw thrown[params.what]?.();
            },
            { auth: "open" },
          )
          .get(
            "/wordy/late/:what",
            async ({ params }) => {
              await Bun.sleep(1);
              throw thrown[params.what]?.();
            },
            { auth: "open" },
          )
          .get("/wordy/checked", () => "", { auth: "open", query: t.Object({ hunter2: t.Number() }) })
          .get(
            "/wordy/loop",
            () => {
              const loop: Record<string, unknown> = {};
              loop.loop = loop;
              return loop;
            },
            { auth: "open" },
          )
          .get("/wordy/endless", () => new Response(new ReadableStream({ pull: () => Bun.sleep(60_000) })), {
            auth: "open",
          })
          .post("/wordy/both", () => ({}), { auth: "open" })
          .get("/wordy/both", () => ({ a: "b" }), { auth: "open" }),
      ),
    ],
  });
});
afterAll(() => room[Symbol.asyncDispose]());

async function ask(path: string, init: RequestInit = {}) {
  const response = await fetch(`${room.url}${path}`, init);
  return { status: response.status, text: await response.text(), headers: response.headers };
}

describe("what a handler throws", () => {
  const ways = Object.keys(thrown).flatMap((what) => [`sync/${what}`, `late/${what}`]);
  test.each(ways)("%s is answered in the surface's words, without a secret", async (way) => {
    const answer = await ask(`/wordy/${way}`, { headers: { accept: "text/html" } });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(JSON.parse(answer.text)).toMatchObject({ by: "wordy", said: expect.any(String) });
    for (const secret of secrets) expect(answer.text + JSON.stringify([...answer.headers])).not.toContain(secret);
  });

  test("is logged once, with the request's id, when it is our fault", async () => {
    room.lines.length = 0;
    const { headers } = await ask("/wordy/late/error");
    const id = headers.get("x-request-id");
    const faults = room.lines.map((line) => JSON.parse(line)).filter(({ event }) => event === "fault");
    expect(faults).toMatchObject([{ level: "error", request_id: id, path: "/wordy/late/error" }]);
    expect(faults[0].error).toContain("hunter2");
  });

  test("is not logged as a fault when the caller is at fault", async () => {
    room.lines.length = 0;
    await ask("/wordy/sync/conflict");
    expect(room.lines.map((line) => JSON.parse(line).event)).toEqual(["request"]);
  });
});

describe("a database that lacks something", () => {
  const full = Object.assign(new Error("could not extend file: No space left on device"), { code: "53100" });
  const ways = { raw: () => full, refused: () => submitRefusal(full), other: () => submitRefusal(leak()) };
  const said = { raw: diskFull, refused: diskFull, other: "The job could not be stored" };

  test("is told as such, and its log has the cause", async () => {
    await using other = await openRoom({
      surfaces: ({ gate }) => {
        const surface = wordySurface("wordy", gate, (app) =>
          app.get(
            "/wordy/:way",
            ({ params }) => {
              throw ways[params.way as keyof typeof ways]();
            },
            { auth: "open" },
          ),
        );
        return [{ ...surface, refuse: (refusal) => problem(refusal.code, refusal.detail, refusal) }];
      },
    });
    for (const way of ["raw", "refused", "other"] as const) {
      other.lines.length = 0;
      const response = await fetch(`${other.url}/wordy/${way}`);
      expect(await bodyOf(response)).toMatchObject({ status: 503, detail: said[way] });
      const logged = other.lines.map((line) => JSON.parse(line)).filter(({ event }) => event !== "request");
      const fault = expect.stringContaining(way === "other" ? "hunter2" : "No space left");
      expect(logged).toMatchObject([{ level: "warn", request_id: response.headers.get("x-request-id"), fault }]);
    }
  });
});

describe("what the router throws", () => {
  test("is worded by the owner of the path", async () => {
    const said = async (path: string, init?: RequestInit) => JSON.parse((await ask(path, init)).text);
    expect(await said("/wordy/nope")).toEqual({ said: "not_found", by: "wordy" });
    expect(await said("/wordy")).toEqual({ said: "not_found", by: "wordy" });
    expect(await said("/wordy/both", { method: "DELETE" })).toEqual({ said: "method_not_allowed", by: "wordy" });
    expect(await said("/wordy/checked")).toEqual({ said: "invalid", by: "wordy" });
    expect(await said("/wordyness")).toMatchObject({ type: "/problems/not_found" });
    expect(await said("/demo/nope")).toMatchObject({ type: "/problems/not_found", instance: "/demo/nope" });
  });

  test("names the methods that the path knows", async () => {
    const { status: refused, headers } = await ask("/wordy/both", { method: "PATCH" });
    expect([refused, headers.get("allow")]).toEqual([405, "GET, HEAD, POST, OPTIONS"]);
    const asked = await ask("/wordy/both/", { method: "OPTIONS" });
    expect([asked.status, asked.headers.get("allow")]).toEqual([204, "GET, HEAD, POST, OPTIONS"]);
  });

  test("answers HEAD as GET, without a body", async () => {
    const { status: found, text, headers } = await ask("/wordy/both", { method: "HEAD" });
    expect([found, text, headers.get("content-length")]).toEqual([200, "", '{"a":"b"}'.length.toString()]);
    expect((await ask("/wordy/endless", { method: "HEAD" })).status).toBe(200);
    expect((await ask("/demo/key", { method: "HEAD" })).status).toBe(401);
  });

  test("tells which parameter is wrong, in our own words", async () => {
    await using other = await openRoom({
      surfaces: ({ gate }) => {
        const surface = wordySurface("wordy", gate, (app) =>
          app.get("/wordy/checked", () => "", { auth: "open", query: t.Object({ n: t.Number(), m: t.String() }) }),
        );
        return [{ ...surface, refuse: (refusal) => problem(refusal.code, refusal.detail, refusal) }];
      },
    });
    const response = await fetch(`${other.url}/wordy/checked?n=hunter2`);
    const body = await bodyOf<{ errors: { pointer: string }[] }>(response);
    expect([response.status, response.headers.get("content-type")]).toEqual([422, "application/problem+json"]);
    expect(body.errors.map(({ pointer }) => pointer)).toEqual(["/query/n", "/query/m"]);
    expect(JSON.stringify(body)).not.toContain("hunter2");
  });
});

describe("an answer that cannot be made", () => {
  test("is a fault like any other", async () => {
    expect(await ask("/wordy/loop")).toMatchObject({ status: 500, text: '{"said":"internal","by":"wordy"}' });
  });
});

describe("a problem", () => {
  const codes = Object.keys(problemKinds) as (keyof typeof problemKinds)[];

  test.each(codes)("%s has its page, its title and its status", async (code) => {
    const response = problem(code, "why", { path: "/x", requestId: "r-1", problems: [{ pointer: "/a", detail: "b" }] });
    const body = await bodyOf<{ type: string; errors: unknown; retryable: boolean }>(response);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(body).toMatchObject({ code, status: response.status, detail: "why", instance: "/x", request_id: "r-1" });
    expect(body).toMatchObject({ type: `/problems/${code}`, title: problemKinds[code].title });
    expect(body.errors).toEqual([{ pointer: "/a", detail: "b" }]);
    expect(body.retryable).toBe(response.status === 503);
    const page = await ask(body.type);
    expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(page.text).toContain(`${response.status} ${code}`);
  });

  test("that passes by itself says when to come back, and 401 how to come in", async () => {
    expect(problem("queue_full", "full", { retryAfterSeconds: 7 }).headers.get("retry-after")).toBe("7");
    expect(problem("unauthorized", "who").headers.get("www-authenticate")).toBe('Bearer realm="fairlead"');
    expect((await ask("/problems/__proto__")).status).toBe(404);
  });
});
