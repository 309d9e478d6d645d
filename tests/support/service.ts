import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type App, startApp } from "../../src/app.ts";
import { loadConfig } from "../../src/config.ts";
import { createLog, type Log } from "../../src/log.ts";
import { testDatabase } from "./database.ts";

export type Service = App & {
  log: Log;
  /** `fetch` on the service's own address. */
  call(path: string, init?: RequestInit): Promise<Response>;
  /** POST of a JSON body. */
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
};

const root = join(import.meta.dir, "../..");

/** The whole service in this process, on a free port and a database of its own. Stop it in `afterAll`. */
export async function startService(environment: Record<string, string> = {}): Promise<Service> {
  const database = await testDatabase();
  const dataDir = await mkdtemp(join(tmpdir(), "fairlead-service-"));
  const { host, database: name, username } = database.address;
  const config = loadConfig({
    PORT: "0",
    WEBSOCKET_PORT: "0",
    NODE_NAME: `test-${process.pid}-${Math.random().toString(36).slice(2, 8)}`,
    DATA_DIR: dataDir,
    DATABASE_URL: `postgres://${username}@localhost/${name}?host=${encodeURIComponent(host)}`,
    FUNCTIONS_DIR: join(root, "functions"),
    CONTAINERS_FILE: join(root, "containers.json"),
    AUTOMATIONS_DIR: join(root, "automations"),
    SANDBOX: "auto",
    LOG_LEVEL: "error",
    ...environment,
  });
  const log = createLog({ level: "info", maxLines: 1_000, write: () => undefined });
  const app = await startApp({
    config,
    log,
    environment: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "" },
  });
  const call = (path: string, init?: RequestInit) => fetch(`${app.url}${path}`, init);
  return {
    ...app,
    log,
    call,
    post: (path, body, headers = {}) =>
      call(path, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
      }),
    async stop() {
      await app.stop();
      await database.drop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
