import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, loadConfig } from "../../src/config.ts";
import { silentLog } from "../../src/log.ts";
import { childIn, registerChild } from "../../src/surfaces/optexity/register-child.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "fairlead-optexity-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const metadata = {
  TaskARN: "arn:aws:ecs:task/1",
  Containers: [
    {
      Networks: [{ IPv4Addresses: ["10.0.0.7"] }],
      NetworkBindings: [
        { containerPort: 8080, hostPort: 1 },
        { containerPort: 9000, hostPort: 49_153 },
      ],
    },
  ],
};

test("a child tells its master where it is, until it is accepted", async () => {
  const accepted = Promise.withResolvers<unknown>();
  let tries = 0;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/v3/task") return Response.json(metadata);
      tries += 1;
      if (tries < 3) return new Response("not yet", { status: 503 });
      accepted.resolve({ pathname, body: await request.json() });
      return Response.json({ success: true });
    },
  });
  const stop = registerChild({
    metadataUri: `${server.url.href}v3`,
    serverUrl: server.url.href,
    containerPort: 9000,
    log: silentLog(),
    retryMs: 5,
  });
  expect(await accepted.promise).toEqual({
    pathname: "/register_child",
    body: { task_arn: "arn:aws:ecs:task/1", private_ip: "10.0.0.7", port: 49_153 },
  });
  await stop();
  await server.stop(true);
  expect(tries).toBe(3);
});

test("stopping ends the tries", async () => {
  const stop = registerChild({
    metadataUri: "http://127.0.0.1:9/v3",
    serverUrl: "http://127.0.0.1:9",
    containerPort: 9000,
    log: silentLog(),
  });
  await stop();
});

test("metadata without the port says so", () => {
  expect(() => childIn(metadata, 1)).toThrow("Host port not found in metadata");
  expect(() => childIn("page", 9000)).toThrow("TaskARN not found in metadata");
});

test("ENV_PATH gives the settings of the control plane, under the environment's own", async () => {
  const path = join(directory, "optexity.env");
  await writeFile(path, 'API_KEY="from file"\nSERVER_URL=master:8000\nSTART_TASK_ENDPOINT=v2/start\nPORT=1\n');
  const config = loadConfig({ ENV_PATH: path, START_TASK_ENDPOINT: "v3/start" });
  expect(config).toMatchObject({
    apiKey: "from file",
    serverUrl: "http://master:8000",
    startTaskEndpoint: "v3/start",
    port: 8080,
  });
});

test("an ENV_PATH that cannot be read keeps the service from starting", () => {
  expect(() => loadConfig({ ENV_PATH: join(directory, "nothing.env") })).toThrow(ConfigError);
});
