import { readdir } from "node:fs/promises";
import { resolve } from "node:path";

/*
 * Runs the tags and services of a worker and answers `{id, what}` messages of its server. It ends with its server.
 */

type Service = {
  start?: () => unknown;
  stop?: () => unknown;
  status?: () => unknown;
  config?: { restartOnFailure?: boolean };
};
type Running = { name: string; service: Service; up: boolean };

const [tagsDir = "", servicesDir = ""] = Bun.argv.slice(2);
const tagModules = await load(tagsDir);
const services = (await load(servicesDir)).map(({ name, exported }): Running => ({
  name,
  service: exported as Service,
  up: false,
}));
for (const running of services) await start(running);

process.on("disconnect", () => process.exit(0));
process.on("message", (message: { id: number; what: string }) => void answer(message));

async function answer({ id, what }: { id: number; what: string }): Promise<void> {
  if (what === "tags") send({ id, tags: await tags() });
  if (what === "services") send({ id, services: await Promise.all(services.map(state)) });
  if (what === "stop") {
    for (const { service } of services) await attempt(() => service.stop?.());
    send({ id });
  }
}

async function tags(): Promise<Record<string, unknown>> {
  const merged: Record<string, unknown> = {};
  for (const { exported } of tagModules) {
    const tagsOf = (exported as { tags?: () => unknown }).tags;
    const found = await attempt(() => tagsOf?.());
    if (typeof found === "object" && found !== null) Object.assign(merged, found);
  }
  return merged;
}

async function state(running: Running): Promise<{ name: string; status: string; state: "up" | "down" }> {
  const status = await attempt(() => running.service.status?.());
  const failed = status === failure || status === "down" || status === false;
  if (failed && running.service.config?.restartOnFailure) await start(running);
  const up = running.up && !failed;
  return { name: running.name, status: typeof status === "string" ? status : "unknown", state: up ? "up" : "down" };
}

async function start(running: Running): Promise<void> {
  running.up = (await attempt(() => running.service.start?.())) !== failure;
}

const failure = Symbol("failure");

async function attempt(work: () => unknown): Promise<unknown> {
  try {
    return await work();
  } catch (fault) {
    send({ id: 0, problem: String(fault) });
    return failure;
  }
}

async function load(directory: string): Promise<{ name: string; exported: unknown }[]> {
  const names = await readdir(directory).catch(() => [] as string[]);
  const found: { name: string; exported: unknown }[] = [];
  for (const file of names.filter((name) => /^[^._].*\.(ts|js)$/.test(name) && !name.endsWith(".d.ts")).sort()) {
    const name = file.replace(/\.(ts|js)$/, "");
    try {
      const module: Record<string, unknown> = await import(resolve(directory, file));
      found.push({ name, exported: module[name] ?? module["default"] ?? module });
    } catch (fault) {
      send({ id: 0, problem: `${file}: ${String(fault)}` });
    }
  }
  return found;
}

function send(message: unknown): void {
  process.send?.(message);
}
