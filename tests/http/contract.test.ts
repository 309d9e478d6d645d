import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Job } from "../../src/surfaces/api/wire-job.ts";
import { audience, issuer, jwksOf, makeRsaKey, sign } from "../surfaces/support/issuer.ts";
import { type Service, startService } from "../support/service.ts";
import { until } from "../support/until.ts";
import { departures, references, type Schema, type Schemas } from "./schema.ts";

type Media = { schema: Schema; example?: unknown; examples?: Record<string, { value: unknown }> };
type Parameter = { name: string; in: string; schema: Schema; required?: boolean };
type Operation = {
  operationId: string;
  summary: string;
  parameters?: Parameter[];
  requestBody?: { required?: boolean; content: Record<string, Media> };
  responses: Record<
    string,
    { description: string; content?: Record<string, Media>; headers?: Record<string, unknown> }
  >;
  security?: Record<string, unknown>[];
};
type Document = {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Schemas; securitySchemes: object };
};
type Call = { path: string; body?: unknown; headers?: Record<string, string>; status: number };

const key = "contract-key-0123456789";
const authorized = { authorization: `Bearer ${key}` };
const ours = /^\/api\/v1\/(jobs|deliveries|nodes|queues|functions|containers|automations|submit)\b/;
const waiting = { prefer: "wait=15" };

const tokenKey = makeRsaKey("contract");
const jwks = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => Response.json(jwksOf(tokenKey)) });
const service: Service = await startService({
  SANDBOX: "none",
  AUTH_KEY: key,
  WEBHOOK_ALLOW: "127.0.0.0/8",
  SUBMIT_FUNCTION: "hello",
  JWT_ISSUER: issuer,
  JWT_JWKS_URL: `http://127.0.0.1:${jwks.port}/`,
});
const document = (await (await service.call("/openapi")).json()) as Document;
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  ours.test(path)
    ? Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation }))
    : [],
);
const named = operations.map((one) => [one.operation.operationId, one] as const);
afterAll(async () => {
  await service.stop();
  await jwks.stop(true);
});

/** A job of each kind that the calls below need, made anew for each call that uses it up. */
const made: Record<string, string> = {};
beforeAll(async () => {
  made.done = (await submit({ script: "echo hi > out.txt" }, waiting)).id;
  const told = await submit({ function: "hello", webhook: { url: service.url } }, waiting);
  made.told = told.id;
  made.delivery = await until("a delivery was tried", async () => {
    const response = await call("GET", `/api/v1/jobs/${told.id}/deliveries`);
    const { deliveries } = (await response.json()) as { deliveries: { id: string; attempts: unknown[] }[] };
    return deliveries[0] !== undefined && deliveries[0].attempts.length > 0 ? deliveries[0].id : null;
  });
  const { nodes } = (await (await call("GET", "/api/v1/nodes")).json()) as { nodes: { id: string }[] };
  made.node = encodeURIComponent(nodes[0]?.id ?? "");
}, 60_000);

/** How each operation is called so that it does what it is there for. */
const happy: Record<string, () => Promise<Call[]> | Call[]> = {
  submitJob: () => [
    ...examplesOf("submitJob").map((body) => ({ path: "/api/v1/jobs", body, status: 202 })),
    { path: "/api/v1/jobs", body: { function: "hello" }, headers: waiting, status: 200 },
    { path: "/api/v1/jobs", body: { function: "hello" }, headers: { accept: "text/event-stream" }, status: 200 },
    { path: "/api/v1/jobs", body: { function: "hello" }, headers: { accept: "application/x-ndjson" }, status: 200 },
  ],
  submitJobs: () => [
    ...examplesOf("submitJobs").map((body) => ({ path: "/api/v1/jobs/batch", body, status: 200 })),
    { path: "/api/v1/jobs/batch?atomic=true", body: [{ function: "hello" }], status: 200 },
    { path: "/api/v1/jobs/batch", body: [{ function: "nope" }], status: 200 },
  ],
  listJobs: () => [
    { path: "/api/v1/jobs", status: 200 },
    { path: "/api/v1/jobs?status=succeeded,failed&surface=api&runner=script&tag=x&q=hi&limit=1&client=x", status: 200 },
  ],
  getJob: async () => [
    { path: `/api/v1/jobs/${made.done}?wait=1`, status: 200 },
    { path: `/api/v1/jobs/${(await submit({ function: "hello", hold: true })).id}`, status: 200 },
  ],
  deleteJob: async () => [{ path: `/api/v1/jobs/${(await submit({ script: "true" }, waiting)).id}`, status: 204 }],
  getJobEvents: () => [
    { path: `/api/v1/jobs/${made.done}/events`, status: 200 },
    { path: `/api/v1/jobs/${made.done}/events`, headers: { accept: "application/x-ndjson" }, status: 200 },
    { path: `/api/v1/jobs/${made.done}/events?after=1000`, status: 204 },
  ],
  listRuns: () => [{ path: `/api/v1/jobs/${made.done}/runs`, status: 200 }],
  cancelJob: async () => [
    { path: `/api/v1/jobs/${(await submit({ function: "hello", hold: true })).id}/cancel`, status: 200 },
    { path: `/api/v1/jobs/${(await running()).id}/cancel`, status: 202 },
  ],
  retryJob: async () => [
    { path: `/api/v1/jobs/${(await submit({ function: "hello" }, waiting)).id}/retry`, status: 202 },
    ...(await Promise.all(
      examplesOf("retryJob").map(async (body) => ({
        path: `/api/v1/jobs/${(await submit({ function: "hello" }, waiting)).id}/retry`,
        body,
        status: 202,
      })),
    )),
  ],
  releaseJob: async () => [
    { path: `/api/v1/jobs/${(await submit({ function: "hello", hold: true })).id}/release`, status: 202 },
  ],
  createJobToken: () => [
    { path: `/api/v1/jobs/${made.done}/token`, status: 200 },
    ...examplesOf("createJobToken").map((body) => ({ path: `/api/v1/jobs/${made.done}/token`, body, status: 200 })),
  ],
  listFiles: () => [{ path: `/api/v1/jobs/${made.done}/files`, status: 200 }],
  getFile: async () => {
    const path = `/api/v1/jobs/${made.done}/files/out.txt`;
    const etag = (await call("GET", path)).headers.get("etag") ?? "";
    return [
      { path, status: 200 },
      { path, headers: { range: "bytes=0-0" }, status: 206 },
      { path, headers: { "if-none-match": etag }, status: 304 },
      { path, headers: { range: "bytes=99-" }, status: 416 },
    ];
  },
  getFilesZip: () => [{ path: `/api/v1/jobs/${made.done}/files.zip`, status: 200 }],
  listDeliveries: () => [{ path: `/api/v1/jobs/${made.told}/deliveries`, status: 200 }],
  redeliver: () => [{ path: `/api/v1/deliveries/${made.delivery}/redeliver`, status: 202 }],
  listNodes: () => [{ path: "/api/v1/nodes", status: 200 }],
  drainNode: () => [{ path: `/api/v1/nodes/${made.node}/drain`, status: 200 }],
  resumeNode: () => [{ path: `/api/v1/nodes/${made.node}/resume`, status: 200 }],
  listQueues: () => [{ path: "/api/v1/queues", status: 200 }],
  pauseQueue: () => [{ path: "/api/v1/queues/automation/pause", status: 200 }],
  resumeQueue: () => [{ path: "/api/v1/queues/automation/resume", status: 200 }],
  listFunctions: () => [{ path: "/api/v1/functions", status: 200 }],
  listContainers: () => [{ path: "/api/v1/containers", status: 200 }],
  listAutomations: () => [{ path: "/api/v1/automations", status: 200 }],
  submitExecution: () =>
    examplesOf("submitExecution").map((body) => ({
      path: "/api/v1/submit",
      body,
      headers: submitToken(),
      status: 202,
    })),
};

describe("the document", () => {
  test("describes every operation of the API, by a name of its own", () => {
    expect(named.map(([name]) => name).sort()).toEqual(Object.keys(happy).sort());
    for (const [, { operation, path }] of named) {
      expect(operation.summary.length, path).toBeGreaterThan(0);
      for (const response of Object.values(operation.responses)) expect(response.description.length).toBeGreaterThan(0);
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((found) => found[1] ?? "");
      const described = operation.parameters?.filter((one) => one.in === "path").map(({ name }) => name) ?? [];
      expect(described.sort()).toEqual(inPath.sort());
    }
  });

  test("refers to nothing that is not there", () => {
    const known = Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`);
    for (const found of references(operations)) expect(known).toContain(found);
    for (const { operation } of operations)
      for (const scheme of (operation.security ?? []).flatMap(Object.keys))
        expect(Object.keys(document.components.securitySchemes)).toContain(scheme);
  });

  test.each(named)("shows examples of %s that keep to their schemas", (_, { operation }) => {
    const media = [operation.requestBody, ...Object.values(operation.responses)].flatMap((one) =>
      Object.entries(one?.content ?? {}),
    );
    for (const [type, { schema, example, examples }] of media) {
      if (type === "text/event-stream") continue;
      const values = [
        ...(example === undefined ? [] : [example]),
        ...Object.values(examples ?? {}).map(({ value }) => value),
      ];
      for (const value of values) expect(departures(value, schema, document.components.schemas)).toEqual([]);
    }
  });
});

describe("the service", () => {
  test.each(named.filter(([name]) => name !== "submitExecution"))(
    "does what %s says",
    async (name, { method, operation }) => {
      for (const { path, body, headers, status } of (await happy[name]?.()) ?? []) {
        const response = await call(method, path, body, headers);
        const text = await response.text();
        expect(response.status, `${method} ${path}: ${text.slice(0, 500)}`).toBe(status);
        assertDescribed(operation, response, text);
      }
    },
  );

  const bodied = named.filter(([, { operation }]) => operation.requestBody !== undefined);
  test.each(bodied)("refuses bodies that %s does not take", async (name, { method, path, operation }) => {
    const at = path.replace("{id}", made.done ?? "");
    const headers: Record<string, string> = name === "submitExecution" ? submitToken() : {};
    const isOwn = name !== "submitExecution";
    for (const [body, statuses] of [
      ["{", [400]],
      ["[[[", [400]],
      ['"text"', isOwn ? [422] : [400]],
      ['{"unheard_of":1}', isOwn ? [422] : [400]],
      [new Uint8Array([0xff, 0xfe]), [400]],
    ] as const) {
      const response = await service.call(at, {
        method,
        body,
        headers: { ...authorized, "content-type": "application/json", ...headers },
      });
      expect(statuses, `${name} ${String(body)}`).toContain(response.status as never);
      assertDescribed(operation, response, await response.text());
    }
  });

  const identified = named.filter(([, { path }]) => path.includes("{"));
  test.each(identified)("knows nothing under another id for %s", async (_, { method, path, operation }) => {
    const response = await call(method, path.replace(/\{\w+\}/g, "nobody-at-all"));
    expect(response.status).toBe(404);
    assertDescribed(operation, response, await response.text());
  });

  test.each(named)("lets nobody without a key or token use %s", async (_, { method, path, operation }) => {
    const response = await service.call(path.replace(/\{\w+\}/g, "x"), { method });
    expect(response.status).toBe(401);
    assertDescribed(operation, response, await response.text());
    expect(response.headers.get("www-authenticate")).toStartWith("Bearer");
  });

  const queried = named.flatMap(([name, one]) =>
    (one.operation.parameters ?? [])
      .filter((parameter) => parameter.in === "query")
      .map((parameter) => [name, parameter.name, one, parameter] as const),
  );
  test.each(queried)("keeps to what %s says of ?%s", async (_, name, { method, path, operation }, { schema }) => {
    const at = path.replace("{id}", made.done ?? "");
    const wrong = [
      ...(schema.type === "integer" ? ["x", "-1", "1.5"] : []),
      ...(schema.maximum === undefined ? [] : [String(schema.maximum + 1)]),
      ...(schema.minimum === undefined ? [] : [String(schema.minimum - 1)]),
      ...(schema.maxLength === undefined ? [] : ["x".repeat(schema.maxLength + 1)]),
      ...(schema.enum === undefined && schema.pattern === undefined ? [] : ["unheard of"]),
      ...(schema.type === "boolean" ? ["yes"] : []),
    ];
    expect(wrong.length).toBeGreaterThan(0);
    for (const value of wrong) {
      const response = await call(method, `${at}?${new URLSearchParams({ [name]: value })}`);
      expect(response.status, value).toBe(422);
      assertDescribed(operation, response, await response.text());
    }
  });

  test("answers what it does not know with a problem as well", async () => {
    for (const [method, path, status] of [
      ["GET", "/api/v1/unheard/of", 404],
      ["PUT", "/api/v1/jobs", 405],
      ["PATCH", "/api/v1/jobs/x", 405],
    ] as const) {
      const response = await call(method, path);
      expect(response.status).toBe(status);
      expect(
        departures(await response.json(), { $ref: "#/components/schemas/Problem" }, document.components.schemas),
      ).toEqual([]);
    }
  });
});

/** Status, type and body of an answer are among those that the operation describes. */
function assertDescribed(operation: Operation, response: Response, text: string): void {
  const described = operation.responses[String(response.status)];
  if (described === undefined) throw new Error(`${operation.operationId} describes no ${response.status}: ${text}`);
  const [type = ""] = (response.headers.get("content-type") ?? "").split(";");
  const media = described.content?.[type] ?? described.content?.["*/*"];
  if (text === "") return;
  if (media === undefined) throw new Error(`${operation.operationId} describes no ${type} of ${response.status}`);
  for (const value of valuesIn(type, text))
    expect(departures(value, media.schema, document.components.schemas)).toEqual([]);
}

function valuesIn(type: string, text: string): unknown[] {
  if (/[/+]json$/.test(type)) return [JSON.parse(text)];
  if (type === "application/x-ndjson")
    return text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  if (type === "text/event-stream")
    return [...text.matchAll(/^data: (.*)$/gm)].map((found) => JSON.parse(found[1] ?? ""));
  return [];
}

function examplesOf(name: string): unknown[] {
  const content = operations.find((one) => one.operation.operationId === name)?.operation.requestBody?.content;
  const examples = Object.values(content?.["application/json"]?.examples ?? {}).map(({ value }) => value);
  expect(examples.length).toBeGreaterThan(0);
  return examples;
}

function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
  const json = body === undefined ? {} : { "content-type": "application/json" };
  return service.call(path, {
    method,
    headers: { ...authorized, ...json, ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

async function submit(body: unknown, headers: Record<string, string> = {}): Promise<Job> {
  return (await (await call("POST", "/api/v1/jobs", body, headers)).json()) as Job;
}

async function running(): Promise<Job> {
  const job = await submit({ script: "sleep 60" });
  await until("it runs", async () => ((await (await call("GET", job.links.self)).json()) as Job).status === "running");
  return job;
}

function submitToken(): Record<string, string> {
  const nowS = Math.floor(Date.now() / 1_000);
  const claims = { iss: issuer, aud: audience, sub: "contract", iat: nowS, exp: nowS + 60 };
  return { authorization: `Bearer ${sign(tokenKey, claims)}` };
}
