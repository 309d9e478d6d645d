import type { Runs } from "../db/client.ts";
import { EngineError } from "../errors.ts";
import type { Engine } from "./context.ts";
import { isFinal, type Status } from "./status.ts";

/**
 * Removes a final job with everything that hangs on it. Its files go first, by `removeFiles`, so that a failure leaves a job that can
 * be deleted again and no files that nobody knows of. Throws `not_found`, `not_final`.
 */
export async function deleteJob(
  engine: Engine,
  jobId: string,
  removeFiles: (payloadId: number) => Promise<void>,
): Promise<void> {
  const payloadId = await engine.db.sql.begin(async (tx) => {
    const job = await lockFinal(tx, jobId);
    // From now on nobody may be told that the files are there.
    if (job.payload_id !== null)
      await tx`UPDATE payloads SET cleaned_at = coalesce(cleaned_at, now()), manifest = NULL WHERE id = ${job.payload_id}`;
    return job.payload_id;
  });
  if (payloadId !== null) await removeFiles(payloadId);
  await engine.db.sql.begin(async (tx) => {
    await lockFinal(tx, jobId);
    for (const table of ["tasks", "runs", "events", "deliveries", "payloads"])
      await tx.unsafe(`DELETE FROM ${table} WHERE job_id = $1`, [jobId]);
    await tx`DELETE FROM jobs WHERE id = ${jobId}`;
  });
}

/** Tasks before the job, the order in which everything else locks them. */
async function lockFinal(tx: Runs, jobId: string): Promise<{ payload_id: number | null }> {
  await tx.unsafe("SELECT 1 FROM tasks WHERE job_id = $1 ORDER BY index FOR UPDATE", [jobId]);
  const [job] = await tx.unsafe<{ status: Status; payload_id: number | null }[]>(
    "SELECT status, payload_id FROM jobs WHERE id = $1 FOR UPDATE",
    [jobId],
  );
  if (job === undefined) throw new EngineError("not_found", `There is no job ${jobId}`);
  if (!isFinal(job.status))
    throw new EngineError("not_final", `Job ${jobId} is ${job.status}: cancel it, or wait for its end`);
  return job;
}
