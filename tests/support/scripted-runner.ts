import type {
  ActiveRun,
  Outcome,
  RunFacts,
  Runner,
  RunnerName,
  RunRequest,
  RunSink,
  StopReason,
} from "../../src/runners/contract.ts";

/** One run in the hands of a test's script. */
export type ScriptedRun = {
  request: RunRequest;
  sink: RunSink;
  /** Resolves with the first reason the run is stopped for. */
  stopped: Promise<StopReason>;
};

/** What a run does. An `Outcome` ends it so; a thrown error fails it. */
export type Script = (run: ScriptedRun) => Promise<Outcome> | Outcome;

/**
 * A runner without processes: each target does what its script says. A run that is stopped ends as the reason demands,
 * unless its script asked to be deaf. `echo` gives its input back, `hold` runs until it is let go or stopped.
 */
export class ScriptedRunner implements Runner {
  readonly #scripts = new Map<string, { script: Script; isDeaf: boolean }>();
  readonly #held = new Map<string, (outcome: Outcome) => void>();
  /** Every request in the order of its start. */
  readonly started: RunRequest[] = [];
  #running = 0;
  mostAtOnce = 0;

  constructor(readonly name: RunnerName) {
    this.on("echo", ({ request }) => ({ kind: "succeeded", output: request.input }));
    this.on("hold", (run) => this.hold(run));
  }

  /** Runs until the test lets the job go, or until it is stopped. */
  hold({ request, stopped }: ScriptedRun): Promise<Outcome> {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    this.#held.set(request.jobId, resolve);
    void stopped.then(() => {
      if (this.#held.get(request.jobId) === resolve) this.#held.delete(request.jobId);
    });
    return promise;
  }

  on(target: string, script: Script, options: { isDeaf?: boolean } = {}): void {
    this.#scripts.set(target, { script, isDeaf: options.isDeaf ?? false });
  }

  /** Ends the held run of a job. */
  letGo(jobId: string, outcome: Outcome = { kind: "succeeded", output: "let go" }): void {
    const end = this.#held.get(jobId);
    if (end === undefined) throw new Error(`no run of job ${jobId} is held here`);
    this.#held.delete(jobId);
    end(outcome);
  }

  isHolding(jobId: string): boolean {
    return this.#held.has(jobId);
  }

  get running(): number {
    return this.#running;
  }

  start(request: RunRequest, sink: RunSink): ActiveRun {
    this.started.push(request);
    this.#running++;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#running);
    const stopping = Promise.withResolvers<StopReason>();
    const done = this.#outcome({ request, sink, stopped: stopping.promise }).then((outcome) => {
      this.#running--;
      return { outcome, facts: scriptedFacts };
    });
    return { done, stop: (reason) => stopping.resolve(reason) };
  }

  async close(): Promise<void> {
    this.#held.clear();
  }

  async #outcome(run: ScriptedRun): Promise<Outcome> {
    const { script, isDeaf } = this.#scripts.get(run.request.target) ?? { script: unknownTarget, isDeaf: false };
    const scripted = (async () => script(run))().catch((fault: unknown): Outcome => {
      const message = fault instanceof Error ? fault.message : String(fault);
      return { kind: "failed", error: { code: "function_error", message } };
    });
    return isDeaf ? scripted : Promise.race([scripted, run.stopped.then(outcomeOfStop)]);
  }
}

export const scriptedFacts: RunFacts = {
  sandbox: "none",
  wallMs: 1,
  cpuMs: null,
  maxRssMb: null,
  exitCode: null,
  signal: null,
  limits: null,
};

function unknownTarget({ request }: ScriptedRun): Outcome {
  return { kind: "failed", error: { code: "function_error", message: `No script for ${request.target}` } };
}

function outcomeOfStop(reason: StopReason): Outcome {
  if (typeof reason === "object") return { kind: "failed", error: reason };
  if (reason === "timed_out") return { kind: "timed_out", message: "Timeout" };
  return { kind: reason === "cancelled" ? "cancelled" : "interrupted" };
}
