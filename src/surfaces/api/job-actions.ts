import { cancel } from "../../engine/cancel.ts";
import { deleteJob } from "../../engine/delete-job.ts";
import { payloadOfJob } from "../../engine/job-payload.ts";
import type { JobReader } from "../../engine/job-reader.ts";
import { readJob, readStatus } from "../../engine/read.ts";
import { release, retry } from "../../engine/requeue.ts";
import { EngineError } from "../../errors.ts";
import { readBytes } from "../../http/body.ts";
import { parseJson } from "../../http/json.ts";
import { createBodyCheck, invalid } from "./check-body.ts";
import type { ApiDeps } from "./deps.ts";
import { paramProblems } from "./param-problems.ts";
import { noJob, readWithWaiting, requireJobId } from "./read-job.ts";
import type { Job } from "./wire-job.ts";
import { type Retry, retryModel, tokenRequestModel, tokenTtlUsualS } from "./wire-submit.ts";

export type Acted = { status: 200 | 202; body: Job };

const checkRetry = createBodyCheck(retryModel, "The retry");
const checkTokenRequest = createBodyCheck(tokenRequestModel, "The request");
const smallBodyBytes = 65_536;
const depthMax = 200;

/** 200 when the job is cancelled, 202 while what runs is being stopped. Throws `conflict` when it has ended otherwise. */
export async function cancelJob(deps: ApiDeps, reader: JobReader, givenId: string): Promise<Acted> {
  const id = requireJobId(givenId);
  const done = await cancel(deps.engine, id);
  const body = await readWithWaiting(deps, reader, id);
  if (done === "final" && body.status !== "cancelled")
    throw new EngineError("conflict", `Job ${id} has ended: it is ${body.status}`);
  return { status: done === "stopping" ? 202 : 200, body };
}

/** Another turn of a job that has ended, from a task of its chain, with another input when one is given. */
export async function retryJob(deps: ApiDeps, reader: JobReader, request: Request, givenId: string): Promise<Acted> {
  const id = requireJobId(givenId);
  const asked = checkRetry(await readOptional(request, deps.settings.bodyMaxBytes));
  await assertRetryable(deps, id, asked);
  await retry(deps.engine, id, {
    ...(asked.from_task === undefined ? {} : { fromTask: asked.from_task }),
    ...(asked.input === undefined ? {} : { inputJson: JSON.stringify(asked.input) }),
  });
  return { status: 202, body: await readWithWaiting(deps, reader, id) };
}

/** Queues a job that is held. */
export async function releaseJob(deps: ApiDeps, reader: JobReader, givenId: string): Promise<Acted> {
  const id = requireJobId(givenId);
  await release(deps.engine, id);
  return { status: 202, body: await readWithWaiting(deps, reader, id) };
}

/** Removes a job that has ended, with its files and its history. */
export async function removeJob(deps: ApiDeps, givenId: string): Promise<void> {
  await deleteJob(deps.engine, requireJobId(givenId), (payloadId) => deps.files.remove(payloadId));
}

/** A token that reads this job and nothing else. */
export async function makeToken(
  deps: ApiDeps,
  request: Request,
  givenId: string,
): Promise<{ token: string; expires_at: string }> {
  const id = requireJobId(givenId);
  const { ttl = tokenTtlUsualS } = checkTokenRequest(await readOptional(request, smallBodyBytes));
  if ((await readStatus(deps.engine.db.sql, id)) === null) throw noJob(id);
  const { token, expiresAt } = await deps.tokens.sign(id, ttl);
  return { token, expires_at: expiresAt.toISOString() };
}

/** A script without its files would only fail; a function with a bad input as well. */
async function assertRetryable({ engine, targets }: ApiDeps, id: string, asked: Retry): Promise<void> {
  const payload = await payloadOfJob(engine.db.sql, id);
  if (payload === "unknown") throw noJob(id);
  if (payload !== "none" && payload.isCleaned)
    throw new EngineError("conflict", `The files of job ${id} were removed after their time: submit it anew`);
  if (asked.input === undefined) return;
  const job = await readJob(engine.db.sql, id);
  const task = job?.tasks[asked.from_task ?? 0];
  const known = task?.runner === "function" ? targets.function(task.target) : undefined;
  if (known === undefined) return;
  const { input } = asked;
  const isObject = typeof input === "object" && input !== null && !Array.isArray(input);
  const problems = isObject
    ? paramProblems(known.params, { ...input }, "/input")
    : [{ pointer: "/input", detail: "must be an object" }];
  if (problems.length > 0) throw invalid("The retry", problems);
}

/** The JSON body of a request that may also have none. */
async function readOptional(request: Request, maxBytes: number): Promise<unknown> {
  const bytes = await readBytes(request, maxBytes);
  return bytes.byteLength === 0 ? {} : parseJson(bytes, depthMax);
}
