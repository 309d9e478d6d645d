/** The trace that a caller's request belongs to, as a submission carries it; empty when it belongs to none. */
export type TraceContext = { traceparent?: string };

const shape = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const sampled = 1;

/**
 * Reads the header `traceparent` of W3C Trace Context (https://www.w3.org/TR/trace-context/, section 3.2). One that is
 * broken is as good as none: it must not keep a job from being taken. What later versions may add is left away, since
 * only the parts of version 00 are known to mean what they say.
 */
export function traceOf(headers: Headers): TraceContext {
  const header = headers.get("traceparent");
  if (header === null) return {};
  const traceparent = readTraceparent(header);
  return traceparent === null ? {} : { traceparent };
}

/** In the form of version 00, or null for what is no traceparent. */
export function readTraceparent(header: string): string | null {
  const [, version = "", traceId = "", parentId = "", flags = "", rest] = shape.exec(header) ?? [];
  if (version === "" || version === "ff" || /^0+$/.test(traceId) || /^0+$/.test(parentId)) return null;
  if (version === "00") return rest === undefined ? header : null;
  return `00-${traceId}-${parentId}-0${Number.parseInt(flags, 16) & sampled}`;
}
