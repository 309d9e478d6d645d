import type { Outcome, RunFacts } from "../runners/contract.ts";
import { createBatcher } from "./batch.ts";
import type { Claimed } from "./claimed.ts";
import type { Engine } from "./context.ts";
import { type Ending, endingOf } from "./ending.ts";
import { finishSql } from "./finish-sql.ts";
import { factsJson } from "./facts.ts";
import { endingEvents, linesJson, type TimedEvent } from "./history.ts";
import { announce } from "./notify.ts";
import { tellSubscribers } from "./publish.ts";
import { settleTask } from "./settle.ts";

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
  const batcher = createBatcher((group: Ended[]) => writeGroup(engine, group), { groupMax });
  return {
    async finish(task, outcome, facts, last = []) {
      const ending = endingOf(outcome, task);
      if (ending.kind === "again" || !task.plain) return settleTask(engine, task, ending, facts, last);
      const events = [...last, ...endingEvents(task.index, ending, true)];
      return (await batcher.add({ task, ending, facts, events })) ? "recorded" : "stale";
    },
    idle: () => batcher.idle(),
  };
}

async function writeGroup(engine: Engine, group: Ended[]): Promise<boolean[]> {
  const rows = await engine.db.hot.unsafe<{ id: string; last_seq: number }[]>(
    finishSql,
    [JSON.stringify(group.map(taskRow))],
    {
      prepare: true,
    },
  );
  const lastSeqs = new Map(rows.map((row) => [row.id, row.last_seq]));
  const at = new Date().toISOString();
  for (const { task, ending, events } of group) {
    const lastSeq = lastSeqs.get(task.jobId);
    if (lastSeq !== undefined) tellSubscribers(engine, task.jobId, lastSeq, events, at, ending);
  }
  await announce(
    engine,
    engine.db.hot,
    rows.map((row) => ({ kind: "job", jobId: row.id })),
  );
  return group.map(({ task }) => lastSeqs.has(task.jobId));
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
