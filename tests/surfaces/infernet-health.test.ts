import { expect, test } from "bun:test";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { temporaryDirectory } from "../support/containers/runner-of.ts";
import { startService } from "../support/service.ts";
import { until } from "../support/until.ts";

/** IPv6 where the machine has it: a client's address has colons then. */
const host = Object.values(networkInterfaces())
  .flat()
  .some((one) => one?.address === "::1")
  ? "::1"
  : "127.0.0.1";

test("alone on its port, /health is the node's, and tells those with a key that the containers file is broken", async () => {
  const path = join(temporaryDirectory(), "containers.json");
  await Bun.write(path, '[{"id": "one", "url": "http://127.0.0.1:1"}]');
  const service = await startService({ CONTAINERS_FILE: path, SURFACES: "infernet", AUTH_KEY: "the-key", HOST: host });
  try {
    const health = async (headers: Record<string, string> = {}) => (await service.call("/health", { headers })).json();
    const key = { authorization: "Bearer the-key" };
    expect(await health(key)).toEqual({ status: "healthy" });
    await Bun.write(path, '[{"id": "one", "url": "nowhere"}]');
    await until("the broken file is seen", async () => Object.keys((await health(key)) as object).includes("problems"));
    expect(await health(key)).toEqual({ status: "healthy", problems: [expect.stringContaining("/0/url ")] });
    expect(await health()).toEqual({ status: "healthy" });
    expect(await health({ authorization: "Bearer other" })).toEqual({ status: "healthy" });
    const ids = await service.post("/api/jobs", { containers: ["one"], data: {} });
    expect(ids.status).toBe(200);
    expect(await (await service.call("/api/jobs")).json()).toHaveLength(1);
  } finally {
    await service.stop();
  }
}, 60_000);
