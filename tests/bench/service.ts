import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type BenchService = { url: string; pid: number; readyMs: number; dataDir: string; stop(): Promise<void> };

const root = join(import.meta.dir, "../..");
const readyTimeoutMs = 60_000;

/** The service as a user starts it: a process of its own, with its embedded Postgres unless it is given another. */
export async function startBenchService(
  environment: Record<string, string> = {},
  keep?: string,
  words: readonly string[] = [],
): Promise<BenchService> {
  const dataDir = keep ?? (await mkdtemp(join(tmpdir(), "fairlead-bench-")));
  const port = freePort();
  const startedAt = performance.now();
  const child = Bun.spawn([process.execPath, join(root, "src/main.ts"), "serve", ...words], {
    cwd: root,
    env: {
      PATH: Bun.env["PATH"] ?? "",
      HOME: Bun.env["HOME"] ?? "",
      PORT: String(port),
      WEBSOCKET_PORT: "0",
      DATA_DIR: dataDir,
      LOG_LEVEL: "error",
      NODE_NAME: `bench-${port}`,
      ...environment,
    },
    stdout: "ignore",
    stderr: "inherit",
  });
  const url = `http://127.0.0.1:${port}`;
  while (!(await isReady(url))) {
    if (child.exitCode !== null) throw new Error(`the service ended with ${child.exitCode}`);
    if (performance.now() - startedAt > readyTimeoutMs) throw new Error("the service was not ready within a minute");
    await Bun.sleep(5);
  }
  const readyMs = performance.now() - startedAt;
  return {
    url,
    pid: child.pid,
    readyMs,
    dataDir,
    async stop() {
      child.kill("SIGTERM");
      await child.exited;
      if (keep === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/readyz`)).ok;
  } catch {
    // Not listening yet.
    return false;
  }
}

function freePort(): number {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const { port } = server;
  void server.stop(true);
  if (port === undefined) throw new Error("no free port");
  return port;
}
