import type { DatabaseAddress } from "../../src/db/client.ts";
import { type Database, openDatabase } from "../../src/db/client.ts";
import type { Engine } from "../../src/engine/context.ts";
import type { Render } from "../../src/engine/deliveries.ts";
import { createEngine } from "../../src/engine/engine.ts";
import { type Appender, createAppender } from "../../src/engine/events.ts";
import { createFinisher, type Finisher } from "../../src/engine/finish.ts";
import type { LeaseTimes } from "../../src/engine/lease.ts";
import type { Submission, TaskSpec } from "../../src/engine/submission.ts";
import { createSubmitter, type Submitter } from "../../src/engine/submit.ts";
import { createLog, type Log } from "../../src/log.ts";
import { Queue } from "../../src/queue/boss.ts";
import type { RunnerName } from "../../src/runners/contract.ts";
import type { WatchTimes } from "../../src/worker/claim-watch.ts";
import { Node } from "../../src/worker/node.ts";
import { Worker } from "../../src/worker/worker.ts";
import { ScriptedRunner } from "./scripted-runner.ts";

/** One node on a test's database: engine, worker and membership, with runners that do what the test says. */
export type TestNode = {
  db: Database;
  queue: Queue;
  engine: Engine;
  submitter: Submitter;
  finisher: Finisher;
  appender: Appender;
  worker: Worker;
  node: Node;
  log: Log;
  /** The runner of functions. */
  runner: ScriptedRunner;
  /** Every runner, by name. */
  runners: Record<RunnerName, ScriptedRunner>;
  /** Takes the lease and starts to claim. */
  start(): Promise<void>;
  /** Ends as a drain does: running tasks go back to the queue. Called by `await using` as well. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

export type TestNodeOptions = {
  nodeId?: string;
  slots?: number;
  queueMax?: number;
  renders?: Record<string, Render>;
  lease?: Partial<LeaseTimes>;
  /** False: nothing is started, for tests that call the engine by hand. */
  isStarted?: boolean;
  connectionsMax?: number;
  canRun?(runner: RunnerName, target: string): boolean;
  /** The functions that the node knows and tells of; absent: it runs all and keeps no list. */
  functions?: string[];
  region?: string;
  tags?: string[];
  watch?: Partial<WatchTimes>;
  /** Changes the database that the engine works on, to see or break what it asks. */
  through?(db: Database): Database;
};

export const testRenders: Record<string, Render> = {
  test: (event, job) => ({
    contentType: "application/json",
    body: JSON.stringify({ event, id: job.id, status: job.status, result: job.result }),
  }),
};

/** Opens a node on a database. Without `isStarted: false` it takes its lease and works at once. */
export async function openNode(address: DatabaseAddress, options: TestNodeOptions = {}): Promise<TestNode> {
  const opened = openDatabase(address, { connectionsMax: options.connectionsMax ?? 10 });
  const db = options.through?.(opened) ?? opened;
  const queue = await Queue.open(db.sql);
  const engine = createEngine({
    db,
    queue,
    nodeId: options.nodeId ?? `node-${crypto.randomUUID().slice(0, 8)}`,
    queueMax: options.queueMax ?? 1_000_000,
    renders: options.renders ?? testRenders,
  });
  const built = buildNode(engine, options);
  const start = async () => {
    engine.lane = built.worker;
    engine.onStop = (jobId) => built.worker.stop(jobId, "cancelled");
    await built.node.start();
    built.worker.start();
  };
  const stop = once(() => stopNode(built, engine, queue, opened));
  if (options.isStarted !== false) await start();
  return { db, queue, engine, ...built, start, stop, [Symbol.asyncDispose]: stop };
}

/** A function task of one attempt, with what the test changes. */
export function taskOf(target: string, more: Partial<TaskSpec> = {}): TaskSpec {
  return { runner: "function", target, timeoutMs: 60_000, maxAttempts: 1, backoffS: 0, ...more };
}

/** A submission of one function task, or of what `tasks` says. */
export function jobOf(more: Partial<Submission> & { target?: string; input?: unknown } = {}): Submission {
  const { target = "echo", input = {}, ...rest } = more;
  return {
    surface: "api",
    client: "test",
    priority: 1,
    inputJson: JSON.stringify(input),
    tasks: [taskOf(target)],
    ...rest,
  };
}

function buildNode(engine: Engine, options: TestNodeOptions) {
  const log = createLog({ level: "debug", maxLines: 10_000, write: () => undefined });
  const submitter = createSubmitter(engine);
  const finisher = createFinisher(engine);
  const appender = createAppender(engine);
  const runners = {
    function: new ScriptedRunner("function"),
    script: new ScriptedRunner("script"),
    container: new ScriptedRunner("container"),
    automation: new ScriptedRunner("automation"),
  };
  const worker = new Worker({
    engine,
    finisher,
    appender,
    log,
    runners: Object.values(runners).map((runner) => ({ runner, slots: options.slots ?? 4 })),
    canRun: options.canRun ?? ((_, target) => options.functions?.includes(target) ?? true),
    place: { region: options.region ?? "", tags: options.tags ?? [] },
  });
  const { functions } = options;
  const capabilities = { tags: options.tags ?? [], ...(functions === undefined ? {} : { functions }) };
  const region = options.region ?? "";
  const node = new Node({
    engine,
    worker,
    log,
    state: () => ({ capabilities, slots: worker.slots(), region, version: "test", lastClaimAtMs: null }),
    ...(options.watch === undefined ? {} : { watch: options.watch }),
    ...(options.lease === undefined ? {} : { lease: options.lease }),
  });
  return { submitter, finisher, appender, worker, node, log, runner: runners.function, runners };
}

async function stopNode(built: ReturnType<typeof buildNode>, engine: Engine, queue: Queue, db: Database) {
  engine.view.draining = true;
  built.worker.close();
  built.worker.stop(null, "interrupted");
  await built.worker.settled(5_000);
  await built.node.stop();
  await queue.close();
  await db.close();
}

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | null = null;
  return () => {
    done ??= work();
    return done;
  };
}
