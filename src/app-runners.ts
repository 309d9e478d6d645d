import { createHash } from "node:crypto";
import { join } from "node:path";
import { type Config, isLocal } from "./config.ts";
import { readyDirOf } from "./files/local-store.ts";
import { removeTree } from "./files/remove.ts";
import type { Log } from "./log.ts";
import { AutomationCatalog } from "./runners/automation/catalog.ts";
import { AutomationRunner } from "./runners/automation/runner.ts";
import type { OpenSealed } from "./runners/automation/sealed-secrets.ts";
import { type ContainerRunner, createContainerRunner } from "./runners/container/runner.ts";
import { functionEnvironment } from "./runners/function/environment.ts";
import { createFunctionRunner, type FunctionRunner } from "./runners/function/runner.ts";
import type { Limits } from "./runners/limits.ts";
import { chooseSandbox, type SandboxChoice } from "./runners/sandbox/choose.ts";
import { sweepLeftovers } from "./runners/sandbox/sweep.ts";
import { createScriptRunner, type ScriptRunner } from "./runners/script/runner.ts";

const bytesPerMb = 1_048_576;

/** What can execute tasks on this node. */
export type Runners = {
  functions: FunctionRunner;
  scripts: ScriptRunner;
  containers: ContainerRunner;
  automations: AutomationRunner;
  automationCatalog: AutomationCatalog;
  sandbox: SandboxChoice;
  close(): Promise<void>;
};

export type RunnerOptions = {
  config: Config;
  log: Log;
  environment: Readonly<Record<string, string | undefined>>;
  /** Opens the secrets that were stored with a task. */
  openSealed: OpenSealed;
};

/** Builds every runner and finds out what this machine can isolate. Throws `EngineError` when what was asked for by name cannot be had. */
export async function buildRunners(options: RunnerOptions): Promise<Runners> {
  const { config, log } = options;
  const environment = functionEnvironment(options.environment);
  await sweepLeftovers(nodeTag(config));
  const automationCatalog = new AutomationCatalog(config.automationsDir);
  const [functions, sandbox] = await Promise.all([
    createFunctionRunner({
      directory: config.functionsDir,
      slots: config.slots,
      log,
      environment: options.environment,
      outputMaxBytes: config.outputMaxMb * bytesPerMb,
      memoryMaxMb: config.limitMemoryMb,
    }),
    chooseSandbox({
      mode: config.sandbox,
      loopback: isLocal(config),
      embedded: config.databaseUrl === "",
      tag: nodeTag(config),
      dataDir: config.dataDir,
      readOnly: config.sandboxPaths,
    }),
    automationCatalog.load().then((catalog) => reportAutomations(catalog, log)),
  ]);
  const maximum = maximumLimits(config);
  const containers = createContainerRunner({
    path: config.containersFile,
    node: config.nodeName,
    dockerHost: config.dockerHost,
    sandbox,
    scratchDir: join(config.dataDir, "containers"),
    limits: maximum,
    removeTree,
    log,
  });
  const scripts = createScriptRunner({
    ...{ sandbox, maximum },
    // With a bucket, files are elsewhere between their upload and their run.
    ...(config.s3Bucket === "" ? { readyDir: readyDirOf(config.dataDir) } : {}),
  });
  const automations = new AutomationRunner({
    catalog: automationCatalog,
    workDirectory: join(config.dataDir, "browsers"),
    chromiumPath: config.chromiumPath,
    environment,
    openSealed: options.openSealed,
  });
  const close = async () => {
    await Promise.all([functions.close(), scripts.close(), containers.close(), automations.close()]);
    await sandbox.close();
  };
  return { functions, scripts, containers, automations, automationCatalog, sandbox, close };
}

/** The most that a run may use on this server. */
export function maximumLimits(config: Config): Limits {
  return {
    wallS: config.limitWallS,
    cpuS: config.limitCpuS,
    memoryMb: config.limitMemoryMb,
    processes: config.limitProcesses,
    fileMb: config.limitFileMb,
    outputMb: config.outputMaxMb,
    network: config.limitNetwork,
  };
}

/** Names this server's processes on the machine, the same after a restart. */
function nodeTag(config: Config): string {
  return createHash("sha256").update(`${config.nodeName}\0${config.dataDir}`).digest("hex").slice(0, 16);
}

function reportAutomations(catalog: { problems: ReadonlyMap<string, string>; warnings: string[] }, log: Log): void {
  for (const [file, problem] of catalog.problems) log.warn("an automation is not served", { file, problem });
  for (const warning of catalog.warnings) log.warn("a part of an automation cannot run here", { warning });
}
