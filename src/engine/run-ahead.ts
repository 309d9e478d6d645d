import type { Engine } from "./context.ts";
import { prepare, type Prepared } from "./submit-rows.ts";
import type { Receipt, Submission } from "./submission.ts";
import { Unwritten } from "./unwritten.ts";

/** A run that lasts longer is written as running, so that it can be seen, cancelled and taken over. */
const heldMs = 20;
/** How old the last word of the database may be: nothing begins ahead of a database that may be away. */
const trustMs = 5_000;

export type RunAhead = {
  /**
   * Begins the job at once, to be written with its end; null where it has to be written first. Resolves once it is
   * committed, rejects when it never will be.
   */
  submit(submission: Submission): Promise<Receipt> | null;
};

/**
 * Half the writes of a short job whose caller is told of nothing but its end. That caller has been promised nothing before:
 * when this process dies meanwhile it sees its connection break, and no trace of the job remains.
 */
export function createRunAhead(engine: Engine, insert: (entry: Prepared) => Promise<unknown>): RunAhead {
  const held: Unwritten[] = [];
  let isWatching = false;

  function watch(): void {
    const now = performance.now();
    while (held[0] !== undefined && (!held[0].isHeld || held[0].sinceMs <= now - heldMs)) {
      const unwritten = held.shift();
      if (unwritten?.isHeld === true) void unwritten.write().catch(() => unwritten.close());
    }
    isWatching = held.length > 0;
    if (isWatching) setTimeout(watch, heldMs / 2);
  }

  return {
    submit(submission) {
      if (!mayRunAhead(engine, submission)) return null;
      const entry = prepare(engine, submission);
      const { start } = entry;
      if (start === null) return null;
      const unwritten = new Unwritten(entry, insert);
      start.unwritten = unwritten;
      entry.isBegun = true;
      held.push(unwritten);
      if (!isWatching) setTimeout(watch, heldMs / 2);
      isWatching = true;
      engine.lane?.run(start);
      return unwritten.committed.then(() => receiptOf(engine, entry, start.runId));
    },
  };
}

function receiptOf(engine: Engine, { id }: Prepared, runId: string): Receipt {
  return { id, existing: false, accepted: { at: new Date().toISOString(), run: { runId, nodeId: engine.nodeId } } };
}

/** Only what one statement writes: a single task, and nothing beside it. */
function mayRunAhead(engine: Engine, submission: Submission): boolean {
  if (submission.isToldAtEnd !== true || performance.now() - engine.view.wroteAtMs > trustMs) return false;
  const { tasks, tags, held, runAt, dedup, idempotencyKey, fingerprint, concurrency, payload, webhook, details } =
    submission;
  const more = [runAt, dedup, idempotencyKey, fingerprint, concurrency, payload, webhook, details, tasks[1]];
  const [task] = tasks;
  const moreOfTask = [task?.limits, task?.options, task?.requires];
  return tags === undefined && held !== true && [...more, ...moreOfTask].every((value) => value === undefined);
}
