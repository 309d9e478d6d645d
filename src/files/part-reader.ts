import { EngineError } from "../errors.ts";
import { type PartHeaders, readPartHeaders } from "./part-headers.ts";
import { createPartSinks, type PartLimits, type Received, type Sink } from "./part-sinks.ts";
import type { Staging } from "./staging.ts";

/** A part as the parser hands it out: `header` comes before its first `data`; when its headers never end there is none. */
export type Part = {
  on(event: "header", listener: (headers: object) => void): unknown;
  on(event: "data", listener: (chunk: Buffer) => void): unknown;
  on(event: "end" | "error", listener: () => void): unknown;
};

/**
 * Collects what the parser says about its parts, and writes it when asked. The parser is never made to wait: its own waiting
 * ends for ever when a part ends in the chunk that made it wait (fastify/busboy 3.2.6). The caller waits instead, with `drain`
 * before every chunk, so that one chunk at a time is in memory.
 */
export type PartReader = {
  take(part: Part): void;
  /** Writes everything collected so far. Throws a refusal or a fault; then only `abandon` may follow. */
  drain(): Promise<void>;
  /** What came. */
  finish(): Received;
  /** Closes what is open. */
  abandon(): void;
};

type Collected = {
  headers: PartHeaders | undefined;
  chunks: Buffer[];
  isEnded: boolean;
  isCut: boolean;
  sink: Sink | undefined;
};

export function createPartReader(staging: Staging, limits: PartLimits): PartReader {
  const sinks = createPartSinks(staging, limits);
  const waiting: Collected[] = [];
  return {
    take(part) {
      // A new part means that the one before has ended, which its stream says a tick late.
      for (const earlier of waiting) earlier.isEnded = true;
      waiting.push(collect(part));
    },
    async drain() {
      for (let part = waiting[0]; part !== undefined; part = waiting[0]) {
        for (const chunk of part.chunks.splice(0)) {
          part.sink ??= await sinks.open(readPartHeaders(part.headers));
          await part.sink.write(chunk);
        }
        if (part.isCut) throw new EngineError("invalid", "The multipart body ends inside a part");
        if (!part.isEnded) return;
        part.sink ??= await sinks.open(readPartHeaders(part.headers));
        await part.sink.finish();
        waiting.shift();
      }
    },
    finish: () => sinks.received(),
    abandon() {
      waiting[0]?.sink?.abandon();
    },
  };
}

function collect(part: Part): Collected {
  const collected: Collected = { headers: undefined, chunks: [], isEnded: false, isCut: false, sink: undefined };
  part.on("header", (headers) => {
    collected.headers = headers as PartHeaders;
  });
  part.on("data", (chunk) => {
    collected.chunks.push(chunk);
  });
  part.on("end", () => {
    collected.isEnded = true;
  });
  part.on("error", () => {
    collected.isCut = true;
  });
  return collected;
}
