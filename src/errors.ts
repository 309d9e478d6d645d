/** Every refusal the engine knows. Surfaces map each code to their own status and body; a new code fails to compile there. */
export const errorCodes = [
  "invalid",
  "unauthorized",
  "forbidden",
  "not_found",
  "conflict",
  "idempotency_mismatch",
  "too_large",
  "unsupported_media_type",
  "unsupported",
  "not_final",
  "not_held",
  "queue_full",
  "draining",
  "maintenance",
  "unavailable",
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** Where in the caller's input a problem lies: an RFC 6901 pointer and what is wrong there. */
export type Problem = { pointer: string; detail: string };

/** A refusal: the caller is at fault, or must come back later. The message may be shown to the caller as it is. */
export class EngineError extends Error {
  override readonly name = "EngineError";

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly options: { problems?: Problem[]; retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
  }
}
