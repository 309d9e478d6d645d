import { readStatus } from "../../engine/read.ts";
import { isFinal } from "../../engine/status.ts";
import type { ApiDeps } from "./deps.ts";
import { streamFormat } from "./origin.ts";
import { readQuery } from "./query.ts";
import { noJob, requireJobId } from "./read-job.ts";
import { streamJob } from "./stream-job.ts";

const seqMax = 2_147_483_647;

/** The stream of a job from an event on; 204 when that was its last, which tells an `EventSource` not to come back. */
export async function jobEvents(
  deps: Pick<ApiDeps, "engine" | "streams">,
  request: Request,
  givenId: string,
): Promise<Response> {
  const id = requireJobId(givenId);
  const after = startOf(request);
  const state = await readStatus(deps.engine.db.sql, id);
  if (state === null) throw noJob(id);
  if (isFinal(state.status) && after >= state.lastSeq)
    return new Response(null, { status: 204, headers: { "cache-control": "no-store" } });
  return streamJob(deps, request, { id, after, format: streamFormat(request) ?? "sse" });
}

/**
 * `Last-Event-ID` wins: a browser that reconnects sends it along with the `?after=` it began with. What is no number of ours comes from
 * another stream, and means the beginning.
 */
function startOf(request: Request): number {
  const query = readQuery(request, ["after", "token"]);
  const after = query.integer("after", { min: 0, max: seqMax }) ?? 0;
  query.text("token", 4_096);
  query.done();
  const last = request.headers.get("last-event-id") ?? "";
  return /^\d{1,10}$/.test(last) && Number(last) <= seqMax ? Number(last) : after;
}
