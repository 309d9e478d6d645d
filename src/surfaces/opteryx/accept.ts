import { readStatus } from "../../engine/read.ts";
import { release } from "../../engine/requeue.ts";
import { EngineError } from "../../errors.ts";
import type { TraceContext } from "../../http/trace-context.ts";
import type { OpteryxDeps } from "./deps.ts";

/** Whose token it was, and the trace that the request belongs to. */
type Caller = { sub: string; trace: TraceContext };

const priorityUsual = 1;

/**
 * Sees to it that the job of this id runs, once, however often it is asked: one on hold is released, one that is there is left alone, and
 * an unknown id starts the submit function. Resolves when that is committed. Throws `not_found` when there is nothing to run.
 */
export async function acceptExecution(deps: OpteryxDeps, executionId: string, caller: Caller): Promise<void> {
  const known = await readStatus(deps.engine.db.sql, executionId);
  if (known !== null) return await releaseIfHeld(deps, executionId);
  if (deps.submitFunction === "") throw new EngineError("not_found", "Unknown execution_id");
  await start(deps, executionId, caller);
}

/** Of many that come at once one finds it held; to the others it is a job that has been released. */
async function releaseIfHeld({ engine }: OpteryxDeps, executionId: string): Promise<void> {
  try {
    await release(engine, executionId);
  } catch (fault) {
    if (!(fault instanceof EngineError && fault.code === "not_held")) throw fault;
  }
}

/** The id is the job's, so that the database lets it in once. */
async function start(deps: OpteryxDeps, executionId: string, { sub, trace }: Caller): Promise<void> {
  const known = deps.functions.get(deps.submitFunction);
  if (known === undefined) throw new Error(`SUBMIT_FUNCTION ${deps.submitFunction} is not among the functions`);
  const { timeout = deps.defaultTimeoutMs, maxRetries = 0 } = known.config;
  const { existing } = await deps.submitter.submit({
    id: executionId,
    surface: "opteryx",
    client: `jwt:${sub}`,
    priority: priorityUsual,
    inputJson: JSON.stringify({ execution_id: executionId, jwt_sub: sub }),
    tasks: [
      { runner: "function", target: deps.submitFunction, timeoutMs: timeout, maxAttempts: maxRetries + 1, backoffS: 1 },
    ],
    ...trace,
  });
  // It may have been submitted on hold between the look and now.
  if (existing) await releaseIfHeld(deps, executionId);
}
