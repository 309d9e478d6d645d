import type { ActiveRun, Outcome, RunFacts, RunRequest, Runner, RunSink } from "../contract.ts";
import { type Limits, limitsInForce } from "../limits.ts";
import type { SandboxChoice } from "../sandbox/choose.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import { type Orders, runRaised, runSandboxed } from "../sandbox/supervise.ts";
import { within } from "../sandbox/within.ts";
import { outcomeOf } from "./outcome.ts";
import { createScriptOutput } from "./output.ts";
import { readScript, usualCommand } from "./read-script.ts";
import { Spares } from "./spares.ts";

export type ScriptRunnerOptions = {
  sandbox: SandboxChoice;
  /** The most a run may ask for, and what it gets when it does not ask. */
  maximum: Limits;
  /** Between TERM and KILL. */
  graceMs?: number;
  /** Files and directories that a payload may come to hold; 100,000 when absent. */
  entriesMax?: number;
  /**
   * Where empty directories are made on which sandboxes stand before there are scripts, in the file system of the payloads; absent:
   * none is raised before it is needed.
   */
  readyDir?: string;
};

export type ScriptRunner = Runner & {
  /** An empty directory on which a sandbox stands already, for files whose script is to be run soon; null when there is none. */
  takeDirectory(): string | null;
};

const graceMsDefault = 5_000;
/** A reader that takes nothing for this long after the end of its run is given up. */
const handOverMs = 30_000;

type Ended = Awaited<ActiveRun["done"]>;

/**
 * Runs `bash run.sh` in the payload's directory, isolated as far as the sandbox goes. Exit 0 succeeds with
 * `{ exit_code: 0 }`; everything else ends with a reason its author can read.
 */
export function createScriptRunner(options: ScriptRunnerOptions): ScriptRunner {
  const spares = sparesFor(options);
  return {
    name: "script",
    start: (request, sink) => start({ ...options, spares }, request, sink),
    takeDirectory: () => spares?.take() ?? null,
    // The sandbox belongs to whoever chose it.
    close: async () => spares?.close(),
  };
}

function sparesFor({ sandbox: { sandbox }, maximum, readyDir }: ScriptRunnerOptions): Spares | null {
  if (sandbox === null || readyDir === undefined || !sandbox.driver.raisesAhead) return null;
  return new Spares({ sandbox, command: usualCommand, limits: limitsInForce({}, maximum), parent: readyDir });
}

type Options = ScriptRunnerOptions & { spares: Spares | null };

function start(options: Options, request: RunRequest, sink: RunSink): ActiveRun {
  const { sandbox, refusal, warning } = options.sandbox;
  const limits = limitsInForce(request.limits, options.maximum);
  const refuse = (outcome: Outcome) => refused(outcome, sandbox, limits);
  if (sandbox === null) return refuse(failed("sandbox_unavailable", refusal ?? "there is no sandbox"));
  if (request.directory === null) return refuse(failed("invalid", "a script needs files, and this task has none"));
  const script = readScript(request.directory);
  if (script.kind === "refused") return refuse(failed("invalid", script.reason));
  for (const note of [warning, script.note]) if (note !== null) sink.log("warn", note);
  return carryOut(sandbox, { ...request, directory: request.directory }, script.command, limits, sink, options);
}

function carryOut(
  sandbox: Sandbox,
  request: RunRequest & { directory: string },
  command: string[],
  limits: Limits,
  sink: RunSink,
  { graceMs = graceMsDefault, entriesMax, spares }: Options,
): ActiveRun {
  const output = createScriptOutput(sink, limits.outputMb, (failure) => run.stop(failure));
  const { runId, directory, timeoutMs } = request;
  const orders: Orders = {
    ...{ timeoutMs, graceMs, onOutput: output.take },
    ...(entriesMax === undefined ? {} : { entriesMax }),
    variables: variablesOf(request),
    onBegun: () => spares?.want(),
  };
  const raised = spares?.on(directory, { command, limits }) ?? null;
  const run =
    raised === null
      ? runSandboxed(sandbox, { ...orders, command, limits, runId, directory })
      : runRaised(raised, directory, orders);
  const done = run.done.then(async (end): Promise<Ended> => {
    await within(handOverMs, output.end());
    if (end.survivors > 0) sink.log("error", `${end.survivors} of its processes could not be killed`);
    return { outcome: outcomeOf(end, request.directory), facts: end.facts };
  });
  return { done: done.catch((fault: unknown) => faulted(fault, sandbox, limits)), stop: run.stop };
}

function variablesOf({ jobId, attempt, traceparent }: RunRequest): Record<string, string> {
  return {
    FAIRLEAD_JOB_ID: jobId,
    FAIRLEAD_ATTEMPT: String(attempt),
    ...(traceparent === null ? {} : { TRACEPARENT: traceparent }),
  };
}

function refused(outcome: Outcome, sandbox: Sandbox | null, limits: Limits): ActiveRun {
  // There is nothing to stop.
  return { done: Promise.resolve({ outcome, facts: nothingMeasured(sandbox, limits) }), stop: () => undefined };
}

function faulted(fault: unknown, sandbox: Sandbox, limits: Limits): Ended {
  const message = fault instanceof Error ? fault.message : String(fault);
  return { outcome: failed("runner_error", message), facts: nothingMeasured(sandbox, limits) };
}

function nothingMeasured(sandbox: Sandbox | null, limits: Limits): RunFacts {
  return {
    sandbox: sandbox?.describe(limits.network) ?? "unavailable",
    ...{ wallMs: 0, cpuMs: null, maxRssMb: null, exitCode: null, signal: null, limits },
  };
}

function failed(code: "sandbox_unavailable" | "invalid" | "runner_error", message: string): Outcome {
  return { kind: "failed", error: { code, message } };
}
