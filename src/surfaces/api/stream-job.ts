import { JobFeed } from "../../engine/feed.ts";
import type { StreamFormat } from "../../http/event-stream.ts";
import { jobEventEncoder } from "../../http/job-event-encoder.ts";
import type { ApiDeps } from "./deps.ts";

type Asked = { id: string; after: number; format: StreamFormat; headers?: Record<string, string> };

/** A job's history from event `after` on, then what happens, until it has ended. */
export function streamJob(
  { engine, streams }: Pick<ApiDeps, "engine" | "streams">,
  request: Request,
  { id, after, format, headers }: Asked,
): Response {
  return streams.respond({
    request,
    feed: new JobFeed(engine, id, after),
    encoder: jobEventEncoder,
    format,
    ...(headers === undefined ? {} : { headers }),
  });
}
