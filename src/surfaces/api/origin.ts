import type { StagedFile } from "../../files/staging.ts";
import { EngineError } from "../../errors.ts";
import { traceOf } from "../../http/trace-context.ts";
import type { Origin } from "./draft.ts";

const keyShape = /^[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?$/;

/** What a request says beside its body. Throws `EngineError("invalid")` for an `Idempotency-Key` that is none. */
export function originOf(
  request: Request,
  who: { client: string; address: string; files: readonly StagedFile[]; nowMs: number },
): Origin {
  return {
    ...who,
    idempotencyKey: readIdempotencyKey(request.headers.get("idempotency-key")),
    trace: traceOf(request.headers),
    isStreamed: streamFormat(request) !== null,
  };
}

/** The stream that a request's `Accept` asks for, or null when it asks for none. */
export function streamFormat(request: Request): "sse" | "ndjson" | null {
  const accept = request.headers.get("accept") ?? "";
  if (accept.includes("text/event-stream")) return "sse";
  return accept.includes("application/x-ndjson") ? "ndjson" : null;
}

/** A string of structured fields (RFC 8941), so in quotes; many clients leave the quotes out. */
function readIdempotencyKey(header: string | null): string | null {
  if (header === null) return null;
  const quoted = /^"((?:[^"\\]|\\["\\])*)"$/.exec(header)?.[1];
  const key = quoted === undefined ? header : quoted.replace(/\\(["\\])/g, "$1");
  if (keyShape.test(key)) return key;
  throw new EngineError("invalid", "Idempotency-Key must be 1 to 255 printable ASCII characters", {
    problems: [{ pointer: "/header/Idempotency-Key", detail: "must be 1 to 255 printable ASCII characters" }],
  });
}
