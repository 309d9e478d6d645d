import { checkChromium, checkContainers, checkSandbox } from "./app-doctor-runners.ts";
import { checkClock, checkDatabase, checkDisk, checkFiles } from "./app-doctor-state.ts";
import { ConfigError, loadConfig } from "./config.ts";

/** One thing that was looked at. `failed` is something the service needs, `warn` something that only some jobs need. */
export type Check = { name: string; state: "ok" | "warn" | "failed"; detail: string; fix?: string };

const patienceMs = 30_000;

/** Looks at everything a node needs on this machine, with the environment it would have. Changes nothing. */
export async function examine(): Promise<Check[]> {
  const config = configOrProblems();
  if (Array.isArray(config)) return config;
  const found = await Promise.all([
    bounded("database", checkDatabase(config)),
    bounded("sandbox", checkSandbox(config)),
    bounded("chromium", checkChromium(config)),
    bounded("containers", checkContainers(config)),
    bounded("clock", checkClock(config)),
    bounded("disk", checkDisk(config)),
    bounded("files", checkFiles(config)),
  ]);
  return [{ name: "settings", state: "ok", detail: "the environment can be used" }, ...found.flat()];
}

function configOrProblems() {
  try {
    return loadConfig();
  } catch (fault) {
    if (!(fault instanceof ConfigError)) throw fault;
    return fault.problems.map((problem): Check => ({ name: "settings", state: "failed", detail: problem }));
  }
}

/** A check that fails to look, or hangs, has found something as well. */
async function bounded(name: string, check: Promise<Check | Check[]>): Promise<Check | Check[]> {
  const late = Promise.withResolvers<Check>();
  const timer = setTimeout(
    () => late.resolve({ name, state: "failed", detail: `no answer within ${patienceMs / 1_000} s` }),
    patienceMs,
  );
  try {
    return await Promise.race([check, late.promise]);
  } catch (fault) {
    return { name, state: "failed", detail: fault instanceof Error ? fault.message : String(fault) };
  } finally {
    clearTimeout(timer);
  }
}
