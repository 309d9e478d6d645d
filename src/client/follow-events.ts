import type { JobEvent } from "./job-event.ts";
import { createLine } from "./line.ts";
import { brokenOff, createPatience, type Patience, type ReconnectOptions } from "./patience.ts";
import type { Send } from "./send.ts";
import { readSse } from "./sse.ts";

export type EventOptions = ReconnectOptions & {
  /** Number of the last event that is known already; 0 unless said. */
  after?: number;
};

type Reading = {
  patience: Patience;
  signal: AbortSignal | undefined;
  /** Number of the last event that was handed out, and whether it said that the job has ended. */
  last: number;
  hasEnded: boolean;
};

/**
 * Every event of a job after `after`, in order, without a gap and without a repeat, until the job has ended; over lost connections
 * and restarts of the service. Throws `ApiError` when the service refuses, `ConnectionError` when the patience is over, the signal's reason
 * when it fires.
 */
export async function* followEvents(send: Send, path: string, options: EventOptions = {}): AsyncGenerator<JobEvent> {
  const { after = 0, signal } = options;
  const reading: Reading = { patience: createPatience(options), signal, last: after, hasEnded: false };
  for (;;) {
    const fault = yield* readOnce(send, path, reading);
    if (fault === null) return;
    await reading.patience.wait(fault);
  }
}

/** One connection. Returns why it ended, or null when there is nothing more to come. */
async function* readOnce(send: Send, path: string, reading: Reading): AsyncGenerator<JobEvent, unknown> {
  const line = createLine(reading.signal);
  const before = reading.last;
  try {
    const response = await send(path, { headers: headersFor(reading), signal: line.signal });
    reading.patience.met();
    if (response.status === 204 || response.body === null) return null;
    let isLeaving = false;
    for await (const part of readSse(response.body)) {
      line.heard();
      reading.patience.met();
      if (part.kind === "event") yield* fresh(part.data, reading);
      else if (part.kind === "retry") reading.patience.retryMs = part.ms;
      // Heartbeats say nothing; a service that stops says so.
      else isLeaving ||= part.text !== "";
    }
    // A job that was retried has an earlier end within its history: it is over when the stream is, unless the service left just then.
    const mayGoOn = isLeaving && reading.last > before;
    return reading.hasEnded && !mayGoOn ? null : brokenOff();
  } catch (fault) {
    return fault;
  } finally {
    line.close();
  }
}

function headersFor({ last }: Reading): Record<string, string> {
  return { accept: "text/event-stream", ...(last > 0 ? { "last-event-id": String(last) } : {}) };
}

/** The event, unless it was handed out before. */
function* fresh(data: string, reading: Reading): Generator<JobEvent> {
  const event: JobEvent = JSON.parse(data);
  if (event.seq <= reading.last) return;
  reading.last = event.seq;
  reading.hasEnded = event.kind === "completed";
  yield event;
}
