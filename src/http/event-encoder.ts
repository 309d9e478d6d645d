import type { StreamFormat } from "./event-stream.ts";

/** One event as it goes over the wire. `data` is one line of JSON text. */
export type WireEvent = { id: number | string; event: string; data: string };

const encoder = new TextEncoder();

/**
 * Encodes each event once per format however many readers it has: the bytes are kept with the event object, and go
 * when it goes. `wireOf` says how an event of the engine is told.
 */
export function createEventEncoder<E extends object>(
  wireOf: (event: E) => WireEvent,
): (format: StreamFormat) => (event: E) => Uint8Array {
  const kept: Record<StreamFormat, WeakMap<E, Uint8Array>> = { sse: new WeakMap(), ndjson: new WeakMap() };
  return (format) => (event) => {
    const known = kept[format].get(event);
    if (known !== undefined) return known;
    const bytes = encoder.encode(format === "sse" ? sseText(wireOf(event)) : ndjsonText(wireOf(event)));
    kept[format].set(event, bytes);
    return bytes;
  };
}

/**
 * `id:`, `event:` and a `data:` line for each line of the data (WHATWG, server-sent events). A line break in id or
 * event is left out.
 */
export function sseText({ id, event, data }: WireEvent): string {
  const lines = data.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`);
  return `id: ${oneLine(String(id))}\nevent: ${oneLine(event)}\n${lines.join("")}\n`;
}

function ndjsonText({ data }: WireEvent): string {
  return `${oneLine(data)}\n`;
}

function oneLine(text: string): string {
  return text.replace(/[\r\n\0]+/g, " ").trim();
}
