import { isPassingFault } from "../db/client.ts";
import { outageRetryS, outageText } from "../db/outage.ts";
import { EngineError } from "../errors.ts";

/** What a caller is told when its job could not be written. */
export function refusalOf(cause: unknown): EngineError {
  if (cause instanceof EngineError) return cause;
  if (!isPassingFault(cause)) return new EngineError("unavailable", "The job could not be stored", { cause });
  return new EngineError("unavailable", outageText(cause), { cause, retryAfterSeconds: outageRetryS });
}
