import type { Log } from "../../log.ts";
import type { ActiveRun, Outcome, RunFacts, Runner, RunRequest, RunSink } from "../contract.ts";
import { FunctionCatalog } from "./catalog.ts";
import type { FunctionEntry } from "./description.ts";
import { functionEnvironment } from "./environment.ts";
import { factsOf, outcomeOf } from "./outcome.ts";
import { FunctionPool } from "./pool.ts";
import { Speed } from "./speed.ts";
import { watchDirectory } from "./watch.ts";
import { Work, type WorkOptions } from "./work.ts";

export type FunctionRunnerOptions = {
  directory: string;
  slots: number;
  log: Log;
  /** The server's environment; its own secrets are left out before a function sees it. */
  environment: Readonly<Record<string, string | undefined>>;
  /** More names that no function may see. */
  secretNames?: readonly string[];
  /** Working directory of the functions; the server's when left out. */
  cwd?: string;
  /** Processes kept ready, by default 2. */
  warm?: number;
  /** A process above `warm` ends after this long without work, by default 30 s. */
  idleMs?: number;
  /** What a function that holds its signal gets to clean up, by default 500 ms. */
  graceMs?: number;
  /** Bytes of console output, and of streamed text, that one run may give; by default 10 MiB each. */
  outputMaxBytes?: number;
  /** By default 10 MiB. */
  resultMaxBytes?: number;
  /** MiB one run may use, by default 2,048. */
  memoryMaxMb?: number;
  /** ms a file may take to load when the directory is read, by default 10 s. */
  loadTimeoutMs?: number;
};

export type FunctionRunner = Runner & {
  readonly name: "function";
  readonly catalog: FunctionCatalog;
  /** How many processes are there now. */
  processes(): number;
  /** Reads the directory again with new processes; what runs ends in the old ones. */
  reload(): Promise<void>;
  /** Reloads whenever something in the directory changes, until the returned function is called. */
  watch(): () => void;
};

const mib = 1_048_576;
/** A process that has grown beyond this is replaced, so that no function's leak stays. */
const recycleMb = 512;

const defaults = {
  secretNames: [],
  warm: 2,
  idleMs: 30_000,
  graceMs: 500,
  outputMaxBytes: 10 * mib,
  resultMaxBytes: 10 * mib,
  memoryMaxMb: 2_048,
  loadTimeoutMs: 10_000,
};
type Settled = FunctionRunnerOptions & Required<Omit<FunctionRunnerOptions, "cwd">>;

/** Starts the warm processes and has them describe the functions. Never rejects because of a function's file. */
export async function createFunctionRunner(given: FunctionRunnerOptions): Promise<FunctionRunner> {
  const options: Settled = { ...defaults, ...given };
  const { directory, log, memoryMaxMb, loadTimeoutMs } = options;
  const pool = createPool(options);
  const catalog = new FunctionCatalog({ directory, pool, loadTimeoutMs, memoryMbMax: memoryMaxMb });
  const speeds = new Map<string, Speed>();
  const load = async () => {
    await catalog.load();
    speeds.clear();
    report(catalog, log);
  };
  const reload = () => {
    pool.renew();
    return load();
  };
  const start = (request: RunRequest, sink: RunSink) => {
    const entry = catalog.get(request.target);
    if (entry === undefined) return refused(`Function '${request.target}' not found`);
    return begin(pool, new Work(workOptions(options, entry, request, sink, speedOf(speeds, entry.name))));
  };
  await load();
  const watch = () => watchDirectory(directory, reload, log);
  const close = () => pool.close();
  return { name: "function", catalog, processes: () => pool.size, start, reload, watch, close };
}

function createPool(options: Settled): FunctionPool {
  const { slots, idleMs, graceMs, log } = options;
  return new FunctionPool({
    environment: functionEnvironment(options.environment, options.secretNames),
    cwd: options.cwd ?? process.cwd(),
    slots,
    warm: Math.min(options.warm, slots),
    idleMs,
    graceMs,
    recycleMb,
    resultBytesMax: options.resultMaxBytes,
    onStray: (text) => log.warn("a function process printed outside of a run", { text }),
  });
}

function report(catalog: FunctionCatalog, log: Log): void {
  const note = catalog.note();
  if (note !== null) log.warn(note);
  for (const { file, line, message } of catalog.problems()) {
    log.warn("a function is not served", { file, line, message });
  }
}

function speedOf(speeds: Map<string, Speed>, name: string): Speed {
  const known = speeds.get(name);
  if (known !== undefined) return known;
  const speed = new Speed();
  speeds.set(name, speed);
  return speed;
}

function begin(pool: FunctionPool, work: Work): ActiveRun {
  pool.submit(work);
  const done = work.ended.then((end) => ({ outcome: outcomeOf(end, work.stopReason), facts: factsOf(end, work) }));
  return { done, stop: (reason) => work.stop(reason) };
}

function workOptions(
  options: Settled,
  { file, name }: FunctionEntry,
  request: RunRequest,
  sink: RunSink,
  speed: Speed,
): WorkOptions {
  const { limits, jobId, attempt, inputJson, timeoutMs, traceparent } = request;
  const { outputMaxBytes, memoryMaxMb, resultMaxBytes: resultBytesMax } = options;
  const outputBytesMax = Math.min((limits.outputMb ?? Number.POSITIVE_INFINITY) * mib, outputMaxBytes);
  const streaming = request.options.stream === true || request.options.mode === "stream";
  const input = inputJson === undefined ? { input: request.input ?? null } : { inputJson };
  const call = { file, name, jobId, attempt, streaming, outputBytesMax, resultBytesMax };
  const trace = traceparent === null ? {} : { traceparent };
  return {
    order: (nonce) => ({ kind: "run", nonce, ...call, ...trace, ...input }),
    sink,
    timeoutMs,
    memoryMbMax: Math.min(limits.memoryMb ?? memoryMaxMb, memoryMaxMb),
    outputBytesMax,
    speed,
  };
}

/** A run that ends before it began. */
function refused(message: string): ActiveRun {
  const facts: RunFacts = {
    sandbox: "process",
    wallMs: 0,
    cpuMs: null,
    maxRssMb: null,
    exitCode: null,
    signal: null,
    limits: null,
  };
  const outcome: Outcome = { kind: "failed", error: { code: "invalid", message } };
  return { done: Promise.resolve({ outcome, facts }), stop: () => undefined };
}
