import { EngineError } from "../errors.ts";
import { createBatcher } from "./batch.ts";
import type { Engine } from "./context.ts";
import { nearFiles } from "./near-files.ts";
import { needOf } from "./needs.ts";
import { createRunAhead } from "./run-ahead.ts";
import { type Asked, submitAtomically, submitDeduplicated, writeGroup } from "./submit-group.ts";
import { refusalOf } from "./submit-refusal.ts";
import type { Receipt, Submission } from "./submission.ts";

export type Submitter = {
  /**
   * Resolves once the job is committed. Equal ids, idempotency keys and dedup keys return the job that has them.
   * Throws `conflict` or `idempotency_mismatch` when they were used for something else, `queue_full`, `draining`.
   */
  submit(submission: Submission): Promise<Receipt>;
  /** All of them in one transaction, or none. */
  submitTogether(submissions: Submission[]): Promise<Receipt[]>;
  idle(): Promise<void>;
};

const groupMax = 500;
const writersMax = 2;
/** Those that wait for each other's dedup key hold a connection each, and others need some too. */
const dedupsAtOnce = 4;
const fullRetryS = 5;

export function createSubmitter(engine: Engine): Submitter {
  const batcher = createBatcher((group: Asked[]) => writeGroup(engine, group), {
    groupMax,
    writersMax,
    charsOf: ({ submission }) => submission.inputJson.length + (submission.payload?.manifestJson.length ?? 0),
  });
  const runAhead = createRunAhead(engine, async (begun) => {
    const outcome = await batcher.add({ submission: begun.submission, begun });
    if (outcome instanceof Error) throw outcome;
  });
  const deduplicated = createBatcher(
    (group: Submission[]) =>
      Promise.all(group.map((submission) => submitDeduplicated(engine, submission).catch(refusalOf))),
    { groupMax: dedupsAtOnce, charsOf: ({ inputJson }) => inputJson.length },
  );
  return {
    async submit(given) {
      refuseWhenFull(engine, 1);
      const submission = nearFiles(engine, given);
      const ahead = runAhead.submit(submission);
      if (ahead !== null) return ahead;
      const write = () =>
        submission.dedup === undefined ? batcher.add({ submission, begun: null }) : deduplicated.add(submission);
      const outcome = await (needsQueue(submission) ? ensureNeeds(engine, [submission]).then(write) : write()).catch(
        refusalOf,
      );
      if (outcome instanceof Error) throw outcome;
      return outcome;
    },
    async submitTogether(given) {
      refuseWhenFull(engine, given.length);
      const submissions = given.map((submission) => nearFiles(engine, submission));
      if (submissions.some(({ dedup }) => dedup !== undefined))
        throw new EngineError("unsupported", "Jobs with a dedup key cannot be part of an atomic batch");
      const outcome = await ensureNeeds(engine, submissions)
        .then(() => submitAtomically(engine, submissions))
        .catch(refusalOf);
      if (outcome instanceof Error) throw outcome;
      return outcome;
    },
    async idle() {
      await Promise.all([batcher.idle(), deduplicated.idle()]);
    },
  };
}

function needsQueue({ tasks }: Submission): boolean {
  return tasks.some(({ requires }) => requires !== undefined);
}

/** What tasks ask of their node has a queue before they are written. */
async function ensureNeeds(engine: Engine, submissions: readonly Submission[]): Promise<void> {
  const needs = submissions.flatMap(({ tasks }) =>
    tasks.flatMap(({ runner, requires }) => needOf(runner, requires) ?? []),
  );
  if (needs.length > 0) await engine.needs.ensure(needs);
}

function refuseWhenFull(engine: Engine, adding: number): void {
  if (engine.view.draining) {
    engine.tally.refused.draining += adding;
    throw new EngineError("draining", "This node is shutting down", { retryAfterSeconds: fullRetryS });
  }
  if (engine.view.waiting + adding > engine.queueMax) {
    engine.tally.refused.queue_full += adding;
    throw new EngineError(
      "queue_full",
      `${engine.view.waiting} tasks are waiting, which is the most this service takes`,
      { retryAfterSeconds: fullRetryS },
    );
  }
}
