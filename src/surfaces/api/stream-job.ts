import { JobFeed } from "../../engine/feed.ts";
import type { JobEvent } from "../../engine/hub.ts";
import { createEventEncoder } from "../../http/event-encoder.ts";
import type { StreamFormat } from "../../http/event-stream.ts";
import type { ApiDeps } from "./deps.ts";

type Asked = { id: string; after: number; format: StreamFormat; headers?: Record<string, string> };

const encoder = createEventEncoder((event: JobEvent) => ({
  id: event.seq,
  event: event.kind,
  data: eventLine(event),
}));

/** A job's history from event `after` on, then what happens, until it has ended. */
export function streamJob(
  { engine, streams }: Pick<ApiDeps, "engine" | "streams">,
  request: Request,
  { id, after, format, headers }: Asked,
): Response {
  return streams.respond({
    request,
    feed: new JobFeed(engine, id, after),
    encoder,
    format,
    ...(headers === undefined ? {} : { headers }),
  });
}

/** `{"seq","at","task","kind",…}`: the event's own members follow; they are JSON text already. */
function eventLine({ seq, at, task, kind, data }: JobEvent): string {
  const head = `{"seq":${seq},"at":"${at}","task":${task},"kind":"${kind}"`;
  const rest = data.slice(data.indexOf("{") + 1);
  return rest.trim() === "}" ? `${head}}` : `${head},${rest}`;
}
