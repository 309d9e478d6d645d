import { join } from "node:path";

export type Load = {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  requests: number;
  statuses: Record<string, number>;
};

/** Runs the load generator against a URL. Throws when anything but success came back. */
export async function runLoad(
  url: string,
  options: { connections: number; seconds: number; body: unknown },
): Promise<Load> {
  const child = Bun.spawn(
    [
      process.execPath,
      join(import.meta.dir, "load.ts"),
      url,
      String(options.connections),
      String(options.seconds),
      JSON.stringify(options.body),
    ],
    { stdout: "pipe", stderr: "inherit" },
  );
  const load: Load = JSON.parse(await new Response(child.stdout).text());
  const odd = Object.keys(load.statuses).filter((status) => !status.startsWith("2"));
  if (odd.length > 0 || load.requests === 0) throw new Error(`${url} answered ${JSON.stringify(load.statuses)}`);
  return load;
}
