import { isPassingFault } from "../db/client.ts";
import type { Claimed } from "../engine/claimed.ts";
import type { Engine } from "../engine/context.ts";
import type { Appender } from "../engine/events.ts";
import type { Finisher } from "../engine/finish.ts";
import type { Log } from "../log.ts";
import type { ActiveRun, Outcome, Runner, RunnerName, StopReason } from "../runners/contract.ts";
import { failedToStart, noFacts, type RunFiles, startRun } from "./run-task.ts";
import type { RunTracer } from "./run-trace.ts";
import { createSink, type EventSink } from "./sink.ts";

/** How a task is run: by what, with which files, and whom to tell when its slot is free. */
export type Execution = { runner: Runner; files: RunFiles | undefined; onFree(): void };

type Run = {
  task: Claimed;
  active: ActiveRun | null;
  stopped: StopReason | null;
  sinceMs: number;
  /** The same by the clock that nobody sets, as `performance.now()`. */
  begunAtMs: number;
  /** Its slot is its own until it is given back, or handed on to what follows. */
  hasSlot: boolean;
  onFree(): void;
};

export type RunningOptions = {
  finisher: Finisher;
  appender: Appender;
  log: Log;
  tracer?: RunTracer | null;
  engine: Pick<Engine, "view">;
};

const retryFirstMs = 100;
const retryMaxMs = 2_000;

/** The tasks that run on this node, each from its start until its end is recorded. */
export class Running {
  readonly #options: RunningOptions;
  readonly #runs = new Map<string, Run>();

  constructor(options: RunningOptions) {
    this.#options = options;
  }

  /**
   * Runs a task and records how it ended. `onFree` is called as soon as the work itself is over, unless the slot was
   * handed on; before the last link of a chain, once its end is recorded: the next link has a better right to the slot than
   * whatever waits. Never rejects.
   */
  async execute(task: Claimed, { runner, files, onFree }: Execution): Promise<void> {
    const run: Run = {
      task,
      active: null,
      stopped: null,
      sinceMs: Date.now(),
      begunAtMs: performance.now(),
      hasSlot: true,
      onFree,
    };
    this.#runs.set(task.runId, run);
    try {
      await this.#runToItsEnd(run, runner, files);
    } catch (fault) {
      this.#options.log.error("a run could not be recorded", { job: task.jobId, task: task.index, fault });
      await this.#failUnrecorded(task);
    } finally {
      freeSlot(run);
      task.unwritten?.close();
      this.#runs.delete(task.runId);
    }
  }

  /** Takes the slot of a run that is about to be recorded, for what follows on it. False when it has none, or another runner's. */
  handOn(runId: string, runner: Runner): boolean {
    const run = this.#runs.get(runId);
    if (run === undefined || !run.hasSlot || run.task.runner !== runner.name) return false;
    run.hasSlot = false;
    return true;
  }

  /** Stops every run of a job, or all when `jobId` is null. */
  stop(jobId: string | null, reason: StopReason): void {
    for (const run of this.#runs.values()) if (jobId === null || run.task.jobId === jobId) stopRun(run, reason);
  }

  /** Stops the runs from before `beforeMs` of `performance.now()` that are not among `owned`: somebody else decided about their tasks. */
  fence(owned: ReadonlySet<string>, beforeMs: number): void {
    for (const [runId, run] of this.#runs)
      if (ownedSinceMs(run) < beforeMs && !owned.has(runId)) stopRun(run, "fenced");
  }

  has(runId: string): boolean {
    return this.#runs.has(runId);
  }

  get count(): number {
    return this.#runs.size;
  }

  /** Since when the oldest run of a runner runs, in ms since the epoch; null when none does. */
  oldestMs(runner: RunnerName): number | null {
    const since = [...this.#runs.values()].filter((run) => run.task.runner === runner).map((run) => run.sinceMs);
    return since.length === 0 ? null : Math.min(...since);
  }

  async #runToItsEnd(run: Run, runner: Runner, files: RunFiles | undefined): Promise<void> {
    const { task } = run;
    const { appender, finisher, log, tracer, engine } = this.#options;
    const sink = createSink(task, appender, {
      onFault: (fault) => log.warn("events were not written", { job: task.jobId, fault }),
      onFenced: () => stopRun(run, "fenced"),
    });
    const trace = tracer?.begin(task);
    const traceparent = trace?.traceparent ?? task.traceparent;
    run.active = await begin(runner, task, sink, { files, traceparent, clockAheadMs: engine.view.clockAheadMs });
    if (run.stopped !== null) run.active.stop(run.stopped);
    const { outcome, facts } = await run.active.done;
    trace?.end(outcome, facts);
    if (task.index === task.taskCount - 1) freeSlot(run);
    if (files !== undefined) await this.#persist(() => files.after(task), task);
    const events = await sink.rest();
    await this.#persist(() => finisher.finish(task, outcome, facts, events), task);
  }

  /** Whatever went wrong with its result, a task must not stay running. */
  async #failUnrecorded(task: Claimed): Promise<void> {
    const outcome: Outcome = {
      kind: "failed",
      error: { code: "runner_error", message: "The result could not be stored" },
    };
    await this.#persist(() => this.#options.finisher.finish(task, outcome, noFacts), task).catch((fault: unknown) =>
      this.#options.log.error("a failure could not be recorded", { job: task.jobId, fault }),
    );
  }

  /** A result is never dropped because Postgres is away: it is offered until it is recorded or refused by the fence. */
  async #persist(write: () => Promise<unknown>, task: Claimed): Promise<void> {
    for (let waitMs = retryFirstMs; ; waitMs = Math.min(waitMs * 2, retryMaxMs)) {
      try {
        await write();
        return;
      } catch (fault) {
        if (!isPassingFault(fault)) throw fault;
        this.#options.log.warn("the database cannot be written to: a result waits", { job: task.jobId, fault });
        await Bun.sleep(waitMs);
      }
    }
  }
}

function freeSlot(run: Run): void {
  if (run.hasSlot) run.onFree();
  run.hasSlot = false;
}

/** The database cannot know of a run before its job is written. */
function ownedSinceMs({ task, begunAtMs }: Run): number {
  return task.unwritten === undefined ? begunAtMs : (task.unwritten.writtenAtMs ?? Number.POSITIVE_INFINITY);
}

function stopRun(run: Run, reason: StopReason): void {
  run.stopped ??= reason;
  run.active?.stop(reason);
}

type Given = { files: RunFiles | undefined; traceparent: string | null; clockAheadMs: number };

async function begin(runner: Runner, task: Claimed, sink: EventSink, { files, ...more }: Given): Promise<ActiveRun> {
  if (files === undefined) return startRun(runner, task, sink, { ...more, directory: null });
  try {
    return startRun(runner, task, sink, { ...more, directory: await files.before(task) });
  } catch (fault) {
    return failedToStart(fault);
  }
}
