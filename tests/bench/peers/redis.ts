import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A Redis of its own on a free port, as Debian configures none: no persistence. */
export async function startRedis(): Promise<{ port: number } & AsyncDisposable> {
  const path = Bun.which("redis-server");
  if (path === null) throw new Error("redis-server is not installed: the BullMQ rows need it");
  const directory = await mkdtemp(join(tmpdir(), "fairlead-redis-"));
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const child = Bun.spawn(
    [path, "--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory],
    { stdout: "ignore", stderr: "ignore" },
  );
  for (let tries = 0; !(await answers(port)); tries++) {
    if (tries > 200) throw new Error("redis-server did not start");
    await Bun.sleep(25);
  }
  return {
    port,
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function answers(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => undefined } });
    socket.end();
    return true;
  } catch {
    // Not listening yet.
    return false;
  }
}
