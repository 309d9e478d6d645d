import { isPassingFault } from "../db/client.ts";
import type { Claimed } from "./claimed.ts";
import type { Engine } from "./context.ts";

/** However alive its nodes were: a task may be what made them so slow that others took over. */
const lostRunsForgivenMax = 10;

/**
 * A run that was recorded as lost, and whose process lives and reports it after all, was not lost by the fault of its task: the
 * database could not be reached, or the process stood still. It no more counts towards the runs that a task may lose.
 */
export async function forgive(engine: Engine, { jobId, index, turn, runId }: Claimed): Promise<void> {
  await engine.db.hot
    .unsafe(forgiveSql, [jobId, index, turn, runId, lostRunsForgivenMax], { prepare: true })
    .catch((fault: unknown) => {
      // The database is away once more: tried again it might count twice.
      if (!isPassingFault(fault)) throw fault;
    });
}

const forgiveSql = `
UPDATE tasks SET lost_runs = lost_runs - 1
WHERE job_id = $1 AND index = $2 AND lost_runs > 0 AND finished_at IS NULL
  AND EXISTS (SELECT 1 FROM runs WHERE job_id = $1 AND task_index = $2 AND turn = $3 AND run_id = $4::uuid AND outcome = 'lost')
  AND (SELECT count(*) FROM runs WHERE job_id = $1 AND task_index = $2 AND outcome = 'lost') < $5`;
