import type { RunFacts } from "../runners/contract.ts";
import { type Batcher, createBatcher } from "./batch.ts";
import type { Ahead, Claimed, Link } from "./claimed.ts";
import type { Engine } from "./context.ts";
import type { Ending } from "./ending.ts";
import { factsJson } from "./facts.ts";
import { goOnSql } from "./go-on-sql.ts";
import { endingEvents, linesJson, statusEvent, type TimedEvent } from "./history.ts";
import { linkClaimed, startsHere } from "./next-turn.ts";
import { announceAfter } from "./notify.ts";
import { tellSubscribers } from "./publish.ts";
import { countEnd } from "./tally.ts";

/** The end of a link together with the start of the one after it, on this node. */
type Step = {
  task: Claimed;
  outputJson: string | null;
  facts: RunFacts;
  events: TimedEvent[];
  start: Claimed;
  ahead: Ahead;
};
type Went = { lastSeq: number; following: Link | null };

/** Chains that go on from one link to the next, many in one statement. */
export type Steps = {
  /** False when that is not how this run ends: nothing was written then, and it is to be settled by itself. */
  goOn(task: Claimed, ending: Ending, facts: RunFacts, last: TimedEvent[]): Promise<boolean>;
  idle(): Promise<void>;
};

const groupMax = 200;

export function createSteps(engine: Engine): Steps {
  const batcher = createBatcher((group: Step[]) => writeGroup(engine, group), {
    groupMax,
    charsOf: ({ outputJson }) => outputJson?.length ?? 0,
  });
  return {
    goOn: async (task, ending, facts, last) => {
      const { ahead } = task;
      if (ahead === undefined || ending.kind === "again" || ending.status !== "succeeded") return false;
      return (
        startsHere(engine, task, ahead.link) && (await step(engine, batcher, { task, ahead, facts }, ending, last))
      );
    },
    idle: () => batcher.idle(),
  };
}

async function step(
  engine: Engine,
  batcher: Batcher<Step, Went | null>,
  { task, ahead, facts }: Pick<Step, "task" | "ahead" | "facts">,
  ending: Ending & { kind: "final" },
  last: TimedEvent[],
): Promise<boolean> {
  const { outputJson } = ending;
  const start = linkClaimed(task, ahead.link, { previousJson: outputJson, ahead: null, isQuiet: ahead.isQuiet });
  const running = statusEvent(start.index, "running", { attempt: 1 });
  const events = [...last, ...endingEvents(task.index, ending, false), running];
  let went: Went | null = null;
  try {
    went = await batcher.add({ task, outputJson, facts, events, start, ahead });
  } finally {
    if (went === null) engine.lane?.release(start.runner);
  }
  if (went === null) return false;
  countEnd(engine.tally, task.runner, "succeeded", facts.wallMs);
  const { following, lastSeq } = went;
  engine.lane?.run(following === null ? start : { ...start, ahead: { link: following, isQuiet: ahead.isQuiet } });
  tellSubscribers(engine, task.jobId, lastSeq, events, null);
  return true;
}

async function writeGroup(engine: Engine, group: Step[]): Promise<(Went | null)[]> {
  const rows = await engine.db.hot.unsafe<{ run_id: string; last_seq: number; following: string | null }[]>(
    goOnSql,
    [JSON.stringify(group.map(stepRow)), engine.nodeId],
    { prepare: true },
  );
  const went = new Map(rows.map((row) => [row.run_id, row]));
  const results = group.map(({ task }): Went | null => {
    const row = went.get(task.runId);
    // A second end of the same run in this group is as late as one in the next.
    went.delete(task.runId);
    if (row === undefined) return null;
    return { lastSeq: row.last_seq, following: row.following === null ? null : (JSON.parse(row.following) as Link) };
  });
  const told = group.filter((_, at) => results[at] !== null);
  await announceAfter(
    engine,
    told.map(({ task }) => ({ kind: "job", jobId: task.jobId })),
  );
  return results;
}

function stepRow({ task, outputJson, facts, events, start }: Step): Record<string, unknown> {
  return {
    j: task.jobId,
    t: task.index,
    r: task.runId,
    o: outputJson,
    f: factsJson(task, facts),
    n: events.length,
    ev: linesJson(events),
    q: task.queuedAtMs,
    u: start.index,
    v: start.runId,
  };
}
