import type { Sql } from "../../db/client.ts";
import type { OptexityDeps } from "./deps.ts";
import { texts } from "./wire.ts";

type Running = Pick<OptexityDeps, "runningSinceMs" | "unhealthyAfterS">;

/** Why the service is not well: a task runs for too long. Null when it is well. */
export function complaintOf({ runningSinceMs, unhealthyAfterS }: Running): string | null {
  const since = runningSinceMs();
  return since !== null && Date.now() - since > unhealthyAfterS * 1000 ? texts.unhealthy(unhealthyAfterS) : null;
}

/** `GET /health` of a child process. */
export async function health(deps: OptexityDeps): Promise<Response> {
  const complaint = complaintOf(deps);
  const body = {
    status: complaint === null ? "healthy" : "unhealthy",
    ...(complaint === null ? {} : { message: complaint }),
    task_running: deps.runningSinceMs() !== null,
    queued_tasks: await queuedTasks(deps.engine.db.sql),
  };
  return Response.json(body, { status: complaint === null ? 200 : 503, headers: { "cache-control": "no-store" } });
}

async function queuedTasks(sql: Sql): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM tasks WHERE runner = 'automation' AND status = 'queued' AND queued_at IS NOT NULL`;
  return row?.count ?? 0;
}
