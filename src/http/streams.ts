import type { Log } from "../log.ts";
import { exchangeOf } from "./exchange.ts";
import { type EventFeed, EventStream, type StreamFormat } from "./event-stream.ts";
import { createPace } from "./pace.ts";

export type StreamOptions<E> = {
  request: Request;
  feed: EventFeed<E>;
  /**
   * Made once with `createEventEncoder` for all streams of such events, so that readers share the bytes of an event.
   */
  encoder: (format: StreamFormat) => (event: E) => Uint8Array;
  format: StreamFormat;
  headers?: Record<string, string>;
};

/** The open event streams of this process. */
export type Streams = {
  /**
   * A response that hands out a feed until it ends, its reader leaves or stands still, or the service stops. It owns
   * the feed from here on, and closes it.
   */
  respond<E>(options: StreamOptions<E>): Response;
  /** Ends every stream, now and from now on, with the word to come back, and closes their feeds. */
  end(): void;
  /** This service stops. */
  readonly isEnding: boolean;
  readonly open: number;
};

const contentTypes: Record<StreamFormat, string> = {
  sse: "text/event-stream; charset=utf-8",
  ndjson: "application/x-ndjson; charset=utf-8",
};

/**
 * `heartbeatMs` must be less than the listener's idle timeout (30 s), which would end a silent stream; `retryMs` is
 * what readers are told to wait before they come back.
 */
export function createStreams(log: Log, options: { heartbeatMs?: number; retryMs?: number } = {}): Streams {
  const open = new Set<{ shutDown(): void }>();
  const pace = createPace(() => open.size);
  const times = { heartbeatMs: options.heartbeatMs ?? 15_000, retryMs: options.retryMs ?? 1_000 };
  let isEnding = false;
  return {
    respond: ({ request, feed, encoder, format, headers }) => {
      const exchange = exchangeOf(request);
      // In its place, since a reader that has left already ends its stream while that is being made.
      const entry = { shutDown: () => stream.shutDown() };
      open.add(entry);
      const ended = () => open.delete(entry);
      const failed = (error: unknown) => log.error("stream_failed", { request_id: exchange.id, error });
      const stream = new EventStream({
        ...times,
        feed,
        encode: encoder(format),
        format,
        signal: request.signal,
        cut: () => exchange.cut(),
        pace,
        ended,
        failed,
      });
      if (isEnding) stream.shutDown();
      return new Response(stream.body, { headers: { ...streamHeaders(format), ...headers } });
    },
    end: () => {
      isEnding = true;
      for (const stream of [...open]) stream.shutDown();
    },
    get isEnding() {
      return isEnding;
    },
    get open() {
      return open.size;
    },
  };
}

/** `X-Accel-Buffering` keeps nginx from collecting the stream before it passes it on. */
function streamHeaders(format: StreamFormat): Record<string, string> {
  return { "content-type": contentTypes[format], "cache-control": "no-store", "x-accel-buffering": "no" };
}
