import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeTree } from "../../../src/files/remove.ts";
import { silentLog } from "../../../src/log.ts";
import {
  type ContainerRunner,
  type ContainerRunnerOptions,
  createContainerRunner,
} from "../../../src/runners/container/runner.ts";
import { whenFileEnds } from "../ending.ts";

export const serverLimits = {
  ...{ wallS: 60, cpuS: 60, memoryMb: 2_048, processes: 64 },
  ...{ fileMb: 64, outputMb: 1, network: true },
};

export const noSandbox = { sandbox: null, refusal: "scripts cannot run in this test", warning: null };

export type OpenRunner = { runner: ContainerRunner; path: string; directory: string; write(containers: unknown): void };

/** A directory that is removed when the test file ends. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-containers-"));
  whenFileEnds(() => Promise.resolve(rmSync(directory, { recursive: true, force: true })));
  return directory;
}

/** A container runner over a containers file of its own, closed when the test file ends. */
export function runnerOf(containers: unknown, given: Partial<ContainerRunnerOptions> = {}): OpenRunner {
  const directory = temporaryDirectory();
  const path = join(directory, "containers.json");
  const write = (content: unknown) =>
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  write(containers);
  const runner = createContainerRunner({
    ...{ path, node: `test-${process.pid}`, dockerHost: "", sandbox: noSandbox, removeTree, log: silentLog() },
    ...{ scratchDir: join(directory, "scratch"), limits: serverLimits, pollMs: 20 },
    ...given,
  });
  whenFileEnds(() => runner.close());
  return { runner, path, directory, write };
}

/** Looks until `holds`; says what it waited for when it does not come. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  withinMs = 10_000,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited ${withinMs} ms for ${what}`);
    await Bun.sleep(10);
  }
}
