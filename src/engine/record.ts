import { codeOf } from "../db/client.ts";
import type { RunFacts } from "../runners/contract.ts";
import { createBatcher } from "./batch.ts";
import type { Claimed } from "./claimed.ts";
import { databaseNowMs } from "./clock.ts";
import type { Engine } from "./context.ts";
import type { Ending } from "./ending.ts";
import { factsJson } from "./facts.ts";
import { linesJson, statusEvent, type TimedEvent } from "./history.ts";
import { tellSubscribers } from "./publish.ts";
import { recordSql } from "./record-sql.ts";
import type { Prepared } from "./submit-rows.ts";
import { countAccepted, countEnd } from "./tally.ts";

/** A run that has ended before its job was written. */
export type Whole = {
  entry: Prepared;
  task: Claimed;
  ending: Ending & { kind: "final" };
  facts: RunFacts;
  /** Everything after its start. */
  events: TimedEvent[];
};

export type Recorder = {
  /** Writes job and end. False when the job is there already: an earlier try whose answer was lost. Then nothing is written. */
  record(whole: Whole): Promise<boolean>;
  idle(): Promise<void>;
};

const groupMax = 500;
const writersMax = 2;
const uniqueViolation = "23505";

export function createRecorder(engine: Engine): Recorder {
  const batcher = createBatcher((group: Whole[]) => writeGroup(engine, group), {
    groupMax,
    writersMax,
    charsOf: ({ entry, ending }) => entry.submission.inputJson.length + (ending.outputJson?.length ?? 0),
  });
  return {
    record: (whole) =>
      batcher.add(whole).catch((fault: unknown) => {
        if (codeOf(fault) === uniqueViolation) return false;
        // Nothing begins ahead of a database that may be away.
        engine.view.wroteAtMs = Number.NEGATIVE_INFINITY;
        throw fault;
      }),
    idle: () => batcher.idle(),
  };
}

async function writeGroup(engine: Engine, group: Whole[]): Promise<boolean[]> {
  const now = databaseNowMs(engine);
  const rows = group.map((whole) => rowOf(whole, now));
  await engine.db.hot.unsafe(recordSql, [JSON.stringify(rows), engine.nodeId], { prepare: true });
  engine.view.wroteAtMs = performance.now();
  for (const { entry, task, ending, facts, events } of group) {
    countAccepted(engine.tally, entry.submission.surface);
    countEnd(engine.tally, task.runner, ending.outcome, facts.wallMs);
    tellSubscribers(engine, task.jobId, events.length + 1, events, ending);
  }
  return group.map(() => true);
}

function rowOf({ entry, task, ending, facts, events }: Whole, now: number): Record<string, unknown> {
  const { surface, client } = entry.submission;
  const started = { ...statusEvent(0, "running", { attempt: 1 }), at: new Date(task.startedAtMs).toISOString() };
  return {
    id: task.jobId,
    surface,
    client,
    runner: task.runner,
    name: task.target,
    input: task.inputJson,
    trace: task.traceparent,
    priority: task.priority,
    attempts: task.maxAttempts,
    backoff: task.backoffS,
    timeout: task.timeoutMs,
    r: task.runId,
    s: ending.status,
    oc: ending.outcome,
    o: ending.outputJson,
    e: ending.error === null ? null : JSON.stringify(ending.error),
    f: factsJson(task, facts),
    n: events.length + 1,
    ev: linesJson([started, ...events]),
    ms: Math.max(0, now - task.startedAtMs),
  };
}
