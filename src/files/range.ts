/** What a `Range` header asks of a body of known size. `start` and `end` are offsets in bytes, both included. */
export type RangeAnswer = { kind: "whole" } | { kind: "part"; start: number; end: number } | { kind: "unsatisfiable" };

const whole: RangeAnswer = { kind: "whole" };
const unsatisfiable: RangeAnswer = { kind: "unsatisfiable" };

/**
 * Reads a `Range` header (RFC 9110, 14.1.2). One byte range is honoured. Several ranges, other units and malformed
 * headers mean the whole body, as the RFC allows. `unsatisfiable` is for 416 with `Content-Range: bytes *\/size`.
 */
export function parseRange(header: string | null | undefined, sizeBytes: number): RangeAnswer {
  const match = /^bytes[ \t]*=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(header ?? "");
  const first = match?.[1] ?? "";
  const last = match?.[2] ?? "";
  if (first === "" && last === "") return whole;
  if (first === "") return suffix(Number(last), sizeBytes);
  const start = Number(first);
  const end = last === "" ? Number.POSITIVE_INFINITY : Number(last);
  if (end < start) return whole;
  if (start >= sizeBytes) return unsatisfiable;
  return { kind: "part", start, end: Math.min(end, sizeBytes - 1) };
}

function suffix(length: number, sizeBytes: number): RangeAnswer {
  if (length === 0) return unsatisfiable;
  // The last bytes of nothing are nothing; no Content-Range can say that.
  if (sizeBytes === 0) return whole;
  return { kind: "part", start: Math.max(0, sizeBytes - length), end: sizeBytes - 1 };
}
