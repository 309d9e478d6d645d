import { JobFeed } from "../../engine/feed.ts";
import type { Submission } from "../../engine/submission.ts";
import { waitFor } from "../../engine/wait.ts";
import { jobEventEncoder } from "../../http/job-event-encoder.ts";
import type { TraceContext } from "../../http/trace-context.ts";
import { checkParams } from "../../runners/function/params.ts";
import type { AnderaDeps, KnownFunction } from "./deps.ts";
import { failure, type TaskRequest, texts } from "./wire.ts";

/** Who asks, and the trace that the request belongs to. */
type Caller = TraceContext & { client: string };

/** Far beyond any queue: the caller's connection, not this number, is what usually ends a wait. */
const waitMaxMs = 86_400_000;
const jsonHeaders = { "content-type": "application/json" };

/** Runs a checked task in the mode it asks for. Throws `EngineError` when it is not accepted. */
export async function runTask(
  deps: AnderaDeps,
  task: TaskRequest,
  caller: Caller,
  request: Request,
): Promise<Response> {
  const known = deps.functions.get(task.function);
  if (known === undefined) throw new Error(`function ${task.function} vanished between two lookups`);
  const params = checkParams(known.params, task.input);
  if (!params.ok) return json(500, failure(params.message).body);
  switch (task.mode) {
    case "sync":
      return runSync(deps, { ...submissionOf(deps, known, task, caller), isToldAtEnd: true }, request.signal);
    case "stream":
      return runStream(deps, submissionOf(deps, known, task, caller), request);
    case "webhook":
      return acceptWebhook(deps, submissionOf(deps, known, task, caller));
    default:
      return task.mode satisfies never;
  }
}

function submissionOf(
  deps: AnderaDeps,
  known: KnownFunction,
  task: TaskRequest,
  caller: Caller,
): Submission & { id: string } {
  const sealed = task.webhook === null ? undefined : deps.sealWebhook(task.webhook);
  return {
    id: Bun.randomUUIDv7(),
    surface: "andera",
    ...caller,
    priority: task.priority,
    inputJson: JSON.stringify(task.input ?? {}),
    tasks: [
      {
        runner: "function",
        target: known.name,
        timeoutMs: known.config.timeout ?? deps.defaultTimeoutMs,
        maxAttempts: (known.config.maxRetries ?? 0) + 1,
        backoffS: 1,
        ...(task.mode === "stream" ? { options: { stream: true } } : {}),
      },
    ],
    ...(task.webhook === null
      ? {}
      : {
          webhook: {
            url: task.webhook.url,
            events: ["completed"],
            kind: "andera",
            ...(sealed === undefined ? {} : { sealed }),
          },
        }),
  };
}

/** A caller that leaves does not cancel its job. */
async function runSync(
  deps: AnderaDeps,
  submission: Submission & { id: string },
  signal: AbortSignal,
): Promise<Response> {
  const wait = waitFor(deps.engine, submission.id);
  try {
    await deps.submitter.submit(submission);
    const ended = await wait.ended(waitMaxMs, signal);
    if (ended === null) return json(504, failure("The task goes on, but nobody waits for it any more").body);
    if (ended.status === "succeeded")
      return new Response(`{"success":true,"result":${ended.output ?? "null"}}`, { headers: jsonHeaders });
    return json(500, failure(messageOf(ended.error)).body);
  } finally {
    wait.close();
  }
}

/** The raw text as the function produces it, or the job's events. An error ends the stream and fails the job. */
async function runStream(
  deps: AnderaDeps,
  submission: Submission & { id: string },
  request: Request,
): Promise<Response> {
  const feed = new JobFeed(deps.engine, submission.id, 0);
  try {
    await deps.submitter.submit(submission);
  } catch (fault) {
    feed.close();
    throw fault;
  }
  const headers = { "x-job-id": submission.id };
  if (request.headers.get("accept")?.includes("text/event-stream") === true)
    return deps.streams.respond({ request, feed, encoder: jobEventEncoder, format: "sse", headers });
  request.signal.addEventListener("abort", () => feed.close(), { once: true });
  return new Response(textOf(feed), {
    headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store", ...headers },
  });
}

function textOf(feed: JobFeed): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      for (;;) {
        const events = await feed.next();
        if (events === null) {
          feed.close();
          controller.close();
          return;
        }
        const text = events.map(streamedText).join("");
        if (text === "") continue;
        controller.enqueue(encoder.encode(text));
        return;
      }
    },
    cancel: () => feed.close(),
  });
}

async function acceptWebhook(deps: AnderaDeps, submission: Submission & { id: string }): Promise<Response> {
  const { id } = await deps.submitter.submit(submission);
  return json(200, { success: true, message: texts.accepted, job: id });
}

function streamedText(event: { kind: string; data: string }): string {
  if (event.kind !== "output") return "";
  const { stream, text }: { stream: string; text: string } = JSON.parse(event.data);
  return stream === "stream" ? text : "";
}

function messageOf(errorJson: string | null): string {
  if (errorJson === null) return "Cancelled";
  const { message }: { message: string } = JSON.parse(errorJson);
  return message;
}

function json(status: number, body: unknown): Response {
  return new Response(JSON.stringify(body), { status, headers: jsonHeaders });
}
