import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Service, startService } from "../support/service.ts";
import { until } from "../support/until.ts";
import { goodClaims, issuer, jwksOf, makeRsaKey, sign } from "./support/issuer.ts";

const signingKey = makeRsaKey("k1");
const heard = new Map<string, string | null>();
const other = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: async (request) => {
    const { pathname } = new URL(request.url);
    heard.set(pathname, request.headers.get("traceparent"));
    if (pathname === "/certs") return Response.json(jwksOf(signingKey));
    return Response.json({ heard: true });
  },
});

let service: Service;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "fairlead-trace-"));
  await writeFile(
    join(directory, "trace.ts"),
    "export default { handler: (_, { traceparent }) => ({ traceparent }) };",
  );
  const exec = ["sh", "-c", `printf '{"traceparent":"%s"}' "$TRACEPARENT"`];
  const containers = [
    { id: "command", exec },
    { id: "service", url: `http://127.0.0.1:${other.port}/called` },
  ];
  await writeFile(join(directory, "containers.json"), JSON.stringify({ containers }));
  service = await startService({
    SANDBOX: "none",
    CHROMIUM_PATH: "/nonexistent/chromium",
    DRAIN_GRACE: "0",
    FUNCTIONS_DIR: directory,
    CONTAINERS_FILE: join(directory, "containers.json"),
    SUBMIT_FUNCTION: "trace",
    JWT_ISSUER: issuer,
    JWT_JWKS_URL: `http://127.0.0.1:${other.port}/certs`,
    WEBHOOK_ALLOW: "127.0.0.0/8",
  });
}, 60_000);
afterAll(async () => {
  await service.stop();
  await other.stop(true);
  await rm(directory, { recursive: true, force: true });
}, 30_000);

/** One of its own for each test, so that a job is found by it. */
const newTrace = () => `00-${crypto.randomUUID().replaceAll("-", "")}-b7ad6b7169203331-01`;
const jobsOf = (traceparent: string) =>
  service.rooms.database.db.sql<{ id: string; surface: string }[]>`
    SELECT id, surface FROM jobs WHERE traceparent = ${traceparent}`;
const run = async (body: Record<string, unknown>, traceparent: string) => {
  const response = await service.post("/api/v1/jobs", body, { traceparent, prefer: "wait=15" });
  return (await response.json()) as { status: string; result: unknown };
};
const bearer = () => {
  const nowS = Math.floor(Date.now() / 1_000);
  return `Bearer ${sign(signingKey, { ...goodClaims, iat: nowS, exp: nowS + 600 })}`;
};
const upload = () => {
  const form = new FormData();
  form.append("file", new File(["true"], "run.sh"));
  return form;
};
const json = (body: unknown, headers: Record<string, string> = {}): RequestInit => ({
  method: "POST",
  headers: { "content-type": "application/json", ...headers },
  body: JSON.stringify(body),
});

describe("the trace of a request", () => {
  const requests: [surface: string, path: string, init: () => RequestInit][] = [
    ["api", "/api/v1/jobs", () => json({ function: "trace" })],
    ["andera", "/task", () => json({ function: "trace", input: {}, mode: "sync", contract: 1 })],
    ["infernet", "/api/jobs", () => json({ containers: ["command"], data: {} })],
    ["infernet", "/api/jobs/batch", () => json([{ containers: ["command"], data: {} }])],
    ["infernet", "/api/jobs/stream", () => json({ containers: ["service"], data: {} })],
    ["opteryx", "/api/v1/submit", () => json({ execution_id: crypto.randomUUID() }, { authorization: bearer() })],
    ["orchestrator", "/submit", () => ({ method: "POST", body: upload() })],
    [
      "optexity",
      "/inference",
      () =>
        json({
          endpoint_name: "sign-up",
          input_parameters: { email: ["a@b.c"], full_name: ["A"] },
          unique_parameter_names: [],
        }),
    ],
  ];
  test.each(requests)("of %s is kept with its job: %s", async (surface, path, init) => {
    const traceparent = newTrace();
    const request = new Request(`${service.url}${path}`, init());
    request.headers.set("traceparent", traceparent);
    const response = await fetch(request);
    expect({ status: response.status, text: response.status < 300 ? "" : await response.text() }).toMatchObject({
      text: "",
    });
    await response.body?.cancel();
    const jobs = await until("the job is there", async () => {
      const found = await jobsOf(traceparent);
      return found.length > 0 ? found : null;
    });
    expect(jobs.map((job) => job.surface)).toEqual([surface]);
  });

  test("that is broken keeps no job from being taken", async () => {
    expect(await run({ function: "trace" }, "00-nothing")).toMatchObject({
      status: "succeeded",
      result: { traceparent: null },
    });
  });

  test("is what a repeat may differ in", async () => {
    const body = { id: crypto.randomUUID(), function: "trace" };
    expect((await run(body, newTrace())).status).toBe("succeeded");
    expect((await run(body, newTrace())).status).toBe("succeeded");
  });
});

describe("work is told of its trace", () => {
  test("as a function, in its context", async () => {
    const traceparent = newTrace();
    expect((await run({ function: "trace" }, traceparent)).result).toEqual({ traceparent });
  });

  test("as a command, in its environment", async () => {
    const traceparent = newTrace();
    expect((await run({ containers: ["command"] }, traceparent)).result).toEqual({ traceparent });
  });

  test("as a service, in a header", async () => {
    const traceparent = newTrace();
    expect((await run({ containers: ["service"] }, traceparent)).status).toBe("succeeded");
    expect(heard.get("/called/service_output")).toBe(traceparent);
  });

  test("as the receiver of a webhook, in a header", async () => {
    const traceparent = newTrace();
    const webhook = { url: `http://127.0.0.1:${other.port}/hook` };
    await run({ function: "trace", webhook }, traceparent);
    expect(await until("the webhook is there", () => heard.get("/hook"))).toBe(traceparent);
  });
});
