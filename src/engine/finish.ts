import type { Outcome, RunFacts } from "../runners/contract.ts";
import { createBatcher } from "./batch.ts";
import type { Claimed } from "./claimed.ts";
import type { Engine } from "./context.ts";
import { type Ending, endingOf } from "./ending.ts";
import { createSteps } from "./go-on.ts";
import { finishSql } from "./finish-sql.ts";
import { factsJson } from "./facts.ts";
import { forgive } from "./forgive.ts";
import { endingEvents, linesJson, type TimedEvent } from "./history.ts";
import { announceAfter } from "./notify.ts";
import { tellSubscribers } from "./publish.ts";
import { createRecorder, type Recorder, type Whole } from "./record.ts";
import { settleTask } from "./settle.ts";
import { countEnd } from "./tally.ts";

export type Finisher = {
  /**
   * Records how a run ended. `stale` when the run no longer owns its task: somebody else decided, and nothing was
   * written. `again` when the task waits for another turn. `last` are the run's latest events, written before its end.
   */
  finish(
    task: Claimed,
    outcome: Outcome,
    facts: RunFacts,
    last?: TimedEvent[],
  ): Promise<"recorded" | "again" | "stale">;
  idle(): Promise<void>;
};

type Ended = { task: Claimed; ending: Ending & { kind: "final" }; facts: RunFacts; events: TimedEvent[] };

const groupMax = 500;

export function createFinisher(engine: Engine): Finisher {
  const batcher = createBatcher((group: Ended[]) => writeGroup(engine, group), {
    groupMax,
    charsOf: ({ ending }) => ending.outputJson?.length ?? 0,
  });
  const recorder = createRecorder(engine);
  const steps = createSteps(engine);
  async function record(task: Claimed, ending: Ending, facts: RunFacts, last: TimedEvent[]) {
    if (await steps.goOn(task, ending, facts, last)) return "recorded";
    if (ending.kind === "again" || !task.plain) {
      await task.unwritten?.write();
      return settleTask(engine, task, ending, facts, last);
    }
    const ended = { task, ending, facts, events: eventsOf(task, ending, last) };
    const entry = task.unwritten?.take() ?? null;
    if (entry === null) await task.unwritten?.write();
    else if (await recordWhole(recorder, { entry, ...ended })) return "recorded";
    // What is there already is ended by the word of the fence, like any other.
    return (await batcher.add(ended)) ? "recorded" : "stale";
  }
  return {
    async finish(task, outcome, facts, last = []) {
      const recorded = await record(task, endingOf(outcome, task), facts, last);
      if (recorded === "stale") await forgive(engine, task);
      return recorded;
    },
    async idle() {
      await steps.idle();
      await Promise.all([batcher.idle(), recorder.idle()]);
    },
  };
}

function eventsOf(task: Claimed, ending: Ending, last: TimedEvent[]): TimedEvent[] {
  return [...last, ...endingEvents(task.index, ending, true)];
}

/** False when the job is there already. */
async function recordWhole(recorder: Recorder, whole: Whole): Promise<boolean> {
  const isNew = await recorder.record(whole);
  whole.task.unwritten?.recorded();
  return isNew;
}

async function writeGroup(engine: Engine, group: Ended[]): Promise<boolean[]> {
  const rows = await engine.db.hot.unsafe<{ run_id: string; last_seq: number }[]>(
    finishSql,
    [JSON.stringify(group.map(taskRow))],
    { prepare: true },
  );
  engine.view.wroteAtMs = performance.now();
  const lastSeqs = new Map(rows.map((row) => [row.run_id, row.last_seq]));
  const recorded = group.map(({ task, ending, events, facts }) => {
    const lastSeq = lastSeqs.get(task.runId);
    // A second end of the same run in this group is as late as one in the next.
    lastSeqs.delete(task.runId);
    if (lastSeq === undefined) {
      engine.hub.poke(task.jobId);
      return false;
    }
    countEnd(engine.tally, task.runner, ending.outcome, facts.wallMs);
    tellSubscribers(engine, task.jobId, lastSeq, events, ending);
    return true;
  });
  const told = group.filter((_, index) => recorded[index]);
  await announceAfter(
    engine,
    told.map(({ task }) => ({ kind: "job", jobId: task.jobId })),
  );
  return recorded;
}

function taskRow({ task, ending, facts, events }: Ended): Record<string, unknown> {
  return {
    j: task.jobId,
    t: task.index,
    r: task.runId,
    s: ending.status,
    oc: ending.outcome,
    o: ending.outputJson,
    e: ending.error === null ? null : JSON.stringify(ending.error),
    f: factsJson(task, facts),
    n: events.length,
    ev: linesJson(events),
  };
}
