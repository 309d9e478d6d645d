import { join } from "node:path";
import { runLoad } from "../run-load.ts";

/** Requests a second of a bare `Bun.serve`. */
export async function helloRate(connections: number, seconds: number): Promise<number> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "hello-server.ts")], { stdout: "pipe" });
  try {
    const { value } = await child.stdout.getReader().read();
    const port = Number(new TextDecoder().decode(value).trim());
    return (await runLoad(`http://127.0.0.1:${port}/`, { connections, seconds, body: {} })).perSecond;
  } finally {
    child.kill();
    await child.exited;
  }
}
